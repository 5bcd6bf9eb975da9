//! The read buffer: filled by the link, consumed by the machine, which copies what it keeps. So it is written over and over,
//! and cleared once; and what is left in it between two turns is nothing, or the beginning of a frame. Where it is nothing,
//! the memory goes to the thread's other sessions.

use std::mem;

use super::buffers;

/// What a session begins with, in bytes: enough for small messages, little for a session that is idle.
const SMALL: usize = 16 * 1024;
/// What it grows to when reads fill it, in bytes; more only for a frame that does not fit.
const LARGE: usize = 128 * 1024;
/// What is read behind the rest of a large frame, in bytes: enough for what comes before the payload of the next. That goes
/// past this buffer; what is read here is copied.
const BETWEEN: usize = 4 * 1024;

pub(super) struct ReadBuffer {
    /// Wholly initialised, because links read into `&mut [u8]`; the first `filled` bytes are data. Empty where the session
    /// has none in hand.
    buffer: Vec<u8>,
    filled: usize,
    /// How much of it is used, unless a frame is larger.
    size: usize,
    /// What was read elsewhere, before all that is here. Not kept: it may be far more than the buffer should hold.
    stray: Vec<u8>,
    /// The last frame was a large one, and the next is likely to be: what is read of that here has to be copied.
    bulk: bool,
}

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new(), filled: 0, size: SMALL, stray: Vec::new(), bulk: false }
    }

    /// Puts what was read elsewhere before the next bytes. The buffer is empty: what is here was read into a large frame.
    pub(super) fn put_before(&mut self, stray: Vec<u8>) {
        self.stray = stray;
    }

    pub(super) fn has_stray(&self) -> bool {
        !self.stray.is_empty()
    }

    /// Where the next read goes.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = buffers::take_read();
        }
        if self.size - self.filled < SMALL / 2 || self.buffer.len() < self.size {
            self.grow();
        }
        let end = if self.bulk && self.filled == 0 { BETWEEN } else { self.size };
        &mut self.buffer[self.filled..end]
    }

    #[cold]
    fn grow(&mut self) {
        if self.size - self.filled < SMALL / 2 {
            self.size *= 2;
        }
        if self.buffer.len() < self.size {
            self.buffer.resize(self.size, 0);
        }
    }

    /// Lets the memory go, unless something is in it.
    #[inline]
    pub(super) fn let_go(&mut self) {
        if self.filled == 0 {
            buffers::keep_read(mem::take(&mut self.buffer));
            self.size = self.size.min(LARGE);
        }
    }

    /// Where the next read goes on behind the rest of a large frame.
    pub(super) fn room_behind(&mut self) -> &mut [u8] {
        &mut self.room()[..BETWEEN]
    }

    /// Hands what there is, `read` new bytes included, to `consume`, which says how much it took from the front, and
    /// whether that ended within a large frame.
    pub(super) fn feed<E>(
        &mut self,
        read: usize,
        consume: impl FnOnce(&[u8]) -> Result<(usize, bool), E>,
    ) -> Result<(), E> {
        let end = self.filled + read;
        if self.has_stray() {
            return self.feed_stray(end, consume);
        }
        let full = end == self.size;
        let (taken, bulk) = consume(&self.buffer[..end])?;
        self.buffer.copy_within(taken..end, 0);
        self.filled = end - taken;
        self.bulk = bulk;
        if full && !bulk && self.size < LARGE {
            // There is more where that came from.
            self.size = (4 * self.size).min(LARGE);
        }
        Ok(())
    }

    #[cold]
    fn feed_stray<E>(
        &mut self,
        end: usize,
        consume: impl FnOnce(&[u8]) -> Result<(usize, bool), E>,
    ) -> Result<(), E> {
        let mut input = mem::take(&mut self.stray);
        input.extend_from_slice(&self.buffer[..end]);
        let (taken, _) = consume(&input)?;
        let left = &input[taken..];
        self.size = self.size.max(left.len());
        if self.buffer.len() < self.size {
            self.buffer.resize(self.size, 0);
        }
        self.buffer[..left.len()].copy_from_slice(left);
        self.filled = left.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_stays_in_front_and_a_full_buffer_grows() {
        let mut buffer = ReadBuffer::new();
        let mut expected = Vec::new();
        for round in 0..100_u8 {
            let room = buffer.room();
            room.fill(round);
            let read = room.len();
            expected.extend(std::iter::repeat_n(round, read));
            let result: Result<(), ()> = buffer.feed(read, |input| {
                assert_eq!(input, expected);
                let taken = input.len() - input.len().min(1000);
                expected.drain(..taken);
                Ok((taken, false))
            });
            assert_eq!(result, Ok(()));
            buffer.let_go();
        }
        assert_eq!(buffer.size, LARGE);
    }

    #[test]
    fn memory_is_let_go_where_nothing_is_in_it() {
        let (mut one, mut other) = (ReadBuffer::new(), ReadBuffer::new());
        let at = one.room().as_ptr();
        one.feed::<()>(10, |_| Ok((9, false))).unwrap();
        one.let_go();
        assert_eq!(one.buffer.as_ptr(), at, "a byte is left");
        one.room();
        one.feed::<()>(1, |input| Ok((input.len(), false))).unwrap();
        one.let_go();
        assert!(one.buffer.is_empty());
        assert_eq!(other.room().as_ptr(), at, "another session of the thread uses it");
        assert_eq!(other.room().len(), SMALL);
    }

    #[test]
    fn a_session_of_small_messages_uses_little_of_a_large_buffer() {
        let mut bulk = ReadBuffer::new();
        for _ in 0..3 {
            let read = bulk.room().len();
            bulk.feed::<()>(read, |input| Ok((input.len(), false))).unwrap();
        }
        assert_eq!(bulk.room().len(), LARGE);
        bulk.let_go();
        assert_eq!(ReadBuffer::new().room().len(), SMALL);
    }

    #[test]
    fn what_was_read_elsewhere_comes_first() {
        let mut buffer = ReadBuffer::new();
        buffer.room_behind()[..3].copy_from_slice(b"ird");
        let stray = [&vec![b'x'; 2 * LARGE][..], b"th"].concat();
        buffer.put_before(stray);
        let result = buffer.feed::<()>(3, |input| {
            assert_eq!(input[2 * LARGE..], *b"third");
            Ok((input.len() - 4, false))
        });
        assert_eq!((result, buffer.has_stray(), buffer.buffer.len()), (Ok(()), false, SMALL));
        let mut seen = Vec::new();
        buffer.feed::<()>(0, |input| Ok((seen.extend_from_slice(input), (input.len(), false)).1)).unwrap();
        assert_eq!(seen, b"hird");
    }

    #[test]
    fn little_is_read_where_the_next_large_frame_is_likely_to_begin() {
        let mut buffer = ReadBuffer::new();
        buffer.room();
        buffer.feed::<()>(100, |input| Ok((input.len(), true))).unwrap();
        assert_eq!(buffer.room().len(), BETWEEN);
        // It began behind something small, of which a part is still to come.
        buffer.feed::<()>(BETWEEN, |input| Ok((input.len() - 5, false))).unwrap();
        assert_eq!(buffer.room().len(), SMALL - 5);
        buffer.feed::<()>(5, |input| Ok((input.len(), false))).unwrap();
        assert_eq!(buffer.room().len(), SMALL, "the next frame was a small one");
    }

    #[test]
    fn little_is_read_behind_a_large_frame() {
        let mut buffer = ReadBuffer::new();
        for _ in 0..3 {
            let first = buffer.room().len();
            assert_eq!(buffer.feed::<()>(first, |input| Ok((input.len(), true))), Ok(()));
            assert_eq!(buffer.room_behind().len(), BETWEEN);
            assert_eq!(buffer.feed::<()>(BETWEEN, |input| Ok((input.len() - 5, true))), Ok(()));
            assert_eq!(buffer.room_behind().len(), BETWEEN);
            assert_eq!(buffer.feed::<()>(0, |input| Ok((input.len(), true))), Ok(()));
        }
        assert_eq!(buffer.room().len(), BETWEEN);
    }
}
