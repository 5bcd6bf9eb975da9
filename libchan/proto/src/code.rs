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
/// A frame names a channel that never was.
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
/// The hello holds no credential, or a wrong one.
pub const UNAUTHORIZED: u16 = 16;
/// There is no session now; later there may be.
pub const UNAVAILABLE: u16 = 17;
/// The application refused the channel, or the session.
pub const REFUSED: u16 = 32;
/// Too many channels wait to be accepted.
pub const ACCEPT_QUEUE_FULL: u16 = 33;
/// The channel was closed as a whole, elsewhere.
pub const CLOSED: u16 = 34;
/// A relay lost its link, or a message could not be sent before the session closed.
pub const DISCONNECTED: u16 = 35;
/// The session is closing.
pub const GOING_AWAY: u16 = 36;
/// The end was not claimed by the message's receiver.
pub const UNCLAIMED: u16 = 37;
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
        UNKNOWN_ID => "a frame names a channel that never was",
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
        GOING_AWAY => "the session is closing",
        UNCLAIMED => "nobody claimed the end",
        APPLICATION.. => "an application error",
        _ => "an unknown error",
    }
}
