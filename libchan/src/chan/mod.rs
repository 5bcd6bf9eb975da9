//! The channel behind the ends: one queue, one lock, and the legs that lead to other processes.
//!
//! ```text
//!   local senders ──┐                    ┌── local receivers
//!                   ├──> queue ──────────┤
//!   sources (legs) ─┘                    └── sinks (legs)
//! ```
//!
//! A channel that never leaves the process has no legs, and nothing in it is encoded. An end that crosses a session
//! leaves a *leg* behind: a source where a sender went, a sink where a receiver went. A leg is an entry in the
//! session's protocol machine, not a task: the session calls [`AnyChan::ready`] when there is news.
//!
//! Inside one process [`here`] has the short way. Across a session two shapes carry nearly all traffic and skip the queue:
//! - one sink and nothing else to serve (`Chan::sink`): a send appends to the session's output directly;
//! - one source and only local receivers ([`Chan::is_direct`]): a receive takes from the session's inbox directly, and where
//!   nothing waits here it passes the channel itself ([`lent`]).
//!
//! A channel of these shapes is one allocation: what waits here lives in `state::Local`, made when first needed.
//!
//! Locks: a channel's lock may be held while a session's is taken, never the other way round, and never two of a
//! kind. User code (`Serialize`, `Deserialize`, `Drop` of values, wakers) runs under neither.

mod bind;
mod end;
mod here;
mod in_hand;
mod legs;
mod lent;
mod news;
mod plain;
mod pump;
mod queue;
mod recv;
mod relay;
mod reserve;
mod ring;
mod send;
mod slot;
mod sources;
mod standing;
mod state;
mod travel;

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use libchan_proto::{Attach, Key};

pub(crate) use self::queue::Slot;
pub(crate) use self::recv::{Place, Recv};
pub(crate) use self::relay::share;
pub(crate) use self::reserve::Room;
pub(crate) use self::send::Sending;
use self::state::{End, State};
use crate::cut::Cause;
use crate::error::{Closed, SendFailure};
use crate::give_way::Effort;
use crate::message::{Erased, Message};
use crate::session::{AnyChan, Leg, Shared};
use crate::sync::{AtomicU32, Mutex};

/// The capacity of a channel that states none: 0 would make every reply a round trip, and let a caller that does not
/// read stall a server.
pub(crate) const DEFAULT_CAPACITY: usize = 64;

/// One channel. Its ends are counted here, not by the `Arc`: sessions hold the `Arc` too.
///
/// In memory as it is written here: what a message across a session needs comes first, in one line with the `Arc`'s counters.
#[repr(C)]
pub(crate) struct Chan<T> {
    /// The ends in this process. Counted without the lock; what follows from the last one is decided under it. Above the
    /// count of senders is how the way leads: see [`lent`].
    senders: AtomicU32,
    capacity: u32,
    /// The leg by which messages pass the queue: the sole remote receiver of a channel with room, if that is whom every
    /// message goes to, or the source whose port was lent. Never changes: once the last local receiver is gone there is
    /// nothing a second remote one could be cloned from, and of several sources none is lent.
    way: OnceLock<Leg>,
    /// Set before the first leg; what a channel without the `Message` bound needs to encode and decode.
    erased: OnceLock<Narrow<T>>,
    /// What was encoded and decoded here: who does much gives way.
    effort: Effort,
    receivers: AtomicU32,
    /// Which sends that wait here are known to be done, without the lock: see [`here`].
    done: here::Done,
    state: Mutex<State<T>>,
}

/// A pointer that lies with the alignment of a counter, so that it needs no padding behind its `OnceLock`'s.
#[repr(Rust, packed(4))]
struct Narrow<T>(fn() -> Erased<T>);

impl<T> Clone for Narrow<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Narrow<T> {}

