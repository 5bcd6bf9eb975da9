//! Dialing: from an address, or over a stream that is connected already, to a session.

use libchan::{LinkInfo, Role, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::HttpError;
use super::stream::Stream;
use crate::dial::DialOptions;
use crate::error::DialError;
use crate::url::{Address, HttpAddress, UrlError};

/// Dials an address of one of the http schemes.
pub(crate) async fn dial(address: &Address, options: DialOptions) -> Result<Session, DialError> {
    let address = HttpAddress::parse(address)?;
    if address.port == 0 {
        return Err(UrlError::PortZero.into());
    }
    match address.scheme.as_str() {
        #[cfg(feature = "websocket")]
        "ws" | "wss" => over_websocket(&address, options).await,
        #[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
        "https" => super::fallback::dial(&address, options).await,
        #[cfg(feature = "http2")]
        "h2c" | "http" => over_http2(&address, options).await,
        #[cfg(all(feature = "http2", not(feature = "websocket")))]
        "https" => over_http2(&address, options).await,
        scheme => Err(UrlError::UnknownScheme { scheme: scheme.to_owned() }.into()),
    }
}

/// A connection to the address; if it is encrypted, for the http version that `alpn` names.
async fn connect(
    address: &HttpAddress,
    options: &DialOptions,
    alpn: &[u8],
) -> Result<(Stream, LinkInfo), DialError> {
    let url = address.to_string();
    let connecting = async {
        let stream = crate::tcp::connect(&address.host, address.port, &url, options).await?;
        // The session does its own gathering.
        stream.set_nodelay(true).map_err(|error| DialError::connecting(url.clone(), error))?;
        #[cfg(feature = "_tls")]
        if address.is_encrypted() {
            let stream = crate::tls::over(stream, &address.host, &url, &options.tls, &[alpn]).await?;
            let info = crate::tls::server_info(&stream, &url, &address.host, &options.tls);
            return Ok((Stream::tls(stream), info));
        }
        let _ = alpn;
        Ok((Stream::Clear(stream), LinkInfo::new(&url)))
    };
    let connected = tokio::time::timeout(options.left(), connecting).await;
    connected.map_err(|_| options.timed_out(&url))?
}

/// Dials the HTTP/2 carrier.
#[cfg(feature = "http2")]
pub(super) async fn over_http2(address: &HttpAddress, options: DialOptions) -> Result<Session, DialError> {
    let (stream, info) = connect(address, &options, super::ALPN_HTTP2).await?;
    let fault = stream.fault();
    let dialed = dial_http2(stream, address, info, options).await;
    dialed.map_err(|error| fault.explain(error, address))
}

/// Dials the WebSocket carrier.
#[cfg(feature = "websocket")]
pub(super) async fn over_websocket(
    address: &HttpAddress,
    options: DialOptions,
) -> Result<Session, DialError> {
    let (stream, info) = connect(address, &options, super::ALPN_HTTP1).await?;
    let fault = stream.fault();
    let dialed = dial_websocket(stream, address, info, options).await;
    dialed.map_err(|error| fault.explain(error, address))
}

/// A session over an HTTP/2 connection of its own on `stream`.
///
/// # Errors
/// [`DialError::Http`] if the server answers anything but a session, [`DialError::Session`] if the two sides do not
/// agree on one.
#[cfg(feature = "http2")]
pub async fn dial_http2<S>(
    stream: S,
    address: &HttpAddress,
    info: LinkInfo,
    options: DialOptions,
) -> Result<Session, DialError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let options = options.begun();
    let connecting = super::Http2Link::connect_with_verdict(stream, address, &options.http, info);
    let (link, verdict) = connecting.await.map_err(|error| answered(address, error))?;
    let started = Session::start(link, Role::Dialer, options.session_now()).await;
    started.map_err(|error| match verdict.take() {
        Some(verdict) => answered(address, verdict),
        None => DialError::starting(address.to_string(), error),
    })
}

/// A session over a WebSocket on `stream`, within [`DialOptions::connect_timeout`].
///
/// # Errors
/// [`DialError::Http`] if the server answers anything but a session, [`DialError::Session`] if the two sides do not
/// agree on one.
#[cfg(feature = "websocket")]
pub async fn dial_websocket<S>(
    stream: S,
    address: &HttpAddress,
    info: LinkInfo,
    options: DialOptions,
) -> Result<Session, DialError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let options = options.begun();
    let connecting = super::WebSocketLink::connect(stream, address, &options.http, info);
    let connected = tokio::time::timeout(options.left(), connecting).await;
    let timed_out = |_| options.timed_out(&address.to_string());
    let link = connected.map_err(timed_out)?.map_err(|error| answered(address, error))?;
    let started = Session::start(link, Role::Dialer, options.session_now()).await;
    started.map_err(|error| DialError::starting(address.to_string(), error))
}

fn answered(address: &HttpAddress, source: HttpError) -> DialError {
    DialError::Http { url: address.to_string(), source }
}
