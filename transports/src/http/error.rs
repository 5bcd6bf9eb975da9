//! Errors of dialing over http: what the other side answered instead of a session.

use std::fmt;
use std::time::Duration;

use crate::authorize::Refusal;

/// What an http server answered instead of a session. [`DialError::Http`](crate::DialError::Http) carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// Status 401: no credential, or a wrong one.
    Unauthorized {
        /// What the server said of it; may be empty.
        reason: String,
    },
    /// Status 403: the server knows who we are, and says no.
    Forbidden {
        /// What the server said of it; may be empty.
        reason: String,
    },
    /// Status 404: there is a server, but nothing at this path.
    NotFound,
    /// Status 429 or 503: not now.
    Busy {
        /// Which of the two.
        status: u16,
        /// When to come again, if the server said so.
        retry_after: Option<Duration>,
        /// What the server said of it; may be empty.
        reason: String,
    },
    /// A redirect. It is not followed, because it may lead away from the host that was meant.
    Redirect {
        /// The status, 3xx.
        status: u16,
        /// Where to, if the server said so.
        location: Option<String>,
    },
    /// Any other answer that is no session.
    NotLibchan {
        /// The status.
        status: u16,
        /// The content type of the answer, if it has one.
        content_type: Option<String>,
        /// What the server said of it, if it is a problem report; may be empty.
        reason: String,
    },
    /// The server accepted a WebSocket, but not for libchan.
    WrongSubprotocol,
    /// The other side does not speak the protocol that was asked for.
    NotHttp {
        /// `HTTP/2` or `WebSocket`.
        protocol: &'static str,
        /// What was wrong.
        detail: String,
    },
    /// A header among the options cannot be sent.
    BadRequest {
        /// What was wrong.
        detail: String,
    },
}

impl HttpError {
    /// What an authorize hook, or a proxy before it, has said.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Unauthorized { reason } => Some(Refusal::new(401, reason)),
            Self::Forbidden { reason } => Some(Refusal::new(403, reason)),
            Self::Busy { status, retry_after, reason } => {
                Some(Refusal { retry_after: *retry_after, ..Refusal::new(*status, reason) })
            }
            _ => None,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized { reason } => {
                write!(f, "the server wants a valid credential (401){}", Because(reason))
            }
            Self::Forbidden { reason } => {
                write!(f, "the server refuses this client (403){}", Because(reason))
            }
            Self::NotFound => f.write_str("nothing is served at this path (404); check the path of the URL"),
            Self::Busy { status, retry_after, reason } => {
                write!(f, "the server has no room now ({status}){}", Because(reason))?;
                match retry_after {
                    Some(after) => write!(f, "; try again in {after:?}"),
                    None => f.write_str("; try again later"),
                }
            }
            Self::Redirect { status, location } => match location {
                Some(location) => {
                    write!(f, "the server redirects ({status}) to {location}; dial that if you trust it")
                }
                None => write!(f, "the server redirects ({status}) and does not say where to"),
            },
            Self::NotLibchan { status, content_type, reason } => {
                let kind = content_type.as_deref().unwrap_or("none");
                write!(f, "no libchan answers there: status {status}, content type {kind}{}", Because(reason))
            }
            Self::WrongSubprotocol => {
                f.write_str("a WebSocket server answers there, but it does not select `libchan.v1`")
            }
            Self::NotHttp { protocol, detail } => {
                write!(f, "the other side does not speak {protocol}: {detail}")
            }
            Self::BadRequest { detail } => write!(f, "the request cannot be sent: {detail}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// A reason, if there is one.
struct Because<'a>(&'a str);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}
