//! Bytes and descriptors over a unix stream socket (`SCM_RIGHTS`).
//!
//! What the kernel does, and what follows from it:
//! * Descriptors travel with a byte, never alone; once any byte of a write is accepted all its descriptors are.
//! * A read stops behind bytes that carried descriptors, even if more bytes wait. So a short read means "drained"
//!   only if no descriptor came with it (see [`receive`]).
//! * At most 253 descriptors go in one call. The buffer for them always has that size, so a truncated control
//!   message means that this process could not take a descriptor (its limit): descriptors are lost, and fatal.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use libchan::{Link, LinkInfo, LinkReader, LinkWriter, PeerCredentials};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::transfer::transfer;

/// The kernel's limit (`SCM_MAX_FD`); 254 are refused.
const MAX_DESCRIPTORS: usize = 253;

/// Room for the control message of the most descriptors.
const CONTROL_SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS));

/// The kernel's limit of slices a call; more would fail, so the rest waits for the next call.
const MAX_SLICES: usize = 1024;

/// Close-on-exec from the first moment: a child forked meanwhile must not inherit a peer's descriptor.
#[cfg(not(target_vendor = "apple"))]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const RECEIVE: RecvFlags = RecvFlags::empty();

/// No SIGPIPE, also in programs that have restored its default. Apple's sockets have it off already.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// Whether a read that returns less than was asked for, and no descriptor, proves the socket empty. True of Linux:
/// it goes on over plain bytes and stops behind descriptors. (It stops at urgent bytes too; a peer that sends those
/// is broken and delays only itself.) Others stop before descriptors as well.
const SHORT_READ_DRAINS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A unix stream socket as a link.
#[derive(Debug)]
pub struct UnixLink {
    info: LinkInfo,
    reader: Reader,
    writer: Writer,
}

impl UnixLink {
    /// Takes over a connected socket. `peer` is what people see as the other end's address; it may be empty.
    pub fn new(stream: UnixStream, peer: impl Into<String>) -> Self {
        let mut info = LinkInfo::new(peer).passing_descriptors().secured();
        if let Ok(peer) = stream.peer_cred() {
            info = info.with_credentials(PeerCredentials::new(peer.uid(), peer.gid(), peer.pid()));
        }
        // A socket from elsewhere (systemd's) may ask for credentials with every read: that would end reads early
        // where the writer changes, and take up the room of descriptors.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = rustix::net::sockopt::set_socket_passcred(&stream, false);
        let (reader, writer) = stream.into_split();
        Self { info, reader: Reader(reader), writer: Writer(writer) }
    }

    /// Names the peer by its user: what a dialer knows of the process that listens.
    pub(super) fn named_by_kernel(mut self) -> Self {
        self.info.principal = self.info.credentials.map(|process| format!("uid {}", process.uid));
        self
    }

    /// Two links that are connected to each other, without a name.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Self::new(one, "unix:"), Self::new(other, "unix:")))
    }
}

impl Link for UnixLink {
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        (Box::new(self.reader), Box::new(self.writer))
    }
}

#[derive(Debug)]
struct Reader(OwnedReadHalf);

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        self.poll_read_vectored(cx, &mut [IoSliceMut::new(buf)], descriptors)
    }

    fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let stream: &UnixStream = self.0.as_ref();
        loop {
            // Registers the waker before it says Pending, so no wake-up is lost between the two.
            ready!(stream.poll_read_ready(cx))?;
            match receive(stream, bufs, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// One read.
fn receive(
    stream: &UnixStream,
    bufs: &mut [IoSliceMut<'_>],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let wanted = bufs.iter().map(|buf| buf.len()).sum();
    let receive = || {
        let before = descriptors.len();
        let read = receive_now(stream.as_fd(), bufs, descriptors)?;
        Ok((read, SHORT_READ_DRAINS && descriptors.len() == before))
    };
    transfer(|call| stream.try_io(Interest::READABLE, call), wanted, receive)
}

/// One `recvmsg`.
fn receive_now(
    socket: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); CONTROL_SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| rustix::net::recvmsg(socket, bufs, &mut control, RECEIVE))?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // Dropping the buffer closes those that did arrive.
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "descriptors sent by the peer were lost on arrival: this process is probably at its limit (`ulimit -n`)",
        ));
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(arrived) = message {
            for descriptor in arrived {
                #[cfg(target_vendor = "apple")]
                rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
                descriptors.push_back(descriptor);
            }
        }
    }
    Ok(received.bytes)
}

#[derive(Debug)]
struct Writer(OwnedWriteHalf);

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        let stream: &UnixStream = self.0.as_ref();
        let bufs = &bufs[..bufs.len().min(MAX_SLICES)];
        if !descriptors.is_empty() {
            check_descriptors(bufs, descriptors)?;
        }
        send(stream, bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.as_ref().poll_write_ready(cx))?;
            match self.try_write(bufs, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Refuses what the kernel would refuse (too many) or silently lose (descriptors without a byte).
fn check_descriptors(bufs: &[IoSlice<'_>], descriptors: &VecDeque<OwnedFd>) -> io::Result<()> {
    let wrong = if descriptors.len() > MAX_DESCRIPTORS {
        "more than 253 descriptors in one write"
    } else if bufs.iter().all(|buf| buf.is_empty()) {
        "descriptors need at least one byte to travel with"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
}

/// One write. Reading makes room, and with it a new edge.
fn send(stream: &UnixStream, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let wanted = bufs.iter().map(|buf| buf.len()).sum();
    let send = || Ok((send_now(stream.as_fd(), bufs, descriptors)?, true));
    transfer(|call| stream.try_io(Interest::WRITABLE, call), wanted, send)
}

/// One `sendmsg`. Descriptors are closed here once the kernel has taken them over.
fn send_now(
    socket: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    // The usual write is one slice and no descriptor: `send` has less to copy in than `sendmsg` (7 % of a ping).
    if let ([buf], true) = (bufs, descriptors.is_empty()) {
        return Ok(retry_on_intr(|| rustix::net::send(socket, buf, SEND))?);
    }
    if descriptors.is_empty() {
        let mut nothing = SendAncillaryBuffer::default();
        return Ok(retry_on_intr(|| rustix::net::sendmsg(socket, bufs, &mut nothing, SEND))?);
    }
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); CONTROL_SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the descriptors do not fit the message"));
    }
    let sent = retry_on_intr(|| rustix::net::sendmsg(socket, bufs, &mut control, SEND))?;
    if sent > 0 {
        descriptors.clear();
    }
    Ok(sent)
}

#[cfg(test)]
mod tests;
