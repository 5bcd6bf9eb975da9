//! What a side is willing to accept. Every limit bounds something that a peer controls.

use std::time::Duration;

/// The limits of one side; of two sides' the smaller wins. Those marked *local* are not told to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame, in bytes without its header; 64 KiB. Stops a peer from making us buffer without end before
    /// anything can be checked.
    pub max_frame: u32,
    /// The longest message payload, in bytes; 16 MiB. Stops one message from taking the session's memory.
    pub max_message: u32,
    /// The most attachments of a message, 253 at the most, and what the first window covers; 64. Stops a small frame from
    /// opening many channels.
    pub max_attachments: u32,
    /// The most channels and streams that each side may have opened at once; 65,536. Stops table growth.
    pub max_channels: u32,
    /// The most named channels that wait to be accepted; 256. Stops a peer that opens faster than we accept.
    pub max_pending_accepts: u32,
    /// The bytes that each channel may hold from its start; 2 KiB, at least 512. Small, so that a hundred thousand idle
    /// channels are affordable: what a side opens is charged this, within a quarter of
    /// [`session_memory`](Self::session_memory).
    pub initial_window: u32,
    /// The bytes that each direction of a stream may hold from its start; 16 KiB.
    pub stream_window: u32,
    /// All that may wait here unread, in bytes; 512 MiB: a quarter each for what this side has opened, what the
    /// peer has opened, windows that grow, large messages. Stops a peer from filling our memory through many channels.
    pub session_memory: u32,
    /// Descriptors that may be on their way to us at once; 253. 0 switches their passing off: then they travel as
    /// streams, as on links that pass none, where this is 0 whatever is set. Stops descriptor floods.
    pub max_descriptors: u32,
    /// *Local.* The most that one channel's window grows to, in bytes; 8 MiB.
    pub max_window: u32,
    /// *Local.* The longest hello, in bytes; 16 KiB.
    pub max_hello: u32,
    /// *Local.* How long the hello may take; 10 s. Stops peers that connect and say nothing.
    pub hello_timeout: Duration,
    /// *Local.* Control bytes that may wait to be written; 1 MiB. Stops a peer that asks and never reads.
    pub max_control_bytes: u32,
    /// *Local.* Pings accepted within 5 s; 100. Stops ping floods.
    pub max_pings: u32,
    /// *Local.* A side that has sent nothing for so long pings; 15 s, because proxies cut silent connections from
    /// 50 s on.
    pub ping_after: Duration,
    /// *Local.* A peer that was not heard for so long is dead; 45 s.
    pub dead_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: 64 * 1024,
            max_message: 16 * 1024 * 1024,
            max_attachments: 64,
            max_channels: 65_536,
            max_pending_accepts: 256,
            initial_window: 2048,
            stream_window: 16 * 1024,
            session_memory: 512 * 1024 * 1024,
            max_descriptors: MAX_ATTACHMENTS,
            max_window: 8 * 1024 * 1024,
            max_hello: 16 * 1024,
            hello_timeout: Duration::from_secs(10),
            max_control_bytes: 1024 * 1024,
            max_pings: 100,
            ping_after: Duration::from_secs(15),
            dead_after: Duration::from_secs(45),
        }
    }
}

/// A setter that is named as its field.
macro_rules! setters {
    ($($field:ident: $type:ty, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[must_use]
        pub const fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )*};
}

