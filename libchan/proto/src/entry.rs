//! The slab of entries: every open channel end and stream of a session, and the ids they have on the wire.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::credit::Window;
use crate::error::Reason;
use crate::frame::Opening;
use crate::inbox::{Attachment, Flaw, Inbox};
use crate::memory::Memory;
use crate::table::Table;
use crate::unread::Unread;
use crate::{Key, Role};

/// Who speaks: an end, or for the channel as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This end.
    End,
    /// The channel: every end of it, wherever it is.
    Channel,
}

/// How the sending side of a channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The end, or the channel.
    pub scope: Scope,
    /// `None`: cleanly.
    pub reason: Option<Reason>,
}

/// How the receiving side of a channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The end, or the channel.
    pub scope: Scope,
    /// Why; code 0: simply gone.
    pub reason: Reason,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Free,
    Send(SendHalf),
    Recv(RecvHalf),
    Stream(Box<StreamState>),
}

/// The sending end of a channel.
///
/// ```text
///   unannounced ──message──> open ──CLOSE sent──────────────> closed ──CANCEL received──> gone
///                             │  (id given by us)                ▲
///                             └──CANCEL received──> cancelled ───┘ CLOSE sent
/// ```
/// Where the peer gave the id, the entry is gone as soon as CLOSE was sent.
#[derive(Debug)]
pub(crate) struct SendHalf {
    pub(crate) id: u32,
    pub(crate) capacity: u32,
    pub(crate) sent: u32,
    pub(crate) taken: u32,
    pub(crate) wanted: u32,
    pub(crate) credit: i32,
    pub(crate) own: bool,
    pub(crate) announced: bool,
    pub(crate) sole: bool,
    pub(crate) backlog: bool,
    pub(crate) track: bool,
    /// A send was refused: say when it may succeed.
    pub(crate) watched: bool,
    /// CLOSE is sent, or waits behind a large message or a pin.
    pub(crate) closed: bool,
    /// CLOSE is sent: what is left is the receiver's answer.
    pub(crate) over: bool,
    /// Messages to come that name it.
    pub(crate) pins: u16,
    pub(crate) rare: Option<Box<RareSend>>,
}

#[derive(Debug, Default)]
pub(crate) struct RareSend {
    pub(crate) large: Option<Large>,
    pub(crate) cancelled: Option<Cancel>,
    /// What to say once the large message is out and no message is to name the entry any more.
    pub(crate) close: Option<Close>,
}

/// A message that leaves in fragments.
#[derive(Debug)]
pub(crate) struct Large {
    /// What is left of its payload, and the length of all of it.
    pub(crate) parts: VecDeque<Bytes>,
    pub(crate) total: usize,
    pub(crate) sent: usize,
    pub(crate) codec: u8,
    pub(crate) flaw: Flaw,
    /// The attachment table as it is on the wire.
    pub(crate) table: Vec<u8>,
    pub(crate) tokens: Vec<u32>,
    pub(crate) started: bool,
    /// Charged by fragment.
    pub(crate) announced: bool,
    /// In the queue of those that may go on.
    pub(crate) queued: bool,
}

/// The receiving end of a channel.
///
/// ```text
///   open ──CLOSE received──> closed (its inbox stays readable) ──cancel──> gone
///    └────CANCEL sent──────> cancelled ──CLOSE received──> gone
/// ```
/// Where the peer gave the id, CLOSE is answered with CANCEL once what had arrived was taken or dropped.
#[derive(Debug)]
pub(crate) struct RecvHalf {
    pub(crate) id: u32,
    pub(crate) capacity: u32,
    pub(crate) arrived: u32,
    /// Taken, and of these how many the peer was not told.
    pub(crate) taken: u32,
    pub(crate) owed: u32,
    /// Told to the peer, cumulative; and how many receives wait now.
    pub(crate) wanted: u32,
    pub(crate) waiting: u32,
    pub(crate) window: Window,
    pub(crate) own: bool,
    pub(crate) announced: bool,
    pub(crate) on_demand: bool,
    pub(crate) closed: bool,
    /// Closed cleanly, this end of it: the usual end needs no more to be remembered.
    pub(crate) clean: bool,
    pub(crate) cancelled: bool,
    /// In the list of channels that owe credit.
    pub(crate) due: bool,
    pub(crate) starving: bool,
    /// Somebody waits for the next message.
    pub(crate) awaited: bool,
    pub(crate) inbox: Option<Box<Inbox>>,
    pub(crate) rare: Option<Box<RareRecv>>,
}

