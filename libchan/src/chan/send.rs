//! Sending: at once, or by leaving the value in the queue until there is room.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libchan_proto::{Blocked, Flaw, Outgoing, Payload};

use super::pump::{announce_all, bind_all, unbind_all};
use super::queue::{Slot, Standing};
use super::{Chan, End, State, Wakes};
use crate::attach::Attached;
use crate::error::{Closed, SendError, SendFailure, TrySendError};
use crate::message::Encoded;
use crate::parcel::Parcel;
use crate::scratch::Scratch;
use crate::session::Leg;
use crate::sync::lock;

/// From this size on a payload is handed on as it is rather than copied into the session's output.
const LARGE: usize = 4096;

/// How a send began.
pub(crate) enum Begun<T> {
    Done(Result<(), SendError<T>>),
    /// The value waits in the queue under this number.
    Waits(u64),
}

/// Whether a `reserve` found room.
pub(crate) enum Room {
    Kept,
    Waits(u64),
}

/// What to do after unlocking, when a message has become available.
#[derive(Default)]
pub(super) struct News {
    pub(super) wakes: Wakes,
    pub(super) pump: bool,
}

impl<T> Chan<T> {
    pub(crate) fn begin_send(self: &Arc<Self>, value: T) -> Begun<T> {
        if let Some(leg) = self.sink.get() {
            return self.send_encoded(leg, value, true);
        }
        let mut state = lock(&self.state);
        if let Some(why) = state.send_failure() {
            return Begun::Done(Err(SendError::new(value, why)));
        }
        if self.capacity > 0
            && let Some(sink) = state.legs.as_ref().and_then(|legs| legs.sinks.first())
        {
            let leg = sink.leg.clone();
            drop(state);
            return self.send_encoded(&leg, value, false);
        }
        let begun = if state.queue.has_room(self.capacity, 0) {
            state.queue.accept(Slot::Value(value));
            Begun::Done(Ok(()))
        } else {
            Begun::Waits(state.queue.offer(value))
        };
        if self.capacity == 0 || matches!(begun, Begun::Done(_)) {
            let news = self.available(&mut state);
            drop(state);
            self.act_on(news);
        }
        begun
    }

    pub(crate) fn try_send(self: &Arc<Self>, value: T) -> Result<(), TrySendError<T>> {
        let mut state = lock(&self.state);
        if let Some(why) = state.send_failure() {
            return Err(TrySendError::Failed(SendError::new(value, why)));
        }
        if !self.has_room(&state) {
            return Err(TrySendError::Full(value));
        }
        if self.capacity == 0 {
            // Handed over to a receiver that waits: not completed by its taking it.
            state.queue.accept(Slot::Value(value));
            let news = self.available(&mut state);
            drop(state);
            self.act_on(news);
            return Ok(());
        }
        drop(state);
        match self.begin_send(value) {
            Begun::Done(result) => result.map_err(TrySendError::Failed),
            Begun::Waits(id) => match self.withdraw(id) {
                Some(value) => Err(TrySendError::Full(value)),
                None => Ok(()),
            },
        }
    }

    /// Encodes on the caller's thread, so that a failure has its value back, and sends if there is room.
    /// `direct`: past the queue, if nothing waits in it.
    fn send_encoded(self: &Arc<Self>, leg: &Leg, value: T, direct: bool) -> Begun<T> {
        let mut scratch = Scratch::take();
        let mut encoded = match self.encode_for(leg, &value, &mut scratch) {
            Ok(encoded) => encoded,
            Err(why) => return Begun::Done(Err(SendError::new(value, why))),
        };
        // A receiver in the message is bound only once the value is gone, which takes the way through the queue.
        let plain = |end: &Attached| matches!(end, Attached::Sender(_));
        if direct && encoded.ends.iter().all(plain) {
            match send_direct(leg, &mut encoded, scratch.bytes()) {
                Ok(()) => return Begun::Done(Ok(())),
                Err(Blocked::Gone) => return Begun::Done(Err(SendError::new(value, self.gone(leg)))),
                Err(_) => {}
            }
        }
        self.queue_encoded(value, Parcel::encoded(encoded, scratch.bytes()))
    }

    /// Encodes `value` for the session of `leg` and checks what can be checked before a byte is sent.
    pub(super) fn encode_for(
        &self,
        leg: &Leg,
        value: &T,
        scratch: &mut Scratch,
    ) -> Result<Encoded, SendFailure> {
        let Some(erased) = self.erased.get() else {
            return Err(SendFailure::Encode("the channel has no codec".to_owned()));
        };
        let mut encoded = (erased.encode)(value, leg.session.codec(), scratch.buffer())?;
        let limits = leg.session.limits();
        let size = encoded.shared.as_deref().unwrap_or_else(|| scratch.bytes()).len();
        if size > limits.max_message as usize {
            return Err(SendFailure::TooLarge { size, limit: limits.max_message as usize });
        }
        if encoded.ends.len() > limits.max_attachments as usize {
            return Err(SendFailure::TooManyAttachments {
                count: encoded.ends.len(),
                limit: limits.max_attachments as usize,
            });
        }
        if leg.session.passes_descriptors() {
            check_budget(&encoded.ends, limits.max_descriptors as usize)?;
        } else {
            check_pumpable(&encoded.ends)?;
        }
        if encoded.shared.is_none() {
            encoded.shared = scratch.take_large(LARGE);
        }
        Ok(encoded)
    }

