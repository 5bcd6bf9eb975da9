//! Stream sockets: non-blocking call by call (`MSG_DONTWAIT`), so that their flags stay as they are.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};
use tokio::io::ReadBuf;
use tokio::io::unix::AsyncFd;

use super::pump::watch;
use crate::cut::Cause;
use crate::stream::Duplex;

pub(super) struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        watch(fd).map(Self).map_err(|(_, error)| error)
    }
}

impl Duplex for Socket {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let space = buf.initialize_unfilled();
            let read = ready.try_io(|fd| Ok(recv(fd, space, RecvFlags::DONTWAIT)?));
            match read {
                Ok(Ok((_, count))) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            match ready.try_io(|fd| Ok(send(fd, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(&self.0, Shutdown::Write) {
            // The peer has closed already.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// TCP can say that a stream was cut: closing with a linger time of zero resets the connection. Other
    /// sockets cannot, and end.
    fn reset(&self, _why: &Cause) {
        if matches!(sockopt::socket_domain(&self.0), Ok(AddressFamily::INET | AddressFamily::INET6)) {
            // If it fails the connection ends instead; there is nobody left to tell.
            let _ = sockopt::set_socket_linger(&self.0, Some(Duration::ZERO));
        }
    }

    fn stop(&self, _why: &Cause) {
        // Makes a local peer's writes fail; where the connection is gone already there is nothing to stop.
        let _ = shutdown(&self.0, Shutdown::Read);
    }
}
