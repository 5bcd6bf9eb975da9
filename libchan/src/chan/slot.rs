//! What a queue is made of: a message that waits, and the place that it lies in.

use std::mem;

use super::ring::Place;
use crate::parcel::Parcel;

/// A message that waits: as it was sent, or as it is on the wire.
pub(crate) enum Slot<T> {
    Value(T),
    Wire(Box<Parcel>),
}

impl<T> Slot<T> {
    /// How many bytes its encoding takes; a value that is not encoded counts as none.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Wire(parcel) => parcel.payload.len(),
            Self::Value(_) => 0,
        }
    }

    /// It came from a remote sender, where its room is counted.
    pub(super) fn is_absorbed(&self) -> bool {
        matches!(self, Self::Wire(parcel) if parcel.from.is_some())
    }
}

/// A message that was accepted. Not the enum `Slot`, for a value would have to be moved to get its tag.
pub(super) struct Held<T> {
    pub(super) value: Option<T>,
    pub(super) wire: Option<Box<Parcel>>,
}

impl<T> Place for Held<T> {
    const EMPTY: Self = Self { value: None, wire: None };
}

impl<T> Held<T> {
    pub(super) fn put(&mut self, slot: Slot<T>) {
        match slot {
            Slot::Value(value) => self.value = Some(value),
            Slot::Wire(parcel) => self.wire = Some(parcel),
        }
    }

    pub(super) fn take(&mut self) -> Option<Slot<T>> {
        self.value.take().map(Slot::Value).or_else(|| self.wire.take().map(Slot::Wire))
    }
}

/// Moves a value into a place that is empty, in one copy.
///
/// Not a `swap`, which stores it word by word: who then loads it in wider pieces waits for the words. Nor an assignment,
/// which looks at what was there, to drop it.
#[inline]
pub(super) fn fill<T>(place: &mut Option<T>, value: &mut Option<T>) {
    debug_assert!(place.is_none(), "nothing is overwritten");
    mem::forget(mem::replace(place, value.take()));
}
