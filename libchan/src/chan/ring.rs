//! A queue in a ring of places that stay where they are and are filled and emptied in place.
//!
//! Not a `VecDeque`, because that moves what it holds several times in and out. Here a value goes from a send's future to its
//! place and on to the receive by one copy each; and room is made, out of line, before the value is touched. The first
//! allocation has two places, not four: an idle channel keeps it.

use std::mem;

/// What a ring is made of.
pub(super) trait Place {
    /// A place that nothing is in.
    const EMPTY: Self;
}

const FIRST: usize = 2;
/// What an emptied ring keeps at the most, in bytes: a burst of more is given back, and then grows again in few steps.
const KEPT: usize = 32 * 1024;

pub(super) struct Ring<P> {
    /// None or a power of two. Those that are not between the first and the last are empty.
    places: Vec<P>,
    head: u32,
    len: u32,
}

impl<P: Place> Ring<P> {
    /// The largest power of two of places that fits, or the first two.
    const MOST_KEPT: usize = {
        let size = if size_of::<P>() == 0 { 1 } else { size_of::<P>() };
        let fit = KEPT / size;
        if fit > FIRST { 1 << fit.ilog2() } else { FIRST }
    };

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

    #[inline]
    pub(super) fn first(&self) -> Option<&P> {
        if self.len == 0 { None } else { self.places.get(self.at(0)) }
    }

    #[inline]
    pub(super) fn first_mut(&mut self) -> Option<&mut P> {
        if self.len == 0 { None } else { self.first_place() }
    }

    /// The same, or an empty place where nothing is: for who looks into the place anyway.
    #[inline]
    pub(super) fn first_place(&mut self) -> Option<&mut P> {
        let at = self.at(0);
        self.places.get_mut(at)
    }

    #[inline]
    pub(super) fn get(&self, offset: usize) -> Option<&P> {
        if offset < self.len() { self.places.get(self.at(offset as u32)) } else { None }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, offset: usize) -> Option<&mut P> {
        let at = self.at(offset as u32);
        if offset < self.len() { self.places.get_mut(at) } else { None }
    }

    /// A new last place, which is empty.
    #[inline]
    pub(super) fn push(&mut self) -> &mut P {
        self.make_room();
        let at = self.at(self.len);
        self.len += 1;
        &mut self.places[at]
    }

    /// A new first place, which is empty.
    pub(super) fn push_first(&mut self) -> &mut P {
        self.make_room();
        self.head = self.head.wrapping_sub(1);
        self.len += 1;
        let at = self.at(0);
        &mut self.places[at]
    }

    /// Lets the first place go, which its owner has emptied.
    #[inline]
    pub(super) fn pop_emptied(&mut self) {
        self.head = self.head.wrapping_add(1);
        self.len -= 1;
        if self.len == 0 && self.places.len() > Self::MOST_KEPT {
            self.give_back();
        }
    }

