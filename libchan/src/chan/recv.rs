//! Receiving: from the queue, or past it from the inbox of the one session that feeds the channel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use libchan_proto::{Attachment, Body, Flaw, Message, TakeLone};

use super::Chan;
use super::here::Polled;
use super::legs::{Legs, Pumping};
use super::news::parcel_of;
use super::queue::Slot;
use super::state::{End, Local, Locked, State};
use crate::attach::{Attached, Ends, Unclaimed};
use crate::codec::AnyCodec;
use crate::error::{RecvError, TryRecvError};
use crate::give_way::poll_budget;
use crate::message::Arrived;
use crate::parcel::{Parcel, PayloadBytes, flaw_error};
use crate::scratch::Scratch;
use crate::session::{Leg, Parked, Refill};
use crate::spare;
use crate::waiters::Waiters;

/// What was taken under the lock, to be decoded after it.
pub(super) enum Got<T> {
    Value(T),
    Wire(Box<Parcel>),
    /// From the inbox; a small payload is in the scratch buffer.
    Inbox {
        codec: AnyCodec,
        flaw: Flaw,
        shared: Option<Bytes>,
        ends: Ends,
        headers: Option<Box<[u8]>>,
    },
    End(Result<Option<T>, RecvError>),
    Nothing,
}

/// What the sole source's inbox had.
enum Direct<T> {
    Got(Got<T>),
    /// Nothing, and the receive waits at the port, which is lent.
    Waits,
    /// Nothing; the receiver is to wait in the channel's own line.
    Empty,
    /// The source has ended.
    Ended,
}

/// Where a waiting `recv` is known.
#[derive(Default)]
pub(crate) struct Place {
    /// In the channel's line.
    pub(super) ticket: Option<u64>,
    /// At the session's port.
    pub(super) parked: Option<Parked>,
}

impl Place {
    #[inline]
    pub(super) fn wait(&mut self, line: &mut Waiters, waker: &Waker) {
        // Not written for nothing: whoever copies this next would wait for the write.
        if self.parked.is_some() {
            self.parked = None;
        }
        line.wait(&mut self.ticket, waker);
    }

    #[inline]
    pub(super) fn leave(&mut self, line: &mut Waiters) {
        if let Some(ticket) = self.ticket.take() {
            line.leave(ticket);
        }
    }
}

impl<T> Chan<T> {
    /// A receive that the short ways leave to the general one.
    #[inline(never)]
    pub(super) fn poll_recv_anywhere(
        self: &Arc<Self>,
        state: Locked<'_, T>,
        value: &mut Option<T>,
        waker: &Waker,
        place: &mut Place,
    ) -> Polled<RecvError> {
        if self.effort.is_due() {
            // Nobody is woken under the lock.
            drop(state);
            return match self.effort.poll_turn(waker) {
                Poll::Ready(()) => self.poll_recv_anywhere(self.lock(), value, waker, place),
                Poll::Pending => Polled::Waits,
            };
        }
        let mut scratch = Scratch::take();
        match self.poll_take(state, waker, place, &mut scratch) {
            Poll::Ready(got) => Polled::giving(self.finish(got, &scratch), value),
            Poll::Pending => {
                self.effort.forget();
                Polled::Waits
            }
        }
    }

    /// The next message in whatever form it has, for forwarding.
    pub(crate) fn poll_slot(
        self: &Arc<Self>,
        waker: &Waker,
        place: &mut Place,
    ) -> Poll<Result<Option<Slot<T>>, RecvError>> {
        match self.take_lent(waker, place) {
            Some((leg, TakeLone::Taken(mut inbox))) => {
                let slot = inbox.pop().map(|message| Slot::Wire(Box::new(parcel_of(leg, message, None))));
                spare::put(inbox);
                return Poll::Ready(Ok(slot));
            }
            Some((_, TakeLone::Nothing)) => return Poll::Pending,
            _ => {}
        }
        let mut scratch = Scratch::take();
        let got = ready!(self.poll_take(self.lock(), waker, place, &mut scratch));
        Poll::Ready(match got {
            Got::Value(value) => Ok(Some(Slot::Value(value))),
            Got::Wire(parcel) => Ok(Some(Slot::Wire(parcel))),
            Got::Inbox { codec, flaw, shared, ends, headers } => {
                let payload = shared.unwrap_or_else(|| Bytes::copy_from_slice(scratch.bytes()));
                let payload = PayloadBytes::Whole(payload);
                let parcel = Parcel {
                    codec,
                    flaw,
                    payload,
                    ends,
                    headers,
                    bound: None,
                    held: None,
                    forwarded: true,
                    from: None,
                };
                Ok(Some(Slot::Wire(Box::new(parcel))))
            }
            Got::End(end) => end.map(|value| value.map(Slot::Value)),
            Got::Nothing => Ok(None),
        })
    }

