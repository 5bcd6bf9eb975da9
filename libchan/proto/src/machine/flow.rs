//! Credit: what was taken and is wanted here, and what the peer says of it.

use super::{Event, Machine};
use crate::Key;
use crate::entry::{Entry, RecvHalf};
use crate::error::{Misbehaviour, SessionError};
use crate::frame::{MOST_CAPACITY, Reader};

impl Machine {
    /// The application has taken `messages` with this charge in all. True: credit is due, flush. A relay reports the
    /// charge when it forwards and the messages when they are taken at the far end.
    pub fn taken(&mut self, key: Key, messages: u32, charge: u32) -> bool {
        let floor = self.floor;
        let Some(half) = self.entries.recv(key) else { return false };
        match half.take(messages, charge, floor) {
            Some(freed) => self.settle(key, freed),
            None => false,
        }
    }

    /// What follows if more does than counting: `freed` bytes of the extra grant are no longer needed. True: credit is due.
    pub(super) fn settle(&mut self, key: Key, freed: u32) -> bool {
        let Some(half) = self.entries.recv(key) else { return false };
        if !half.closed {
            let arriving = half.is_arriving();
            self.beyond.fit(&mut half.window, self.limits.max_window, arriving);
        }
        if freed > 0 {
            self.beyond.release(freed);
            self.serve_line();
        }
        self.line_up(key);
        self.mark_due(key)
    }

    /// So many receives wait now: a level, not a count of calls. True: something is to be sent.
    pub fn want(&mut self, key: Key, waiting: u32) -> bool {
        let Some(half) = self.entries.recv(key) else { return false };
        half.want(waiting);
        self.line_up(key);
        self.mark_due(key)
    }

    /// Whether somebody waits for the channel's next message, until one arrives: only then a message that is larger than
    /// its window is granted memory. (So does who announces that receives wait, by [`want`](Self::want).)
    pub fn set_awaited(&mut self, key: Key, on: bool) {
        let Some(half) = self.entries.recv(key) else { return };
        let begins = on && !half.awaited && half.inbox.as_ref().is_none_or(|inbox| inbox.is_empty());
        half.awaited = begins || (on && half.awaited);
        self.line_up(key);
    }

    /// Puts the channel on the list of those that owe credit, if it does.
    pub(super) fn mark_due(&mut self, key: Key) -> bool {
        let (floor, most_waited) = (self.floor, self.most_waited());
        let Some(half) = self.entries.recv(key) else { return false };
        let owes = half.owes(floor);
        if owes {
            self.urgent |= half.serves_demand() || half.is_short(most_waited);
            if !std::mem::replace(&mut half.due, true) {
                self.due.push(key);
            }
        }
        owes
    }

    /// The most credit that a sender waits for: before a message that is to be cut, and for one that is not.
    pub(super) fn most_waited(&self) -> i32 {
        self.floor.max(self.limits.initial_window as i32 / 2)
    }

    pub(super) fn on_credit(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let mut body = Reader(body);
        let (taken, wanted, bytes) = (body.u32()?, body.u32()?, body.u32()?);
        body.end()?;
        if id == 0 {
            return Ok(self.on_descriptor_credit(taken, wanted, bytes)?);
        }
        let Some(key) = self.lookup_crossed(id)? else { return Ok(()) };
        let half = match self.entries.get_mut(key) {
            Some(Entry::Send(half)) => half,
            Some(Entry::Stream(_)) if taken == 0 && wanted == 0 => {
                return Ok(self.on_stream_credit(key, bytes)?);
            }
            _ => return Err(Misbehaviour::WrongEnd.into()),
        };
        if half.cancelled().is_some() {
            return Err(Misbehaviour::AfterEnd.into());
        }
        if half.sent.wrapping_sub(half.taken) < taken {
            return Err(Misbehaviour::CreditOverflow.into());
        }
        half.taken = half.taken.wrapping_add(taken);
        let outstanding = u64::from(half.demand_ahead()) + u64::from(wanted);
        if outstanding > u64::from(MOST_CAPACITY) {
            return Err(Misbehaviour::CreditOverflow.into());
        }
        half.wanted = half.wanted.wrapping_add(wanted);
        let bytes = i32::try_from(bytes).map_err(|_| Misbehaviour::CreditOverflow)?;
        half.credit = half.credit.checked_add(bytes).ok_or(Misbehaviour::CreditOverflow)?;
        if half.closed {
            self.requeue_large(key);
            return Ok(());
        }
        if half.track && taken > 0 {
            self.events.push_back(Event::Taken(key, taken));
        }
        // Behind a large message that is on its way out nothing goes, but there is room for what waits to be accepted.
        let room = half.room() > 0 || half.demand() > 0 || (half.has_large() && taken > 0);
        if half.watched && half.credit > 0 && room {
            half.watched = false;
            self.events.push_back(Event::Writable(key));
        }
        self.requeue_large(key);
        Ok(())
    }
}

impl RecvHalf {
    /// Counts what was taken. `Some`: there is more to do, and so many bytes of the extra grant are no longer needed.
    #[inline]
    pub(super) fn take(&mut self, messages: u32, charge: u32, floor: i32) -> Option<u32> {
        self.owed += messages;
        let freed = self.window.taken(charge);
        if freed == 0 && !self.wants_growth() && !self.owes(floor) { None } else { Some(freed) }
    }

    #[inline]
    fn wants_growth(&self) -> bool {
        !self.closed && self.window.wants_growth()
    }

    /// Whether the sender is to be told: of receives that wait, of half of what it may have on its way, or of anything that
    /// was taken if it has nothing left.
    #[inline]
    fn owes(&self, floor: i32) -> bool {
        if self.closed || self.cancelled || !self.announced {
            return false;
        }
        let wants = self.serves_demand() && self.want_increment() > 0;
        let half_owed = self.owed >= self.capacity.div_ceil(2).max(1);
        let told = self.owed > 0 && (self.serves_demand() || half_owed || self.room_left() == 0);
        wants || told || self.window.is_due(floor)
    }
}
