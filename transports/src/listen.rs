//! Listening: from a URL to sessions. Each transport is one arm of the match and one [`Acceptor`].
//!
//! Handshakes run beside each other, so a peer that connects and stays silent delays nobody. There is no task
//! behind the listener: `accept` itself takes connections, and one that nobody accepts from leaves them to the
//! kernel's backlog. Only an http connection has a task of its own, because it may carry many sessions.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use libchan::{Session, SessionOptions};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::authorize::Authorize;
use crate::error::{AcceptError, ListenError, OsError, is_descriptor_limit};
#[cfg(feature = "_http")]
use crate::http::HttpListenOptions;
use crate::places::{Place, Places};
#[cfg(feature = "_tls")]
use crate::tls::TlsServer;
use crate::url::{Address, UrlError};

/// A transport's listening socket.
#[async_trait]
pub(crate) trait Acceptor: Send + Sync {
    /// Where it listens, so that it can be dialed.
    fn url(&self) -> &str;

    /// The next connection. Cancel-safe; waits for nothing but the connection.
    async fn accept(&self) -> io::Result<Arrival>;
}

/// The rest of a connection's set-up, which may take as long as the peer likes: a TLS handshake, the hellos.
pub(crate) type Arrival = Pin<Box<dyn Future<Output = Result<Session, AcceptError>> + Send>>;

/// Called with each failed handshake.
type OnFailedHandshake = Arc<dyn Fn(&AcceptError) + Send + Sync>;

/// How to listen.
#[derive(Clone)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Limits, codecs and metadata of each session; also the deadline for a peer's hello, TLS included.
    pub session: SessionOptions,
    /// How many connections may be between their arrival and `accept` at a time. Default 128, at least 1. It
    /// bounds what peers that connect and stay silent can make us hold. Further ones wait in the kernel's backlog:
    /// while all places are taken, a peer has a second in the place of the hello timeout, hook included, and then
    /// goes for the next one.
    pub max_handshakes: usize,
    /// The mode of a unix socket's file, such as `0o660`, in force before the first peer can connect. By default
    /// the umask decides.
    pub unix_mode: Option<u32>,
    /// The certificates, which a listener needs whose transport is encrypted. Keep a clone to renew them.
    #[cfg(feature = "_tls")]
    pub tls: Option<TlsServer>,
    /// Origins, proxies and the like, where the URL's transport is http.
    #[cfg(feature = "_http")]
    pub http: HttpListenOptions,
    pub(crate) authorize: Option<Arc<dyn Authorize>>,
    on_failed_handshake: Option<OnFailedHandshake>,
}

impl ListenOptions {
    /// Sets the sessions' options.
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Sets how many connections may be between their arrival and `accept` at a time.
    #[must_use]
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.max_handshakes = count;
        self
    }

    /// Sets the mode of a unix socket's file.
    #[must_use]
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = Some(mode);
        self
    }

    /// Sets the certificates of a listener whose transport is encrypted.
    #[cfg(feature = "_tls")]
    #[must_use]
    pub fn tls(mut self, server: TlsServer) -> Self {
        self.tls = Some(server);
        self
    }

    /// Asks `hook` about each peer before its session starts, and about each channel that it opens; see [`Authorize`].
    /// Without a hook everybody who can connect gets a session.
    #[must_use]
    pub fn authorize(mut self, hook: impl Authorize) -> Self {
        self.authorize = Some(Arc::new(hook));
        self
    }

    /// Sets origins, proxies and the like, where the URL's transport is http.
    #[cfg(feature = "_http")]
    #[must_use]
    pub fn http(mut self, http: HttpListenOptions) -> Self {
        self.http = http;
        self
    }

    /// Calls `f` with each failed handshake, which `accept` otherwise skips in silence. It should be quick: it
    /// runs inside `accept`, and anybody who can connect can cause it.
    #[must_use]
    pub fn on_failed_handshake(mut self, f: impl Fn(&AcceptError) + Send + Sync + 'static) -> Self {
        self.on_failed_handshake = Some(Arc::new(f));
        self
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            session: SessionOptions::default(),
            max_handshakes: 128,
            unix_mode: None,
            #[cfg(feature = "_tls")]
            tls: None,
            #[cfg(feature = "_http")]
            http: HttpListenOptions::default(),
            authorize: None,
            on_failed_handshake: None,
        }
    }
}

