//! Why a dial gave no session, and what each address of a host has said.

use std::fmt;
#[cfg(feature = "tcp")]
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use libchan::SessionError;

#[cfg(any(feature = "unix", feature = "tcp"))]
use super::is_descriptor_limit;
use super::{OsError, descriptor_limit, path_too_long};
use crate::authorize::Refusal;
#[cfg(feature = "_http")]
use crate::http::HttpError;
#[cfg(feature = "_tls")]
use crate::tls::{TlsConfigError, TlsError};
use crate::url::UrlError;

/// Why [`dial`](crate::dial) gave no session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// The URL is wrong, or its transport is unknown or not built in.
    Url(UrlError),
    /// The path or name does not fit the kernel's socket address.
    PathTooLong {
        /// Bytes of the path or name that was given.
        length: usize,
        /// The most bytes that fit.
        limit: usize,
    },
    /// There is nothing at the socket's path.
    NoSuchSocket {
        /// What was dialed.
        url: String,
    },
    /// There is something at the path, but it is no socket.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// This process may not connect there.
    NoPermission {
        /// What was dialed.
        url: String,
    },
    /// Nobody listens there.
    Refused {
        /// What was dialed.
        url: String,
    },
    /// There is no route to the host.
    Unreachable {
        /// What was dialed.
        url: String,
    },
    /// The name could not be resolved.
    HostNotFound {
        /// The name.
        host: String,
        /// What the resolver said.
        source: OsError,
    },
    /// The host has several addresses, none took the connection, and they did not all say the same.
    #[cfg(feature = "tcp")]
    NoAddress {
        /// What was dialed.
        url: String,
        /// What each address has said, in the order in which they were tried.
        failed: Vec<FailedAddress>,
    },
    /// No connection came about in time.
    TimedOut {
        /// What was dialed.
        url: String,
        /// The connect timeout.
        after: Duration,
    },
    /// This process or machine has no descriptor left (`EMFILE`, `ENFILE`).
    DescriptorLimit,
    /// A tcp URL was dialed, and the server speaks TLS.
    SpeaksTls {
        /// What was dialed.
        url: String,
    },
    /// The connection stands, but TLS did not come about.
    #[cfg(feature = "_tls")]
    Tls {
        /// What was dialed.
        url: String,
        /// What went wrong.
        source: TlsError,
    },
    /// Something is wrong with [`DialOptions::tls`](crate::DialOptions::tls).
    #[cfg(feature = "_tls")]
    TlsConfig(TlsConfigError),
    /// An http server answered, but not with a session.
    #[cfg(feature = "_http")]
    Http {
        /// What was dialed.
        url: String,
        /// What it answered.
        source: HttpError,
    },
    /// An https URL was dialed by both carriers in turn, and neither gave a session.
    #[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
    NoCarrier {
        /// What the first said, as a rule HTTP/2.
        first: Box<Self>,
        /// What the other said.
        second: Box<Self>,
    },
    /// The other side's authorize hook gave no session, and said so in the goodbye. See [`refusal`](Self::refusal).
    NotAdmitted {
        /// What was dialed.
        url: String,
        /// What the other side said.
        refusal: Refusal,
    },
    /// The connection stands, but the two sides did not agree on a session.
    Session(SessionError),
    /// Anything else the system said.
    Os {
        /// What was dialed.
        url: String,
        /// What the system said.
        source: OsError,
    },
}

