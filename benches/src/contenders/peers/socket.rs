//! A socket or a pipe in memory, for libraries that take any stream. Counts reads and writes of sockets.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::count;
use crate::net::{Transport, memory_pair, tcp_pair, unix_pair};

pub enum Socket {
    Memory(DuplexStream),
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Two connected ends, the client's first.
pub async fn pair(transport: Transport) -> (Socket, Socket) {
    match transport {
        Transport::Memory => {
            let (client, server) = memory_pair();
            (Socket::Memory(client), Socket::Memory(server))
        }
        Transport::Tcp => {
            let (client, server) = tcp_pair().await.expect("tcp connects");
            (Socket::Tcp(client), Socket::Tcp(server))
        }
        Transport::Unix => {
            let (client, server) = unix_pair().await.expect("unix connects");
            (Socket::Unix(client), Socket::Unix(server))
        }
    }
}

/// The same call of whichever it is; `counted` is what becomes of it on a socket, where it is a system call.
macro_rules! either {
    ($self:ident, $socket:ident => $call:expr) => {
        either!($self, $socket => $call, std::convert::identity)
    };
    ($self:ident, $socket:ident => $call:expr, $counted:expr) => {
        match $self.get_mut() {
            Socket::Memory($socket) => $call,
            Socket::Tcp($socket) => $counted($call),
            Socket::Unix($socket) => $counted($call),
        }
    };
}

/// A read that was not refused.
fn read<T>(result: Poll<T>) -> Poll<T> {
    if result.is_ready() {
        count::read();
    }
    result
}

/// Any attempt to write.
fn written<T>(result: Poll<T>) -> Poll<T> {
    count::write();
    result
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(socket).poll_read(cx, buf), read)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, socket => Pin::new(socket).poll_write(cx, buf), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, socket => Pin::new(socket).poll_write_vectored(cx, bufs), written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}
