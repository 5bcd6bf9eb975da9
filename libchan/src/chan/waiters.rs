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
        self.list.iter().any(|(known, _)| *known == ticket)
    }

    /// Waits, or goes on waiting under the ticket it has.
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        if let Some(known) = ticket.and_then(|id| self.list.iter_mut().find(|(known, _)| *known == id)) {
            known.1.clone_from(waker);
            return;
        }
        self.list.push_back((self.next, waker.clone()));
        *ticket = Some(self.next);
        self.next += 1;
    }

    /// Stops waiting. False: it had been notified, and the notification must be passed on if it was not used.
    pub(crate) fn leave(&mut self, ticket: u64) -> bool {
        let at = self.list.iter().position(|(known, _)| *known == ticket);
        at.is_some_and(|at| self.list.remove(at).is_some())
    }

    /// Takes the first off the list.
    pub(crate) fn notify_one(&mut self) -> Option<Waker> {
        self.list.pop_front().map(|(_, waker)| waker)
    }

    pub(crate) fn notify_all(&mut self, wakes: &mut Wakes) {
        for (_, waker) in self.list.drain(..) {
            wakes.push(Some(waker));
        }
    }
}
