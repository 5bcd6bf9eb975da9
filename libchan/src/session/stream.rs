//! A byte stream that lives on a session.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use libchan_proto::{Reason, StreamError, StreamRead};
use tokio::io::ReadBuf;
use tokio::runtime::Handle;

use super::leg::Leg;
use super::shared::State;
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

    fn failed(reason: &Reason) -> io::Error {
        let kind = match reason.code {
            0 => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::ConnectionReset,
        };
        let text =
            if reason.text.is_empty() { "the stream was ended by its other side" } else { &reason.text };
        io::Error::new(kind, text.to_owned())
    }

    fn write_error(error: StreamError) -> io::Error {
        match error {
            StreamError::Stopped(reason) => Self::failed(&Reason { code: 0, ..reason }),
            StreamError::Finished => io::Error::new(io::ErrorKind::BrokenPipe, "the stream was shut down"),
            StreamError::Lost => io::Error::new(io::ErrorKind::ConnectionReset, "the session was lost"),
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
        self.leg.session.quiet(|state| {
            let room = buf.remaining();
            match state.machine.stream_recv(self.leg.key, room, &mut |bytes| buf.put_slice(bytes)) {
                StreamRead::Data(n) => {
                    self.read.add(n);
                    Poll::Ready(Ok(()))
                }
                StreamRead::End => Poll::Ready(Ok(())),
                StreamRead::Failed(reason) => Poll::Ready(Err(Self::failed(&reason))),
                StreamRead::Pending => {
                    reader(state, &self.leg, cx.waker());
                    self.read.forget();
                    Poll::Pending
                }
            }
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
            Err(error) => Poll::Ready(Err(Self::write_error(error))),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.leg.session.lock();
        if state.over.is_some() {
            return Poll::Ready(Err(Self::write_error(StreamError::Lost)));
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

    fn reset(&self, text: &str) {
        let reason = Reason { code: libchan_proto::code::DISCONNECTED, text: text.to_owned() };
        self.leg.session.quiet(|state| state.machine.stream_finish(self.leg.key, reason));
    }

    fn stop(&self, text: &str) {
        let reason = Reason { code: libchan_proto::code::NONE, text: text.to_owned() };
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
        let port = self.leg.session.quiet(|state| {
            state.machine.stream_finish(self.leg.key, Reason::none());
            state.machine.stream_stop(self.leg.key, Reason::none());
            state.ports.take(self.leg.key)
        });
        drop(port);
    }
}
