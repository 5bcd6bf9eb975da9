//! What an application holds: a connection to a relay, and what it asks of it.

mod post;
mod request;
mod subscribe;
mod tunnel;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libchan::{Message, OpenOptions, Sender, Session};
use libchan_transports::DialOptions;

use self::request::Requesting;
pub use self::request::Wait;
pub use self::subscribe::Subscription;
pub use self::tunnel::Tunnel;
use crate::error::Error;
use crate::wire::{Line, POSTS, Post, SUBSCRIBE, Subscribe, TUNNELS};

/// An application's connection to a relay: it asks clusters, tells them and topics, subscribes and opens tunnels.
///
/// Clones share the connection. It ends with [`close`](Self::close), or when the last clone, and everything that was made
/// with it, is gone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use libchan_iris::{Connection, Limits, Relay, Service};
///
/// let relay = Relay::new();
/// let adder = Service::builder("adder").on_request(|(a, b): (u64, u64)| async move { Ok(a + b) });
/// let adder = adder.register(relay.connect().await?, Limits::default()).await?;
///
/// let iris = relay.connect().await?;
/// let sum: u64 = iris.request("adder", &(2_u64, 3_u64), Duration::from_secs(1)).await?;
/// assert_eq!(sum, 5);
/// adder.unregister().await?;
/// # Ok::<(), libchan_iris::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Connection {
    app: Arc<App>,
}

pub(crate) struct App {
    session: Session,
    requesting: Mutex<Option<Arc<Requesting>>>,
    posts: Line1<Post>,
    subscribe: Line1<Subscribe>,
    tunnels: Line1<Line>,
}

/// A named channel of the session that is opened when it is first used.
struct Line1<T> {
    name: &'static str,
    sender: Mutex<Option<Sender<T>>>,
}

/// How many posts, subscriptions and tunnels wait for the relay at the most, of each.
const CAPACITY: usize = 256;

impl<T: Message> Line1<T> {
    const fn new(name: &'static str) -> Self {
        Self { name, sender: Mutex::new(None) }
    }

    fn get(&self, session: &Session) -> Result<Sender<T>, Error> {
        let mut sender = lock(&self.sender);
        if let Some(sender) = &*sender {
            return Ok(sender.clone());
        }
        let opened = session.open_with(self.name, OpenOptions::new().capacity(CAPACITY));
        let opened = opened.map_err(|_| Error::Closed)?;
        *sender = Some(opened.clone());
        Ok(opened)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Dials a relay by any libchan URL.
    ///
    /// # Errors
    /// [`Error::Refused`]: the relay admits nobody like this one. [`Error::Local`]: there is no relay at the URL, or it
    /// cannot be dialed; the text says why.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, DialOptions::default()).await
    }

    /// Dials with options: certificates, a token, limits.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, options: DialOptions) -> Result<Self, Error> {
        match libchan_transports::dial_with(url, options).await {
            Ok(session) => Ok(Self::over(session)),
            Err(error) if error.refusal().is_some() => Err(Error::Refused(error.to_string())),
            Err(error) => Err(Error::Local(error.to_string())),
        }
    }

    /// A connection over a session that is there already. Other channels of the session are unharmed.
    pub fn over(session: Session) -> Self {
        let app = App {
            session,
            requesting: Mutex::new(None),
            posts: Line1::new(POSTS),
            subscribe: Line1::new(SUBSCRIBE),
            tunnels: Line1::new(TUNNELS),
        };
        Self { app: Arc::new(app) }
    }

    /// The session under it.
    pub fn session(&self) -> &Session {
        &self.app.session
    }

    /// Sends what was posted, then leaves the relay. Requests under way end with [`Error::Closed`] or [`Error::Lost`].
    ///
    /// # Errors
    /// [`Error::Closed`]: the connection was lost before, or something that was posted did not reach the relay.
    pub async fn close(self) -> Result<(), Error> {
        self.app.session.clone().close().await.map_err(|_| Error::Closed)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under_way = lock(&self.app.requesting).as_ref().map_or(0, |requesting| requesting.under_way());
        f.debug_struct("Connection")
            .field("relay", &self.app.session.info().peer)
            .field("requests_under_way", &under_way)
            .finish_non_exhaustive()
    }
}
