//! A buffer a thread to encode into and copy out of, so that no handle needs one and no lock is held meanwhile.

use std::cell::Cell;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

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

    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the contents away when they are large enough for a copy to cost more than an allocation.
    pub(crate) fn take_large(&mut self, large: usize) -> Option<bytes::Bytes> {
        (self.0.len() >= large).then(|| std::mem::take(&mut self.0).into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.capacity() <= KEEP {
            SCRATCH.set(std::mem::take(&mut self.0));
        }
    }
}
