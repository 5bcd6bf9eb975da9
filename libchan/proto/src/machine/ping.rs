//! A ping on demand: its answer says that the peer has handled all that was sent before.

use super::Machine;
use crate::entry::Entry;
use crate::frame::{self, Type};

impl Machine {
    /// Sends a ping behind all that was sent. [`Event::Pong`](super::Event::Pong) has its number. A peer takes no more than its
    /// `max_pings` in five seconds.
    pub fn ping(&mut self) -> u64 {
        self.clock.next_ping += 1;
        let number = self.clock.next_ping;
        self.control_frame(|out| frame::eight(out, Type::Ping, number.to_be_bytes()));
        self.urgent = true;
        number
    }

    /// Whether something that was accepted has not left yet: a message or a part of one, or bytes of a stream.
    pub fn has_unsent(&self) -> bool {
        self.entries.keys().into_iter().any(|key| match self.entries.get(key) {
            Entry::Send(half) => half.has_large(),
            Entry::Stream(stream) => !stream.unsent.is_empty() && stream.stopped.is_none(),
            Entry::Recv(_) | Entry::Free => false,
        })
    }
}
