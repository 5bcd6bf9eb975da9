//! Receiving: from the queue, or past it from the inbox of the one session that feeds the channel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use libchan_proto::{Body, Flaw};

use super::queue::Slot;
use super::{Chan, End, Legs, State, Wakes, wait_on};
use crate::attach::{Attached, Unclaimed};
use crate::codec::AnyCodec;
use crate::error::{RecvError, TryRecvError};
use crate::message::Arrived;
use crate::parcel::{Parcel, flaw_error};
use crate::scratch::Scratch;
use crate::session::{Leg, Refill};
use crate::sync::lock;

/// What was taken under the lock, to be decoded after it.
pub(super) enum Got<T> {
    Value(T),
    Wire(Box<Parcel>),
    /// From the inbox; a small payload is in the scratch buffer.
    Inbox {
        codec: AnyCodec,
        flaw: Flaw,
        shared: Option<Bytes>,
        ends: Vec<Attached>,
    },
    End(Result<Option<T>, RecvError>),
    Nothing,
}

/// What the sole source's inbox had.
enum Direct<T> {
    Got(Got<T>),
    /// Nothing, and the receiver waits in the session's port.
    Parked,
    /// Nothing; the receiver is to wait in the channel's own line.
    Empty,
    /// The source has ended.
    Ended,
}

/// Where a waiting `recv` is known.
#[derive(Default)]
pub(crate) struct Place {
    ticket: Option<u64>,
    parked: bool,
}

