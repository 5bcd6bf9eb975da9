//! `Fd`: a file descriptor that travels inside messages.
//!
//! Where the link can, the descriptor itself is passed. Everywhere else its bytes are carried: a task on the
//! sending side copies between the descriptor and a stream of the session (`pump.rs`), after `kind.rs` has found
//! that it is a byte stream at all. The receiver may ask for a stream or for an owned descriptor in both cases.
//! How each kind of descriptor is read and written without changing the flags that its other holders see is in
//! `socket.rs`, `pipe.rs` and `pool.rs`.

mod core;
mod kind;
mod pipe;
mod pool;
mod pump;
mod socket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use self::core::Carrier;
pub(crate) use self::core::{FdCore, FdHold};
pub(crate) use self::kind::NotPumpable;
use crate::stream::{ByteStream, RemoteStream};

/// A file descriptor, which can be put into a message.
///
/// In one process it moves; unix sockets pass it; every other transport carries its bytes, copied by the sending
/// side with half-close kept. Its file status flags are never changed. What is no byte stream (a directory, a
/// listener, an epoll instance, a memfd) fails at `send` on transports that pass no descriptors.
///
/// Carried as bytes, a regular file is read and written at its own offset, which both directions share, as two
/// local holders of it would; a file or pipe open for one direction gives or takes only that.
pub struct Fd {
    core: Arc<FdCore>,
}

impl Fd {
    /// Takes ownership of a descriptor: a file, a socket, a pipe, a child's stdin.
    pub fn new(fd: impl Into<OwnedFd>) -> Self {
        Self::from_descriptor(fd.into())
    }

    /// An owned descriptor: the very one that was sent or, where only its bytes travelled, one end of a
    /// socketpair that a task fills and empties.
    ///
    /// The stand-in is a blocking stream socket. It needs a tokio runtime with io enabled (an error without
    /// runtime, tokio's panic without io), and it cannot say everything: if the session is lost it comes to its
    /// end as if the bytes were complete. Who must tell the difference uses [`Fd::into_stream`].
    pub fn into_owned(self) -> io::Result<OwnedFd> {
        match self.core.take()? {
            Carrier::Descriptor(fd) => Ok(fd),
            Carrier::Remote(remote) => pump::stand_in(remote),
        }
    }

    /// [`Fd::into_owned`], as a file.
    pub fn into_file(self) -> io::Result<File> {
        self.into_owned().map(File::from)
    }

    /// The descriptor as a byte stream, whether it was passed or its bytes travelled.
    ///
    /// A passed one needs a tokio runtime with io enabled (an error without runtime, tokio's panic without io),
    /// and must be a byte stream: an error that says so in an [`io::ErrorKind::InvalidInput`] otherwise. Writes to
    /// files go through a buffer: `flush` or `shutdown` says whether they succeeded.
    pub fn into_stream(self) -> io::Result<ByteStream> {
        match self.core.take()? {
            Carrier::Descriptor(fd) => pump::open(fd).map(ByteStream::from_duplex),
            Carrier::Remote(remote) => Ok(ByteStream::from_remote(remote)),
        }
    }

    /// Whether a real descriptor is here, and not a stream that stands for one.
    pub fn is_passed(&self) -> bool {
        self.core.is_descriptor()
    }

    /// A descriptor that arrived.
    pub(crate) fn from_descriptor(fd: OwnedFd) -> Self {
        Self { core: Arc::new(FdCore::new(Carrier::Descriptor(fd))) }
    }

    /// A stream that arrived in a descriptor's place.
    pub(crate) fn from_remote(remote: Arc<dyn RemoteStream>) -> Self {
        Self { core: Arc::new(FdCore::new(Carrier::Remote(remote))) }
    }

    /// A descriptor claimed while its message is still being decoded; [`FdCore::connect`] completes it.
    pub(crate) fn unconnected() -> Self {
        Self { core: Arc::default() }
    }

    /// What the handle counts, and what a message takes hold of.
    pub(crate) fn core(&self) -> &Arc<FdCore> {
        &self.core
    }

    pub(crate) fn into_core(self) -> Arc<FdCore> {
        self.core
    }

    pub(crate) fn from_core(core: Arc<FdCore>) -> Self {
        Self { core }
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.describe("Fd", f)
    }
}

macro_rules! from_owners {
    ($($owner:ty),* $(,)?) => { $(
        impl From<$owner> for Fd {
            fn from(owner: $owner) -> Self {
                Self::new(owner)
            }
        }
    )* };
}

from_owners! {
    OwnedFd,
    File,
    io::PipeReader,
    io::PipeWriter,
    std::net::TcpStream,
    std::os::unix::net::UnixStream,
    std::process::ChildStderr,
    std::process::ChildStdin,
    std::process::ChildStdout,
}
