//! Named channels: opening one, and accepting or refusing what the peer opens.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use libchan_proto::{Key, Metadata, Opening, Scope, SessionError};

use super::admission::Admission;
use super::any_chan::AnyChan;
use super::leg::Leg;
use super::shared::Shared;
use crate::chan::{Chan, DEFAULT_CAPACITY};
use crate::error::{Closed, OpenError, RemoteError};
use crate::message::Message;
use crate::pipe::MAX_CAPACITY;
use crate::receiver::Receiver;
use crate::transport::{End, Shipped};

/// How a named channel is to be: its capacity and what is said with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How many messages the channel holds that nobody has taken; 0 is a rendezvous. Default 64.
    pub capacity: usize,
    /// What is said to whom the channel is opened: a credential, a topic.
    pub metadata: Metadata,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { capacity: DEFAULT_CAPACITY, metadata: Metadata::default() }
    }
}

impl OpenOptions {
    /// Capacity 64, no metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many messages the channel holds that nobody has taken; 0 is a rendezvous. More than [`MAX_CAPACITY`] is an error of
    /// `open_with`.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// Says something to whom the channel is opened: a credential, a topic. A key longer than 255 bytes, a value longer than
    /// 65,535, or more than a frame holds is an error of `open_with` ([`NameTooLong`](crate::OpenError::NameTooLong)).
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.metadata.insert(key, value);
        self
    }

    /// Says what is wrong with a capacity that no channel can have.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        if self.capacity > MAX_CAPACITY {
            return Err(OpenError::Limit(format!(
                "its capacity is {}, at most {MAX_CAPACITY}",
                self.capacity
            )));
        }
        Ok(())
    }

    pub(crate) fn capacity_u32(&self) -> u32 {
        u32::try_from(self.capacity).unwrap_or(u32::MAX)
    }
}

/// A channel that the peer has opened and that waits for an answer. Dropping it refuses the channel.
pub struct Incoming {
    name: String,
    metadata: Metadata,
    capacity: u32,
    /// Who has opened it, where no leg knows.
    principal: Option<String>,
    pub(super) admission: Option<Arc<Admission>>,
    end: Option<IncomingEnd>,
}

enum IncomingEnd {
    Leg(Leg),
    /// The end itself, from a transport with a way of its own.
    Shipped(End),
}

impl Incoming {
    pub(crate) fn shipped(shipped: Shipped, principal: Option<String>) -> Self {
        let Shipped { name, options, end } = shipped;
        let capacity = options.capacity_u32();
        let end = Some(IncomingEnd::Shipped(end));
        Self { name, metadata: options.metadata, capacity, principal, admission: None, end }
    }

    fn remote(leg: Leg, opening: Opening) -> Self {
        let Opening { name, capacity, metadata, .. } = opening;
        Self { name, metadata, capacity, principal: None, admission: None, end: Some(IncomingEnd::Leg(leg)) }
    }

    /// The name it was opened under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the opener said with it.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Who has opened it: the session's [principal](crate::Session::principal).
    pub fn principal(&self) -> Option<&str> {
        match &self.end {
            Some(IncomingEnd::Leg(leg)) => leg.session.info.principal.as_deref(),
            _ => self.principal.as_deref(),
        }
    }

    /// As whom the peer was let in, when the channel was accepted: the session's [admission](crate::Session::admission).
    pub fn admission(&self) -> Option<&Admission> {
        self.admission.as_deref()
    }

    /// Accepts the channel. Messages that do not decode as `T` are errors of `recv`, one each.
    pub fn receive<T: Message>(mut self) -> Receiver<T> {
        match self.end.take() {
            Some(IncomingEnd::Leg(leg)) => {
                let chan = Chan::<T>::tentative(self.capacity);
                let receiver = Receiver::from_chan(chan.clone());
                let (key, session) = (leg.key, leg.session.clone());
                AnyChan::adopt_source(chan, leg, false);
                session.note_named(key);
                receiver
            }
            Some(IncomingEnd::Shipped(end)) => end.into_receiver(),
            None => Receiver::from_chan(Chan::closed()),
        }
    }

    /// Refuses the channel; the opener's sends fail with `reason`.
    pub fn refuse(mut self, reason: impl Into<RemoteError>) {
        self.refuse_as(Closed::Refused(reason.into()));
    }

    /// The same in the name of the protocol: the code is REFUSED.
    pub(super) fn forbid(mut self, reason: String) {
        self.refuse_as(Closed::Refused(RemoteError::with_wire_code(libchan_proto::code::REFUSED, reason)));
    }

    fn refuse_as(&mut self, why: Closed) {
        match self.end.take() {
            Some(IncomingEnd::Leg(leg)) => drop(leg.cancel(Scope::Channel, why, (0, 0), None)),
            Some(IncomingEnd::Shipped(end)) => end.refuse(why),
            None => {}
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let text = "nobody accepted the channel".to_owned();
        self.refuse_as(Closed::Refused(RemoteError::with_wire_code(libchan_proto::code::REFUSED, text)));
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("name", &self.name).field("capacity", &self.capacity).finish()
    }
}

impl Shared {
    pub(super) fn open(
        &self,
        name: &str,
        options: &OpenOptions,
        chan: Arc<dyn AnyChan>,
    ) -> Result<Key, OpenError> {
        self.quiet(|state| {
            if let Some(why) = &state.over {
                return Err(OpenError::SessionOver(why.clone()));
            }
            if state.closing {
                return Err(OpenError::SessionOver(SessionError::Closed));
            }
            let key = match state.machine.open(name, options.capacity_u32(), &options.metadata) {
                Ok(key) => key,
                Err(libchan_proto::OpenError::NameTooLong) => return Err(OpenError::NameTooLong),
                Err(error) => return Err(OpenError::Limit(error.to_string())),
            };
            state.ports.set_chan(key, chan);
            Ok(key)
        })
    }

    pub(super) fn poll_accept(
        self: &Arc<Self>,
        cx: &Context<'_>,
        ticket: &mut Option<u64>,
    ) -> Poll<Result<Option<Incoming>, SessionError>> {
        let mut state = self.lock();
        while let Some(key) = state.incoming.pop_front() {
            let Some(opening) = state.machine.accept(key) else { continue };
            if let Some(ticket) = ticket.take() {
                state.acceptors.leave(ticket);
            }
            return Poll::Ready(Ok(Some(Incoming::remote(Leg { session: self.clone(), key }, opening))));
        }
        match &state.over {
            Some(SessionError::Closed) => Poll::Ready(Ok(None)),
            Some(why) => Poll::Ready(Err(why.clone())),
            None => {
                state.acceptors.wait(ticket, cx.waker());
                Poll::Pending
            }
        }
    }

    /// An `accept` was dropped; a channel it was told of is offered to the next one.
    pub(super) fn leave_accept(&self, ticket: u64) {
        let mut state = self.lock();
        let told = !state.acceptors.leave(ticket);
        let next = if told && !state.incoming.is_empty() { state.acceptors.notify_one() } else { None };
        drop(state);
        if let Some(next) = next {
            next.wake();
        }
    }
}
