//! What waits to be written.

use bytes::Bytes;

/// What to write: `bytes`, with the large payloads of `splices` between, uncopied.
///
/// In memory as it is written here: see [`Machine`](crate::Machine).
#[derive(Debug, Default)]
#[repr(C)]
pub struct Output {
    /// Frames, one behind the other.
    pub bytes: Vec<u8>,
    /// The length of all payloads in `splices`.
    spliced: usize,
    /// Payloads, each to be inserted before byte `.0` of `bytes`; ascending.
    pub splices: Vec<(usize, Bytes)>,
    /// Tokens of descriptors, with the offset (bytes and splices) of the frame that they belong to; ascending. They may
    /// be sent earlier than that frame, never later.
    pub descriptors: Vec<(u64, u32)>,
}

impl Output {
    /// Bytes and splices together.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.spliced
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Empties it, keeping its buffers unless they are far larger than usual.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.splices.clear();
        self.descriptors.clear();
        self.spliced = 0;
    }

    /// Appends a payload, uncopied if it is large.
    pub fn add(&mut self, payload: Bytes) {
        if payload.len() < SPLICE {
            return self.bytes.extend_from_slice(&payload);
        }
        self.spliced += payload.len();
        self.splices.push((self.bytes.len(), payload));
    }
}

/// Payloads from this size on are written from where they are, in bytes.
const SPLICE: usize = 8 * 1024;
/// The largest buffer that is kept, in bytes.
const KEEP: usize = 512 * 1024;