impl<T> Chan<T> {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Self::build(u32::try_from(capacity).unwrap_or(u32::MAX), State::new(End::Open), OnceLock::new())
    }

    /// A channel for an end that was claimed and is not connected yet.
    pub(crate) fn tentative(capacity: u32) -> Arc<Self>
    where
        T: Message,
    {
        Self::build(capacity, State::new(End::Tentative), OnceLock::from(Narrow(Erased::of)))
    }

    /// A channel that takes nothing: where the other end went away before this one was used.
    pub(crate) fn closed() -> Arc<Self>
    where
        T: Message,
    {
        let mut state = State::new(End::Clean);
        state.refuse(Closed::Dropped);
        Self::build(0, state, OnceLock::from(Narrow(Erased::of)))
    }

    fn build(capacity: u32, state: State<T>, erased: OnceLock<Narrow<T>>) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            senders: AtomicU32::new(0),
            receivers: AtomicU32::new(0),
            done: here::Done::new(),
            effort: Effort::default(),
            erased,
            way: OnceLock::new(),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Remembers how to encode and decode: done where the bound is known, before the channel gets a leg.
    pub(crate) fn erase(&self)
    where
        T: Message,
    {
        let _ = self.erased.set(Narrow(Erased::of));
    }

    /// Remembers what another channel of the same type does: messages that came encoded may pass through this one.
    pub(crate) fn erase_like(&self, other: &Self) {
        if let Some(erased) = other.erased.get() {
            let _ = self.erased.set(*erased);
        }
    }

    #[inline]
    fn erased(&self) -> Option<Erased<T>> {
        self.erased.get().map(|narrow| (narrow.0)())
    }

    pub(crate) fn count_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_receiver(&self) {
        self.receivers.fetch_add(1, Ordering::Relaxed);
    }

    fn senders(&self) -> u32 {
        self.senders.load(Ordering::Acquire) & lent::SENDERS
    }

    fn receivers(&self) -> u32 {
        self.receivers.load(Ordering::Acquire)
    }

    pub(crate) fn is_ended(&self) -> bool {
        !self.lock().is_open()
    }

    pub(crate) fn len(&self) -> usize {
        let state = self.lock();
        state.accepted_len() + state.legs.waiting()
    }

    /// One source and only local receivers: they take from the session's inbox without passing the queue.
    fn is_direct(&self, state: &State<T>) -> bool {
        state.legs.sources().len() == 1 && state.legs.sinks().is_empty() && self.senders() == 0
    }
}

impl<T: Message> AnyChan for Chan<T> {
    fn count_sender(&self) {
        Self::count_sender(self);
    }

    fn count_receiver(&self) {
        Self::count_receiver(self);
    }

    fn drop_sender(self: Arc<Self>) {
        Self::drop_sender(&self);
    }

    fn drop_receiver(self: Arc<Self>) {
        Self::drop_receiver(&self);
    }

    fn receiver_left(self: Arc<Self>, leg: &Leg) {
        Self::receiver_left(&self, leg);
    }

    fn senders(&self) -> u32 {
        Self::senders(self)
    }

    fn receivers(&self) -> u32 {
        Self::receivers(self)
    }

    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn bind_sender(self: Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure> {
        Self::bind_sender(&self, session)
    }

    fn bind_receiver(self: Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure> {
        Self::bind_receiver(&self, session)
    }

    fn announced(self: Arc<Self>, leg: &Leg) {
        Self::announced(&self, leg);
    }

    fn unbind(self: Arc<Self>, leg: &Leg) {
        Self::unbind(&self, leg);
    }

    fn come_home(self: Arc<Self>) {
        Self::come_home(&self);
    }

    fn adopt_sink(self: Arc<Self>, leg: Leg) {
        Self::adopt_sink(&self, leg);
    }

    fn adopt_source(self: Arc<Self>, leg: Leg, on_demand: bool) {
        Self::adopt_source(&self, leg, on_demand);
    }

    fn ready(self: Arc<Self>, key: Key, session: &Arc<Shared>) {
        Self::ready(&self, key, session);
    }

    fn taken(self: Arc<Self>, key: Key, session: &Arc<Shared>, messages: u32) {
        Self::taken(&self, key, session, messages);
    }

    fn leave(self: Arc<Self>, key: Key, session: &Arc<Shared>) {
        Self::leave(&self, key, session);
    }

    fn give_up(self: Arc<Self>, key: Key, session: &Arc<Shared>, why: Cause) {
        Self::give_up(&self, key, session, &why);
    }

    fn has_unsent(&self) -> bool {
        let state = self.lock();
        state.has_sinks() && self.receivers() == 0 && state.accepted_len() > 0
    }

    fn session_over(self: Arc<Self>, key: Key, session: &Arc<Shared>) {
        Self::session_over(&self, key, session);
    }

    fn refuse_all(self: Arc<Self>, why: Closed) {
        Self::refuse_all(&self, why);
    }

    fn end(self: Arc<Self>, why: Cause) {
        Self::end(&self, why);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_channel_is_small() {
        // Beside the counters of its `Arc`. Whatever grows here grows twice for every channel across a session.
        assert!(size_of::<Chan<u64>>() <= 120, "{}", size_of::<Chan<u64>>());
    }
}
