//! How a channel ends: the last sender gone, `close`, the last receiver gone, a refusal, the end of a session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use libchan_proto::{Key, Scope};

use super::Chan;
use super::lent::{LENT, SENDERS};
use super::queue::Slot;
use super::state::{End, Locked, State};
use crate::cut::{self, Cause, Cut};
use crate::error::Closed;
use crate::session::{Leg, Shared};
use crate::sync::lock;

impl<T> Chan<T> {
    /// A sender is dropped. What marks the thread is its fault, and the channel's for good.
    pub(crate) fn drop_sender(self: &Arc<Self>) {
        if let Some(cause) = cut::now() {
            self.note_fault(cause);
        }
        let before = self.senders.fetch_sub(1, Ordering::AcqRel);
        // Where the port is lent there is a sender elsewhere.
        if before & SENDERS > 1 || before & LENT != 0 {
            return;
        }
        let mut state = lock(&self.state);
        if let Some(sink) = state.end_plain_sink() {
            return sink.leg.close(Scope::End, None);
        }
        if state.end() == End::Open && state.has_sources() && !state.has_sinks() {
            return;
        }
        let mut state = self.recall(state);
        self.check_senders(&mut state);
        if state.end() != End::Open {
            state.wake_receivers();
            // Who waits for the end of the channel may hold no sender.
            state.wake_senders();
        }
        if !state.has_sinks() {
            return;
        }
        if matches!(state.end(), End::Clean | End::Error) && state.is_idle() {
            self.end_sinks(&mut state);
        } else {
            drop(state);
            self.pump();
        }
    }

    /// A sender of this process ends, and not cleanly.
    #[cold]
    pub(crate) fn note_fault(&self, cause: Cause) {
        self.lock().note_fault(cause);
    }

    /// With the last sender, here or remote, the channel ends.
    pub(super) fn check_senders(&self, state: &mut State<T>) {
        if state.end() == End::Open && !state.has_sources() && self.senders() == 0 {
            state.end_senders();
        }
    }

    /// Ends the channel for every sender: receivers drain, then see `error` or the clean end.
    pub(crate) fn close(self: &Arc<Self>, error: Option<Cause>) {
        let mut state = self.lock();
        // What has arrived from remote senders was accepted: it is drained like the rest.
        self.absorb_all(&mut state);
        self.close_state(&mut state, error);
        state.wake_senders();
        state.wake_receivers();
        drop(state);
        self.pump();
    }

    /// The state of a channel that is closed as a whole: remote senders are told.
    /// With an error the end is that.
    pub(super) fn close_state(&self, state: &mut Locked<'_, T>, error: Option<Cause>) {
        if !matches!(state.end(), End::Open | End::Tentative) {
            return;
        }
        match error {
            Some(error) => state.set_error(error),
            // A sender that was cut short before stays so.
            None => state.end_senders(),
        }
        state.close_whole();
        drop_sources(state, Scope::Channel, &Closed::BySender);
    }

    pub(crate) fn drop_receiver(self: &Arc<Self>) {
        if self.receivers.fetch_sub(1, Ordering::AcqRel) > 1 {
            return self.note_lost_receiver();
        }
        let mut state = lock(&self.state);
        if self.receivers() > 0 {
            return;
        }
        if let Some(cause) = cut::now() {
            return self.after_receivers(self.recall(state), cause.into_closed());
        }
        if let Some(mut source) = state.refuse_plain_source() {
            self.note_recalled();
            let spare = state.legs.inbox.take();
            let owed = source.take_owed();
            let parked = source.leg.cancel(Scope::End, Closed::Dropped, owed, spare);
            drop(state);
            return parked.into_iter().for_each(Waker::wake);
        }
        self.after_receivers(self.recall(state), Closed::Dropped);
    }

