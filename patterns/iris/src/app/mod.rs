//! What an application holds: a connection to a relay, and what it asks of it.

mod attach;
mod attachment;
mod post;
mod request;
mod subscribe;
mod tunnel;
mod tunnel_io;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libchan::Session;
use libchan_transports::{DialOptions, Redial};

pub(crate) use self::attach::App;
pub(crate) use self::attachment::Attachment;
pub use self::request::Wait;
pub use self::subscribe::Subscription;
pub use self::tunnel::Tunnel;
use crate::error::Error;

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
///
/// # A relay that comes back
/// Over a [`Redial`] ([`redialing`](Self::redialing)) it outlives its relay: what is asked or told while there is no session waits
/// for the next one, subscriptions and memberships come back by themselves, and what was under way is [`Error::Lost`]. Nothing is
/// sent twice.
#[derive(Clone)]
pub struct Connection {
    pub(crate) app: Arc<App>,
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
        Self { app: Arc::new(App::over(session)) }
    }

    /// A connection that attaches again whenever its session is lost, to any of the redial's relays. It begins to dial now.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use libchan_iris::{Connection, Relay};
    /// use libchan_transports::{Redial, listen};
    ///
    /// let listener = listen("tcp://127.0.0.1:0").await?;
    /// let iris = Connection::redialing(Redial::new(listener.url()));
    /// let relay = Relay::new();
    /// tokio::spawn(async move { relay.serve(listener).await });
    ///
    /// let mut news = iris.subscribe("news").await?;
    /// iris.publish("news", "it is there").await?;
    /// assert_eq!(news.next::<String>().await?.as_deref(), Some("it is there"));
    /// iris.close().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn redialing(redial: Redial) -> Self {
        Self { app: Arc::new(App::redialing(redial)) }
    }

    /// The session under it; `None` while a redialing connection has none.
    pub fn session(&self) -> Option<Session> {
        self.app.current().map(|attachment| attachment.session.clone())
    }

    /// Sends what was posted, then leaves the relay, for all clones. Requests under way end with [`Error::Closed`] or
    /// [`Error::Lost`].
    ///
    /// # Errors
    /// [`Error::Closed`]: the connection was lost before, or something that was posted did not reach the relay.
    pub async fn close(self) -> Result<(), Error> {
        self.app.close().await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attachment = self.app.current();
        f.debug_struct("Connection")
            .field("relay", &attachment.as_ref().map(|attachment| &attachment.session.info().peer))
            .field("requests_under_way", &attachment.as_ref().map_or(0, |attachment| attachment.under_way()))
            .finish_non_exhaustive()
    }
}
