//! A socket of either kind, for libraries that take any stream. Counts reads and writes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::count;
use crate::net::{Transport, tcp_pair, unix_pair};

pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Two connected sockets, the client's first.
pub async fn pair(transport: Transport) -> (Socket, Socket) {
    match transport {
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

macro_rules! either {
    ($self:ident, $socket:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($socket) => $call,
            Socket::Unix($socket) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = either!(self, socket => Pin::new(socket).poll_read(cx, buf));
        if result.is_ready() {
            count::read();
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        count::write();
        either!(self, socket => Pin::new(socket).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        count::write();
        either!(self, socket => Pin::new(socket).poll_write_vectored(cx, bufs))
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
