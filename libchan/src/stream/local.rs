//! A stream on an io object of the user's: one call at a time, dropped when it can be of no more use.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::remote::Duplex;
use crate::cut::Cause;
use crate::sync::{Mutex, lock};

pub(super) const ONLY_READS: &str = "the stream was made from a reader: nothing can be written to it";

trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// An io object behind a lock, because its calls want `&mut`; the lock is held for one poll.
pub(super) struct Local {
    /// `None` once it was reset: dropping without `shutdown` is all an io object offers for "this was cut".
    io: Mutex<Option<Pin<Box<dyn Io>>>>,
    refuses: Option<&'static str>,
}

impl Local {
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self { io: Mutex::new(Some(Box::pin(io))), refuses: None }
    }

    pub(super) fn refusing(io: impl AsyncRead + AsyncWrite + Send + 'static, why: &'static str) -> Self {
        Self { refuses: Some(why), ..Self::new(io) }
    }

    fn with<T>(&self, poll: impl FnOnce(Pin<&mut dyn Io>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match lock(&self.io).as_mut() {
            Some(io) => poll(io.as_mut()),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl Duplex for Local {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_read(cx, buf))
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write(cx, data))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_shutdown(cx))
    }

    fn reset(&self, _why: &Cause) {
        // Taken out first: the object's own drop may do anything, so it runs without the lock.
        let io = lock(&self.io).take();
        drop(io);
    }

    /// An io object cannot be told that nobody reads; it is when both directions are over and it is dropped.
    fn stop(&self, _why: &Cause) {}

    fn refuses_writes(&self) -> Option<&'static str> {
        self.refuses
    }
}

/// The writing direction of a stream made from a reader.
pub(super) struct Refused;

impl AsyncWrite for Refused {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, _data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, ONLY_READS)))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
