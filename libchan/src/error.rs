//! What can go wrong, one type an operation, one variant a cause.
//!
//! Errors of sending give the value back. `Debug` and `Display` need nothing of `T`.

use std::error::Error;
use std::fmt;

use libchan_proto::Reason;

pub use libchan_proto::SessionError;

use crate::cut::{Cut, SessionLoss};

/// An error that one side states and the other receives: the argument of `close_with`, the answer of `refuse`.
///
/// Codes from 256 are the application's own; below, they are the protocol's (`spec/8-errors.md`).
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteError {
    code: u16,
    text: String,
}

/// The code of an application error that names none.
const APPLICATION: u16 = 256;
/// The longest text the wire carries, in bytes; longer ones are cut at a character.
const MAX_TEXT: usize = 1024;

impl RemoteError {
    /// The largest code of an application: 65,279. On the wire 256 is added to it.
    pub const MAX_CODE: u16 = u16::MAX - APPLICATION;

    /// An application error. At most 1,024 bytes of the text are kept.
    ///
    /// # Panics
    /// If `code` is above [`MAX_CODE`](Self::MAX_CODE): for a code that the program does not know, there is
    /// [`try_new`](Self::try_new).
    #[track_caller]
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        let max = Self::MAX_CODE;
        assert!(code <= max, "an application's error code is at most {max}, not {code}");
        Self::with_wire_code(code + APPLICATION, text.into())
    }

    /// An application error. `None`: the code is above [`MAX_CODE`](Self::MAX_CODE).
    pub fn try_new(code: u16, text: impl Into<String>) -> Option<Self> {
        Some(Self::with_wire_code(code.checked_add(APPLICATION)?, text.into()))
    }

    pub(crate) fn with_wire_code(code: u16, mut text: String) -> Self {
        if text.len() > MAX_TEXT {
            let cut = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(cut);
        }
        Self { code, text }
    }

    /// The application's code, or `None` if the protocol itself said this.
    pub fn code(&self) -> Option<u16> {
        self.code.checked_sub(APPLICATION)
    }

    /// The code as it is on the wire.
    pub fn wire_code(&self) -> u16 {
        self.code
    }

    /// Why the end was cut short, if the protocol itself said so. `None`: an error of the application.
    pub fn cut(&self) -> Option<Cut> {
        Cut::of(self.code)
    }

    /// What was said, for people.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_reason(self) -> Reason {
        Reason { code: self.code, text: self.text }
    }
}

impl From<Reason> for RemoteError {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code, text: reason.text }
    }
}

impl From<&str> for RemoteError {
    fn from(text: &str) -> Self {
        Self::new(0, text)
    }
}

impl From<String> for RemoteError {
    fn from(text: String) -> Self {
        Self::new(0, text)
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text.is_empty(), self.code()) {
            (false, _) => f.write_str(&self.text),
            (true, Some(code)) => write!(f, "application error {code}"),
            (true, None) => f.write_str(libchan_proto::code::describe(self.code)),
        }
    }
}

impl fmt::Debug for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteError({}: {:?})", self.code, self.text)
    }
}

impl Error for RemoteError {}

/// Why a channel takes no more messages: what [`Sender::closed`](crate::Sender::closed) answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// Every receiver was dropped.
    Dropped,
    /// A receiver refused what was still to come, or was cut short, or somebody closed the channel and said why.
    /// [`RemoteError::cut`] tells these apart.
    Refused(RemoteError),
    /// The channel was closed by one of its senders, here or remote.
    BySender,
    /// The link to the last receiver was lost, or one was lost in a message that did not arrive and the others are gone.
    Disconnected(SessionLoss),
    /// The session that the channel stood on was closed, here or by the peer.
    SessionClosed(SessionLoss),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped => f.write_str("every receiver is gone"),
            Self::Refused(error) => write!(f, "the receiver takes no more: {error}"),
            Self::BySender => f.write_str("a sender closed the channel"),
            Self::Disconnected(loss) => write!(f, "the link to the receiver was lost{}", loss.detail()),
            Self::SessionClosed(_) => {
                f.write_str("the session to the receiver was closed: dial again to send more")
            }
        }
    }
}

