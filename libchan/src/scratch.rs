//! A buffer a thread to encode into and copy out of, so that no handle needs one and no lock is held meanwhile.

use std::cell::Cell;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// How long the last message was that took the buffer with it: the next one is likely to be as long, and growing to
    /// that by doubling costs more than the message.
    static LARGE: Cell<usize> = const { Cell::new(0) };
}

/// How much longer the next large message may be, in bytes.
const SLACK: usize = 64;
/// The largest buffer a thread keeps, in bytes.
const KEEP: usize = 64 * 1024;

/// This thread's buffer, empty. User code that sends inside it finds another one, and the larger is kept.
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    pub(crate) fn take() -> Self {
        let mut buffer = SCRATCH.take();
        buffer.clear();
        Self(buffer)
    }

    /// The buffer to encode into, with room for another message like the last one.
    pub(crate) fn for_encoding(&mut self) -> &mut Vec<u8> {
        if self.0.capacity() == 0 {
            self.0.reserve(LARGE.get());
        }
        &mut self.0
    }

    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the contents away when they are large enough for a copy to cost more than an allocation.
    pub(crate) fn take_large(&mut self, large: usize) -> Option<bytes::Bytes> {
        let is_large = self.0.len() >= large;
        LARGE.set(if is_large { self.0.len() + SLACK } else { 0 });
        is_large.then(|| std::mem::take(&mut self.0).into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.capacity() <= KEEP {
            SCRATCH.set(std::mem::take(&mut self.0));
        }
    }
}
