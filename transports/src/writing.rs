//! What the writing halves of links have in common.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};

use libchan::LinkWriter;

/// Fails for a transport that passes bytes alone, if there are descriptors. They stay where they are.
pub(crate) fn refuse_descriptors(transport: &str, descriptors: &VecDeque<OwnedFd>) -> io::Result<()> {
    match descriptors.is_empty() {
        true => Ok(()),
        false => {
            let text = format!("{transport} cannot pass descriptors");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// [`LinkWriter::try_write`] by way of `poll_write`, for a link that has no write without a waker.
pub(crate) fn try_by_poll(
    writer: &mut impl LinkWriter,
    bufs: &[IoSlice<'_>],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    at_once(writer.poll_write(&mut Context::from_waker(Waker::noop()), bufs, descriptors))
}

/// What a poll has come to, or that it would have had to wait.
pub(crate) fn at_once<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
