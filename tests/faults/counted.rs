//! A link that counts what a session does with it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use libchan_tests::*;

/// What a session does with its link.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Calls of either half.
    calls: AtomicUsize,
    /// Bytes that the link has taken.
    left: AtomicUsize,
    /// Writes for which the link had no room.
    blocked: AtomicUsize,
}

impl Counts {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn blocked(&self) -> usize {
        self.blocked.load(Ordering::Relaxed)
    }

    fn note(&self, result: &io::Result<usize>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(count) => self.left.fetch_add(*count, Ordering::Relaxed),
            Err(_) => self.blocked.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// A link, or a half of one, that counts.
pub(crate) struct Counted<L: ?Sized> {
    counts: Arc<Counts>,
    inner: Box<L>,
}

impl Counted<dyn Link> {
    pub(crate) fn new(inner: Box<dyn Link>) -> (Self, Arc<Counts>) {
        let counts = Arc::<Counts>::default();
        (Self { counts: counts.clone(), inner }, counts)
    }
}

impl Link for Counted<dyn Link> {
    fn info(&self) -> LinkInfo {
        self.inner.info()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let (reader, writer) = self.inner.split();
        let counts = self.counts;
        (
            Box::new(Counted { counts: counts.clone(), inner: reader }),
            Box::new(Counted { counts, inner: writer }),
        )
    }
}

impl LinkReader for Counted<dyn LinkReader> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.poll_read(cx, buf, descriptors)
    }
}

impl LinkWriter for Counted<dyn LinkWriter> {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        let result = self.inner.try_write(bufs, descriptors);
        self.counts.note(&result);
        result
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let result = self.inner.poll_write(cx, bufs, descriptors);
        match &result {
            Poll::Ready(result) => self.counts.note(result),
            Poll::Pending => self.counts.note(&Err(io::ErrorKind::WouldBlock.into())),
        }
        result
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_close(cx)
    }

    fn driver_only(&self) -> bool {
        self.inner.driver_only()
    }
}
