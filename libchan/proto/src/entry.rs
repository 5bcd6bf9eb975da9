//! What a machine keeps of one channel end or stream. Idle ones are many, so what is rare lies in a box.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::credit::Window;
use crate::error::Reason;
use crate::frame::Opening;
use crate::inbox::{Attachment, Flaw, Inbox};
use crate::memory::Memory;
use crate::unread::Unread;

/// Who speaks: an end, or for the channel as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This end.
    End,
    /// The channel: every end of it, wherever it is.
    Channel,
}

/// How the sending side of a channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The end, or the channel.
    pub scope: Scope,
    /// `None`: cleanly.
    pub reason: Option<Reason>,
}

/// How the receiving side of a channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The end, or the channel.
    pub scope: Scope,
    /// Why; code 0: simply gone.
    pub reason: Reason,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Free,
    Send(SendHalf),
    Recv(RecvHalf),
    Stream(Box<StreamState>),
}

/// The sending end of a channel.
///
/// ```text
///   unannounced ──message──> open ──CLOSE sent──────> parting ──CANCEL received──> finished
///                             └─────CANCEL received, CLOSE sent at once──────────────┘
/// ```
/// Where the peer gave the id, it is finished as soon as CLOSE was sent. The entry stays for who uses it here.
#[derive(Debug)]
pub(crate) struct SendHalf {
    pub(crate) id: u32,
    pub(crate) capacity: u32,
    pub(crate) sent: u32,
    pub(crate) taken: u32,
    pub(crate) wanted: u32,
    pub(crate) credit: i32,
    pub(crate) own: bool,
    pub(crate) announced: bool,
    pub(crate) sole: bool,
    pub(crate) backlog: bool,
    pub(crate) track: bool,
    /// A send was refused: say when it may succeed.
    pub(crate) watched: bool,
    /// Nobody here uses it any more. CLOSE is sent, or waits behind a large message or a pin.
    pub(crate) closed: bool,
    pub(crate) last: Last,
    /// It stands in the line of those that have something to send, or would have.
    pub(crate) lined: bool,
    pub(crate) turn: Turn,
    /// Messages to come that name it.
    pub(crate) pins: u16,
    pub(crate) rare: Option<Box<RareSend>>,
}

/// How far a sending end has got with its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// CLOSE is not sent.
    Unsaid,
    /// CLOSE is sent: what is left is the receiver's answer.
    Parting,
    /// Finished on the wire; it waits for who uses it here.
    Over,
}

/// What a channel or stream has sent in a round: see `machine/turns.rs`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) round: u16,
    pub(crate) spent: u16,
}

#[derive(Debug, Default)]
pub(crate) struct RareSend {
    pub(crate) large: Option<Large>,
    pub(crate) cancelled: Option<Cancel>,
    /// What to say once the large message is out and no message is to name the entry any more.
    pub(crate) close: Option<Close>,
}

/// A message that leaves in fragments.
#[derive(Debug)]
pub(crate) struct Large {
    /// What is left of its payload, and the length of all of it.
    pub(crate) parts: VecDeque<Bytes>,
    pub(crate) total: usize,
    pub(crate) sent: usize,
    pub(crate) codec: u8,
    pub(crate) flaw: Flaw,
    /// The attachment table and the block of headers as they are on the wire.
    pub(crate) table: Vec<u8>,
    pub(crate) headers: Vec<u8>,
    pub(crate) tokens: Vec<u32>,
    pub(crate) started: bool,
}

/// The receiving end of a channel.
///
/// ```text
///   open ──CLOSE received──> closed (its inbox stays readable) ──cancel──> gone
///    └────CANCEL sent──────> cancelled ──CLOSE received──> gone
/// ```
/// Where the peer gave the id, CLOSE is answered with CANCEL once what had arrived was taken or dropped. What arrives
/// after CANCEL counts for nothing.
#[derive(Debug)]
pub(crate) struct RecvHalf {
    pub(crate) id: u32,
    pub(crate) capacity: u32,
    /// Arrived and not told to be taken, and how many of these were taken.
    pub(crate) untold: u32,
    pub(crate) owed: u32,
    pub(crate) window: Window,
    pub(crate) announced: bool,
    pub(crate) on_demand: bool,
    pub(crate) closed: bool,
    /// Closed cleanly, this end of it: the usual end needs no more to be remembered.
    pub(crate) clean: bool,
    pub(crate) cancelled: bool,
    /// In the list of channels that owe credit.
    pub(crate) due: bool,
    pub(crate) starving: bool,
    /// Somebody waits for the next message.
    pub(crate) awaited: bool,
    pub(crate) inbox: Option<Box<Inbox>>,
    pub(crate) rare: Option<Box<RareRecv>>,
}

#[derive(Debug, Default)]
pub(crate) struct RareRecv {
    pub(crate) partial: Option<Partial>,
    pub(crate) close: Option<Box<Close>>,
    /// What to say once the entry is announced.
    pub(crate) cancel: Option<Box<Cancel>>,
    /// A named channel that waits to be accepted.
    pub(crate) opening: Option<Opening>,
    /// Of a channel that is served on demand.
    pub(crate) demand: Demand,
    /// A large message stands in line for memory.
    pub(crate) lined: bool,
    /// Senders that came home and are not claimed or dropped.
    pub(crate) holds: u32,
}

