//! What stands at a listener's door: the hook and the options of its sessions. It asks about each link and hello, and again when
//! an admission's time is over.

use std::sync::Arc;

use libchan::{Admission, LinkInfo, Metadata, Session, SessionOptions};
#[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
use libchan::{Link, PendingSession, Role};

use super::{Authorize, Candidate, Headers, Refusal};
#[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
use crate::error::AcceptError;
use crate::listen::ListenOptions;
#[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
use crate::places::Place;

/// What a listener's peers meet: the hook, if there is one, and the options of their sessions.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) session: SessionOptions,
    hook: Option<Arc<dyn Authorize>>,
}

impl Gate {
    pub(crate) fn of(options: &ListenOptions) -> Self {
        Self { session: options.session.clone(), hook: options.authorize.clone() }
    }

    /// Whether anybody is asked.
    #[cfg(any(feature = "memory", feature = "_http"))]
    pub(crate) fn asks(&self) -> bool {
        self.hook.is_some()
    }

    /// Asks the hook about a link.
    #[cfg(feature = "_http")]
    pub(crate) async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        match &self.hook {
            Some(hook) => hook.link(peer).await,
            None => Ok(None),
        }
    }

    /// Asks the hook about a peer in this process, all at once.
    #[cfg(feature = "memory")]
    pub(crate) async fn local(&self, info: &LinkInfo, said: &Metadata) -> Result<Option<Admission>, Refusal> {
        let Some(hook) = &self.hook else { return Ok(None) };
        let link = Candidate::new(info);
        let hello = Candidate { metadata: Some(said), ..link };
        let admission = ask(&**hook, link, hello).await?;
        still_good(&admission)?;
        Ok(Some(admission))
    }

    /// Has the hook asked about the same peer again when the time of its admission is over.
    pub(crate) fn renew(&self, session: Session, asked: Asked) -> Session {
        let Some(hook) = self.hook.clone() else { return session };
        let asked = Arc::new(asked);
        session.renewed_by(move || {
            let (hook, asked) = (hook.clone(), asked.clone());
            async move { asked.again(&*hook).await.map_err(|refusal| refusal.reason) }
        })
    }

    /// A session over a link that was not asked about yet.
    #[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
    pub(crate) async fn begin(&self, link: impl Link, place: &Place) -> Result<Session, AcceptError> {
        let Some(hook) = &self.hook else { return self.start(link).await };
        let (info, asking) = (link.info(), place.asking());
        let answer = hook.link(Candidate::new(&info)).await;
        drop(asking);
        self.decide(hook, link, None, answer, place).await
    }

    /// A session over the link of a request with these headers, for which the hook has given this answer.
    #[cfg(feature = "_http")]
    pub(crate) async fn begin_request(
        &self,
        link: impl Link,
        headers: &http::HeaderMap,
        answer: Option<Admission>,
        place: &Place,
    ) -> Result<Session, AcceptError> {
        let Some(hook) = &self.hook else { return self.start(link).await };
        self.decide(hook, link, Some(headers), Ok(answer), place).await
    }

    #[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
    async fn start(&self, link: impl Link) -> Result<Session, AcceptError> {
        let peer = link.info().peer;
        let started = Session::start(link, Role::Acceptor, self.session.clone()).await;
        started.map_err(|source| AcceptError::Handshake { peer, source })
    }

    /// Hears the peer's hello, and asks about it if the link has not said enough.
    #[cfg(any(feature = "memory", feature = "unix", feature = "tcp"))]
    async fn decide(
        &self,
        hook: &Arc<dyn Authorize>,
        link: impl Link,
        headers: Option<&Headers>,
        answer: Result<Option<Admission>, Refusal>,
        place: &Place,
    ) -> Result<Session, AcceptError> {
        let peer = link.info().peer;
        let heard = PendingSession::accept(link, self.session.clone()).await;
        let pending = match (heard, &answer) {
            (Ok(pending), _) => pending,
            (Err(_), Err(refusal)) => return Err(AcceptError::Refused { peer, refusal: refusal.clone() }),
            (Err(source), Ok(_)) => return Err(AcceptError::Handshake { peer, source }),
        };
        let answer = match answer {
            Ok(None) => {
                let (info, metadata) = (pending.info(), Some(pending.metadata()));
                let _asking = place.asking();
                hook.hello(Candidate { info, headers, metadata }).await
            }
            Ok(Some(admission)) => Ok(admission),
            Err(refusal) => Err(refusal),
        };
        match answer.and_then(|admission| still_good(&admission).map(|()| admission)) {
            Ok(admission) => {
                let ends = admission.remaining().is_some();
                let asked = ends.then(|| Asked::of(pending.info(), headers, Some(pending.metadata())));
                let admitted = pending.admit(Some(admission)).await;
                let session = admitted.map_err(|source| AcceptError::Handshake { peer, source })?;
                Ok(self.guard(match asked {
                    Some(asked) => self.renew(session, asked),
                    None => session,
                }))
            }
            Err(refusal) => {
                pending.deny(refusal.denial(), refusal.reason()).await;
                Err(AcceptError::Refused { peer, refusal })
            }
        }
    }

    /// Has the hook asked about each channel that the peer opens.
    pub(crate) fn guard(&self, session: Session) -> Session {
        match self.hook.clone() {
            Some(hook) => {
                session.guarded(move |channel| hook.channel(channel).map_err(|refusal| refusal.reason))
            }
            None => session,
        }
    }
}

/// What is needed to ask about a peer again: what the hook has seen of it.
pub(crate) struct Asked {
    info: LinkInfo,
    headers: Option<Headers>,
    metadata: Option<Metadata>,
}

impl Asked {
    pub(crate) fn of(info: &LinkInfo, headers: Option<&Headers>, metadata: Option<&Metadata>) -> Self {
        Self { info: info.clone(), headers: headers.cloned(), metadata: metadata.cloned() }
    }

    async fn again(&self, hook: &dyn Authorize) -> Result<Admission, Refusal> {
        let link = Candidate { headers: self.headers.as_ref(), ..Candidate::new(&self.info) };
        ask(hook, link, Candidate { metadata: self.metadata.as_ref(), ..link }).await
    }
}

/// Asks about the link, and about the hello if the link is not enough.
async fn ask(hook: &dyn Authorize, link: Candidate<'_>, hello: Candidate<'_>) -> Result<Admission, Refusal> {
    match hook.link(link).await? {
        Some(admission) => Ok(admission),
        None => hook.hello(hello).await,
    }
}

/// An admission whose time is over lets nobody in.
fn still_good(admission: &Admission) -> Result<(), Refusal> {
    match admission.is_over() {
        true => Err(Refusal::unauthorized(format!("the admission of {} is over", admission.name()))),
        false => Ok(()),
    }
}
