//! Frames that are expected. While a large message arrives undisturbed, its next fragments are read into their places
//! before their headers are known: one read for many frames, and no copy.
//!
//! Expecting decides nothing. What came is compared with what was expected, and from the first difference on it is handed
//! back, to be read the ordinary way. Places are only in memory that the message has already.

use crate::frame::{self, HEADER, Type, flag};

/// The most frames that are expected at a time.
const MOST: usize = 16;
/// What a fragment has before its payload: header and flags.
const HEAD: usize = HEADER + 1;

/// How many fragments have come one behind the other, each as it would have been expected.
#[derive(Debug, Default)]
pub(super) struct Run {
    id: u32,
    frames: usize,
}

impl Run {
    /// A fragment has arrived.
    pub(super) fn fragment(&mut self, id: u32, as_expected: bool) {
        self.frames = match as_expected {
            true if id == self.id => (self.frames + 1).min(MOST + 1),
            true => 1,
            false => 0,
        };
        self.id = id;
    }

    /// Another frame has arrived: more of its kind are likely, unless it begins the next message of the same channel.
    #[inline]
    pub(super) fn disturb(&mut self, kind: Type, id: u32) {
        if self.frames > 0 && !(kind == Type::Message && id == self.id) {
            self.frames /= 2;
        }
    }

    /// What to expect behind a frame that ends at `end` of a payload of `total` bytes, up to `most` of it. As many frames as
    /// have just come, so that channels which take turns never make us copy more than that once again.
    pub(super) fn ahead(&self, id: u32, end: usize, most: usize, total: usize, max_frame: usize) -> Ahead {
        let mut ahead = Ahead { id, base: end, step: max_frame - 1, total, ..Ahead::default() };
        if id == self.id {
            let mut end = end;
            while ahead.count + 1 < self.frames && end < total && ahead.next(end) <= most {
                end = ahead.next(end);
                ahead.count += 1;
            }
        }
        ahead
    }
}

/// Fragments that are expected behind a frame of their message.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    id: u32,
    /// Where the payload of the frame before them ends.
    base: usize,
    /// How much of the payload a frame has, if it is not the last.
    step: usize,
    total: usize,
    count: usize,
    /// What has come in the places of their heads.
    heads: [[u8; HEAD]; MOST],
    /// How many have come.
    held: usize,
}

impl Ahead {
    /// Where the payload of the next frame ends.
    fn next(&self, end: usize) -> usize {
        (end + self.step).min(self.total)
    }

    /// Where the payload of the last one ends.
    pub(super) fn last(&self, end: usize) -> usize {
        (end + self.count * self.step).min(self.total.max(end))
    }

    /// The bytes that they take.
    pub(super) fn room(&self, end: usize) -> usize {
        self.count * HEAD + self.last(end) - end
    }

    /// How many have come, the last one perhaps in part.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// Where the payload of the last one that has come begins, and its flags. It ends at `end`.
    pub(super) fn before(&self, end: usize) -> (usize, u8) {
        let from = (self.base + (self.held.max(1) - 1) * self.step).min(end);
        (from, self.flags(end))
    }

    fn flags(&self, end: usize) -> u8 {
        if end < self.total { flag::MORE } else { 0 }
    }

    /// The places of their heads and of their payloads, which are in `memory`.
    pub(super) fn rooms<'a>(
        &'a mut self,
        end: usize,
        memory: &'a mut [u8],
        mut add: impl FnMut(&'a mut [u8]),
    ) {
        let (step, total) = (self.step, self.total);
        let (mut end, mut memory) = (end, memory);
        for head in &mut self.heads[..self.count] {
            let length = step.min(total - end);
            let (part, behind) = memory.split_at_mut(length);
            add(head);
            add(part);
            (end, memory) = (end + length, behind);
        }
    }

    /// `n` bytes were written to those places. Says where the payload of the last frame that came as expected ends, and how
    /// far it is here; hands everything behind that to `stray`. `memory` is the payload from `end` on.
    pub(super) fn check(
        &mut self,
        end: usize,
        n: usize,
        memory: &[u8],
        mut stray: impl FnMut(&[u8]),
    ) -> (usize, usize) {
        let (first, mut left) = (end, n);
        let (mut end, mut filled) = (end, end);
        let count = std::mem::take(&mut self.count);
        let mut came = 0;
        while came < count && left >= HEAD && self.heads[came] == self.head(end) {
            let length = self.next(end) - end;
            let part = length.min(left - HEAD);
            left -= HEAD + part;
            (end, filled) = (end + length, end + part);
            came += 1;
        }
        self.held += came;
        let mut from = end;
        for head in &self.heads[came..count] {
            let to = self.next(from);
            for piece in [&head[..], &memory[from - first..to - first]] {
                let n = left.min(piece.len());
                if n > 0 {
                    stray(&piece[..n]);
                }
                left -= n;
            }
            from = to;
        }
        (end, filled)
    }

    /// The head of the frame whose payload begins at `end`.
    fn head(&self, end: usize) -> [u8; HEAD] {
        let next = self.next(end);
        let mut head = [0; HEAD];
        let [fixed @ .., flags] = &mut head;
        *fixed = frame::header_bytes(1 + next - end, Type::Fragment, self.id);
        *flags = self.flags(next);
        head
    }
}