impl fmt::Debug for ListenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the session's: its metadata may hold a token.
        f.debug_struct("ListenOptions")
            .field("max_handshakes", &self.max_handshakes)
            .field("unix_mode", &self.unix_mode)
            .finish_non_exhaustive()
    }
}

/// Listens at `url`.
///
/// # Errors
/// See [`ListenError`]: one variant a cause.
pub async fn listen(url: &str) -> Result<Listener, ListenError> {
    listen_with(url, ListenOptions::default()).await
}

/// The same with options.
///
/// # Errors
/// See [`ListenError`]: one variant a cause.
pub async fn listen_with(url: &str, options: ListenOptions) -> Result<Listener, ListenError> {
    let acceptor = acceptor(&Address::parse(url)?, &options).await?;
    Ok(Listener::new(acceptor, options))
}

async fn acceptor(address: &Address, options: &ListenOptions) -> Result<Box<dyn Acceptor>, ListenError> {
    match address.scheme() {
        #[cfg(feature = "unix")]
        "unix" => crate::unix::listen(address.rest(), options).await,
        #[cfg(feature = "tcp")]
        "tcp" => crate::tcp::listen(address.rest(), options).await,
        #[cfg(feature = "_tls")]
        "tls" => crate::tls::listen(address.rest(), options).await,
        #[cfg(feature = "memory")]
        "mem" => crate::memory::listen(address.rest(), options),
        #[cfg(feature = "_http")]
        "h2c" | "http" | "https" | "ws" | "wss" => crate::http::listen(address, options).await,
        scheme => {
            let _ = options;
            Err(UrlError::UnknownScheme { scheme: scheme.to_owned() }.into())
        }
    }
}

/// Accepts sessions at a URL. Dropping it stops listening; sessions that were accepted live on.
pub struct Listener {
    url: String,
    on_failed_handshake: Option<OnFailedHandshake>,
    places: Arc<Places>,
    closed: watch::Sender<bool>,
    /// Held by the one `accept` that is at work; others queue for it.
    state: Mutex<State>,
}

struct State {
    /// Gone once closed.
    acceptor: Option<Box<dyn Acceptor>>,
    handshakes: JoinSet<Result<Session, AcceptError>>,
    trouble: Trouble,
}

/// What `accept` waits for.
enum Event {
    Closed,
    Shaken(Result<Result<Session, AcceptError>, JoinError>),
    Arrived(Place, io::Result<Arrival>),
}

impl Listener {
    pub(crate) fn new(acceptor: Box<dyn Acceptor>, options: ListenOptions) -> Self {
        Self {
            url: acceptor.url().to_owned(),
            places: Places::new(options.max_handshakes),
            on_failed_handshake: options.on_failed_handshake,
            closed: watch::Sender::new(false),
            state: Mutex::new(State {
                acceptor: Some(acceptor),
                handshakes: JoinSet::new(),
                trouble: Trouble::default(),
            }),
        }
    }

