//! Codes and their names (spec/8-errors.md).

const NAMES: [(&str, u16); 30] = [
    ("NONE", 0),
    ("PROTOCOL", 1),
    ("UNSUPPORTED_VERSION", 2),
    ("NO_COMMON_CODEC", 3),
    ("FRAME_TOO_LARGE", 4),
    ("MESSAGE_TOO_LARGE", 5),
    ("TOO_MANY_ATTACHMENTS", 6),
    ("TOO_MANY_CHANNELS", 7),
    ("FLOW_CONTROL", 8),
    ("UNKNOWN_ID", 9),
    ("MEMORY", 10),
    ("HELLO_TIMEOUT", 11),
    ("PEER_SILENT", 12),
    ("PING_FLOOD", 13),
    ("PEER_NOT_READING", 14),
    ("DESCRIPTORS", 15),
    ("UNAUTHORIZED", 16),
    ("UNAVAILABLE", 17),
    ("REFUSED", 32),
    ("ACCEPT_QUEUE_FULL", 33),
    ("CLOSED", 34),
    ("DISCONNECTED", 35),
    ("GOING_AWAY", 36),
    ("UNCLAIMED", 37),
    ("NOT_DECODED", 38),
    ("NOT_DELIVERED", 39),
    ("PANICKED", 40),
    ("NO_REPLY", 41),
    ("ABANDONED", 42),
    ("SESSION_CLOSED", 43),
];

/// The receiver of a named channel drains.
pub(super) const GOING_AWAY: u16 = 36;
/// The message that held the end was dropped unread.
pub(super) const NOT_DELIVERED: u16 = 39;

/// The number of a code.
pub(super) fn number(name: &str) -> Option<u16> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
