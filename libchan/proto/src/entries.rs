//! The slab of entries: every open channel end and stream of a session, and the ids they have on the wire.

use crate::entry::{Entry, Last, RecvHalf, SendHalf, StreamState};
use crate::table::Table;
use crate::{Key, Role};

/// An entry and the serial of its key, found together: one line of memory, and not parts of two.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    entry: Entry,
    /// How many entries were here before.
    serial: u32,
}

/// All entries, and the way from wire ids to them: two dense tables, one for the ids of each side. An id is in its table
/// exactly as long as it is in use on the wire; an entry may outlive it, for who uses it here.
///
/// In memory as it is written here: see [`Machine`](crate::Machine).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entries {
    role: Role,
    slots: Table<Slot>,
    /// By the index in an id of ours: slot + 1 once the peer knows it, or 0.
    ours: Table<u32>,
    /// By the index in an id of the peer's: slot + 1, or 0.
    theirs: Table<u32>,
    free: Vec<u32>,
    /// Indexes of ours that may be given again.
    free_ids: Vec<u32>,
    open: usize,
    /// Those that are over on the wire and still held here.
    over: usize,
    /// Senders that have said their last and wait for the receiver's answer.
    parting: usize,
}

impl Entries {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            slots: Table::default(),
            ours: Table::default(),
            theirs: Table::default(),
            free: Vec::new(),
            free_ids: Vec::new(),
            open: 0,
            over: 0,
            parting: 0,
        }
    }

    /// Entries that are not finished on the wire.
    pub(crate) fn live(&self) -> usize {
        self.open - self.over
    }

    /// Those of which something is still to come from here, or to be received.
    pub(crate) fn in_use(&self) -> usize {
        self.open - self.over - self.parting
    }

    /// The sending end has said its last, and the receiver's answer is awaited.
    pub(crate) fn note_parting(&mut self, key: Key) {
        if let Some(half) = self.send(key) {
            half.last = Last::Parting;
            self.parting += 1;
        }
    }

    /// The id is finished, and who gave it may give it again; the entry stays for who uses it here. False: it was already.
    pub(crate) fn finish(&mut self, key: Key) -> bool {
        let (id, over, parting) = match self.get_mut(key) {
            Some(Entry::Stream(stream)) => (stream.id, std::mem::replace(&mut stream.over, true), false),
            Some(Entry::Send(half)) => {
                let last = std::mem::replace(&mut half.last, Last::Over);
                (half.id, last == Last::Over, last == Last::Parting)
            }
            _ => return false,
        };
        if over {
            return false;
        }
        self.over += 1;
        self.parting -= usize::from(parting);
        self.free_id(id);
        true
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

    /// A new entry under an id of ours. The peer may name it from [`announce`](Self::announce) on.
    pub(crate) fn insert_own(&mut self, make: impl FnOnce(u32) -> Entry) -> Key {
        let index = self.free_ids.pop().unwrap_or(self.ours.len() as u32);
        self.ours.grow(index as usize + 1, || 0);
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let id = match self.role {
            Role::Dialer => 2 * index + 2,
            Role::Acceptor => 2 * index + 1,
        };
        self.put(slot, make(id))
    }

    /// The peer has been told of the entry, which has an id of ours.
    pub(crate) fn announce(&mut self, id: u32, key: Key) {
        if let Some(index) = self.own_index(id)
            && let Some(place) = self.ours.get_mut(index)
        {
            *place = key.slot + 1;
        }
    }

    /// A new entry under an id of the peer's. `None`: the id is in use, or not the peer's to give.
    pub(crate) fn insert_theirs(&mut self, id: u32, most: usize, entry: Entry) -> Option<Key> {
        let index = self.their_index(id)?;
        // Ids are dense: an index beyond what can be open at once is no slab index.
        if index >= most || self.theirs.get(index).is_some_and(|&slot| slot != 0) {
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

    /// What the id names; `None`: it is not in use.
    #[inline]
    pub(crate) fn lookup(&self, id: u32) -> Option<Key> {
        let slot = match self.their_index(id) {
            Some(index) => self.theirs.get(index)?,
            None => self.ours.get(self.own_index(id)?)?,
        };
        Some(self.key_at(slot.checked_sub(1)?))
    }

    /// The receiving end that an id names, in one step. `None`: [`lookup`](Self::lookup) knows why.
    #[inline]
    pub(crate) fn recv_by_id(&mut self, id: u32) -> Option<(Key, &mut RecvHalf)> {
        let slot = match self.their_index(id) {
            Some(index) => self.theirs.get(index)?,
            None => self.ours.get(self.own_index(id)?)?,
        };
        let slot = slot.checked_sub(1)?;
        match self.slots.get_mut(slot as usize)? {
            Slot { entry: Entry::Recv(half), serial } => Some((Key { slot, serial: *serial }, half)),
            _ => None,
        }
    }

    /// The index in an id of ours.
    fn own_index(&self, id: u32) -> Option<usize> {
        match self.role {
            Role::Dialer if id.is_multiple_of(2) && id > 0 => Some((id as usize - 2) / 2),
            Role::Acceptor if id % 2 == 1 => Some((id as usize - 1) / 2),
            _ => None,
        }
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

    fn free_id(&mut self, id: u32) {
        if let Some(index) = self.own_index(id) {
            if let Some(place) = self.ours.get_mut(index) {
                *place = 0;
            }
            self.free_ids.push(index as u32);
        } else if let Some(index) = self.their_index(id)
            && let Some(place) = self.theirs.get_mut(index)
        {
            *place = 0;
        }
    }

    /// Frees the slot, and its id unless that is finished already. Says whether it was not.
    pub(crate) fn remove(&mut self, key: Key) -> (Entry, bool) {
        let Some(entry) = self.get_mut(key).map(|slot| std::mem::replace(slot, Entry::Free)) else {
            return (Entry::Free, false);
        };
        let (id, over) = match &entry {
            Entry::Free => return (entry, false),
            Entry::Send(half) => (half.id, half.last == Last::Over),
            Entry::Recv(half) => (half.id, false),
            Entry::Stream(stream) => (stream.id, stream.over),
        };
        if over {
            self.over -= 1;
        } else {
            self.free_id(id);
        }
        if let Entry::Send(half) = &entry {
            self.parting -= usize::from(half.last == Last::Parting);
        }
        self.free.push(key.slot);
        if let Some(slot) = self.slots.get_mut(key.slot as usize) {
            slot.serial = key.serial.wrapping_add(1);
        }
        self.open -= 1;
        (entry, !over)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        (0..self.slots.len() as u32).map(|slot| self.key_at(slot)).collect()
    }
}
