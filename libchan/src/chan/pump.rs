//! The pump: moves messages from the queue to remote receivers, one at a time and in order.
//!
//! Whoever changes something that may let a message go calls [`Chan::pump`]; one caller at a time has the role, the
//! others only leave a note. Encoding and binding happen between two locks, so that user code never runs under one.

use std::sync::Arc;

use libchan_proto::{Blocked, Flaw, Outgoing, Scope};

use super::Chan;
use super::bind::{Streams, announce_all, bind_all, unbind_all};
use super::end::bury;
use super::in_hand::InHand;
use super::legs::{Pumping, Sink};
use super::queue::Slot;
use super::relay::share;
use super::state::{End, Locked, State};
use crate::attach::Attaches;
use crate::cut::{self, Cause, Cut};
use crate::error::SendFailure;
use crate::parcel::Parcel;
use crate::scratch::Scratch;
use crate::session::Leg;

/// One message that is to go to one sink.
struct Job<T> {
    leg: Leg,
    load: Load<T>,
    fate: Fate,
}

/// What may become of a message that a remote receiver leaves without taking.
#[derive(Clone, Copy)]
struct Fate {
    /// Another receiver of this channel may have to get it: a copy is kept until it is taken.
    keep: bool,
    streams: Streams,
}

impl Fate {
    fn of<T>(sink: &Sink, state: &State<T>, receivers: u32) -> Self {
        let shared = sink.tracked && !sink.sole;
        // Where all others are elsewhere, they are served from there.
        let keep = shared && (receivers > 0 || state.legs.sinks().len() > 1);
        Self { keep, streams: if shared { Streams::Stay } else { Streams::Go } }
    }
}

enum Load<T> {
    Wire(Box<Parcel>),
    /// Accepted before the channel had a remote receiver: encoded only now.
    Value(T),
    /// Capacity 0: lent by the send that waits with it.
    Offer(u64, T),
}

impl<T> Load<T> {
    /// Whether it takes room of this channel: what came from a remote sender takes room there.
    fn is_counted_here(&self) -> bool {
        match self {
            Self::Wire(parcel) => parcel.from.is_none(),
            Self::Value(_) => true,
            Self::Offer(..) => false,
        }
    }
}

/// How it went.
enum Outcome<T> {
    Sent {
        hand: InHand,
        offer: Option<(u64, T)>,
    },
    /// Not now: it goes back to where it was.
    Refused(Load<T>),
    /// Never: the waiting send gets its value back.
    Failed(u64, T, SendFailure),
}

impl<T> Chan<T> {
    pub(crate) fn pump(self: &Arc<Self>) {
        // What it drops has gone on, whoever dropped what set it going.
        cut::spending(|| self.pump_queue());
    }

    fn pump_queue(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.has_sinks() {
            return self.admit_here(state);
        }
        if state.legs.pumping != Pumping::No {
            state.legs.pump_again = true;
            return;
        }
        state.legs.pumping = Pumping::Yes;
        loop {
            let job = self.next_job(&mut state);
            if job.is_none() {
                self.rest(&mut state);
            }
            let again = std::mem::take(&mut state.legs.pump_again);
            let Some(job) = job else {
                if again {
                    continue;
                }
                return state.stop_pumping();
            };
            drop(state);
            let leg = job.leg.clone();
            let outcome = self.carry(job);
            let refused = matches!(outcome, Outcome::Refused(_));
            self.settle(&leg, outcome);
            state = self.lock();
            // The session says when a refused message may go (descriptors, output): until then there is nothing to do,
            // unless the sink has gone meanwhile. Then the message is back in the queue, and somebody here may wait for it.
            let again = std::mem::take(&mut state.legs.pump_again) || again;
            if refused && !again && state.legs.sink_mut(&leg).is_some() {
                return state.stop_pumping();
            }
        }
    }

    /// The last sink may have gone since a send found no room: there may be some now.
    fn admit_here(&self, mut state: Locked<'_, T>) {
        if state.is_open() && state.has_waiting() {
            state.grant(self.capacity);
        }
    }