impl DialError {
    /// Why the other side's authorize hook gave no session, be it an http status or the session's goodbye.
    ///
    /// ```
    /// # async fn doc() -> Result<(), libchan_transports::DialError> {
    /// match libchan_transports::dial("https://build.example").await {
    ///     Err(error) if error.refusal().is_some_and(|refusal| refusal.status() == 401) => { /* a new token */ }
    ///     dialed => drop(dialed?),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::NotAdmitted { refusal, .. } => Some(refusal.clone()),
            #[cfg(feature = "_http")]
            Self::Http { source, .. } => source.refusal(),
            #[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
            Self::NoCarrier { first, second } => second.refusal().or_else(|| first.refusal()),
            _ => None,
        }
    }

    /// Whether dialing again with the same options would fail again, unless somebody mends something: the URL is wrong, the
    /// other side refuses who we are (401, 403) or speaks another version, one side does not trust the other's certificate, or
    /// something is wrong with our own options. A [`Redial`](crate::Redial) gives up then, and tries again after everything else.
    pub fn is_final(&self) -> bool {
        if let Some(refusal) = self.refusal() {
            return matches!(refusal.status(), 401 | 403);
        }
        match self {
            Self::Url(_) | Self::PathTooLong { .. } | Self::SpeaksTls { .. } => true,
            #[cfg(feature = "_tls")]
            Self::Tls { source, .. } => source.is_final(),
            #[cfg(feature = "_tls")]
            Self::TlsConfig(_) => true,
            #[cfg(feature = "_http")]
            Self::Http { source, .. } => matches!(source, HttpError::BadRequest { .. }),
            #[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
            Self::NoCarrier { first, second } => first.is_final() || second.is_final(),
            Self::Session(error) => disagree(error),
            _ => false,
        }
    }

    /// Sorts what ended the exchange of hellos with `url`.
    #[cfg(any(feature = "unix", feature = "tcp"))]
    pub(crate) fn starting(url: String, error: SessionError) -> Self {
        match Refusal::told(&error) {
            Some(refusal) => Self::NotAdmitted { url, refusal },
            None => Self::Session(error),
        }
    }

    /// Sorts what the system said about a connection to `url`.
    #[cfg(any(feature = "unix", feature = "tcp"))]
    pub(crate) fn connecting(url: String, error: impl Into<OsError>) -> Self {
        use std::io::ErrorKind as Kind;
        let source = error.into();
        match source.kind {
            _ if is_descriptor_limit(source.code) => Self::DescriptorLimit,
            Kind::NotFound => Self::NoSuchSocket { url },
            Kind::PermissionDenied => Self::NoPermission { url },
            Kind::ConnectionRefused => Self::Refused { url },
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => Self::Unreachable { url },
            _ => Self::Os { url, source },
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::PathTooLong { length, limit } => path_too_long(f, *length, *limit),
            Self::NoSuchSocket { url } => write!(f, "{url}: no such socket; is the server running?"),
            Self::NotASocket { path } => write!(f, "{} is not a socket", path.display()),
            Self::NoPermission { url } => {
                write!(f, "{url}: permission denied; check the mode of the socket and of its directories")
            }
            Self::Refused { url } => write!(f, "{url}: connection refused; nobody listens there"),
            Self::Unreachable { url } => write!(f, "{url}: no route to the host; check the network"),
            Self::HostNotFound { host, .. } => write!(f, "host `{host}` was not found; check the name"),
            #[cfg(feature = "tcp")]
            Self::NoAddress { url, failed } => {
                write!(f, "{url}: none of the host's addresses took the connection")?;
                failed
                    .iter()
                    .enumerate()
                    .try_for_each(|(i, address)| write!(f, "{} {address}", if i == 0 { ":" } else { ";" }))
            }
            Self::TimedOut { url, after } => {
                write!(
                    f,
                    "{url}: no connection within {after:?}; a firewall or a full backlog may be in the way"
                )
            }
            Self::DescriptorLimit => descriptor_limit(f),
            Self::SpeaksTls { url } => write!(f, "{url}: the server speaks TLS: dial it with tls://"),
            #[cfg(feature = "_tls")]
            Self::Tls { url, source } => write!(f, "{url}: {source}"),
            #[cfg(feature = "_tls")]
            Self::TlsConfig(error) => error.fmt(f),
            #[cfg(feature = "_http")]
            Self::Http { url, source } => write!(f, "{url}: {source}"),
            #[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
            Self::NoCarrier { first, second } => {
                write!(f, "{}; and by the other carrier, {}", Whole(first), Whole(second))
            }
            Self::NotAdmitted { url, refusal } => write!(f, "{url}: the server gives no session: {refusal}"),
            Self::Session(error) => write!(f, "connected, but no session came about: {error}"),
            Self::Os { url, .. } => write!(f, "{url}: the connection failed"),
        }
    }
}

/// Whether the two sides cannot have a session as they are; each may be the one that says so.
fn disagree(error: &SessionError) -> bool {
    let final_codes = [SessionError::UnsupportedVersion(0).code(), SessionError::NoCommonCodec.code()];
    match error {
        SessionError::UnsupportedVersion(_) | SessionError::NoCommonCodec | SessionError::MetadataTooLong => {
            true
        }
        SessionError::PeerClosed(reason) => final_codes.contains(&reason.code),
        _ => false,
    }
}

/// An error and what caused it, in one text.
#[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
struct Whole<'a>(&'a DialError);

#[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::error::Error::source(self.0) {
            Some(source) => write!(f, "{}: {source}", self.0),
            None => self.0.fmt(f),
        }
    }
}

/// What one address of a host has said: part of [`DialError::NoAddress`].
#[cfg(feature = "tcp")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedAddress {
    /// The address.
    pub address: SocketAddr,
    /// What the system said; `None` if there was no answer before the dial's time was over.
    pub error: Option<OsError>,
}

#[cfg(feature = "tcp")]
impl fmt::Display for FailedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{}: {error}", self.address),
            None => write!(f, "{}: no answer in time", self.address),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::HostNotFound { source, .. } | Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<UrlError> for DialError {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

impl From<SessionError> for DialError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}
