//! The counted part of a stream: what it stands on, who may use it, and the two phases of sending it.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::ByteStream;
use super::pair::PairEnd;
use super::relay::pump;
use super::remote::{Arrived, Duplex, RemoteStream};
use crate::cut::{self, Cause, Cut};
use crate::error::RemoteError;

/// A message has taken hold of the stream.
const HELD: usize = 1;
/// The stream has left in a message, for good.
const SENT: usize = 2;
/// One operation that is running now; the bits above count them.
const OPERATION: usize = 4;

/// What a stream stands on.
pub(super) enum Kind {
    /// One half of a pair.
    Pair(PairEnd),
    /// A session.
    Remote(Arrived),
    /// An io object or a descriptor.
    Local(Box<dyn Duplex>),
}

/// The part of a [`ByteStream`] that its handle, its halves and a message being sent count.
///
/// Who may use it is one atomic word, so that neither direction waits for the other: an operation counts itself
/// in and looks at the flags, and a hold is only taken while nothing is counted.
pub(crate) struct StreamCore {
    state: AtomicUsize,
    kind: Kind,
}

impl StreamCore {
    pub(super) fn new(kind: Kind) -> Self {
        Self { state: AtomicUsize::new(0), kind }
    }

    /// Takes tentative hold of the stream for a message; dropping the hold gives it back.
    pub(crate) fn hold(self: &Arc<Self>) -> Result<StreamHold, InUse> {
        match self.state.compare_exchange(0, HELD, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(StreamHold { core: self.clone(), bound: false }),
            Err(_) => Err(InUse),
        }
    }

    /// Completes a stream made by [`ByteStream::unconnected`].
    pub(crate) fn connect(&self, remote: Arc<dyn RemoteStream>) {
        if let Kind::Remote(arrived) = &self.kind {
            arrived.connect(remote);
        }
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let _operation = self.operate()?;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.duplex().poll_read(cx, buf)
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let _operation = self.operate()?;
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.duplex().poll_write(cx, data)
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _operation = self.operate()?;
        self.duplex().poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _operation = self.operate()?;
        self.duplex().poll_shutdown(cx)
    }

    /// The half that reads is gone. An io object is told when both are: it cannot be told of one.
    pub(super) fn drop_reader(&self) {
        if !matches!(self.kind, Kind::Local(_)) {
            self.duplex().stop(&cut::now().unwrap_or_else(unread));
        }
    }

    /// The half that writes is gone: not cleanly, unless it was shut down before.
    pub(super) fn drop_writer(&self) {
        if !matches!(self.kind, Kind::Local(_)) {
            self.duplex().reset(&cut::now().unwrap_or_else(|| Cut::Abandoned.cause()));
        }
    }

    pub(super) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = match &self.kind {
            Kind::Pair(_) => "pair",
            Kind::Remote(_) => "session",
            Kind::Local(_) => "io",
        };
        let state = self.state.load(Ordering::Relaxed);
        let state = match state {
            _ if state & SENT != 0 => "sent",
            _ if state & HELD != 0 => "held",
            _ => "open",
        };
        f.debug_struct(name).field("on", &on).field("state", &state).finish()
    }

    fn operate(&self) -> io::Result<Operation<'_>> {
        let before = self.state.fetch_add(OPERATION, Ordering::AcqRel);
        let operation = Operation(self);
        let why = match before {
            _ if before & SENT != 0 => "the stream has left in a message",
            _ if before & HELD != 0 => "the stream is in a message that is being sent",
            _ => return Ok(operation),
        };
        Err(io::Error::new(io::ErrorKind::NotConnected, why))
    }

    pub(super) fn duplex(&self) -> &dyn Duplex {
        match &self.kind {
            Kind::Pair(end) => end,
            Kind::Remote(arrived) => arrived,
            Kind::Local(local) => &**local,
        }
    }
}

impl fmt::Debug for StreamCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("StreamCore", f)
    }
}

fn unread() -> Cause {
    RemoteError::with_wire_code(libchan_proto::code::NONE, "nobody reads the stream any more".to_owned())
        .into()
}

struct Operation<'a>(&'a StreamCore);

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(OPERATION, Ordering::AcqRel);
    }
}

/// A stream that is in a message being sent. Dropping it gives the stream back, usable as before.
#[derive(Debug)]
pub(crate) struct StreamHold {
    core: Arc<StreamCore>,
    bound: bool,
}

impl StreamHold {
    /// Connects what the stream stood on with the session's stream. Cannot fail; what goes wrong later the peer
    /// sees as an error of the stream. Not to be called under a lock of the session.
    ///
    /// Copying, where it is needed, is a task on the current runtime, or on that of the session
    /// ([`RemoteStream::runtime`]).
    pub(crate) fn bind(mut self, remote: Arc<dyn RemoteStream>) {
        self.bound = true;
        self.core.state.fetch_or(SENT, Ordering::AcqRel);
        let rest = match &self.core.kind {
            Kind::Pair(end) => end.bind(remote),
            Kind::Remote(_) | Kind::Local(_) => Some(remote),
        };
        if let Some(remote) = rest {
            pump(Box::new(Sent(self.core.clone())), remote);
        }
    }

    /// Gives the stream back as a handle: the message never left this process.
    pub(crate) fn release(self) -> ByteStream {
        ByteStream::from_core(self.core.clone())
    }
}

impl Drop for StreamHold {
    fn drop(&mut self) {
        if !self.bound {
            self.core.state.fetch_and(!HELD, Ordering::AcqRel);
        }
    }
}

/// What a sent stream stood on, polled by the task that copies: past the flags that keep the user off.
struct Sent(Arc<StreamCore>);

impl Duplex for Sent {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.duplex().poll_read(cx, buf)
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.duplex().poll_write(cx, data)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.duplex().poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.duplex().poll_shutdown(cx)
    }

    fn reset(&self, why: &Cause) {
        self.0.duplex().reset(why);
    }

    fn stop(&self, why: &Cause) {
        self.0.duplex().stop(why);
    }

    fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.duplex().poll_stopped(cx)
    }

    fn refuses_writes(&self) -> Option<&'static str> {
        self.0.duplex().refuses_writes()
    }
}

/// The stream or descriptor is in another message, has been sent, or is in an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse;

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream or descriptor is already in a message, was sent, or is in an operation")
    }
}

impl Error for InUse {}

impl From<InUse> for io::Error {
    fn from(in_use: InUse) -> Self {
        Self::new(io::ErrorKind::NotConnected, in_use)
    }
}
