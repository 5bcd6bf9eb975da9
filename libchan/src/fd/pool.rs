//! Reading and writing on the blocking pool: one read and one write at a time, 64 KiB each at most.
//!
//! For what has no readiness (regular files, `/dev/null`), and for pipes and terminals where the kernel offers no
//! non-blocking call. A job's result stays here until somebody asks, so a dropped read loses nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::{read, retry_on_intr, write};
use tokio::io::ReadBuf;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::kind::Shape;
use crate::cut::Cause;
use crate::stream::Duplex;
use crate::sync::{Mutex, lock};

const CHUNK: usize = 64 * 1024;

/// A buffer that went through a job, and what the system call said.
type Job = JoinHandle<(Vec<u8>, io::Result<usize>)>;

/// One direction. Reading: `buffer[start..end]` waits for the reader. Writing: for the file.
#[derive(Default)]
struct Lane {
    job: Option<Job>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Lane {
    /// Waits for the running job, if any, and takes its buffer back. `WouldBlock` counts as nothing done: the
    /// descriptor's owner has made it non-blocking, and somebody else was faster.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let Some(job) = &mut self.job else { return Poll::Ready(Ok(None)) };
        let finished = ready!(Pin::new(job).poll(cx));
        self.job = None;
        let (buffer, result) = finished.map_err(io::Error::other)?;
        self.buffer = buffer;
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Ready(Ok(None)),
            result => Poll::Ready(result.map(Some)),
        }
    }
}

/// The two lanes of a descriptor. `gate` decides when a call may start: at once for files, when `poll(2)` says
/// that it will not wait for pipes and terminals.
pub(super) struct Pool {
    runtime: Handle,
    reading: Mutex<Lane>,
    writing: Mutex<Lane>,
    /// What one write may hold: it is accepted before it is done, so this is also what a drop may lose.
    chunk: usize,
}

impl Pool {
    /// `chunk` is how much a write may hold without waiting, once the gate is open.
    pub(super) fn new(runtime: Handle, chunk: usize) -> Self {
        Self { runtime, reading: Mutex::default(), writing: Mutex::default(), chunk }
    }

    pub(super) fn poll_read<F: AsFd + Send + Sync + 'static>(
        &self,
        fd: &Arc<F>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut gate: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let mut lane = lock(&self.reading);
        loop {
            if lane.start < lane.end {
                let count = (lane.end - lane.start).min(buf.remaining());
                buf.put_slice(&lane.buffer[lane.start..lane.start + count]);
                lane.start += count;
                return Poll::Ready(Ok(()));
            }
            match ready!(lane.poll_job(cx))? {
                Some(0) => return Poll::Ready(Ok(())),
                Some(count) => (lane.start, lane.end) = (0, count),
                None => {
                    ready!(gate(cx))?;
                    let (fd, mut buffer) = (fd.clone(), std::mem::take(&mut lane.buffer));
                    lane.job = Some(self.runtime.spawn_blocking(move || {
                        buffer.resize(CHUNK, 0);
                        let result = retry_on_intr(|| read(&*fd, &mut buffer[..]));
                        (buffer, result.map_err(io::Error::from))
                    }));
                }
            }
        }
    }

    /// Accepts a chunk when the one before is written.
    pub(super) fn poll_write<F: AsFd + Send + Sync + 'static>(
        &self,
        fd: &Arc<F>,
        cx: &mut Context<'_>,
        data: &[u8],
        mut gate: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<usize>> {
        let mut lane = lock(&self.writing);
        ready!(self.poll_drain(&mut lane, fd, cx, &mut gate))?;
        let data = &data[..data.len().min(self.chunk)];
        lane.buffer.clear();
        lane.buffer.extend_from_slice(data);
        (lane.start, lane.end) = (0, data.len());
        // Starts the write. An error it finds at once is told now; the bytes were not accepted.
        match self.poll_drain(&mut lane, fd, cx, &mut gate) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(data.len())),
        }
    }

    pub(super) fn poll_flush<F: AsFd + Send + Sync + 'static>(
        &self,
        fd: &Arc<F>,
        cx: &mut Context<'_>,
        mut gate: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.poll_drain(&mut lock(&self.writing), fd, cx, &mut gate)
    }

    fn poll_drain<F: AsFd + Send + Sync + 'static>(
        &self,
        lane: &mut Lane,
        fd: &Arc<F>,
        cx: &mut Context<'_>,
        gate: &mut impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        loop {
            match ready!(lane.poll_job(cx)) {
                Ok(count) => lane.start += count.unwrap_or(0),
                Err(error) => {
                    // What was not written is not tried again.
                    lane.start = lane.end;
                    return Poll::Ready(Err(error));
                }
            }
            if lane.start == lane.end {
                return Poll::Ready(Ok(()));
            }
            if let Err(error) = ready!(gate(cx)) {
                lane.start = lane.end;
                return Poll::Ready(Err(error));
            }
            let (fd, buffer) = (fd.clone(), std::mem::take(&mut lane.buffer));
            let range = lane.start..lane.end;
            lane.job = Some(self.runtime.spawn_blocking(move || {
                let result = retry_on_intr(|| write(&*fd, &buffer[range.clone()]));
                (buffer, result.map_err(io::Error::from))
            }));
        }
    }
}

/// A regular file or block device: always ready, at its own offset, which both directions share.
pub(super) struct PoolFile {
    fd: Arc<OwnedFd>,
    shape: Shape,
    pool: Pool,
}

impl PoolFile {
    pub(super) fn new(fd: OwnedFd, shape: Shape, runtime: Handle) -> Self {
        Self { fd: Arc::new(fd), shape, pool: Pool::new(runtime, CHUNK) }
    }
}

fn always(_cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    Poll::Ready(Ok(()))
}

impl Duplex for PoolFile {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.shape.reads {
            return Poll::Ready(Ok(()));
        }
        self.pool.poll_read(&self.fd, cx, buf, always)
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.shape.check_writes()?;
        self.pool.poll_write(&self.fd, cx, data, always)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pool.poll_flush(&self.fd, cx, always)
    }

    /// A file has no end to write; this waits until everything was.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }

    /// A file cannot say that it is cut short; the writer of the stream knows.
    fn reset(&self, _why: &Cause) {}

    fn stop(&self, _why: &Cause) {}

    fn refuses_writes(&self) -> Option<&'static str> {
        self.shape.refuses_writes()
    }
}
