//! Copies between the session's buffers and those of the http libraries, which own what they are given.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Appends the first `limit` bytes of `bufs` to `buffer`; gives how many there were.
pub(super) fn gather(bufs: &[IoSlice<'_>], limit: usize, buffer: &mut BytesMut) -> usize {
    let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
    let taken = offered.min(limit);
    buffer.reserve(taken);
    let mut left = taken;
    for buf in bufs {
        let part = &buf[..buf.len().min(left)];
        buffer.extend_from_slice(part);
        left -= part.len();
        if left == 0 {
            break;
        }
    }
    taken
}

/// Moves the front of `chunk` to `buf`; gives how many bytes.
pub(super) fn hand_out(chunk: &mut Bytes, buf: &mut [u8]) -> usize {
    let count = chunk.len().min(buf.len());
    buf[..count].copy_from_slice(&chunk[..count]);
    chunk.advance(count);
    if chunk.is_empty() {
        // Lets go of the memory it was a part of.
        *chunk = Bytes::new();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_of_several_slices() {
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        for limit in 0..=7 {
            let mut buffer = BytesMut::from(&b"-"[..]);
            let taken = gather(&slices, limit, &mut buffer);
            assert_eq!((taken, &buffer[..]), (limit.min(5), &b"-abcde"[..1 + limit.min(5)]));
        }
    }

    #[test]
    fn a_chunk_in_pieces() {
        let (mut chunk, mut buf) = (Bytes::from_static(b"abc"), [0; 2]);
        assert_eq!((hand_out(&mut chunk, &mut buf), &buf), (2, b"ab"));
        assert_eq!((hand_out(&mut chunk, &mut buf), &buf), (1, b"cb"));
        assert_eq!(hand_out(&mut chunk, &mut buf), 0);
    }
}
