//! A channel that is wholly in this process: its sends and receives in few steps. Whatever concerns more than the queue and
//! one waiting call is left to the general paths, which do the same and more.
//!
//! Few steps are: one lock a poll, no collected wake-ups, and a value that is moved once, from the send's future into
//! the queue or from the queue into the receive's result. So a value is passed by its place and not by return.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use super::Chan;
use super::recv::Place;
use super::state::{End, State};
use crate::error::{RecvError, SendError};
use crate::sync::{AtomicU32, lock};

/// Tells a waiting send that it is done, so that it need not take the lock to see that. Set under the lock to the lowest
/// number that waits, or to a lower one: the general paths do not set it.
///
/// 32 bits are enough. A send looks here only if it was near when it began, less than half the numbers above the lowest;
/// the lowest only rises, so it never seems to have passed a send that it has not. Where it has passed one by more than
/// half the numbers, the send looks under the lock.
pub(super) struct Done(AtomicU32);

impl Done {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline]
    fn set(&self, below: u64) {
        self.0.store(below as u32, Ordering::Release);
    }

    #[inline]
    fn has(&self, waits: Number) -> bool {
        waits.near && (self.0.load(Ordering::Acquire).wrapping_sub(waits.id as u32) as i32) > 0
    }
}

/// Under which number a send waits.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    pub(super) id: u64,
    /// It may look into `Done`.
    pub(super) near: bool,
}

/// How a poll went, in two registers. The `Poll` that the user gets has room for an error and for the value that came
/// back, so it would be passed through memory: of it the tag alone is written and all of it read, in wider pieces, and
/// such a read waits for the write. The futures make it from this instead, inline in their callers.
pub(crate) enum Polled<E> {
    Done,
    Waits,
    /// Boxed, because it is rare.
    Failed(Box<E>),
}

impl<E> Polled<E> {
    #[cold]
    #[inline(never)]
    pub(super) fn failed(error: E) -> Self {
        Self::Failed(Box::new(error))
    }

    /// What it came to, of a poll that took the general path; the value goes into `place`.
    #[inline]
    pub(super) fn giving<V>(result: Result<V, E>, place: &mut V) -> Self {
        match result {
            Ok(value) => {
                *place = value;
                Self::Done
            }
            Err(error) => Self::failed(error),
        }
    }

    /// What the user gets.
    #[inline]
    pub(crate) fn with<V>(self, value: V) -> Poll<Result<V, E>> {
        match self {
            Self::Done => Poll::Ready(Ok(value)),
            Self::Waits => Poll::Pending,
            Self::Failed(error) => Poll::Ready(Err(*error)),
        }
    }
}

/// How a send went, and which receiver is to be woken once the lock is released.
enum Sent {
    Accepted(Option<Waker>),
    /// It waits under this number and has left its waker.
    Offered(Number, Option<Waker>),
    /// The general path has to decide.
    Unclear,
}

/// Whom a receive that has its value wakes once the lock is released: a sender, the next receiver.
type Next = (Option<Waker>, Option<Waker>);

/// How a receive went.
enum Received {
    Taken(Next),
    /// Nothing is here: the receive stands in line.
    Waits,
    /// The general path has to decide.
    Unclear,
}

