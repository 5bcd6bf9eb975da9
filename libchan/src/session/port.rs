//! Ports: what stands in this process behind each entry of the protocol machine.
//!
//! Nobody waits at most ports at most times: wakers lie in tables of their own, so that an idle channel does not pay for
//! the place of one.

use std::mem;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;

use libchan_proto::{Key, Table};

use super::any_chan::AnyChan;

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

/// Names a receive that waits at a port of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parked(NonZeroU32);

impl Parked {
    fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(NonZeroU32::MIN))
    }
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
    /// The channel has lent the port to its receivers.
    const LENT: u32 = 1 << 29;
    const AT: u32 = Self::LENT - 1;

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
    /// Receives that wait at ports that are lent, woken without passing the channel.
    parked: Shelf<(Parked, Waker)>,
    streams: Shelf<StreamPort>,
    last_parked: Option<Parked>,
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

    #[inline]
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

    // ---- ports that are lent: of these the receivers take the messages, and only they wait for them

    /// Receivers may take at the port from now on, past the channel.
    pub(super) fn lend(&mut self, key: Key) {
        if let Some(place) = self.place(key).filter(|place| place.chan.is_some()) {
            place.note.0 |= Note::LENT;
        }
    }

    /// They may no longer. Returns the one that waits, to be woken: it goes to the channel.
    pub(super) fn recall(&mut self, key: Key) -> Option<Waker> {
        let note = &mut self.place(key).filter(|place| place.note.is(Note::LENT))?.note;
        let known = mem::replace(note, Note(note.0 & Note::ACTIVE));
        self.parked.take(known.at()?).map(|(_, waker)| waker)
    }

    /// The port, if it is lent and no other receive waits there. `mine` is the name under which this one waited, if it did.
    #[inline]
    pub(super) fn lent(&mut self, key: Key, mine: Option<Parked>) -> Option<LentPort<'_>> {
        let Self { list, parked, last_parked, .. } = self;
        let place = list.get_mut(key.slot as usize).filter(|place| place.serial == key.serial)?;
        let waits = match place.note.at() {
            Some(at) => Some(parked.get(at)?.0),
            None => None,
        };
        let free = place.note.is(Note::LENT) && (waits.is_none() || waits == mine);
        if free { Some(LentPort { note: &mut place.note, parked, last_parked }) } else { None }
    }

    // ---- news

    /// The channel has news: who is to know. It is active from now on; true if it was not.
    pub(super) fn news(&mut self, key: Key) -> (Concerned, bool) {
        let place = self.list.get_mut(key.slot as usize).filter(|place| place.serial == key.serial);
        let Some(place) = place else { return (Concerned::Nobody, false) };
        let Some(chan) = &place.chan else { return (Concerned::Nobody, false) };
        let note = place.note;
        let begins = !note.is(Note::ACTIVE);
        place.note = Note(note.flags() | Note::ACTIVE);
        let concerned = match note.at().and_then(|at| self.parked.take(at)) {
            Some((_, waker)) => Concerned::Parked(waker),
            // Whoever receives next finds them.
            None if note.is(Note::LENT) => Concerned::Nobody,
            None => Concerned::Chan(chan.clone()),
        };
        (concerned, begins)
    }

    /// The channel has come back for more. True if it was active.
    #[inline]
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
                let parked = at.and_then(|at| self.parked.take(at)).map(|(_, waker)| waker);
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

/// A port that is lent, as the receive that may use it sees it.
pub(super) struct LentPort<'a> {
    note: &'a mut Note,
    parked: &'a mut Shelf<(Parked, Waker)>,
    last_parked: &'a mut Option<Parked>,
}

