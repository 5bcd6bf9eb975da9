//! A TLS stream as a link.
//!
//! The two halves share the connection, because TLS does: what is read may have to be answered, and keys
//! change. So only the driver writes (`driver_only`), and the lock between the halves is never waited for.
//!
//! Where the bytes are, and who moves them on:
//! * Plaintext is taken only while no ciphertext waits, so that records are full and a peer that does not
//!   read stops the writer. What is accepted is encrypted at once and pushed to the socket as far as that
//!   takes it.
//! * What the socket did not take leaves with the next poll of either half: a session polls the reading half
//!   in every turn, so nothing waits for a flush.
//! * Ciphertext is read in large pieces; rustls alone would ask the socket for 4 KiB at a time.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use libchan::{Link, LinkInfo, LinkReader, LinkWriter};
use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::error::TlsError;
use crate::writing::{at_once, refuse_descriptors, try_by_poll};

/// Ciphertext read at a time, in bytes: two full records.
const READ_SIZE: usize = 32 * 1024;
/// Plaintext encrypted at a time, in bytes: eight full records.
const WRITE_SIZE: usize = 128 * 1024;

/// A TLS stream as a link.
#[derive(Debug)]
pub struct TlsLink<S> {
    info: LinkInfo,
    tls: Arc<Mutex<Tls<S>>>,
    fault: Fault,
}

/// What the peer said, or did, after the handshake that ended the connection: the reason a server gives for
/// refusing a client's certificate comes only then (TLS 1.3).
pub(super) type Fault = Arc<OnceLock<TlsError>>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsLink<S> {
    /// Takes over a stream whose handshake is done. `peer` is what people see as the other end's address.
    /// Nagle's algorithm is the caller's to turn off.
    pub fn new(stream: TlsStream<S>, peer: impl Into<String>) -> Self {
        let info = peer_info(&stream, peer);
        Self::known(stream, info)
    }

    /// As [`new`](Self::new), with what is known of the peer.
    pub(super) fn known(stream: TlsStream<S>, info: LinkInfo) -> Self {
        let (io, mut connection) = match stream {
            TlsStream::Client(stream) => {
                let (io, connection) = stream.into_inner();
                (io, Connection::Client(connection))
            }
            TlsStream::Server(stream) => {
                let (io, connection) = stream.into_inner();
                (io, Connection::Server(connection))
            }
        };
        connection.set_buffer_limit(Some(WRITE_SIZE));
        let fault = Fault::default();
        let tls = Tls {
            io,
            connection,
            arrived: vec![0; READ_SIZE].into(),
            unread: 0..0,
            heard: false,
            closing: false,
            broken: None,
            fault: fault.clone(),
        };
        Self { info, tls: Arc::new(Mutex::new(tls)), fault }
    }

    /// Where the link will say what went wrong in terms of TLS.
    pub(super) fn fault(&self) -> Fault {
        self.fault.clone()
    }
}

/// What is known of the other end of a stream whose handshake is done.
pub(crate) fn peer_info<S>(stream: &TlsStream<S>, peer: impl Into<String>) -> LinkInfo {
    let info = LinkInfo::new(peer).secured();
    match stream.get_ref().1.peer_certificates() {
        Some(chain) => info.with_certificates(chain.iter().map(|certificate| certificate.to_vec())),
        None => info,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Link for TlsLink<S> {
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        (Box::new(Half(self.tls.clone())), Box::new(Half(self.tls)))
    }
}

/// The reading half and the writing half: which of them, the trait says.
struct Half<S>(Arc<Mutex<Tls<S>>>);

impl<S> Half<S> {
    fn lock(&self) -> MutexGuard<'_, Tls<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> LinkReader for Half<S> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> LinkWriter for Half<S> {
    /// Only for a last word: it takes the place of the waker that waits for room.
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        try_by_poll(self, bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        refuse_descriptors("tls", descriptors)?;
        self.lock().poll_write(cx, bufs)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut tls = self.lock();
        ready!(tls.poll_push(cx))?;
        Pin::new(&mut tls.io).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_close(cx)
    }

    fn driver_only(&self) -> bool {
        true
    }
}

/// What the halves share.
#[derive(Debug)]
struct Tls<S> {
    io: S,
    connection: Connection,
    arrived: Box<[u8]>,
    /// Which of `arrived` rustls has not had yet.
    unread: std::ops::Range<usize>,
    /// The peer has said something since the handshake.
    heard: bool,
    /// Our close_notify is written.
    closing: bool,
    /// What broke the connection, told after what had arrived before it.
    broken: Option<rustls::Error>,
    fault: Fault,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tls<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // A failure to write shows in reading too, after what the peer has still said.
        let _ = self.poll_push(cx);
        let mut filled = 0;
        loop {
            match self.connection.reader().read(&mut buf[filled..]) {
                // The peer's close_notify, or a full buffer.
                Ok(0) => return Poll::Ready(Ok(filled)),
                Ok(read) => filled += read,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                Err(_) if !self.unread.is_empty() => self.decrypt(cx)?,
                Err(_) if filled > 0 => return Poll::Ready(Ok(filled)),
                Err(_) => {
                    if let Some(error) = self.broken.clone() {
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                    }
                    // An end without close_notify is for the session to judge: it has a goodbye of its own.
                    if ready!(self.poll_fill(cx))? == 0 {
                        return Poll::Ready(Ok(0));
                    }
                }
            }
        }
    }

    /// Reads ciphertext. 0: the connection has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(&mut self.arrived);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        self.unread = 0..read;
        Poll::Ready(Ok(read))
    }

    /// Gives rustls ciphertext until there is plaintext, or no more ciphertext.
    fn decrypt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.unread.is_empty() {
            let mut rest = &self.arrived[self.unread.clone()];
            self.unread.start += self.connection.read_tls(&mut rest)?;
            match self.connection.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() > 0 => {
                    self.heard = true;
                    break;
                }
                Ok(state) if state.peer_has_closed() => self.unread = 0..0,
                Ok(_) => {}
                Err(error) => {
                    let _ = self.fault.set(TlsError::from(&error));
                    self.broken = Some(error);
                    self.unread = 0..0;
                    // The alert that tells the peer: one attempt.
                    let _ = self.poll_push(cx);
                }
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_push(cx)).or_else(|error| self.unless_unheard(error))?;
        if self.connection.wants_write() {
            return Poll::Pending;
        }
        let accepted = self.connection.writer().write_vectored(bufs)?;
        if let Poll::Ready(Err(error)) = self.poll_push(cx) {
            self.unless_unheard(error)?;
        }
        Poll::Ready(Ok(accepted))
    }

    /// Until the peer has been heard, a failed write is not an error: the alert that says why the peer has
    /// gone may still have to be read, and a peer that is only gone shows in reading, too.
    fn unless_unheard(&self, error: io::Error) -> io::Result<()> {
        if self.heard { Err(error) } else { Ok(()) }
    }

    /// Writes what ciphertext waits.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Socket { io: &mut self.io, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closing, true) {
            self.connection.send_close_notify();
        }
        ready!(self.poll_push(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// An asynchronous stream as rustls wants to write to it.
struct Socket<'a, 'b, S> {
    io: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncWrite + Unpin> Write for Socket<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.io).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.io).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        at_once(Pin::new(&mut *self.io).poll_flush(self.cx))
    }
}