impl<T> Chan<T> {
    /// A send: takes the value out of `value`, and notes in `waits` under which number it waits.
    #[inline(never)]
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        value: &mut Option<T>,
        waits: &mut Option<Number>,
        waker: &Waker,
    ) -> Polled<SendError<T>> {
        // As in `poll_recv`.
        if waits.is_none() && self.way.get().is_some() {
            self.poll_send_across(value, waits, waker)
        } else {
            self.poll_send_here(value, waits, waker)
        }
    }

    #[inline(never)]
    fn poll_send_here(
        self: &Arc<Self>,
        value: &mut Option<T>,
        waits: &mut Option<Number>,
        waker: &Waker,
    ) -> Polled<SendError<T>> {
        if let Some(number) = *waits {
            if self.done.has(number) {
                *waits = None;
                return Polled::Done;
            }
            return self.poll_waiting_here(number, waits, waker);
        }
        let mut state = lock(&self.state);
        match state.send_here(value, self.capacity, waker, &self.done) {
            Sent::Accepted(receiver) => {
                drop(state);
                wake(receiver);
                Polled::Done
            }
            Sent::Offered(number, receiver) => {
                drop(state);
                *waits = Some(number);
                wake(receiver);
                Polled::Waits
            }
            Sent::Unclear => {
                drop(state);
                self.poll_send_across(value, waits, waker)
            }
        }
    }

    /// A send that waits for room, which may be kept for it now.
    fn poll_waiting_here(
        self: &Arc<Self>,
        number: Number,
        waits: &mut Option<Number>,
        waker: &Waker,
    ) -> Polled<SendError<T>> {
        let mut state = lock(&self.state);
        if !state.is_here() {
            drop(state);
            return self.poll_offer(number, waits, waker);
        }
        let local = state.local();
        if !local.queue.accept_if_granted(number.id) {
            drop(state);
            return self.poll_offer(number, waits, waker);
        }
        let receiver = local.receivers.notify_one();
        drop(state);
        *waits = None;
        wake(receiver);
        Polled::Done
    }

    /// A receive: what was taken is in `value`, which was empty; at the end of the channel it stays so. It is there before
    /// the lock is released, which waits for all that was written: who reads it need not.
    #[inline(never)]
    pub(crate) fn poll_recv(
        self: &Arc<Self>,
        value: &mut Option<T>,
        waker: &Waker,
        place: &mut Place,
    ) -> Polled<RecvError> {
        // Nothing but the choice, or it would pay for the registers that either way needs.
        if self.is_lent() {
            self.poll_recv_lent(value, waker, place)
        } else {
            self.poll_recv_here(value, waker, place)
        }
    }

    #[inline(never)]
    fn poll_recv_here(
        self: &Arc<Self>,
        value: &mut Option<T>,
        waker: &Waker,
        place: &mut Place,
    ) -> Polled<RecvError> {
        let mut state = lock(&self.state);
        match state.take_here(self.capacity, value, waker, place, &self.done) {
            Received::Taken((sender, receiver)) => {
                drop(state);
                wake(sender);
                wake(receiver);
                Polled::Done
            }
            Received::Waits => Polled::Waits,
            Received::Unclear => self.poll_recv_across(state, value, waker, place),
        }
    }
}

#[inline]
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> State<T> {
    /// Open, and without a leg to another process.
    #[inline]
    fn is_here(&self) -> bool {
        self.legs.is_none() && self.end() == End::Open && !self.is_refused()
    }

    /// Accepts the value if there is room, else leaves it for when there is; with capacity 0 for a receiver to take.
    #[inline]
    fn send_here(&mut self, value: &mut Option<T>, capacity: u32, waker: &Waker, done: &Done) -> Sent {
        if !self.is_here() {
            return Sent::Unclear;
        }
        let local = self.local();
        if local.queue.has_room(capacity, 0) {
            local.queue.accept_from(value);
            Sent::Accepted(local.receivers.notify_one())
        } else {
            let id = local.queue.offer_from(value, waker);
            let below = local.queue.done_below();
            done.set(below);
            let number = Number { id, near: id - below < 1 << 31 };
            // With a capacity there is nothing to take yet.
            Sent::Offered(number, if capacity == 0 { local.receivers.notify_one() } else { None })
        }
    }

    /// Takes the next value, or stands in line.
    #[inline]
    fn take_here(
        &mut self,
        capacity: u32,
        value: &mut Option<T>,
        waker: &Waker,
        place: &mut Place,
        done: &Done,
    ) -> Received {
        if !self.is_here() {
            return Received::Unclear;
        }
        let local = self.local();
        let sender = local.queue.pop_value(capacity, value);
        if value.is_some() {
            if sender.is_some() {
                done.set(local.queue.done_below());
            }
            place.leave(&mut local.receivers);
            let more = local.queue.may_be_taken(capacity);
            return Received::Taken((sender, if more { local.receivers.notify_one() } else { None }));
        }
        if local.queue.may_be_taken(capacity) {
            return Received::Unclear;
        }
        place.wait(&mut local.receivers, waker);
        Received::Waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_poll_went_fits_two_registers() {
        assert_eq!(size_of::<Polled<SendError<[u64; 6]>>>(), 2 * size_of::<usize>());
    }

    #[test]
    fn done_is_seen_across_the_end_of_the_numbers() {
        let done = Done::new();
        let end = u64::from(u32::MAX);
        for lowest in [0, 5, end - 1, end, end + 1, 3 * end] {
            done.set(lowest);
            for ahead in [0, 1, 1 << 20, (1 << 31) - 1] {
                assert!(!done.has(Number { id: lowest + ahead, near: true }));
            }
            let passed = Number { id: lowest, near: true };
            for below in [1, 2, 1 << 20, (1 << 31) - 1] {
                done.set(lowest + below);
                assert!(done.has(passed));
                assert!(!done.has(Number { near: false, ..passed }));
            }
        }
    }
}
