//! Sending: at once, or by leaving the value in the queue until there is room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use libchan_proto::{Blocked, Flaw, Outgoing, Payload};

use super::Chan;
use super::bind::{Streams, announce_all, bind_all, unbind_all};
use super::here::{Number, Polled};
use super::plain::Tried;
use super::queue::{Slot, Standing};
use super::state::{Locked, State};
use crate::attach::Attached;
use crate::codec::AnyCodec;
use crate::cut;
use crate::error::{Closed, SendError, SendFailure, TrySendError};
use crate::give_way::poll_budget;
use crate::message::Encoded;
use crate::parcel::{Parcel, PayloadBytes};
use crate::scratch::Scratch;
use crate::session::Leg;

/// From this size on a payload is handed on as it is rather than copied into the session's output.
pub(super) const LARGE: usize = 4096;

/// How a send began.
pub(super) enum Begun<T> {
    Done(Result<(), SendError<T>>),
    /// The value waits in the queue under this number.
    Waits(u64),
}

impl<T> Chan<T> {
    /// A send that the short ways leave to the general one.
    pub(super) fn poll_begun(
        self: &Arc<Self>,
        begun: Begun<T>,
        waits: &mut Option<Number>,
        waker: &Waker,
    ) -> Polled<SendError<T>> {
        match begun {
            Begun::Done(result) => Polled::giving(result, &mut ()),
            Begun::Waits(id) => {
                let number = Number { id, near: false };
                *waits = Some(number);
                let standing = self.poll_offer(number, waits, waker);
                if matches!(standing, Polled::Waits) {
                    self.effort.forget();
                }
                standing
            }
        }
    }

    fn begin_send(self: &Arc<Self>, value: T) -> Begun<T> {
        match self.sink() {
            Some(leg) => {
                let mut scratch = Scratch::take();
                let tried = self.try_plain(leg, &value, &mut scratch);
                self.go_on(leg, tried, value, &mut scratch)
            }
            None => self.begin_send_anywhere(self.lock(), value),
        }
    }

    pub(super) fn begin_send_anywhere(self: &Arc<Self>, mut state: Locked<'_, T>, value: T) -> Begun<T> {
        if let Some(why) = state.send_failure() {
            return Begun::Done(Err(SendError::new(value, why)));
        }
        if self.capacity > 0
            && let Some(sink) = state.legs.sinks().first()
        {
            let leg = sink.leg.clone();
            drop(state);
            let mut scratch = Scratch::take();
            return match self.encode(&value, leg.session.codec(), &mut scratch) {
                Ok(encoded) => self.send_checked(&leg, value, encoded, &mut scratch, false),
                Err(why) => Begun::Done(Err(SendError::new(value, why))),
            };
        }
        let queue = &mut state.local().queue;
        let begun = if queue.has_room(self.capacity, 0) {
            queue.accept(Slot::Value(value));
            Begun::Done(Ok(()))
        } else {
            Begun::Waits(queue.offer(value))
        };
        if self.capacity == 0 || matches!(begun, Begun::Done(_)) {
            self.serve(state);
        }
        begun
    }

    pub(crate) fn try_send(self: &Arc<Self>, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.lock();
        if let Some(why) = state.send_failure() {
            return Err(TrySendError::Failed(SendError::new(value, why)));
        }
        if !self.has_room(&state) {
            return Err(TrySendError::Full(value));
        }
        if self.capacity == 0 {
            // Handed over to a receiver that waits: not completed by its taking it.
            state.local().queue.accept(Slot::Value(value));
            self.serve(state);
            return Ok(());
        }
        drop(state);
        match self.begin_send(value) {
            Begun::Done(result) => result.map_err(TrySendError::Failed),
            Begun::Waits(id) => match self.finish_or_withdraw(id) {
                Some(value) => Err(TrySendError::Full(value)),
                None => Ok(()),
            },
        }
    }

    /// Sends, and does not wait for room: what finds none is sent when there is some. For channels of one value.
    pub(crate) fn send_now(self: &Arc<Self>, value: T) -> Result<(), SendError<T>> {
        if let Some(leg) = self.sink()
            && let Err(why) = leg.session.check_replies()
        {
            return Err(SendError::new(value, why));
        }
        match self.begin_send(value) {
            Begun::Done(Ok(())) => {
                self.note_reply();
                Ok(())
            }
            Begun::Done(error) => error,
            Begun::Waits(id) => self.accept_without_room(id),
        }
    }

    /// A value that found no room is accepted all the same: its sender does not wait, and sends no other.
    fn accept_without_room(self: &Arc<Self>, id: u64) -> Result<(), SendError<T>> {
        let Some(value) = self.withdraw(id) else { return Ok(()) };
        let mut state = self.lock();
        if let Some(why) = state.send_failure() {
            return Err(SendError::new(value, why));
        }
        state.hold_direct(true);
        state.local().queue.accept(Slot::Value(value));
        self.serve(state);
        self.pump();
        Ok(())
    }

