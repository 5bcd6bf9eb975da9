//! A link within this process: bytes and descriptors go from one side to the other, with a limit to what is on its way.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::link::{Link, LinkInfo, LinkReader, LinkWriter};
use crate::sync::{Mutex, lock};

/// One side of a link within this process. [`link_pair`] makes it.
#[derive(Debug)]
pub struct LocalLink {
    info: LinkInfo,
    reader: Reader,
    writer: Writer,
}

/// Two connected links in this process, which pass descriptors: what a test of a program needs that is to run over a real link
/// later, because everything is encoded and every limit holds. `peer` is what each side says of the other.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use libchan::{Role, Session, SessionOptions, link_pair};
///
/// let (near, far) = link_pair("test");
/// let dialing = Session::start(near, Role::Dialer, SessionOptions::default());
/// let accepting = Session::start(far, Role::Acceptor, SessionOptions::default());
/// let (client, server) = tokio::try_join!(dialing, accepting)?;
/// let words = client.open::<String>("words")?;
/// words.send("hello".to_owned()).await?;
/// let heard = server.accept().await?.expect("a channel").receive::<String>();
/// assert_eq!(heard.recv().await?.as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn link_pair(peer: &str) -> (LocalLink, LocalLink) {
    let (there, back) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
    let info = LinkInfo::new(peer).passing_descriptors().secured();
    let side = |read: &Arc<Mutex<Way>>, write: &Arc<Mutex<Way>>| LocalLink {
        info: info.clone(),
        reader: Reader(read.clone()),
        writer: Writer(write.clone()),
    };
    (side(&back, &there), side(&there, &back))
}

impl LocalLink {
    /// Says something else of the peer.
    #[must_use]
    pub fn with_info(mut self, info: LinkInfo) -> Self {
        self.info = info;
        self
    }
}

impl Link for LocalLink {
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        (Box::new(self.reader), Box::new(self.writer))
    }
}

/// Bytes and descriptors on their way from one side to the other.
#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    descriptors: VecDeque<OwnedFd>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What may be on its way at once, in bytes.
const WAY: usize = 256 * 1024;

#[derive(Debug)]
struct Reader(Arc<Mutex<Way>>);

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.0);
        if way.bytes.is_empty() {
            if way.closed {
                return Poll::Ready(Ok(0));
            }
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        descriptors.append(&mut way.descriptors);
        let n = buf.len().min(way.bytes.len());
        for (to, from) in buf.iter_mut().zip(way.bytes.drain(..n)) {
            *to = from;
        }
        let writer = way.writer.take();
        drop(way);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok(n))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut way = lock(&self.0);
        way.closed = true;
        let writer = way.writer.take();
        drop(way);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

#[derive(Debug)]
struct Writer(Arc<Mutex<Way>>);

impl Writer {
    fn write(
        &self,
        cx: Option<&Context<'_>>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> io::Result<usize> {
        let mut way = lock(&self.0);
        if way.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = WAY.saturating_sub(way.bytes.len());
        if room == 0 {
            way.writer = cx.map(|cx| cx.waker().clone());
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut written = 0;
        for buf in bufs {
            let n = buf.len().min(room - written);
            way.bytes.extend(&buf[..n]);
            written += n;
        }
        way.descriptors.append(descriptors);
        let reader = way.reader.take();
        drop(way);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(written)
    }
}

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        self.write(None, bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        match self.write(Some(cx), bufs, descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Writer {
    fn close(&self) {
        let mut way = lock(&self.0);
        way.closed = true;
        let reader = way.reader.take();
        drop(way);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}
