//! Descriptors on their way in and out, bound to messages by count and never by read boundaries.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Descriptors that have arrived and are not yet taken, by their arrival number.
#[derive(Default)]
pub(super) struct Arrived {
    first: u32,
    waiting: VecDeque<Option<OwnedFd>>,
}

impl Arrived {
    pub(super) fn extend(&mut self, descriptors: &mut VecDeque<OwnedFd>) {
        self.waiting.extend(descriptors.drain(..).map(Some));
    }

    /// How many are held here.
    pub(super) fn len(&self) -> usize {
        self.waiting.iter().filter(|slot| slot.is_some()).count()
    }

    /// How many have arrived since the session began.
    pub(super) fn total(&self) -> u32 {
        self.first.wrapping_add(self.waiting.len() as u32)
    }

    pub(super) fn take(&mut self, number: u32) -> Option<OwnedFd> {
        let at = number.wrapping_sub(self.first) as usize;
        let taken = self.waiting.get_mut(at)?.take();
        while matches!(self.waiting.front(), Some(None)) {
            self.waiting.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        taken
    }
}

/// Descriptors that wait to leave, by the token that the machine keeps in their place.
#[derive(Default)]
pub(super) struct Leaving {
    slots: Vec<Option<OwnedFd>>,
    free: Vec<u32>,
}

impl Leaving {
    pub(super) fn insert(&mut self, descriptor: OwnedFd) -> u32 {
        match self.free.pop() {
            Some(token) => {
                self.slots[token as usize] = Some(descriptor);
                token
            }
            None => {
                self.slots.push(Some(descriptor));
                (self.slots.len() - 1) as u32
            }
        }
    }

    pub(super) fn take(&mut self, token: u32) -> Option<OwnedFd> {
        let descriptor = self.slots.get_mut(token as usize)?.take()?;
        self.free.push(token);
        Some(descriptor)
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.free.clear();
    }
}
