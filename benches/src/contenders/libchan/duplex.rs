//! A pipe in memory as a link, so that sessions go over the same bytes in memory as the others do.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use libchan::{Link, LinkInfo, LinkReader, LinkWriter};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, WriteHalf, split};

pub struct DuplexLink(pub DuplexStream);

struct Reader(ReadHalf<DuplexStream>);

struct Writer(WriteHalf<DuplexStream>);

impl Link for DuplexLink {
    fn info(&self) -> LinkInfo {
        LinkInfo::new("memory")
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let (reader, writer) = split(self.0);
        (Box::new(Reader(reader)), Box::new(Writer(writer)))
    }
}

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl LinkWriter for Writer {
    /// A full pipe then keeps a waker that wakes nobody. It takes the place of no other: while the driver waits for
    /// room, nobody else writes.
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        match self.poll_write(&mut Context::from_waker(Waker::noop()), bufs, descriptors) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        _: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