impl<T> Chan<T> {
    pub(crate) fn poll_recv(
        self: &Arc<Self>,
        waker: &Waker,
        place: &mut Place,
    ) -> Poll<Result<Option<T>, RecvError>> {
        let mut scratch = Scratch::take();
        match self.poll_take(waker, place, &mut scratch) {
            Poll::Ready(got) => Poll::Ready(self.finish(got, &scratch)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The next message in whatever form it has, for forwarding.
    pub(crate) fn poll_slot(
        self: &Arc<Self>,
        waker: &Waker,
        place: &mut Place,
    ) -> Poll<Result<Option<Slot<T>>, RecvError>> {
        let mut scratch = Scratch::take();
        let got = ready!(self.poll_take(waker, place, &mut scratch));
        Poll::Ready(match got {
            Got::Value(value) => Ok(Some(Slot::Value(value))),
            Got::Wire(parcel) => Ok(Some(Slot::Wire(parcel))),
            Got::Inbox { codec, flaw, shared, ends } => {
                let payload = shared.unwrap_or_else(|| Bytes::copy_from_slice(scratch.bytes()));
                let parcel = Parcel { codec, flaw, payload, ends, bound: None, forwarded: true, from: None };
                Ok(Some(Slot::Wire(Box::new(parcel))))
            }
            Got::End(end) => end.map(|value| value.map(Slot::Value)),
            Got::Nothing => Ok(None),
        })
    }

    fn poll_take(self: &Arc<Self>, waker: &Waker, place: &mut Place, scratch: &mut Scratch) -> Poll<Got<T>> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let got = self.take(&mut state, scratch, &mut wakes, Some((waker, place)));
        if matches!(got, Got::Nothing) {
            drop(state);
            wakes.wake();
            return Poll::Pending;
        }
        self.leave_line(&mut state, place);
        if state.end != End::Open {
            // Every receiver that waits is to see the end, not only the one that found it.
            state.waiters.notify_all(&mut wakes);
        }
        let pump = self.pass_on(&mut state, &mut wakes);
        drop(state);
        wakes.wake();
        if pump {
            self.pump();
        }
        Poll::Ready(got)
    }

    pub(crate) fn try_recv(self: &Arc<Self>) -> Result<T, TryRecvError> {
        let mut scratch = Scratch::take();
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let got = self.take(&mut state, &mut scratch, &mut wakes, None);
        if state.end != End::Open {
            state.waiters.notify_all(&mut wakes);
        }
        drop(state);
        wakes.wake();
        if matches!(got, Got::Nothing) {
            return Err(TryRecvError::Empty);
        }
        if self.has_legs() {
            self.pump();
        }
        match self.finish(got, &scratch) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(TryRecvError::Ended),
            Err(error) => Err(TryRecvError::Failed(error)),
        }
    }

    /// Decodes what was taken, under no lock.
    fn finish(&self, got: Got<T>, scratch: &Scratch) -> Result<Option<T>, RecvError> {
        let erased = self.erased.get();
        match (got, erased) {
            (Got::Value(value), _) => Ok(Some(value)),
            (Got::Wire(parcel), Some(erased)) => parcel.decode(erased).map(Some),
            (Got::Inbox { codec, flaw, shared, ends }, Some(erased)) => {
                let payload = shared.as_deref().unwrap_or_else(|| scratch.bytes());
                flaw_error(flaw, payload)?;
                (erased.decode)(Arrived { codec, payload, shared: shared.clone(), ends }).map(Some)
            }
            (Got::End(end), _) => end,
            (Got::Wire(_) | Got::Inbox { .. }, None) => {
                Err(RecvError::Decode("the channel has no codec".to_owned()))
            }
            (Got::Nothing, _) => Ok(None),
        }
    }

    /// Takes the next message, or takes a place in the line.
    pub(super) fn take(
        self: &Arc<Self>,
        state: &mut State<T>,
        scratch: &mut Scratch,
        wakes: &mut Wakes,
        mut wait: Option<(&Waker, &mut Place)>,
    ) -> Got<T> {
        if state.refused.is_some() && state.receivers > 0 && !state.has_sinks() {
            return Got::End(Ok(None));
        }
        loop {
            if let Some(got) = self.take_queued(state, wakes, &mut wait) {
                return got;
            }
            if state.is_direct() {
                let waker = wait.as_mut().map(|(waker, place)| (*waker, &mut **place));
                match self.take_direct(state, scratch, waker) {
                    Direct::Got(got) => return got,
                    Direct::Parked => return Got::Nothing,
                    Direct::Ended => continue,
                    Direct::Empty => {}
                }
            } else if self.absorb_all(state) {
                continue;
            }
            break;
        }
        if let Some(end) = state.ending() {
            return Got::End(end);
        }
        if let Some((waker, place)) = wait {
            wait_on(&mut state.waiters, &mut place.ticket, waker);
            self.ask_sources(state);
            if self.capacity == 0 && state.waiters.len() > state.queue.reserved() as usize {
                state.queue.admit_reserve(wakes);
            }
        }
        Got::Nothing
    }

    fn take_queued(
        &self,
        state: &mut State<T>,
        wakes: &mut Wakes,
        wait: &mut Option<(&Waker, &mut Place)>,
    ) -> Option<Got<T>> {
        if let Some(slot) = state.queue.pop() {
            if state.has_sources() {
                // One receiver less waits: said before what it took, or its place would be asked for again.
                if let Some((_, place)) = wait {
                    self.leave_line(state, place);
                }
                self.ask_sources(state);
            }
            let outside = state.outside();
            state.queue.admit(self.capacity, outside, wakes);
            return Some(match slot {
                Slot::Value(value) => Got::Value(value),
                Slot::Wire(mut parcel) => {
                    if let Some(from) = parcel.from.take() {
                        state.report(&from, 1, from.charge);
                    }
                    Got::Wire(parcel)
                }
            });
        }
        (self.capacity == 0).then(|| state.queue.take_offered(wakes)).flatten().map(Got::Value)
    }

    /// Takes from the sole source's inbox.
    fn take_direct(
        self: &Arc<Self>,
        state: &mut State<T>,
        scratch: &mut Scratch,
        mut wait: Option<(&Waker, &mut Place)>,
    ) -> Direct<T> {
        loop {
            let alone = state.waiters.len() == 0;
            let listed = wait.as_ref().and_then(|(_, place)| place.ticket);
            let others = state.waiters.len() - usize::from(listed.is_some_and(|t| state.waiters.has(t)));
            let legs = state.legs();
            if let Some(got) = pop_inbox(legs, self.capacity, scratch, others as u32) {
                return Direct::Got(got);
            }
            // A lone receiver parks in the session's port, where the driver wakes it without this lock.
            let may_park = wait
                .as_ref()
                .is_some_and(|(_, place)| alone && place.ticket.is_none() && (place.parked || !legs.parked));
            let Some(source) = legs.sources.first() else { return Direct::Ended };
            let on_demand = source.on_demand || self.capacity == 0;
            let park = wait.as_ref().filter(|_| may_park && !on_demand).map(|(waker, _)| *waker);
            let leg = source.leg.clone();
            match leg.refill(&mut legs.inbox, &mut legs.owed, self.capacity == 0, park) {
                Refill::Messages { starved } => legs.starved = starved,
                Refill::Closed(close) => {
                    self.source_closed(state, &leg, close);
                    return Direct::Ended;
                }
                Refill::Empty => {
                    if let (Some(_), Some((_, place))) = (park, wait.as_mut()) {
                        legs.parked = true;
                        place.parked = true;
                        return Direct::Parked;
                    }
                    return Direct::Empty;
                }
            }
        }
    }

    /// A `recv` has what it wanted: it waits nowhere any more.
    fn leave_line(&self, state: &mut State<T>, place: &mut Place) {
        if let Some(ticket) = place.ticket.take() {
            state.waiters.leave(ticket);
        }
        if std::mem::take(&mut place.parked)
            && let Some(legs) = &mut state.legs
        {
            legs.parked = false;
        }
    }

    /// After a take: the next one in line, if there is more. True: a remote receiver may be served.
    fn pass_on(&self, state: &mut State<T>, wakes: &mut Wakes) -> bool {
        let more = !state.queue.is_empty()
            || state.legs.as_ref().is_some_and(|legs| legs.inbox.as_ref().is_some_and(|i| !i.is_empty()));
        if more && state.waiters.len() > 0 {
            wakes.push(state.waiters.notify_one());
        }
        state.has_sinks()
    }

    fn has_legs(&self) -> bool {
        lock(&self.state).legs.is_some()
    }

    /// A waiting `recv` is dropped: what it was told of is passed on.
    pub(crate) fn withdraw_recv(self: &Arc<Self>, place: &mut Place) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let mut told = place.ticket.take().is_some_and(|ticket| !state.waiters.leave(ticket));
        if std::mem::take(&mut place.parked)
            && let Some(legs) = &mut state.legs
        {
            legs.parked = false;
            told |= legs.sources.first().is_some_and(|source| !source.leg.unpark());
        }
        if told {
            wakes.push(state.waiters.notify_one());
        }
        self.ask_sources(&state);
        let pump = told && state.has_sinks();
        drop(state);
        wakes.wake();
        if pump {
            self.pump();
        }
    }
}