    fn poll_take(
        self: &Arc<Self>,
        mut state: Locked<'_, T>,
        waker: &Waker,
        place: &mut Place,
        scratch: &mut Scratch,
    ) -> Poll<Got<T>> {
        let got = self.take(&mut state, scratch, Some((waker, place)));
        if matches!(got, Got::Nothing) {
            return Poll::Pending;
        }
        leave_line(&mut state, place);
        self.pass_on(state);
        Poll::Ready(got)
    }

    pub(crate) fn try_recv(self: &Arc<Self>) -> Result<T, TryRecvError> {
        let mut scratch = Scratch::take();
        let mut state = self.lock();
        let got = self.take(&mut state, &mut scratch, None);
        if matches!(got, Got::Nothing) {
            // A message larger than its window comes only where a receive wants it.
            state.legs.await_sources(true);
        }
        self.pass_on(state);
        match got {
            Got::Nothing => Err(TryRecvError::Empty),
            got => match self.finish(got, &scratch) {
                Ok(Some(value)) => Ok(value),
                Ok(None) => Err(TryRecvError::Ended),
                Err(error) => Err(TryRecvError::Failed(error)),
            },
        }
    }

    /// After a take: the next one in line, if there is more, and remote receivers.
    fn pass_on(self: &Arc<Self>, mut state: Locked<'_, T>) {
        if state.end() != End::Open {
            // Every receiver that waits is to see the end, not only the one that found it.
            state.wake_receivers();
        } else if state.waiting_receivers() > 0
            && (state.may_be_taken(self.capacity)
                || state.legs.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty()))
        {
            state.wake_receiver();
        } else if state.waiting_receivers() > 0 {
            // The message that was taken was awaited by one of them; the next one is too.
            state.legs.await_sources(true);
        }
        let pump = state.has_sinks();
        drop(state);
        if pump {
            self.pump();
        }
    }

    /// Decodes what was taken, under no lock.
    pub(super) fn finish(&self, got: Got<T>, scratch: &Scratch) -> Result<Option<T>, RecvError> {
        match got {
            Got::Value(value) => Ok(Some(value)),
            Got::Wire(parcel) => {
                let payload = parcel.payload.into_whole();
                flaw_error(parcel.flaw, &payload)?;
                self.decode(parcel.codec, &payload, Some(&payload), parcel.ends, parcel.headers)
            }
            Got::Inbox { codec, flaw, shared, ends, headers } => {
                let payload = shared.as_deref().unwrap_or_else(|| scratch.bytes());
                flaw_error(flaw, payload)?;
                self.decode(codec, payload, shared.as_ref(), ends, headers)
            }
            Got::End(end) => end,
            Got::Nothing => Ok(None),
        }
    }

    /// Decodes a message that was taken with its inbox.
    pub(super) fn decode_message(&self, leg: &Leg, message: Message<'_>) -> Result<Option<T>, RecvError> {
        let ends = attached_all(leg, message.attachments);
        let (payload, shared) = match &message.body {
            Body::Slice(bytes) => (*bytes, None),
            Body::Shared(bytes) => (&bytes[..], Some(bytes)),
        };
        flaw_error(message.flaw, payload)?;
        self.decode(leg.session.codec_by_id(message.codec), payload, shared, ends, message.headers)
    }

    /// `shared` is the payload again, where it can be kept without a copy.
    fn decode(
        &self,
        codec: AnyCodec,
        payload: &[u8],
        shared: Option<&Bytes>,
        ends: Ends,
        headers: Option<Box<[u8]>>,
    ) -> Result<Option<T>, RecvError> {
        if shared.is_some() {
            self.effort.add(payload.len());
        }
        match self.erased() {
            Some(erased) => (erased.decode)(Arrived { codec, payload, shared, ends, headers }).map(Some),
            None => Err(no_codec()),
        }
    }

    /// Takes the next message, or takes a place in the line.
    fn take(
        &self,
        state: &mut Locked<'_, T>,
        scratch: &mut Scratch,
        mut wait: Option<(&Waker, &mut Place)>,
    ) -> Got<T> {
        if state.is_refused() && self.receivers() > 0 && !state.has_sinks() {
            return Got::End(Ok(None));
        }
        loop {
            if state.has_queued()
                && let Some(got) = self.take_queued(state, &mut wait)
            {
                return got;
            }
            if self.is_direct(state) {
                state.legs.set_absorbed(false);
                let waker = wait.as_mut().map(|(waker, place)| (*waker, &mut **place));
                match self.take_direct(state, scratch, waker) {
                    Direct::Got(got) => return got,
                    Direct::Waits => return Got::Nothing,
                    Direct::Ended => continue,
                    Direct::Empty => {}
                }
            } else if state.has_sources() && self.absorb_rest(state) {
                continue;
            }
            break;
        }
        if let Some(end) = state.ending() {
            return Got::End(end);
        }
        if let Some((waker, place)) = wait {
            state.legs.await_sources(true);
            place.wait(&mut state.local().receivers, waker);
            self.ask_sources(state);
            self.admit_reserve(state);
        }
        Got::Nothing
    }

    fn take_queued(
        &self,
        state: &mut Locked<'_, T>,
        wait: &mut Option<(&Waker, &mut Place)>,
    ) -> Option<Got<T>> {
        let Some(slot) = state.local().queue.pop() else {
            let (local, wakes) = state.parts().filter(|_| self.capacity == 0)?;
            return local.queue.take_offered(wakes).map(Got::Value);
        };
        if state.has_sources() {
            // One receiver less waits: said before what it took, or its place would be asked for again.
            if let Some((_, place)) = wait {
                leave_line(state, place);
            }
            self.ask_sources(state);
        }
        state.grant(self.capacity);
        Some(match slot {
            Slot::Value(value) => Got::Value(value),
            Slot::Wire(mut parcel) => {
                if let Some(from) = parcel.from.take() {
                    state.report(&from, 1, from.charge);
                }
                Got::Wire(parcel)
            }
        })
    }

    /// Takes from the sole source's inbox.
    fn take_direct(
        &self,
        state: &mut Locked<'_, T>,
        scratch: &mut Scratch,
        mut wait: Option<(&Waker, &mut Place)>,
    ) -> Direct<T> {
        loop {
            let listed = wait.as_ref().and_then(|(_, place)| place.ticket);
            let others = state.others(listed);
            if let Some(got) = pop_inbox(&mut state.legs, self.capacity, scratch, others) {
                return Direct::Got(got);
            }
            // A lone receiver waits at the port, where the driver wakes it without this lock.
            let lends = wait.is_some() && listed.is_none() && others == 0 && self.may_lend(state);
            let Some(source) = state.legs.source_mut() else { return Direct::Ended };
            let (leg, mut owed) = (source.leg.clone(), source.take_owed());
            let at_port = wait.as_mut().filter(|_| lends).map(|(waker, place)| (*waker, &mut place.parked));
            let legs = &mut state.legs;
            match leg.refill(&mut legs.inbox, &mut owed, self.capacity == 0, at_port) {
                Refill::Messages { starved } => legs.set_starved(starved),
                Refill::Closed(close) => {
                    self.source_closed(state, &leg, close);
                    return Direct::Ended;
                }
                Refill::Empty if lends => {
                    self.note_lent();
                    return Direct::Waits;
                }
                Refill::Empty => return Direct::Empty,
            }
        }
    }

    /// A waiting `recv` is dropped: what it was told of is passed on.
    pub(crate) fn withdraw_recv(self: &Arc<Self>, place: &mut Place) {
        if let (Some(name), Some(leg)) = (place.parked.take(), self.way.get()) {
            // Where the port is lent nobody else waits, and what it was told of is there for whoever receives next.
            leg.unpark(name);
        }
        let Some(ticket) = place.ticket.take() else { return };
        let mut state = self.lock();
        let told = state.local_mut().is_some_and(|local| !local.receivers.leave(ticket));
        if told {
            state.wake_receiver();
        }
        if state.waiting_receivers() == 0 && !state.has_sinks() {
            state.legs.await_sources(false);
        }
        self.ask_sources(&state);
        let pump = told && state.has_sinks();
        drop(state);
        if pump {
            self.pump();
        }
    }
}

