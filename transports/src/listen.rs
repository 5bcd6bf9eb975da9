//! Listening: from a URL to sessions. Each transport is one arm of the match and one [`Acceptor`].
//!
//! A task of the listener takes connections and has their handshakes run beside each other, whether or not somebody
//! waits in `accept`: a peer that connects and stays silent delays nobody, and a dialer gets its session though the
//! program is busy. What is bounded is how many peers are silent ([`Places`]) and how many have spoken and wait for the
//! hook or for `accept` ([`Waiting`]); when there are too many of either, further ones wait in the kernel's backlog.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use libchan::{Session, SessionOptions};

use crate::authorize::Authorize;
use crate::error::{AcceptError, ListenError};
#[cfg(feature = "_http")]
use crate::http::HttpListenOptions;
use crate::places::Place;
#[cfg(feature = "_tls")]
use crate::tls::TlsServer;
use crate::url::{Address, UrlError};

/// A transport's listening socket.
#[async_trait]
pub(crate) trait Acceptor: Send + Sync {
    /// Where it listens, so that it can be dialed.
    fn url(&self) -> &str;

    /// The next connection, or trouble of the socket that has not been told yet. Cancel-safe.
    async fn accept(&self) -> Result<Arrival, AcceptError>;
}

/// The rest of a connection's set-up, which may take as long as the peer likes: a TLS handshake, the hellos. It is given
/// the peer's place, to step aside from while a hook is asked.
pub(crate) type Arrival = Box<dyn FnOnce(Arc<Place>) -> Shaking + Send>;

/// A handshake at work.
pub(crate) type Shaking = Pin<Box<dyn Future<Output = Result<Session, AcceptError>> + Send>>;

/// Called with each failed handshake.
type OnFailedHandshake = Arc<dyn Fn(&AcceptError) + Send + Sync>;

/// How to listen.
#[derive(Clone)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Limits, codecs and metadata of each session; also the deadline for a peer's hello, TLS included.
    pub session: SessionOptions,
    /// How many connections may be between their arrival and the end of their handshake at a time. Default 128, at
    /// least 1. It bounds what peers that connect and stay silent can make us hold. Further ones wait in the kernel's
    /// backlog: while all places are taken, a peer has a second in the place of the hello timeout, and then goes for the
    /// next one. A peer that waits for the authorize hook needs no place.
    pub max_handshakes: usize,
    /// How many peers that have spoken may wait, for the authorize hook's answer or for `accept`. Default 1,024, at
    /// least 1. While there are as many, no further connection is taken (over http: a request is answered by 503).
    pub max_waiting: usize,
    /// How many connections the kernel holds for us. By default as many as the system allows (`net.core.somaxconn` on
    /// Linux), which also cuts down what is asked for here.
    pub backlog: Option<u32>,
    /// The mode of a unix socket's file, such as `0o660`, in force before the first peer can connect. By default
    /// the umask decides.
    pub unix_mode: Option<u32>,
    /// Over `mem:`, encode values as over a link. See [`as_a_link`](Self::as_a_link).
    #[cfg(feature = "memory")]
    pub as_a_link: bool,
    /// The certificates, which a listener needs whose transport is encrypted. Keep a clone to renew them.
    #[cfg(feature = "_tls")]
    pub tls: Option<TlsServer>,
    /// Origins, proxies and the like, where the URL's transport is http.
    #[cfg(feature = "_http")]
    pub http: HttpListenOptions,
    #[cfg(any(feature = "unix", feature = "tcp"))]
    pub(crate) socket: Option<ListenSocket>,
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

    /// Sets how many connections may be between their arrival and the end of their handshake at a time.
    #[must_use]
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.max_handshakes = count;
        self
    }

    /// Sets how many peers that have spoken may wait for the hook's answer or for `accept`.
    #[must_use]
    pub fn max_waiting(mut self, count: usize) -> Self {
        self.max_waiting = count;
        self
    }

    /// Sets how many connections the kernel holds for us.
    #[must_use]
    pub fn backlog(mut self, count: u32) -> Self {
        self.backlog = Some(count);
        self
    }

    /// The backlog as the kernel wants it: it cuts down what is too much.
    #[cfg(any(feature = "unix", feature = "tcp"))]
    pub(crate) fn kernel_backlog(&self) -> u32 {
        self.backlog.unwrap_or(i32::MAX as u32).min(i32::MAX as u32)
    }

    /// Listens on this socket, which listens already, and binds none: the URL says the transport and the path of http, and
    /// its host and port do not count. A unix socket's file stays when the listener goes: who has made it removes it.
    #[cfg(any(feature = "unix", feature = "tcp"))]
    #[must_use]
    pub fn socket(mut self, socket: impl Into<ListenSocket>) -> Self {
        self.socket = Some(socket.into());
        self
    }

    /// Sets the mode of a unix socket's file.
    #[must_use]
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = Some(mode);
        self
    }

    /// Over `mem:`, makes every session one over a link within the process: values are encoded, limits hold, and ends in messages
    /// live on the session, as over every other transport. A program that passes its tests so passes them over tcp.
    #[cfg(feature = "memory")]
    #[must_use]
    pub fn as_a_link(mut self) -> Self {
        self.as_a_link = true;
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
    /// runs in the listener's task, and anybody who can connect can cause it.
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
            max_waiting: 1024,
            backlog: None,
            unix_mode: None,
            #[cfg(feature = "memory")]
            as_a_link: false,
            #[cfg(feature = "_tls")]
            tls: None,
            #[cfg(feature = "_http")]
            http: HttpListenOptions::default(),
            #[cfg(any(feature = "unix", feature = "tcp"))]
            socket: None,
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

/// Listens at `url`. Handshakes happen from now on, in a task of the current tokio runtime.
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

mod held;
mod listener;
#[cfg(any(feature = "unix", feature = "tcp"))]
mod socket;
#[cfg(any(feature = "unix", feature = "tcp"))]
mod trouble;
mod waiting;

pub use self::listener::Listener;
#[cfg(any(feature = "unix", feature = "tcp"))]
pub use self::socket::ListenSocket;
#[cfg(any(feature = "unix", feature = "tcp"))]
pub(crate) use self::trouble::Trouble;
pub(crate) use self::waiting::{Waiting, Waits};

#[cfg(all(test, feature = "unix", feature = "tcp"))]
mod tests;
