//! A byte stream that lives on a session.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use libchan_proto::{Reason, StreamError, StreamRead};
use tokio::io::ReadBuf;
use tokio::runtime::Handle;

use super::leg::Leg;
use super::shared::State;
use crate::cut::{self, Cause, Cut};
use crate::give_way::Effort;
use crate::stream::RemoteStream;

pub(super) struct SessionStream {
    leg: Leg,
    read: Effort,
    written: Effort,
}

impl SessionStream {
    pub(super) fn attach(leg: Leg) -> Arc<dyn RemoteStream> {
        {
            let mut state = leg.session.lock();
            if state.ports.stream(leg.key).is_none() {
                state.ports.set_stream(leg.key);
            }
        }
        Arc::new(Self { leg, read: Effort::default(), written: Effort::default() })
    }

    fn write_error(&self, error: StreamError) -> io::Error {
        match error {
            StreamError::Stopped(reason) => self.leg.session.cause(reason).into_write_error(),
            StreamError::Finished => io::Error::new(io::ErrorKind::BrokenPipe, "the stream was shut down"),
            StreamError::Lost => match self.leg.session.end_so_far() {
                Some(error) => Cause::session_over(error).into_write_error(),
                None => Cause::disconnected("").into_write_error(),
            },
        }
    }
}

fn reader(state: &mut State, leg: &Leg, waker: &Waker) {
    if let Some(stream) = state.ports.stream(leg.key) {
        stream.reader = Some(waker.clone());
    }
}

fn writer(state: &mut State, leg: &Leg, waker: &Waker) {
    if let Some(stream) = state.ports.stream(leg.key) {
        stream.writer = Some(waker.clone());
    }
}

impl RemoteStream for SessionStream {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.read.poll_turn(cx.waker()));
        let reason = ready!(self.leg.session.quiet(|state| {
            let room = buf.remaining();
            match state.machine.stream_recv(self.leg.key, room, &mut |bytes| buf.put_slice(bytes)) {
                StreamRead::Data(n) => {
                    self.read.add(n);
                    Poll::Ready(None)
                }
                StreamRead::End => Poll::Ready(None),
                StreamRead::Failed(reason) => Poll::Ready(Some(reason)),
                StreamRead::Pending => {
                    reader(state, &self.leg, cx.waker());
                    self.read.forget();
                    Poll::Pending
                }
            }
        }));
        Poll::Ready(match reason {
            None => Ok(()),
            Some(reason) => Err(self.leg.session.cause(reason).into_read_error()),
        })
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.written.poll_turn(cx.waker()));
        let state = self.leg.session.lock();
        let mut state = match self.leg.session.write_through(state, self.leg.key, data) {
            Ok(n) => {
                self.written.add(n);
                return Poll::Ready(Ok(n));
            }
            Err(state) => state,
        };
        match state.machine.stream_send(self.leg.key, data, false) {
            Ok(0) => {
                self.written.forget();
                writer(&mut state, &self.leg, cx.waker());
                Poll::Pending
            }
            Ok(n) => {
                self.leg.session.after_send(state, None);
                self.written.add(n);
                Poll::Ready(Ok(n))
            }
            Err(error) => {
                drop(state);
                Poll::Ready(Err(self.write_error(error)))
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.leg.session.lock();
        if state.over.is_some() {
            drop(state);
            return Poll::Ready(Err(self.write_error(StreamError::Lost)));
        }
        if state.machine.stream_flushed(self.leg.key) {
            return Poll::Ready(Ok(()));
        }
        writer(&mut state, &self.leg, cx.waker());
        Poll::Pending
    }

    fn poll_shutdown(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // END follows what is buffered; the peer answers whenever it likes.
        self.leg.session.quiet(|state| state.machine.stream_finish(self.leg.key, Reason::none()));
        Poll::Ready(Ok(()))
    }

    fn preload(&self, data: &[u8]) {
        self.leg.session.quiet(|state| {
            // A stream that is gone already says so at the next write.
            let _ = state.machine.stream_send(self.leg.key, data, true);
        });
    }

    fn reset(&self, why: &Cause) {
        let reason = why.clone().into_reason();
        self.leg.session.quiet(|state| state.machine.stream_finish(self.leg.key, reason));
    }

    fn stop(&self, why: &Cause) {
        let reason = why.clone().into_reason();
        self.leg.session.quiet(|state| state.machine.stream_stop(self.leg.key, reason));
    }

    fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.leg.session.lock();
        if state.machine.stream_stopped(self.leg.key) {
            return Poll::Ready(());
        }
        writer(&mut state, &self.leg, cx.waker());
        Poll::Pending
    }

    fn runtime(&self) -> Option<Handle> {
        Some(self.leg.session.runtime.clone())
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        // A clean end is said by `shutdown`: then this one comes too late.
        let marked = cut::now();
        let unread = marked.clone().map_or_else(Reason::none, Cause::into_reason);
        let unfinished = marked.unwrap_or_else(|| Cut::Abandoned.cause()).into_reason();
        let port = self.leg.session.quiet(|state| {
            state.machine.stream_finish(self.leg.key, unfinished);
            state.machine.stream_stop(self.leg.key, unread);
            state.ports.take(self.leg.key)
        });
        drop(port);
    }
}