    /// A reply that could not leave at once is counted for as long as it waits.
    fn note_reply(&self) {
        let Some(leg) = self.sink() else { return };
        let mut state = self.lock();
        if let Some(parcel) = state.local_mut().and_then(|local| local.queue.last_parcel()) {
            parcel.held = Some(leg.session.hold_reply(parcel.payload.len()));
        }
    }

    /// Why nothing more is taken, also if the peer has said so and the channel has not been told yet.
    pub(crate) fn refused(&self) -> Option<Closed> {
        let state = self.lock();
        if let Err(closed) = state.check_open() {
            return Some(closed);
        }
        let [sink] = state.legs.sinks() else { return None };
        let cancel = sink.leg.send_status().cancelled?;
        Some(sink.leg.session.cause(cancel.reason).into_closed())
    }

    /// What follows an attempt to send a plain message.
    pub(super) fn go_on(
        self: &Arc<Self>,
        leg: &Leg,
        tried: Tried,
        value: T,
        scratch: &mut Scratch,
    ) -> Begun<T> {
        match tried {
            Tried::Sent => Begun::Done(Ok(())),
            Tried::Gone => Begun::Done(Err(SendError::new(value, self.gone(leg)))),
            Tried::Failed(why) => Begun::Done(Err(SendError::new(value, why))),
            Tried::Refused => {
                let parcel = Parcel::encoded(Encoded::plain(leg.session.codec()), scratch.bytes());
                self.queue_encoded(value, parcel)
            }
            Tried::Other(encoded) => self.send_checked(leg, value, encoded, scratch, true),
        }
    }

