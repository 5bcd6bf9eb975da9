//! Who may have a session, under which name, and what it may open: one hook for every transport.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use libchan::{Admission, Incoming, LinkInfo, Metadata};
#[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
use libchan::{Denial, SessionError};

pub(crate) use self::gate::{Asked, Gate};

mod gate;

/// The headers of a request; nothing where no transport has requests.
#[cfg(feature = "_http")]
type Headers = http::HeaderMap;
#[cfg(not(feature = "_http"))]
type Headers = ();

/// A peer that asks for a session, as a listener's hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    info: &'a LinkInfo,
    #[cfg_attr(not(feature = "_http"), expect(dead_code, reason = "there are none"))]
    headers: Option<&'a Headers>,
    metadata: Option<&'a Metadata>,
}

impl<'a> Candidate<'a> {
    fn new(info: &'a LinkInfo) -> Self {
        Self { info, headers: None, metadata: None }
    }

    #[cfg(feature = "_http")]
    pub(crate) fn with_headers(info: &'a LinkInfo, headers: &'a http::HeaderMap) -> Self {
        Self { headers: Some(headers), ..Self::new(info) }
    }

    /// The peer's address, its credentials where the kernel tells them, its certificates, and whether the link is
    /// secure. Behind a proxy the address is the proxy's.
    pub fn info(&self) -> &'a LinkInfo {
        self.info
    }

    /// The headers of the request; none where the transport has no request. Identity that a proxy has forwarded is
    /// among them only if the request came from one of the
    /// [`trusted_proxies`](crate::http::HttpListenOptions::trusted_proxies).
    #[cfg(feature = "_http")]
    pub fn headers(&self) -> &'a http::HeaderMap {
        static NONE: std::sync::OnceLock<http::HeaderMap> = std::sync::OnceLock::new();
        self.headers.unwrap_or_else(|| NONE.get_or_init(http::HeaderMap::new))
    }

    /// Whom the peer's certificate is for; `None` if it showed none. That it is good was verified by the handshake.
    #[cfg(feature = "_tls")]
    pub fn subject(&self) -> Option<crate::tls::Subject> {
        let own = self.info.certificates.as_ref()?.first()?;
        // What the TLS library has verified can be read; if it could not, it would name nobody.
        crate::tls::Subject::of(own).ok()
    }

    /// What the peer says of itself in its hello; empty in [`Authorize::link`], which is asked before.
    pub fn metadata(&self) -> &'a Metadata {
        static NONE: std::sync::OnceLock<Metadata> = std::sync::OnceLock::new();
        self.metadata.unwrap_or_else(|| NONE.get_or_init(Metadata::default))
    }

    /// The bearer token: of the header `authorization`, or of the hello's metadata under the same key, where
    /// [`SessionOptions::bearer`](libchan::SessionOptions::bearer) puts it. The header goes first.
    pub fn bearer(&self) -> Option<&'a str> {
        #[cfg(feature = "_http")]
        if let Some(token) =
            self.headers().get(http::header::AUTHORIZATION).and_then(|value| token(value.as_bytes()))
        {
            return Some(token);
        }
        self.metadata().get("authorization").and_then(token)
    }
}

/// What follows `Bearer`.
fn token(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Decides who may have a session, under which name, and which channels it may open.
///
/// One value serves every transport. It is asked up to three times: when a link stands, when the peer's hello is in,
/// and for each named channel. A refusal at the link is an http status where the transport has one; at the hello it is
/// the session's goodbye; both are [`DialError::refusal`](crate::DialError::refusal) for the dialer. A channel that is
/// refused fails its opener's sends with the reason.
///
/// Where certificates, credentials of the kernel or headers are all that counts, a closure will do; it is asked at the
/// link:
///
/// ```
/// use libchan_transports::{Candidate, ListenOptions, Refusal};
///
/// let options = ListenOptions::default().authorize(|peer: &Candidate<'_>| {
///     match peer.info().credentials {
///         Some(process) if process.uid == 0 => Ok("root".to_owned()),
///         _ => Err(Refusal::forbidden("root only")),
///     }
/// });
/// ```
///
/// The answer is an [`Admission`]: a name, which any text turns into, and if need be until when it holds and what the application
/// wants to keep with it ([`Session::admission`](libchan::Session::admission), [`Incoming::admission`]). When its time is over,
/// [`link`](Self::link) and [`hello`](Self::hello) are asked again, about the same candidate. Where they refuse, name somebody
/// else or take longer than 10 s, the session ends: the peer's error is
/// [`PeerClosed`](libchan::SessionError::PeerClosed) with [`Denial::Unauthorized`](libchan::Denial) and the reason.
///
/// Where a token is all that counts, [`bearer`] will. A hook that looks at everything:
///
/// ```
/// use std::time::Duration;
///
/// use async_trait::async_trait;
/// use libchan::{Admission, Incoming};
/// use libchan_transports::{Authorize, Candidate, Refusal};
///
/// struct Gate;
///
/// #[async_trait]
/// impl Authorize for Gate {
///     /// Who comes by the unix socket is known; everybody else has to say who they are.
///     async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
///         Ok(peer.info().credentials.map(|process| format!("uid {}", process.uid).into()))
///     }
///
///     /// A token is good for an hour. Then this is asked again, with the same token.
///     async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
///         match peer.bearer() {
///             Some("token-of-alice") => Ok(Admission::new("alice").lasting(Duration::from_secs(3600))),
///             Some(_) => Err(Refusal::unauthorized("the token is not valid")),
///             None => Err(Refusal::unauthorized("a token, please")),
///         }
///     }
///
///     fn channel(&self, channel: &Incoming) -> Result<(), Refusal> {
///         match (channel.principal(), channel.name()) {
///             (Some("uid 0"), _) | (_, "status") => Ok(()),
///             _ => Err(Refusal::forbidden("only root may open this")),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Authorize: Send + Sync + 'static {
    /// Asked when a link stands: over tls after its handshake, over http before the answer. The peer's name, if the
    /// link is enough to know it; `None`, which is the default, leaves it to [`hello`](Self::hello).
    async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        let _ = peer;
        Ok(None)
    }

    /// Asked when the peer's hello is in, unless [`link`](Self::link) has named the peer. The listener's hello waits
    /// for the answer, so the dial of a peer that is refused fails, and the dialer's hello timeout is how long there
    /// is to decide (3 s before an `https:` dial tries its other carrier). Unless it is written, nobody is let in here.
    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        let _ = peer;
        Err(Refusal::unauthorized("nothing says who this peer is"))
    }

    /// Asked for each named channel that the peer opens, before [`Session::accept`](libchan::Session::accept) gives it; by default all may be
    /// opened. It runs inside `accept` and must not block: what takes time is found out in [`hello`](Self::hello), or
    /// after `accept`, where [`Incoming::refuse`] does the same.
    ///
    /// Channels inside messages are not asked about: whoever sends or takes the message decides.
    fn channel(&self, channel: &Incoming) -> Result<(), Refusal> {
        let _ = channel;
        Ok(())
    }
}

