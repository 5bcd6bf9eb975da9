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
//! Two shapes carry nearly all traffic and skip the queue:
//! - one sink and nothing else to serve (`Chan::sink`): a send appends to the session's output directly;
//! - one source and only local receivers ([`State::is_direct`]): a receive takes from the session's inbox directly.
//!
//! Locks: a channel's lock may be held while a session's is taken, never the other way round, and never two of a
//! kind. User code (`Serialize`, `Deserialize`, `Drop` of values, wakers) runs under neither.

mod end;
mod legs;
mod pump;
mod queue;
mod recv;
mod send;
mod waiters;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use libchan_proto::{Attach, Inbox, Key};

use self::queue::Queue;
pub(crate) use self::queue::Slot;
pub(crate) use self::recv::{Place, Recv};
pub(crate) use self::send::{Begun, Offered, Room};
pub(crate) use self::waiters::{Waiters, Wakes};
use crate::attach::AnyChan;
use crate::error::{Closed, RemoteError, SendFailure};
use crate::message::{Erased, Message};
use crate::parcel::Parcel;
use crate::session::{Leg, Shared};
use crate::sync::{Mutex, lock};

/// The capacity of a channel that states none: 0 would make every reply a round trip, and let a caller that does not
/// read stall a server.
pub(crate) const DEFAULT_CAPACITY: usize = 64;

/// One channel. Its ends are counted in `state`, not by the `Arc`: sessions hold the `Arc` too.
pub(crate) struct Chan<T> {
    capacity: u32,
    /// Set before the first leg; what a channel without the `Message` bound needs to encode and decode.
    erased: OnceLock<Erased<T>>,
    /// The sole remote receiver of a channel with room, if that is whom every message goes to. Never changes:
    /// once the last local receiver is gone there is nothing a second one could be cloned from.
    sink: OnceLock<Leg>,
    state: Mutex<State<T>>,
}

pub(crate) struct State<T> {
    senders: u32,
    receivers: u32,
    queue: Queue<T>,
    /// Local `recv` calls that wait.
    waiters: Waiters,
    end: End,
    /// Set once nothing more is taken.
    refused: Option<Box<Closed>>,
    /// Calls of `closed` that wait.
    watchers: Waiters,
    legs: Option<Box<Legs>>,
}

/// How the sending side stands.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Open,
    /// A claimed end whose message has not wholly decoded: its leg is still to come.
    Tentative,
    Clean,
    Error(RemoteError),
    Lost,
}

/// What ties a channel to sessions.
#[derive(Default)]
struct Legs {
    sources: Vec<Source>,
    sinks: Vec<Sink>,
    /// Messages taken from the sole source and not yet delivered.
    inbox: Option<Box<Inbox>>,
    /// Taken from the sole source and not yet reported: messages, and their charge.
    owed: (u32, u32),
    /// The sender had nothing left when the inbox was taken: report at the next take.
    starved: bool,
    /// Somebody is moving messages to the sinks.
    pumping: bool,
    pump_again: bool,
    /// A receiver that has left after it took the message that the pump is about to note.
    early: Option<Leg>,
    /// A remote receiver is served next, where a local one waits too.
    remote_turn: bool,
    /// A source's link was lost: said when the other senders have ended.
    lost: bool,
    /// The channel as a whole was closed, not merely its last sender gone.
    closed_whole: bool,
    /// The sole receiver in this process waits in the session's port, not in `waiters`.
    parked: bool,
}

struct Source {
    leg: Leg,
    on_demand: bool,
}

struct Sink {
    leg: Leg,
    /// The only receiver: it may hold as many messages as the channel's capacity.
    sole: bool,
    /// Messages it has not taken, oldest first. Empty for a sole sink that only local senders use.
    in_hand: VecDeque<InHand>,
    tracked: bool,
    /// Messages that were taken before the pump had noted that it had sent them.
    early: u32,
}

/// A message that a remote receiver has and has not taken.
struct InHand {
    /// To be served to another receiver if this one leaves; `None` if it cannot be copied.
    copy: Option<Box<Parcel>>,
    /// The waiting send that it completes (capacity 0).
    offer: Option<u64>,
    from: Option<crate::parcel::Origin>,
}

