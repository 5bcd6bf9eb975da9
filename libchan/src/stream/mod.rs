//! `ByteStream`: a two-way byte pipe with half-close that travels inside messages.
//!
//! A stream stands on one of three things: the other half of a [`ByteStream::pair`] (`pair.rs`), an io object of
//! the user's (`local.rs`), or a session (`remote.rs`). What it stands on is polled through `&self`, so its two
//! directions are independent. Sending has two phases, a tentative hold and a bind that cannot fail (`core.rs`).
//! Half a pair is bound by pointing the half that stays at the session's stream: no task, no copy. Everything
//! else is bound by one task that copies (`relay.rs`).

mod core;
mod descriptor;
#[cfg(test)]
pub(crate) mod fake;
mod local;
mod pair;
mod relay;
mod remote;
mod split;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, empty, join};
use tokio::net::TcpStream;

pub(crate) use self::core::InUse;
use self::core::Kind;
pub(crate) use self::core::{StreamCore, StreamHold};
pub(crate) use self::descriptor::DescriptorStream;
use self::local::{Local, Refused};
pub(crate) use self::relay::{pump, runtime_for};
pub(crate) use self::remote::{Duplex, RemoteStream};
use crate::fd::Fd;

/// A two-way byte pipe with half-close, which can be put into a message.
///
/// It is [`AsyncRead`] and [`AsyncWrite`]; `shutdown` closes the writing direction and leaves the other open. The
/// end that was put into a message is gone from here once the message was sent; its other end works on, before,
/// while and after the message travels.
///
/// # How it ends
///
/// **Only `shutdown` ends a direction cleanly.** A stream that is dropped before was cut short: a cancelled task drops it as a
/// finished one does. What was written still arrives, and then the reader gets an [`io::ErrorKind::ConnectionReset`], as it does
/// when the session is lost. In it is a [`RecvError`](crate::RecvError) that says why:
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use libchan::{ByteStream, Cut, RecvError};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (mut writer, mut reader) = ByteStream::pair();
/// writer.write_all(b"half of it").await?;
/// drop(writer);
/// let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
/// let why = error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>());
/// assert_eq!(why.and_then(RecvError::cut), Some(Cut::Abandoned));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Cancel safety
///
/// Reads and writes are cancel-safe as far as tokio's methods are: `read` and `write` are, `read_exact` and
/// `write_all` may have moved a part.
///
/// ```ignore
/// let (input, far) = ByteStream::pair();
/// jobs.send(Job { input: far }).await?;
/// input.write_all(b"to the worker").await?;
/// input.shutdown().await?;
/// ```
pub struct ByteStream {
    core: Arc<StreamCore>,
}

impl ByteStream {
    /// Two connected streams in this process: what one writes, the other reads.
    ///
    /// Each direction buffers up to 64 KiB. When one end is dropped, the other reads what is buffered and then the
    /// end, which is an error unless the direction was shut down; its writes fail with [`io::ErrorKind::BrokenPipe`].
    pub fn pair() -> (Self, Self) {
        let (left, right) = pair::ends();
        (Self::standing_on(Kind::Pair(left)), Self::standing_on(Kind::Pair(right)))
    }

    /// A stream on any io object: a TLS connection, a child's stdin and stdout, a TCP socket.
    ///
    /// When it is sent in a message, one task copies between `io` and the session, with half-close kept. If the
    /// session is lost, or the other side is cut short, `io` is dropped without `shutdown`. **A plain TCP socket closes cleanly
    /// when it is dropped**, and its peer takes what it has for complete: use [`from_tcp`](Self::from_tcp), which resets the
    /// connection. TLS says it by itself, because its closing alert is missing.
    pub fn from_io(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self::standing_on(Kind::Local(Box::new(Local::new(io))))
    }

    /// A stream on a TCP connection. When it is sent in a message and cut short, by a lost session or its other side, the
    /// connection is reset, so that its peer does not take what it has for complete.
    ///
    /// Needs a tokio runtime with io enabled, where copying happens.
    ///
    /// # Errors
    /// The socket cannot be taken from the runtime it is on, or there is no runtime.
    pub fn from_tcp(tcp: TcpStream) -> io::Result<Self> {
        Fd::new(tcp.into_std()?).into_stream()
    }

    /// A stream that can only be read. Writing is refused with [`io::ErrorKind::Unsupported`].
    pub fn from_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::standing_on(Kind::Local(Box::new(Local::refusing(join(reader, Refused), local::ONLY_READS))))
    }

    /// A stream that can only be written. Its reading direction is at its end.
    pub fn from_writer(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self::standing_on(Kind::Local(Box::new(Local::new(join(empty(), writer)))))
    }

    /// A stream on a file descriptor, wherever that came from; see [`Fd::into_stream`].
    pub fn from_fd(fd: Fd) -> io::Result<Self> {
        fd.into_stream()
    }

    /// Two owned halves, which can go to two tasks.
    ///
    /// Dropping a half ends its direction: the writing one is cut short unless it was shut down, and the other side's writes
    /// fail when the reading one is gone. The halves do not wait for each other, except on [`ByteStream::from_io`], whose
    /// object allows one call at a time and is dropped with the second half.
    pub fn split(
        self,
    ) -> (
        impl AsyncRead + Send + Sync + Unpin + fmt::Debug + 'static,
        impl AsyncWrite + Send + Sync + Unpin + fmt::Debug + 'static,
    ) {
        split::halves(self.core)
    }

    /// A stream that lives on a session.
    pub(crate) fn from_remote(remote: Arc<dyn RemoteStream>) -> Self {
        Self::standing_on(Kind::Remote(remote::Arrived::new(remote)))
    }

    /// A stream that was claimed while its message is still being decoded; [`StreamCore::connect`] completes it.
    pub(crate) fn unconnected() -> Self {
        Self::standing_on(Kind::Remote(remote::Arrived::default()))
    }

    /// A stream on something that is polled through `&self`.
    pub(crate) fn from_duplex(duplex: Box<dyn Duplex>) -> Self {
        Self::standing_on(Kind::Local(duplex))
    }

    /// What the handle counts, and what a message takes hold of.
    pub(crate) fn core(&self) -> &Arc<StreamCore> {
        &self.core
    }

    pub(crate) fn into_core(self) -> Arc<StreamCore> {
        self.core
    }

    pub(crate) fn from_core(core: Arc<StreamCore>) -> Self {
        Self { core }
    }

    fn standing_on(kind: Kind) -> Self {
        Self { core: Arc::new(StreamCore::new(kind)) }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.core.poll_read(cx, buf)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.core.poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core.poll_shutdown(cx)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.describe("ByteStream", f)
    }
}