impl<T> State<T> {
    /// The end of the channel, once everything before it was taken.
    fn ending(&self) -> Option<Result<Option<T>, RecvError>> {
        if let Some(legs) = &self.legs
            && legs.sinks.iter().any(|sink| !sink.in_hand.is_empty())
        {
            // Another receiver may yet leave without taking what it has.
            return None;
        }
        match &self.end {
            End::Open | End::Tentative => None,
            End::Clean => Some(Ok(None)),
            End::Error(error) => Some(Err(RecvError::Remote(error.clone()))),
            End::Lost => Some(Err(RecvError::Disconnected)),
        }
    }
}

/// Takes the next message of the sole source; `others` receivers wait besides the one that takes it.
fn pop_inbox<T>(legs: &mut Legs, capacity: u32, scratch: &mut Scratch, others: u32) -> Option<Got<T>> {
    let source = legs.sources.first()?;
    let message = legs.inbox.as_mut()?.pop()?;
    let shared = match message.body {
        Body::Slice(bytes) => {
            scratch.buffer().extend_from_slice(bytes);
            None
        }
        Body::Shared(bytes) => Some(bytes),
    };
    let ends = message.attachments.iter().map(|&attachment| attached(&source.leg, attachment)).collect();
    let got =
        Got::Inbox { codec: source.leg.session.codec_by_id(message.codec), flaw: message.flaw, shared, ends };
    legs.owed.0 += 1;
    legs.owed.1 += message.charge;
    let half = capacity.div_ceil(2).max(1);
    if source.on_demand {
        // Said before what was taken, or the place of this receiver would be asked for again.
        source.leg.want(others);
    }
    if legs.starved || source.on_demand || legs.owed.0 >= half || legs.owed.1 >= source.leg.half_window() {
        source.leg.taken(legs.owed.0, legs.owed.1);
        legs.owed = (0, 0);
        legs.starved = false;
    }
    Some(got)
}

pub(super) fn attached(leg: &Leg, attachment: libchan_proto::Attachment) -> Attached {
    Attached::Unclaimed(Unclaimed::new(Leg { session: leg.session.clone(), key: attachment.key }, attachment))
}

/// A `recv` call. Dropping it loses nothing.
pub(crate) struct Recv<'a, T> {
    chan: &'a Arc<Chan<T>>,
    place: Place,
}

impl<'a, T> Recv<'a, T> {
    pub(crate) fn new(chan: &'a Arc<Chan<T>>) -> Self {
        Self { chan, place: Place::default() }
    }
}

impl<T> Future for Recv<'_, T> {
    type Output = Result<Option<T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.chan.poll_recv(cx.waker(), &mut this.place)
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        if self.place.ticket.is_some() || self.place.parked {
            self.chan.withdraw_recv(&mut self.place);
        }
    }
}
