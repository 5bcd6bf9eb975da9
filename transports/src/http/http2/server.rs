//! The acceptor's end: the request's body is read, and what is written becomes the response's body.
//!
//! The http server that we are mounted in owns the connection and pulls the response out of a [`ResponseStream`].
//! Between it and the link's writer lies a bounded pipe.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use libchan::{LinkInfo, LinkReader, LinkWriter};
use tokio::time::{Sleep, sleep};

use super::super::gather::{gather, hand_out};
use super::{Http2Link, LINGER, SEND_BUFFER};
use crate::writing::{refuse_descriptors, try_by_poll};

/// The link over a request's body, and the body of its response. `kept` lives as long as the response does.
pub(in crate::http) fn accept<B>(body: B, info: LinkInfo, kept: Box<dyn Send>) -> (Http2Link, ResponseStream)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let pipe = Arc::new(Mutex::new(Pipe::default()));
    let reader = Reader { body: Some(body), chunk: Bytes::new(), pipe: pipe.clone() };
    let writer = Writer { pipe: pipe.clone() };
    let link = Http2Link { info, reader: Box::new(reader), writer: Box::new(writer) };
    (link, ResponseStream { pipe, rest: None, linger: None, _kept: kept })
}

/// Reads the rest of a request.
type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Pipe {
    buffer: BytesMut,
    end: End,
    /// Nobody pulls any more: the response has ended, the stream was reset, or the connection is lost.
    over: bool,
    /// The request has ended.
    request_over: bool,
    /// What is left of the request when the reader is gone, to be read only for its end.
    rest: Option<Rest>,
    body: Option<Waker>,
    writer: Option<Waker>,
}

/// How the writer has ended.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// In good order: both sides have said goodbye.
    Closed,
    Dropped,
}

type Shared = Arc<Mutex<Pipe>>;

fn lock(pipe: &Shared) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes the pipe, then wakes whoever is to see it.
fn change(pipe: &Shared, change: impl FnOnce(&mut Pipe)) {
    let mut pipe = lock(pipe);
    change(&mut pipe);
    let wakers = [pipe.body.take(), pipe.writer.take()];
    drop(pipe);
    wakers.into_iter().flatten().for_each(Waker::wake);
}

struct Reader<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    /// Gone once it has ended.
    body: Option<B>,
    chunk: Bytes,
    pipe: Shared,
}

impl<B> LinkReader for Reader<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        while self.chunk.is_empty() {
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(0)) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                // Trailers mean nothing: proxies drop them.
                Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    self.body = None;
                    change(&self.pipe, |pipe| pipe.request_over = true);
                    return Poll::Ready(match lock(&self.pipe).end == End::Closed {
                        true => Ok(0),
                        false => Err(io::Error::other(format!("the HTTP/2 stream failed: {error}"))),
                    });
                }
                None => {
                    self.body = None;
                    change(&self.pipe, |pipe| pipe.request_over = true);
                }
            }
        }
        Poll::Ready(Ok(hand_out(&mut self.chunk, buf)))
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Reader<B> {
    fn drop(&mut self) {
        let rest = self.body.take().map(|mut body| -> Rest {
            Box::pin(async move {
                while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
            })
        });
        change(&self.pipe, |pipe| pipe.rest = rest);
    }
}

struct Writer {
    pipe: Shared,
}

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        try_by_poll(self, bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        refuse_descriptors("http", descriptors)?;
        let mut pipe = lock(&self.pipe);
        if pipe.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = SEND_BUFFER - pipe.buffer.len();
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = gather(bufs, room, &mut pipe.buffer);
        let body = pipe.body.take();
        drop(pipe);
        body.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.pipe);
        if pipe.over {
            return Poll::Ready(Ok(()));
        }
        pipe.end = End::Closed;
        // Told when what was written has left and the response has ended.
        pipe.writer = Some(cx.waker().clone());
        let body = pipe.body.take();
        drop(pipe);
        body.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    fn driver_only(&self) -> bool {
        true
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        change(&self.pipe, |pipe| {
            if pipe.end == End::Open {
                pipe.end = End::Dropped;
            }
        });
    }
}

/// What is written to the link, as the body of a response.
pub(in crate::http) struct ResponseStream {
    pipe: Shared,
    /// What is left of the request when the link is gone.
    rest: Option<Rest>,
    linger: Option<Pin<Box<Sleep>>>,
    _kept: Box<dyn Send>,
}

impl ResponseStream {
    /// The next bytes, or the end.
    pub(in crate::http) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut pipe = lock(&self.pipe);
        pipe.body = Some(cx.waker().clone());
        if !pipe.buffer.is_empty() {
            let data = pipe.buffer.split().freeze();
            let writer = pipe.writer.take();
            drop(pipe);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(data));
        }
        let end = pipe.end;
        if end == End::Open {
            return Poll::Pending;
        }
        let seen = pipe.request_over;
        self.rest = self.rest.take().or_else(|| pipe.rest.take());
        drop(pipe);
        // After a goodbye the client ends first: several proxies cut a request whose response has ended. Without one
        // the session is lost however the stream ends, and what was written has left already.
        if end == End::Closed && !seen {
            ready!(self.poll_linger(cx));
        }
        change(&self.pipe, |pipe| pipe.over = true);
        Poll::Ready(None)
    }

    /// Waits for the end of the request, but not for long.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest
            && rest.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER))).as_mut().poll(cx)
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        change(&self.pipe, |pipe| {
            pipe.over = true;
            pipe.buffer = BytesMut::new();
        });
    }
}
