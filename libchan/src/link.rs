//! `Link`: the ordered byte pipe under our own protocol, and what it can do.
//!
//! A carrier (tcp, unix, tls, a WebSocket) implements these three traits and nothing else; it knows no channel.
//! Reading belongs to the session's driver alone. Writing has one role, held in turn by the driver and by the
//! threads that send: [`LinkWriter::try_write`] never registers a waker, so a sender may write on its own thread
//! (rule 1 and 2 of the driver), and [`LinkWriter::poll_write`] is what the driver waits with.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An ordered, reliable byte pipe to one peer: what a carrier provides.
///
/// ```
/// use libchan::{Link, LinkInfo, LinkReader, LinkWriter};
///
/// struct Wire { reader: Box<dyn LinkReader>, writer: Box<dyn LinkWriter> }
///
/// impl Link for Wire {
///     fn info(&self) -> LinkInfo {
///         LinkInfo::new("example:1")
///     }
///     fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
///         (self.reader, self.writer)
///     }
/// }
/// ```
pub trait Link: Send + 'static {
    /// What this link can do and who is at the other end.
    fn info(&self) -> LinkInfo;

    /// The reading and the writing half.
    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>);
}

/// The reading half of a link; only the session's driver uses it.
pub trait LinkReader: Send + 'static {
    /// Reads some bytes into `buf` (never empty); `Ok(0)` is the end of the link.
    ///
    /// Descriptors that arrive are appended to `descriptors` in order, already close-on-exec. A truncated
    /// control message is an error: a lost descriptor cannot be told from one that was never sent.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>>;

    /// The same into several buffers, the first of which is never empty. Called for large frames alone, so that their
    /// payload goes to where it stays, and what follows them comes with the same call. Without it, only the first is
    /// filled.
    fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        self.poll_read(cx, &mut bufs[0], descriptors)
    }
}

/// The writing half of a link.
pub trait LinkWriter: Send + 'static {
    /// Writes some of `bufs` now or fails with [`io::ErrorKind::WouldBlock`]; registers no waker.
    ///
    /// `descriptors` go with the first byte and are removed once that byte is accepted. The session passes a
    /// descriptor only to a link whose info says `passes_descriptors`, and never more than 253 at a time.
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize>;

    /// The same, waiting for room.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>>;

    /// Pushes out what the link itself buffers. Most buffer nothing.
    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be written, after everything written has left.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether only the driver may write: links whose two halves share state (tls, http2, websocket) say so.
    fn driver_only(&self) -> bool {
        false
    }
}

/// What a link can do and who is at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkInfo {
    /// Descriptors can travel beside the bytes (unix sockets).
    pub passes_descriptors: bool,
    /// The bytes are encrypted and the peer was authenticated, or they never leave this machine.
    pub secure: bool,
    /// The peer's address, for people: `tcp://10.0.0.7:51312`, `unix:///run/build.sock`.
    pub peer: String,
    /// Who the peer process is, where the kernel says so (unix sockets).
    pub credentials: Option<PeerCredentials>,
    /// The chain of certificates that the peer was authenticated by (tls), as DER, its own first.
    pub certificates: Option<Arc<[Vec<u8>]>>,
    /// Who the peer is, as the listener's authorize hook said or, at a dialer, as the transport has verified. See
    /// [`Session::principal`](crate::Session::principal).
    pub principal: Option<String>,
}

impl LinkInfo {
    /// A link to `peer` that passes no descriptors and promises no secrecy.
    pub fn new(peer: impl Into<String>) -> Self {
        Self { peer: peer.into(), ..Self::default() }
    }

    /// Says that descriptors can travel beside the bytes.
    #[must_use]
    pub fn passing_descriptors(mut self) -> Self {
        self.passes_descriptors = true;
        self
    }

    /// Says that nobody on the way can read or change the bytes.
    #[must_use]
    pub fn secured(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Adds what the kernel says of the peer process.
    #[must_use]
    pub fn with_credentials(mut self, credentials: PeerCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Adds the chain of certificates that the peer was authenticated by, as DER, its own first.
    #[must_use]
    pub fn with_certificates(mut self, chain: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.certificates = Some(chain.into_iter().collect());
        self
    }

    /// Adds who the peer is.
    #[must_use]
    pub fn with_principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = Some(principal.into());
        self
    }
}

/// The peer process at connect time, from the kernel (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id, where the platform tells it. It may have been reused since.
    pub pid: Option<i32>,
}

impl PeerCredentials {
    /// Credentials as the kernel told them.
    pub fn new(uid: u32, gid: u32, pid: Option<i32>) -> Self {
        Self { uid, gid, pid }
    }
}
