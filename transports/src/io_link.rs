//! Any ordered byte stream as a link: a child process's pipes, a serial line, a proxied connection, a test's duplex.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use libchan::{Link, LinkInfo, LinkReader, LinkWriter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

use crate::writing::{refuse_descriptors, try_by_poll};

/// Any stream that tokio can read and write, as a link.
///
/// The stream has to keep order and lose nothing, and its end has to come out as an end of reading. Descriptors travel
/// as streams. Whether anybody on the way can read the bytes is for [`with_info`](Self::with_info) to say. What the
/// stream buffers is flushed after every write of the session.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use libchan::{Role, Session, SessionOptions};
/// use libchan_transports::IoLink;
///
/// let (ours, theirs) = tokio::io::duplex(64 * 1024); // or a child's stdin and stdout by tokio::io::join
/// let dialing = Session::start(IoLink::new(ours, "the worker"), Role::Dialer, SessionOptions::new());
/// let accepting = Session::start(IoLink::new(theirs, "the parent"), Role::Acceptor, SessionOptions::new());
/// let (parent, worker) = tokio::try_join!(dialing, accepting)?;
///
/// parent.open::<String>("words")?.send("hello".to_owned()).await?;
/// let words = worker.accept().await?.expect("a channel was opened").receive::<String>();
/// assert_eq!(words.recv().await?.as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct IoLink<S> {
    stream: S,
    info: LinkInfo,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> IoLink<S> {
    /// A link over `stream`. `peer` is what people see as the other end's address; it may be empty.
    pub fn new(stream: S, peer: impl Into<String>) -> Self {
        Self::with_info(stream, LinkInfo::new(peer))
    }

    /// A link over `stream`, of which this is known: the peer's name, whether the bytes are secret. That it passes
    /// descriptors is not believed.
    pub fn with_info(stream: S, mut info: LinkInfo) -> Self {
        info.passes_descriptors = false;
        Self { stream, info }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Link for IoLink<S> {
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        // Two handles of one stream behind a lock: a stream may have to read in order to write, as TLS does.
        let (reader, writer) = tokio::io::split(self.stream);
        (Box::new(Reader(reader)), Box::new(Writer(writer)))
    }
}

struct Reader<S>(ReadHalf<S>);

impl<S: AsyncRead + Send + 'static> LinkReader for Reader<S> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }
}

struct Writer<S>(WriteHalf<S>);

impl<S: AsyncWrite + Send + 'static> LinkWriter for Writer<S> {
    /// Only for a last word: it takes the place of the waker that waits for room.
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        try_by_poll(self, bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        refuse_descriptors("this link", descriptors)?;
        let writer = Pin::new(&mut self.0);
        match bufs {
            [buf] => writer.poll_write(cx, buf),
            bufs if writer.is_write_vectored() => writer.poll_write_vectored(cx, bufs),
            // The default of tokio's writes the first that is not empty.
            bufs => {
                writer.poll_write(cx, bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| &buf[..]))
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn driver_only(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use libchan::{Fd, Role, Session, SessionError, SessionOptions};
    use tokio::io::{AsyncReadExt, DuplexStream};

    use super::*;

    /// Passes over what is buffered until it is flushed, as a compressor or a `BufWriter` would.
    async fn sessions(room: usize) -> (Session, Session) {
        let (left, right) = tokio::io::duplex(room);
        let buffered = |stream: DuplexStream| IoLink::new(tokio::io::BufStream::new(stream), "test");
        let options = SessionOptions::new;
        let (left, right) = tokio::join!(
            Session::start(buffered(left), Role::Dialer, options()),
            Session::start(buffered(right), Role::Acceptor, options())
        );
        (left.unwrap(), right.unwrap())
    }

    #[tokio::test]
    async fn messages_files_and_goodbyes_cross_any_stream() {
        for room in [1, 7, 1 << 20] {
            let (left, right) = sessions(room).await;
            let numbers = left.open::<Vec<u32>>("numbers").unwrap();
            numbers.send((0..5000).collect()).await.unwrap();
            let incoming = right.accept().await.unwrap().unwrap().receive::<Vec<u32>>();
            assert_eq!(incoming.recv().await.unwrap().unwrap().len(), 5000);
            let (reader, mut writer) = io::pipe().unwrap();
            io::Write::write_all(&mut writer, b"in a file").unwrap();
            drop(writer);
            left.open::<Fd>("files").unwrap().send(reader.into()).await.unwrap();
            let files = right.accept().await.unwrap().unwrap().receive::<Fd>();
            let file = files.recv().await.unwrap().unwrap();
            assert!(!file.is_passed());
            let mut text = String::new();
            file.into_stream().unwrap().read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "in a file");
            drop((numbers, incoming, files));
            let (closed, seen) = tokio::join!(left.close(), right.closed());
            assert_eq!((closed.is_ok(), seen), (true, Ok(())));
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_is_a_lost_session() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let (left, right) = tokio::io::duplex(1 << 16);
        let relay = tokio::spawn(async move {
            let mut right = right;
            let _ = tokio::io::copy_bidirectional(&mut theirs, &mut right).await;
        });
        let (left, right) = tokio::join!(
            Session::start(IoLink::new(ours, ""), Role::Dialer, SessionOptions::new()),
            Session::start(IoLink::new(left, ""), Role::Acceptor, SessionOptions::new())
        );
        let (left, right) = (left.unwrap(), right.unwrap());
        relay.abort();
        assert_eq!(left.closed().await, Err(SessionError::Lost));
        assert_eq!(right.closed().await, Err(SessionError::Lost));
    }
}
