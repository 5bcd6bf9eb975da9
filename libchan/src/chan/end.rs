//! How a channel ends: the last sender gone, `close`, the last receiver gone, a refusal, a lost link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use libchan_proto::{Key, Scope};

use super::queue::Slot;
use super::{Chan, End, State, Wakes, wait_on};
use crate::error::{Closed, RemoteError};
use crate::session::{Leg, Shared};
use crate::sync::lock;

impl<T> Chan<T> {
    pub(crate) fn drop_sender(self: &Arc<Self>) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.senders -= 1;
        if state.senders > 0 {
            return;
        }
        self.check_senders(&mut state);
        if state.end != End::Open {
            state.waiters.notify_all(&mut wakes);
        }
        self.wake_parked(&mut state);
        let pump = state.has_sinks();
        drop(state);
        wakes.wake();
        if pump {
            self.pump();
        }
    }

    /// With the last sender, here or remote, the channel ends.
    pub(super) fn check_senders(&self, state: &mut State<T>) {
        if state.senders == 0 && !state.has_sources() && state.end == End::Open {
            let lost = state.legs.as_ref().is_some_and(|legs| legs.lost);
            state.end = if lost { End::Lost } else { End::Clean };
        }
    }

    /// A receiver parked in a session's port has to look again when the shape of the channel changes.
    fn wake_parked(&self, state: &mut State<T>) {
        if let Some(legs) = &mut state.legs
            && legs.parked
            && let Some(source) = legs.sources.first()
            && let Some(waker) = source.leg.take_parked()
        {
            waker.wake();
        }
    }

    /// Ends the channel for every sender: receivers drain, then see `error` or the clean end.
    pub(crate) fn close(self: &Arc<Self>, error: Option<RemoteError>) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        // What has arrived from remote senders was accepted: it is drained like the rest.
        self.absorb_all(&mut state);
        self.close_state(&mut state, error.map_or(End::Clean, End::Error));
        state.queue.wake_all(&mut wakes);
        state.waiters.notify_all(&mut wakes);
        state.watchers.notify_all(&mut wakes);
        self.wake_parked(&mut state);
        drop(state);
        wakes.wake();
        self.pump();
    }

    /// The state of a channel that is closed as a whole: remote senders are told.
    pub(super) fn close_state(&self, state: &mut State<T>, end: End) {
        if !matches!(state.end, End::Open | End::Tentative) {
            return;
        }
        state.end = end;
        let Some(legs) = &mut state.legs else { return };
        legs.closed_whole = true;
        let mut inbox = legs.inbox.take();
        for source in legs.sources.drain(..) {
            source.leg.cancel(Scope::Channel, Closed::BySender, inbox.take());
        }
        legs.owed = (0, 0);
    }

    pub(crate) fn drop_receiver(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.receivers -= 1;
        if state.receivers > 0 {
            return;
        }
        if state.has_sinks() {
            // Its last local receiver is gone: a sole remote one may now hold a channel's worth of messages.
            let capacity = self.capacity;
            if let Some(legs) = &mut state.legs
                && let [sink] = &mut legs.sinks[..]
                && !sink.sole
                && capacity > 0
            {
                sink.sole = true;
                sink.leg.set_sole(true);
            }
            drop(state);
            self.pump();
            return;
        }
        drop(state);
        self.refuse(Closed::Dropped);
    }

    /// Nothing more is taken: what waits is dropped, senders are told why.
    pub(crate) fn refuse(self: &Arc<Self>, why: Closed) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let garbage = self.refuse_state(&mut state, why, Scope::End, &mut wakes);
        let lost = state.is_lost();
        drop(state);
        bury(garbage, lost);
        wakes.wake();
    }

    /// The same for every receiver of the channel, remote ones included.
    pub(crate) fn refuse_all(self: &Arc<Self>, why: Closed) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        for sink in state.legs.iter_mut().flat_map(|legs| legs.sinks.drain(..)) {
            sink.leg.close(Scope::Channel, Some(why.clone().into_reason()));
        }
        let garbage = self.refuse_state(&mut state, why, Scope::Channel, &mut wakes);
        let lost = state.is_lost();
        drop(state);
        bury(garbage, lost);
        wakes.wake();
    }

    fn refuse_state(
        &self,
        state: &mut State<T>,
        why: Closed,
        scope: Scope,
        wakes: &mut Wakes,
    ) -> VecDeque<Slot<T>> {
        if let Some(legs) = &mut state.legs {
            if legs.owed.0 > 0
                && let Some(source) = legs.sources.first()
            {
                source.leg.taken(legs.owed.0, legs.owed.1);
                legs.owed = (0, 0);
            }
            let mut inbox = legs.inbox.take();
            for source in legs.sources.drain(..) {
                source.leg.cancel(scope, why.clone(), inbox.take());
            }
            legs.parked = false;
        }
        if state.refused.is_none() {
            state.refused = Some(Box::new(why));
        }
        state.queue.wake_all(wakes);
        state.waiters.notify_all(wakes);
        state.watchers.notify_all(wakes);
        state.queue.drain()
    }

    /// The remote receiver behind the leg takes no more.
    pub(crate) fn leg_cancelled(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        let mut wakes = Wakes::default();
        let leg = Leg { session: session.clone(), key };
        let mut state = lock(&self.state);
        let Some(at) = state.sink_at(&leg) else { return };
        let Some(cancel) = leg.send_status().cancelled else { return };
        let sink = state.legs().sinks.remove(at);
        if sink.early > 0 {
            state.legs().early = Some(leg.clone());
        }
        leg.close(Scope::End, None);
        let lost = cancel.reason.code == libchan_proto::code::DISCONNECTED;
        for hand in sink.in_hand.into_iter().rev() {
            self.came_back(&mut state, hand, lost, &mut wakes);
        }
        let whole = cancel.scope == Scope::Channel;
        let mut garbage = VecDeque::new();
        if whole || (state.receivers == 0 && !state.has_sinks()) {
            let scope = if whole { Scope::Channel } else { Scope::End };
            garbage = self.refuse_state(&mut state, Closed::from_reason(cancel.reason), scope, &mut wakes);
        } else if !state.queue.is_empty() {
            wakes.push(state.waiters.notify_one());
        }
        if state.end != End::Open {
            state.waiters.notify_all(&mut wakes);
            state.queue.wake_all(&mut wakes);
        }
        let lost = state.is_lost();
        drop(state);
        bury(garbage, lost);
        wakes.wake();
        self.pump();
    }

    /// A remote receiver has taken `messages`.
    pub(crate) fn taken(self: &Arc<Self>, key: Key, session: &Arc<Shared>, messages: u32) {
        let mut wakes = Wakes::default();
        let mut garbage = Vec::new();
        let leg = Leg { session: session.clone(), key };
        let mut state = lock(&self.state);
        let Some(at) = state.sink_at(&leg) else { return };
        for _ in 0..messages {
            let sink = &mut state.legs().sinks[at];
            match sink.in_hand.pop_front() {
                Some(hand) => garbage.extend(self.was_taken(&mut state, hand, &mut wakes)),
                None => sink.early += 1,
            }
        }
        if state.end != End::Open {
            // The end may have waited for this.
            state.waiters.notify_all(&mut wakes);
        }
        drop(state);
        drop(garbage);
        wakes.wake();
        self.pump();
    }

    // ---- the session ends

    /// The session closes: what was accepted goes out first, then the leg ends. A leg that messages come in from goes
    /// on until its sender has closed it, because what is on its way was accepted there.
    pub(crate) fn leave(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        let leg = Leg { session: session.clone(), key };
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.sink_at(&leg).is_some() && state.legs().sinks.len() == 1 && state.receivers == 0 {
            self.absorb_all(&mut state);
            self.close_state(&mut state, End::Clean);
            state.queue.wake_all(&mut wakes);
            state.watchers.notify_all(&mut wakes);
        }
        drop(state);
        wakes.wake();
        self.pump();
    }

    /// The session is over: its leg is gone, whatever the machine had to say before.
    pub(crate) fn session_over(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        self.ready(key, session);
        self.leg_cancelled(key, session);
        let leg = Leg { session: session.clone(), key };
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.source_at(&leg).is_some() {
            self.absorb_all(&mut state);
            state.waiters.notify_all(&mut wakes);
            self.wake_parked(&mut state);
        }
        drop(state);
        wakes.wake();
        self.pump();
    }

    /// The channel ends with the local session that it was opened on.
    pub(crate) fn end(self: &Arc<Self>, lost: bool) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        self.close_state(&mut state, if lost { End::Lost } else { End::Clean });
        state.queue.wake_all(&mut wakes);
        state.waiters.notify_all(&mut wakes);
        state.watchers.notify_all(&mut wakes);
        drop(state);
        wakes.wake();
        self.pump();
    }

    // ---- `closed`

    pub(crate) fn poll_closed(&self, cx: &Context<'_>, ticket: &mut Option<u64>) -> Poll<Closed> {
        let mut state = lock(&self.state);
        match state.check_open() {
            Err(closed) => Poll::Ready(closed),
            Ok(()) => {
                wait_on(&mut state.watchers, ticket, cx.waker());
                Poll::Pending
            }
        }
    }

    pub(crate) fn withdraw_watch(&self, ticket: u64) {
        lock(&self.state).watchers.leave(ticket);
    }
}

impl<T> State<T> {
    fn is_lost(&self) -> bool {
        self.refused.as_deref() == Some(&Closed::Disconnected)
    }
}

/// Drops messages that nobody will take, under no lock. `lost`: with their link, so that senders in them did not end
/// cleanly.
fn bury<T>(messages: VecDeque<Slot<T>>, lost: bool) {
    for slot in &messages {
        if let (true, Slot::Wire(parcel)) = (lost, slot) {
            parcel.lose();
        }
    }
}