    fn queue_encoded(self: &Arc<Self>, value: T, parcel: Parcel) -> Begun<T> {
        let mut state = lock(&self.state);
        if let Some(why) = state.send_failure() {
            drop(state);
            return Begun::Done(Err(SendError::new(value, why)));
        }
        // From here on sends queue behind this one, until the pump has drained the queue.
        state.hold_direct(true);
        let outside = state.outside();
        if !state.queue.has_room(self.capacity, outside) {
            let id = state.queue.offer(value);
            drop(state);
            drop(parcel);
            self.pump();
            return Begun::Waits(id);
        }
        state.queue.accept(Slot::Wire(Box::new(parcel)));
        let news = self.available(&mut state);
        drop(state);
        // Before the pump binds what is in it: a receiver that is still in the value is not a sole one.
        drop(value);
        self.act_on(news);
        Begun::Done(Ok(()))
    }

    /// The leg took no more: makes sure the channel knows why, and says it.
    fn gone(self: &Arc<Self>, leg: &Leg) -> SendFailure {
        self.leg_cancelled(leg.key, &leg.session);
        lock(&self.state).send_failure().unwrap_or(SendFailure::Closed(Closed::Dropped))
    }

    /// Whether a message would be accepted now.
    fn has_room(&self, state: &State<T>) -> bool {
        if self.capacity > 0 {
            return state.queue.has_room(self.capacity, state.outside());
        }
        self.has_unmet_demand(state) && !state.queue.has_waiting()
    }

    /// Capacity 0: whether a receiver waits that nothing was handed or promised to.
    fn has_unmet_demand(&self, state: &State<T>) -> bool {
        self.capacity == 0
            && self.demand(state) > state.queue.accepted_len() + state.queue.reserved() as usize
    }

    /// How many receivers wait, here and remote.
    pub(super) fn demand(&self, state: &State<T>) -> usize {
        let remote = state.legs.as_ref().map_or(0, |legs| {
            legs.sinks.iter().map(|sink| sink.leg.send_status().demand as usize).sum::<usize>()
        });
        state.waiters.len() + remote
    }

    /// A message has become available: who is to have it?
    pub(super) fn available(&self, state: &mut State<T>) -> News {
        let mut news = News::default();
        let waiting = state.waiters.len() > 0;
        match state.legs.as_mut().filter(|legs| !legs.sinks.is_empty()) {
            Some(legs) if legs.remote_turn || !waiting => {
                legs.remote_turn = false;
                news.pump = true;
            }
            Some(legs) => {
                legs.remote_turn = true;
                news.wakes.push(state.waiters.notify_one());
            }
            None => news.wakes.push(state.waiters.notify_one()),
        }
        news
    }

    pub(super) fn act_on(self: &Arc<Self>, news: News) {
        news.wakes.wake();
        if news.pump {
            self.pump();
        }
    }

    // ---- sends that wait

    pub(crate) fn poll_offer(&self, id: u64, waker: &Waker) -> Poll<Result<(), SendError<T>>> {
        let mut state = lock(&self.state);
        let refused = state.send_failure();
        match state.queue.poll(id, waker, refused) {
            Standing::Done => Poll::Ready(Ok(())),
            Standing::Waits => Poll::Pending,
            Standing::Failed(value, why) => Poll::Ready(Err(SendError::new(value, why))),
        }
    }

    /// The send `id` is dropped; its value, if it never left.
    pub(crate) fn withdraw(&self, id: u64) -> Option<T> {
        lock(&self.state).queue.withdraw(id).ok().flatten()
    }

    // ---- reserve

    pub(crate) fn begin_reserve(self: &Arc<Self>) -> Result<Room, Closed> {
        let mut state = lock(&self.state);
        state.check_open()?;
        let room = if self.has_room(&state) {
            state.queue.reserve();
            Room::Kept
        } else {
            Room::Waits(state.queue.wait_for_room())
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
        let mut state = lock(&self.state);
        let closed = state.check_open().err();
        match state.queue.poll_reserve(id, cx.waker(), closed.is_some()) {
            None => Poll::Pending,
            Some(true) => Poll::Ready(Ok(())),
            Some(false) => Poll::Ready(Err(closed.unwrap_or(Closed::Dropped))),
        }
    }

    /// A waiting `reserve` is dropped; room that it had got meanwhile is given back.
    pub(crate) fn withdraw_reserve(self: &Arc<Self>, id: u64) {
        let withdrawn = lock(&self.state).queue.withdraw(id);
        if withdrawn.is_err() {
            self.unreserve();
        } else {
            self.pump();
        }
    }

    pub(crate) fn unreserve(self: &Arc<Self>) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.queue.unreserve();
        let (outside, before) = (state.outside(), state.queue.accepted_len());
        state.queue.admit(self.capacity, outside, &mut wakes);
        if state.queue.accepted_len() > before {
            wakes.push(state.waiters.notify_one());
        }
        if self.has_unmet_demand(&state) {
            state.queue.admit_reserve(&mut wakes);
        }
        drop(state);
        wakes.wake();
        self.pump();
    }

