//! Options of the http carriers, on both sides.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::proxies::IpPrefix;

/// The subprotocol of the WebSocket carrier.
#[cfg(feature = "websocket")]
pub(super) const SUBPROTOCOL: &str = "libchan.v1";

/// What keeps caches away and proxies from recoding the stream.
#[cfg(feature = "http2")]
pub(super) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-store, no-transform");

/// How the HTTP/2 carrier names its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentType {
    /// `application/vnd.libchan.v1`.
    #[default]
    Libchan,
    /// `application/grpc+libchan`, for proxies that pass two-way streams of gRPC only. The stream is the same and
    /// has no gRPC semantics.
    Grpc,
}

impl ContentType {
    /// Its name in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Libchan => "application/vnd.libchan.v1",
            Self::Grpc => "application/grpc+libchan",
        }
    }

    /// The type that a header names.
    #[cfg(feature = "http2")]
    pub(super) fn named(value: Option<&HeaderValue>) -> Option<Self> {
        let name = super::answer::essence(value?.to_str().ok()?);
        [Self::Libchan, Self::Grpc].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// How to dial over http.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HttpDialOptions {
    /// Headers of the request beside the carrier's own, such as `authorization`. The carrier's own win.
    pub headers: HeaderMap,
    /// How the HTTP/2 carrier names its content.
    pub content_type: ContentType,
}

impl HttpDialOptions {
    /// Adds a header to the request.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets how the HTTP/2 carrier names its content.
    #[must_use]
    pub fn content_type(mut self, content_type: ContentType) -> Self {
        self.content_type = content_type;
        self
    }

    /// The headers of the HTTP/2 request, the caller's among them.
    #[cfg(feature = "http2")]
    pub(super) fn request_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        let content_type = HeaderValue::from_static(self.content_type.as_str());
        headers.insert(http::header::CONTENT_TYPE, content_type.clone());
        headers.insert(http::header::ACCEPT, content_type);
        headers.insert(http::header::CACHE_CONTROL, NO_CACHE);
        headers.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        headers.remove(http::header::CONTENT_LENGTH);
        headers
    }
}

impl fmt::Debug for HttpDialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: a value may be a token.
        f.debug_struct("HttpDialOptions")
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("content_type", &self.content_type)
            .finish()
    }
}

/// How to listen over http.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HttpListenOptions {
    /// The web pages that may connect, by the `Origin` their browser sends: `https://app.example`. A request with
    /// any other origin is refused; one without an origin comes from no browser and passes. Without this any page
    /// that a user of the service opens could use the user's cookies and network.
    pub origins: Vec<String>,
    /// The proxies that may say who a peer is. Headers such as `x-forwarded-for` and `x-client-dn` are removed from
    /// every request that comes from elsewhere, before the authorize hook sees it. The proxy must overwrite what its
    /// clients send under these names.
    pub trusted_proxies: Vec<IpPrefix>,
    /// Further headers that only a trusted proxy may send, beside the usual names.
    pub identity_headers: Vec<HeaderName>,
    /// Takes a WebSocket inside an HTTP/2 request too (extended CONNECT, RFC 8441). Off by default: some proxies and
    /// browsers use it as soon as it is announced, and not all of them well. Our dialer does not. A server that the
    /// service is mounted in has to announce it itself.
    #[cfg(feature = "websocket")]
    pub extended_connect: bool,
}

impl HttpListenOptions {
    /// Allows web pages of this origin.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Trusts what the proxy at this address says of its clients.
    #[must_use]
    pub fn trusted_proxy(mut self, proxy: impl Into<IpPrefix>) -> Self {
        self.trusted_proxies.push(proxy.into());
        self
    }

    /// Names a further header that only a trusted proxy may send.
    #[must_use]
    pub fn identity_header(mut self, name: HeaderName) -> Self {
        self.identity_headers.push(name);
        self
    }
    /// Takes a WebSocket inside an HTTP/2 request too (extended CONNECT, RFC 8441).
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn extended_connect(mut self) -> Self {
        self.extended_connect = true;
        self
    }
}
