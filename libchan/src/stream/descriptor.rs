//! A passed descriptor that the receiving type wants as a stream.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::{ByteStream, RemoteStream, StreamCore};
use crate::cut::Cause;
use crate::fd::Fd;

/// The stream of a descriptor, in the place of a session's stream; or why it could not be made.
pub(crate) struct DescriptorStream(Result<Arc<StreamCore>, (io::ErrorKind, String)>);

impl DescriptorStream {
    pub(crate) fn open(fd: Fd) -> Arc<dyn RemoteStream> {
        let opened = fd.into_stream().map(ByteStream::into_core);
        Arc::new(Self(opened.map_err(|error| (error.kind(), error.to_string()))))
    }

    fn core(&self) -> io::Result<&StreamCore> {
        self.0.as_deref().map_err(|(kind, text)| io::Error::new(*kind, text.clone()))
    }
}

impl RemoteStream for DescriptorStream {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.core()?.poll_read(cx, buf)
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.core()?.poll_write(cx, data)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core()?.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core()?.poll_shutdown(cx)
    }

    fn preload(&self, _data: &[u8]) {
        // A stream that arrived has nothing buffered from before.
    }

    fn reset(&self, why: &Cause) {
        if let Ok(core) = self.core() {
            core.duplex().reset(why);
        }
    }

    fn stop(&self, why: &Cause) {
        if let Ok(core) = self.core() {
            core.duplex().stop(why);
        }
    }
}
