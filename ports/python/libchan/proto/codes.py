"""Error codes: spec/8-errors.md."""

NONE = 0
PROTOCOL = 1
UNSUPPORTED_VERSION = 2
NO_COMMON_CODEC = 3
FRAME_TOO_LARGE = 4
MESSAGE_TOO_LARGE = 5
TOO_MANY_ATTACHMENTS = 6
TOO_MANY_CHANNELS = 7
FLOW_CONTROL = 8
UNKNOWN_ID = 9
MEMORY = 10
HELLO_TIMEOUT = 11
PEER_SILENT = 12
PING_FLOOD = 13
PEER_NOT_READING = 14
DESCRIPTORS = 15
UNAUTHORIZED = 16
UNAVAILABLE = 17
REFUSED = 32
ACCEPT_QUEUE_FULL = 33
CLOSED = 34
DISCONNECTED = 35
GOING_AWAY = 36
UNCLAIMED = 37
NOT_DECODED = 38
NOT_DELIVERED = 39
PANICKED = 40
NO_REPLY = 41
ABANDONED = 42
SESSION_CLOSED = 43

#: The application's code c travels as APPLICATION + c.
APPLICATION = 256

_TEXTS = {
    PROTOCOL: "a rule of the protocol was broken",
    UNSUPPORTED_VERSION: "another version of the protocol",
    NO_COMMON_CODEC: "the two sides have no codec in common",
    FRAME_TOO_LARGE: "a frame was too large",
    MESSAGE_TOO_LARGE: "a message was too large",
    TOO_MANY_ATTACHMENTS: "a message carried too many attachments",
    TOO_MANY_CHANNELS: "too many channels are open",
    FLOW_CONTROL: "more was sent than granted",
    UNKNOWN_ID: "a frame named a channel that never was",
    MEMORY: "the session's memory is used up",
    HELLO_TIMEOUT: "no hello in time",
    PEER_SILENT: "nothing was heard for too long",
    PING_FLOOD: "too many pings",
    PEER_NOT_READING: "what was asked for is not read",
    DESCRIPTORS: "more descriptors than granted, or fewer than announced",
    UNAUTHORIZED: "a valid credential is wanted",
    UNAVAILABLE: "no session can be had now",
    REFUSED: "nobody accepted the channel",
    ACCEPT_QUEUE_FULL: "too many channels wait to be accepted",
    CLOSED: "a sender closed the channel",
    DISCONNECTED: "a link was lost",
    GOING_AWAY: "the receiver is draining and takes no more",
    UNCLAIMED: "the type of the message has no place for it",
    NOT_DECODED: "the message that held it did not decode",
    NOT_DELIVERED: "the message that held it was dropped unread",
    PANICKED: "its holder panicked",
    NO_REPLY: "it ended without a reply",
    ABANDONED: "it was dropped before it was finished",
    SESSION_CLOSED: "the session was closed before it was finished",
}


def describe(code: int) -> str:
    """What a code means, for people."""
    if code >= APPLICATION:
        return f"application error {code - APPLICATION}"
    return _TEXTS.get(code, f"error {code}")
