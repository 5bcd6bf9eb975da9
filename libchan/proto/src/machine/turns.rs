//! Who sends next. What several channels and streams have to send leaves in turns of so many bytes, small messages,
//! fragments and stream data alike, whatever their windows are.
//!
//! Where nobody waits, messages are appended to the output at once and nothing is counted. From the moment on that one has
//! to wait, the link is *shared*: in each round everybody may send one turn, at once or from the line, and who has had it
//! stands in line for the next. A sender that holds no bytes here is invited when its turn has come
//! ([`Event::Writable`]), and those in line go no further than the round while it has not answered.

use std::collections::VecDeque;

use super::{Event, Machine};
use crate::Key;
use crate::entry::{Entry, Turn};

/// The bytes of a turn.
pub(crate) const TURN: usize = 16 * 1024;
/// A turn of which less than this is left was had: no fragments of a few bytes.
const LEAST: usize = 512;
/// What the output is filled to, in bytes.
pub(super) const FILL: usize = 64 * 1024;

/// Those that have something to send, first come first served; before them those that have sent nothing in this round.
#[derive(Debug, Default)]
pub(crate) struct Line {
    new: VecDeque<Key>,
    old: VecDeque<Key>,
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        self.new.len() + self.old.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.old.is_empty()
    }

    fn front(&self) -> Option<Key> {
        self.new.front().or_else(|| self.old.front()).copied()
    }

    fn pop_front(&mut self) {
        if self.new.pop_front().is_none() {
            self.old.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.old.clear();
    }
}

impl Machine {
    /// Puts an entry that has something to send in line: before the others if it has sent nothing in this round.
    pub(super) fn enqueue(&mut self, key: Key) {
        let round = self.round;
        let (lined, turn) = match self.entries.get_mut(key) {
            Some(Entry::Send(half)) => (&mut half.lined, &mut half.turn),
            Some(Entry::Stream(stream)) => (&mut stream.lined, &mut stream.turn),
            _ => return,
        };
        let left = turn.left(round);
        if std::mem::replace(lined, true) {
            return;
        }
        match left {
            TURN => self.line.new.push_back(key),
            _ => self.line.old.push_back(key),
        }
        // One that was invited has answered.
        self.guests -= usize::from(left == 0 && self.guests > 0);
        self.shared = true;
    }

    /// Fills the output from the line.
    pub(super) fn fill(&mut self) {
        // Who was invited before the last output and has not answered, or has left nothing here, has had its chance.
        if std::mem::replace(&mut self.invited_before, true) || self.out.is_empty() {
            self.guests = 0;
        }
        loop {
            self.fill_round();
            // Nothing at all leaves for the sake of those who are invited only if they are told of it now.
            if !self.out.is_empty() || self.line.is_empty() || self.has_events() || self.guests == 0 {
                break;
            }
            self.guests = 0;
        }
        self.shared = !self.line.is_empty() || self.guests > 0;
    }

    fn fill_round(&mut self) {
        while self.out.len() + self.guests * TURN < FILL
            && let Some(key) = self.line.front()
        {
            let alone = self.line.len() == 1 && self.guests == 0;
            let round = self.round;
            let left = match self.entries.get_mut(key) {
                Some(Entry::Send(half)) => half.turn.left(round),
                Some(Entry::Stream(stream)) => stream.turn.left(round),
                _ => TURN,
            };
            if left == 0 {
                if self.guests > 0 {
                    return;
                }
                self.round = self.round.wrapping_add(1);
                continue;
            }
            self.line.pop_front();
            let most = if alone { usize::MAX } else { left };
            if self.take_turn(key, most) {
                self.set_lined(key);
                self.line.old.push_back(key);
            }
        }
    }

    fn set_lined(&mut self, key: Key) {
        match self.entries.get_mut(key) {
            Some(Entry::Send(half)) => half.lined = true,
            Some(Entry::Stream(stream)) => stream.lined = true,
            _ => {}
        }
    }

    /// The turn of an entry that stood in line. True: it stands in line again.
    fn take_turn(&mut self, key: Key, most: usize) -> bool {
        match self.entries.get_mut(key) {
            Some(Entry::Send(half)) => {
                half.lined = false;
                if half.has_large() {
                    return self.write_fragment(key, most);
                }
                if std::mem::take(&mut half.watched) {
                    self.guests += 1;
                    self.invited_before = false;
                    self.events.push_back(Event::Writable(key));
                }
                false
            }
            Some(Entry::Stream(stream)) => {
                stream.lined = false;
                self.write_unsent(key, most)
            }
            _ => false,
        }
    }
}

impl Turn {
    /// What may still be sent in this round, in bytes.
    #[inline]
    pub(crate) fn left(&mut self, round: u16) -> usize {
        let elapsed = usize::from(round.wrapping_sub(self.round));
        self.round = round;
        self.spent = usize::from(self.spent).saturating_sub(elapsed * TURN) as u16;
        match TURN.saturating_sub(usize::from(self.spent)) {
            ..LEAST => 0,
            left => left,
        }
    }

    /// So much has left. What is beyond the turn is taken from the next one, but from no other: alone one goes on.
    #[inline]
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent = (usize::from(self.spent) + bytes).min(2 * TURN) as u16;
    }
}
