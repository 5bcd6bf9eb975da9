//! Memory of large payloads: a link can read into it, and it is used again once nobody holds the payload.
//!
//! What it saves is the kernel's work, which for a megabyte costs more than copying it: an allocator gives memory of that
//! size back to the system and gets it anew, page by page, cleared.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// What a payload may take before more than this has arrived, in bytes.
const FIRST: usize = 256 * 1024;

/// Memory of one payload. All of it is initialised, because links read into `&mut [u8]`.
#[derive(Debug, Default)]
pub(crate) struct Memory(Arc<Vec<u8>>);

impl Memory {
    /// Its bytes, used or not.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn part(&self, range: Range<usize>) -> &[u8] {
        &self.0[range]
    }

    /// Its first `to` bytes. A payload that is to become `total` bytes grows twofold, so that a peer that announces much
    /// and sends little makes us take little.
    pub(crate) fn up_to(&mut self, to: usize, total: usize) -> &mut [u8] {
        // Nobody else holds it before it is a payload.
        let bytes = Arc::make_mut(&mut self.0);
        if bytes.is_empty() {
            *bytes = vec![0; to];
        } else if bytes.len() < to {
            let length = to.max((2 * bytes.len()).max(FIRST).min(total));
            bytes.reserve_exact(length - bytes.len());
            bytes.resize(length, 0);
        }
        &mut bytes[..to]
    }
}

/// A payload in memory that is used again.
struct Lent {
    memory: Arc<Vec<u8>>,
    length: usize,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

/// The most that is kept for the next payloads, in bytes.
const KEEP: usize = 4 * 1024 * 1024;
/// The most pieces that are kept, and the least size of each, in bytes.
const MOST: usize = 64;
const LEAST: usize = 8 * 1024;
/// Memory is given to payloads that fill this part of it at least.
const FILL: usize = 4;

/// Memory that was used before. The one who asked for it may still hold it.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// In the order of their last use.
    kept: Vec<Arc<Vec<u8>>>,
    size: usize,
    used: bool,
}

impl Spare {
    /// Memory for a payload that is to become `total` bytes, of which `first` are to be written now. `ahead`: a first piece
    /// of the rest may be taken with it.
    pub(crate) fn take(&mut self, first: usize, total: usize, ahead: bool) -> Memory {
        self.used = true;
        let fits = |memory: &Arc<Vec<u8>>| {
            memory.len() >= total && memory.len() / FILL <= total && Arc::strong_count(memory) == 1
        };
        // The one used last is the likeliest to be in the processor's cache.
        if let Some(at) = self.kept.iter().rposition(fits) {
            let memory = self.kept.remove(at);
            self.size -= memory.len();
            return Memory(memory);
        }
        let mut memory = Memory::default();
        memory.up_to(if ahead { first.max(total.min(FIRST)) } else { first }, total);
        memory
    }

    /// Memory with a copy of the first part of a payload.
    pub(crate) fn copy(&mut self, part: &[u8], total: usize, ahead: bool) -> Memory {
        let mut memory = self.take(part.len(), total, ahead);
        memory.up_to(part.len(), total).copy_from_slice(part);
        memory
    }

    /// Makes a payload of the first `length` bytes; its memory comes back when nobody holds that any more.
    pub(crate) fn lend(&mut self, memory: Memory, length: usize) -> Bytes {
        let Memory(memory) = memory;
        self.keep(memory.clone());
        Bytes::from_owner(Lent { memory, length })
    }

    fn keep(&mut self, memory: Arc<Vec<u8>>) {
        if !(LEAST..=KEEP).contains(&memory.len()) {
            return;
        }
        while self.size + memory.len() > KEEP || self.kept.len() == MOST {
            // What is lent stays: it will be free when the next payload comes.
            let Some(at) = self.kept.iter().position(|kept| Arc::strong_count(kept) == 1) else { return };
            self.size -= self.kept.remove(at).len();
        }
        self.size += memory.len();
        self.kept.push(memory);
    }

    /// Gives everything back if nothing was needed since the last call.
    pub(crate) fn tick(&mut self) {
        if !std::mem::take(&mut self.used) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(spare: &mut Spare, length: usize, fill: u8) -> Bytes {
        let mut memory = spare.take(length, length, true);
        memory.up_to(length, length).fill(fill);
        spare.lend(memory, length)
    }

    #[test]
    fn memory_is_used_again_only_when_nobody_holds_it() {
        let mut spare = Spare::default();
        let first = payload(&mut spare, 10_000, 1);
        let second = payload(&mut spare, 10_000, 2);
        assert_ne!(first.as_ptr(), second.as_ptr());
        assert_eq!((first[..].to_vec(), second[..].to_vec()), (vec![1; 10_000], vec![2; 10_000]));
        let part = first.slice(5000..);
        let at = first.as_ptr();
        drop(first);
        assert_ne!(payload(&mut spare, 10_000, 3).as_ptr(), at);
        assert_eq!(part[..], [1; 5000]);
        drop((part, second));
        let again = payload(&mut spare, 9000, 4);
        assert_eq!(again[..], [4; 9000]);
        assert!(spare.kept.iter().any(|memory| memory.as_ptr() == again.as_ptr() && memory.len() == 10_000));
    }

    #[test]
    fn what_is_kept_is_bounded_and_fits_its_payload() {
        let mut spare = Spare::default();
        for _ in 0..3 {
            let held: Vec<_> = (0..10).map(|_| payload(&mut spare, 1024 * 1024, 0)).collect();
            assert!(spare.size <= KEEP && spare.kept.len() == 4);
            drop(held);
        }
        assert_eq!(payload(&mut spare, KEEP + 1, 0).len(), KEEP + 1);
        assert_eq!(spare.kept.iter().map(|memory| memory.len()).sum::<usize>(), spare.size);
        // A small payload in large memory would hold more than it is charged for.
        let small = payload(&mut spare, 9000, 0);
        assert!(spare.kept.iter().any(|memory| memory.as_ptr() == small.as_ptr() && memory.len() == 9000));
    }

    #[test]
    fn nothing_is_kept_for_those_who_need_nothing() {
        let mut spare = Spare::default();
        drop(payload(&mut spare, 10_000, 0));
        spare.tick();
        assert_eq!(spare.size, 10_000);
        spare.tick();
        assert!(spare.kept.is_empty() && spare.size == 0);
    }

    #[test]
    fn memory_grows_with_what_has_arrived() {
        let total = 3 * FIRST - 1;
        assert_eq!(Spare::default().take(100, total, true).0.len(), FIRST);
        let mut memory = Spare::default().take(100, total, false);
        assert_eq!(memory.0.len(), 100);
        memory.up_to(100, total).fill(7);
        assert_eq!(memory.up_to(101, total)[..100], [7; 100]);
        for (to, length) in [(FIRST, FIRST), (FIRST + 1, 2 * FIRST), (2 * FIRST + 1, total), (total, total)] {
            assert_eq!(memory.up_to(to, total).len(), to);
            assert_eq!(memory.0.len(), length);
        }
    }
}
