//! Receiving past the channel: where one session feeds a channel and nothing waits in it, the channel lends the session's port
//! to its receivers. They take there and wait there, under the session's lock alone. Whoever locks the channel takes the port
//! back first, and whoever waits there comes to the channel: so all else need not know of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use libchan_proto::{Inbox, TakeLone};

use super::Chan;
use super::here::Polled;
use super::recv::{Place, no_codec};
use super::state::{Locked, State};
use crate::error::RecvError;
use crate::session::Leg;
use crate::spare;
use crate::sync::{MutexGuard, lock};

/// In `Chan::senders`, above the count: the way leads in, not out.
const INWARD: u32 = 1 << 31;
/// The port that the way leads to is lent. Changed under the lock; without that it is a hint, and the port knows.
pub(super) const LENT: u32 = 1 << 30;
/// The count.
pub(super) const SENDERS: u32 = LENT - 1;

impl<T> Chan<T> {
    /// Locks the channel; the port is its own again.
    pub(super) fn lock(&self) -> Locked<'_, T> {
        self.recall(lock(&self.state))
    }

    /// The same, once it is locked.
    #[inline]
    pub(super) fn recall<'a>(&self, state: MutexGuard<'a, State<T>>) -> Locked<'a, T> {
        let mut state = Locked::from(state);
        if self.is_lent() {
            self.note_recalled();
            state.wake(self.way.get().and_then(Leg::recall));
        }
        state
    }

    /// Whether the port is lent. A hint, unless it is asked under the lock.
    #[inline]
    pub(super) fn is_lent(&self) -> bool {
        self.senders.load(Ordering::Relaxed) & LENT != 0
    }

    /// The leg that messages go out by past the queue.
    #[inline]
    pub(super) fn sink(&self) -> Option<&Leg> {
        // In this order: where it leads in, that was said before.
        let leg = self.way.get()?;
        if self.senders.load(Ordering::Relaxed) & INWARD == 0 { Some(leg) } else { None }
    }

    /// Whether the way in is `leg`, which it becomes if there is no way yet. Asked under the lock.
    fn leads_in_by(&self, leg: &Leg) -> bool {
        if let Some(way) = self.way.get() {
            return self.senders.load(Ordering::Relaxed) & INWARD != 0 && way.is(leg);
        }
        self.senders.fetch_or(INWARD, Ordering::Relaxed);
        self.way.set(leg.clone()).is_ok()
    }

    /// Lends the port of the sole source of a plain channel, if the receive that asks can take there or wait there.
    pub(super) fn lend(&self, state: &mut State<T>, waker: &Waker, place: &mut Place) -> TakeLone {
        let Some(source) = state.legs.source_mut() else { return TakeLone::Other };
        if source.on_demand || !self.leads_in_by(&source.leg) {
            return TakeLone::Other;
        }
        let owed = source.take_owed();
        let found = source.leg.lend(owed, waker, &mut place.parked);
        if !matches!(found, TakeLone::Other) {
            self.note_lent();
        }
        found
    }

    /// The port has been taken back.
    pub(super) fn note_recalled(&self) {
        self.senders.fetch_and(!LENT, Ordering::Relaxed);
    }

    /// The port has been lent.
    pub(super) fn note_lent(&self) {
        self.senders.fetch_or(LENT, Ordering::Relaxed);
    }

    /// The same for who has lent it by [`Leg::refill`], if that may be.
    pub(super) fn may_lend(&self, state: &State<T>) -> bool {
        let source = state.legs.sources().first();
        state.is_plain() && source.is_some_and(|source| !source.on_demand && self.leads_in_by(&source.leg))
    }

    /// Takes the message that waits alone at the port, or waits there, if that is lent.
    #[inline]
    pub(super) fn take_lent(&self, waker: &Waker, place: &mut Place) -> Option<(&Leg, TakeLone)> {
        // Senders here go through the channel, and take the port back.
        if self.senders.load(Ordering::Relaxed) != INWARD | LENT || self.effort.is_due() {
            return None;
        }
        let leg = self.way.get()?;
        let found = leg.take_lent(waker, &mut place.parked);
        match found {
            TakeLone::Taken(_) => place.ticket = None,
            TakeLone::Nothing => self.effort.forget(),
            TakeLone::Other => {}
        }
        Some((leg, found))
    }

    /// Receives at the port, which is likely to be lent.
    #[inline(never)]
    pub(super) fn poll_recv_lent(
        self: &Arc<Self>,
        value: &mut Option<T>,
        waker: &Waker,
        place: &mut Place,
    ) -> Polled<RecvError> {
        match self.take_lent(waker, place) {
            Some((leg, TakeLone::Taken(inbox))) => self.unpack(leg, inbox, value),
            Some((_, TakeLone::Nothing)) => Polled::Waits,
            // The channel has to be asked.
            _ => self.poll_recv_across(lock(&self.state), value, waker, place),
        }
    }

    /// Decodes the message that is alone in `inbox`, under no lock.
    #[inline(never)]
    pub(super) fn unpack_lone(
        &self,
        leg: &Leg,
        inbox: Box<Inbox>,
        value: &mut Option<T>,
    ) -> Polled<RecvError> {
        self.unpack(leg, inbox, value)
    }

    #[inline(always)]
    fn unpack(&self, leg: &Leg, mut inbox: Box<Inbox>, value: &mut Option<T>) -> Polled<RecvError> {
        let unpacked = if let Some((codec, payload)) = inbox.pop_plain() {
            let decoded = leg.session.with_codec(codec, |codec| match self.erased() {
                Some(erased) => (erased.decode_plain)(codec, payload, value),
                None => Err(no_codec()),
            });
            Polled::giving(decoded, &mut ())
        } else {
            self.unpack_any(leg, &mut inbox, value)
        };
        spare::put(inbox);
        unpacked
    }

    /// The same for a message that is large or carries something.
    #[inline(never)]
    fn unpack_any(&self, leg: &Leg, inbox: &mut Inbox, value: &mut Option<T>) -> Polled<RecvError> {
        match inbox.pop() {
            Some(message) => Polled::giving(self.decode_message(leg, message), value),
            None => Polled::Done,
        }
    }
}
