//! The upgrade from HTTP/1.1: asked for by the dialer, checked and answered by the acceptor.

use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol;
use libchan::LinkInfo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::super::answer::refusal;
use super::super::body::LibchanBody;
use super::super::error::HttpError;
use super::super::options::{HttpDialOptions, SUBPROTOCOL};
use super::{WebSocketLink, config};
use crate::url::HttpAddress;

impl<S> WebSocketLink<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Asks the http server at the other end of `stream` for a WebSocket that carries libchan.
    ///
    /// # Errors
    /// The server answers something else, does not select the subprotocol, or the stream breaks.
    pub async fn connect(
        stream: S,
        address: &HttpAddress,
        options: &HttpDialOptions,
        info: LinkInfo,
    ) -> Result<Self, HttpError> {
        let request = request(address, options)?;
        match client_async_with_config(request, stream, Some(config())).await {
            // The library lets an extension pass that it has not offered.
            Ok((_, answer)) if answer.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS) => {
                let detail = "it has accepted an extension, and none was offered".to_owned();
                Err(HttpError::NotHttp { protocol: "WebSocket", detail })
            }
            Ok((socket, _)) => Ok(Self::over(socket, info)),
            Err(Error::Http(answer)) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err(refusal(answer.status(), answer.headers(), body))
            }
            Err(Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_))) => {
                Err(HttpError::WrongSubprotocol)
            }
            Err(error) => Err(HttpError::NotHttp { protocol: "WebSocket", detail: error.to_string() }),
        }
    }
}

fn request(address: &HttpAddress, options: &HttpDialOptions) -> Result<Request<()>, HttpError> {
    let bad = |detail: String| HttpError::BadRequest { detail };
    let scheme = if address.is_encrypted() { "wss" } else { "ws" };
    let uri = format!("{scheme}://{}{}", address.authority(), address.path);
    let mut request = Request::get(uri).body(()).map_err(|error| bad(error.to_string()))?;
    let headers = request.headers_mut();
    headers.clone_from(&options.headers);
    let own = |text: &str| HeaderValue::from_str(text).map_err(|error| bad(error.to_string()));
    headers.insert(HOST, own(&address.authority())?);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, own(&generate_key())?);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(request)
}

/// Whether a request asks for a WebSocket, of whatever subprotocol.
pub(in crate::http) fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && has_token(request.headers(), &CONNECTION, |token| token.eq_ignore_ascii_case("upgrade"))
        && has_token(request.headers(), &UPGRADE, |token| token.eq_ignore_ascii_case("websocket"))
}

/// Whether a CONNECT asks for a WebSocket (RFC 8441).
pub(in crate::http) fn is_extended_connect<B>(request: &Request<B>) -> bool {
    request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_ref() == b"websocket")
}

/// The answer that accepts an upgrade or an extended CONNECT, or what is wrong with the request.
pub(in crate::http) fn answer<B>(
    request: &Request<B>,
) -> Result<Response<LibchanBody>, (StatusCode, &'static str)> {
    let headers = request.headers();
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "version 13 of WebSocket is spoken here"));
    }
    if !has_token(headers, &SEC_WEBSOCKET_PROTOCOL, |token| token == SUBPROTOCOL) {
        return Err((
            StatusCode::BAD_REQUEST,
            "the subprotocol libchan.v1 is spoken here, and was not offered",
        ));
    }
    if headers.get(SEC_WEBSOCKET_KEY).is_some_and(|key| !is_key(key)) {
        return Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key has to be 16 bytes in base64"));
    }
    let mut response = Response::new(LibchanBody::whole(bytes::Bytes::new()));
    if request.version() == Version::HTTP_11 {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let answer = response.headers_mut();
    answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    // HTTP/2 has no key, and a proxy that translates from it may send none. One that translates to it may pass the key of
    // its client on, who wants the proof.
    if let Some(key) = headers.get(SEC_WEBSOCKET_KEY)
        && let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
    {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

/// Whether it is the base64 of 16 bytes: 22 digits, then two signs that fill up.
fn is_key(key: &HeaderValue) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.as_bytes().strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(digit))
}

/// Whether one of a header's comma-separated tokens is the wanted one.
fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: impl Fn(&str) -> bool) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|token| wanted(token.trim())))
}
