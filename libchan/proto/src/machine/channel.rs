//! How a channel stands: what the layer above sets, and what it asks.

use super::{Machine, RecvStatus, SendStatus};
use crate::Key;
use crate::code;
use crate::credit::Window;
use crate::entry::{Cancel, Close, Demand, Entry, Last, RecvHalf, Scope, SendHalf, Turn};
use crate::error::Reason;

impl Machine {
    /// Whether direct sends must wait for a backlog.
    pub fn set_backlog(&mut self, key: Key, on: bool) {
        if let Some(half) = self.entries.send(key) {
            half.backlog = on;
        }
    }

    /// Whether the receiver is the only one, so that it may hold a channel's worth of messages.
    pub fn set_sole(&mut self, key: Key, sole: bool) {
        if let Some(half) = self.entries.send(key) {
            half.sole = sole;
        }
    }

    /// Whether [`Event::Taken`](super::Event::Taken) is wanted.
    pub fn track_taken(&mut self, key: Key, on: bool) {
        if let Some(half) = self.entries.send(key) {
            half.track = on;
        }
    }

    /// Asks for [`Event::Writable`](super::Event::Writable) when more may be sent.
    pub fn watch(&mut self, key: Key) {
        if let Some(half) = self.entries.send(key) {
            half.watched = true;
        }
    }

    /// How many messages may be sent by the window rule, credit in bytes aside. 0 where there is no such entry.
    pub fn send_room(&self, key: Key) -> u32 {
        match self.entries.get(key) {
            Entry::Send(half) if !half.closed => half.room(),
            _ => 0,
        }
    }

    /// How a sending entry stands; an entry that is gone says that it is cancelled.
    pub fn send_status(&self, key: Key) -> SendStatus {
        let Entry::Send(half) = self.entries.get(key) else {
            let cancelled = Some(Cancel { scope: Scope::End, reason: Reason::of(code::DISCONNECTED) });
            return SendStatus { cancelled, ..SendStatus::default() };
        };
        SendStatus {
            room: half.room(),
            demand: half.demand(),
            untaken: half.sent.wrapping_sub(half.taken),
            byte_credit: i64::from(half.credit),
            cancelled: half.cancelled().cloned(),
        }
    }

    /// Whether one message was sent on a channel that the peer has given us.
    pub fn has_begun_reply(&self, key: Key) -> bool {
        matches!(self.entries.get(key), Entry::Send(half) if !half.own && half.sent == 1)
    }

    /// Whether the receiver of a sending entry takes no more. Of a receiving entry: false, unless it is gone.
    pub fn is_cancelled(&self, key: Key) -> bool {
        match self.entries.get(key) {
            Entry::Send(half) => half.cancelled().is_some(),
            Entry::Free => true,
            _ => false,
        }
    }

    /// How a receiving entry stands.
    pub fn recv_status(&self, key: Key) -> RecvStatus {
        let Entry::Recv(half) = self.entries.get(key) else {
            let reason = Some(Reason::of(code::DISCONNECTED));
            return RecvStatus { waiting: 0, closed: Some(Close { scope: Scope::End, reason }) };
        };
        let waiting = half.inbox.as_ref().map_or(0, |inbox| inbox.len());
        let clean = half.clean.then_some(Close { scope: Scope::End, reason: None });
        let close = clean.or_else(|| half.rare.as_ref().and_then(|rare| rare.close.as_deref().cloned()));
        RecvStatus { waiting, closed: close.filter(|_| half.holds() == 0) }
    }

    /// Whether the sender of the channel has nothing left to start a message with.
    pub fn sender_starved(&self, key: Key) -> bool {
        matches!(self.entries.get(key), Entry::Recv(half) if !half.closed && half.is_starved(self.floor))
    }
}

impl SendHalf {
    pub(crate) fn new(id: u32, own: bool, capacity: u32, sole: bool, window: u32) -> Self {
        Self {
            id,
            capacity,
            sent: 0,
            taken: 0,
            wanted: 0,
            credit: window as i32,
            own,
            announced: !own,
            sole,
            backlog: false,
            track: false,
            watched: false,
            closed: false,
            last: Last::Unsaid,
            lined: false,
            turn: Turn::default(),
            pins: 0,
            rare: None,
        }
    }
}

impl RecvHalf {
    /// `announced`: the peer knows of it, because it has made it.
    pub(crate) fn new(id: u32, announced: bool, capacity: u32, on_demand: bool, window: u32) -> Self {
        Self {
            id,
            capacity,
            untold: 0,
            owed: 0,
            window: Window::new(window),
            announced,
            on_demand,
            closed: false,
            clean: false,
            cancelled: false,
            due: false,
            starving: false,
            awaited: false,
            inbox: None,
            rare: None,
        }
    }

    /// How much to add to what was announced, so that no more is on its way than waits.
    pub(crate) fn want_increment(&self) -> u32 {
        let Demand { asked, waiting } = self.demand();
        // What waits in the inbox is for some of them, and so is a message that has begun.
        let waits = self.inbox.as_ref().map_or(0, |inbox| inbox.len()) as i32;
        let arrived = waits + i32::from(self.is_arriving());
        (waiting as i32).saturating_sub(arrived).saturating_sub(asked.max(0)).max(0) as u32
    }

    /// So many receives wait now.
    pub(crate) fn want(&mut self, waiting: u32) {
        if self.serves_demand() {
            self.rare().demand.waiting = waiting;
        }
    }

    /// What is asked for beyond what was.
    pub(crate) fn ask(&mut self, more: u32) {
        if more > 0 {
            let demand = &mut self.rare().demand;
            demand.asked = demand.asked.wrapping_add_unsigned(more);
        }
    }
}