    /// The address that is listened on, ready to be dialed: with the port that was chosen where 0 was asked for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next peer whose handshake succeeded.
    ///
    /// A failed handshake is skipped (see [`ListenOptions::on_failed_handshake`]). Trouble of the listener itself,
    /// such as no descriptor being left, is returned once; call `accept` again: it retries, with pauses, and says
    /// nothing more until the trouble is over. So a loop over `accept` neither spins nor dies.
    ///
    /// # Cancel safety
    /// Cancel-safe: handshakes that are under way go on, and a later call gets their sessions. Several tasks may
    /// wait at once; each session goes to one of them.
    ///
    /// # Errors
    /// See [`AcceptError`]; only [`AcceptError::Closed`] is final.
    pub async fn accept(&self) -> Result<Session, AcceptError> {
        let mut closed = self.closed.subscribe();
        let mut state = self.state.lock().await;
        loop {
            let State { acceptor, handshakes, trouble } = &mut *state;
            let Some(acceptor) = acceptor else { return Err(AcceptError::Closed) };
            let event = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => Event::Closed,
                Some(shaken) = handshakes.join_next() => Event::Shaken(shaken),
                (place, arrival) = next_arrival(acceptor.as_ref(), trouble, &self.places) => {
                    Event::Arrived(place, arrival)
                }
            };
            match event {
                Event::Closed => return Err(AcceptError::Closed),
                Event::Shaken(Ok(Ok(session))) => return Ok(session),
                Event::Shaken(Ok(Err(error))) => {
                    if let Some(callback) = &self.on_failed_handshake {
                        callback(&error);
                    }
                }
                // A panic is a bug: pass it on. Nobody else cancels these tasks, but a runtime that shuts down.
                Event::Shaken(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic())
                }
                Event::Shaken(Err(_)) => return Err(AcceptError::Closed),
                Event::Arrived(place, Ok(arrival)) => {
                    trouble.over();
                    handshakes.spawn(shake(place, arrival));
                }
                Event::Arrived(_, Err(error)) => {
                    if let Some(error) = trouble.meet(error) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Stops listening and drops the peers that nobody has accepted. When it returns the address is free again
    /// and every waiting [`accept`](Self::accept) has got, or is about to get, [`AcceptError::Closed`].
    pub async fn close(&self) {
        self.closed.send_replace(true);
        let mut state = self.state.lock().await;
        state.acceptor = None;
        state.handshakes.shutdown().await;
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Waits out the pause, if there is one, and for a place, and accepts.
async fn next_arrival(
    acceptor: &dyn Acceptor,
    trouble: &Trouble,
    places: &Arc<Places>,
) -> (Place, io::Result<Arrival>) {
    if let Some(instant) = trouble.resume_at {
        sleep_until(instant).await;
    }
    let place = places.take().await;
    let arrival = acceptor.accept().await;
    place.begin();
    (place, arrival)
}

/// A handshake, for as long as it has a place.
async fn shake(place: Place, arrival: Arrival) -> Result<Session, AcceptError> {
    tokio::select! {
        biased;
        shaken = arrival => shaken,
        () = place.lost() => Err(AcceptError::NoRoom),
    }
}

/// The pauses after failures of the listening socket: one such failure is likely to be followed by the same one.
#[derive(Default)]
struct Trouble {
    /// Zero while all is well.
    pause: Duration,
    resume_at: Option<Instant>,
}

impl Trouble {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    fn over(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure; gives the error to report if it is the first of a row.
    fn meet(&mut self, error: io::Error) -> Option<AcceptError> {
        use io::ErrorKind as Kind;
        // Linux passes on what happened to the connection while it waited; the next one may be fine.
        if let Kind::ConnectionAborted
        | Kind::ConnectionReset
        | Kind::Interrupted
        | Kind::TimedOut
        | Kind::HostUnreachable
        | Kind::NetworkDown
        | Kind::NetworkUnreachable = error.kind()
        {
            return None;
        }
        let first = self.pause.is_zero();
        self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
        self.resume_at = Some(Instant::now() + self.pause);
        first.then(|| match is_descriptor_limit(&error) {
            true => AcceptError::DescriptorLimit,
            false => AcceptError::Os(OsError::from(error)),
        })
    }
}

#[cfg(all(test, feature = "unix", feature = "tcp"))]
mod tests;
