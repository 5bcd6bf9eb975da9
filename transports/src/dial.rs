//! Dialing: from a URL to a session. Each transport is one arm of the match.

use std::fmt;
use std::time::Duration;

use libchan::{Session, SessionOptions};
use tokio::time::Instant;

use crate::error::DialError;
#[cfg(feature = "_http")]
use crate::http::HttpDialOptions;
#[cfg(feature = "_tls")]
use crate::tls::TlsClientOptions;
use crate::url::{Address, UrlError};

/// Thirty years: no dial takes longer.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// How to dial.
#[derive(Clone)]
#[non_exhaustive]
pub struct DialOptions {
    /// How long the whole dial may take: looking up the name, connecting, TLS, a WebSocket's upgrade, both carriers of
    /// an `https:` dial, and the hellos. Default 10 s. The hellos have a deadline of their own in `session`
    /// ([`Limits::hello_timeout`](libchan::Limits::hello_timeout)): the earlier of the two counts.
    pub connect_timeout: Duration,
    /// Limits, codecs and metadata of the session.
    pub session: SessionOptions,
    /// Over `mem:`, encode values as over a link. See [`as_a_link`](Self::as_a_link).
    #[cfg(feature = "memory")]
    pub as_a_link: bool,
    /// Whom to believe, and who we are, where the URL's transport is encrypted.
    #[cfg(feature = "_tls")]
    pub tls: TlsClientOptions,
    /// Headers and the like, where the URL's transport is http.
    #[cfg(feature = "_http")]
    pub http: HttpDialOptions,
    /// When the dial has to be over; set where it begins.
    deadline: Option<Instant>,
}

impl DialOptions {
    /// The dial begins now, unless it has begun already.
    pub(crate) fn begun(mut self) -> Self {
        self.deadline = Some(self.deadline());
        self
    }

    /// When the dial has to be over.
    pub(crate) fn deadline(&self) -> Instant {
        // What is too long for the clock is for ever.
        let from_now = || Instant::now() + self.connect_timeout.min(FOR_EVER);
        self.deadline.unwrap_or_else(from_now)
    }

    /// How long the dial may still take.
    #[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
    pub(crate) fn left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// The session's options, for an exchange of hellos that begins now.
    #[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
    pub(crate) fn session_now(&self) -> SessionOptions {
        let mut session = self.session.clone();
        session.limits.hello_timeout = session.limits.hello_timeout.min(self.left());
        session
    }

    /// The error of a dial that has not connected in time.
    #[cfg(any(feature = "unix", feature = "tcp"))]
    pub(crate) fn timed_out(&self, url: &str) -> DialError {
        DialError::TimedOut { url: url.to_owned(), after: self.connect_timeout }
    }

    /// Sets the connect timeout.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the session's options.
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Over `mem:`, makes the session one over a link within the process: values are encoded, limits hold, and ends in messages
    /// live on the session, as over every other transport. For tests. It is enough that one side asks for it.
    #[cfg(feature = "memory")]
    #[must_use]
    pub fn as_a_link(mut self) -> Self {
        self.as_a_link = true;
        self
    }

    /// Sets whom to believe, and who we are, where the URL's transport is encrypted.
    #[cfg(feature = "_tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsClientOptions) -> Self {
        self.tls = tls;
        self
    }

    /// Sets headers and the like, where the URL's transport is http.
    #[cfg(feature = "_http")]
    #[must_use]
    pub fn http(mut self, http: HttpDialOptions) -> Self {
        self.http = http;
        self
    }
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            session: SessionOptions::default(),
            #[cfg(feature = "memory")]
            as_a_link: false,
            #[cfg(feature = "_tls")]
            tls: TlsClientOptions::default(),
            #[cfg(feature = "_http")]
            http: HttpDialOptions::default(),
            deadline: None,
        }
    }
}

impl fmt::Debug for DialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the session's: its metadata may hold a token.
        f.debug_struct("DialOptions").field("connect_timeout", &self.connect_timeout).finish_non_exhaustive()
    }
}

/// Connects to `url` and gives the session once both hellos have been exchanged.
///
/// A host with several addresses is tried at all of them, IPv6 and IPv4 in turn: the next one when one has failed, or has not
/// answered for 250 ms (RFC 8305, "happy eyeballs"). The first that connects wins.
///
/// # Cancel safety
/// Dropping the future drops the connection; nothing else is left behind.
///
/// # Errors
/// See [`DialError`]: one variant a cause.
pub async fn dial(url: &str) -> Result<Session, DialError> {
    dial_with(url, DialOptions::default()).await
}

/// Connects to `url` as `options` say. See [`dial`].
///
/// A forward proxy of the environment (`HTTPS_PROXY`, `ALL_PROXY`) is not honoured yet: connect through it yourself, and
/// start the session over that stream by [`IoLink`](crate::IoLink), or `dial_http2` and `dial_websocket` of
/// `libchan_transports::http`.
///
/// # Errors
/// See [`DialError`]: one variant a cause.
pub async fn dial_with(url: &str, options: DialOptions) -> Result<Session, DialError> {
    let (address, options) = (Address::parse(url)?, options.begun());
    match address.scheme() {
        #[cfg(feature = "unix")]
        "unix" => crate::unix::dial(address.rest(), options).await,
        #[cfg(feature = "tcp")]
        "tcp" => crate::tcp::dial(address.rest(), options).await,
        #[cfg(feature = "_tls")]
        "tls" => crate::tls::dial(address.rest(), options).await,
        #[cfg(feature = "memory")]
        "mem" => crate::memory::dial(address.rest(), url, options).await,
        #[cfg(feature = "_http")]
        "h2c" | "http" | "https" | "ws" | "wss" => crate::http::dial(&address, options).await,
        scheme => {
            let _ = options;
            Err(UrlError::UnknownScheme { scheme: scheme.to_owned() }.into())
        }
    }
}
