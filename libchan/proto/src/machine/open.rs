//! How a channel begins: named, or as an attachment of a message, and what it is charged.

use super::{Event, Machine};
use crate::Key;
use crate::code;
use crate::credit::Full;
use crate::entry::{Entry, RecvHalf, Scope, SendHalf, StreamState};
use crate::error::{Misbehaviour, OpenError, Reason, SessionError};
use crate::frame::{self, MOST_CAPACITY, Metadata, Opening, Type};
use crate::inbox::Kind;

impl Machine {
    /// Opens a named channel; this side sends.
    ///
    /// # Errors
    /// This side has opened as many as it may, or the session is over.
    pub fn open(&mut self, name: &str, capacity: u32, metadata: &Metadata) -> Result<Key, OpenError> {
        let max = self.limits.max_frame as usize;
        let capacity = capacity.min(MOST_CAPACITY);
        let body = Opening::encode(name, capacity, metadata, max).ok_or(OpenError::NameTooLong)?;
        let key = self.allocate(Kind::Receiver, capacity, false, 0)?;
        if let Some(half) = self.entries.send(key) {
            half.announced = true;
            let id = half.id;
            self.entries.announce(id, key);
            self.control_frame(|out| {
                frame::header(out, body.len(), Type::Open, id);
                out.extend_from_slice(&body);
            });
        }
        Ok(key)
    }

    /// A new channel or stream, one end of which is to go to the peer in a message; `peer_gets` says which. Nothing is
    /// sent before a message announces it. `wanted`: receives that wait here, for a rendezvous.
    ///
    /// # Errors
    /// This side has opened as many as it may, or the session is over.
    pub fn allocate(
        &mut self,
        peer_gets: Kind,
        capacity: u32,
        on_demand: bool,
        wanted: u32,
    ) -> Result<Key, OpenError> {
        let (capacity, wanted) = (capacity.min(MOST_CAPACITY), wanted.min(MOST_CAPACITY));
        let over = self.over.is_some() || self.said_goodbye.is_some();
        if over || self.established.is_none() {
            return Err(OpenError::SessionOver);
        }
        let (window, stream) = (self.limits.initial_window, self.limits.stream_window);
        let charge = if peer_gets == Kind::Stream { stream } else { window };
        self.opened_here.add(charge, &self.limits).map_err(|full| match full {
            Full::Count => OpenError::TooManyChannels,
            Full::Memory => OpenError::Memory,
        })?;
        Ok(self.entries.insert_own(|id| match peer_gets {
            Kind::Receiver => Entry::Send(SendHalf::new(id, true, capacity, !on_demand, window)),
            Kind::Stream => Entry::Stream(Box::new(StreamState::new(id, false, stream))),
            _ => {
                let mut half = RecvHalf::new(id, false, capacity, false, window);
                half.want(if capacity == 0 { wanted } else { 0 });
                Entry::Recv(half)
            }
        }))
    }

    /// Whose budget an entry is counted in, ours or not, and its first window.
    pub(super) fn charge_of(&self, key: Key) -> Option<(bool, u32)> {
        let (id, charge) = match self.entries.get(key) {
            Entry::Free => return None,
            Entry::Send(half) => (half.id, self.limits.initial_window),
            Entry::Recv(half) => (half.id, self.limits.initial_window),
            Entry::Stream(stream) => (stream.id, self.limits.stream_window),
        };
        Some((!self.entries.is_theirs(id), charge))
    }

    pub(super) fn uncharge(&mut self, charge: Option<(bool, u32)>) {
        match charge {
            Some((true, bytes)) => self.opened_here.remove(bytes),
            Some((false, bytes)) => self.opened_there.remove(bytes),
            None => {}
        }
    }

    /// An entry that was not announced and will not be.
    pub fn abandon(&mut self, key: Key) {
        match self.entries.get(key) {
            Entry::Stream(_) => self.abandon_stream(key),
            _ => self.drop_entry(key),
        }
    }

    /// Whether the peer knows of the entry.
    pub fn is_announced(&self, key: Key) -> bool {
        match self.entries.get(key) {
            Entry::Free => false,
            Entry::Send(half) => half.announced,
            Entry::Recv(half) => half.announced,
            Entry::Stream(stream) => stream.announced,
        }
    }

    pub(super) fn on_open(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let opening = Opening::decode(body)?;
        let (capacity, window) = (opening.capacity, self.limits.initial_window);
        let mut half = RecvHalf::new(id, true, capacity, false, window);
        half.rare().opening = Some(opening);
        let key = self.insert_theirs(id, Kind::Receiver, Entry::Recv(half))?;
        if self.pending_accepts >= self.limits.max_pending_accepts {
            let reason = Reason::of(code::ACCEPT_QUEUE_FULL);
            if let Some(half) = self.entries.recv(key) {
                half.rare = None;
            }
            self.cancel(key, Scope::Channel, reason, None);
            return self.check_control();
        }
        self.pending_accepts += 1;
        self.events.push_back(Event::Opened(key));
        Ok(())
    }

    /// A new entry under an id that the peer gave; `kind` says what this side has of it.
    pub(super) fn insert_theirs(&mut self, id: u32, kind: Kind, entry: Entry) -> Result<Key, Misbehaviour> {
        let stream = kind == Kind::Stream;
        let charge = if stream { self.limits.stream_window } else { self.limits.initial_window };
        self.opened_there.add(charge, &self.limits).map_err(|full| match full {
            Full::Count => Misbehaviour::TooManyChannels,
            Full::Memory => Misbehaviour::Memory,
        })?;
        let most = self.limits.max_channels as usize;
        self.entries.insert_theirs(id, most, entry).ok_or(Misbehaviour::IdNotFree)
    }

    /// Takes a named channel out of the line of those that wait.
    pub fn accept(&mut self, key: Key) -> Option<Opening> {
        let half = self.entries.recv(key)?;
        let opening = half.rare.as_mut()?.opening.take()?;
        half.tidy();
        self.pending_accepts -= 1;
        Some(opening)
    }
}
