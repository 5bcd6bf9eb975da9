//! What sessions have to tell a channel: messages, ends, credit, receivers that left.

use std::sync::Arc;

use libchan_proto::{Body, Close, Key, Message, Scope};

use super::Chan;
use super::end::bury;
use super::queue::Slot;
use super::recv::attached;
use super::state::{End, Locked, State};
use crate::cut::{self, Cause};
use crate::error::Closed;
use crate::parcel::{Origin, Parcel, PayloadBytes};
use crate::session::{Leg, Refill, Shared};

impl<T> Chan<T> {
    /// The session has news of the leg `key`.
    pub(crate) fn ready(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        let leg = Leg { session: session.clone(), key };
        let mut state = self.lock();
        if state.legs.source_at(&leg).is_some() {
            if self.is_direct(&state) {
                state.legs.set_absorbed(false);
                note_starved(&mut state, &leg);
                state.wake_receiver();
            } else if self.absorb_news(&mut state, &leg) {
                self.available(&mut state);
            }
            if state.end() != End::Open {
                state.wake_receivers();
            }
        }
        let pump = state.has_sinks();
        let cancelled = state.legs.sink_mut(&leg).is_some() && leg.send_status().cancelled.is_some();
        drop(state);
        if cancelled {
            self.leg_cancelled(key, session);
        } else if pump {
            self.pump();
        }
    }

    /// Moves what the sources have into the queue. True if there was anything, a source's end included.
    pub(super) fn absorb_all(&self, state: &mut Locked<'_, T>) -> bool {
        let mut any = false;
        let mut at = 0;
        while let Some(source) = state.legs.sources().get(at) {
            let leg = source.leg.clone();
            any |= self.absorb(state, at, &leg);
            // One that has ended is gone, and another one stands in its place.
            at += usize::from(state.legs.sources().get(at).is_some_and(|source| source.leg.is(&leg)));
        }
        state.legs.set_absorbed(true);
        any
    }

    /// The same where only `leg` has news, unless it is the first look at all of them.
    pub(super) fn absorb_news(&self, state: &mut Locked<'_, T>, leg: &Leg) -> bool {
        if !state.legs.is_absorbed() {
            return self.absorb_all(state);
        }
        let Some(at) = state.legs.source_at(leg) else { return false };
        self.absorb(state, at, leg)
    }

    /// The same for a receive: whatever comes later is news.
    pub(super) fn absorb_rest(&self, state: &mut Locked<'_, T>) -> bool {
        !state.legs.is_absorbed() && self.absorb_all(state)
    }

    /// Moves what the source at `at`, which is `leg`, has into the queue.
    fn absorb(&self, state: &mut Locked<'_, T>, at: usize, leg: &Leg) -> bool {
        let mut any = false;
        let mut inbox = None;
        if at == 0 {
            state.legs.report_owed();
            inbox = state.legs.inbox.take();
        }
        loop {
            while let Some(message) = inbox.as_mut().and_then(|inbox| inbox.pop()) {
                any = true;
                let origin = Origin { leg: leg.clone(), charge: message.charge };
                let parcel = parcel_of(leg, message, Some(origin));
                state.local().queue.accept(Slot::Wire(Box::new(parcel)));
            }
            match leg.refill(&mut inbox, &mut (0, 0), self.capacity == 0, None) {
                Refill::Messages { .. } => {}
                Refill::Empty => {
                    if any {
                        state.legs.await_next(leg);
                    }
                    return any;
                }
                Refill::Closed(close) => {
                    self.source_closed(state, leg, close);
                    return true;
                }
            }
        }
    }

    /// A source has sent its last.
    pub(super) fn source_closed(&self, state: &mut Locked<'_, T>, leg: &Leg, close: Close) {
        let Some(at) = state.legs.source_at(leg) else { return };
        let mut spare = None;
        if at == 0 {
            state.legs.report_owed();
            spare = state.legs.inbox.take();
        }
        state.legs.remove_source(leg);
        let parked = leg.cancel(Scope::End, Closed::Dropped, (0, 0), spare);
        state.wake(parked);
        let cause = close.reason.map(|reason| leg.session.cause(reason));
        if close.scope == Scope::Channel {
            self.absorb_all(state);
        }
        match (cause, close.scope) {
            (cause, Scope::Channel) if !cause.as_ref().is_some_and(Cause::is_loss) => {
                self.close_state(state, cause);
            }
            (Some(cause), _) => state.note_fault(cause),
            (None, _) => {}
        }
        self.check_senders(state);
        if state.end() != End::Open {
            state.wake_receivers();
            state.wake_senders();
        }
    }