impl Error for Closed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Disconnected(loss) | Self::SessionClosed(loss) => loss.source(),
            Self::Dropped | Self::BySender => None,
        }
    }
}

/// A value that was not accepted, and why.
pub struct SendError<T> {
    /// The value, whole unless `reason` says that it had left.
    pub value: T,
    /// Why it was not accepted.
    pub reason: SendFailure,
}

impl<T> SendError<T> {
    pub(crate) fn new(value: T, reason: SendFailure) -> Self {
        Self { value, reason }
    }

    /// Why the value was not accepted.
    pub fn reason(&self) -> &SendFailure {
        &self.reason
    }

    /// Drops the value: for `?` into a boxed error when `T` is not `Sync`.
    pub fn into_reason(self) -> SendFailure {
        self.reason
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> Error for SendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

/// Why a value was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// A byte stream or descriptor in the value is already in a message, or occurs in an operation.
    AttachmentInUse,
    /// The channel takes no more messages.
    Closed(Closed),
    /// The link was lost. `outcome_unknown`: the message had left and may have been taken; the channel ends in
    /// the value are good clones, its streams and descriptors are spent.
    Disconnected {
        /// Whether the message had left.
        outcome_unknown: bool,
        /// What is known of the session.
        loss: SessionLoss,
    },
    /// The value does not encode; the text says where.
    Encode(String),
    /// A nested channel or stream could not be opened: a limit of the session would be passed.
    Limit(String),
    /// A descriptor that is no byte stream cannot cross this transport.
    NotPumpable(String),
    /// The encoded message is longer than the session allows.
    TooLarge {
        /// Encoded size in bytes.
        size: usize,
        /// What the session allows, in bytes.
        limit: usize,
    },
    /// The value holds more channel ends, streams and descriptors than a message may carry.
    TooManyAttachments {
        /// How many it holds.
        count: usize,
        /// What the session allows.
        limit: usize,
    },
}

impl From<Closed> for SendFailure {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Disconnected(loss) => Self::Disconnected { outcome_unknown: false, loss },
            closed => Self::Closed(closed),
        }
    }
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AttachmentInUse => f.write_str("a stream or descriptor in the message is already in use"),
            Self::Closed(closed) => closed.fmt(f),
            Self::Disconnected { outcome_unknown: true, loss } => write!(
                f,
                "the link was lost after the message had left, so it may have been taken{}",
                loss.detail()
            ),
            Self::Disconnected { outcome_unknown: false, loss } => {
                write!(f, "the link was lost before the message left{}", loss.detail())
            }
            Self::Encode(text) => write!(f, "the value cannot be encoded: {text}"),
            Self::Limit(text) => write!(f, "a channel or stream in the message cannot be opened: {text}"),
            Self::NotPumpable(what) => {
                write!(f, "{what} is no byte stream and this transport passes no descriptors")
            }
            Self::TooLarge { size, limit } => {
                write!(f, "the message has {size} bytes, the session allows {limit} (Limits::max_message)")
            }
            Self::TooManyAttachments { count, limit } => {
                write!(f, "the message carries {count} attachments, the session allows {limit}")
            }
        }
    }
}

impl Error for SendFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed(closed) => Some(closed),
            Self::Disconnected { loss, .. } => loss.source(),
            _ => None,
        }
    }
}

/// Why `try_send` did not accept the value, which it gives back.
pub enum TrySendError<T> {
    /// No room now; for a rendezvous, no receiver is waiting.
    Full(T),
    /// It will not be accepted later either.
    Failed(SendError<T>),
}

impl<T> TrySendError<T> {
    /// The value.
    pub fn into_value(self) -> T {
        match self {
            Self::Full(value) => value,
            Self::Failed(error) => error.value,
        }
    }

