//! Chunks of a binding that wait to be passed on, and what they may take in all.
//!
//! A binding counts the bytes of its chunks, not their number: four million chunks of a byte each are allowed. So they wait packed
//! into one buffer, where a chunk takes two to fourteen bytes beside its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::Notify;

use super::frame::{CHUNK, put_varint};
use crate::app::lock;

/// Chunks of one tunnel, in order: put by the task that reads the binding, taken by the one that passes them on.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Of each chunk: the size of the message that it begins or 0, its length, its bytes.
    packed: BytesMut,
    closed: bool,
}

impl Chunks {
    pub(super) fn put(&self, size: u64, chunk: &[u8]) {
        let mut waiting = lock(&self.waiting);
        put_varint(&mut waiting.packed, size);
        put_varint(&mut waiting.packed, chunk.len() as u64);
        waiting.packed.extend_from_slice(chunk);
        drop(waiting);
        self.more.notify_one();
    }

    /// No more come: [`next`](Self::next) gives what waits, and then nothing.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.more.notify_one();
    }

    /// The next chunk, with the size of the message that it begins or 0; `None` after [`close`](Self::close). One task at a time.
    pub(super) async fn next(&self) -> Option<(u64, Bytes)> {
        loop {
            {
                let mut waiting = lock(&self.waiting);
                if !waiting.packed.is_empty() {
                    let size = take_varint(&mut waiting.packed);
                    let length = take_varint(&mut waiting.packed) as usize;
                    return Some((size, waiting.packed.split_to(length).freeze()));
                }
                if waiting.closed {
                    return None;
                }
            }
            self.more.notified().await;
        }
    }
}

/// A number that [`put_varint`] wrote.
fn take_varint(packed: &mut BytesMut) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = packed.get_u8();
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return value;
        }
        shift += 7;
    }
}

/// What the tunnels of one binding may have waiting in the relay, in bytes: each new one gets a share of it.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// A share for a tunnel: `wanted` bytes, fewer if there are no more, and always enough for one chunk.
    pub(super) fn share(&self, wanted: u64) -> Share {
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).unwrap_or_else(|left| left);
        let taken = left.min(wanted);
        Share { budget: self.clone(), taken, bytes: taken.max(CHUNK as u64) }
    }
}

/// What one tunnel may have waiting. Dropped, it goes back.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    taken: u64,
    bytes: u64,
}

impl Share {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.taken, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_come_out_as_they_went_in_and_then_end() {
        let chunks = Chunks::default();
        let put: Vec<(u64, Vec<u8>)> =
            vec![(3, vec![1, 2, 3]), (u64::MAX, vec![7; 300]), (0, vec![8]), (1, vec![9])];
        for (size, chunk) in &put {
            chunks.put(*size, chunk);
        }
        chunks.close();
        for (size, chunk) in put {
            assert_eq!(chunks.next().await, Some((size, Bytes::from(chunk))));
        }
        assert_eq!(chunks.next().await, None);
    }

    #[test]
    fn shares_of_a_budget_go_back_and_are_never_nothing() {
        let budget = Budget::new(10 * CHUNK as u64);
        let first = budget.share(8 * CHUNK as u64);
        let second = budget.share(8 * CHUNK as u64);
        let third = budget.share(8 * CHUNK as u64);
        let of = |share: &Share| share.bytes() / CHUNK as u64;
        assert_eq!([of(&first), of(&second), of(&third)], [8, 2, 1]);
        drop((first, second, third));
        assert_eq!(of(&budget.share(u64::MAX)), 10);
    }
}
