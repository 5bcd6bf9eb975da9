//! Why a session ends, and why a command is not taken: one variant a cause, and who is at fault.

use std::error::Error;
use std::fmt;

use crate::code;

/// A code and a text, as CLOSE, CANCEL, END, STOP and GOODBYE carry them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// See [`code`].
    pub code: u16,
    /// For people; at most 1,024 bytes on the wire.
    pub text: String,
}

impl Reason {
    /// A clean end.
    pub fn none() -> Self {
        Self::default()
    }

    /// A code without words.
    pub fn of(code: u16) -> Self {
        Self { code, text: String::new() }
    }
}

/// Why an acceptor gives a peer that has said hello no session. It is said by a GOODBYE in the place of the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// There is no credential in the hello, a wrong one, or one that has run out since.
    Unauthorized,
    /// The peer is known and may not.
    Forbidden,
    /// Not now; later it may be different.
    Unavailable,
}

impl Denial {
    /// The code that the peer is told.
    pub fn code(self) -> u16 {
        match self {
            Self::Unauthorized => code::UNAUTHORIZED,
            Self::Forbidden => code::REFUSED,
            Self::Unavailable => code::UNAVAILABLE,
        }
    }

    fn of(code: u16) -> Option<Self> {
        [Self::Unauthorized, Self::Forbidden, Self::Unavailable].into_iter().find(|kind| kind.code() == code)
    }
}

/// What the peer did that no peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// An attachment of a kind that does not exist, or is reserved.
    AttachmentKind,
    /// A descriptor beyond what was granted.
    DescriptorBudget,
    /// A message names a descriptor that has not arrived with it.
    DescriptorMissing,
    /// Fields of a frame that must be zero are not, or a flag is not known.
    Field,
    /// More bytes than were granted.
    ByteCredit,
    /// Fragments that do not add up to the message they belong to.
    Fragment,
    /// A frame before the hello, or a second hello.
    Hello,
    /// A field of the hello is missing, twice there or out of order.
    HelloField,
    /// A frame longer than agreed.
    FrameTooLarge,
    /// A frame shorter than its fields.
    FrameTooShort,
    /// A new channel under an id that is in use, or that is not the opener's to give.
    IdNotFree,
    /// A message longer than agreed.
    MessageTooLarge,
    /// A message beyond the channel's capacity or the receivers that wait.
    MessageCredit,
    /// Channels that take more than the session's memory.
    Memory,
    /// Too many pings.
    PingFlood,
    /// A text that is not UTF-8, or too long.
    Text,
    /// More attachments than agreed, or none where some were announced.
    TooManyAttachments,
    /// More channels than agreed.
    TooManyChannels,
    /// A frame names an id that is not in use.
    UnknownId,
    /// A frame of an unknown type that may not be ignored.
    UnknownType(u8),
    /// A frame that only the channel's other end may send.
    WrongEnd,
    /// Credit beyond what the counters hold.
    CreditOverflow,
    /// Data for a stream after its end.
    AfterEnd,
}

impl Misbehaviour {
    /// The code that the peer is told.
    pub fn code(self) -> u16 {
        match self {
            Self::ByteCredit | Self::MessageCredit | Self::CreditOverflow => code::FLOW_CONTROL,
            Self::DescriptorBudget | Self::DescriptorMissing => code::DESCRIPTORS,
            Self::FrameTooLarge => code::FRAME_TOO_LARGE,
            Self::MessageTooLarge => code::MESSAGE_TOO_LARGE,
            Self::Memory => code::MEMORY,
            Self::PingFlood => code::PING_FLOOD,
            Self::TooManyAttachments => code::TOO_MANY_ATTACHMENTS,
            Self::TooManyChannels => code::TOO_MANY_CHANNELS,
            Self::UnknownId => code::UNKNOWN_ID,
            _ => code::PROTOCOL,
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AttachmentKind => "an attachment of a kind that does not exist, or is reserved",
            Self::DescriptorBudget => "a descriptor beyond what was granted",
            Self::DescriptorMissing => "a message names a descriptor that has not arrived with it",
            Self::Field => "fields of a frame that must be zero are not, or a flag is not known",
            Self::ByteCredit => "more bytes than were granted",
            Self::Fragment => "fragments that do not add up to the message they belong to",
            Self::Hello => "a frame before the hello, or a second hello",
            Self::HelloField => "a field of the hello is missing, twice there or out of order",
            Self::FrameTooLarge => "a frame longer than agreed",
            Self::FrameTooShort => "a frame shorter than its fields",
            Self::IdNotFree => {
                "a new channel under an id that is in use, or that is not the opener's to give"
            }
            Self::MessageTooLarge => "a message longer than agreed",
            Self::MessageCredit => "a message beyond the channel's capacity or the receivers that wait",
            Self::Memory => "channels that take more than the session's memory",
            Self::PingFlood => "too many pings",
            Self::Text => "a text that is not UTF-8, or too long",
            Self::TooManyAttachments => "more attachments than agreed, or none where some were announced",
            Self::TooManyChannels => "more channels than agreed",
            Self::UnknownId => "a frame names a channel that never was",
            Self::UnknownType(number) => {
                return write!(f, "a frame of an unknown type that may not be ignored: {number}");
            }
            Self::WrongEnd => "a frame that only the channel's other end may send",
            Self::CreditOverflow => "credit beyond what the counters hold",
            Self::AfterEnd => "data for a stream after its end",
        })
    }
}