/// A `recv` has what it wanted: it waits nowhere any more.
#[inline]
pub(super) fn leave_line<T>(state: &mut State<T>, place: &mut Place) {
    if let Some(local) = state.local_mut() {
        place.leave(&mut local.receivers);
    }
    place.parked = None;
}

impl<T> State<T> {
    /// How many receivers wait in line besides the one with the ticket `listed`.
    fn others(&self, listed: Option<u64>) -> u32 {
        let waiting = self.waiting_receivers();
        let known = |local: &Local<T>| listed.is_some_and(|ticket| local.receivers.has(ticket));
        (waiting - usize::from(waiting > 0 && self.local_ref().is_some_and(known))) as u32
    }

    /// The end of the channel, once everything before it was taken.
    fn ending(&self) -> Option<Result<Option<T>, RecvError>> {
        if self.legs.pumping != Pumping::No || self.legs.sinks().iter().any(|sink| sink.has_in_hand()) {
            // Another receiver may yet leave without taking what it has, or is just being sent.
            return None;
        }
        match self.end() {
            End::Open | End::Tentative => None,
            End::Clean => Some(Ok(None)),
            End::Error => self.error().cloned().map(|cause| Err(cause.into_recv_error())),
        }
    }
}

/// Takes the next message of the sole source; `others` receivers wait besides the one that takes it.
pub(super) fn pop_inbox<T>(
    legs: &mut Legs,
    capacity: u32,
    scratch: &mut Scratch,
    others: u32,
) -> Option<Got<T>> {
    let mut inbox = legs.inbox.take()?;
    let message = inbox.pop();
    let taken = message.and_then(|message| legs.sources().first().map(|source| (source, message)));
    let Some((source, message)) = taken else {
        legs.inbox = Some(inbox);
        return None;
    };
    let charge = message.charge;
    let shared = match message.body {
        Body::Slice(bytes) => {
            scratch.buffer().extend_from_slice(bytes);
            None
        }
        Body::Shared(bytes) => Some(bytes),
    };
    let ends = attached_all(&source.leg, message.attachments);
    let codec = source.leg.session.codec_by_id(message.codec);
    let got = Got::Inbox { codec, flaw: message.flaw, shared, ends, headers: message.headers };
    let half_window = inbox.half_window();
    legs.inbox = Some(inbox);
    legs.put_inbox_aside();
    legs.account(charge, half_window, capacity, others);
    Some(got)
}

