//! Who may have a session: one hook for every transport, asked before the session starts.

use std::fmt;
#[cfg(any(feature = "unix", feature = "tcp"))]
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libchan::LinkInfo;

#[cfg(any(feature = "unix", feature = "tcp"))]
use crate::error::AcceptError;

/// A peer that asks for a session, as a listener's hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    info: &'a LinkInfo,
    #[cfg(feature = "_http")]
    headers: Option<&'a http::HeaderMap>,
}

impl<'a> Candidate<'a> {
    #[cfg(any(feature = "unix", feature = "tcp"))]
    pub(crate) fn new(info: &'a LinkInfo) -> Self {
        Self {
            info,
            #[cfg(feature = "_http")]
            headers: None,
        }
    }

    #[cfg(feature = "_http")]
    pub(crate) fn with_headers(info: &'a LinkInfo, headers: &'a http::HeaderMap) -> Self {
        Self { info, headers: Some(headers) }
    }

    /// The peer's address, its credentials where the kernel tells them, and whether the link is secure. Behind a
    /// proxy the address is the proxy's.
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
}

/// Decides who may have a session, and under which name.
///
/// A closure will do where nothing has to be awaited:
///
/// ```
/// use libchan_transports::{Candidate, ListenOptions, Refusal};
///
/// let options = ListenOptions::default().authorize(|candidate: &Candidate<'_>| {
///     match candidate.info().credentials {
///         Some(peer) if peer.uid == 0 => Ok("root".to_owned()),
///         _ => Err(Refusal::forbidden("root only")),
///     }
/// });
/// ```
#[async_trait]
pub trait Authorize: Send + Sync + 'static {
    /// The peer's name, which becomes [`LinkInfo::principal`] of its session, or why it gets none.
    async fn authorize(&self, candidate: Candidate<'_>) -> Result<String, Refusal>;
}

#[async_trait]
impl<F> Authorize for F
where
    F: Fn(&Candidate<'_>) -> Result<String, Refusal> + Send + Sync + 'static,
{
    async fn authorize(&self, candidate: Candidate<'_>) -> Result<String, Refusal> {
        self(&candidate)
    }
}

/// Why a peer gets no session. Over http it is the answer; other transports drop the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) challenge: Option<String>,
}

impl Refusal {
    fn new(status: u16, reason: impl Into<String>) -> Self {
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

    /// Status 429: this peer asks too often.
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

    /// The http status: 401, 403, 429 or 503.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the peer is told.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for Refusal {}

/// Asks the hook, if there is one, about a peer without a request, and notes its answer.
#[cfg(any(feature = "unix", feature = "tcp"))]
pub(crate) async fn admit(
    hook: Option<&Arc<dyn Authorize>>,
    info: &mut LinkInfo,
    peer: &str,
) -> Result<(), AcceptError> {
    let Some(hook) = hook else { return Ok(()) };
    let answer = hook.authorize(Candidate::new(info)).await;
    info.principal = Some(answer.map_err(|refusal| AcceptError::Refused { peer: peer.to_owned(), refusal })?);
    Ok(())
}
