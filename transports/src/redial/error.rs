//! What can go wrong with a redial: with all of it, with a message, with a call.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use libchan::{Cut, OpenError, RecvError, SendFailure};

use crate::error::DialError;

/// Why a [`Redial`](super::Redial) dials no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedialError {
    /// It was made without any URL.
    NoAddress,
    /// A dial failed for a reason that no further dial can mend: [`DialError::is_final`].
    GaveUp {
        /// What was dialed.
        url: Arc<str>,
        /// Why there is no session.
        error: Arc<DialError>,
    },
    /// [`Redial::close`](super::Redial::close) was called.
    Closed,
    /// Its last handle was dropped, or the runtime that its task was on is gone.
    Stopped,
}

impl fmt::Display for RedialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("there is no URL to dial: give Redial::with at least one"),
            Self::GaveUp { url, error } => {
                write!(f, "gave up, as dialing {url} again would fail again: {error}")
            }
            Self::Closed => f.write_str("the redial was closed"),
            Self::Stopped => f.write_str("the redial's last handle or its runtime is gone"),
        }
    }
}

impl Error for RedialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::GaveUp { error, .. } => Some(error),
            Self::NoAddress | Self::Closed | Self::Stopped => None,
        }
    }
}

/// A value that a [`RedialSender`](super::RedialSender) has not sent, and why.
pub struct RedialSendError<T> {
    /// The value, whole unless `reason` says that it had left.
    pub value: T,
    /// Why it was not sent.
    pub reason: RedialFailure,
}

/// Why a [`RedialSender`](super::RedialSender) has not sent a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedialFailure {
    /// The redial is over. The value was not sent.
    Over(RedialError),
    /// The channel cannot be opened on the session. The value was not sent.
    NotOpened(OpenError),
    /// The session was lost while the value was on its way: the peer may have taken it. It is not sent again. The channel ends in
    /// the value are good clones, its streams and descriptors are spent.
    MayHaveBeenTaken(SendFailure),
    /// The session is there, and the channel has not taken the value. It was not sent.
    NotSent(SendFailure),
}

impl RedialFailure {
    /// Whether the application at the other side has certainly not seen the message: sending it again does nothing twice.
    pub fn is_safe_to_retry(&self) -> bool {
        !matches!(self, Self::MayHaveBeenTaken(_))
    }
}

impl fmt::Display for RedialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(why) => write!(f, "not sent: {why}"),
            Self::NotOpened(why) => write!(f, "not sent: {why}"),
            // Its text says that it may have been taken, but where a session was closed.
            Self::MayHaveBeenTaken(why @ SendFailure::Disconnected { outcome_unknown: true, .. }) => {
                why.fmt(f)
            }
            Self::MayHaveBeenTaken(why) => write!(f, "the message may have been taken, or not: {why}"),
            Self::NotSent(why) => write!(f, "not sent: {why}"),
        }
    }
}

impl Error for RedialFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Over(why) => Some(why),
            Self::NotOpened(why) => Some(why),
            Self::MayHaveBeenTaken(why) | Self::NotSent(why) => Some(why),
        }
    }
}

impl<T> RedialSendError<T> {
    /// Drops the value: for `?` into a boxed error when `T` is not `Sync`.
    pub fn into_reason(self) -> RedialFailure {
        self.reason
    }
}

impl<T> fmt::Debug for RedialSendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedialSendError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for RedialSendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> Error for RedialSendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

/// Why a [`RedialSender::call`](super::RedialSender::call) has no answer.
#[non_exhaustive]
pub enum RedialCallError<T> {
    /// The request was not sent; here it is, and why.
    NotSent(RedialSendError<T>),
    /// The request was sent, and its answer did not come: [`RecvError::cut`] tells why, and
    /// [`RecvError::Disconnected`] and [`RecvError::SessionClosed`] that the session was lost first.
    NoAnswer(RecvError),
}

impl<T> RedialCallError<T> {
    /// Whether the application at the other side has certainly not seen the request: asking again does nothing twice. `false`
    /// says that it may have seen it.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::NotSent(error) => error.reason.is_safe_to_retry(),
            Self::NoAnswer(error) => error.cut().is_some_and(Cut::is_safe_to_retry),
        }
    }

    /// The request, if it was not sent.
    pub fn into_request(self) -> Option<T> {
        match self {
            Self::NotSent(error) => Some(error.value),
            Self::NoAnswer(_) => None,
        }
    }

    /// The same error without the request: for `?` into a boxed error when `T` is not `Sync`.
    pub fn without_request(self) -> RedialCallError<()> {
        match self {
            Self::NotSent(RedialSendError { reason, .. }) => {
                RedialCallError::NotSent(RedialSendError { value: (), reason })
            }
            Self::NoAnswer(error) => RedialCallError::NoAnswer(error),
        }
    }
}

impl<T> fmt::Display for RedialCallError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = if self.is_safe_to_retry() { "has not seen" } else { "may have seen" };
        match self {
            Self::NotSent(error) => write!(f, "the request was not answered: {error}"),
            Self::NoAnswer(error) => {
                write!(f, "the request was not answered: {error}; the service {seen} it")
            }
        }
    }
}

impl<T> fmt::Debug for RedialCallError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => f.debug_tuple("NotSent").field(&error.reason).finish(),
            Self::NoAnswer(error) => f.debug_tuple("NoAnswer").field(error).finish(),
        }
    }
}

impl<T> Error for RedialCallError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent(error) => Some(&error.reason),
            Self::NoAnswer(error) => Some(error),
        }
    }
}
