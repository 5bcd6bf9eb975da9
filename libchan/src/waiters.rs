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

    fn wake_more(&mut self) {
        std::mem::take(&mut self.more).into_iter().for_each(Waker::wake);
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.first.take() {
            waker.wake();
            if !self.more.is_empty() {
                self.wake_more();
            }
        }
    }
}

/// For how many calls an empty list keeps its place.
const KEPT: usize = 64;

/// Calls that wait for the same thing, first come first served. A ticket names a waiting call, and tickets ascend. The
/// first is kept inline: nearly always it is the only one, and then nothing is allocated.
#[derive(Default)]
pub(crate) struct Waiters {
    next: u64,
    first: Option<(u64, Waker)>,
    /// Who came after the first; with anybody in it there is a first.
    #[expect(clippy::box_collection, reason = "nearly always there is none: three words less")]
    more: Option<Box<VecDeque<(u64, Waker)>>>,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.len())
    }

    pub(crate) fn has(&self, ticket: u64) -> bool {
        self.first.as_ref().is_some_and(|(first, _)| *first == ticket) || self.at(ticket).is_some()
    }

    /// Waits, or goes on waiting under the ticket it has.
    #[inline]
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        if let Some(known) = *ticket
            && self.renew(known, waker)
        {
            return;
        }
        *ticket = Some(self.next);
        let entry = (self.next, waker.clone());
        self.next += 1;
        match self.first {
            None => self.first = Some(entry),
            Some(_) => self.more.get_or_insert_default().push_back(entry),
        }
    }

    /// Replaces the waker of a ticket, if that still waits.
    fn renew(&mut self, ticket: u64, waker: &Waker) -> bool {
        let known = match &mut self.first {
            Some((first, known)) if *first == ticket => known,
            _ => match self.at(ticket).zip(self.more.as_mut()) {
                Some((at, more)) => &mut more[at].1,
                None => return false,
            },
        };
        known.clone_from(waker);
        true
    }

    /// Stops waiting. False: it had been notified, and the notification must be passed on if it was not used.
    #[inline]
    pub(crate) fn leave(&mut self, ticket: u64) -> bool {
        match &self.first {
            Some((first, _)) if *first == ticket => self.notify_one().is_some(),
            // It was notified, unless somebody waits who came before it.
            Some((first, _)) if *first < ticket => self.leave_more(ticket),
            _ => false,
        }
    }

    #[cold]
    fn leave_more(&mut self, ticket: u64) -> bool {
        let at = self.at(ticket);
        let left = at.zip(self.more.as_mut()).is_some_and(|(at, more)| more.remove(at).is_some());
        self.give_back();
        left
    }

    /// Many may have waited: what their list took is given back once it is empty.
    fn give_back(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.is_empty() && more.capacity() > KEPT) {
            self.more = None;
        }
    }

    /// Where a ticket is behind the first, if it still is.
    fn at(&self, ticket: u64) -> Option<usize> {
        self.more.as_ref()?.binary_search_by_key(&ticket, |(known, _)| *known).ok()
    }

    /// Takes the first off the list.
    #[inline]
    pub(crate) fn notify_one(&mut self) -> Option<Waker> {
        let (_, waker) = self.first.take()?;
        if let Some(more) = &mut self.more {
            self.first = more.pop_front();
            if self.first.is_none() {
                self.give_back();
            }
        }
        Some(waker)
    }

    pub(crate) fn notify_all(&mut self, wakes: &mut Wakes) {
        while let Some(waker) = self.notify_one() {
            wakes.push(Some(waker));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(count: usize) -> (Waiters, Vec<u64>) {
        let mut waiters = Waiters::new();
        let tickets = (0..count).filter_map(|_| {
            let mut ticket = None;
            waiters.wait(&mut ticket, Waker::noop());
            ticket
        });
        let tickets = tickets.collect();
        (waiters, tickets)
    }

    #[test]
    fn first_come_first_served() {
        let (mut waiters, tickets) = waiting(4);
        for (at, ticket) in tickets.iter().enumerate() {
            assert_eq!(waiters.len(), 4 - at);
            assert!(waiters.has(*ticket));
            assert!(waiters.notify_one().is_some());
            assert!(!waiters.has(*ticket));
            assert!(!waiters.leave(*ticket), "it was notified");
        }
        assert!(waiters.notify_one().is_none());
    }

    #[test]
    fn who_leaves_is_not_notified() {
        for leaving in 0..4 {
            let (mut waiters, mut tickets) = waiting(4);
            assert!(waiters.leave(tickets[leaving]));
            assert!(!waiters.leave(tickets[leaving]));
            tickets.remove(leaving);
            for ticket in tickets {
                assert!(waiters.has(ticket));
                waiters.notify_one();
                assert!(!waiters.has(ticket));
            }
            assert_eq!(waiters.len(), 0);
        }
    }

    #[test]
    fn a_burst_is_given_back() {
        for backwards in [false, true] {
            let (mut waiters, mut tickets) = waiting(20_000);
            if backwards {
                tickets.reverse();
            }
            for ticket in tickets {
                assert!(waiters.leave(ticket));
            }
            assert_eq!((waiters.len(), waiters.more.is_none()), (0, true), "backwards {backwards}");
        }
        let (mut waiters, _) = waiting(20_000);
        while waiters.notify_one().is_some() {}
        assert!(waiters.more.is_none());
    }

    #[test]
    fn waiting_again_keeps_the_place() {
        let (mut waiters, tickets) = waiting(3);
        for ticket in tickets {
            let mut again = Some(ticket);
            waiters.wait(&mut again, Waker::noop());
            assert_eq!(again, Some(ticket));
            assert_eq!(waiters.len(), 3);
        }
        let mut notified = Some(0);
        waiters.notify_one();
        waiters.wait(&mut notified, Waker::noop());
        assert_eq!(notified, Some(3), "a new place, at the end");
        assert_eq!(waiters.len(), 3);
    }
}
