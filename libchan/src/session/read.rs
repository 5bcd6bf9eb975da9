//! The read buffer: filled by the link, consumed by the machine, which may keep parts of it.

use bytes::{Buf, BytesMut};

/// A buffer's size, and the room under which a new one is taken, in bytes.
const SIZE: usize = 64 * 1024;
const ROOM: usize = 16 * 1024;

pub(super) struct ReadBuffer {
    /// Wholly initialised, because links read into `&mut [u8]`; the first `filled` bytes are data.
    buffer: BytesMut,
    filled: usize,
}

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), filled: 0 }
    }

    /// Where the next read goes.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.len() - self.filled < ROOM {
            let mut fresh = BytesMut::zeroed(self.filled + SIZE);
            fresh[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
            self.buffer = fresh;
        }
        &mut self.buffer[self.filled..]
    }

    /// Hands what there is, `read` new bytes included, to `consume`, which takes what it can from the front.
    pub(super) fn feed<E>(
        &mut self,
        read: usize,
        consume: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = self.buffer.split_off(self.filled + read);
        let mut data = std::mem::replace(&mut self.buffer, BytesMut::new());
        let result = consume(&mut data);
        self.filled = data.remaining();
        if data.is_empty() {
            self.buffer = rest;
        } else {
            // Contiguous: joined without a copy.
            data.unsplit(rest);
            self.buffer = data;
        }
        result
    }
}