#[derive(Debug, Default)]
pub(crate) struct RareRecv {
    pub(crate) partial: Option<Partial>,
    pub(crate) close: Option<Close>,
    /// What to say once the entry is announced.
    pub(crate) cancel: Option<Cancel>,
    /// A named channel that waits to be accepted.
    pub(crate) opening: Option<Opening>,
    /// Bytes that a large message waits for.
    pub(crate) reserving: u32,
    /// Bytes granted beyond the window that the peer was not told of.
    pub(crate) granted: u32,
    /// Senders that came home and are not claimed or dropped.
    pub(crate) holds: u32,
}

/// A message of which not all has arrived.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) codec: u8,
    pub(crate) flaw: Flaw,
    pub(crate) attachments: Vec<Attachment>,
    /// `None`: a frame is being read into it, or nobody wants it.
    pub(crate) payload: Option<Memory>,
    /// Payload bytes that have arrived; they are not kept once nobody wants them.
    pub(crate) received: usize,
    pub(crate) total: u32,
    pub(crate) announced: bool,
}

/// A byte stream: two directions, each ended by its writer (END) and its reader (STOP).
#[derive(Debug)]
pub(crate) struct StreamState {
    pub(crate) id: u32,
    pub(crate) own: bool,
    pub(crate) announced: bool,
    // ---- out
    pub(crate) credit: i32,
    pub(crate) unsent: VecDeque<u8>,
    /// END is to follow what is unsent.
    pub(crate) finish: Option<Reason>,
    pub(crate) end_sent: bool,
    pub(crate) stopped: Option<Reason>,
    pub(crate) wants_write: bool,
    // ---- in
    pub(crate) window: Window,
    pub(crate) arrived: Unread,
    pub(crate) ended: Option<Reason>,
    pub(crate) stop_sent: bool,
    pub(crate) wants_read: bool,
    /// Nobody here reads any more.
    pub(crate) discard: bool,
    /// It was never announced and never will be.
    pub(crate) abandoned: bool,
    /// Both directions are over on the wire; its entry waits for who uses it here.
    pub(crate) over: bool,
    pub(crate) due: bool,
}

impl RecvHalf {
    pub(crate) fn rare(&mut self) -> &mut RareRecv {
        self.rare.get_or_insert_default()
    }

    /// Gives the memory of what is rare back once nothing is in it.
    pub(crate) fn tidy(&mut self) {
        self.rare.take_if(|rare| rare.is_empty());
    }

    pub(crate) fn holds(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.holds)
    }

    /// Messages that the sender may still start by the window rule, as far as this side knows.
    pub(crate) fn room_left(&self) -> u32 {
        let reported = self.taken.wrapping_sub(self.owed);
        self.capacity.saturating_sub(self.arrived.wrapping_sub(reported))
    }

    /// Whether the sender has nothing left to start a message with.
    pub(crate) fn is_starved(&self) -> bool {
        (self.room_left() == 0 && !self.serves_demand()) || self.window.left() <= 0
    }

    /// Whether the sender has less than a quarter left.
    pub(crate) fn is_short(&self) -> bool {
        let by_bytes = self.window.left() < self.window.size() as i32 / 4;
        by_bytes || (self.room_left() < self.capacity.div_ceil(4) && !self.serves_demand())
    }

    pub(crate) fn serves_demand(&self) -> bool {
        self.on_demand || self.capacity == 0
    }
}

impl RareRecv {
    fn is_empty(&self) -> bool {
        let Self { partial, close, cancel, opening, reserving, granted, holds } = self;
        let said = close.is_some() || cancel.is_some() || opening.is_some();
        !said && partial.is_none() && (*reserving, *granted, *holds) == (0, 0, 0)
    }
}

