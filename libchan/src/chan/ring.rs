//! The accepted messages of a channel, oldest first: a ring of places.
//!
//! Not a `VecDeque`, because that moves a value several times in and out. Here a value goes from place to place by one
//! swap of two `Option`s, without the stack between; and room is made, out of line, before the value is touched. The
//! first allocation has two places, not four: an idle channel keeps it.

use std::mem;

use super::queue::Slot;
use crate::parcel::Parcel;

const FIRST: usize = 2;

/// Holds a value, a parcel or nothing. Not an enum: a value would be moved to get its tag.
struct Place<T> {
    value: Option<T>,
    wire: Option<Box<Parcel>>,
}

impl<T> Place<T> {
    const EMPTY: Self = Self { value: None, wire: None };

    fn take(&mut self) -> Option<Slot<T>> {
        match self.wire.take() {
            Some(parcel) => Some(Slot::Wire(parcel)),
            None => self.value.take().map(Slot::Value),
        }
    }
}

impl<T> From<Slot<T>> for Place<T> {
    fn from(slot: Slot<T>) -> Self {
        match slot {
            Slot::Value(value) => Self { value: Some(value), wire: None },
            Slot::Wire(parcel) => Self { value: None, wire: Some(parcel) },
        }
    }
}

pub(crate) struct Ring<T> {
    /// None or a power of two.
    places: Vec<Place<T>>,
    head: u32,
    len: u32,
}

impl<T> Ring<T> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), head: 0, len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Moves the value out of `from` to the end.
    #[inline]
    pub(super) fn push_value(&mut self, from: &mut Option<T>) {
        self.make_room();
        let at = self.at(self.len);
        if let Some(place) = self.places.get_mut(at) {
            mem::swap(&mut place.value, from);
            self.len += 1;
        }
    }

    /// Moves the first message into `to`, which is empty, if it is a value.
    #[inline]
    pub(super) fn pop_value(&mut self, to: &mut Option<T>) -> bool {
        let at = self.at(0);
        match self.places.get_mut(at) {
            Some(place) if place.value.is_some() => mem::swap(&mut place.value, to),
            _ => return false,
        }
        self.head = self.head.wrapping_add(1);
        self.len -= 1;
        true
    }

    pub(super) fn push_back(&mut self, slot: Slot<T>) {
        self.make_room();
        let at = self.at(self.len);
        self.places[at] = slot.into();
        self.len += 1;
    }

    pub(super) fn push_front(&mut self, slot: Slot<T>) {
        self.make_room();
        self.head = self.head.wrapping_sub(1);
        let at = self.at(0);
        self.places[at] = slot.into();
        self.len += 1;
    }

    pub(super) fn pop_front(&mut self) -> Option<Slot<T>> {
        let at = self.at(0);
        let slot = self.places.get_mut(at)?.take()?;
        self.head = self.head.wrapping_add(1);
        self.len -= 1;
        Some(slot)
    }

    /// Where the place is that comes `offset` after the first message.
    #[inline]
    fn at(&self, offset: u32) -> usize {
        self.head.wrapping_add(offset) as usize & self.places.len().wrapping_sub(1)
    }

    #[inline]
    fn make_room(&mut self) {
        if self.len as usize == self.places.len() {
            self.grow();
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let room = (self.places.len() * 2).max(FIRST);
        let mut places = Vec::with_capacity(room);
        for offset in 0..self.len {
            let at = self.at(offset);
            places.push(mem::replace(&mut self.places[at], Place::EMPTY));
        }
        places.resize_with(room, || Place::EMPTY);
        self.places = places;
        self.head = 0;
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Iterator for Ring<T> {
    type Item = Slot<T>;

    fn next(&mut self) -> Option<Slot<T>> {
        self.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(ring: &mut Ring<u32>) -> Option<u32> {
        let mut value = None;
        assert_eq!(ring.pop_value(&mut value), value.is_some());
        value
    }

    #[test]
    fn keeps_the_order_while_it_wraps_and_grows() {
        let mut ring = Ring::new();
        let (mut sent, mut taken) = (0, 0);
        for step in 0..200_u32 {
            for _ in 0..step % 7 {
                let mut value = Some(sent);
                ring.push_value(&mut value);
                assert_eq!(value, None);
                sent += 1;
            }
            for _ in 0..step % 5 {
                match pop(&mut ring) {
                    Some(value) => assert_eq!(value, taken),
                    None => continue,
                }
                taken += 1;
            }
            assert_eq!(ring.len(), (sent - taken) as usize);
        }
        let rest: Vec<u32> = std::iter::from_fn(|| pop(&mut ring)).collect();
        assert_eq!(rest, (taken..sent).collect::<Vec<_>>());
        assert!(ring.is_empty());
    }

    #[test]
    fn what_is_put_back_comes_first() {
        let mut ring = Ring::new();
        for value in 1..=4 {
            ring.push_value(&mut Some(value));
        }
        ring.push_front(Slot::Value(0));
        let values = ring.map(|slot| match slot {
            Slot::Value(value) => value,
            Slot::Wire(_) => unreachable!(),
        });
        assert_eq!(values.collect::<Vec<u32>>(), [0, 1, 2, 3, 4]);
    }
}
