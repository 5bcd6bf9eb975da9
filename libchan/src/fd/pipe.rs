//! Pipes, FIFOs and character devices: non-blocking call by call (`RWF_NOWAIT`), so that their flags stay as they
//! are.
//!
//! `O_NONBLOCK` would change the open file that other processes share, and opening `/proc/self/fd/N` anew needs
//! permission on the inode and makes a new terminal of `/dev/ptmx`. Where the kernel refuses the flag (before
//! Linux 6.4, terminals, other systems) the calls go to the blocking pool, each after `poll(2)` said that it will
//! not wait; it still can if another holder takes the bytes in between, and then keeps one thread of the pool
//! until bytes come.

use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::ReadBuf;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::Handle;

use super::kind::Shape;
use super::pool::Pool;
use crate::cut::Cause;
use crate::stream::Duplex;
use crate::sync::{Mutex, lock};

/// What a pipe takes in one piece once it is writable.
const PIPE_BUF: usize = 4096;

pub(super) struct Pipe {
    /// `None` once the writing direction of a write-only pipe was closed: closing it is its only end.
    fd: Mutex<Option<Arc<AsyncFd<OwnedFd>>>>,
    shape: Shape,
    terminal: bool,
    /// The kernel does not know `RWF_NOWAIT` for this descriptor.
    pooled: AtomicBool,
    pool: Pool,
}

type Watched = Arc<AsyncFd<OwnedFd>>;

impl Pipe {
    pub(super) fn new(fd: AsyncFd<OwnedFd>, shape: Shape, runtime: Handle) -> Self {
        Self {
            terminal: fd.get_ref().is_terminal(),
            fd: Mutex::new(Some(Arc::new(fd))),
            shape,
            pooled: AtomicBool::new(!nowait::KNOWN),
            pool: Pool::new(runtime, PIPE_BUF),
        }
    }

    /// Tests both ways on one kernel.
    #[cfg(test)]
    pub(super) fn pooled(self) -> Self {
        self.pooled.store(true, Ordering::Relaxed);
        self
    }

    fn fd(&self) -> Option<Watched> {
        lock(&self.fd).clone()
    }

    /// A terminal whose other side is gone says `EIO`: that is how a terminal ends.
    fn hung_up(&self, error: io::Error) -> io::Result<()> {
        let io = Some(rustix::io::Errno::IO.raw_os_error());
        if self.terminal && error.raw_os_error() == io { Ok(()) } else { Err(error) }
    }

    /// Sorts out what a call that must not wait said.
    fn attempt<T>(
        &self,
        result: rustix::io::Result<T>,
        ready: &mut AsyncFdReadyGuard<'_, OwnedFd>,
    ) -> Attempt<T> {
        use rustix::io::Errno;
        match result {
            Ok(value) => Attempt::Done(Ok(value)),
            Err(Errno::INTR) => Attempt::Again,
            Err(error) if error == Errno::AGAIN => {
                ready.clear_ready();
                Attempt::Again
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.pooled.store(true, Ordering::Relaxed);
                Attempt::Refused
            }
            Err(error) => Attempt::Done(Err(error.into())),
        }
    }
}

/// What came of a call that must not wait.
enum Attempt<T> {
    Done(io::Result<T>),
    Again,
    Refused,
}

/// The gates of the pool: readiness that was checked just now. Tokio's own is an edge, and may be old.
fn readable(fd: &Watched, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    loop {
        let mut ready = ready!(fd.poll_read_ready(cx))?;
        if is_ready(fd, PollFlags::IN)? {
            return Poll::Ready(Ok(()));
        }
        ready.clear_ready();
    }
}

fn writable(fd: &Watched, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    loop {
        let mut ready = ready!(fd.poll_write_ready(cx))?;
        if is_ready(fd, PollFlags::OUT)? {
            return Poll::Ready(Ok(()));
        }
        ready.clear_ready();
    }
}

fn is_ready(fd: &Watched, flags: PollFlags) -> io::Result<bool> {
    let mut fds = [PollFd::new(&**fd, flags)];
    // Hang-up and error count: the call that follows says which.
    Ok(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))? > 0)
}

impl Duplex for Pipe {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(fd) = self.fd().filter(|_| self.shape.reads) else { return Poll::Ready(Ok(())) };
        while !self.pooled.load(Ordering::Relaxed) {
            let mut ready = ready!(fd.poll_read_ready(cx))?;
            let result = nowait::read(&fd, buf.initialize_unfilled());
            match self.attempt(result, &mut ready) {
                Attempt::Done(Ok(count)) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Attempt::Done(Err(error)) => return Poll::Ready(self.hung_up(error)),
                Attempt::Again | Attempt::Refused => {}
            }
        }
        match ready!(self.pool.poll_read(&fd, cx, buf, |cx| readable(&fd, cx))) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(self.hung_up(error)),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.shape.check_writes()?;
        let Some(fd) = self.fd() else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        while !self.pooled.load(Ordering::Relaxed) {
            let mut ready = ready!(fd.poll_write_ready(cx))?;
            let result = nowait::write(&fd, data);
            match self.attempt(result, &mut ready) {
                Attempt::Done(result) => return Poll::Ready(result),
                Attempt::Again | Attempt::Refused => {}
            }
        }
        self.pool.poll_write(&fd, cx, data, |cx| writable(&fd, cx))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.fd() {
            Some(fd) => self.pool.poll_flush(&fd, cx, |cx| writable(&fd, cx)),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes a write-only pipe, after what is still on its way. A terminal, or a FIFO open both ways, has no end
    /// of its own: it ends when it is dropped.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.poll_flush(cx));
        if !self.shape.reads {
            let fd = lock(&self.fd).take();
            drop(fd);
        }
        Poll::Ready(flushed)
    }

    /// A pipe cannot say that it was cut; it ends.
    fn reset(&self, _why: &Cause) {}

    /// Closes a read-only pipe: its writer gets `EPIPE`.
    fn stop(&self, _why: &Cause) {
        if !self.shape.writes {
            let fd = lock(&self.fd).take();
            drop(fd);
        }
    }

    fn refuses_writes(&self) -> Option<&'static str> {
        self.shape.refuses_writes()
    }
}

#[cfg(target_os = "linux")]
mod nowait {
    use std::io::{IoSlice, IoSliceMut};
    use std::os::fd::AsFd;

    use rustix::io::{ReadWriteFlags, Result, preadv2, pwritev2};

    pub(super) const KNOWN: bool = true;

    /// The offset that stands for "where the file is", as read(2) does.
    const HERE: u64 = u64::MAX;

    pub(super) fn read(fd: impl AsFd, buf: &mut [u8]) -> Result<usize> {
        preadv2(fd, &mut [IoSliceMut::new(buf)], HERE, ReadWriteFlags::NOWAIT)
    }

    pub(super) fn write(fd: impl AsFd, data: &[u8]) -> Result<usize> {
        pwritev2(fd, &[IoSlice::new(data)], HERE, ReadWriteFlags::NOWAIT)
    }
}

#[cfg(not(target_os = "linux"))]
mod nowait {
    use std::os::fd::AsFd;

    use rustix::io::{Errno, Result};

    pub(super) const KNOWN: bool = false;

    pub(super) fn read(_fd: impl AsFd, _buf: &mut [u8]) -> Result<usize> {
        Err(Errno::OPNOTSUPP)
    }

    pub(super) fn write(_fd: impl AsFd, _data: &[u8]) -> Result<usize> {
        Err(Errno::OPNOTSUPP)
    }
}