    /// The next message that may go, and where to.
    fn next_job(&self, state: &mut Locked<'_, T>) -> Option<Job<T>> {
        if state.is_refused() {
            return None;
        }
        state.grant(self.capacity);
        if state.has_waiting() && self.capacity > 0 {
            // Room may have come before there was a watch: so it is looked for again.
            state.watch_sinks();
            state.grant(self.capacity);
        }
        if state.accepted_len() == 0 && !(self.capacity == 0 && state.has_offered()) {
            return None;
        }
        let capacity = self.capacity;
        let open = |sink: &Sink| {
            let status = sink.leg.send_status();
            let room = status.demand > 0 || (sink.sole && capacity > 0 && status.room > 0);
            room && status.byte_credit > 0 && status.cancelled.is_none()
        };
        let found = state.legs.sinks().iter().position(open).or_else(|| {
            state.watch_sinks();
            state.legs.sinks().iter().position(open)
        });
        let sink = state.legs.rotate_sinks(found?);
        sink.sending = true;
        let leg = sink.leg.clone();
        let fate = state.legs.sinks().last().map(|sink| Fate::of(sink, state, self.receivers()))?;
        let queue = &mut state.local().queue;
        let load = match queue.pop() {
            Some(Slot::Wire(parcel)) => Load::Wire(parcel),
            Some(Slot::Value(value)) => Load::Value(value),
            None => {
                let (id, value) = queue.lend()?;
                Load::Offer(id, value)
            }
        };
        if load.is_counted_here() {
            state.legs.pumping = Pumping::Carrying;
        }
        Some(Job { leg, load, fate })
    }

    /// Encodes, binds and sends, under no lock.
    fn carry(self: &Arc<Self>, job: Job<T>) -> Outcome<T> {
        let Job { leg, load, fate } = job;
        match load {
            Load::Wire(parcel) => match self.transmit(&leg, parcel, fate) {
                Ok(hand) => Outcome::Sent { hand, offer: None },
                Err(parcel) => Outcome::Refused(Load::Wire(parcel)),
            },
            Load::Value(value) => {
                let parcel = self.encode_late(&leg, &value);
                cut::drop_guarded(value);
                match self.transmit(&leg, Box::new(parcel), fate) {
                    Ok(hand) => Outcome::Sent { hand, offer: None },
                    Err(parcel) => Outcome::Refused(Load::Wire(parcel)),
                }
            }
            Load::Offer(id, value) => self.carry_offer(&leg, id, value),
        }
    }

    /// Encodes a value whose send was told `Ok` long ago: a failure takes the value's place in the channel.
    fn encode_late(&self, leg: &Leg, value: &T) -> Parcel {
        let mut scratch = Scratch::take();
        let encoded = cut::guarded("Serialize", || self.encode_for(leg, value, &mut scratch));
        match encoded {
            Ok(Ok(encoded)) => Parcel::encoded(encoded, scratch.bytes()),
            Ok(Err(why)) => Parcel::flawed(Flaw::NotEncoded, why.to_string(), None),
            Err(panic) => Parcel::flawed(Flaw::NotEncoded, panicked(&panic), None),
        }
    }

    fn carry_offer(self: &Arc<Self>, leg: &Leg, id: u64, value: T) -> Outcome<T> {
        let mut scratch = Scratch::take();
        let encoded = match cut::guarded("Serialize", || self.encode_for(leg, &value, &mut scratch)) {
            Ok(Ok(encoded)) => encoded,
            Ok(Err(why)) => return Outcome::Failed(id, value, why),
            Err(panic) => return Outcome::Failed(id, value, SendFailure::Encode(panicked(&panic))),
        };
        let parcel = Box::new(Parcel::encoded(encoded, scratch.bytes()));
        // The value itself is the copy: what is in it stays until it is taken.
        match self.transmit(leg, parcel, Fate { keep: false, streams: Streams::Stay }) {
            Ok(mut hand) => {
                hand.offer = Some(id);
                Outcome::Sent { hand, offer: Some((id, value)) }
            }
            Err(_) => Outcome::Refused(Load::Offer(id, value)),
        }
    }

