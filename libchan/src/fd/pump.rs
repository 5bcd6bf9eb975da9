//! Carrying a descriptor's bytes: opening it as something that can be polled, and the tasks that copy.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::kind::{Kind, classify};
use super::pipe::Pipe;
use super::pool::PoolFile;
use super::socket::Socket;
use crate::cut::Cause;
use crate::stream::{Duplex, RemoteStream, pump, runtime_for};

const NO_RUNTIME: &str = "a descriptor's bytes are moved on a tokio runtime, and there is none here";

/// Opens a descriptor as a byte stream, on the current runtime.
pub(super) fn open(fd: OwnedFd) -> io::Result<Box<dyn Duplex>> {
    let shape = classify(&fd)?;
    let runtime = Handle::try_current().map_err(|_| io::Error::other(NO_RUNTIME))?;
    Ok(match shape.kind {
        Kind::Socket => Box::new(Socket::new(fd)?),
        Kind::File => Box::new(PoolFile::new(fd, shape, runtime)),
        Kind::Pipe => match watch(fd) {
            Ok(fd) => Box::new(Pipe::new(fd, shape, runtime)),
            // Devices like /dev/null have no readiness, and never make anybody wait.
            Err((fd, error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                Box::new(PoolFile::new(fd, shape, runtime))
            }
            Err((_, error)) => return Err(error),
        },
    })
}

/// Carries a descriptor over a stream of a session.
pub(super) fn carry(fd: OwnedFd, remote: Arc<dyn RemoteStream>) {
    let opened = match runtime_for(&*remote) {
        Some(runtime) => {
            let _context = runtime.enter();
            open(fd)
        }
        None => Err(io::Error::other(NO_RUNTIME)),
    };
    match opened {
        Ok(duplex) => pump(duplex, remote),
        Err(error) => {
            let why = Cause::disconnected(&format!("the descriptor cannot be carried: {error}"));
            remote.reset(&why);
            remote.stop(&why);
        }
    }
}

/// Passes on a descriptor that is here as a stream only.
pub(super) fn relay(arrived: Arc<dyn RemoteStream>, remote: Arc<dyn RemoteStream>) {
    pump(Box::new(arrived), remote);
}

/// A descriptor that stands for a stream: one end of a socketpair, the other end being copied.
pub(super) fn stand_in(remote: Arc<dyn RemoteStream>) -> io::Result<OwnedFd> {
    let runtime = runtime_for(&*remote).ok_or_else(|| io::Error::other(NO_RUNTIME))?;
    #[cfg(target_os = "linux")]
    let flags = SocketFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = SocketFlags::empty();
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let _context = runtime.enter();
    pump(open(ours)?, remote);
    Ok(theirs)
}

/// Registers a descriptor with the runtime, or gives it back.
pub(super) fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // Tokio deprecates this in favour of an unsafe twin, because `T: AsRawFd` alone does not promise that the
    // descriptor stays open and the same. An `OwnedFd` that nobody takes out again does.
    #[allow(deprecated)]
    AsyncFd::try_new(fd).map_err(|error| error.into_parts())
}
