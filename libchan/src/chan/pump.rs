//! The pump: moves messages from the queue to remote receivers, one at a time and in order.
//!
//! Whoever changes something that may let a message go calls [`Chan::pump`]; one caller at a time has the role, the
//! others only leave a note. Encoding and binding happen between two locks, so that user code never runs under one.

use std::sync::Arc;

use libchan_proto::{Attach, Blocked, Flaw, Outgoing, Payload, Scope};

use super::queue::Slot;
use super::{Chan, End, InHand, State, Wakes};
use crate::attach::Attached;
use crate::error::SendFailure;
use crate::parcel::{Origin, Parcel};
use crate::scratch::Scratch;
use crate::session::Leg;
use crate::sync::lock;

/// One message that is to go to one sink.
struct Job<T> {
    leg: Leg,
    load: Load<T>,
    /// Keep a copy until it is taken: another receiver may have to get it.
    keep: bool,
}

enum Load<T> {
    Wire(Box<Parcel>),
    /// Accepted before the channel had a remote receiver: encoded only now.
    Value(T),
    /// Capacity 0: lent by the send that waits with it.
    Offer(u64, T),
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
        let mut state = lock(&self.state);
        let Some(legs) = state.legs.as_mut().filter(|legs| !legs.sinks.is_empty()) else {
            return;
        };
        if legs.pumping {
            legs.pump_again = true;
            return;
        }
        legs.pumping = true;
        loop {
            let mut wakes = Wakes::default();
            let job = self.next_job(&mut state, &mut wakes);
            if job.is_none() {
                self.rest(&mut state, &mut wakes);
            }
            let again = state.legs.as_mut().is_some_and(|legs| std::mem::take(&mut legs.pump_again));
            if job.is_none() && !again {
                state.legs().pumping = false;
                drop(state);
                wakes.wake();
                return;
            }
            drop(state);
            wakes.wake();
            let mut refused = false;
            if let Some(job) = job {
                let leg = job.leg.clone();
                let outcome = self.carry(job);
                refused = matches!(outcome, Outcome::Refused(_));
                self.settle(&leg, outcome);
            }
            state = lock(&self.state);
            // The session says when a refused message may go (descriptors, output): until then there is nothing to do.
            let legs = state.legs();
            if refused && !std::mem::take(&mut legs.pump_again) {
                legs.pumping = false;
                return;
            }
        }
    }

    /// The next message that may go, and where to.
    fn next_job(self: &Arc<Self>, state: &mut State<T>, wakes: &mut Wakes) -> Option<Job<T>> {
        if state.refused.is_some() {
            return None;
        }
        let outside = state.outside();
        state.queue.admit(self.capacity, outside, wakes);
        if state.queue.has_waiting() && self.capacity > 0 {
            // Room may have come before there was a watch: so it is looked for again.
            state.watch_sinks();
            let outside = state.outside();
            state.queue.admit(self.capacity, outside, wakes);
        }
        if state.queue.accepted_len() == 0 && !(self.capacity == 0 && state.queue.has_offered()) {
            return None;
        }
        let capacity = self.capacity;
        let legs = state.legs.as_mut()?;
        let open = |sink: &super::Sink| {
            let status = sink.leg.send_status();
            let room = status.demand > 0 || (sink.sole && capacity > 0 && status.room > 0);
            room && status.byte_credit > 0 && status.cancelled.is_none()
        };
        let found = legs.sinks.iter().position(open).or_else(|| {
            legs.sinks.iter().for_each(|sink| sink.leg.watch());
            legs.sinks.iter().position(open)
        });
        let at = found?;
        // The next one asks the next sink first.
        if legs.sinks.len() > 1 {
            legs.sinks[at..].rotate_left(1);
        }
        let at = if legs.sinks.len() > 1 { legs.sinks.len() - 1 } else { at };
        let sink = &legs.sinks[at];
        let (leg, keep) = (sink.leg.clone(), sink.tracked && !sink.sole);
        let load = match state.queue.pop() {
            Some(Slot::Wire(parcel)) => Load::Wire(parcel),
            Some(Slot::Value(value)) => Load::Value(value),
            None => {
                let (id, value) = state.queue.lend()?;
                Load::Offer(id, value)
            }
        };
        Some(Job { leg, load, keep })
    }

    /// Encodes, binds and sends, under no lock.
    fn carry(self: &Arc<Self>, job: Job<T>) -> Outcome<T> {
        let Job { leg, load, keep } = job;
        match load {
            Load::Wire(parcel) => match self.transmit(&leg, parcel, keep) {
                Ok(hand) => Outcome::Sent { hand, offer: None },
                Err(parcel) => Outcome::Refused(Load::Wire(parcel)),
            },
            Load::Value(value) => {
                let parcel = self.encode_late(&leg, &value);
                drop(value);
                match self.transmit(&leg, Box::new(parcel), keep) {
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
        match self.encode_for(leg, value, &mut scratch) {
            Ok(encoded) => Parcel::encoded(encoded, scratch.bytes()),
            Err(why) => Parcel::flawed(Flaw::NotEncoded, why.to_string(), None),
        }
    }

    fn carry_offer(self: &Arc<Self>, leg: &Leg, id: u64, value: T) -> Outcome<T> {
        let mut scratch = Scratch::take();
        let encoded = match self.encode_for(leg, &value, &mut scratch) {
            Ok(encoded) => encoded,
            Err(why) => return Outcome::Failed(id, value, why),
        };
        let parcel = Box::new(Parcel::encoded(encoded, scratch.bytes()));
        match self.transmit(leg, parcel, false) {
            Ok(mut hand) => {
                hand.offer = Some(id);
                Outcome::Sent { hand, offer: Some((id, value)) }
            }
            Err(_) => Outcome::Refused(Load::Offer(id, value)),
        }
    }

    /// Binds what the parcel carries to the session and sends it. `Err`: not now.
    fn transmit(&self, leg: &Leg, mut parcel: Box<Parcel>, keep: bool) -> Result<InHand, Box<Parcel>> {
        let limits = leg.session.limits();
        if parcel.payload.len() > limits.max_message as usize
            || parcel.ends.len() > limits.max_attachments as usize
        {
            let text = "the message passes a limit of the next link".to_owned();
            *parcel = Parcel::flawed(Flaw::NotForwarded, text, parcel.from.take());
        }
        let mut copy = if keep { parcel.try_clone().map(Box::new) } else { None };
        if let Some(from) = copy.as_mut().and_then(|copy| copy.from.as_mut()) {
            // Its bytes are given back when the first copy leaves.
            from.charge = 0;
        }
        let attachments = match parcel.bound.take() {
            Some(bound) => bound,
            None => match bind_all(leg, &mut parcel.ends) {
                Ok(attachments) => attachments,
                Err(why) => {
                    let flaw = if parcel.forwarded { Flaw::NotForwarded } else { Flaw::NotEncoded };
                    *parcel = Parcel::flawed(flaw, why.to_string(), parcel.from.take());
                    Vec::new()
                }
            },
        };
        let sent = leg.send_backlog(Outgoing {
            codec: parcel.codec.id().0,
            flaw: parcel.flaw,
            attachments: &attachments,
            payload: if parcel.payload.len() >= 1024 {
                Payload::Share(parcel.payload.clone())
            } else {
                Payload::Copy(&parcel.payload)
            },
        });
        match sent {
            Ok(()) => {
                announce_all(leg, &attachments, std::mem::take(&mut parcel.ends));
                Ok(InHand { copy, offer: None, from: parcel.from.take() })
            }
            // With a copy, or without a receiver, what is bound to this session is of no more use.
            Err(why) if why == Blocked::Gone || copy.is_some() => {
                unbind_all(leg, &attachments, &parcel.ends);
                if let Some(mut copy) = copy {
                    copy.from = parcel.from.take();
                    parcel = copy;
                }
                Err(parcel)
            }
            Err(_) => {
                parcel.bound = Some(attachments);
                Err(parcel)
            }
        }
    }

    fn settle(self: &Arc<Self>, leg: &Leg, outcome: Outcome<T>) {
        let mut wakes = Wakes::default();
        let mut garbage = None;
        let mut state = lock(&self.state);
        match outcome {
            Outcome::Sent { hand, offer } => {
                if let Some(from) = &hand.from {
                    // Forwarded: its bytes are free at the link it came from; it was not taken yet.
                    state.report(from, 0, from.charge);
                }
                if let Some((id, value)) = offer {
                    garbage = state.queue.give_back(id, value, true);
                }
                let sink = state.sink_at(leg);
                match sink {
                    Some(at) if state.legs().sinks[at].tracked => {
                        garbage = self.note_in_hand(&mut state, at, hand, &mut wakes).or(garbage);
                    }
                    Some(_) => {}
                    None if state.was_taken_early(leg) => {
                        garbage = self.was_taken(&mut state, hand, &mut wakes).or(garbage);
                    }
                    None => self.came_back(&mut state, hand, leg.session.is_over(), &mut wakes),
                }
            }
            Outcome::Refused(Load::Wire(parcel)) => state.queue.put_back(Slot::Wire(parcel)),
            Outcome::Refused(Load::Value(value)) => state.queue.put_back(Slot::Value(value)),
            Outcome::Refused(Load::Offer(id, value)) => {
                garbage = state.queue.give_back(id, value, false);
            }
            Outcome::Failed(id, value, why) => {
                garbage = state.queue.fail(id, value, why, &mut wakes);
            }
        }
        drop(state);
        drop(garbage);
        wakes.wake();
    }

    /// The message is with the remote receiver, which may have taken it before we could note that.
    fn note_in_hand(&self, state: &mut State<T>, at: usize, hand: InHand, wakes: &mut Wakes) -> Option<T> {
        let sink = &mut state.legs().sinks[at];
        if sink.early == 0 {
            sink.in_hand.push_back(hand);
            return None;
        }
        sink.early -= 1;
        self.was_taken(state, hand, wakes)
    }

    /// A message that a remote receiver had has been taken. Returns a value to drop after unlocking.
    pub(super) fn was_taken(&self, state: &mut State<T>, hand: InHand, wakes: &mut Wakes) -> Option<T> {
        if let Some(from) = hand.from {
            state.report(&from, 1, 0);
        }
        hand.offer.and_then(|offer| state.queue.complete(offer, wakes))
    }

    /// The remote receiver went away with the message in its hand, untaken. `lost`: with its link.
    pub(super) fn came_back(&self, state: &mut State<T>, hand: InHand, lost: bool, wakes: &mut Wakes) {
        if let Some(offer) = hand.offer {
            state.queue.returned(offer, lost, wakes);
        } else if let (false, Some(copy)) = (lost, hand.copy) {
            state.queue.put_back(Slot::Wire(copy));
        } else if let Some(from) = hand.from {
            state.report(&from, 1, 0);
        }
    }

    /// Nothing can go now: lets direct sends pass again, serves local receivers, ends the sinks at the end.
    fn rest(self: &Arc<Self>, state: &mut State<T>, wakes: &mut Wakes) {
        if !state.queue.is_empty() {
            wakes.push(state.waiters.notify_one());
        }
        if self.capacity == 0 || state.has_sources() {
            // Receivers that begin to wait there are news, here and for those we relay from: asked for before looked at.
            state.watch_sinks();
        }
        if self.capacity == 0 && self.demand(state) > state.queue.reserved() as usize {
            state.queue.admit_reserve(wakes);
        }
        self.ask_sources(state);
        if !state.queue.is_empty() {
            return;
        }
        let ended = !matches!(state.end, End::Open | End::Tentative);
        if !ended && state.queue.reserved() == 0 {
            for sink in state.legs.iter().flat_map(|legs| &legs.sinks).filter(|sink| !sink.tracked) {
                sink.leg.set_backlog(false);
            }
        }
        if ended {
            self.end_sinks(state);
        }
    }

    /// Everything was sent: says the end to the remote receivers. Where they compete, one of them may yet leave
    /// without taking what it has, so all wait for that.
    fn end_sinks(&self, state: &mut State<T>) {
        let end = state.end.clone();
        let legs = state.legs();
        let compete = legs.sinks.len() > 1 || legs.sinks.iter().any(|sink| !sink.sole);
        // A send that waits for its message to be taken has to learn of it.
        let undecided = |hand: &InHand| compete || hand.offer.is_some();
        if legs.sinks.iter().any(|sink| sink.in_hand.iter().any(undecided)) {
            return;
        }
        let scope = if legs.closed_whole { Scope::Channel } else { Scope::End };
        let reason = match end {
            End::Error(error) => Some(error.into_reason()),
            End::Lost => Some(crate::error::Closed::Disconnected.into_reason()),
            End::Clean | End::Open | End::Tentative => None,
        };
        for sink in std::mem::take(&mut legs.sinks) {
            sink.leg.close(scope, reason.clone());
            for from in sink.in_hand.into_iter().filter_map(|hand| hand.from) {
                state.report(&from, 1, 0);
            }
        }
    }
}

impl<T> State<T> {
    /// Asks the sinks' sessions for news. What came just before is no news: look again afterwards.
    /// Whether the message that the pump has just sent was taken by a receiver that has left since.
    fn was_taken_early(&mut self, leg: &Leg) -> bool {
        let early = self.legs().early.take();
        early.is_some_and(|gone| gone.is(leg))
    }

    /// Gives credit back where a message came from, unless that source is gone: its key may lead elsewhere by now.
    pub(super) fn report(&self, from: &Origin, messages: u32, charge: u32) {
        if self.source_at(&from.leg).is_some() {
            from.leg.taken(messages, charge);
        }
    }

    fn watch_sinks(&self) {
        for sink in self.legs.iter().flat_map(|legs| &legs.sinks) {
            sink.leg.watch();
        }
    }
}

/// Prepares what a message carries for the session of `leg`. On failure nothing is bound.
pub(super) fn bind_all(leg: &Leg, ends: &mut [Attached]) -> Result<Vec<Attach>, SendFailure> {
    let mut attachments = Vec::with_capacity(ends.len());
    for at in 0..ends.len() {
        match bind(leg, &mut ends[at]) {
            Ok(attach) => attachments.push(attach),
            Err(why) => {
                unbind_all(leg, &attachments, ends);
                return Err(why);
            }
        }
    }
    Ok(attachments)
}

fn bind(leg: &Leg, end: &mut Attached) -> Result<Attach, SendFailure> {
    end.share();
    match end {
        Attached::Sender(sender) => sender.chan().clone().bind_sender(&leg.session),
        Attached::Receiver(receiver) => receiver.chan().clone().bind_receiver(&leg.session),
        Attached::Stream(core, hold) => {
            let hold = match hold.take() {
                Some(hold) => hold,
                None => core.hold().map_err(|_| SendFailure::AttachmentInUse)?,
            };
            leg.session.bind_stream(hold)
        }
        Attached::Descriptor(core, hold) => {
            let hold = match hold.take() {
                Some(hold) => hold,
                None => core.hold().map_err(|_| SendFailure::AttachmentInUse)?,
            };
            leg.session.bind_descriptor(hold)
        }
        Attached::Unclaimed(_) => Err(SendFailure::AttachmentInUse),
    }
}

/// The message has gone out: what it carries may be used.
pub(super) fn announce_all(leg: &Leg, attachments: &[Attach], ends: Vec<Attached>) {
    for (attach, end) in attachments.iter().zip(ends) {
        let Attach::Channel(key) = *attach else { continue };
        let bound = Leg { session: leg.session.clone(), key };
        let chan = match &end {
            Attached::Sender(sender) => sender.chan().clone(),
            Attached::Receiver(receiver) => receiver.chan().clone(),
            _ => continue,
        };
        // The handle that travelled is dropped first: what stays here is what is counted.
        drop(end);
        chan.announced(&bound);
    }
}

/// The message does not go out.
pub(super) fn unbind_all(leg: &Leg, attachments: &[Attach], ends: &[Attached]) {
    for (attach, end) in attachments.iter().zip(ends) {
        match (attach, end) {
            (Attach::Channel(key), Attached::Sender(sender)) => {
                sender.chan().clone().unbind(&Leg { session: leg.session.clone(), key: *key });
            }
            (Attach::Channel(key), Attached::Receiver(receiver)) => {
                receiver.chan().clone().unbind(&Leg { session: leg.session.clone(), key: *key });
            }
            (Attach::SenderHome(key), _) => leg.session.unpin(*key),
            (Attach::Stream(key), _) => leg.session.abandon(*key),
            (Attach::Descriptor(token), _) => leg.session.forget_descriptor(*token),
            _ => {}
        }
    }
}
