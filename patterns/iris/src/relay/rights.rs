//! Who may do what: a hook of the relay's owner, asked for each request, post, subscription, registration and tunnel.

use std::fmt;

/// What an application wants to do, and the name of the cluster or topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act<'a> {
    /// Ask the cluster.
    Request(&'a str),
    /// Tell the cluster.
    Broadcast(&'a str),
    /// Open a tunnel to the cluster.
    Tunnel(&'a str),
    /// Become a member of the cluster.
    Register(&'a str),
    /// Tell the topic.
    Publish(&'a str),
    /// Hear the topic.
    Subscribe(&'a str),
}

/// Which application may do what. Given to [`RelayBuilder::rights`](crate::RelayBuilder::rights); a closure will do.
///
/// `who` is the name under which the transport's `authorize` hook admitted the application: `None` where no hook is set, and for
/// bindings of the original, which have no credentials. The answer is wanted at once and often: nothing here may wait.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use libchan_iris::{Act, Error, Relay};
///
/// let relay = Relay::builder()
///     .rights(|who: Option<&str>, act: Act<'_>| match act {
///         Act::Publish("prices") => who == Some("exchange"),
///         _ => true,
///     })
///     .build();
/// let iris = relay.connect().await?;
/// iris.subscribe("prices").await?; // everybody may hear them
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub trait Rights: Send + Sync + 'static {
    /// Whether `who` may do this. What is not allowed is refused with a text; a broadcast or event, which has no answer, goes to
    /// nobody and is counted in [`Status::refused`](crate::Status::refused).
    fn allows(&self, who: Option<&str>, act: Act<'_>) -> bool;
}

impl<F: Fn(Option<&str>, Act<'_>) -> bool + Send + Sync + 'static> Rights for F {
    fn allows(&self, who: Option<&str>, act: Act<'_>) -> bool {
        self(who, act)
    }
}

/// Everybody may do everything: the default.
pub(super) struct Everything;

impl Rights for Everything {
    fn allows(&self, _who: Option<&str>, _act: Act<'_>) -> bool {
        true
    }
}

/// The text of a refusal.
pub(crate) struct Denied<'a>(pub(crate) Option<&'a str>, pub(crate) Act<'a>);

impl fmt::Display for Denied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(who, act) = self;
        let (what, name) = match act {
            Act::Request(name) => ("ask cluster", name),
            Act::Broadcast(name) => ("tell cluster", name),
            Act::Tunnel(name) => ("open a tunnel to cluster", name),
            Act::Register(name) => ("join cluster", name),
            Act::Publish(name) => ("publish under topic", name),
            Act::Subscribe(name) => ("subscribe to topic", name),
        };
        let who = who.unwrap_or("an application without a name");
        write!(f, "{who} may not {what} {name:?} at this relay")
    }
}