    /// Whether there was only no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Failed(error) => f.debug_tuple("Failed").field(&error.reason).finish(),
        }
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the channel has no room now"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<T> Error for TrySendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Full(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// One message did not decode as the expected type; the next one is unharmed.
    Decode(String),
    /// The link to a sender was lost; what had arrived was delivered before.
    Disconnected(SessionLoss),
    /// In place of one message that a relay could not forward; the next one is unharmed.
    NotForwarded(String),
    /// In place of one message that its sender could not encode; the next one is unharmed.
    NotEncoded(String),
    /// A sender ended the channel with this error, or was cut short: [`RemoteError::cut`] tells which.
    Remote(RemoteError),
    /// The session that a sender lived on was closed before the sender had ended: a peer that leaves in good order. A server
    /// takes it as the end of this client.
    SessionClosed(SessionLoss),
}

impl RecvError {
    /// Whether the channel is over; otherwise only one message was lost and `recv` may go on.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Disconnected(_) | Self::Remote(_) | Self::SessionClosed(_))
    }

    /// Why the channel was cut short, if the protocol has a code for it.
    pub fn cut(&self) -> Option<Cut> {
        match self {
            Self::Remote(error) => error.cut(),
            _ => None,
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(text) => write!(f, "a message does not decode: {text}"),
            Self::Disconnected(loss) => write!(f, "the link to the sender was lost{}", loss.detail()),
            Self::NotForwarded(text) => write!(f, "a relay could not forward a message: {text}"),
            Self::NotEncoded(text) => write!(f, "the sender could not encode a message: {text}"),
            Self::Remote(error) if error.cut().is_some() => write!(f, "the channel was cut short: {error}"),
            Self::Remote(error) => write!(f, "the sender ended the channel: {error}"),
            Self::SessionClosed(loss) => {
                write!(f, "the session was closed before the sender had ended{}", loss.detail())
            }
        }
    }
}

impl Error for RecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Remote(error) => Some(error),
            Self::Disconnected(loss) | Self::SessionClosed(loss) => loss.source(),
            Self::Decode(_) | Self::NotForwarded(_) | Self::NotEncoded(_) => None,
        }
    }
}

/// Why `try_recv` has no message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// None waits now.
    Empty,
    /// The channel has ended cleanly.
    Ended,
    /// What `recv` would have said.
    Failed(RecvError),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message waits"),
            Self::Ended => f.write_str("the channel has ended"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for TryRecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Empty | Self::Ended => None,
        }
    }
}

/// Why [`Session::close`](crate::Session::close) and [`flush`](crate::Session::flush) cannot say that the peer has everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseError {
    /// The time was over before all that was accepted had been handed to the peer's library. What was left is lost: its
    /// channels and streams were told that the session was closed.
    NotHandedOver,
    /// The session was lost, before or meanwhile. What the peer's library has not got is lost with it.
    Session(SessionError),
}

impl From<SessionError> for CloseError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHandedOver => f.write_str(
                "the time was over before the peer had taken all that was accepted, and the rest is lost \
                 (SessionOptions::close_timeout)",
            ),
            Self::Session(error) => write!(f, "the session was lost before the peer had everything: {error}"),
        }
    }
}

impl Error for CloseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotHandedOver => None,
            Self::Session(error) => Some(error),
        }
    }
}

/// Why a channel could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// A limit of the session would be passed; the text names it.
    Limit(String),
    /// The name or the metadata is too long.
    NameTooLong,
    /// The session is over or closing.
    SessionOver(SessionError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(text) => write!(f, "no channel can be opened: {text}"),
            Self::NameTooLong => f.write_str("the channel's name and metadata do not fit a frame"),
            Self::SessionOver(error) => write!(f, "the session is over: {error}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::SessionOver(error) => Some(error),
            Self::Limit(_) | Self::NameTooLong => None,
        }
    }
}
