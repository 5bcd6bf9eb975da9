//! Who waits, and whom to wake: two small lists that never wake under a lock.

use std::collections::VecDeque;
use std::task::Waker;

/// Wakers collected under a lock and woken when this is dropped, after it. One is kept inline: that is nearly every case.
#[derive(Default)]
pub(crate) struct Wakes {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.more.push(waker);
        }
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.first.take() {
            waker.wake();
            std::mem::take(&mut self.more).into_iter().for_each(Waker::wake);
        }
    }
}

/// Calls that wait for the same thing, first come first served. A ticket names a waiting call.
#[derive(Default)]
pub(crate) struct Waiters {
    next: u64,
    list: VecDeque<(u64, Waker)>,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn has(&self, ticket: u64) -> bool {
        self.at(ticket).is_some()
    }

    /// Waits, or goes on waiting under the ticket it has.
    #[inline]
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        if let Some(at) = ticket.and_then(|known| self.at(known)) {
            self.list[at].1.clone_from(waker);
            return;
        }
        self.list.push_back((self.next, waker.clone()));
        *ticket = Some(self.next);
        self.next += 1;
    }

    /// Stops waiting. False: it had been notified, and the notification must be passed on if it was not used.
    #[inline]
    pub(crate) fn leave(&mut self, ticket: u64) -> bool {
        self.at(ticket).is_some_and(|at| self.list.remove(at).is_some())
    }

    /// Where a ticket is in the list, if it still is.
    #[inline]
    fn at(&self, ticket: u64) -> Option<usize> {
        // Tickets ascend, and nearly always the one asked for is the first, or has been notified.
        match self.list.front()?.0 {
            first if first > ticket => None,
            first if first == ticket => Some(0),
            _ => self.list.binary_search_by_key(&ticket, |(known, _)| *known).ok(),
        }
    }

    /// Takes the first off the list.
    #[inline]
    pub(crate) fn notify_one(&mut self) -> Option<Waker> {
        self.list.pop_front().map(|(_, waker)| waker)
    }

    pub(crate) fn notify_all(&mut self, wakes: &mut Wakes) {
        for (_, waker) in self.list.drain(..) {
            wakes.push(Some(waker));
        }
    }
}
