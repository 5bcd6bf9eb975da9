//! Legs: what happens to a channel when one of its ends crosses a session, and when that session has news.

use std::sync::Arc;

use libchan_proto::{Attach, Close, Key, Kind, Scope};

use super::recv::attached;
use super::{Chan, End, Sink, Source, State, Wakes};
use crate::attach::AnyChan;
use crate::chan::queue::Slot;
use crate::error::{Closed, RemoteError, SendFailure};
use crate::message::Message;
use crate::parcel::{Origin, Parcel};
use crate::session::{Leg, Shared};
use crate::sync::lock;

impl<T: Message> Chan<T> {
    /// The peer of `session` gets a sender: messages will come in from there.
    pub(crate) fn bind_sender(self: &Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure> {
        self.erase();
        let mut state = lock(&self.state);
        if let Some(key) = state.leads_home(session) {
            return Ok(Attach::SenderHome(key));
        }
        let wanted = if self.capacity == 0 { self.demand(&state) } else { 0 };
        let port: Arc<dyn AnyChan> = self.clone();
        let key = session.allocate(Kind::Sender, self.capacity, false, wanted as u32, port)?;
        let leg = Leg { session: session.clone(), key };
        self.unpark(&mut state);
        let on_demand = self.capacity == 0;
        state.legs().sources.push(Source { leg, on_demand });
        self.track_sinks(&mut state);
        Ok(Attach::Channel(key))
    }

    /// The peer of `session` gets a receiver: messages will go out to there.
    pub(crate) fn bind_receiver(self: &Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure> {
        self.erase();
        let mut state = lock(&self.state);
        // The handle that leaves is counted still.
        let sole = state.receivers == 1 && !state.has_sinks();
        let on_demand = !sole || self.capacity == 0;
        let port: Arc<dyn AnyChan> = self.clone();
        let key = session.allocate(Kind::Receiver, self.capacity, on_demand, 0, port)?;
        self.unpark(&mut state);
        self.add_sink(&mut state, Leg { session: session.clone(), key }, sole);
        Ok(Attach::Channel(key))
    }

    /// A sender that was claimed: what it sends goes to `leg`.
    pub(crate) fn adopt_sink(self: &Arc<Self>, leg: Leg) {
        self.erase();
        let mut state = lock(&self.state);
        leg.session.set_port(leg.key, self.clone());
        if state.end == End::Tentative {
            state.end = End::Open;
        }
        let news = (leg.key, leg.session.clone());
        self.add_sink(&mut state, leg, true);
        if state.senders == 0 && !state.has_sources() {
            state.end = End::Clean;
        }
        let (key, session) = news;
        drop(state);
        // Its receiver may have gone before anybody stood here to be told.
        self.leg_cancelled(key, &session);
        self.pump();
    }

    /// A receiver that was claimed: its messages come from `leg`.
    pub(crate) fn adopt_source(self: &Arc<Self>, leg: Leg, on_demand: bool) {
        self.erase();
        let mut state = lock(&self.state);
        leg.session.set_port(leg.key, self.clone());
        if state.end == End::Tentative {
            state.end = End::Open;
        }
        let key = leg.key;
        let session = leg.session.clone();
        state.legs().sources.push(Source { leg, on_demand: on_demand || self.capacity == 0 });
        let unread = state.receivers == 0 && !state.has_sinks();
        drop(state);
        if unread {
            self.refuse(Closed::Dropped);
        } else {
            self.ready(key, &session);
        }
    }

    /// The end was claimed or bound, and the message that names it has gone out.
    pub(crate) fn announced(self: &Arc<Self>, leg: &Leg) {
        let mut state = lock(&self.state);
        let refused = state.refused.clone();
        let is_source = state.source_at(leg).is_some();
        if refused.is_none() && is_source {
            if matches!(state.end, End::Open) {
                self.ask_sources(&state);
            } else if let Some(at) = state.source_at(leg) {
                // The channel was closed while the message was on its way out.
                state.legs().sources.remove(at);
                leg.cancel(Scope::Channel, Closed::BySender, None);
            }
        }
        if state.has_sinks() {
            // What has arrived meanwhile waits for the receiver that is now elsewhere.
            self.absorb_all(&mut state);
        }
        drop(state);
        match refused {
            Some(closed) if is_source => self.refuse(*closed),
            _ => self.pump(),
        }
    }

    /// The message that was to name the bound end does not go out.
    pub(crate) fn unbind(self: &Arc<Self>, leg: &Leg) {
        let mut state = lock(&self.state);
        if let Some(at) = state.source_at(leg) {
            state.legs().sources.remove(at);
        }
        if let Some(at) = state.sink_at(leg) {
            state.legs().sinks.remove(at);
        }
        leg.session.abandon(leg.key);
    }
}

impl<T> Chan<T> {
    fn add_sink(&self, state: &mut State<T>, leg: Leg, sole: bool) {
        // Direct sends wait until the queue has drained: the pump lets them go.
        leg.set_backlog(true);
        let fast = sole && self.capacity > 0 && self.sink.set(leg.clone()).is_ok();
        let tracked = !fast || state.has_sources();
        leg.set_sole(sole && self.capacity > 0);
        if tracked {
            leg.track_taken();
        }
        state.legs().sinks.push(Sink { leg, sole, in_hand: Default::default(), tracked, early: 0 });
    }

    /// Messages from a source must be told when they were taken: from now on the sinks say so, one by one.
    fn track_sinks(&self, state: &mut State<T>) {
        for sink in &mut state.legs().sinks {
            if !sink.tracked {
                sink.tracked = true;
                let untaken = sink.leg.track_taken();
                sink.in_hand.extend((0..untaken).map(|_| super::InHand {
                    copy: None,
                    offer: None,
                    from: None,
                }));
            }
        }
    }

    /// A lone receiver that waits in the session's port waits in the channel's own line from now on.
    fn unpark(&self, state: &mut State<T>) {
        let Some(legs) = &mut state.legs else { return };
        if legs.parked
            && let Some(source) = legs.sources.first()
            && let Some(waker) = source.leg.take_parked()
        {
            // It looks again and finds the new state of things.
            waker.wake();
        }
    }

    /// The session has news of the leg `key`.
    pub(crate) fn ready(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        let mut wakes = Wakes::default();
        let leg = Leg { session: session.clone(), key };
        let mut state = lock(&self.state);
        if state.source_at(&leg).is_some() {
            if state.is_direct() {
                self.report_owed(&mut state, &leg);
                wakes.push(state.waiters.notify_one());
            } else if self.absorb_all(&mut state) {
                let news = self.available(&mut state);
                wakes = news.wakes;
            }
            if state.end != End::Open {
                state.waiters.notify_all(&mut wakes);
            }
        }
        let pump = state.has_sinks();
        let cancelled = state.sink_at(&leg).is_some() && leg.send_status().cancelled.is_some();
        drop(state);
        wakes.wake();
        if cancelled {
            self.leg_cancelled(key, session);
        } else if pump {
            self.pump();
        }
    }

    /// The sender ran out while messages that it paid for are in our hand: says which of them were taken, or notes that
    /// the next one taken is to be told at once.
    fn report_owed(&self, state: &mut State<T>, leg: &Leg) {
        let Some(legs) = &mut state.legs else { return };
        if !leg.session.sender_starved(leg.key) {
            return;
        }
        if legs.owed.0 > 0 {
            leg.taken(legs.owed.0, legs.owed.1);
            legs.owed = (0, 0);
        } else {
            legs.starved = true;
        }
    }

    /// Moves what the sources have into the queue. True if there was anything, a source's end included.
    pub(super) fn absorb_all(self: &Arc<Self>, state: &mut State<T>) -> bool {
        let mut any = false;
        let mut at = 0;
        while let Some(legs) = &mut state.legs {
            let Some(source) = legs.sources.get(at) else { break };
            let leg = source.leg.clone();
            if at == 0 && legs.owed.0 > 0 {
                leg.taken(legs.owed.0, legs.owed.1);
                legs.owed = (0, 0);
            }
            let mut inbox = if at == 0 { legs.inbox.take() } else { None };
            let mut owed = (0, 0);
            loop {
                while let Some(message) = inbox.as_mut().and_then(|inbox| inbox.pop()) {
                    any = true;
                    let parcel = parcel_of(&leg, message);
                    state.queue.accept(Slot::Wire(Box::new(parcel)));
                }
                match leg.refill(&mut inbox, &mut owed, self.capacity == 0, None) {
                    crate::session::Refill::Messages { .. } => {}
                    crate::session::Refill::Empty => {
                        at += 1;
                        break;
                    }
                    crate::session::Refill::Closed(close) => {
                        any = true;
                        self.source_closed(state, &leg, close);
                        break;
                    }
                }
            }
        }
        any
    }

    /// A source has sent its last.
    pub(super) fn source_closed(self: &Arc<Self>, state: &mut State<T>, leg: &Leg, close: Close) {
        let Some(at) = state.source_at(leg) else { return };
        let legs = state.legs();
        if at == 0 && legs.owed.0 > 0 {
            leg.taken(legs.owed.0, legs.owed.1);
        }
        if at == 0 {
            legs.owed = (0, 0);
            legs.parked = false;
        }
        legs.sources.remove(at);
        let spare = if at == 0 { legs.inbox.take() } else { None };
        leg.cancel(Scope::End, Closed::Dropped, spare);
        let error = close.reason.map(RemoteError::from);
        let lost = error.as_ref().is_some_and(|e| e.wire_code() == libchan_proto::code::DISCONNECTED);
        if close.scope == Scope::Channel {
            self.absorb_all(state);
        }
        match (error, close.scope) {
            (_, _) if lost => state.legs().lost = true,
            (error, Scope::Channel) => self.close_state(state, error.map_or(End::Clean, End::Error)),
            (Some(error), Scope::End) => self.close_state(state, End::Error(error)),
            (None, Scope::End) => {}
        }
        self.check_senders(state);
    }

    /// Tells on-demand sources how many receivers wait.
    pub(super) fn ask_sources(&self, state: &State<T>) {
        let Some(legs) = &state.legs else { return };
        if !legs.sources.iter().any(|source| source.on_demand) {
            return;
        }
        let here = state.queue.accepted_len();
        let waiting = self.demand(state).saturating_sub(here);
        for source in legs.sources.iter().filter(|source| source.on_demand) {
            source.leg.want(waiting as u32);
        }
    }
}

fn parcel_of(leg: &Leg, message: libchan_proto::Message<'_>) -> Parcel {
    let payload = match message.body {
        libchan_proto::Body::Slice(bytes) => bytes::Bytes::copy_from_slice(bytes),
        libchan_proto::Body::Shared(bytes) => bytes,
    };
    Parcel {
        codec: leg.session.codec_by_id(message.codec),
        flaw: message.flaw,
        payload,
        ends: message.attachments.iter().map(|&attachment| attached(leg, attachment)).collect(),
        bound: None,
        forwarded: true,
        from: Some(Origin { leg: leg.clone(), charge: message.charge }),
    }
}

impl<T> State<T> {
    pub(super) fn source_at(&self, leg: &Leg) -> Option<usize> {
        self.legs.as_ref()?.sources.iter().position(|source| source.leg.is(leg))
    }

    pub(super) fn sink_at(&self, leg: &Leg) -> Option<usize> {
        self.legs.as_ref()?.sinks.iter().position(|sink| sink.leg.is(leg))
    }

    /// A sender that leads to the peer it is sent to, with nothing of ours before it, is the peer's own channel.
    fn leads_home(&self, session: &Arc<Shared>) -> Option<Key> {
        let legs = self.legs.as_ref()?;
        let [sink] = &legs.sinks[..] else { return None };
        let idle = self.queue.is_empty() && self.queue.reserved() == 0 && !legs.pumping;
        let plain = self.receivers == 0 && legs.sources.is_empty() && self.is_open();
        let home = sink.sole && Arc::ptr_eq(&sink.leg.session, session);
        // Pinned: the entry is not given up before the message that names it has gone out.
        (idle && plain && home && sink.in_hand.is_empty() && sink.leg.pin()).then_some(sink.leg.key)
    }
}