    /// Sends with room that was kept.
    pub(crate) fn send_reserved(self: &Arc<Self>, value: T) -> Result<(), SendError<T>> {
        let leg = {
            let state = lock(&self.state);
            state.legs.as_ref().and_then(|legs| legs.sinks.first()).map(|sink| sink.leg.clone())
        };
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
        let mut state = lock(&self.state);
        state.queue.unreserve();
        if let Some(why) = state.send_failure() {
            drop(state);
            drop(slot);
            return Err(why);
        }
        state.queue.accept(slot);
        let news = self.available(&mut state);
        drop(state);
        self.act_on(news);
        Ok(())
    }

    /// Room becomes a message under one lock: between the two nobody may take the room or close the channel.
    fn accept_reserved(self: &Arc<Self>, value: T, parcel: Option<Box<Parcel>>) -> Result<(), SendError<T>> {
        let mut state = lock(&self.state);
        state.queue.unreserve();
        if let Some(why) = state.send_failure() {
            drop(state);
            return Err(SendError::new(value, why));
        }
        let (slot, spent) = match parcel {
            Some(parcel) => (Slot::Wire(parcel), Some(value)),
            None => (Slot::Value(value), None),
        };
        state.queue.accept(slot);
        let news = self.available(&mut state);
        drop(state);
        // Before the pump binds what is in it: a receiver that is still in the value is not a sole one.
        drop(spent);
        self.act_on(news);
        Ok(())
    }
}

impl<T> State<T> {
    pub(super) fn check_open(&self) -> Result<(), Closed> {
        match (&self.refused, self.is_open()) {
            (Some(closed), _) => Err((**closed).clone()),
            (None, true) => Ok(()),
            (None, false) if self.end == End::Lost => Err(Closed::Disconnected),
            (None, false) => Err(Closed::BySender),
        }
    }

    /// Whether direct sends must queue.
    pub(super) fn hold_direct(&mut self, hold: bool) {
        for sink in self.legs.iter().flat_map(|legs| &legs.sinks) {
            sink.leg.set_backlog(hold);
        }
    }
}

/// Sends past the queue. On failure nothing is bound.
fn send_direct(leg: &Leg, encoded: &mut Encoded, bytes: &[u8]) -> Result<(), Blocked> {
    let attachments = if encoded.ends.is_empty() {
        Vec::new()
    } else {
        // Limits that are passed are told by the way through the queue.
        bind_all(leg, &mut encoded.ends).map_err(|_| Blocked::Room)?
    };
    let payload = match &encoded.shared {
        Some(shared) => Payload::Share(shared.clone()),
        None => Payload::Copy(bytes),
    };
    let codec = encoded.codec.id().0;
    let sent = leg.send(Outgoing { codec, flaw: Flaw::None, attachments: &attachments, payload });
    match sent {
        Ok(()) => announce_all(leg, &attachments, std::mem::take(&mut encoded.ends)),
        Err(_) => unbind_all(leg, &attachments, &encoded.ends),
    }
    sent
}

/// A message with more descriptors than may be on their way at once could never leave.
fn check_budget(ends: &[Attached], limit: usize) -> Result<(), SendFailure> {
    let count = ends.iter().filter(|end| matches!(end, Attached::Descriptor(..))).count();
    if count > limit { Err(SendFailure::TooManyAttachments { count, limit }) } else { Ok(()) }
}

fn check_pumpable(ends: &[Attached]) -> Result<(), SendFailure> {
    for end in ends {
        if let Attached::Descriptor(_, Some(hold)) = end {
            hold.check_pumpable().map_err(|error| SendFailure::NotPumpable(error.what))?;
        }
    }
    Ok(())
}

/// A send that waits in the queue. Dropping it withdraws the value, unless it has left.
pub(crate) struct Offered<'a, T> {
    chan: &'a Arc<Chan<T>>,
    id: Option<u64>,
}

impl<'a, T> Offered<'a, T> {
    pub(crate) fn new(chan: &'a Arc<Chan<T>>, id: u64) -> Self {
        Self { chan, id: Some(id) }
    }
}

impl<T> Future for Offered<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(id) = self.id else { return Poll::Pending };
        let result = self.chan.poll_offer(id, cx.waker());
        if result.is_ready() {
            self.id = None;
        }
        result
    }
}

impl<T> Drop for Offered<'_, T> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            drop(self.chan.withdraw(id));
        }
    }
}
