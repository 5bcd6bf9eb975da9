//! The http carriers: one byte stream over an HTTP/2 request or over a WebSocket, and a server for both.
//!
//! `h2c:`, `ws:` and `http:` are clear text; `https:` and `wss:` are the same over TLS, with the settings of
//! [`DialOptions::tls`](crate::DialOptions::tls) and [`ListenOptions::tls`](crate::ListenOptions::tls).
//!
//! Both carriers take any stream that tokio can read and write. [`dial_http2`] and [`dial_websocket`] make a session
//! over such a stream, [`Server`] serves one that was accepted, and [`service`] mounts libchan at a path of an http
//! server that exists already.
//!
//! An http proxy may stand between the two sides. So nothing here depends on what proxies change: the ends of
//! streams, the codes of resets, trailers, the boundaries of DATA and of messages, and who owns a connection.

mod answer;
mod body;
mod dial;
mod error;
#[cfg(all(feature = "http2", feature = "websocket", feature = "_tls"))]
mod fallback;
mod gather;
#[cfg(feature = "http2")]
mod http2;
mod listen;
mod options;
mod problem;
mod proxies;
mod server;
mod service;
mod stream;
#[cfg(feature = "websocket")]
mod websocket;

pub use self::body::LibchanBody;
pub(crate) use self::dial::dial;
#[cfg(feature = "http2")]
pub use self::dial::dial_http2;
#[cfg(feature = "websocket")]
pub use self::dial::dial_websocket;
pub use self::error::HttpError;
#[cfg(feature = "http2")]
pub use self::http2::Http2Link;
pub(crate) use self::listen::listen;
pub use self::options::{ContentType, HttpDialOptions, HttpListenOptions};
pub use self::proxies::{IpPrefix, IpPrefixError};
pub use self::server::{Carriers, Server};
pub use self::service::{HttpPeer, LibchanService, service};
#[cfg(feature = "websocket")]
pub use self::websocket::WebSocketLink;

/// The names of the http versions, by which TLS tells them apart.
#[cfg(any(feature = "http2", feature = "_tls"))]
const ALPN_HTTP2: &[u8] = b"h2";
#[cfg(any(feature = "websocket", feature = "_tls"))]
const ALPN_HTTP1: &[u8] = b"http/1.1";
