//! A buffer a thread to encode into and copy out of, so that no handle needs one and no lock is held meanwhile.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use bytes::Bytes;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// How long the last message was if it took the buffer with it: the next one is likely to be as long, and growing to that
    /// by doubling costs more than the message.
    static LARGE: Cell<usize> = const { Cell::new(0) };
    /// Large buffers that were given away, to be used again once nobody holds them: an allocator gets them from the system
    /// page by page, cleared, which costs more than encoding into them.
    static LENT: RefCell<Lent> = const { RefCell::new(Lent { buffers: Vec::new(), size: 0 }) };
}

/// How much longer the next large message may be, in bytes.
const SLACK: usize = 64;
/// The largest buffer a thread keeps, in bytes.
const KEEP: usize = 64 * 1024;
/// The least size of buffers that are lent, in bytes; and how many a thread knows of, and their bytes.
const LEND: usize = 16 * 1024;
const MOST: usize = 64;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// This thread's buffer, empty. User code that sends inside it finds another one, and the larger is kept.
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    #[inline]
    pub(crate) fn take() -> Self {
        let mut buffer = SCRATCH.take();
        buffer.clear();
        Self(buffer)
    }

    /// The same with a copy of `bytes` in it.
    #[inline]
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        let mut scratch = Self::take();
        scratch.0.extend_from_slice(bytes);
        scratch
    }

    /// The buffer to encode into, with room for another message like the last one.
    #[inline]
    pub(crate) fn for_encoding(&mut self) -> &mut Vec<u8> {
        if self.0.capacity() == 0 {
            self.make_room();
        }
        &mut self.0
    }

    #[cold]
    fn make_room(&mut self) {
        let wanted = LARGE.take();
        self.0 = LENT.with_borrow_mut(|lent| lent.take(wanted)).unwrap_or_default();
        self.0.reserve(wanted);
    }

    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the contents stay here: less than `large` and not above `limit`.
    #[inline]
    pub(crate) fn is_small(&self, large: usize, limit: usize) -> bool {
        self.0.len() < large && self.0.len() <= limit
    }

    /// Gives the contents away when they are large enough for a copy to cost more than an allocation.
    #[inline]
    pub(crate) fn take_large(&mut self, large: usize) -> Option<Bytes> {
        if self.0.len() < large {
            return None;
        }
        LARGE.set(self.0.len() + SLACK);
        Some(lend(std::mem::take(&mut self.0)))
    }
}

/// A buffer that was given away and comes back.
struct Loan(Arc<Vec<u8>>);

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn lend(buffer: Vec<u8>) -> Bytes {
    if !(LEND..=MOST_BYTES).contains(&buffer.capacity()) {
        return buffer.into();
    }
    let buffer = Arc::new(buffer);
    LENT.with_borrow_mut(|lent| lent.keep(buffer.clone()));
    Bytes::from_owner(Loan(buffer))
}

/// Buffers that were given away, in the order of their last use.
struct Lent {
    buffers: Vec<Arc<Vec<u8>>>,
    size: usize,
}

impl Lent {
    /// A buffer for so many bytes that nobody holds any more, empty.
    fn take(&mut self, wanted: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Arc<Vec<u8>>| buffer.capacity() >= wanted && Arc::strong_count(buffer) == 1;
        let at = self.buffers.iter().rposition(fits).filter(|_| wanted >= LEND)?;
        let mut buffer = Arc::into_inner(self.remove(at))?;
        buffer.clear();
        Some(buffer)
    }

    fn keep(&mut self, buffer: Arc<Vec<u8>>) {
        while self.size + buffer.capacity() > MOST_BYTES || self.buffers.len() == MOST {
            // What is away stays known: it will be back when the next message comes.
            let Some(at) = self.buffers.iter().position(|known| Arc::strong_count(known) == 1) else {
                return;
            };
            self.remove(at);
        }
        self.size += buffer.capacity();
        self.buffers.push(buffer);
    }

    fn remove(&mut self, at: usize) -> Arc<Vec<u8>> {
        let buffer = self.buffers.remove(at);
        self.size -= buffer.capacity();
        buffer
    }
}

impl Drop for Scratch {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() <= KEEP {
            SCRATCH.set(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(fill: u8, length: usize) -> Bytes {
        let mut scratch = Scratch::take();
        scratch.for_encoding().resize(length, fill);
        scratch.take_large(1024).expect("it is large")
    }

    #[test]
    fn a_large_buffer_is_used_again_when_its_message_is_gone() {
        let first = encoded(1, 100_000);
        let second = encoded(2, 100_000);
        assert_ne!(first.as_ptr(), second.as_ptr());
        let (at, part) = (first.as_ptr(), first.slice(10..));
        drop(first);
        let third = encoded(3, 99_000);
        assert_ne!(third.as_ptr(), at);
        drop(part);
        assert_eq!(encoded(4, 99_000).as_ptr(), at);
        assert_eq!((second[0], second.len(), third[0], third.len()), (2, 100_000, 3, 99_000));
    }

    #[test]
    fn what_a_thread_keeps_is_bounded() {
        for size in [100_000, 1_000_000, 20_000] {
            drop((0..100).map(|_| encoded(0, size)).collect::<Vec<_>>());
            LENT.with_borrow(|lent| {
                let size: usize = lent.buffers.iter().map(|buffer| buffer.capacity()).sum();
                assert!(size == lent.size && size <= MOST_BYTES && lent.buffers.len() <= MOST);
            });
        }
        assert_eq!(encoded(0, MOST_BYTES + 1).len(), MOST_BYTES + 1);
        assert_eq!(encoded(5, 2000)[..], [5; 2000]);
    }
}
