//! A link in memory whose every step the scheduler sees, and two sessions over it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libchan_shuttle::{
    Link, LinkInfo, LinkReader, LinkWriter, Message, OpenOptions, Receiver, Role, Sender, Session,
    SessionOptions,
};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::spawn;

use super::block_on;

/// What a wire is like.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Bytes that may be on their way in one direction.
    pub room: usize,
    /// Only the driver writes; otherwise senders do as well.
    pub driver_only: bool,
}

/// Senders write, and everything fits.
pub const WIDE: Kind = Kind { room: 64 * 1024, driver_only: false };
/// Frames arrive in pieces and writers wait.
pub const NARROW: Kind = Kind { room: 24, driver_only: false };
/// As tls and http2 are.
pub const DRIVER: Kind = Kind { room: 64 * 1024, driver_only: true };

/// Two sessions that face each other.
pub struct Pair {
    pub left: Session,
    pub right: Session,
    pub wire: Wire,
}

fn open<T: Message>(from: &Session, to: &Session, capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = from.open_with("channel", OpenOptions::new().capacity(capacity)).unwrap();
    (sender, block_on(to.accept()).unwrap().unwrap().receive())
}

fn carry<T: Message>(from: &Session, to: &Session, value: T) -> T {
    let (sender, receiver) = open(from, to, 1);
    block_on(sender.send(value)).unwrap();
    drop(sender);
    match block_on(receiver.recv()) {
        Ok(Some(value)) => value,
        other => panic!("{:?}, sending session {:?}", other.map(|_| ()), block_on(from.closed())),
    }
}

impl Pair {
    pub fn new(kind: Kind) -> Self {
        let wire = Wire(Arc::new(Inner::default()));
        let [near, far] = [0, 1].map(|side| Side { wire: wire.clone(), side, kind });
        let left = spawn(|| block_on(Session::start(near, Role::Dialer, SessionOptions::default())));
        let right = block_on(Session::start(far, Role::Acceptor, SessionOptions::default())).unwrap();
        let left = left.join().unwrap().unwrap();
        Self { left, right, wire }
    }

    /// A named channel from left to right.
    pub fn open<T: Message>(&self, capacity: usize) -> (Sender<T>, Receiver<T>) {
        open(&self.left, &self.right, capacity)
    }

    /// Sends one value from left to right.
    pub fn carry<T: Message>(&self, value: T) -> T {
        carry(&self.left, &self.right, value)
    }

    /// Sends one value from right to left.
    pub fn carry_back<T: Message>(&self, value: T) -> T {
        carry(&self.right, &self.left, value)
    }

    /// With every handle and end gone, both sessions must end by themselves.
    pub fn finish(self) {
        let Self { left, right, wire } = self;
        drop((left, right));
        wire.wait_until_dropped();
    }
}

#[derive(Default)]
struct Inner {
    ways: [Mutex<Way>; 2],
    /// Halves that were dropped, of four.
    dropped: Mutex<usize>,
    all_dropped: Condvar,
}

#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The wire itself, to be cut and to be waited for.
#[derive(Clone)]
pub struct Wire(Arc<Inner>);

impl Wire {
    /// Both sides see the end of the link in the middle of what they do.
    pub fn cut(&self) {
        for way in 0..2 {
            self.change(way, |way| {
                way.bytes.clear();
                way.closed = true;
            });
        }
    }

    /// Waits until the drivers of both sides have let go of it.
    pub fn wait_until_dropped(&self) {
        let mut dropped = self.0.dropped.lock().unwrap();
        while *dropped < 4 {
            dropped = self.0.all_dropped.wait(dropped).unwrap();
        }
    }

    fn close(&self, way: usize) {
        self.change(way, |way| way.closed = true);
    }

    /// Changes a way and wakes who waits at either end of it.
    fn change<R>(&self, way: usize, change: impl FnOnce(&mut Way) -> R) -> R {
        let mut way = self.0.ways[way].lock().unwrap();
        let result = change(&mut way);
        let wakers = [way.reader.take(), way.writer.take()];
        drop(way);
        wakers.into_iter().flatten().for_each(Waker::wake);
        result
    }

    fn half_dropped(&self) {
        *self.0.dropped.lock().unwrap() += 1;
        self.0.all_dropped.notify_all();
    }
}

struct Side {
    wire: Wire,
    side: usize,
    kind: Kind,
}

impl Link for Side {
    fn info(&self) -> LinkInfo {
        LinkInfo::new("the other side")
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let Self { wire, side, kind } = *self;
        (Box::new(Reader { wire: wire.clone(), way: 1 - side }), Box::new(Writer { wire, way: side, kind }))
    }
}

struct Reader {
    wire: Wire,
    way: usize,
}

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut way = self.wire.0.ways[self.way].lock().unwrap();
        if way.bytes.is_empty() && !way.closed {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(way);
        Poll::Ready(Ok(self.wire.change(self.way, |way| {
            let n = buf.len().min(way.bytes.len());
            for (to, from) in buf.iter_mut().zip(way.bytes.drain(..n)) {
                *to = from;
            }
            n
        })))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.wire.close(self.way);
        self.wire.half_dropped();
    }
}

struct Writer {
    wire: Wire,
    way: usize,
    kind: Kind,
}

impl Writer {
    /// `None`: no room, and the waker is kept.
    fn write(&self, waker: Option<&Waker>, bufs: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        let mut way = self.wire.0.ways[self.way].lock().unwrap();
        if way.closed {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut room = self.kind.room - way.bytes.len();
        if room == 0 {
            if let Some(waker) = waker {
                way.writer = Some(waker.clone());
            }
            return None;
        }
        let mut written = 0;
        for buf in bufs {
            let part = &buf[..buf.len().min(room)];
            way.bytes.extend(part);
            room -= part.len();
            written += part.len();
        }
        let reader = way.reader.take();
        drop(way);
        reader.into_iter().for_each(Waker::wake);
        Some(Ok(written))
    }
}

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], _descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        self.write(None, bufs).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        self.write(Some(cx.waker()), bufs).map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.close(self.way);
        Poll::Ready(Ok(()))
    }

    fn driver_only(&self) -> bool {
        self.kind.driver_only
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.wire.close(self.way);
        self.wire.half_dropped();
    }
}
