//! A channel that is wholly in this process: its sends and receives in few steps. Whatever concerns more than the queue and
//! one waiting call is left to the general paths, which do the same and more.
//!
//! Few steps are: one lock a poll, no collected wake-ups, and a value that is moved once, from the send's future into
//! the queue or from the queue into the receive's result. So a value is passed by its place and not by return.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::Chan;
use super::recv::Place;
use super::state::{End, State};
use crate::error::{RecvError, SendError};
use crate::sync::lock;

/// How a send went, and which receiver is to be woken once the lock is released.
enum Sent {
    Accepted(Option<Waker>),
    /// It waits under this number and has left its waker.
    Offered(u64, Option<Waker>),
    /// The general path has to decide.
    Unclear,
}

/// Whom a receive that has its value wakes once the lock is released: a sender, the next receiver.
type Next = (Option<Waker>, Option<Waker>);

/// How a receive went.
enum Received<T> {
    Taken(T, Next),
    /// Nothing is here: the receive stands in line.
    Waits,
    /// The general path has to decide.
    Unclear,
}

impl<T> Chan<T> {
    /// A send: takes the value out of `value`, and notes in `waits` under which number it waits.
    #[inline]
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        value: &mut Option<T>,
        waits: &mut Option<u64>,
        waker: &Waker,
    ) -> Poll<Result<(), SendError<T>>> {
        if let Some(id) = *waits {
            let standing = self.poll_offer(id, waker);
            if standing.is_ready() {
                *waits = None;
            }
            return standing;
        }
        if self.sink.get().is_none() {
            let mut state = lock(&self.state);
            match state.send_here(value, self.capacity, waker) {
                Sent::Accepted(receiver) => {
                    drop(state);
                    wake(receiver);
                    return Poll::Ready(Ok(()));
                }
                Sent::Offered(id, receiver) => {
                    drop(state);
                    *waits = Some(id);
                    wake(receiver);
                    return Poll::Pending;
                }
                Sent::Unclear => {}
            }
        }
        self.poll_send_anywhere(value, waits, waker)
    }

    /// A receive.
    #[inline]
    pub(crate) fn poll_recv(
        self: &Arc<Self>,
        waker: &Waker,
        place: &mut Place,
    ) -> Poll<Result<Option<T>, RecvError>> {
        let mut state = lock(&self.state);
        match state.take_here(self.capacity, waker, place) {
            Received::Taken(value, (sender, receiver)) => {
                drop(state);
                wake(sender);
                wake(receiver);
                Poll::Ready(Ok(Some(value)))
            }
            Received::Waits => Poll::Pending,
            Received::Unclear => self.poll_recv_anywhere(state, waker, place),
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
        self.legs.is_none() && matches!(self.end, End::Open) && !self.is_refused()
    }

    /// Accepts the value if there is room, else leaves it for when there is; with capacity 0 for a receiver to take.
    #[inline]
    fn send_here(&mut self, value: &mut Option<T>, capacity: u32, waker: &Waker) -> Sent {
        if !self.is_here() {
            return Sent::Unclear;
        }
        let local = self.local();
        if local.queue.has_room(capacity, 0) {
            local.queue.accept_from(value);
            Sent::Accepted(local.receivers.notify_one())
        } else {
            let id = local.queue.offer_from(value, waker);
            // With room there would be a receiver that waits only where there is nothing to take.
            Sent::Offered(id, if capacity == 0 { local.receivers.notify_one() } else { None })
        }
    }

    /// Takes the next value, or stands in line.
    #[inline]
    fn take_here(&mut self, capacity: u32, waker: &Waker, place: &mut Place) -> Received<T> {
        if !self.is_here() {
            return Received::Unclear;
        }
        let local = self.local();
        match local.queue.pop_value(capacity) {
            Some((value, sender)) => {
                place.leave(&mut local.receivers);
                let more = !local.queue.is_empty();
                Received::Taken(value, (sender, if more { local.receivers.notify_one() } else { None }))
            }
            None if local.queue.is_empty() => {
                place.wait(&mut local.receivers, waker);
                Received::Waits
            }
            None => Received::Unclear,
        }
    }
}
