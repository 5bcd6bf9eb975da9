//! Bytes of a stream that have arrived and were not read: small pieces gathered, large ones in the memory that the link
//! was read into.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Before `tail`, never empty pieces.
    large: VecDeque<Bytes>,
    tail: VecDeque<u8>,
    length: usize,
}

impl Unread {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        self.length += bytes.len();
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        if !self.tail.is_empty() {
            self.large.push_back(Vec::from(std::mem::take(&mut self.tail)).into());
        }
        self.length += piece.len();
        self.large.push_back(piece);
    }

    /// Hands up to `max` bytes to `out`, in pieces, and says how many.
    pub(crate) fn read(&mut self, max: usize, out: &mut dyn FnMut(&[u8])) -> usize {
        let mut left = max.min(self.length);
        let read = left;
        self.length -= read;
        while left > 0
            && let Some(piece) = self.large.front_mut()
        {
            let n = left.min(piece.len());
            out(&piece[..n]);
            piece.advance(n);
            left -= n;
            if piece.is_empty() {
                self.large.pop_front();
            }
        }
        if left > 0 {
            let (first, second) = self.tail.as_slices();
            let n = left.min(first.len());
            out(&first[..n]);
            if left > n {
                out(&second[..left - n]);
            }
            self.tail.drain(..left);
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_pieces_keep_their_order() {
        let mut unread = Unread::default();
        let mut expected = VecDeque::new();
        let mut next = 0_u8;
        for round in 0..200_usize {
            let size = 1 + round * 7 % 50;
            let piece: Vec<u8> = (0..size)
                .map(|_| {
                    next = next.wrapping_add(1);
                    next
                })
                .collect();
            expected.extend(&piece);
            if round % 3 == 0 {
                unread.push(piece.into())
            } else {
                unread.extend(&piece)
            }
            let max = round * 13 % 60;
            let mut read = Vec::new();
            assert_eq!(unread.read(max, &mut |bytes| read.extend_from_slice(bytes)), read.len());
            assert_eq!(read.len(), max.min(expected.len()));
            assert_eq!(read, expected.drain(..read.len()).collect::<Vec<_>>());
            assert_eq!((unread.len(), unread.is_empty()), (expected.len(), expected.is_empty()));
        }
    }
}