    /// Tells on-demand sources how many receivers wait.
    pub(super) fn ask_sources(&self, state: &State<T>) {
        if !state.is_served_on_demand() {
            return;
        }
        let waiting = self.demand(state).saturating_sub(state.accepted_len());
        for source in state.legs.sources().iter().filter(|source| source.on_demand) {
            source.leg.want(waiting as u32);
        }
    }

    /// A remote receiver has taken `messages`.
    pub(crate) fn taken(self: &Arc<Self>, key: Key, session: &Arc<Shared>, messages: u32) {
        let mut garbage = Vec::new();
        let leg = Leg { session: session.clone(), key };
        let mut state = self.lock();
        for _ in 0..messages {
            let Some(sink) = state.legs.sink_mut(&leg) else { break };
            match sink.taken() {
                Some(hand) => garbage.extend(self.was_taken(&mut state, hand)),
                None => sink.early += 1,
            }
        }
        if state.end() != End::Open {
            // The end may have waited for this.
            state.wake_receivers();
        }
        drop(state);
        garbage.into_iter().for_each(cut::drop_guarded);
        self.pump();
    }

    /// The remote receiver behind the leg takes no more.
    pub(crate) fn leg_cancelled(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        let leg = Leg { session: session.clone(), key };
        let mut state = self.lock();
        if state.legs.sink_mut(&leg).is_none() {
            return;
        }
        let status = leg.send_status();
        let Some(cancel) = status.cancelled else { return };
        let Some(mut sink) = state.legs.remove_sink(&leg) else { return };
        let known = leg.session.knows_taken(&cancel.reason);
        let cause = leg.session.cause(cancel.reason);
        let lost = (!known).then(|| cause.clone());
        let mut garbage = Vec::new();
        // What it took last may not have been told yet. (With a lost link nobody knows.)
        let sent = (sink.in_hand().count() + usize::from(sink.sending)).saturating_sub(sink.early as usize);
        for _ in status.untaken as usize..if known { sent } else { 0 } {
            match sink.taken() {
                Some(hand) => garbage.extend(self.was_taken(&mut state, hand)),
                None => sink.early += 1,
            }
        }
        if sink.early > 0 {
            state.local().early = Some(leg.clone());
        }
        leg.close(Scope::End, None);
        for hand in sink.into_in_hand().into_iter().rev() {
            self.came_back(&mut state, hand, lost.clone());
        }
        let whole = cancel.scope == Scope::Channel;
        let mut refused = Vec::new();
        if whole || (self.receivers() == 0 && !state.has_sinks()) {
            let scope = if whole { Scope::Channel } else { Scope::End };
            refused = self.refuse_state(&mut state, cause.into_closed(), scope);
        } else {
            state.note_left(leg, cause.into_closed());
            if state.has_queued() {
                state.wake_receiver();
            }
        }
        if state.end() != End::Open {
            state.wake_receivers();
            state.wake_senders();
        }
        let why = state.undelivered();
        drop(state);
        garbage.into_iter().for_each(cut::drop_guarded);
        self.pump();
        bury(refused, why);
    }
}

/// The sender ran out while messages that it paid for are in our hand: says which of them were taken, or notes that the
/// next one taken is to be told at once.
fn note_starved<T>(state: &mut State<T>, leg: &Leg) {
    if !leg.session.sender_starved(leg.key) {
        return;
    }
    let Some(source) = state.legs.source_mut() else { return };
    if source.owes() {
        state.legs.report_owed();
    } else {
        source.starved = true;
    }
}

/// The message as it is, to be passed on; `from`: not yet reported as taken.
pub(super) fn parcel_of(leg: &Leg, message: Message<'_>, from: Option<Origin>) -> Parcel {
    let payload = match message.body {
        Body::Slice(bytes) => bytes::Bytes::copy_from_slice(bytes),
        Body::Shared(bytes) => bytes,
    };
    Parcel {
        codec: leg.session.codec_by_id(message.codec),
        flaw: message.flaw,
        payload: PayloadBytes::Whole(payload),
        ends: message.attachments.iter().map(|&attachment| attached(leg, attachment)).collect(),
        bound: None,
        headers: message.headers,
        held: None,
        forwarded: true,
        from,
    }
}