#[async_trait]
impl<F, A> Authorize for F
where
    F: Fn(&Candidate<'_>) -> Result<A, Refusal> + Send + Sync + 'static,
    A: Into<Admission>,
{
    async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        self(&peer).map(|admission| Some(admission.into()))
    }
}

/// A hook that asks `user` whose token it is: that of the request's `authorization` header, where a wrong one is status
/// 401, or else that of the hello ([`SessionOptions::bearer`](libchan::SessionOptions::bearer)), which is also what a browser has.
///
/// ```
/// use libchan_transports::{ListenOptions, Refusal, bearer};
///
/// let options = ListenOptions::default().authorize(bearer(|token: &str| match token {
///     "token-of-alice" => Ok("alice".to_owned()),
///     _ => Err(Refusal::unauthorized("the token is not valid")),
/// }));
/// ```
pub fn bearer<F, A>(user: F) -> impl Authorize
where
    F: Fn(&str) -> Result<A, Refusal> + Send + Sync + 'static,
    A: Into<Admission>,
{
    Bearer(user)
}

/// For people whose client shows none, or shows it elsewhere.
const WHERE_A_TOKEN_GOES: &str = "a bearer token is wanted: `authorization` with the value `Bearer TOKEN`, as metadata of the \
     hello (SessionOptions::bearer) or as a header of the request";

struct Bearer<F>(F);

#[async_trait]
impl<F, A> Authorize for Bearer<F>
where
    F: Fn(&str) -> Result<A, Refusal> + Send + Sync + 'static,
    A: Into<Admission>,
{
    async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        peer.bearer().map(|token| self.0(token).map(Into::into)).transpose()
    }

    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        let admitted = self.link(peer).await?;
        admitted.ok_or_else(|| Refusal::unauthorized(WHERE_A_TOKEN_GOES))
    }
}

/// Why a peer gets no session, or may not open a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) challenge: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None, challenge: None }
    }

    /// Status 401: there is no credential, or it is wrong. The peer is told to come with a bearer token, unless
    /// [`challenge`](Self::challenge) says otherwise.
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self { challenge: Some("Bearer".to_owned()), ..Self::new(401, reason) }
    }

    /// Status 403: the peer is known and may not.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(403, reason)
    }

    /// Status 429: this peer asks too often. After the hello it is told as 503.
    pub fn too_many(reason: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(429, reason) }
    }

    /// Status 503: nobody can be served for now.
    pub fn unavailable(reason: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(503, reason) }
    }

    /// Sets the `WWW-Authenticate` header of a 401: `Basic realm="build"`.
    #[must_use]
    pub fn challenge(mut self, challenge: impl Into<String>) -> Self {
        self.challenge = Some(challenge.into());
        self
    }

    /// The http status, also where nothing is http: 401, 403, 429 or 503.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the peer is told.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When the peer may come again, if that was said: an http status can, a goodbye cannot.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The refusal that a peer has told by its goodbye.
    #[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
    pub(crate) fn told(error: &SessionError) -> Option<Self> {
        use libchan::Denial;
        let (denial, reason) = error.denial()?;
        let status = match denial {
            Denial::Unauthorized => 401,
            Denial::Unavailable => 503,
            _ => 403,
        };
        Some(Self::new(status, reason))
    }

    #[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
    fn denial(&self) -> Denial {
        match self.status {
            401 => Denial::Unauthorized,
            429 | 503 => Denial::Unavailable,
            _ => Denial::Forbidden,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for Refusal {}

#[cfg(all(test, feature = "memory"))]
mod tests;