impl Error for Misbehaviour {}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// This side had let the peer in for a time that is over; the text is what the peer was told. The peer's own error is
    /// [`PeerClosed`](Self::PeerClosed), whose [`denial`](Self::denial) is [`Denial::Unauthorized`].
    AdmissionOver(String),
    /// Both sides said goodbye, or this side closed it.
    Closed,
    /// The peer's hello did not come in time.
    HelloTimeout,
    /// The link failed; the text is the system's.
    Link(String),
    /// The link ended without a goodbye.
    Lost,
    /// What this side says of itself does not fit a hello: keys have at most 255 bytes, values and all of it 65,535.
    MetadataTooLong,
    /// The two sides have no codec in common.
    NoCommonCodec,
    /// The other side does not speak libchan: its first bytes.
    NotLibchan {
        /// At most eight bytes.
        first_bytes: Vec<u8>,
    },
    /// The peer says that we did something wrong, or ended the session with an error.
    PeerClosed(Reason),
    /// The peer broke a rule.
    PeerMisbehaved(Misbehaviour),
    /// The peer does not read what it asks for.
    PeerNotReading,
    /// Nothing was heard of the peer for too long.
    PeerSilent,
    /// The peer speaks another version.
    UnsupportedVersion(u8),
}

impl SessionError {
    /// The peer gave no session because of who asked for it, or has ended the session for that: which way, and its words.
    pub fn denial(&self) -> Option<(Denial, &str)> {
        match self {
            Self::PeerClosed(reason) => Some((Denial::of(reason.code)?, &reason.text)),
            _ => None,
        }
    }

    /// What the peer is told, if anything.
    pub fn code(&self) -> u16 {
        match self {
            Self::Closed | Self::Link(_) | Self::Lost | Self::MetadataTooLong | Self::PeerClosed(_) => {
                code::NONE
            }
            Self::AdmissionOver(_) => code::UNAUTHORIZED,
            Self::HelloTimeout => code::HELLO_TIMEOUT,
            Self::NoCommonCodec => code::NO_COMMON_CODEC,
            Self::NotLibchan { .. } => code::PROTOCOL,
            Self::PeerMisbehaved(what) => what.code(),
            Self::PeerNotReading => code::PEER_NOT_READING,
            Self::PeerSilent => code::PEER_SILENT,
            Self::UnsupportedVersion(_) => code::UNSUPPORTED_VERSION,
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdmissionOver(text) => write!(f, "this side has ended the session: {text}"),
            Self::Closed => f.write_str("the session was closed"),
            Self::HelloTimeout => f.write_str("the peer did not say hello in time"),
            Self::Link(text) => write!(f, "the link failed: {text}"),
            Self::Lost => f.write_str("the link ended without a goodbye"),
            Self::MetadataTooLong => f.write_str(
                "the session's metadata does not fit a hello: keys have at most 255 bytes, values and all of it 65,535; \
                 send long credentials in a message",
            ),
            Self::NoCommonCodec => f.write_str("the two sides have no codec in common"),
            Self::NotLibchan { first_bytes } => {
                write!(
                    f,
                    "the other side does not speak libchan: it began with \"{}\"",
                    first_bytes.escape_ascii()
                )
            }
            Self::PeerClosed(reason) if reason.text.is_empty() => {
                write!(f, "the peer ended the session: {}", code::describe(reason.code))
            }
            Self::PeerClosed(reason) => write!(f, "the peer ended the session: {}", reason.text),
            Self::PeerMisbehaved(Misbehaviour::DescriptorMissing) => f.write_str(
                "a descriptor did not arrive with its message: what forwards the link (ssh -L, socat) passes bytes \
                 alone; set Limits::max_descriptors to 0, and descriptors travel as streams",
            ),
            Self::PeerMisbehaved(what) => write!(f, "the peer broke a rule of the protocol: {what}"),
            Self::PeerNotReading => f.write_str("the peer does not read what it asks for"),
            Self::PeerSilent => f.write_str("nothing was heard of the peer for too long"),
            Self::UnsupportedVersion(version) => {
                write!(f, "the peer speaks version {version} of the protocol, this side version 1")
            }
        }
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::PeerMisbehaved(what) => Some(what),
            _ => None,
        }
    }
}

impl From<Misbehaviour> for SessionError {
    fn from(what: Misbehaviour) -> Self {
        Self::PeerMisbehaved(what)
    }
}

/// Why a channel or stream cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// [`Limits::session_memory`](crate::Limits::session_memory) of one of the sides would be passed.
    Memory,
    /// The name and metadata do not fit a frame.
    NameTooLong,
    /// The session is over or closing.
    SessionOver,
    /// [`Limits::max_channels`](crate::Limits::max_channels) would be passed.
    TooManyChannels,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "the session's memory is used up (Limits::session_memory)",
            Self::NameTooLong => "the name and metadata do not fit a frame",
            Self::SessionOver => "the session is over",
            Self::TooManyChannels => "too many channels are open (Limits::max_channels)",
        })
    }
}

impl Error for OpenError {}

/// Why a message was not taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The channel has a backlog that goes first.
    Backlog,
    /// Too much waits to be written.
    Congested,
    /// No bytes are granted.
    Credit,
    /// No descriptors are granted.
    Descriptors,
    /// The receiver or the session is gone.
    Gone,
    /// The channel holds as many messages as it may.
    Room,
    /// The message that names the channel has not been sent.
    Unannounced,
}

/// Why a stream takes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// This side ended it.
    Finished,
    /// The session is over.
    Lost,
    /// The peer reads no more.
    Stopped(Reason),
}
