//! What a session gives for a stream that lives on it, and the wider trait that a copying task works with.

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::runtime::Handle;

use crate::cut::Cause;

/// A stream that lives on a session, polled through `&self`, with one waker slot a direction.
///
/// Dropping the last `Arc` ends both directions: writing behind what was accepted and not cleanly, unless it was shut down or
/// reset before; reading by telling the peer to stop. None of the methods may be called by the session under its own lock in a
/// way that comes back here: a pair calls them, and drops the `Arc`, with no lock of its own held.
pub(crate) trait RemoteStream: Send + Sync + 'static {
    /// Zero bytes are the clean end. A lost session is [`io::ErrorKind::ConnectionReset`], never the end.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Accepts some bytes, at least one. After the peer has stopped reading: [`io::ErrorKind::BrokenPipe`].
    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Waits until what was accepted has left.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Half-close. The first call commits it: the end follows what was accepted even if nobody polls again.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Accepts all of `data`, once, before any `poll_write`: what was written before the stream was attached.
    fn preload(&self, data: &[u8]);

    /// Ends our writing direction with an error: the peer must not take what it has for complete.
    fn reset(&self, why: &Cause);

    /// Ends our reading direction: the peer's writes fail. Without it the peer waits until the stream is dropped.
    fn stop(&self, why: &Cause) {
        let _ = why;
    }

    /// Ready once nobody reads what we write (the peer stopped, or the session is lost), so that a task that
    /// has nothing to write learns it may go. May use the waker slot of the writing direction: it is not polled
    /// while a write, flush or shutdown waits.
    fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// The runtime of the session's driver, for copying tasks begun on a thread that has no runtime.
    fn runtime(&self) -> Option<Handle> {
        None
    }
}

/// Either side of a copying task: a stream of a session, a half of a pair, an io object, a descriptor.
pub(crate) trait Duplex: Send + Sync + 'static {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;
    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing direction so that it does not look complete, as far as the thing can say that.
    fn reset(&self, why: &Cause);

    /// Ends the reading direction.
    fn stop(&self, why: &Cause);

    /// Ready once nobody reads what is written; see [`RemoteStream::poll_stopped`].
    fn poll_stopped(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Why nothing can ever be written, if so: the other side is told at once instead of at its first byte.
    fn refuses_writes(&self) -> Option<&'static str> {
        None
    }
}

impl Duplex for Arc<dyn RemoteStream> {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        (**self).poll_read(cx, buf)
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        (**self).poll_write(cx, data)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(cx)
    }

    fn reset(&self, why: &Cause) {
        (**self).reset(why);
    }

    fn stop(&self, why: &Cause) {
        (**self).stop(why);
    }

    fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_stopped(cx)
    }
}

/// A stream that arrived, or is about to: a claim made while its message decodes is connected afterwards.
#[derive(Default)]
pub(super) struct Arrived(OnceLock<Arc<dyn RemoteStream>>);

impl Arrived {
    pub(super) fn new(remote: Arc<dyn RemoteStream>) -> Self {
        Self(OnceLock::from(remote))
    }

    pub(super) fn connect(&self, remote: Arc<dyn RemoteStream>) {
        // A second connection would be a bug of ours; the stream that is not taken ends, which tells its peer.
        let _ = self.0.set(remote);
    }

    fn get(&self) -> io::Result<&dyn RemoteStream> {
        self.0.get().map(|remote| &**remote).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "the message that holds this stream is not decoded yet",
            )
        })
    }
}

impl Duplex for Arrived {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_read(cx, buf)
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.get()?.poll_write(cx, data)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_shutdown(cx)
    }

    fn reset(&self, why: &Cause) {
        if let Some(remote) = self.0.get() {
            remote.reset(why);
        }
    }

    fn stop(&self, why: &Cause) {
        if let Some(remote) = self.0.get() {
            remote.stop(why);
        }
    }

    fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get().map_or(Poll::Pending, |remote| remote.poll_stopped(cx))
    }
}
