//! The tcp transport: `tcp://host:port`. Neither encrypted nor authenticated; use it on networks you trust.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use libchan::{Link, LinkInfo, LinkReader, LinkWriter, Role, Session, SessionError};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout_at;

use crate::authorize::Gate;
use crate::dial::DialOptions;
use crate::error::{AcceptError, DialError, ListenError};
use crate::listen::{Acceptor, Arrival, ListenOptions, Trouble};
use crate::places::Place;
use crate::race;
use crate::transfer::transfer;
use crate::url::{TcpAddress, UrlError};
use crate::writing::refuse_descriptors;

/// The kernel's limit of slices a call; the standard library passes no more.
const MAX_SLICES: usize = 1024;

/// A tcp connection as a link.
#[derive(Debug)]
pub struct TcpLink {
    info: LinkInfo,
    reader: Reader,
    writer: Writer,
}

impl TcpLink {
    /// Takes over a connection and turns Nagle's algorithm off: the session does its own gathering, and a small
    /// message must not wait for the acknowledgement of the last one.
    ///
    /// # Errors
    /// The connection is already broken.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let info = LinkInfo::new(format!("tcp://{}", stream.peer_addr()?));
        let (reader, writer) = stream.into_split();
        Ok(Self { info, reader: Reader(reader), writer: Writer(writer) })
    }
}

impl Link for TcpLink {
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        (Box::new(self.reader), Box::new(self.writer))
    }
}

#[derive(Debug)]
struct Reader(OwnedReadHalf);

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        // tokio's poll_read, and not poll_ready with try_read: it remembers that a short read emptied the socket
        // and so saves asking once more.
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let stream: &TcpStream = self.0.as_ref();
        loop {
            // Registers the waker before it says Pending.
            ready!(stream.poll_read_ready(cx))?;
            match receive(stream, bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// One read into several buffers.
fn receive(stream: &TcpStream, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let wanted = bufs.iter().map(|buf| buf.len()).sum();
    let receive_now = || Ok((stream.try_read_vectored(bufs)?, true));
    transfer(|call| stream.try_io(Interest::READABLE, call), wanted, receive_now)
}

#[derive(Debug)]
struct Writer(OwnedWriteHalf);

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        refuse_descriptors("tcp", descriptors)?;
        // The vectored call costs the kernel more, and nearly every write is one buffer.
        match bufs {
            [buf] => self.0.try_write(buf),
            bufs => send(self.0.as_ref(), bufs),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        refuse_descriptors("tcp", descriptors)?;
        if let [buf] = bufs {
            return Pin::new(&mut self.0).poll_write(cx, buf);
        }
        let stream: &TcpStream = self.0.as_ref();
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match send(stream, bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// One write of several buffers.
fn send(stream: &TcpStream, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let wanted = bufs.iter().take(MAX_SLICES).map(|buf| buf.len()).sum();
    let send_now = || Ok((stream.try_write_vectored(bufs)?, true));
    transfer(|call| stream.try_io(Interest::WRITABLE, call), wanted, send_now)
}

/// Dials what follows `tcp:`.
pub(crate) async fn dial(rest: &str, options: DialOptions) -> Result<Session, DialError> {
    let address = TcpAddress::parse(rest)?;
    if address.port == 0 {
        return Err(UrlError::PortZero.into());
    }
    let url = address.to_string();
    let stream = connect(&address.host, address.port, &url, &options).await?;
    let link = TcpLink::new(stream).map_err(|error| DialError::connecting(url.clone(), error))?;
    match Session::start(link, Role::Dialer, options.session_now()).await {
        Ok(session) => Ok(session),
        Err(error) if speaks_tls(&error) => Err(DialError::SpeaksTls { url }),
        Err(error) => Err(DialError::starting(url, error)),
    }
}

/// Whether the peer began with a TLS record: a client's hello, or a server's alert that it does not understand us.
fn speaks_tls(error: &SessionError) -> bool {
    matches!(error, SessionError::NotLibchan { first_bytes } if matches!(first_bytes[..], [0x15 | 0x16, 3, ..]))
}

/// Connects to whichever address of the host answers first, in the time that the dial has left. `url` is what errors name.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    url: &str,
    options: &DialOptions,
) -> Result<TcpStream, DialError> {
    let deadline = options.deadline();
    let found = timeout_at(deadline, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| options.timed_out(url))?.map_err(|error| host_not_found(host, error))?;
    let addresses = race::interleave(found);
    if addresses.is_empty() {
        return Err(host_not_found(host, io::ErrorKind::NotFound.into()));
    }
    let connected = race::first(&addresses, deadline, TcpStream::connect::<SocketAddr>).await;
    connected.map_err(|failed| race::failure(url, options, failed))
}

fn host_not_found(host: &str, error: io::Error) -> DialError {
    DialError::HostNotFound { host: host.to_owned(), source: error.into() }
}

/// Listens on what follows `tcp:`.
pub(crate) async fn listen(rest: &str, options: &ListenOptions) -> Result<Box<dyn Acceptor>, ListenError> {
    let address = TcpAddress::parse(rest)?;
    let (listener, local) = bind(&address.host, address.port, &address.to_string(), options).await?;
    let (url, gate) = (format!("tcp://{local}"), Gate::of(options));
    Ok(Box::new(TcpAcceptor { listener, url, gate, trouble: Trouble::default() }))
}

/// A listening socket on the first address of the host that can be had, and that address. `url` is what errors name.
pub(crate) async fn bind(
    host: &str,
    port: u16,
    url: &str,
    options: &ListenOptions,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |error| ListenError::binding(url.to_owned(), error);
    if let Some(socket) = &options.socket {
        let listener = socket.tcp(url)?;
        let local = listener.local_addr().map_err(failed)?;
        return Ok((listener, local));
    }
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| ListenError::HostNotFound { host: host.to_owned(), source: error.into() })?;
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for address in found {
        outcome = bind_one(address, options.kernel_backlog());
        if outcome.is_ok() {
            break;
        }
    }
    let listener = outcome.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

fn bind_one(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that starts again must not wait for the last connections of the one before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

struct TcpAcceptor {
    listener: TcpListener,
    url: String,
    gate: Gate,
    trouble: Trouble,
}

#[async_trait]
impl Acceptor for TcpAcceptor {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> Result<Arrival, AcceptError> {
        let (stream, peer) = self.trouble.accept(|| self.listener.accept()).await?;
        let (peer, gate) = (format!("tcp://{peer}"), self.gate.clone());
        Ok(Box::new(|place| Box::pin(async move { arrive(stream, peer, gate, &place).await })))
    }
}

/// The handshake of one client.
async fn arrive(stream: TcpStream, peer: String, gate: Gate, place: &Place) -> Result<Session, AcceptError> {
    // A peer that has reset the connection already is that peer's failure, not the listener's.
    let link = match TcpLink::new(stream) {
        Err(error) => return Err(AcceptError::PeerGone { peer, source: error.into() }),
        Ok(link) => link,
    };
    match gate.begin(link, place).await {
        Err(AcceptError::Handshake { source, .. }) if speaks_tls(&source) => {
            Err(AcceptError::SpeaksTls { peer })
        }
        begun => begun,
    }
}

#[cfg(test)]
mod tests;