/// To state some limits and leave the others: `Limits::default().max_message(1 << 20).max_channels(100)`.
impl Limits {
    setters! {
        max_frame: u32, "Sets [`max_frame`](Self#structfield.max_frame).";
        max_message: u32, "Sets [`max_message`](Self#structfield.max_message).";
        max_attachments: u32, "Sets [`max_attachments`](Self#structfield.max_attachments).";
        max_channels: u32, "Sets [`max_channels`](Self#structfield.max_channels).";
        max_pending_accepts: u32, "Sets [`max_pending_accepts`](Self#structfield.max_pending_accepts).";
        initial_window: u32, "Sets [`initial_window`](Self#structfield.initial_window).";
        stream_window: u32, "Sets [`stream_window`](Self#structfield.stream_window).";
        session_memory: u32, "Sets [`session_memory`](Self#structfield.session_memory).";
        max_descriptors: u32, "Sets [`max_descriptors`](Self#structfield.max_descriptors).";
        max_window: u32, "Sets [`max_window`](Self#structfield.max_window).";
        max_hello: u32, "Sets [`max_hello`](Self#structfield.max_hello).";
        hello_timeout: Duration, "Sets [`hello_timeout`](Self#structfield.hello_timeout).";
        max_control_bytes: u32, "Sets [`max_control_bytes`](Self#structfield.max_control_bytes).";
        max_pings: u32, "Sets [`max_pings`](Self#structfield.max_pings).";
        ping_after: Duration, "Sets [`ping_after`](Self#structfield.ping_after).";
        dead_after: Duration, "Sets [`dead_after`](Self#structfield.dead_after).";
    }
}

/// The smallest values that the protocol works with.
const MIN_FRAME: u32 = 4096;
const MIN_WINDOW: u32 = 512;
const MIN_STREAM_WINDOW: u32 = 256;
/// The longest block of headers, with what every message is charged: the part of a first window that attachments leave.
const FIXED: u32 = 320;
/// What one `sendmsg` can carry on Linux.
const MAX_ATTACHMENTS: u32 = 253;

impl Limits {
    /// No limit at all: what a transport keeps that keeps none.
    pub const fn unlimited() -> Self {
        Self {
            max_frame: u32::MAX,
            max_message: u32::MAX,
            max_attachments: u32::MAX,
            max_channels: u32::MAX,
            max_pending_accepts: u32::MAX,
            initial_window: u32::MAX,
            stream_window: u32::MAX,
            session_memory: u32::MAX,
            max_descriptors: u32::MAX,
            max_window: u32::MAX,
            max_hello: u32::MAX,
            hello_timeout: Duration::MAX,
            max_control_bytes: u32::MAX,
            max_pings: u32::MAX,
            ping_after: Duration::MAX,
            dead_after: Duration::MAX,
        }
    }

    /// The values that a hello may state: what is out of range is brought into it.
    #[must_use]
    pub fn sane(mut self) -> Self {
        self.max_frame = self.max_frame.clamp(MIN_FRAME, 0x00ff_ffff);
        self.initial_window = self.initial_window.clamp(MIN_WINDOW, i32::MAX as u32 / 4);
        self.max_attachments =
            self.max_attachments.min(MAX_ATTACHMENTS).min((self.initial_window - FIXED) / 16);
        self.max_descriptors = self.max_descriptors.min(MAX_ATTACHMENTS);
        self.stream_window = self.stream_window.clamp(MIN_STREAM_WINDOW, i32::MAX as u32 / 4);
        self.max_window = self.max_window.clamp(self.initial_window, i32::MAX as u32 / 4);
        self
    }

    /// More than what any message is charged beside its payload, and the most that a sender may wait for before it starts
    /// a message that is to be cut.
    pub(crate) fn floor(&self) -> u32 {
        33 + 255 + 16 * self.max_attachments
    }

    /// What holds between two sides: the smaller of each, the local ones ours.
    #[must_use]
    pub fn agree(&self, peer: &Self) -> Self {
        let session_memory = self.session_memory.min(peer.session_memory);
        let initial_window = self.initial_window.min(peer.initial_window).max(MIN_WINDOW);
        Self {
            max_frame: self.max_frame.min(peer.max_frame),
            // A message that could not be reserved for would wait for ever.
            max_message: self.max_message.min(peer.max_message).min(session_memory / 4),
            max_attachments: self
                .max_attachments
                .min(peer.max_attachments)
                .min((initial_window - FIXED) / 16),
            max_channels: self.max_channels.min(peer.max_channels),
            max_pending_accepts: self.max_pending_accepts.min(peer.max_pending_accepts),
            initial_window,
            stream_window: self.stream_window.min(peer.stream_window),
            session_memory,
            max_descriptors: self.max_descriptors.min(peer.max_descriptors),
            ..self.clone()
        }
    }
}
