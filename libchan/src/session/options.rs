//! What a session is asked to be: limits, codecs, metadata.

use std::fmt;
use std::time::Duration;

use libchan_proto::{Limits, Metadata};

use crate::codec::AnyCodec;

/// Which side of a link this is. Both sides may open channels; the dialer's order of codecs wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that connected.
    Dialer,
    /// The side that listened.
    Acceptor,
}

/// What a session is asked to be. The default is msgpack first, JSON, CBOR and raw bytes beside it, and limits fit
/// for the public Internet.
#[derive(Clone)]
#[non_exhaustive]
pub struct SessionOptions {
    /// What this side is willing to accept.
    pub limits: Limits,
    /// The codecs this side speaks, the preferred one first.
    pub codecs: Vec<AnyCodec>,
    /// What this side says of itself; it may hold credentials.
    pub metadata: Metadata,
    /// How long `close` waits for the peer. Default 5 s.
    pub close_timeout: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            codecs: vec![AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor(), AnyCodec::raw()],
            metadata: Metadata::default(),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl SessionOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What this side is willing to accept. Of two sides' limits the smaller wins.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The codecs this side speaks, the preferred one first. Sessions without a common codec do not start.
    #[must_use]
    pub fn codecs(mut self, codecs: impl IntoIterator<Item = AnyCodec>) -> Self {
        self.codecs = codecs.into_iter().collect();
        self
    }

    /// Says something about this side to the other in the hello: a credential, a name, a version. Keys have at most 255
    /// bytes, values and all of it 65,535: else the session does not start
    /// ([`MetadataTooLong`](crate::SessionError::MetadataTooLong)). A peer takes no hello longer than its
    /// [`Limits::max_hello`], 16 KiB unless set.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.metadata.insert(key, value);
        self
    }

    /// Shows a bearer token: metadata `authorization`, as the header of http of that name. For what is no browser, a
    /// header of the request does as well where the transport has one.
    ///
    /// The other side sees the token: show it to a peer that you have authenticated, over a link that nobody reads.
    #[must_use]
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.metadata("authorization", format!("Bearer {}", token.as_ref()))
    }

    /// How long `close` waits for the peer to take what was accepted. 5 s unless set.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Metadata may hold credentials: it is not printed.
        f.debug_struct("SessionOptions")
            .field("limits", &self.limits)
            .field("close_timeout", &self.close_timeout)
            .finish_non_exhaustive()
    }
}
