//! How a channel ends: the last sender gone, `close`, the last receiver gone, a refusal, the end of a session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use libchan_proto::{Key, Scope};

use super::Chan;
use super::lent::{LENT, SENDERS};
use super::queue::Slot;
use super::state::{End, Locked, State};
use crate::codec::AnyCodec;
use crate::error::{Closed, RemoteError};
use crate::message::Erased;
use crate::parcel::Parcel;
use crate::scratch::Scratch;
use crate::session::{Leg, Shared};
use crate::sync::lock;

impl<T> Chan<T> {
    pub(crate) fn drop_sender(self: &Arc<Self>) {
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
        if state.end() == End::Clean && state.is_idle() {
            self.end_sinks(&mut state);
        } else {
            drop(state);
            self.pump();
        }
    }

    /// With the last sender, here or remote, the channel ends.
    pub(super) fn check_senders(&self, state: &mut State<T>) {
        if state.end() == End::Open && !state.has_sources() && self.senders() == 0 {
            let end = if state.is_source_lost() { End::Lost } else { End::Clean };
            state.set_end(end);
        }
    }

    /// Ends the channel for every sender: receivers drain, then see `error` or the clean end.
    pub(crate) fn close(self: &Arc<Self>, error: Option<RemoteError>) {
        let mut state = self.lock();
        // What has arrived from remote senders was accepted: it is drained like the rest.
        self.absorb_all(&mut state);
        self.close_state(&mut state, End::Clean, error);
        state.wake_senders();
        state.wake_receivers();
        drop(state);
        self.pump();
    }

    /// The state of a channel that is closed as a whole: remote senders are told.
    /// With an error the end is that.
    pub(super) fn close_state(&self, state: &mut Locked<'_, T>, end: End, error: Option<RemoteError>) {
        if !matches!(state.end(), End::Open | End::Tentative) {
            return;
        }
        state.set_end(end);
        if let Some(error) = error {
            state.set_error(error);
        }
        state.close_whole();
        drop_sources(state, Scope::Channel, &Closed::BySender);
    }

    pub(crate) fn drop_receiver(self: &Arc<Self>) {
        if self.receivers.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut state = lock(&self.state);
        if self.receivers() > 0 {
            return;
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
        let state = self.lock();
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let lost = leg.session.is_over();
            self.after_receivers(state, if lost { Closed::Disconnected } else { Closed::Dropped });
        }
    }

    /// No receiver is left in this process: `why` is what senders are told if none is elsewhere.
    fn after_receivers(self: &Arc<Self>, mut state: Locked<'_, T>, why: Closed) {
        if !state.has_sinks() {
            let why = if state.has_lost_receiver() { Closed::Disconnected } else { why };
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

    /// A receiver that is about to be dropped was lost with a link: if it is the last, so is what waits for it. The value that
    /// it was sent in may not have been dropped yet, and have another handle on it.
    pub(crate) fn lose_receiver(&self) {
        let mut state = self.lock();
        if self.receivers() > 1 {
            state.lose_receiver();
        } else if !state.has_sinks() {
            self.refuse_with(state, Closed::Disconnected, Scope::End);
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
            sink.leg.close(Scope::Channel, Some(why.clone().into_reason()));
            for hand in sink.into_in_hand() {
                state.start(hand.dormant);
            }
        }
        self.refuse_with(state, why, Scope::Channel);
    }

    /// Refuses, and drops what waited once the lock is released.
    fn refuse_with(&self, mut state: Locked<'_, T>, why: Closed, scope: Scope) {
        let garbage = self.refuse_state(&mut state, why, scope);
        let lost = state.is_lost();
        drop(state);
        self.bury(garbage, lost);
    }

    pub(super) fn refuse_state(&self, state: &mut Locked<'_, T>, why: Closed, scope: Scope) -> Vec<Slot<T>> {
        drop_sources(state, scope, &why);
        state.refuse(why);
        state.wake_senders();
        state.wake_receivers();
        state.local_mut().map(|local| local.queue.drain()).unwrap_or_default()
    }

    // ---- the session ends

    /// The session closes: what was accepted goes out first, then the leg ends. A leg that messages come in from goes
    /// on until its sender has closed it, because what is on its way was accepted there.
    pub(crate) fn leave(self: &Arc<Self>, key: Key, session: &Arc<Shared>) {
        let leg = Leg { session: session.clone(), key };
        let mut state = self.lock();
        if let [sink] = state.legs.sinks()
            && sink.leg.is(&leg)
            && self.receivers() == 0
        {
            self.absorb_all(&mut state);
            self.close_state(&mut state, End::Clean, None);
            state.wake_senders();
        }
        drop(state);
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
    pub(crate) fn end(self: &Arc<Self>, lost: bool) {
        let mut state = self.lock();
        self.close_state(&mut state, if lost { End::Lost } else { End::Clean }, None);
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

impl<T> Chan<T> {
    /// Drops messages that nobody will take, under no lock. `lost`: with their link, so that what is in them did not end
    /// cleanly.
    pub(super) fn bury(&self, messages: impl IntoIterator<Item = Slot<T>>, lost: bool) {
        for slot in messages {
            match slot {
                Slot::Wire(parcel) if lost => parcel.lose(),
                Slot::Value(value) if lost => {
                    // Encoding is how the ends in it are found.
                    let (codec, mut scratch) = (AnyCodec::msgpack(), Scratch::take());
                    let encode = |erased: Erased<T>| (erased.encode)(&value, &codec, scratch.buffer());
                    let encoded = self.erased().map(encode);
                    // From here on its encoding alone counts them.
                    drop(value);
                    if let Some(Ok(Some(encoded))) = encoded {
                        Parcel::encoded(encoded, &[]).lose();
                    }
                }
                Slot::Wire(_) | Slot::Value(_) => {}
            }
        }
    }
}