    /// A receiver is at the other end of `leg` now. In one turn of the lock, or one whose link is lost meanwhile would look
    /// like one that was dropped.
    pub(crate) fn receiver_left(self: &Arc<Self>, leg: &Leg) {
        let mut state = self.lock();
        let left = state.take_left(leg);
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let over = || leg.session.end_so_far().map(|error| Cause::session_over(error).into_closed());
            self.after_receivers(state, left.or_else(over).unwrap_or(Closed::Dropped));
        }
    }

    /// No receiver is left in this process: `why` is what senders are told if none is elsewhere.
    fn after_receivers(self: &Arc<Self>, mut state: Locked<'_, T>, why: Closed) {
        if !state.has_sinks() {
            let lost = state.has_lost_receiver() && why == Closed::Dropped;
            let why = if lost { Cause::disconnected(LOST_IN_MESSAGE).into_closed() } else { why };
            return self.refuse_with(state, why, Scope::End);
        }
        // Its last local receiver is gone: a sole remote one may now hold a channel's worth of messages, unless it competes
        // with receivers that are elsewhere.
        let competes = state.is_served_on_demand();
        if let [sink] = state.legs.sinks_mut()
            && !sink.sole
            && self.capacity > 0
            && !competes
        {
            sink.sole = true;
            sink.leg.set_sole(true);
        }
        drop(state);
        self.pump();
    }

    /// One receiver of several is dropped: if a link was lost with it, that is said once the others have gone. (The value that
    /// it was sent in may not have been dropped yet, and have another handle on it.)
    #[inline]
    fn note_lost_receiver(&self) {
        if cut::now().is_some_and(|cause| cause.is_loss()) {
            self.lock().lose_receiver();
        }
    }

    /// Nothing more is taken: what waits is dropped, senders are told why.
    pub(crate) fn refuse(&self, why: Closed) {
        self.refuse_with(self.lock(), why, Scope::End);
    }

    /// The same for every receiver of the channel, remote ones included.
    pub(crate) fn refuse_all(&self, why: Closed) {
        let mut state = self.lock();
        for sink in state.legs.take_sinks() {
            sink.leg.close(Scope::Channel, Some(Cause::from(why.clone()).into_reason()));
            for hand in sink.into_in_hand() {
                state.start(hand.dormant);
            }
        }
        self.refuse_with(state, why, Scope::Channel);
    }

    /// Refuses, and drops what waited once the lock is released.
    fn refuse_with(&self, mut state: Locked<'_, T>, why: Closed, scope: Scope) {
        let garbage = self.refuse_state(&mut state, why, scope);
        let why = state.undelivered();
        drop(state);
        bury(garbage, why);
    }

    pub(super) fn refuse_state(&self, state: &mut Locked<'_, T>, why: Closed, scope: Scope) -> Vec<Slot<T>> {
        drop_sources(state, scope, &why);
        state.refuse(why);
        state.wake_senders();
        state.wake_receivers();
        state.local_mut().map(|local| local.queue.drain()).unwrap_or_default()
    }

    // ---- the session ends

    /// The session closes: what was accepted goes out first, then the leg ends, unfinished unless its senders have ended. A leg
    /// that messages come in from goes on until its sender has closed it, because what is on its way was accepted there.
    pub(crate) fn leave(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        let leg = Leg { session: session.clone(), key };
        let mut state = self.lock();
        let sole = matches!(state.legs.sinks(), [sink] if sink.leg.is(&leg)) && self.receivers() == 0;
        if sole && matches!(state.end(), End::Open | End::Tentative) {
            self.absorb_all(&mut state);
            state.set_error(Cause::session_closed());
            drop_sources(&mut state, Scope::End, &Cause::session_closed().into_closed());
            state.wake_senders();
        } else if !sole && let Some(sink) = state.legs.remove_sink(&leg) {
            // Others serve the channel: what this one has stays with it.
            leg.close(Scope::End, Some(Cause::session_closed().into_reason()));
            for hand in sink.into_in_hand() {
                self.came_back(&mut state, hand, Some(Cause::session_closed()));
            }
            state.wake_receivers();
        }
        drop(state);
        self.pump();
    }

    /// Nothing more is taken by the leg: what has arrived and was not taken is dropped, and the sender is told how much was.
    pub(crate) fn give_up(self: &Arc<Self>, key: Key, session: &Arc<Shared>, why: &Cause) {
        let leg = Leg { session: session.clone(), key };
        let mut state = self.lock();
        let Some(at) = state.legs.source_at(&leg).filter(|_| !leg.is_closed()) else { return };
        let inbox = if at == 0 { state.legs.inbox.take() } else { None };
        let Some(mut source) = state.legs.remove_source(&leg) else { return };
        let owed = source.take_owed();
        let parked = leg.cancel(Scope::Channel, why.clone().into_closed(), owed, inbox);
        state.wake(parked);
        let untaken = state.local_mut().map(|local| local.queue.take_from(&leg)).unwrap_or_default();
        if !why.is_own_drain() || state.has_sinks() {
            state.note_fault(why.clone());
        }
        self.check_senders(&mut state);
        state.wake_receivers();
        drop(state);
        bury(untaken, Cut::NotDelivered.cause());
        self.pump();
    }

    /// The session is over: its leg is gone, whatever the machine had to say before.
    pub(crate) fn session_over(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        self.ready(key, session);
        self.leg_cancelled(key, session);
        let leg = Leg { session: session.clone(), key };
        let mut state = self.lock();
        if state.legs.source_at(&leg).is_some() {
            self.absorb_news(&mut state, &leg);
            state.wake_receivers();
        }
        drop(state);
        self.pump();
    }

    /// The channel ends with the local session that it was opened on.
    pub(crate) fn end(self: &Arc<Self>, why: Cause) {
        let mut state = self.lock();
        self.close_state(&mut state, Some(why));
        state.wake_senders();
        state.wake_receivers();
        drop(state);
        self.pump();
    }

    // ---- `closed`

    pub(crate) fn poll_closed(&self, cx: &Context<'_>, ticket: &mut Option<u64>) -> Poll<Closed> {
        let mut state = self.lock();
        match state.check_open() {
            Err(closed) => Poll::Ready(closed),
            Ok(()) => {
                state.local().watchers.wait(ticket, cx.waker());
                Poll::Pending
            }
        }
    }

    pub(crate) fn withdraw_watch(&self, ticket: u64) {
        if let Some(local) = self.lock().local_mut() {
            local.watchers.leave(ticket);
        }
    }
}

/// Tells every remote sender that nothing more is taken from it.
fn drop_sources<T>(state: &mut Locked<'_, T>, scope: Scope, why: &Closed) {
    let mut inbox = state.legs.inbox.take();
    for mut source in state.legs.take_sources() {
        let owed = source.take_owed();
        let parked = source.leg.cancel(scope, why.clone(), owed, inbox.take());
        state.wake(parked);
    }
}

/// What is said of a channel whose receiver was in a message that did not arrive.
const LOST_IN_MESSAGE: &str = "a receiver was in a message that was lost with its link";

/// Drops messages that nobody will take, under no lock. What is in them ends because of `why`.
pub(super) fn bury<T>(messages: impl IntoIterator<Item = Slot<T>>, why: Cause) {
    let mut messages = messages.into_iter().peekable();
    if messages.peek().is_some() {
        cut::drop_each(why, messages);
    }
}
