//! A link in memory that hands bytes on in seeded pieces and has a switch: it can be cut after any byte, or frozen.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use libchan::{Link, LinkInfo, LinkReader, LinkWriter};

use crate::help::Rng;

/// What a direction holds, in bytes: as a socket's buffer.
const HOLDS: usize = 64 * 1024;

/// One of the two directions of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the dialer to the acceptor.
    There = 0,
    /// From the acceptor to the dialer.
    Back = 1,
}

#[derive(Debug)]
struct Direction {
    bytes: VecDeque<u8>,
    /// Carries this many more bytes and is cut then.
    budget: Option<usize>,
    /// Nothing more goes in; what is in it can be read, then comes the end.
    ended: bool,
    /// Nothing comes out for now.
    frozen: bool,
    passed: usize,
    rng: Rng,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn new(seed: u64) -> Self {
        Self {
            bytes: VecDeque::new(),
            budget: None,
            ended: false,
            frozen: false,
            passed: 0,
            rng: Rng::from_seed(seed),
            reader: None,
            writer: None,
        }
    }

    /// Between one byte and all of them.
    fn piece(&mut self, most: usize) -> usize {
        match self.rng.below(4) {
            0 => 1 + self.rng.below(most as u64) as usize,
            1 => most.min(1 + self.rng.below(16) as usize),
            _ => most,
        }
    }

    fn wake(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }

    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = HOLDS - self.bytes.len();
        let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        if room == 0 || offered == 0 {
            return if offered == 0 { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = self.piece(room.min(offered));
        let kept = self.budget.map_or(count, |budget| budget.min(count));
        let bytes = bufs.iter().flat_map(|buf| buf.iter()).take(kept);
        self.bytes.extend(bytes);
        self.passed += kept;
        if let Some(budget) = &mut self.budget {
            *budget -= kept;
            self.ended = *budget == 0;
        }
        Ok(count)
    }

    fn read(&mut self, buf: &mut [u8]) -> Option<usize> {
        if self.frozen {
            return None;
        }
        if self.bytes.is_empty() {
            return self.ended.then_some(0);
        }
        let count = self.piece(self.bytes.len().min(buf.len()));
        for (to, from) in buf.iter_mut().zip(self.bytes.drain(..count)) {
            *to = from;
        }
        Some(count)
    }
}

type Both = Arc<[Mutex<Direction>; 2]>;

fn lock(direction: &Mutex<Direction>) -> MutexGuard<'_, Direction> {
    direction.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn wake(wakers: [Option<Waker>; 2]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// One end of a wire.
#[derive(Debug)]
pub struct WireLink {
    both: Both,
    writes: Way,
    reads: Way,
}

/// Two connected links and their switch.
pub fn wire(seed: u64) -> (WireLink, WireLink, Switch) {
    let both: Both = Arc::new([Mutex::new(Direction::new(seed)), Mutex::new(Direction::new(!seed))]);
    let dialer = WireLink { both: both.clone(), writes: Way::There, reads: Way::Back };
    let acceptor = WireLink { both: both.clone(), writes: Way::Back, reads: Way::There };
    (dialer, acceptor, Switch { both })
}

impl Link for WireLink {
    fn info(&self) -> LinkInfo {
        LinkInfo::new("wire")
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let Self { both, writes, reads } = *self;
        (Box::new(Reader { both: both.clone(), way: reads }), Box::new(Writer { both, way: writes }))
    }
}

struct Reader {
    both: Both,
    way: Way,
}

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut direction = lock(&self.both[self.way as usize]);
        let Some(count) = direction.read(buf) else {
            direction.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let writer = direction.writer.take();
        drop(direction);
        wake([writer, None]);
        Poll::Ready(Ok(count))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut direction = lock(&self.both[self.way as usize]);
        direction.ended = true;
        direction.bytes.clear();
        let wakers = direction.wake();
        drop(direction);
        wake(wakers);
    }
}

struct Writer {
    both: Both,
    way: Way,
}

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], _descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        let mut direction = lock(&self.both[self.way as usize]);
        // Now and then it says no although there is room, as a socket whose readiness was forgotten does.
        if direction.rng.below(8) == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = direction.write(bufs);
        let reader = direction.reader.take();
        drop(direction);
        wake([reader, None]);
        written
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut direction = lock(&self.both[self.way as usize]);
        let written = direction.write(bufs);
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            direction.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let reader = direction.reader.take();
        drop(direction);
        wake([reader, None]);
        Poll::Ready(written)
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut direction = lock(&self.both[self.way as usize]);
        direction.ended = true;
        let wakers = direction.wake();
        drop(direction);
        wake(wakers);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut direction = lock(&self.both[self.way as usize]);
        direction.ended = true;
        let wakers = direction.wake();
        drop(direction);
        wake(wakers);
    }
}

/// Breaks a wire.
#[derive(Clone, Debug)]
pub struct Switch {
    both: Both,
}

impl Switch {
    fn change(&self, way: Way, change: impl FnOnce(&mut Direction)) {
        let mut direction = lock(&self.both[way as usize]);
        change(&mut direction);
        let wakers = direction.wake();
        drop(direction);
        wake(wakers);
    }

    /// Cuts both directions now; what has been written can still be read.
    pub fn cut(&self) {
        self.change(Way::There, |direction| direction.ended = true);
        self.change(Way::Back, |direction| direction.ended = true);
    }

    /// Cuts one direction after `count` more bytes: the rest of what is written vanishes.
    pub fn cut_after(&self, way: Way, count: usize) {
        self.change(way, |direction| {
            direction.budget = Some(count);
            direction.ended = count == 0;
        });
    }

    /// Lets nothing come out of one direction until it is thawed.
    pub fn freeze(&self, way: Way) {
        self.change(way, |direction| direction.frozen = true);
    }

    /// Lets it flow again.
    pub fn thaw(&self, way: Way) {
        self.change(way, |direction| direction.frozen = false);
    }

    /// How many bytes have gone in.
    pub fn passed(&self, way: Way) -> usize {
        lock(&self.both[way as usize]).passed
    }
}
