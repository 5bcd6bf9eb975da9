//! An end crosses a session: prepared when a message is to carry it, connected when one has brought it.

use std::sync::Arc;

use libchan_proto::{Attach, Key, Kind, Scope};

use super::Chan;
use super::in_hand::InHand;
use super::legs::{Sink, Source};
use super::state::{End, Locked, State};
use crate::error::{Closed, SendFailure};
use crate::message::Message;
use crate::session::{AnyChan, Leg, Shared};

impl<T: Message> Chan<T> {
    /// The peer of `session` gets a sender: messages will come in from there.
    pub(crate) fn bind_sender(self: &Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure> {
        self.erase();
        let mut state = self.lock();
        if let Some(key) = self.leads_home(&state, session) {
            return Ok(Attach::SenderHome(key));
        }
        let wanted = if self.capacity == 0 { self.demand(&state) } else { 0 };
        let port: Arc<dyn AnyChan> = self.clone();
        let key = session.allocate(Kind::Sender, self.capacity, false, wanted as u32, port)?;
        let leg = Leg { session: session.clone(), key };
        if let Err(closed) = state.check_open() {
            // Said as soon as the message that names it has gone out.
            let scope = if state.is_refused() { Scope::End } else { Scope::Channel };
            let _ = leg.cancel(scope, closed, (0, 0), None);
            return Ok(Attach::Channel(key));
        }
        state.legs.add_source(Source::new(leg, self.capacity == 0));
        track_sinks(&mut state);
        Ok(Attach::Channel(key))
    }

    /// The peer of `session` gets a receiver: messages will go out to there. The caller's handle is the one that
    /// leaves, and is counted still.
    pub(crate) fn bind_receiver(self: &Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure> {
        self.erase();
        let mut state = self.lock();
        // Through a relay too: where its own messages come on demand, the next one has to ask, or nobody would.
        let sole = self.receivers() == 1 && !state.has_sinks() && !state.is_served_on_demand();
        let on_demand = !sole || self.capacity == 0;
        let port: Arc<dyn AnyChan> = self.clone();
        let key = session.allocate(Kind::Receiver, self.capacity, on_demand, 0, port)?;
        self.add_sink(&mut state, Leg { session: session.clone(), key }, sole);
        Ok(Attach::Channel(key))
    }

    /// The message that names the receiver behind `leg` has gone out.
    pub(crate) fn announced(self: &Arc<Self>, leg: &Leg) {
        let mut state = self.lock();
        self.open_fast_path(&state, leg);
        if state.has_sources() {
            // What has arrived meanwhile waits for the receiver that is now elsewhere.
            self.absorb_all(&mut state);
        }
        self.pump_unless_quiet(state);
    }

    /// The message that was to name the bound end does not go out.
    pub(crate) fn unbind(self: &Arc<Self>, leg: &Leg) {
        let mut state = self.lock();
        state.wake_receivers();
        state.legs.remove_source(leg);
        state.legs.remove_sink(leg);
        leg.session.abandon(leg.key);
    }

    /// A sender that was claimed: what it sends goes to `leg`.
    pub(crate) fn adopt_sink(self: &Arc<Self>, leg: Leg) {
        self.erase();
        let mut state = self.lock();
        let cancelled = leg.adopt(self.clone());
        if state.end() == End::Tentative {
            state.set_end(End::Open);
        }
        self.add_sink(&mut state, leg.clone(), true);
        self.open_fast_path(&state, &leg);
        self.check_senders(&mut state);
        if cancelled {
            // Its receiver had gone before anybody stood here to be told.
            drop(state);
            self.leg_cancelled(leg.key, &leg.session);
        } else {
            self.pump_unless_quiet(state);
        }
    }

    /// A sender has come home: what it sent before is on its way no more, and goes before what it sends now.
    pub(crate) fn come_home(self: &Arc<Self>) {
        let mut state = self.lock();
        if self.absorb_all(&mut state) {
            self.serve(state);
        }
    }

    /// A receiver that was claimed: its messages come from `leg`.
    pub(crate) fn adopt_source(self: &Arc<Self>, leg: Leg, on_demand: bool) {
        self.erase();
        let mut state = self.lock();
        leg.adopt(self.clone());
        if state.end() == End::Tentative {
            state.set_end(End::Open);
        }
        let (key, session) = (leg.key, leg.session.clone());
        state.legs.add_source(Source::new(leg, on_demand || self.capacity == 0));
        // An end that is claimed under another type than it arrived with has a sink already.
        track_sinks(&mut state);
        let unread = self.receivers() == 0 && !state.has_sinks();
        let quiet = self.is_direct(&state) && state.waiting_receivers() == 0;
        drop(state);
        if unread {
            self.refuse(Closed::Dropped);
        } else if !quiet {
            self.ready(key, &session);
        }
    }
}

impl<T> Chan<T> {
    fn add_sink(&self, state: &mut State<T>, leg: Leg, sole: bool) {
        let tracked = !sole || self.capacity == 0 || state.has_sources() || self.way.get().is_some();
        if tracked {
            leg.track_taken();
        } else if !state.is_idle() {
            // Direct sends wait until the queue has drained: the pump lets them go.
            leg.set_backlog(true);
        }
        state.legs.add_sink(Sink::new(leg, sole, tracked));
    }

    /// Lets sends pass the queue, if the leg is the one way out. Its entry can no longer be taken back.
    fn open_fast_path(&self, state: &State<T>, leg: &Leg) {
        if let [sink] = state.legs.sinks()
            && sink.leg.is(leg)
            && !sink.tracked
        {
            let _ = self.way.set(leg.clone());
        }
    }

    /// After a sink was added: most have nothing to be sent yet.
    fn pump_unless_quiet(self: &Arc<Self>, state: Locked<'_, T>) {
        let plain = state.legs.sinks().iter().all(|sink| !sink.tracked);
        let quiet = plain && state.is_idle() && state.end() == End::Open;
        drop(state);
        if !quiet {
            self.pump();
        }
    }

    /// A sender that leads to the peer it is sent to, with nothing of ours before it, is the peer's own channel.
    fn leads_home(&self, state: &State<T>, session: &Arc<Shared>) -> Option<Key> {
        let [sink] = state.legs.sinks() else { return None };
        let plain = self.receivers() == 0 && !state.has_sources() && state.is_open() && state.is_idle();
        let home = sink.sole && !sink.has_in_hand() && Arc::ptr_eq(&sink.leg.session, session);
        // Pinned: the entry is not given up before the message that names it has gone out.
        (plain && home && sink.leg.pin()).then_some(sink.leg.key)
    }
}

/// Messages from a source must be told when they were taken: from now on the sinks say so, one by one.
fn track_sinks<T>(state: &mut State<T>) {
    for sink in state.legs.sinks_mut().iter_mut().filter(|sink| !sink.tracked) {
        sink.tracked = true;
        for _ in 0..sink.leg.track_taken() {
            sink.hand(InHand::passed());
        }
    }
}
