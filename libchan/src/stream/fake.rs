//! A session's stream for tests: two ends over buffers in memory, with a window, loss, and counts.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

use super::RemoteStream;
use crate::cut::Cause;
use crate::sync::{Mutex, lock};

const WINDOW: usize = 16 * 1024;

#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    preloads: usize,
    written: bool,
    end: Option<Result<(), String>>,
    stopped: Option<String>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Default)]
struct Wire {
    ways: [Way; 2],
    lost: bool,
}

impl Wire {
    fn wake(&mut self) {
        for way in &mut self.ways {
            way.reader.take().into_iter().chain(way.writer.take()).for_each(Waker::wake);
        }
    }
}

/// One end. `ways[side]` is what it writes.
pub(crate) struct FakeRemote {
    wire: Arc<Mutex<Wire>>,
    side: usize,
}

/// Looks at and breaks the wire from outside.
#[derive(Clone)]
pub(crate) struct Tap(Arc<Mutex<Wire>>);

pub(crate) fn link() -> (Arc<FakeRemote>, Arc<FakeRemote>, Tap) {
    let wire = Arc::new(Mutex::new(Wire::default()));
    let end = |side| Arc::new(FakeRemote { wire: wire.clone(), side });
    (end(0), end(1), Tap(wire.clone()))
}

impl Tap {
    /// The link is gone: what arrived can be read, then there is an error.
    pub(crate) fn lose(&self) {
        let mut wire = lock(&self.0);
        wire.lost = true;
        wire.wake();
    }

    pub(crate) fn preloads(&self, side: usize) -> usize {
        lock(&self.0).ways[side].preloads
    }

    /// How the writer of a direction ended it.
    pub(crate) fn end(&self, side: usize) -> Option<Result<(), String>> {
        lock(&self.0).ways[side].end.clone()
    }

    /// What the reader of a direction said when it stopped.
    pub(crate) fn stopped(&self, side: usize) -> Option<String> {
        lock(&self.0).ways[side].stopped.clone()
    }
}

impl FakeRemote {
    fn fail(kind: io::ErrorKind, text: &str) -> io::Error {
        io::Error::new(kind, text.to_owned())
    }
}

impl RemoteStream for FakeRemote {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        let lost = wire.lost;
        let way = &mut wire.ways[1 - self.side];
        if !way.bytes.is_empty() {
            let count = way.bytes.len().min(buf.remaining());
            buf.put_slice(&way.bytes.make_contiguous()[..count]);
            way.bytes.drain(..count);
            way.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
        if lost {
            return Poll::Ready(Err(Self::fail(io::ErrorKind::ConnectionReset, "the session is lost")));
        }
        match &way.end {
            Some(Ok(())) => return Poll::Ready(Ok(())),
            Some(Err(text)) => return Poll::Ready(Err(Self::fail(io::ErrorKind::ConnectionReset, text))),
            None => {}
        }
        way.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = lock(&self.wire);
        if wire.lost {
            return Poll::Ready(Err(Self::fail(io::ErrorKind::ConnectionReset, "the session is lost")));
        }
        let way = &mut wire.ways[self.side];
        if way.end.is_some() {
            return Poll::Ready(Err(Self::fail(io::ErrorKind::BrokenPipe, "closed")));
        }
        if let Some(text) = &way.stopped {
            return Poll::Ready(Err(Self::fail(io::ErrorKind::BrokenPipe, text)));
        }
        way.written = true;
        let room = WINDOW.saturating_sub(way.bytes.len()).min(data.len());
        if room == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        way.bytes.extend(&data[..room]);
        way.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(room))
    }

    fn poll_flush(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        wire.ways[self.side].end.get_or_insert(Ok(()));
        wire.wake();
        Poll::Ready(Ok(()))
    }

    fn preload(&self, data: &[u8]) {
        let mut wire = lock(&self.wire);
        let way = &mut wire.ways[self.side];
        assert!(!way.written && way.preloads == 0, "preload comes once and first");
        way.preloads += 1;
        way.bytes.extend(data);
        wire.wake();
    }

    fn reset(&self, why: &Cause) {
        let mut wire = lock(&self.wire);
        wire.ways[self.side].end.get_or_insert_with(|| Err(why.clone().into_reason().text));
        wire.wake();
    }

    fn stop(&self, why: &Cause) {
        let mut wire = lock(&self.wire);
        wire.ways[1 - self.side].stopped.get_or_insert_with(|| why.clone().into_reason().text);
        wire.wake();
    }

    fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = lock(&self.wire);
        if wire.lost || wire.ways[self.side].stopped.is_some() {
            return Poll::Ready(());
        }
        wire.ways[self.side].writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for FakeRemote {
    fn drop(&mut self) {
        let mut wire = lock(&self.wire);
        wire.ways[self.side].end.get_or_insert_with(|| Err("abandoned".to_owned()));
        wire.ways[1 - self.side].stopped.get_or_insert_with(|| "dropped".to_owned());
        wire.wake();
    }
}
