//! Ports: what stands in this process behind each entry of the protocol machine.
//!
//! Nobody waits at most ports at most times: wakers lie in tables of their own, so that an idle channel does not pay for
//! the place of one.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use libchan_proto::{Key, Table};

use crate::attach::AnyChan;

/// What an entry of the machine belonged to, and who waited for it.
#[derive(Default)]
pub(super) enum Port {
    /// Nobody: an attachment that arrived and was not claimed, or a key that is no longer in use.
    #[default]
    Open,
    Chan {
        /// For the caller to drop under no lock.
        _chan: Arc<dyn AnyChan>,
        parked: Option<Waker>,
        active: bool,
    },
    Stream(StreamPort),
}

/// Who waits at a stream.
#[derive(Default)]
pub(super) struct StreamPort {
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl StreamPort {
    pub(super) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.reader.into_iter().chain(self.writer)
    }
}

/// Whom news of a channel concern.
pub(super) enum Concerned {
    Nobody,
    /// The receiver that waits in the port.
    Parked(Waker),
    Chan(Arc<dyn AnyChan>),
}

/// A port, one for each slot of the machine.
#[derive(Default)]
struct Place {
    chan: Option<Arc<dyn AnyChan>>,
    /// Of the key that the port is for.
    serial: u32,
    note: Note,
}

/// In one word: where the wakers are, and what a port is beside that.
#[derive(Clone, Copy, Default)]
struct Note(u32);

impl Note {
    /// The channel was woken with data and has not come back yet.
    const ACTIVE: u32 = 1 << 31;
    const STREAM: u32 = 1 << 30;
    const AT: u32 = Self::STREAM - 1;

    fn new(flags: u32, at: Option<u32>) -> Self {
        Self(flags | at.map_or(0, |at| at + 1))
    }

    fn is(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// Where in its table the port has something.
    fn at(self) -> Option<u32> {
        (self.0 & Self::AT).checked_sub(1)
    }

    fn flags(self) -> u32 {
        self.0 & !Self::AT
    }
}

/// The ports of a session, by the machine's slots.
///
/// In memory as it is written here: see [`Machine`](libchan_proto::Machine).
#[derive(Default)]
#[repr(C)]
pub(super) struct Ports {
    list: Table<Place>,
    /// Lone receivers that wait, woken without passing the channel.
    parked: Shelf<Waker>,
    streams: Shelf<StreamPort>,
}

impl Ports {
    pub(super) fn set_chan(&mut self, key: Key, chan: Arc<dyn AnyChan>) {
        self.put(key, Some(chan), Note::default());
    }

    pub(super) fn set_stream(&mut self, key: Key) {
        let at = self.streams.put(StreamPort::default());
        self.put(key, None, Note::new(Note::STREAM, Some(at)));
    }

    fn put(&mut self, key: Key, chan: Option<Arc<dyn AnyChan>>, note: Note) {
        let at = key.slot as usize;
        self.list.grow(at + 1, Place::default);
        if let Some(place) = self.list.get_mut(at) {
            let before = mem::replace(place, Place { chan, serial: key.serial, note });
            drop(self.empty(before));
        }
    }

    fn place(&mut self, key: Key) -> Option<&mut Place> {
        self.list.get_mut(key.slot as usize).filter(|place| place.serial == key.serial)
    }

    pub(super) fn chan(&self, key: Key) -> Option<&Arc<dyn AnyChan>> {
        let place = self.list.get(key.slot as usize).filter(|place| place.serial == key.serial)?;
        place.chan.as_ref()
    }

    pub(super) fn stream(&mut self, key: Key) -> Option<&mut StreamPort> {
        let note = self.place(key)?.note;
        if note.is(Note::STREAM) { self.streams.get(note.at()?) } else { None }
    }

    /// A lone receiver has come back and waits at the channel. True if that was active.
    pub(super) fn park(&mut self, key: Key, waker: &Waker) -> bool {
        let at = key.slot as usize;
        let Some(place) = self.list.get_mut(at).filter(|place| place.serial == key.serial) else {
            return false;
        };
        if place.chan.is_none() {
            return false;
        }
        let note = place.note;
        let at = match note.at().and_then(|at| Some((at, self.parked.get(at)?))) {
            Some((at, known)) => {
                known.clone_from(waker);
                at
            }
            None => self.parked.put(waker.clone()),
        };
        place.note = Note::new(0, Some(at));
        note.is(Note::ACTIVE)
    }

    /// The lone receiver that waits at the channel.
    pub(super) fn unpark(&mut self, key: Key) -> Option<Waker> {
        let place = self.place(key)?;
        if place.note.is(Note::STREAM) {
            return None;
        }
        let note = place.note;
        place.note = Note::new(note.flags(), None);
        self.parked.take(note.at()?)
    }

