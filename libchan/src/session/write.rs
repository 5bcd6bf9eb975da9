//! The writer role: one holder at a time swaps the output out, writes it without the lock, and comes back.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use bytes::Bytes;
use libchan_proto::Output;

use crate::link::LinkWriter;

/// At most so many slices in one system call (the kernel takes 1024).
const MAX_SLICES: usize = 64;

/// Output that is being written, and how far it has got.
#[derive(Default)]
pub(super) struct Unsent {
    pub(super) output: Output,
    /// Bytes of it that have left, splices included.
    written: usize,
    pub(super) descriptors: VecDeque<OwnedFd>,
}

impl Unsent {
    /// Nothing of it has left yet.
    pub(super) fn into(output: Output) -> Self {
        Self { output, written: 0, descriptors: VecDeque::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.written >= self.output.len()
    }

    /// Bytes that have not left.
    pub(super) fn left(&self) -> usize {
        self.output.len() - self.written
    }

    /// Writes what goes without waiting. `Ok(false)`: some is left.
    pub(super) fn try_write(&mut self, writer: &mut dyn LinkWriter) -> io::Result<bool> {
        while !self.is_done() {
            let result = with_slices(&self.output, self.written, |slices| {
                writer.try_write(slices, &mut self.descriptors)
            });
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The same with `tail` behind it, of which a copy is kept of what does not go.
    pub(super) fn try_write_with(&mut self, writer: &mut dyn LinkWriter, tail: &[u8]) -> io::Result<bool> {
        let before = self.output.len();
        if !self.output.splices.is_empty() && !self.try_write(writer)? {
            self.output.add(Bytes::copy_from_slice(tail));
            return Ok(false);
        }
        while self.written < before + tail.len() {
            let result = match self.output.bytes.get(self.written..) {
                Some(head) if !self.is_done() => {
                    writer.try_write(&[IoSlice::new(head), IoSlice::new(tail)], &mut self.descriptors)
                }
                _ => writer.try_write(&[IoSlice::new(&tail[self.written - before..])], &mut self.descriptors),
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let gone = self.written.saturating_sub(before);
                    self.written -= gone;
                    self.output.add(Bytes::copy_from_slice(&tail[gone..]));
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written = before;
        Ok(true)
    }

    /// Writes all of it, waiting where the link has no room.
    pub(super) fn poll_write(
        &mut self,
        writer: &mut dyn LinkWriter,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_done() {
            let result = with_slices(&self.output, self.written, |slices| {
                writer.poll_write(cx, slices, &mut self.descriptors)
            });
            match result {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.written += n,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The bytes of `output` from `skip` on, as slices: the buffer, with the large payloads between.
fn with_slices<R>(output: &Output, skip: usize, f: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
    if output.splices.is_empty() {
        return f(&[IoSlice::new(&output.bytes[skip..])]);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut count = 0;
    let mut skip = skip;
    let mut add = |part: &'_ [u8]| -> Option<(usize, usize)> {
        let from = skip.min(part.len());
        skip -= from;
        (from < part.len()).then_some((from, part.len()))
    };
    let mut at = 0;
    for (position, payload) in &output.splices {
        if count + 2 > MAX_SLICES {
            return f(&slices[..count]);
        }
        let part = &output.bytes[at..*position];
        at = *position;
        for part in [part, &payload[..]] {
            if let Some((from, to)) = add(part) {
                slices[count] = IoSlice::new(&part[from..to]);
                count += 1;
            }
        }
    }
    let part = &output.bytes[at..];
    if count < MAX_SLICES
        && let Some((from, to)) = add(part)
    {
        slices[count] = IoSlice::new(&part[from..to]);
        count += 1;
    }
    f(&slices[..count])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn joined(output: &Output, skip: usize) -> Vec<u8> {
        with_slices(output, skip, |slices| slices.iter().flat_map(|slice| slice.to_vec()).collect())
    }

    /// Takes a little at a time, and then nothing more.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl LinkWriter for Narrow {
        fn try_write(&mut self, bufs: &[IoSlice<'_>], _: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
            let bytes = bufs.iter().flat_map(|buf| buf.to_vec()).collect::<Vec<_>>();
            let n = bytes.len().min(self.room).min(997);
            if n == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= n;
            self.taken.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn poll_write(
            &mut self,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
            descriptors: &mut VecDeque<OwnedFd>,
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(self.try_write(bufs, descriptors))
        }

        fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn of_a_tail_what_does_not_go_is_kept() {
        let tail: Vec<u8> = (0..20_000).map(|at| at as u8).collect();
        for splice in [0, 9000] {
            let whole = [&b"abcdef"[..], &vec![b's'; splice], &tail].concat();
            let length = whole.len();
            for room in [0, 3, 6, 7, 11, splice + 6, splice + 7, length - 1, length, length + 1] {
                let mut unsent = Unsent::into(Output::default());
                unsent.output.bytes.extend_from_slice(b"abcdef");
                unsent.output.add(vec![b's'; splice].into());
                let mut link = Narrow { taken: Vec::new(), room };
                let all = unsent.try_write_with(&mut link, &tail).unwrap();
                assert_eq!((all, all), (room >= length, unsent.is_done()));
                link.room = usize::MAX;
                assert!(unsent.try_write(&mut link).unwrap());
                assert_eq!(link.taken, whole, "room for {room}");
            }
        }
    }

    #[test]
    fn splices_go_where_they_belong_from_any_position() {
        let mut output = Output::default();
        output.bytes = b"abcdef".to_vec();
        output.splices = vec![
            (0, Bytes::from_static(b"12")),
            (3, Bytes::from_static(b"345")),
            (6, Bytes::from_static(b"6")),
        ];
        let whole = b"12abc345def6";
        for skip in 0..=whole.len() {
            assert_eq!(joined(&output, skip), whole[skip..], "from {skip}");
        }
    }

    #[test]
    fn more_splices_than_slices_give_a_prefix() {
        let mut output = Output::default();
        output.bytes = vec![b'x'; 100];
        output.splices = (0..100).map(|at| (at, Bytes::from_static(b"y"))).collect();
        let whole = b"yx".repeat(100);
        let part = joined(&output, 0);
        assert!(!part.is_empty());
        assert_eq!(part, whole[..part.len()]);
    }
}
