//! The WebSocket carrier: binary messages, joined to one byte stream. See [`WebSocketLink`].
//!
//! Where one message ends and the next begins means nothing; a write of the session becomes one message. Both halves
//! share the socket's state, because reading may have to answer a ping or a close.

mod handshake;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use libchan::{Link, LinkInfo, LinkReader, LinkWriter};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

pub(super) use self::handshake::{answer, is_extended_connect, is_upgrade};
use super::gather::{gather, hand_out};
use crate::writing::{refuse_descriptors, try_by_poll};

/// The longest message and the longest frame that a peer may send. It is held in memory until it is whole, so this
/// bounds what a peer can make us hold.
const MAX_MESSAGE: usize = 1 << 20;

/// The longest message that we send.
const CHUNK: usize = 128 * 1024;

/// What one read takes from the stream at the most. The library clears so much memory before every read, so more is
/// not faster.
const READ_BUFFER: usize = 32 * 1024;

/// A WebSocket as a link.
pub struct WebSocketLink<S: AsyncRead + AsyncWrite + Unpin> {
    info: LinkInfo,
    socket: Socket<S>,
}

impl<S> WebSocketLink<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Takes over a stream on which an http server has accepted the upgrade.
    pub async fn accept(stream: S, info: LinkInfo) -> Self {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
        Self::over(socket, info)
    }

    fn over(socket: WebSocketStream<S>, info: LinkInfo) -> Self {
        let state =
            State { socket, chunk: Bytes::new(), scratch: BytesMut::new(), end: End::Open, kept: None };
        Self { info, socket: Arc::new(Mutex::new(state)) }
    }

    /// Keeps this for as long as the link lives.
    pub(super) fn keeping(self, kept: Box<dyn Send>) -> Self {
        lock(&self.socket).kept = Some(kept);
        self
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // A message is written at once: the session has gathered small ones already.
        .write_buffer_size(0)
        .max_write_buffer_size(4 * CHUNK)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

impl<S> Link for WebSocketLink<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        (Box::new(Reader(self.socket.clone())), Box::new(Writer(self.socket)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> std::fmt::Debug for WebSocketLink<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocketLink").field("info", &self.info).finish_non_exhaustive()
    }
}

type Socket<S> = Arc<Mutex<State<S>>>;

fn lock<S: AsyncRead + AsyncWrite + Unpin>(socket: &Mutex<State<S>>) -> MutexGuard<'_, State<S>> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

struct State<S: AsyncRead + AsyncWrite + Unpin> {
    socket: WebSocketStream<S>,
    /// What has arrived and was not read.
    chunk: Bytes,
    scratch: BytesMut,
    end: End,
    kept: Option<Box<dyn Send>>,
}

/// How the socket ends.
enum End {
    Open,
    /// We have said close, in good order; the peer's is awaited.
    Closing,
    /// The peer has said close, and our answer has to leave.
    Answering(Option<CloseFrame>),
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> State<S> {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(failed)
    }

    /// The next bytes are in `chunk`, or there are no more.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let End::Answering(frame) = &self.end {
                let outcome = closed(frame.as_ref());
                let flushed = ready!(self.poll_flush(cx));
                self.end = End::Over;
                return Poll::Ready(flushed.and(outcome));
            }
            let message = match &self.end {
                End::Over => None,
                _ => ready!(Pin::new(&mut self.socket).poll_next(cx)),
            };
            match message {
                Some(Ok(Message::Binary(data))) => {
                    self.chunk = data;
                    if !self.chunk.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Some(Ok(Message::Text(_))) => {
                    let text = "the peer sent a text message; libchan sends binary ones";
                    return Poll::Ready(Err(self.fail(cx, CloseCode::Protocol, text)));
                }
                Some(Ok(Message::Close(frame))) => match self.end {
                    End::Closing => self.end = End::Over,
                    _ => self.end = End::Answering(frame),
                },
                // The library answers pings.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(self.read_failed(cx, error)),
                None => {
                    self.end = End::Over;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn read_failed(&mut self, cx: &mut Context<'_>, error: Error) -> io::Result<()> {
        let closing = matches!(self.end, End::Closing);
        match error {
            // The stream has ended without a close: what that means, the session knows.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {}
            // After our close nothing that goes wrong has a meaning.
            _ if closing => {}
            Error::Capacity(_) => {
                let text = format!("the peer sent a message of more than {MAX_MESSAGE} bytes");
                return Err(self.fail(cx, CloseCode::Size, &text));
            }
            Error::Protocol(error) => {
                return Err(self.fail(
                    cx,
                    CloseCode::Protocol,
                    &format!("the peer broke the WebSocket protocol: {error}"),
                ));
            }
            Error::Utf8(_) => {
                let text = "the peer sent a text, or a close with a reason, that is not UTF-8";
                return Err(self.fail(cx, CloseCode::Invalid, text));
            }
            error => {
                self.end = End::Over;
                return Err(failed(error));
            }
        }
        self.end = End::Over;
        Ok(())
    }

    /// Tells the peer what it did, if that can leave now.
    fn fail(&mut self, cx: &mut Context<'_>, code: CloseCode, text: &str) -> io::Error {
        self.say_close(code, text);
        let _ = self.poll_flush(cx);
        self.end = End::Over;
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    fn say_close(&mut self, code: CloseCode, reason: &str) {
        let frame = CloseFrame { code, reason: reason.into() };
        // It fails where the socket is closed already, which is as good.
        let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for State<S> {
    fn drop(&mut self) {
        if let End::Open = self.end {
            // The session ends without a goodbye: one attempt to say so, no waiting.
            self.say_close(CloseCode::Away, "");
            let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// What a close by the peer means: "normal" and "going away" are an end like any other, and only the session knows
/// whether it is a clean one.
fn closed(frame: Option<&CloseFrame>) -> io::Result<()> {
    match frame {
        Some(frame) if !matches!(frame.code, CloseCode::Normal | CloseCode::Away | CloseCode::Status) => {
            let code = u16::from(frame.code);
            Err(io::Error::other(format!("the peer closed the WebSocket with {code}: {}", frame.reason)))
        }
        _ => Ok(()),
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        Error::Protocol(ProtocolError::SendAfterClosing) => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::other(error.to_string()),
    }
}

struct Reader<S: AsyncRead + AsyncWrite + Unpin>(Socket<S>);

impl<S> LinkReader for Reader<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        if state.chunk.is_empty() {
            ready!(state.poll_chunk(cx))?;
        }
        Poll::Ready(Ok(hand_out(&mut state.chunk, buf)))
    }
}

struct Writer<S: AsyncRead + AsyncWrite + Unpin>(Socket<S>);

impl<S> LinkWriter for Writer<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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
        let mut state = lock(&self.0);
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut state.socket).poll_ready(cx)).map_err(failed)?;
        let state = &mut *state;
        let count = gather(bufs, CHUNK, &mut state.scratch);
        let data = state.scratch.split().freeze();
        Pin::new(&mut state.socket).start_send(Message::Binary(data)).map_err(failed)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        if let End::Open = state.end {
            state.say_close(CloseCode::Normal, "");
            state.end = End::Closing;
        }
        ready!(state.poll_flush(cx))?;
        // The peer's close says that all has arrived. The reader waits for it already, with the session's waker.
        match state.end {
            End::Over => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn driver_only(&self) -> bool {
        true
    }
}
