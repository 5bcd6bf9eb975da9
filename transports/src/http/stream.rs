//! What http runs over: tcp, or TLS over tcp. One type for both, so that the http libraries are compiled once.

use std::io::{self, IoSlice};
use std::pin::Pin;
#[cfg(feature = "_tls")]
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "_tls")]
use tokio_rustls::TlsStream;

use crate::error::DialError;
#[cfg(feature = "_tls")]
use crate::tls::TlsError;
use crate::url::HttpAddress;

/// A connection.
pub(super) enum Stream {
    Clear(TcpStream),
    #[cfg(feature = "_tls")]
    Tls(Box<TlsStream<TcpStream>>, Fault),
}

impl Stream {
    #[cfg(feature = "_tls")]
    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream), Fault::default())
    }

    /// Where the stream will say what went wrong in terms of TLS.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Clear(_) => Fault::default(),
            #[cfg(feature = "_tls")]
            Self::Tls(_, fault) => fault.clone(),
        }
    }
}

/// What TLS had to say after the handshake: a server's reason to refuse a client's certificate comes only then, and
/// the http libraries would hide it in an error of theirs.
#[derive(Clone, Default)]
pub(super) struct Fault(#[cfg(feature = "_tls")] Arc<OnceLock<TlsError>>);

impl Fault {
    /// The error of a dial, in terms of TLS where that is what failed.
    pub(super) fn explain(&self, error: DialError, address: &HttpAddress) -> DialError {
        #[cfg(feature = "_tls")]
        if let Some(source) = self.0.get() {
            return DialError::Tls { url: address.to_string(), source: source.clone() };
        }
        let _ = address;
        error
    }

    #[cfg(feature = "_tls")]
    fn note(&self, error: &io::Error) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            let _ = self.0.set(TlsError::from(error));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "_tls")]
            Self::Tls(stream, fault) => {
                Pin::new(stream).poll_read(cx, buf).map(|read| read.inspect_err(|error| fault.note(error)))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(feature = "_tls")]
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(feature = "_tls")]
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "_tls")]
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "_tls")]
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
