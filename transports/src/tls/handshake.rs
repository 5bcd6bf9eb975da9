//! The handshake over any stream, for every transport that stands on TLS.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::client::TlsClientOptions;
use super::error::{TlsConfigError, TlsError};
use super::server::TlsServer;

/// Why a client has no TLS stream.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Our settings are wrong.
    Config(TlsConfigError),
    /// The handshake failed.
    Handshake(TlsError),
}

/// A client's handshake with `host`, offering the protocols of `alpn`, of which the server has to choose one.
/// Cancel-safe: dropping the future drops `stream`.
pub(crate) async fn connect_tls<S>(
    stream: S,
    host: &str,
    options: &TlsClientOptions,
    alpn: &[&[u8]],
) -> Result<TlsStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = options.name(host).map_err(ConnectError::Config)?;
    let prepared = match options.prepared() {
        Some(prepared) => prepared,
        None => {
            let reading = options.clone();
            let read = tokio::task::spawn_blocking(move || reading.prepare()).await;
            // Only a runtime that shuts down drops the task before it has run.
            read.unwrap_or_else(|_| options.prepare()).map_err(ConnectError::Config)?
        }
    };
    let (config, refused) = prepared.connection(alpn);
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => agreed(stream.into(), alpn).map_err(ConnectError::Handshake),
        Err(error) => {
            let why = refused.get().cloned();
            Err(ConnectError::Handshake(why.unwrap_or_else(|| TlsError::from_io(error))))
        }
    }
}

/// A server's handshake, in at most `limit`, choosing one of the protocols of `alpn`, which the client has to
/// offer. Cancel-safe: dropping the future drops `stream`.
pub(crate) async fn accept_tls<S>(
    stream: S,
    server: &TlsServer,
    alpn: &[&[u8]],
    limit: Duration,
) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepting = TlsAcceptor::from(server.connection(alpn)).accept(stream);
    match tokio::time::timeout(limit, accepting).await {
        Ok(Ok(stream)) => agreed(stream.into(), alpn),
        Ok(Err(error)) => Err(TlsError::from_io(error)),
        Err(_) => Err(TlsError::TimedOut { after: limit }),
    }
}

/// A peer that knows nothing of ALPN chooses nothing. That means HTTP/1.1 if we speak it; else the peer does not
/// expect us, so it may take our bytes for others (RFC 9325, 3.7).
fn agreed<S>(stream: TlsStream<S>, alpn: &[&[u8]]) -> Result<TlsStream<S>, TlsError> {
    match stream.get_ref().1.alpn_protocol() {
        Some(_) => Ok(stream),
        None if alpn.contains(&&b"http/1.1"[..]) => Ok(stream),
        None => Err(TlsError::NoCommonProtocol),
    }
}
