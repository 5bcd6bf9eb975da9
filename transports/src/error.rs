//! Errors of dialing, listening and accepting: one variant a cause, each saying what to do about it.

mod dial;

use std::path::PathBuf;
use std::{fmt, io};

use libchan::SessionError;

pub use self::dial::DialError;
#[cfg(feature = "tcp")]
pub use self::dial::FailedAddress;
use crate::authorize::Refusal;
#[cfg(feature = "_tls")]
use crate::tls::{TlsConfigError, TlsError};
use crate::url::UrlError;

/// Why [`listen`](crate::listen) gave no listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// The URL is wrong, or its transport is unknown or not built in.
    Url(UrlError),
    /// The path or name does not fit the kernel's socket address.
    PathTooLong {
        /// Bytes of the path or name that was given.
        length: usize,
        /// The most bytes that fit.
        limit: usize,
    },
    /// A living server listens on the path. (A socket file that a dead one left behind is replaced.)
    LiveServer {
        /// The path.
        path: PathBuf,
    },
    /// Something that is no socket stands at the path; it is left alone.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The directory of the path does not exist.
    NoSuchDirectory {
        /// The path.
        path: PathBuf,
    },
    /// This process may not listen there.
    NoPermission {
        /// What was to be listened on.
        url: String,
    },
    /// Somebody else listens there.
    AddressInUse {
        /// What was to be listened on.
        url: String,
    },
    /// The address is none of this machine's.
    AddressNotAvailable {
        /// What was to be listened on.
        url: String,
    },
    /// The name could not be resolved.
    HostNotFound {
        /// The name.
        host: String,
        /// What the resolver said.
        source: OsError,
    },
    /// This process or machine has no descriptor left (`EMFILE`, `ENFILE`).
    DescriptorLimit,
    /// Something is wrong with [`ListenOptions::tls`](crate::ListenOptions::tls).
    #[cfg(feature = "_tls")]
    TlsConfig(TlsConfigError),
    /// Anything else the system said.
    Os {
        /// What was to be listened on.
        url: String,
        /// What the system said.
        source: OsError,
    },
}