    /// The channel has news: who is to know. It is active from now on; true if it was not.
    pub(super) fn news(&mut self, key: Key) -> (Concerned, bool) {
        let Some(place) = self.place(key) else { return (Concerned::Nobody, false) };
        let Some(chan) = &place.chan else { return (Concerned::Nobody, false) };
        let begins = !place.note.is(Note::ACTIVE);
        let note = mem::replace(&mut place.note, Note(Note::ACTIVE));
        match note.at() {
            None => (Concerned::Chan(chan.clone()), begins),
            Some(at) => (self.parked.take(at).map_or(Concerned::Nobody, Concerned::Parked), begins),
        }
    }

    /// The channel has come back for more. True if it was active.
    pub(super) fn came_back(&mut self, key: Key) -> bool {
        let Some(place) = self.place(key) else { return false };
        let was = place.note.is(Note::ACTIVE);
        place.note.0 &= !Note::ACTIVE;
        was
    }

    pub(super) fn take(&mut self, key: Key) -> Port {
        let Some(place) = self.place(key) else { return Port::Open };
        let place = mem::take(place);
        self.empty(place)
    }

    fn empty(&mut self, Place { chan, note, .. }: Place) -> Port {
        match (chan, note.at()) {
            (Some(chan), at) => {
                let parked = at.and_then(|at| self.parked.take(at));
                Port::Chan { _chan: chan, parked, active: note.is(Note::ACTIVE) }
            }
            (None, Some(at)) => self.streams.take(at).map_or(Port::Open, Port::Stream),
            (None, None) => Port::Open,
        }
    }

    /// Every key that something stands behind.
    pub(super) fn keys(&self) -> Vec<Key> {
        let taken = |place: &Place| place.chan.is_some() || place.note.is(Note::STREAM);
        let places = self.list.iter().enumerate().filter(|(_, place)| taken(place));
        places.map(|(at, place)| Key { slot: at as u32, serial: place.serial }).collect()
    }
}

/// Things that lie in any order and are found by number.
struct Shelf<T> {
    list: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { list: Vec::new(), free: Vec::new() }
    }
}

impl<T> Shelf<T> {
    fn put(&mut self, thing: T) -> u32 {
        if let Some(at) = self.free.pop()
            && let Some(place) = self.list.get_mut(at as usize)
        {
            *place = Some(thing);
            return at;
        }
        self.list.push(Some(thing));
        self.list.len() as u32 - 1
    }

    fn get(&mut self, at: u32) -> Option<&mut T> {
        self.list.get_mut(at as usize)?.as_mut()
    }

    fn take(&mut self, at: u32) -> Option<T> {
        let thing = self.list.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;
    use crate::chan::Chan;

    struct Counter;

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {}
    }

    fn key(slot: u32, serial: u32) -> Key {
        Key { slot, serial }
    }

    #[test]
    fn an_idle_port_is_small() {
        assert_eq!(size_of::<Place>(), 24);
    }

    #[test]
    fn a_receiver_that_parks_is_woken_once() {
        let (mut ports, counter) = (Ports::default(), Arc::new(Counter));
        let waker = Waker::from(counter.clone());
        ports.park(key(1, 0), &waker);
        ports.set_chan(key(1, 0), Chan::<u32>::new(1));
        ports.set_stream(key(0, 0));
        ports.park(key(0, 0), &waker);
        assert!(ports.unpark(key(1, 0)).is_none());
        for _ in 0..3 {
            ports.park(key(1, 0), &waker);
            ports.park(key(1, 0), &waker);
            assert!(matches!(ports.news(key(1, 0)), (Concerned::Parked(_), true)));
            assert!(matches!(ports.news(key(1, 0)), (Concerned::Chan(_), false)));
            assert!(ports.came_back(key(1, 0)) && !ports.came_back(key(1, 0)));
        }
        assert_eq!(ports.parked.list.len(), 1, "its place is used again");
        ports.park(key(1, 0), &waker);
        assert!(ports.stream(key(1, 0)).is_none() && ports.chan(key(0, 0)).is_none());
        assert_eq!(ports.keys(), [key(0, 0), key(1, 0)]);
        assert!(matches!(ports.take(key(1, 1)), Port::Open), "another serial");
        assert!(matches!(ports.take(key(1, 0)), Port::Chan { parked: Some(_), active: false, .. }));
        assert!(matches!(ports.take(key(1, 0)), Port::Open));
        assert!(matches!(ports.take(key(0, 0)), Port::Stream(_)));
        assert!(ports.keys().is_empty());
        drop(waker);
        assert_eq!(Arc::strong_count(&counter), 1, "no waker is left");
    }
}
