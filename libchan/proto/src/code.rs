//! Error codes as they are on the wire (spec/8-errors.md).

/// A clean end, or simply gone.
pub const NONE: u16 = 0;
/// A rule of the protocol was broken.
pub const PROTOCOL: u16 = 1;
/// The peer speaks another version.
pub const UNSUPPORTED_VERSION: u16 = 2;
/// The two sides have no codec in common.
pub const NO_COMMON_CODEC: u16 = 3;
/// A frame is longer than agreed.
pub const FRAME_TOO_LARGE: u16 = 4;
/// A message is longer than agreed.
pub const MESSAGE_TOO_LARGE: u16 = 5;
/// A message carries more than agreed.
pub const TOO_MANY_ATTACHMENTS: u16 = 6;
/// More channels than agreed.
pub const TOO_MANY_CHANNELS: u16 = 7;
/// More was sent than was granted.
pub const FLOW_CONTROL: u16 = 8;
/// A frame names an id that is not in use.
pub const UNKNOWN_ID: u16 = 9;
/// The session's memory would be passed.
pub const MEMORY: u16 = 10;
/// The hello did not come in time.
pub const HELLO_TIMEOUT: u16 = 11;
/// Nothing was heard for too long.
pub const PEER_SILENT: u16 = 12;
/// Too many pings.
pub const PING_FLOOD: u16 = 13;
/// The peer does not read.
pub const PEER_NOT_READING: u16 = 14;
/// More descriptors than granted, or fewer than announced.
pub const DESCRIPTORS: u16 = 15;
/// The hello holds no credential, a wrong one, or one that has run out since.
pub const UNAUTHORIZED: u16 = 16;
/// There is no session now; later there may be.
pub const UNAVAILABLE: u16 = 17;
/// The application refused the channel, or the session.
pub const REFUSED: u16 = 32;
/// Too many channels wait to be accepted.
pub const ACCEPT_QUEUE_FULL: u16 = 33;
/// The channel was closed as a whole, elsewhere.
pub const CLOSED: u16 = 34;
/// A link on the way was lost.
pub const DISCONNECTED: u16 = 35;
/// The channel's receiver is draining: it takes no more.
pub const GOING_AWAY: u16 = 36;
/// The message decoded, and its type has no place for the end.
pub const UNCLAIMED: u16 = 37;
/// The message that held the end did not decode.
pub const NOT_DECODED: u16 = 38;
/// The message that held the end was dropped unread.
pub const NOT_DELIVERED: u16 = 39;
/// The end was dropped while its thread panicked.
pub const PANICKED: u16 = 40;
/// A oneshot ended without a value.
pub const NO_REPLY: u16 = 41;
/// A byte stream was dropped without a shutdown, or a sender that had to finish was dropped unfinished.
pub const ABANDONED: u16 = 42;
/// The end was unfinished when a session on its way closed in good order.
pub const SESSION_CLOSED: u16 = 43;
/// The first code of the application's own.
pub const APPLICATION: u16 = 256;

/// What a code means, for people.
pub fn describe(code: u16) -> &'static str {
    match code {
        NONE => "ended",
        PROTOCOL => "a rule of the protocol was broken",
        UNSUPPORTED_VERSION => "the protocol version is not supported",
        NO_COMMON_CODEC => "the two sides have no codec in common",
        FRAME_TOO_LARGE => "a frame is too large",
        MESSAGE_TOO_LARGE => "a message is too large",
        TOO_MANY_ATTACHMENTS => "a message carries too many attachments",
        TOO_MANY_CHANNELS => "too many channels are open",
        FLOW_CONTROL => "more was sent than was granted",
        UNKNOWN_ID => "a frame names an id that is not in use",
        MEMORY => "the session's memory is used up",
        HELLO_TIMEOUT => "the hello did not come in time",
        PEER_SILENT => "the peer was silent for too long",
        PING_FLOOD => "too many pings",
        PEER_NOT_READING => "the peer does not read",
        DESCRIPTORS => "descriptors do not match what was announced",
        UNAUTHORIZED => "a valid credential is wanted",
        UNAVAILABLE => "no session can be had now",
        REFUSED => "refused",
        ACCEPT_QUEUE_FULL => "too many channels wait to be accepted",
        CLOSED => "the channel was closed",
        DISCONNECTED => "the link was lost",
        GOING_AWAY => "the receiver is draining and takes no more",
        UNCLAIMED => "the type of the message has no place for it",
        NOT_DECODED => "the message that held it did not decode",
        NOT_DELIVERED => "the message that held it was dropped unread",
        PANICKED => "its holder panicked",
        NO_REPLY => "it ended without a reply",
        ABANDONED => "it was dropped before it was finished",
        SESSION_CLOSED => "the session was closed before it was finished",
        APPLICATION.. => "an application error",
        _ => "an unknown error",
    }
}
