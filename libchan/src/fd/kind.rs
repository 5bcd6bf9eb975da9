//! What a descriptor is: which of them are byte streams, and how each of those is read and written.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::net::{SocketType, sockopt};

/// How a descriptor's bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A connected stream socket.
    Socket,
    /// A pipe, a FIFO, or a character device: may wait for the other side.
    Pipe,
    /// A regular file or block device: never waits for anybody, but for the disk.
    File,
}

/// A byte stream's kind and the directions it is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) reads: bool,
    pub(super) writes: bool,
}

/// The descriptor is no byte stream, so it can only travel where descriptors are passed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotPumpable {
    /// What it is: `a directory`, `a listening socket`.
    pub what: String,
}

impl NotPumpable {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl fmt::Display for NotPumpable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no byte stream", self.what)
    }
}

impl Error for NotPumpable {}

impl From<NotPumpable> for io::Error {
    fn from(not: NotPumpable) -> Self {
        Self::new(io::ErrorKind::InvalidInput, not)
    }
}

/// Finds out what a descriptor is.
pub(super) fn classify(fd: impl AsFd) -> Result<Shape, NotPumpable> {
    let fd = fd.as_fd();
    let unreadable = |error| NotPumpable::new(format!("a descriptor that cannot be examined ({error})"));
    let flags = fcntl_getfl(fd).map_err(unreadable)?;
    #[cfg(target_os = "linux")]
    if flags.contains(OFlags::PATH) {
        return Err(NotPumpable::new("a descriptor opened for its path only"));
    }
    let status = fstat(fd).map_err(unreadable)?;
    let kind = match FileType::from_raw_mode(status.st_mode as _) {
        FileType::RegularFile | FileType::BlockDevice => Kind::File,
        FileType::Fifo | FileType::CharacterDevice => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        FileType::Directory => return Err(NotPumpable::new("a directory")),
        FileType::Symlink => return Err(NotPumpable::new("a symbolic link")),
        _ => {
            return Err(NotPumpable::new(anonymous(fd).unwrap_or_else(|| "a special descriptor".to_owned())));
        }
    };
    match kind {
        Kind::Socket => check_socket(fd)?,
        // A memfd says it is a regular file, and some kernels say so of other anonymous things (pidfds).
        Kind::File => anonymous(fd).map_or(Ok(()), |what| Err(NotPumpable::new(what)))?,
        Kind::Pipe => {}
    }
    let access = flags & OFlags::ACCMODE;
    Ok(Shape { kind, reads: access != OFlags::WRONLY, writes: access != OFlags::RDONLY })
}

fn check_socket(fd: BorrowedFd<'_>) -> Result<(), NotPumpable> {
    match sockopt::socket_type(fd) {
        Ok(SocketType::STREAM) => {}
        Ok(SocketType::DGRAM) => return Err(NotPumpable::new("a datagram socket")),
        Ok(SocketType::SEQPACKET) => return Err(NotPumpable::new("a sequenced packet socket")),
        _ => return Err(NotPumpable::new("a raw socket")),
    }
    if sockopt::socket_acceptconn(fd) == Ok(true) {
        return Err(NotPumpable::new("a listening socket"));
    }
    Ok(())
}

/// What an object without a place in the file system is, by the name the kernel shows for it.
#[cfg(target_os = "linux")]
fn anonymous(fd: BorrowedFd<'_>) -> Option<String> {
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).ok()?;
    let link = link.to_string_lossy();
    if let Some(name) = link.strip_prefix("anon_inode:") {
        return Some(match name {
            "[eventpoll]" => "an epoll instance".to_owned(),
            "[eventfd]" => "an eventfd".to_owned(),
            "[timerfd]" => "a timerfd".to_owned(),
            "[signalfd]" => "a signalfd".to_owned(),
            "[pidfd]" => "a pidfd".to_owned(),
            "inotify" | "[inotify]" => "an inotify instance".to_owned(),
            name => format!("an anonymous inode ({name})"),
        });
    }
    if link.starts_with("pidfd:") {
        return Some("a pidfd".to_owned());
    }
    // A file of that name can only be one in the root directory, and not one that has a link.
    let memfd = link.starts_with("/memfd:") && fstat(fd).is_ok_and(|status| status.st_nlink == 0);
    memfd.then(|| "a memfd".to_owned())
}

#[cfg(not(target_os = "linux"))]
fn anonymous(_fd: BorrowedFd<'_>) -> Option<String> {
    None
}

const ONLY_READS: &str = "the descriptor is open for reading only";

impl Shape {
    pub(super) fn refuses_writes(self) -> Option<&'static str> {
        (!self.writes).then_some(ONLY_READS)
    }

    pub(super) fn check_writes(self) -> io::Result<()> {
        if self.writes { Ok(()) } else { Err(io::Error::new(io::ErrorKind::Unsupported, ONLY_READS)) }
    }
}
