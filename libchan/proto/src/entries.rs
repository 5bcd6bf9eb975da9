//! The slab of entries: every open channel end and stream of a session, and the ids they have on the wire.

use crate::entry::{Entry, RecvHalf, SendHalf, StreamState};
use crate::table::Table;
use crate::{Key, Role};

/// Where an id of the peer's leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Found(Key),
    /// It was, and is finished: a late frame.
    Finished,
    /// It never was.
    Unknown,
}

/// An entry and the serial of its key, found together: one line of memory, and not parts of two.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    entry: Entry,
    /// How many entries were here before.
    serial: u32,
}

/// All entries, and the way from wire ids to them. Own ids are slots of the slab; the peer's go through a dense table.
///
/// In memory as it is written here: see [`Machine`](crate::Machine).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entries {
    role: Role,
    /// Slots that were announced to the peer at least once.
    announced: u32,
    slots: Table<Slot>,
    /// By the index in the peer's id: slot + 1, or 0.
    theirs: Table<u32>,
    free: Vec<u32>,
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

    #[inline]
    pub(crate) fn get(&self, key: Key) -> &Entry {
        match self.slots.get(key.slot as usize) {
            Some(slot) if slot.serial == key.serial => &slot.entry,
            _ => &Entry::Free,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        match self.slots.get_mut(key.slot as usize) {
            Some(slot) if slot.serial == key.serial => Some(&mut slot.entry),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn send(&mut self, key: Key) -> Option<&mut SendHalf> {
        match self.get_mut(key) {
            Some(Entry::Send(half)) => Some(half),
            _ => None,
        }
    }

    #[inline]
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
            Some(free) => free.entry = entry,
            None => self.slots.push(Slot { entry, serial: 0 }),
        }
        self.key_at(slot)
    }

    /// The key of what is in the slot now.
    fn key_at(&self, slot: u32) -> Key {
        Key { slot, serial: self.slots.get(slot as usize).map_or(0, |slot| slot.serial) }
    }

    /// The peer has been told of the entry.
    pub(crate) fn note_announced(&mut self, key: Key) {
        self.announced = self.announced.max(key.slot + 1);
    }

    #[inline]
    pub(crate) fn lookup(&self, id: u32) -> Lookup {
        if let Some(index) = self.their_index(id) {
            return match self.theirs.get(index) {
                None => Lookup::Unknown,
                Some(0) => Lookup::Finished,
                Some(&slot) => Lookup::Found(self.key_at(slot - 1)),
            };
        }
        let Some(slot) = self.own_slot(id) else { return Lookup::Unknown };
        let key = self.key_at(slot);
        let live = match self.get(key) {
            Entry::Free => false,
            Entry::Send(half) => half.id == id && half.announced,
            Entry::Recv(half) => half.id == id && half.announced,
            Entry::Stream(stream) => stream.id == id && stream.announced,
        };
        if live { Lookup::Found(key) } else { Lookup::Finished }
    }

    /// The receiving end that an id names, in one step. `None`: [`lookup`](Self::lookup) knows why.
    #[inline]
    pub(crate) fn recv_by_id(&mut self, id: u32) -> Option<(Key, &mut RecvHalf)> {
        let (slot, own) = match self.their_index(id) {
            Some(index) => (self.theirs.get(index)?.checked_sub(1)?, false),
            None => (self.own_slot(id)?, true),
        };
        let Slot { entry: Entry::Recv(half), serial } = self.slots.get_mut(slot as usize)? else {
            return None;
        };
        let live = !own || (half.id == id && half.announced);
        if live { Some((Key { slot, serial: *serial }, half)) } else { None }
    }

    /// The slot behind an id of ours, if it was ever announced.
    fn own_slot(&self, id: u32) -> Option<u32> {
        let slot = match self.role {
            _ if id == 0 => return None,
            Role::Dialer => (id - 2) / 2,
            Role::Acceptor => (id - 1) / 2,
        };
        (slot < self.announced).then_some(slot)
    }

    /// Whether the peer has given the id.
    pub(crate) fn is_theirs(&self, id: u32) -> bool {
        self.their_index(id).is_some()
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
        if let Some(slot) = self.slots.get_mut(key.slot as usize) {
            slot.serial = key.serial.wrapping_add(1);
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
