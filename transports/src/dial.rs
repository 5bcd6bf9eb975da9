//! Dialing: from a URL to a session. Each transport is one arm of the match.

use std::fmt;
use std::time::Duration;

use libchan::{Session, SessionOptions};

use crate::error::DialError;
#[cfg(feature = "_http")]
use crate::http::HttpDialOptions;
#[cfg(feature = "_tls")]
use crate::tls::TlsClientOptions;
use crate::url::{Address, UrlError};

/// How to dial.
#[derive(Clone)]
#[non_exhaustive]
pub struct DialOptions {
    /// How long looking up the name and connecting may take together, with TLS and a WebSocket's upgrade. Default
    /// 10 s. The exchange of hellos that follows has its own deadline in `session`. An `https:` dial that falls back
    /// from one carrier to the other begins anew.
    pub connect_timeout: Duration,
    /// Limits, codecs and metadata of the session.
    pub session: SessionOptions,
    /// Whom to believe, and who we are, where the URL's transport is encrypted.
    #[cfg(feature = "_tls")]
    pub tls: TlsClientOptions,
    /// Headers and the like, where the URL's transport is http.
    #[cfg(feature = "_http")]
    pub http: HttpDialOptions,
}

impl DialOptions {
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
            #[cfg(feature = "_tls")]
            tls: TlsClientOptions::default(),
            #[cfg(feature = "_http")]
            http: HttpDialOptions::default(),
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
/// # Cancel safety
/// Dropping the future drops the connection; nothing else is left behind.
///
/// # Errors
/// See [`DialError`]: one variant a cause.
pub async fn dial(url: &str) -> Result<Session, DialError> {
    dial_with(url, DialOptions::default()).await
}

/// The same with options.
///
/// # Errors
/// See [`DialError`]: one variant a cause.
pub async fn dial_with(url: &str, options: DialOptions) -> Result<Session, DialError> {
    let address = Address::parse(url)?;
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
