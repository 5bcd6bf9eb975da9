//! Copying between what a sent stream or descriptor stands on and the session's stream: one task, both ways.
//!
//! An end is passed on as an end, and an error never as an end: a read that fails cuts both directions, and so
//! does a task that is dropped before it is done (its runtime went away). A write that fails because nobody reads
//! stops its source and leaves the other direction alone.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use libchan_proto::code;
use tokio::io::ReadBuf;
use tokio::runtime::Handle;

use super::remote::{Duplex, RemoteStream};
use crate::cut::Cause;
use crate::error::RemoteError;

/// What one direction moves at a time, once it has proved busy.
const CHUNK: usize = 64 * 1024;
/// What an idle direction costs.
const SMALL: usize = 4 * 1024;
/// Chunks that one direction moves before it lets other tasks run.
const ROUNDS: usize = 16;

const NO_RUNTIME: &str = "there was no tokio runtime to copy the stream on";
const ABANDONED: &str = "the task that copied the stream was dropped with its runtime";

/// Copies between `local` and `remote` until both directions are over, on a task.
pub(crate) fn pump(local: Box<dyn Duplex>, remote: Arc<dyn RemoteStream>) {
    let runtime = runtime_for(&*remote);
    let mut relay = Relay::new(local, Box::new(remote));
    match runtime {
        Some(runtime) => drop(runtime.spawn(relay)),
        None => relay.cut(&Cause::disconnected(NO_RUNTIME)),
    }
}

/// Where a copying task runs: the current runtime, else that of the session's driver.
pub(crate) fn runtime_for(remote: &dyn RemoteStream) -> Option<Handle> {
    Handle::try_current().ok().or_else(|| remote.runtime())
}

struct Relay {
    sides: [Box<dyn Duplex>; 2],
    /// `ways[i]` copies from `sides[i]` to the other side.
    ways: [OneWay; 2],
}

impl Relay {
    fn new(local: Box<dyn Duplex>, remote: Box<dyn Duplex>) -> Self {
        Self { sides: [local, remote], ways: [OneWay::default(), OneWay::default()] }
    }

    /// Ends with an error what is not over yet.
    fn cut(&mut self, why: &Cause) {
        for (from, way) in self.ways.iter_mut().enumerate() {
            if !matches!(way.phase, Phase::Done) {
                way.phase = Phase::Done;
                self.sides[1 - from].reset(why);
                self.sides[from].stop(why);
            }
        }
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { sides: [left, right], ways: [there, back] } = &mut *self;
        let there = there.poll(cx, &**left, &**right);
        let back = back.poll(cx, &**right, &**left);
        match (there, back) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                self.cut(&Cause::of_io(&error));
                Poll::Ready(())
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut(&Cause::disconnected(ABANDONED));
    }
}

#[derive(Default)]
enum Phase {
    #[default]
    Starting,
    Copying,
    Closing,
    Done,
}

/// One direction.
#[derive(Default)]
struct OneWay {
    buffer: Vec<u8>,
    /// `buffer[start..end]` was read and is not written yet.
    start: usize,
    end: usize,
    /// Something was written since the last flush.
    unflushed: bool,
    phase: Phase,
}

impl OneWay {
    /// `Err` is an error of the source: its bytes are incomplete.
    fn poll(&mut self, cx: &mut Context<'_>, from: &dyn Duplex, to: &dyn Duplex) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS {
            match self.phase {
                Phase::Starting => match to.refuses_writes() {
                    Some(why) => self.stop(from, why),
                    None => self.phase = Phase::Copying,
                },
                Phase::Copying => {
                    if let Err(error) = ready!(self.poll_write_out(cx, to)) {
                        self.stop(from, &error.to_string());
                        continue;
                    }
                    match self.poll_fill(cx, from) {
                        Poll::Ready(Ok(())) if self.end == 0 => self.phase = Phase::Closing,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return self.poll_idle(cx, from, to),
                    }
                }
                Phase::Closing => {
                    // Whoever closed already, or does not listen, needs no end from us.
                    let _ = ready!(to.poll_shutdown(cx));
                    self.finish();
                }
                Phase::Done => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>, to: &dyn Duplex) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let written = ready!(to.poll_write(cx, &self.buffer[self.start..self.end]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += written;
            self.unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the next chunk; none is the end. A chunk that fills the buffer lets it grow.
    fn poll_fill(&mut self, cx: &mut Context<'_>, from: &dyn Duplex) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() || (self.end == self.buffer.len() && self.end < CHUNK) {
            let size = (self.buffer.len() * 4).clamp(SMALL, CHUNK);
            self.buffer.resize(size, 0);
        }
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(from.poll_read(cx, &mut buffer))?;
        self.start = 0;
        self.end = buffer.filled().len();
        Poll::Ready(Ok(()))
    }

    /// Nothing to copy now: pushes out what is buffered, and leaves if nobody reads any more.
    fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        from: &dyn Duplex,
        to: &dyn Duplex,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            match ready!(to.poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(error) => self.stop(from, &error.to_string()),
            }
        }
        if !matches!(self.phase, Phase::Done) {
            ready!(to.poll_stopped(cx));
            self.stop(from, "nobody reads the stream any more");
        }
        Poll::Ready(Ok(()))
    }

    fn stop(&mut self, from: &dyn Duplex, text: &str) {
        from.stop(&RemoteError::with_wire_code(code::NONE, text.to_owned()).into());
        self.finish();
    }

    fn finish(&mut self) {
        self.phase = Phase::Done;
        self.buffer = Vec::new();
    }
}