impl<T> Chan<T> {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Self::build(u32::try_from(capacity).unwrap_or(u32::MAX), End::Open)
    }

    /// A channel for an end that was claimed and is not connected yet.
    pub(crate) fn tentative(capacity: u32) -> Arc<Self>
    where
        T: Message,
    {
        let chan = Self::build(capacity, End::Tentative);
        chan.erase();
        chan
    }

    /// A channel that takes nothing: where the other end went away before this one was used.
    pub(crate) fn closed() -> Arc<Self>
    where
        T: Message,
    {
        let chan = Self::build(0, End::Clean);
        chan.erase();
        lock(&chan.state).refused = Some(Box::new(Closed::Dropped));
        chan
    }

    fn build(capacity: u32, end: End) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            erased: OnceLock::new(),
            sink: OnceLock::new(),
            state: Mutex::new(State {
                senders: 0,
                receivers: 0,
                queue: Queue::new(),
                waiters: Waiters::new(),
                end,
                refused: None,
                watchers: Waiters::new(),
                legs: None,
            }),
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
        let _ = self.erased.set(Erased::of());
    }

    /// Remembers what another channel of the same type does: messages that came encoded may pass through this one.
    pub(crate) fn erase_like(&self, other: &Self) {
        if let Some(erased) = other.erased.get() {
            let _ = self.erased.set(erased.clone());
        }
    }

    pub(crate) fn count_sender(&self) {
        lock(&self.state).senders += 1;
    }

    pub(crate) fn count_receiver(&self) {
        lock(&self.state).receivers += 1;
    }

    pub(crate) fn is_ended(&self) -> bool {
        let state = lock(&self.state);
        state.refused.is_some() || !matches!(state.end, End::Open | End::Tentative)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.state).queue.accepted_len()
    }
}

impl<T> State<T> {
    fn legs(&mut self) -> &mut Legs {
        self.legs.get_or_insert_default()
    }

    fn has_sinks(&self) -> bool {
        self.legs.as_ref().is_some_and(|legs| !legs.sinks.is_empty())
    }

    fn has_sources(&self) -> bool {
        self.legs.as_ref().is_some_and(|legs| !legs.sources.is_empty())
    }

    /// One source and only local receivers: they take from the session's inbox without passing the queue.
    fn is_direct(&self) -> bool {
        let one = |legs: &Legs| legs.sources.len() == 1 && legs.sinks.is_empty();
        self.senders == 0 && self.legs.as_deref().is_some_and(one)
    }

    fn is_open(&self) -> bool {
        self.refused.is_none() && matches!(self.end, End::Open | End::Tentative)
    }

    /// Why a send fails, if it does.
    fn send_failure(&self) -> Option<SendFailure> {
        match (&self.refused, &self.end) {
            (Some(closed), _) => Some(SendFailure::from((**closed).clone())),
            (None, End::Open | End::Tentative) => None,
            (None, End::Lost) => Some(SendFailure::Disconnected { outcome_unknown: false }),
            (None, _) => Some(SendFailure::Closed(Closed::BySender)),
        }
    }

    /// How many messages of a sole remote receiver count against the room here.
    fn outside(&self) -> u32 {
        let Some(sink) = self.legs.as_ref().and_then(|legs| legs.sinks.first()) else { return 0 };
        if sink.sole { sink.leg.untaken() } else { 0 }
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

    fn senders(&self) -> u32 {
        lock(&self.state).senders
    }

    fn receivers(&self) -> u32 {
        lock(&self.state).receivers
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

    fn session_over(self: Arc<Self>, key: Key, session: &Arc<Shared>) {
        Self::session_over(&self, key, session);
    }

    fn refuse_all(self: Arc<Self>, why: Closed) {
        Self::refuse_all(&self, why);
    }

    fn lose(&self) {
        lock(&self.state).legs().lost = true;
    }

    fn end(self: Arc<Self>, lost: bool) {
        Self::end(&self, lost);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Waits on a list until told; the ticket is kept in a future that leaves the list when dropped.
fn wait_on(waiters: &mut Waiters, ticket: &mut Option<u64>, waker: &Waker) {
    waiters.wait(ticket, waker);
}
