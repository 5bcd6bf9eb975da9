//! Room that is kept before there is a message: `reserve`, and sending with what it gave.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Chan;
use super::queue::Slot;
use super::state::Locked;
use crate::error::{Closed, SendError, SendFailure};
use crate::parcel::Parcel;
use crate::scratch::Scratch;

/// Whether a `reserve` found room.
pub(crate) enum Room {
    Kept,
    Waits(u64),
}

impl<T> Chan<T> {
    pub(crate) fn begin_reserve(self: &Arc<Self>) -> Result<Room, Closed> {
        let mut state = self.lock();
        state.check_open()?;
        let has_room = self.has_room(&state);
        let queue = &mut state.local().queue;
        let room = if has_room {
            queue.reserve();
            Room::Kept
        } else {
            Room::Waits(queue.wait_for_room())
        };
        // While room is kept or waited for, nobody may pass the queue.
        state.hold_direct(true);
        drop(state);
        if matches!(room, Room::Waits(_)) {
            self.pump();
        }
        Ok(room)
    }

    pub(crate) fn poll_reserve(&self, id: u64, cx: &Context<'_>) -> Poll<Result<(), Closed>> {
        let mut state = self.lock();
        let closed = state.check_open().err();
        match state.local().queue.poll_reserve(id, cx.waker(), closed.is_some()) {
            None => Poll::Pending,
            Some(true) => Poll::Ready(Ok(())),
            Some(false) => Poll::Ready(Err(closed.unwrap_or(Closed::Dropped))),
        }
    }

    /// A waiting `reserve` is dropped; room that it had got meanwhile is given back.
    pub(crate) fn withdraw_reserve(self: &Arc<Self>, id: u64) {
        let withdrawn = self.lock().local().queue.withdraw(id);
        if withdrawn.is_err() {
            self.unreserve();
        } else {
            self.pump();
        }
    }

    pub(crate) fn unreserve(self: &Arc<Self>) {
        let mut state = self.lock();
        state.local().queue.unreserve();
        state.grant(self.capacity);
        self.admit_reserve(&mut state);
        drop(state);
        self.pump();
    }

    /// Capacity 0: a receiver waits that nothing was handed or promised to, so the first `reserve` gets its permit.
    pub(super) fn admit_reserve(&self, state: &mut Locked<'_, T>) {
        if self.has_unmet_demand(state)
            && let Some((local, wakes)) = state.parts()
        {
            local.queue.admit_reserve(wakes);
        }
    }

    /// Sends with room that was kept.
    pub(crate) fn send_reserved(self: &Arc<Self>, value: T) -> Result<(), SendError<T>> {
        let leg = self.lock().legs.sinks().first().map(|sink| sink.leg.clone());
        let Some(leg) = leg.filter(|_| self.capacity > 0) else {
            return self.accept_reserved(value, None);
        };
        let mut scratch = Scratch::take();
        match self.encode_for(&leg, &value, &mut scratch) {
            Ok(encoded) => {
                let parcel = Parcel::encoded(encoded, scratch.bytes());
                self.accept_reserved(value, Some(Box::new(parcel)))
            }
            Err(why) => {
                self.unreserve();
                Err(SendError::new(value, why))
            }
        }
    }

    /// Forwards a message with room that was kept, in whatever form it has.
    pub(crate) fn send_slot_reserved(self: &Arc<Self>, slot: Slot<T>) -> Result<(), SendFailure> {
        let mut state = self.lock();
        state.local().queue.unreserve();
        if let Some(why) = state.send_failure() {
            drop(state);
            drop(slot);
            return Err(why);
        }
        state.local().queue.accept(slot);
        self.serve(state);
        Ok(())
    }

    /// Room becomes a message under one lock: between the two nobody may take the room or close the channel.
    fn accept_reserved(self: &Arc<Self>, value: T, parcel: Option<Box<Parcel>>) -> Result<(), SendError<T>> {
        let mut state = self.lock();
        state.local().queue.unreserve();
        if let Some(why) = state.send_failure() {
            drop(state);
            return Err(SendError::new(value, why));
        }
        let (slot, spent) = match parcel {
            Some(parcel) => (Slot::Wire(parcel), Some(value)),
            None => (Slot::Value(value), None),
        };
        state.local().queue.accept(slot);
        let pump = self.available(&mut state);
        drop(state);
        // Before the pump binds what is in it: a receiver that is still in the value is not a sole one.
        drop(spent);
        if pump {
            self.pump();
        }
        Ok(())
    }
}