impl ListenError {
    /// Sorts what the system said about listening on `url`.
    #[cfg(any(feature = "unix", feature = "tcp"))]
    pub(crate) fn binding(url: String, error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            _ if is_descriptor_limit(error.raw_os_error()) => Self::DescriptorLimit,
            Kind::PermissionDenied => Self::NoPermission { url },
            Kind::AddrInUse => Self::AddressInUse { url },
            Kind::AddrNotAvailable => Self::AddressNotAvailable { url },
            _ => Self::Os { url, source: error.into() },
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::PathTooLong { length, limit } => path_too_long(f, *length, *limit),
            Self::LiveServer { path } => {
                write!(f, "a living server listens on {}; stop it or choose another path", path.display())
            }
            Self::NotASocket { path } => write!(
                f,
                "{} exists and is not a socket; remove it yourself or choose another path",
                path.display()
            ),
            Self::NoSuchDirectory { path } => {
                write!(f, "the directory of {} does not exist; create it first", path.display())
            }
            Self::NoPermission { url } => write!(
                f,
                "{url}: permission denied; a path needs a writable directory, a port below 1024 a privilege"
            ),
            Self::AddressInUse { url } => write!(f, "{url}: in use; stop the other server or choose another"),
            Self::AddressNotAvailable { url } => write!(f, "{url}: not an address of this machine"),
            Self::HostNotFound { host, .. } => write!(f, "host `{host}` was not found; check the name"),
            Self::DescriptorLimit => descriptor_limit(f),
            #[cfg(feature = "_tls")]
            Self::TlsConfig(error) => error.fmt(f),
            Self::Os { url, .. } => write!(f, "{url}: cannot listen"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::HostNotFound { source, .. } | Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<UrlError> for ListenError {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

/// Why [`Listener::accept`](crate::Listener::accept) gave no session. Only `Closed` is final.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// The listener was closed.
    Closed,
    /// This process or machine has no descriptor left; told once, accepting goes on when there are some.
    DescriptorLimit,
    /// The listener itself is in trouble; told once, it is tried again after a pause.
    Os(OsError),
    /// One peer took longer than others could wait, with all of
    /// [`max_handshakes`](crate::ListenOptions::max_handshakes) taken. Only the `on_failed_handshake` callback sees this.
    NoRoom,
    /// One peer was gone before its handshake began. Only the `on_failed_handshake` callback sees this.
    PeerGone {
        /// The peer's address.
        peer: String,
        /// What the system said.
        source: OsError,
    },
    /// One peer spoke TLS to a listener without it. Only the `on_failed_handshake` callback sees this.
    SpeaksTls {
        /// The peer's address.
        peer: String,
    },
    /// One peer's TLS did not come about. Only the `on_failed_handshake` callback sees this.
    #[cfg(feature = "_tls")]
    Tls {
        /// The peer's address.
        peer: String,
        /// What went wrong.
        source: TlsError,
    },
    /// The authorize hook refused one peer. Only the `on_failed_handshake` callback sees this.
    Refused {
        /// The peer's address.
        peer: String,
        /// What the hook said.
        refusal: Refusal,
    },
    /// One peer did not speak http as it should. Only the `on_failed_handshake` callback sees this.
    #[cfg(feature = "_http")]
    NotHttp {
        /// The peer's address.
        peer: String,
        /// What was wrong.
        detail: String,
    },
    /// One peer's session did not come about. Only the `on_failed_handshake` callback sees this.
    Handshake {
        /// The peer's address.
        peer: String,
        /// What went wrong.
        source: SessionError,
    },
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the listener is closed"),
            Self::DescriptorLimit => descriptor_limit(f),
            Self::Os(_) => f.write_str("the listener is in trouble; it will try again"),
            Self::NoRoom => {
                f.write_str("a slow peer had to make room for others (ListenOptions::max_handshakes)")
            }
            Self::PeerGone { peer, .. } => write!(f, "{peer} connected and was gone"),
            Self::SpeaksTls { peer } => {
                write!(f, "{peer} spoke TLS to a plain listener: dial tcp:// there, or listen with tls://")
            }
            #[cfg(feature = "_tls")]
            Self::Tls { peer, source } => write!(f, "{peer}: {source}"),
            Self::Refused { peer, refusal } => write!(f, "{peer} was refused: {refusal}"),
            #[cfg(feature = "_http")]
            Self::NotHttp { peer, detail } => write!(f, "{peer} does not speak http: {detail}"),
            Self::Handshake { peer, source } => {
                write!(f, "{peer} connected, but no session came about: {source}")
            }
        }
    }
}

impl std::error::Error for AcceptError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Os(error) | Self::PeerGone { source: error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What the system said, kept so that it can be cloned and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsError {
    kind: io::ErrorKind,
    code: Option<i32>,
    message: String,
}

impl OsError {
    /// The kind of the error.
    pub fn kind(&self) -> io::ErrorKind {
        self.kind
    }

    /// The system's number for it (`errno`), if it has one.
    pub fn code(&self) -> Option<i32> {
        self.code
    }
}

impl From<io::Error> for OsError {
    fn from(error: io::Error) -> Self {
        Self { kind: error.kind(), code: error.raw_os_error(), message: error.to_string() }
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OsError {}

/// `EMFILE` and `ENFILE`, which std has no kind for; the numbers are the same on every unix.
#[cfg(any(feature = "unix", feature = "tcp"))]
pub(crate) fn is_descriptor_limit(code: Option<i32>) -> bool {
    matches!(code, Some(23 | 24))
}

fn path_too_long(f: &mut fmt::Formatter<'_>, length: usize, limit: usize) -> fmt::Result {
    write!(f, "the socket's path has {length} bytes, the limit is {limit}: use a shorter or a relative path")
}

fn descriptor_limit(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("no file descriptor is left: raise the limit (`ulimit -n`) or close some")
}