impl LentPort<'_> {
    /// The receive found nothing and waits. Returns its name, and whether the channel was active.
    #[inline]
    pub(super) fn park(self, waker: &Waker) -> (Parked, bool) {
        let was_active = self.note.is(Note::ACTIVE);
        if let Some((name, known)) = self.note.at().and_then(|at| self.parked.get(at)) {
            known.clone_from(waker);
            self.note.0 &= !Note::ACTIVE;
            return (*name, was_active);
        }
        let name = self.last_parked.map_or(Parked(NonZeroU32::MIN), Parked::next);
        *self.last_parked = Some(name);
        *self.note = Note::new(Note::LENT, Some(self.parked.put((name, waker.clone()))));
        (name, was_active)
    }

    /// The receive has a message: it waits no longer, whether it was told or not. True if the channel was active.
    #[inline]
    pub(super) fn took(self) -> bool {
        let note = mem::replace(self.note, Note(Note::LENT));
        if let Some(at) = note.at() {
            self.parked.take(at);
        }
        note.is(Note::ACTIVE)
    }

    /// The receive waits no longer. False: it did not.
    pub(super) fn leave(self) -> bool {
        let note = *self.note;
        *self.note = Note(note.flags());
        note.at().is_some_and(|at| self.parked.take(at).is_some())
    }
}

/// Things that lie in any order and are found by number.
struct Shelf<T> {
    list: Vec<Spot<T>>,
    /// Where the first empty place is, or the length.
    free: u32,
}

enum Spot<T> {
    Taken(T),
    /// And where the next one is.
    Empty(u32),
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { list: Vec::new(), free: 0 }
    }
}

impl<T> Shelf<T> {
    #[inline]
    fn put(&mut self, thing: T) -> u32 {
        let at = self.free;
        if let Some(spot) = self.list.get_mut(at as usize) {
            if let Spot::Empty(next) = mem::replace(spot, Spot::Taken(thing)) {
                self.free = next;
            }
        } else {
            self.list.push(Spot::Taken(thing));
            self.free = at + 1;
        }
        at
    }

    #[inline]
    fn get(&mut self, at: u32) -> Option<&mut T> {
        match self.list.get_mut(at as usize)? {
            Spot::Taken(thing) => Some(thing),
            Spot::Empty(_) => None,
        }
    }

    #[inline]
    fn take(&mut self, at: u32) -> Option<T> {
        let spot = self.list.get_mut(at as usize)?;
        match mem::replace(spot, Spot::Empty(self.free)) {
            Spot::Taken(thing) => {
                self.free = at;
                Some(thing)
            }
            empty => {
                *spot = empty;
                None
            }
        }
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
    fn a_receive_that_waits_is_woken_once() {
        let (mut ports, counter) = (Ports::default(), Arc::new(Counter));
        let waker = Waker::from(counter.clone());
        ports.lend(key(1, 0));
        assert!(ports.lent(key(1, 0), None).is_none(), "no channel");
        ports.set_chan(key(1, 0), Chan::<u32>::new(1));
        ports.set_stream(key(0, 0));
        ports.lend(key(0, 0));
        assert!(ports.lent(key(0, 0), None).is_none(), "a stream");
        assert!(ports.lent(key(1, 0), None).is_none(), "not lent");
        assert!(matches!(ports.news(key(1, 0)), (Concerned::Chan(_), true)));
        assert!(ports.came_back(key(1, 0)));
        ports.lend(key(1, 0));
        for _ in 0..3 {
            let (name, _) = ports.lent(key(1, 0), None).unwrap().park(&waker);
            assert_eq!(ports.lent(key(1, 0), Some(name)).unwrap().park(&waker), (name, false));
            assert!(ports.lent(key(1, 0), None).is_none(), "another receive waits");
            assert!(matches!(ports.news(key(1, 0)), (Concerned::Parked(_), true)));
            assert!(matches!(ports.news(key(1, 0)), (Concerned::Nobody, false)));
            assert!(!ports.lent(key(1, 0), Some(name)).unwrap().leave(), "it was told");
            assert!(ports.lent(key(1, 0), None).unwrap().took());
            assert!(!ports.lent(key(1, 0), None).unwrap().took());
        }
        assert_eq!(ports.parked.list.len(), 1, "its place is used again");
        let (name, _) = ports.lent(key(1, 0), None).unwrap().park(&waker);
        assert!(ports.lent(key(1, 0), Some(name)).unwrap().leave());
        let (later, _) = ports.lent(key(1, 0), None).unwrap().park(&waker);
        assert!(ports.lent(key(1, 0), Some(name)).is_none() && later != name, "another receive");
        assert!(ports.recall(key(1, 0)).is_some() && ports.recall(key(1, 0)).is_none());
        assert!(ports.lent(key(1, 0), None).is_none());
        ports.lend(key(1, 0));
        ports.lent(key(1, 0), None).unwrap().park(&waker);
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