impl SendHalf {
    pub(crate) fn rare(&mut self) -> &mut RareSend {
        self.rare.get_or_insert_default()
    }

    /// Gives the memory of what is rare back once nothing is in it.
    pub(crate) fn tidy(&mut self) {
        let empty = |rare: &mut Box<RareSend>| {
            rare.large.is_none() && rare.cancelled.is_none() && rare.close.is_none()
        };
        self.rare.take_if(empty);
    }

    pub(crate) fn cancelled(&self) -> Option<&Cancel> {
        self.rare.as_ref()?.cancelled.as_ref()
    }

    pub(crate) fn has_large(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.large.is_some())
    }

    pub(crate) fn room(&self) -> u32 {
        if !self.sole || self.has_large() {
            return 0;
        }
        self.capacity.saturating_sub(self.sent.wrapping_sub(self.taken))
    }

    pub(crate) fn demand(&self) -> u32 {
        if self.has_large() {
            return 0;
        }
        let demand = self.wanted.wrapping_sub(self.sent) as i32;
        demand.max(0) as u32
    }
}

/// Where an id of the peer's leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Found(Key),
    /// It was, and is finished: a late frame.
    Finished,
    /// It never was.
    Unknown,
}

/// All entries, and the way from wire ids to them. Own ids are slots of the slab; the peer's go through a dense table.
#[derive(Debug)]
pub(crate) struct Entries {
    role: Role,
    slots: Table<Entry>,
    /// By slot: how many entries were in it before.
    serials: Table<u32>,
    free: Vec<u32>,
    /// By the index in the peer's id: slot + 1, or 0.
    theirs: Table<u32>,
    /// Slots that were announced to the peer at least once.
    announced: usize,
    open: usize,
    /// Streams that are over on the wire and still held here.
    over: usize,
    /// Senders that have said their last and wait for the receiver's answer.
    parting: usize,
}