    /// Any other message than a small one that carries nothing. `direct`: past the queue, if nothing waits in it.
    #[inline(never)]
    fn send_checked(
        self: &Arc<Self>,
        leg: &Leg,
        value: T,
        encoded: Option<Encoded>,
        scratch: &mut Scratch,
        direct: bool,
    ) -> Begun<T> {
        let mut encoded = match checked(leg, encoded, scratch) {
            Ok(encoded) => encoded,
            Err(why) => return Begun::Done(Err(SendError::new(value, why))),
        };
        self.note_large(&encoded);
        if direct {
            match send_direct(leg, &mut encoded, scratch.bytes()) {
                Ok(Ok(())) => {
                    // What was in it has gone on.
                    cut::spending(|| drop(value));
                    return Begun::Done(Ok(()));
                }
                Ok(Err(Blocked::Gone)) => return Begun::Done(Err(SendError::new(value, self.gone(leg)))),
                Ok(Err(_)) => {}
                Err(why) => return Begun::Done(Err(SendError::new(value, why))),
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
        let encoded = self.encode(value, leg.session.codec(), scratch)?;
        let encoded = checked(leg, encoded, scratch)?;
        self.note_large(&encoded);
        Ok(encoded)
    }

    fn note_large(&self, encoded: &Encoded) {
        match &encoded.kept {
            Some(PayloadBytes::Whole(bytes)) => self.effort.add(bytes.len()),
            Some(PayloadBytes::Parts(_)) => self.effort.add_turn(),
            None => {}
        }
    }

    /// Encodes on the caller's thread, so that a failure has its value back. `None`: a plain message.
    #[inline]
    pub(super) fn encode(
        &self,
        value: &T,
        codec: &AnyCodec,
        scratch: &mut Scratch,
    ) -> Result<Option<Encoded>, SendFailure> {
        match self.erased() {
            Some(erased) => (erased.encode)(value, codec, scratch.for_encoding()),
            None => Err(SendFailure::Encode("the channel has no codec".to_owned())),
        }
    }

    fn queue_encoded(self: &Arc<Self>, value: T, parcel: Parcel) -> Begun<T> {
        let mut state = self.lock();
        if let Some(why) = state.send_failure() {
            drop(state);
            return Begun::Done(Err(SendError::new(value, why)));
        }
        // From here on sends queue behind this one, until the pump has drained the queue.
        state.hold_direct(true);
        if !self.has_room(&state) {
            drop(state);
            return self.offer(value, parcel);
        }
        state.local().queue.accept(Slot::Wire(Box::new(parcel)));
        let pump = self.available(&mut state);
        drop(state);
        // Before the pump binds what is in it: a receiver that is still in the value is not a sole one.
        cut::spending(|| drop(value));
        if pump {
            self.pump();
        }
        Begun::Done(Ok(()))
    }

    /// Leaves the value in the queue until there is room, with its encoding if nothing is in that.
    fn offer(self: &Arc<Self>, value: T, parcel: Parcel) -> Begun<T> {
        // Let go before anybody may encode the value again: it holds the streams that are in it.
        let parcel = Some(parcel).filter(|parcel| parcel.ends.is_empty()).map(Box::new);
        let mut state = self.lock();
        if let Some(why) = state.send_failure() {
            return Begun::Done(Err(SendError::new(value, why)));
        }
        // Nothing may pass it.
        state.hold_direct(true);
        let queue = &mut state.local().queue;
        let id = match parcel {
            Some(parcel) => queue.offer_encoded(value, parcel),
            None => queue.offer(value),
        };
        drop(state);
        self.pump();
        Begun::Waits(id)
    }

    /// The leg took no more: makes sure the channel knows why, and says it.
    fn gone(self: &Arc<Self>, leg: &Leg) -> SendFailure {
        self.leg_cancelled(leg.key, &leg.session);
        self.lock().send_failure().unwrap_or(SendFailure::Closed(Closed::Dropped))
    }

    /// Whether a message would be accepted now.
    pub(super) fn has_room(&self, state: &State<T>) -> bool {
        if self.capacity == 0 {
            return self.has_unmet_demand(state) && !state.has_waiting();
        }
        let here = state.accepted_len() as u32 - state.absorbed() + state.reserved();
        let within = state.local_ref().is_none_or(|local| local.queue.has_byte_room());
        !state.has_waiting() && here + state.outside() < self.capacity && within
    }

    /// Capacity 0: whether a receiver waits that nothing was handed or promised to.
    pub(super) fn has_unmet_demand(&self, state: &State<T>) -> bool {
        self.capacity == 0 && self.demand(state) > state.accepted_len() + state.reserved() as usize
    }

    /// How many receivers wait, here and remote.
    pub(super) fn demand(&self, state: &State<T>) -> usize {
        let remote = state.legs.sinks().iter().map(|sink| sink.leg.send_status().demand as usize);
        state.waiting_receivers() + remote.sum::<usize>()
    }

    /// A message has become available: wakes who is to have it. True: a remote receiver is.
    pub(super) fn available(&self, state: &mut Locked<'_, T>) -> bool {
        let remote = state.has_sinks() && (state.legs.remote_turn || state.waiting_receivers() == 0);
        state.legs.remote_turn = state.has_sinks() && !remote;
        if !remote {
            state.wake_receiver();
        }
        remote
    }

    /// The same, and lets it go.
    pub(super) fn serve(self: &Arc<Self>, mut state: Locked<'_, T>) {
        let pump = self.available(&mut state);
        drop(state);
        if pump {
            self.pump();
        }
    }

    // ---- sends that wait

    pub(super) fn poll_offer(
        self: &Arc<Self>,
        number: Number,
        waits: &mut Option<Number>,
        waker: &Waker,
    ) -> Polled<SendError<T>> {
        let mut state = self.lock();
        let refused = state.send_failure();
        let standing = state.local().queue.poll(number.id, waker, refused);
        if !matches!(standing, Standing::Waits) {
            *waits = None;
        }
        match standing {
            Standing::Done => Polled::Done,
            Standing::Waits => Polled::Waits,
            Standing::Accepted(spent) => {
                self.serve_spent(state, spent);
                Polled::Done
            }
            Standing::Failed(value, why) => {
                self.pass_room_on(state);
                Polled::failed(SendError::new(value, why))
            }
        }
    }

    /// As [`serve`](Self::serve). What is left of the value, if it went on encoded, goes before the pump binds what is in it: a
    /// receiver that is still in the value is not a sole one.
    fn serve_spent(self: &Arc<Self>, mut state: Locked<'_, T>, spent: Option<T>) {
        let pump = self.available(&mut state);
        drop(state);
        drop(spent);
        if pump {
            self.pump();
        }
    }

    /// A send goes that room may have been kept for: the next one gets it. With capacity 0 there is none.
    fn pass_room_on(self: &Arc<Self>, mut state: Locked<'_, T>) {
        if self.capacity == 0 {
            return;
        }
        state.grant(self.capacity);
        // Until now the kept room held up direct sends, or the end.
        let pump = state.has_sinks();
        drop(state);
        if pump {
            self.pump();
        }
    }

    /// Nothing more is accepted while the encoded messages that wait here take this much or more.
    pub(crate) fn set_byte_limit(self: &Arc<Self>, bytes: usize) {
        let mut state = self.lock();
        state.local().queue.set_byte_limit(bytes);
        self.pass_room_on(state);
    }

    /// How many messages wait here, and what those of them take that are encoded.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let state = self.lock();
        state.local_ref().map_or((0, 0), |local| (local.queue.accepted_len(), local.queue.bytes()))
    }

    /// The send `id` is dropped; its value, if it never left.
    fn withdraw(self: &Arc<Self>, id: u64) -> Option<T> {
        let mut state = self.lock();
        let value = state.local().queue.withdraw(id).ok().flatten();
        self.pass_room_on(state);
        value
    }

    /// The send `id` does not wait: it is accepted if room is kept for it, else its value comes back.
    fn finish_or_withdraw(self: &Arc<Self>, id: u64) -> Option<T> {
        let mut state = self.lock();
        let refused = state.send_failure();
        match state.local().queue.poll(id, Waker::noop(), refused) {
            Standing::Accepted(spent) => {
                self.serve_spent(state, spent);
                None
            }
            Standing::Done => None,
            Standing::Failed(value, _) => Some(value),
            Standing::Waits => {
                drop(state);
                self.withdraw(id)
            }
        }
    }
}

/// What can be checked of an encoded value before a byte of it is sent.
fn checked(leg: &Leg, encoded: Option<Encoded>, scratch: &mut Scratch) -> Result<Encoded, SendFailure> {
    let (codec, limits) = leg.session.terms();
    let mut encoded = encoded.unwrap_or_else(|| Encoded::plain(codec));
    let size = encoded.kept.as_ref().map_or_else(|| scratch.bytes().len(), PayloadBytes::len);
    let limit = limits.max_message as usize;
    if size > limit {
        return Err(SendFailure::TooLarge { size, limit });
    }
    if !encoded.ends.is_empty() {
        check_ends(leg, &encoded.ends)?;
    }
    if encoded.kept.is_none() {
        encoded.kept = scratch.take_large(LARGE).map(PayloadBytes::Whole);
    }
    Ok(encoded)
}

/// Sends past the queue. On failure nothing is bound; an error is of the message and stays.
fn send_direct(leg: &Leg, encoded: &mut Encoded, bytes: &[u8]) -> Result<Result<(), Blocked>, SendFailure> {
    // A receiver in the message is bound only once the value is gone, which takes the way through the queue.
    if encoded.ends.iter().any(|end| !matches!(end, Attached::Sender(_))) {
        return Ok(Err(Blocked::Backlog));
    }
    let payload = encoded.kept.as_ref().map_or(Payload::Copy(bytes), PayloadBytes::to_payload);
    let codec = encoded.codec.id().0;
    let attachments = bind_all(leg, &mut encoded.ends, Streams::Go)?;
    let headers = encoded.headers.as_deref().unwrap_or_default();
    let sent = leg.send(Outgoing { codec, flaw: Flaw::None, attachments: &attachments, headers, payload });
    match sent {
        // None of them is a stream.
        Ok(()) => drop(announce_all(leg, &attachments, std::mem::take(&mut encoded.ends))),
        Err(_) => unbind_all(leg, &attachments, &encoded.ends),
    }
    Ok(sent)
}

/// What can be known about the ends of a message before any of them is bound.
fn check_ends(leg: &Leg, ends: &[Attached]) -> Result<(), SendFailure> {
    let limits = leg.session.limits();
    if ends.len() > limits.max_attachments as usize {
        let limit = limits.max_attachments as usize;
        return Err(SendFailure::TooManyAttachments { count: ends.len(), limit });
    }
    if leg.session.passes_descriptors() {
        check_budget(ends, limits.max_descriptors as usize)
    } else {
        check_pumpable(ends)
    }
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

/// A `send` call. Dropping it withdraws the value, unless it has left.
pub(crate) struct Sending<'a, T> {
    chan: &'a Arc<Chan<T>>,
    /// Until the first poll.
    value: Option<T>,
    /// Under which number it waits in the queue.
    waits: Option<Number>,
    /// It gave way, with its value still here.
    gave_way: bool,
}

impl<'a, T> Sending<'a, T> {
    #[inline]
    pub(crate) fn new(chan: &'a Arc<Chan<T>>, value: T) -> Self {
        Self { chan, value: Some(value), waits: None, gave_way: false }
    }
}

impl<T> Sending<'_, T> {
    /// Gives up; the value, if it never left.
    pub(crate) fn take_back(mut self) -> Option<T> {
        let waits = self.waits.take();
        self.value.take().or_else(|| self.chan.withdraw(waits?.id))
    }
}

/// The value is never pinned: it is moved into the queue.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let budget = ready!(poll_budget(cx));
        if this.value.is_some() {
            let (chan, gave_way) = (this.chan, &mut this.gave_way);
            ready!(chan.effort.poll_turn_in_order(gave_way, cx.waker(), || chan.lock().has_queued()));
        }
        let polled = this.chan.poll_send(&mut this.value, &mut this.waits, cx.waker());
        budget.spend_if(!matches!(polled, Polled::Waits));
        polled.with(())
    }
}

impl<T> Drop for Sending<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(number) = self.waits {
            drop(self.chan.withdraw(number.id));
        } else if self.gave_way {
            self.chan.effort.leave();
        }
    }
}