    /// Binds what the parcel carries to the session and sends it. `Err`: not now.
    fn transmit(&self, leg: &Leg, mut parcel: Box<Parcel>, fate: Fate) -> Result<InHand, Box<Parcel>> {
        let limits = leg.session.limits();
        if parcel.payload.len() > limits.max_message as usize
            || parcel.ends.len() > limits.max_attachments as usize
        {
            let text = "the message passes a limit of the next link".to_owned();
            *parcel = Parcel::flawed(Flaw::NotForwarded, text, parcel.from.take());
        }
        if fate.keep {
            parcel.ends.iter_mut().for_each(share);
        }
        let mut copy = if fate.keep { Some(Box::new(parcel.clone_countable())) } else { None };
        if let Some(from) = copy.as_mut().and_then(|copy| copy.from.as_mut()) {
            // Its bytes are given back when the first copy leaves.
            from.charge = 0;
        }
        let attachments = match parcel.bound.take() {
            Some(bound) => bound,
            None => match bind_all(leg, &mut parcel.ends, fate.streams) {
                Ok(attachments) => attachments,
                Err(why) => {
                    let flaw = if parcel.forwarded { Flaw::NotForwarded } else { Flaw::NotEncoded };
                    let flawed = Parcel::flawed(flaw, why.to_string(), parcel.from.take());
                    let spent = std::mem::replace(&mut *parcel, flawed);
                    let cause = match leg.session.end_so_far() {
                        Some(error) => Cause::session_over(error),
                        None => {
                            Cut::NotDelivered.because(format!("the message that held it was not sent: {why}"))
                        }
                    };
                    cut::drop_each(cause, [spent]);
                    Attaches::new()
                }
            },
        };
        let sent = leg.send_backlog(Outgoing {
            codec: parcel.codec.id().0,
            flaw: parcel.flaw,
            attachments: &attachments,
            headers: parcel.headers.as_deref().unwrap_or_default(),
            payload: parcel.payload.to_payload(),
        });
        match sent {
            Ok(()) => {
                let dormant = announce_all(leg, &attachments, std::mem::take(&mut parcel.ends));
                Ok(InHand { copy, dormant, offer: None, from: parcel.from.take() })
            }
            // Where another receiver may get it, or this one is gone, what is bound to this session is of no more use.
            Err(why) if why == Blocked::Gone || fate.streams == Streams::Stay => {
                unbind_all(leg, &attachments, &parcel.ends);
                Err(parcel)
            }
            Err(_) => {
                parcel.bound = Some(attachments);
                Err(parcel)
            }
        }
    }

    fn settle(&self, leg: &Leg, outcome: Outcome<T>) {
        let mut state = self.lock();
        if let Some(sink) = state.legs.sink_mut(leg) {
            sink.sending = false;
        }
        state.legs.pumping = Pumping::Yes;
        let garbage = match outcome {
            Outcome::Sent { hand, offer } => {
                if let Some(from) = &hand.from {
                    // Forwarded: its bytes are free at the link it came from; it was not taken yet.
                    state.report(from, 0, from.charge);
                }
                let unwanted = offer.and_then(|(id, value)| state.local().queue.give_back(id, value, true));
                self.note_in_hand(&mut state, leg, hand).or(unwanted)
            }
            Outcome::Refused(Load::Wire(parcel)) if state.is_refused() => {
                let why = state.undelivered();
                drop(state);
                return bury::<T>([Slot::Wire(parcel)], why);
            }
            Outcome::Refused(Load::Wire(parcel)) => {
                state.local().queue.put_back(Slot::Wire(parcel));
                None
            }
            Outcome::Refused(Load::Value(value)) => {
                state.local().queue.put_back(Slot::Value(value));
                None
            }
            Outcome::Refused(Load::Offer(id, value)) => state.local().queue.give_back(id, value, false),
            Outcome::Failed(id, value, why) => {
                let (waker, value) = state.local().queue.fail(id, value, why);
                state.wake(waker);
                value
            }
        };
        drop(state);
        garbage.into_iter().for_each(cut::drop_guarded);
    }

    /// The message is with the remote receiver, which may have taken it, or left, before we could note that. Returns a
    /// value to drop after unlocking.
    fn note_in_hand(&self, state: &mut Locked<'_, T>, leg: &Leg, hand: InHand) -> Option<T> {
        let Some(sink) = state.legs.sink_mut(leg) else {
            let early = state.local().early.take();
            if early.is_some_and(|gone| gone.is(leg)) {
                return self.was_taken(state, hand);
            }
            self.came_back(state, hand, leg.session.end_so_far().map(Cause::session_over));
            return None;
        };
        if !sink.tracked {
            return None;
        }
        if sink.early == 0 {
            sink.hand(hand);
            return None;
        }
        sink.early -= 1;
        self.was_taken(state, hand)
    }