impl Entries {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            slots: Table::default(),
            serials: Table::default(),
            free: Vec::new(),
            theirs: Table::default(),
            announced: 0,
            open: 0,
            over: 0,
            parting: 0,
        }
    }

    /// Entries, those included that only wait for who uses them here.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Entries that are not finished on the wire.
    pub(crate) fn live(&self) -> usize {
        self.open - self.over
    }

    /// Those of which something is still to come from here, or to be received.
    pub(crate) fn in_use(&self) -> usize {
        self.open - self.over - self.parting
    }

    pub(crate) fn note_over(&mut self, key: Key) {
        match self.get_mut(key) {
            Some(Entry::Stream(stream)) if !stream.over => {
                stream.over = true;
                self.over += 1;
            }
            Some(Entry::Send(half)) if !half.over => {
                half.over = true;
                self.parting += 1;
            }
            _ => {}
        }
    }

    fn is_current(&self, key: Key) -> bool {
        self.serials.get(key.slot as usize) == Some(&key.serial)
    }

    pub(crate) fn get(&self, key: Key) -> &Entry {
        let slot = if self.is_current(key) { self.slots.get(key.slot as usize) } else { None };
        slot.unwrap_or(&Entry::Free)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        if self.is_current(key) { self.slots.get_mut(key.slot as usize) } else { None }
    }

    pub(crate) fn send(&mut self, key: Key) -> Option<&mut SendHalf> {
        match self.get_mut(key) {
            Some(Entry::Send(half)) => Some(half),
            _ => None,
        }
    }

    pub(crate) fn recv(&mut self, key: Key) -> Option<&mut RecvHalf> {
        match self.get_mut(key) {
            Some(Entry::Recv(half)) => Some(half),
            _ => None,
        }
    }

    pub(crate) fn stream(&mut self, key: Key) -> Option<&mut StreamState> {
        match self.get_mut(key) {
            Some(Entry::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    /// A new entry under an id of ours.
    pub(crate) fn insert_own(&mut self, make: impl FnOnce(u32) -> Entry) -> Key {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let id = match self.role {
            Role::Dialer => 2 * slot + 2,
            Role::Acceptor => 2 * slot + 1,
        };
        self.put(slot, make(id))
    }

    /// A new entry under an id of the peer's. `None`: the id is in use, or not the peer's to give.
    pub(crate) fn insert_theirs(&mut self, id: u32, most: usize, entry: Entry) -> Option<Key> {
        let index = self.their_index(id)?;
        // Ids are dense: an index beyond what can be open at once is no slab index.
        if index >= 2 * most.max(1) || self.theirs.get(index).is_some_and(|&slot| slot != 0) {
            return None;
        }
        self.theirs.grow(index + 1, || 0);
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        *self.theirs.get_mut(index)? = slot + 1;
        Some(self.put(slot, entry))
    }

    fn put(&mut self, slot: u32, entry: Entry) -> Key {
        self.open += 1;
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = entry,
            None => {
                self.slots.push(entry);
                self.serials.push(0);
            }
        }
        self.key_at(slot)
    }

    /// The key of what is in the slot now.
    fn key_at(&self, slot: u32) -> Key {
        Key { slot, serial: self.serials.get(slot as usize).copied().unwrap_or_default() }
    }

    /// The peer has been told of the entry.
    pub(crate) fn note_announced(&mut self, key: Key) {
        self.announced = self.announced.max(key.slot as usize + 1);
    }

    pub(crate) fn lookup(&self, id: u32) -> Lookup {
        if let Some(index) = self.their_index(id) {
            return match self.theirs.get(index) {
                None => Lookup::Unknown,
                Some(0) => Lookup::Finished,
                Some(&slot) => Lookup::Found(self.key_at(slot - 1)),
            };
        }
        let slot = match self.role {
            _ if id == 0 => return Lookup::Unknown,
            Role::Dialer => (id - 2) / 2,
            Role::Acceptor => (id - 1) / 2,
        };
        if slot as usize >= self.announced {
            return Lookup::Unknown;
        }
        let key = self.key_at(slot);
        let live = match self.get(key) {
            Entry::Free => false,
            Entry::Send(half) => half.id == id && half.announced,
            Entry::Recv(half) => half.id == id && half.announced,
            Entry::Stream(stream) => stream.id == id && stream.announced,
        };
        if live { Lookup::Found(key) } else { Lookup::Finished }
    }

    /// The index in an id of the peer's; `None` if the id is one of ours.
    fn their_index(&self, id: u32) -> Option<usize> {
        match self.role {
            // The acceptor's ids are odd from 1.
            Role::Dialer if id % 2 == 1 => Some((id as usize - 1) / 2),
            // The dialer's are even from 2.
            Role::Acceptor if id.is_multiple_of(2) && id > 0 => Some((id as usize - 2) / 2),
            _ => None,
        }
    }

    /// The id is finished, and the peer may give it again; the entry stays for what was not read.
    pub(crate) fn unlink(&mut self, id: u32, key: Key) {
        if let Some(index) = self.their_index(id)
            && let Some(slot) = self.theirs.get_mut(index)
            && *slot == key.slot + 1
        {
            *slot = 0;
        }
    }

    /// Frees the slot and its id.
    pub(crate) fn remove(&mut self, key: Key) -> Entry {
        let Some(entry) = self.get_mut(key).map(|slot| std::mem::replace(slot, Entry::Free)) else {
            return Entry::Free;
        };
        let id = match &entry {
            Entry::Free => return entry,
            Entry::Send(half) => half.id,
            Entry::Recv(half) => half.id,
            Entry::Stream(stream) => stream.id,
        };
        self.unlink(id, key);
        self.free.push(key.slot);
        if let Some(serial) = self.serials.get_mut(key.slot as usize) {
            *serial = key.serial.wrapping_add(1);
        }
        self.open -= 1;
        match &entry {
            Entry::Stream(stream) => self.over -= usize::from(stream.over),
            Entry::Send(half) => self.parting -= usize::from(half.over),
            Entry::Recv(_) | Entry::Free => {}
        }
        entry
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        (0..self.slots.len() as u32).map(|slot| self.key_at(slot)).collect()
    }
}
