//! A channel that is wholly in this process: its sends and receives in few steps. Whatever concerns more than the queue and
//! one waiting call is left to the general paths, which do the same and more.

use std::task::Waker;

use super::queue::Slot;
use super::recv::Place;
use super::state::{End, State};

/// How a send went, and which receiver is to be woken once the lock is released.
pub(super) enum Sent<T> {
    Accepted(Option<Waker>),
    /// It waits under this number.
    Offered(u64, Option<Waker>),
    /// The general path has to decide.
    Unclear(T),
}

/// How a receive went.
pub(super) enum Received<T> {
    /// The value, and who is to be woken once the lock is released: its sender, the next receiver.
    Taken(T, Option<Waker>, Option<Waker>),
    /// Nothing is here: the receive stands in line.
    Waits,
    /// The general path has to decide.
    Unclear,
}

impl<T> State<T> {
    /// Open, and without a leg to another process.
    #[inline]
    fn is_here(&self) -> bool {
        self.legs.is_none() && self.end() == End::Open && !self.is_refused()
    }

    /// Accepts the value if there is room; with capacity 0 leaves it for a receiver to take.
    #[inline]
    pub(super) fn send_here(&mut self, value: T, capacity: u32) -> Sent<T> {
        if !self.is_here() {
            return Sent::Unclear(value);
        }
        let local = self.local();
        if local.queue.has_room(capacity, 0) {
            local.queue.accept(Slot::Value(value));
            Sent::Accepted(local.receivers.notify_one())
        } else if capacity == 0 {
            let id = local.queue.offer(value);
            Sent::Offered(id, local.receivers.notify_one())
        } else {
            Sent::Unclear(value)
        }
    }

    /// Takes the next value, or stands in line.
    #[inline]
    pub(super) fn take_here(&mut self, capacity: u32, waker: &Waker, place: &mut Place) -> Received<T> {
        if !self.is_here() {
            return Received::Unclear;
        }
        let local = self.local();
        match local.queue.pop_value(capacity) {
            Some((value, sender)) => {
                place.leave(&mut local.receivers);
                let more = !local.queue.is_empty();
                Received::Taken(value, sender, if more { local.receivers.notify_one() } else { None })
            }
            None if local.queue.is_empty() => {
                place.wait(&mut local.receivers, waker);
                Received::Waits
            }
            None => Received::Unclear,
        }
    }
}