/// How a receiving end asks for messages one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Announced to the peer, less what has arrived.
    pub(crate) asked: i32,
    /// How many receives wait now.
    pub(crate) waiting: u32,
}

/// A message of which not all has arrived.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) codec: u8,
    pub(crate) flaw: Flaw,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) headers: Vec<u8>,
    /// `None`: a frame is being read into it.
    pub(crate) payload: Option<Memory>,
    /// Payload bytes that have arrived.
    pub(crate) received: usize,
    pub(crate) total: u32,
    /// What the whole of it is charged.
    pub(crate) charge: u32,
}

/// A byte stream: two directions, each ended by its writer (END) and its reader (STOP).
#[derive(Debug)]
pub(crate) struct StreamState {
    pub(crate) id: u32,
    pub(crate) announced: bool,
    // ---- out
    pub(crate) credit: i32,
    pub(crate) unsent: VecDeque<u8>,
    /// END is to follow what is unsent.
    pub(crate) finish: Option<Reason>,
    pub(crate) end_sent: bool,
    pub(crate) stopped: Option<Reason>,
    pub(crate) wants_write: bool,
    /// It stands in the line of those that have something to send.
    pub(crate) lined: bool,
    pub(crate) turn: Turn,
    // ---- in
    pub(crate) window: Window,
    pub(crate) arrived: Unread,
    pub(crate) ended: Option<Reason>,
    pub(crate) stop_sent: bool,
    pub(crate) wants_read: bool,
    /// Nobody here reads any more.
    pub(crate) discard: bool,
    /// What to say of that once the stream is announced.
    pub(crate) stop: Option<Reason>,
    /// It was never announced and never will be.
    pub(crate) abandoned: bool,
    /// Finished on the wire; it waits for who uses it here.
    pub(crate) over: bool,
    pub(crate) due: bool,
}

/// Up to this capacity, what is due is told at once rather than with the next write.
const SMALL_CAPACITY: u32 = 8;

impl RecvHalf {
    pub(crate) fn rare(&mut self) -> &mut RareRecv {
        self.rare.get_or_insert_default()
    }

    /// Gives the memory of what is rare back if nothing is in it, after what happens once. (After a large message the next
    /// one finds it; and where demand is served it is not rare.)
    pub(crate) fn tidy(&mut self) {
        if !self.serves_demand() {
            self.rare.take_if(|rare| rare.is_empty());
        }
    }

    pub(crate) fn holds(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.holds)
    }

    /// Messages that the sender may still start by the window rule, as far as this side knows.
    pub(crate) fn room_left(&self) -> u32 {
        self.capacity.saturating_sub(self.untold)
    }

    /// Whether the sender may have nothing left to start a message with.
    pub(crate) fn is_starved(&self, floor: i32) -> bool {
        (self.room_left() == 0 && !self.serves_demand()) || self.window.left() < floor
    }

    /// Whether the sender has less than a quarter left, or less than what a message may wait for. Of a small capacity that is
    /// any: permits, which this side does not know of, may keep half of it.
    pub(crate) fn is_short(&self, most_waited: i32) -> bool {
        let by_bytes = self.window.left() < (self.window.size() as i32 / 4).max(most_waited);
        let few = if self.capacity <= SMALL_CAPACITY { self.capacity } else { self.capacity.div_ceil(4) };
        by_bytes || (self.room_left() < few && !self.serves_demand())
    }

    pub(crate) fn serves_demand(&self) -> bool {
        self.on_demand || self.capacity == 0
    }

    pub(crate) fn demand(&self) -> Demand {
        self.rare.as_ref().map(|rare| rare.demand).unwrap_or_default()
    }
}

impl RareRecv {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { partial, close, cancel, opening, demand, lined, holds } = self;
        let said = close.is_some() || cancel.is_some() || opening.is_some();
        let none = (*lined, *holds, *demand) == (false, 0, Demand::default());
        none && !said && partial.is_none()
    }
}

impl SendHalf {
    pub(crate) fn rare(&mut self) -> &mut RareSend {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn cancelled(&self) -> Option<&Cancel> {
        self.rare.as_ref()?.cancelled.as_ref()
    }

    pub(crate) fn has_large(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.large.is_some())
    }

    pub(crate) fn room(&self) -> u32 {
        if !self.sole || self.has_large() {
            return 0;
        }
        self.capacity.saturating_sub(self.sent.wrapping_sub(self.taken))
    }

    pub(crate) fn demand(&self) -> u32 {
        if self.has_large() { 0 } else { self.demand_ahead() }
    }

    /// Receives that were announced, less what was sent.
    pub(crate) fn demand_ahead(&self) -> u32 {
        let demand = self.wanted.wrapping_sub(self.sent) as i32;
        demand.max(0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 56);
    }
}