    /// Takes one out, and closes the gap.
    pub(super) fn remove(&mut self, offset: usize) -> Option<P> {
        let taken = mem::replace(self.get_mut(offset)?, P::EMPTY);
        let (gap, last) = (offset as u32, self.len - 1);
        if gap <= last / 2 {
            for offset in (0..gap).rev() {
                let (to, from) = (self.at(offset + 1), self.at(offset));
                self.places.swap(to, from);
            }
            self.pop_emptied();
        } else {
            for offset in gap..last {
                let (to, from) = (self.at(offset), self.at(offset + 1));
                self.places.swap(to, from);
            }
            self.len = last;
            if last == 0 && self.places.len() > Self::MOST_KEPT {
                self.give_back();
            }
        }
        Some(taken)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut P> {
        let at = self.at(0).min(self.places.len());
        let len = self.len();
        let (wrapped, first) = self.places.split_at_mut(at);
        first.iter_mut().chain(wrapped).take(len)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &P> {
        let (wrapped, first) = self.places.split_at(self.at(0).min(self.places.len()));
        first.iter().chain(wrapped).take(self.len())
    }

    /// Finds a place by a key that ascends.
    pub(super) fn find<K: Ord>(&self, key: &K, key_of: impl Fn(&P) -> K) -> Option<usize> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            match key_of(self.places.get(self.at(middle))?).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle as usize),
            }
        }
        None
    }

    /// Where the place is that comes `offset` after the first.
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

    /// It is empty, and was much larger than it need be. Places hold nothing, so nothing is dropped but memory.
    #[cold]
    #[inline(never)]
    fn give_back(&mut self) {
        self.places.truncate(Self::MOST_KEPT);
        self.places.shrink_to_fit();
        self.head = 0;
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let room = (self.places.len() * 2).max(FIRST);
        let mut places = Vec::with_capacity(room);
        places.extend(self.iter_mut().map(|place| mem::replace(place, P::EMPTY)));
        places.resize_with(room, || P::EMPTY);
        self.places = places;
        self.head = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    impl Place for Option<u32> {
        const EMPTY: Self = None;
    }

    /// The same steps on a ring and on a `VecDeque`.
    #[test]
    fn does_what_a_deque_does() {
        let mut ring: Ring<Option<u32>> = Ring::new();
        let mut deque = VecDeque::new();
        for step in 0..2_000_u32 {
            match step * 7919 % 11 {
                0..4 => {
                    *ring.push() = Some(step);
                    deque.push_back(step);
                }
                4 => {
                    *ring.push_first() = Some(step);
                    deque.push_front(step);
                }
                5..8 => {
                    let taken = ring.first_mut().and_then(Option::take);
                    if taken.is_some() {
                        ring.pop_emptied();
                    }
                    assert_eq!(taken, deque.pop_front());
                }
                _ => {
                    let at = (step as usize / 3) % (deque.len() + 1);
                    assert_eq!(ring.remove(at).flatten(), deque.remove(at));
                }
            }
            assert_eq!(ring.len(), deque.len());
            assert_eq!(ring.first().copied().flatten(), deque.front().copied());
            assert!(ring.iter().copied().eq(deque.iter().copied().map(Some)));
            assert!(ring.iter_mut().map(|place| *place).eq(deque.iter().copied().map(Some)));
        }
        assert!(ring.places.len() > FIRST, "it has grown");
    }

    #[test]
    fn a_burst_is_given_back() {
        let mut ring: Ring<Option<u32>> = Ring::new();
        for round in 0..3 {
            for value in 0..100_000 {
                *ring.push() = Some(value);
            }
            assert!(ring.places.len() >= 100_000);
            for value in 0..100_000 {
                let taken = if round == 1 {
                    ring.remove(0).flatten()
                } else {
                    ring.first_mut().and_then(Option::take)
                };
                assert_eq!(taken, Some(value));
                if round != 1 {
                    ring.pop_emptied();
                }
            }
            assert!(ring.is_empty());
            assert!(ring.places.capacity() * size_of::<Option<u32>>() <= KEPT);
        }
        // What is used again and again is kept.
        for _ in 0..3 {
            for value in 0..256 {
                *ring.push() = Some(value);
            }
            while ring.first_mut().and_then(Option::take).is_some() {
                ring.pop_emptied();
            }
            assert!(ring.places.len() >= 256);
        }
    }

    #[test]
    fn finds_by_a_key_that_ascends() {
        let mut ring: Ring<Option<u32>> = Ring::new();
        for key in 0..21 {
            *ring.push() = Some(key * 2);
        }
        for _ in 0..5 {
            ring.remove(0);
        }
        for key in 0..45 {
            let expected = (key % 2 == 0 && (10..=40).contains(&key)).then(|| key as usize / 2 - 5);
            assert_eq!(ring.find(&Some(key), |place| *place), expected);
        }
    }
}