    /// A message that a remote receiver had has been taken. Returns a value to drop after unlocking.
    pub(super) fn was_taken(&self, state: &mut Locked<'_, T>, hand: InHand) -> Option<T> {
        state.start(hand.dormant);
        if let Some(from) = hand.from {
            state.report(&from, 1, 0);
        }
        let (waker, value) = state.local().queue.complete(hand.offer?);
        state.wake(waker);
        value
    }

    /// The remote receiver went away with the message in its hand, untaken. `lost`: nobody knows whether it was.
    pub(super) fn came_back(&self, state: &mut Locked<'_, T>, mut hand: InHand, lost: Option<Cause>) {
        let known = lost.is_none();
        if !known {
            // It may have been taken: what it carries is lost with the link.
            state.start(hand.dormant.take());
        }
        if let Some(offer) = hand.offer {
            let waker = state.local().queue.returned(offer, lost);
            state.wake(waker);
            return;
        }
        if let (false, Some(from)) = (known, &hand.from) {
            return state.report(from, 1, 0);
        }
        // Without a copy there is no other receiver here: where it came from is told that it was not taken.
        if let Some(copy) = hand.into_copy().filter(|_| known) {
            state.local().queue.put_back(Slot::Wire(copy));
        }
    }

    /// Nothing can go now: lets direct sends pass again, serves local receivers, ends the sinks at the end.
    fn rest(&self, state: &mut Locked<'_, T>) {
        let may_be_taken = state.may_be_taken(self.capacity);
        if may_be_taken {
            state.wake_receiver();
        }
        if self.capacity == 0 || state.has_sources() {
            // Receivers that begin to wait there are news, here and for those we relay from: asked for before looked at.
            state.watch_sinks();
        }
        self.admit_reserve(state);
        self.ask_sources(state);
        if may_be_taken {
            return;
        }
        state.legs.await_sources(true);
        if !matches!(state.end(), End::Open | End::Tentative) {
            self.end_sinks(state);
        } else if state.reserved() == 0 && !state.has_queued() {
            state.hold_direct(false);
        }
    }

    /// Everything was sent: says the end to the remote receivers. Where they compete, one of them may yet leave
    /// without taking what it has, so all wait for that.
    pub(super) fn end_sinks(&self, state: &mut Locked<'_, T>) {
        let sinks = state.legs.sinks();
        let compete = sinks.len() > 1 || sinks.iter().any(|sink| !sink.sole);
        // A send that waits for its message to be taken has to learn of it.
        let undecided = |hand: &InHand| compete || hand.offer.is_some();
        if sinks.iter().any(|sink| sink.in_hand().any(undecided)) {
            return;
        }
        let scope = if state.is_closed_whole() { Scope::Channel } else { Scope::End };
        let reason = match state.end() {
            End::Error => state.error().cloned().map(Cause::into_reason),
            End::Clean | End::Open | End::Tentative => None,
        };
        for sink in state.legs.take_sinks() {
            sink.leg.close(scope, reason.clone());
            for hand in sink.into_in_hand() {
                // Nobody else is left to get it.
                state.start(hand.dormant);
                if let Some(from) = hand.from {
                    state.report(&from, 1, 0);
                }
            }
        }
    }
}

impl<T> State<T> {
    /// Asks the sinks' sessions for news. What came just before is no news: look again afterwards.
    fn watch_sinks(&self) {
        for sink in self.legs.sinks() {
            sink.leg.watch();
        }
    }

    /// Whether direct sends must queue. Where messages are tracked they always do.
    pub(super) fn hold_direct(&mut self, hold: bool) {
        for sink in self.legs.sinks().iter().filter(|sink| hold || !sink.tracked) {
            sink.leg.set_backlog(hold);
        }
    }
}

/// What is said in the place of a value whose encoding panicked.
fn panicked(text: &str) -> String {
    format!("its Serialize panicked: {text}")
}
