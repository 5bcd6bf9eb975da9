//! A link that counts reads and writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use libchan::{Link, LinkInfo, LinkReader, LinkWriter};

use crate::count;

pub struct Counted<L>(pub L);

struct CountedReader(Box<dyn LinkReader>);

struct CountedWriter(Box<dyn LinkWriter>);

impl<L: Link> Link for Counted<L> {
    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let (reader, writer) = Box::new(self.0).split();
        (Box::new(CountedReader(reader)), Box::new(CountedWriter(writer)))
    }
}

impl LinkReader for CountedReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let result = self.0.poll_read(cx, buf, descriptors);
        if result.is_ready() {
            count::read();
        }
        result
    }

    fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let result = self.0.poll_read_vectored(cx, bufs, descriptors);
        if result.is_ready() {
            count::read();
        }
        result
    }
}

impl LinkWriter for CountedWriter {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        count::write();
        self.0.try_write(bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        count::write();
        self.0.poll_write(cx, bufs, descriptors)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }

    fn driver_only(&self) -> bool {
        self.0.driver_only()
    }
}
