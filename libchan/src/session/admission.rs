//! As whom a peer was let in: its name, until when that holds, and what the application keeps with it.
//!
//! Only an admission that ends costs a task. It waits for that time, asks for a new admission, and else ends the session. It
//! holds no handle of the session, and ends with it.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use libchan_proto::SessionError;
use tokio::time::{Instant, sleep_until, timeout};

use super::shared::Shared;
use super::{Inner, Session};
use crate::sync::{Mutex, lock, spawn};
use crate::transport::Transport;

/// How long the renewal of an admission may take. Meanwhile the session goes on.
const RENEWAL: Duration = Duration::from_secs(10);

/// As whom a peer was let in, until when, and what the application keeps with that.
///
/// A hook that knows a name and nothing else writes `"alice".into()`. When the time of an admission is over, the session asks for
/// a new one ([`Session::renewed_by`]); if it gets none it ends, and the peer is told why.
///
/// ```
/// use std::time::Duration;
/// use libchan::Admission;
///
/// #[derive(Debug, PartialEq)]
/// struct Scopes(Vec<String>);
///
/// let admission = Admission::new("alice")
///     .lasting(Duration::from_secs(3600))
///     .with(Scopes(vec!["read".to_owned()]));
/// assert_eq!(admission.name(), "alice");
/// assert_eq!(admission.get::<Scopes>().unwrap().0, ["read"]);
/// assert_eq!(admission.get::<String>(), None);
/// ```
#[derive(Clone)]
pub struct Admission {
    name: String,
    until: Option<Instant>,
    extensions: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Admission {
    /// Lets a peer in under this name, for as long as its session lasts.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), until: None, extensions: Vec::new() }
    }

    /// Ends the admission after this time.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        // What is beyond the clock does not end.
        self.until = Instant::now().checked_add(time);
        self
    }

    /// Ends the admission at this time of the system's clock: what a token says of itself. How long that is from now is
    /// computed at once; if the clock is set later, or the machine sleeps, the admission ends that much earlier or later.
    #[must_use]
    pub fn until(self, time: SystemTime) -> Self {
        self.lasting(time.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Keeps a value with the admission, one of each type: scopes, claims, a row of a table.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.retain(|known| !known.is::<T>());
        self.extensions.push(Arc::new(value));
        self
    }

    /// Who the peer is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of this type that was kept [`with`](Self::with) the admission.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extensions.iter().find_map(|known| known.downcast_ref())
    }

    /// How long it still holds; `None` if it does not end.
    pub fn remaining(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl From<String> for Admission {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&str> for Admission {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is kept with it may be secret: it is not printed.
        f.debug_struct("Admission")
            .field("name", &self.name)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// Asks for a new admission. An error is the text for the peer.
type Renew = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Admission, String>> + Send>> + Send + Sync>;

/// The admission in force of a session, shared by its handles.
pub(super) struct Admitted {
    now: Mutex<Arc<Admission>>,
    renew: Mutex<Option<Arc<Renew>>>,
}

impl Admitted {
    pub(super) fn now(&self) -> Arc<Admission> {
        lock(&self.now).clone()
    }

    /// Waits until the time of the admission is over, as often as it is renewed. Gives what the peer is to be told.
    async fn run_out(&self) -> String {
        loop {
            let now = self.now();
            match now.until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
            match self.renewed(&now.name).await {
                Ok(renewed) => *lock(&self.now) = Arc::new(renewed),
                Err(why) => return format!("the admission of {} is over: {why}", now.name),
            }
        }
    }

    async fn renewed(&self, name: &str) -> Result<Admission, String> {
        let renew = lock(&self.renew).clone().ok_or("it is not renewed")?;
        let answer = timeout(RENEWAL, renew()).await;
        let renewed = answer.map_err(|_| "its renewal took too long")??;
        if renewed.name != name {
            return Err("its renewal is for somebody else".to_owned());
        }
        if renewed.is_over() { Err("its renewal is over already".to_owned()) } else { Ok(renewed) }
    }
}

/// The session, without a handle that keeps it.
enum Kept {
    Protocol(Arc<Shared>),
    Foreign(Weak<dyn Transport>),
}

impl Kept {
    async fn ended(&self) {
        match self {
            Self::Protocol(shared) => drop(shared.ended().await),
            Self::Foreign(transport) => {
                poll_fn(|cx| match transport.upgrade() {
                    Some(transport) => transport.poll_closed(cx).map(drop),
                    None => std::task::Poll::Ready(()),
                })
                .await;
            }
        }
    }

    fn end(&self, text: &str) {
        match self {
            Self::Protocol(shared) => shared.end_admission(text.to_owned()),
            Self::Foreign(transport) => {
                if let Some(transport) = transport.upgrade() {
                    transport.end(SessionError::AdmissionOver(text.to_owned()));
                }
            }
        }
    }
}

/// Ends the session when the task that holds it ends, however that comes: also by a panic of the hook. A session that has ended
/// is left as it is.
struct Keeper(Kept);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.end("the renewal of the peer's admission has failed");
    }
}

impl Session {
    /// Lets the peer in as `admission`, which [`admission`](Self::admission) and [`Incoming::admission`](crate::Incoming::admission)
    /// give from now on. Call it once, before the session is cloned: what [`PendingSession::admit`](crate::PendingSession::admit)
    /// does, and a transport of your own with [`over`](Self::over). It does not change [`principal`](Self::principal).
    ///
    /// An admission that ends takes a tokio runtime: a task waits for its time.
    #[must_use]
    pub fn admitted(mut self, admission: Admission) -> Self {
        let ends = admission.until.is_some();
        let admitted = Arc::new(Admitted { now: Mutex::new(Arc::new(admission)), renew: Mutex::new(None) });
        self.admitted = Some(admitted.clone());
        if ends {
            let session = match &self.inner {
                Inner::Protocol(shared) => Kept::Protocol(shared.clone()),
                Inner::Foreign(transport) => Kept::Foreign(Arc::downgrade(transport)),
            };
            let keeper = Keeper(session);
            spawn(async move {
                tokio::select! {
                    why = admitted.run_out() => keeper.0.end(&why),
                    () = keeper.0.ended() => {}
                }
            });
        }
        self
    }

    /// Asks `renew` for a new admission when the time of the one in force is over. It has 10 s to answer, in which the session goes
    /// on. Its error is a text for the peer, and ends the session as an admission does that is not renewed: the peer's error is
    /// [`PeerClosed`](SessionError::PeerClosed) with [`Denial::Unauthorized`](crate::Denial), this side's
    /// [`AdmissionOver`](SessionError::AdmissionOver). The name must stay, or the session ends too.
    ///
    /// Without an admission nothing is asked.
    ///
    /// ```
    /// # async fn doc(peer: libchan::PendingSession) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use libchan::Admission;
    ///
    /// let hour = || Admission::new("alice").lasting(Duration::from_secs(3600));
    /// let session = peer.admit(Some(hour())).await?.renewed_by(move || async move {
    ///     // Ask a database whether alice may still be here.
    ///     Ok(hour())
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn renewed_by<F, R>(self, renew: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Admission, String>> + Send + 'static,
    {
        if let Some(admitted) = &self.admitted {
            let renew: Renew = Box::new(move || Box::pin(renew()));
            *lock(&admitted.renew) = Some(Arc::new(renew));
        }
        self
    }

    /// As whom the peer was let in; `None` if nobody was asked. Renewals change it: this is the one in force now.
    pub fn admission(&self) -> Option<Arc<Admission>> {
        self.admitted.as_ref().map(|admitted| admitted.now())
    }
}