#[cold]
pub(super) fn no_codec() -> RecvError {
    RecvError::Decode("the channel has no codec".to_owned())
}

fn attached_all(leg: &Leg, attachments: &[Attachment]) -> Ends {
    let mut ends = Ends::new();
    for &attachment in attachments {
        ends.push(attached(leg, attachment));
    }
    ends
}

pub(super) fn attached(leg: &Leg, attachment: Attachment) -> Attached {
    Attached::Unclaimed(Unclaimed::new(Leg { session: leg.session.clone(), key: attachment.key }, attachment))
}

/// A `recv` call. Dropping it loses nothing.
pub(crate) struct Recv<'a, T> {
    chan: &'a Arc<Chan<T>>,
    place: Place,
}

impl<'a, T> Recv<'a, T> {
    #[inline]
    pub(crate) fn new(chan: &'a Arc<Chan<T>>) -> Self {
        Self { chan, place: Place::default() }
    }
}

impl<T> Future for Recv<'_, T> {
    type Output = Result<Option<T>, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let budget = ready!(poll_budget(cx));
        let mut value = None;
        let polled = this.chan.poll_recv(&mut value, cx.waker(), &mut this.place);
        budget.spend_if(!matches!(polled, Polled::Waits));
        polled.with(value)
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.place.ticket.is_some() || self.place.parked.is_some() {
            self.chan.withdraw_recv(&mut self.place);
        }
    }
}
