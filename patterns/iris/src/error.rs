//! What can go wrong with a request, a tunnel or a registration.

use std::fmt;

/// Why a request, tunnel or registration came to nothing.
///
/// [`is_safe_to_retry`](Self::is_safe_to_retry) says whether a handler can have seen the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The time was up. The handler may have run, or may still run until it hears of the cancellation.
    Timeout,
    /// The connection to the relay is closed, or was lost before the request left.
    Closed,
    /// The handler answered with this error.
    Remote(String),
    /// The cluster has no member, and the request was not to wait for one.
    NoMember,
    /// There was no room for it, in the relay or at the member. No handler has seen it.
    Busy,
    /// The member that had the request, or the relay, is gone. The handler may have run.
    Lost,
    /// The relay does not allow this, and says why.
    Refused(String),
    /// It failed on this side, before anything was sent: the text says what to change.
    Local(String),
    /// The reply, event or body came, and is not what this side takes it for: the text says what it is.
    NotDecoded(String),
}

impl Error {
    /// Whether no handler has seen the request, so that asking again cannot run it twice.
    pub fn is_safe_to_retry(&self) -> bool {
        matches!(self, Self::Closed | Self::NoMember | Self::Busy | Self::Refused(_) | Self::Local(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer came in time; the handler may have run"),
            Self::Closed => f.write_str("the connection to the relay is closed"),
            Self::Remote(text) => write!(f, "the handler failed: {text}"),
            Self::NoMember => f.write_str("the cluster has no member"),
            Self::Busy => f.write_str("the cluster has no room for the request now; try again later"),
            Self::Lost => f.write_str("the member that had the request is gone; the handler may have run"),
            Self::Refused(text) => write!(f, "the relay refuses it: {text}"),
            Self::Local(text) => f.write_str(text),
            Self::NotDecoded(text) => write!(f, "it came and does not decode: {text}"),
        }
    }
}

impl std::error::Error for Error {}

/// What a handler answers instead of a reply: the caller sees it as [`Error::Remote`] with the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// A fault with a text for the caller.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl<E: fmt::Display> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
