//! What a redial tells of itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use libchan::SessionError;
use tokio::sync::broadcast;

use super::error::RedialError;
use crate::error::DialError;

/// What happens to a [`Redial`](super::Redial): for logs, status pages and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedialEvent {
    /// It dials this URL.
    Dialing {
        /// The URL.
        url: Arc<str>,
    },
    /// The dial gave no session.
    Failed {
        /// What was dialed.
        url: Arc<str>,
        /// Why there is no session.
        error: Arc<DialError>,
    },
    /// There is a session.
    Connected {
        /// With whom.
        url: Arc<str>,
    },
    /// The session is over.
    Lost {
        /// With whom it was.
        url: Arc<str>,
        /// Why; [`SessionError::Closed`] after a goodbye.
        why: SessionError,
    },
    /// The peer has said that it is [leaving](libchan::Session::going): the next session is dialed, and what is at work on
    /// this one may finish.
    Leaving {
        /// With whom it is.
        url: Arc<str>,
    },
    /// It dials again after this time.
    Waiting {
        /// How long.
        wait: Duration,
    },
    /// It dials no more; the last event.
    Over(RedialError),
    /// This reader was too slow for so many events, which are lost to it.
    Missed(u64),
}

impl fmt::Display for RedialEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialing { url } => write!(f, "dialing {url}"),
            Self::Failed { url, error } => write!(f, "no session with {url}: {error}"),
            Self::Connected { url } => write!(f, "connected to {url}"),
            Self::Lost { url, why } => write!(f, "the session with {url} is over: {why}"),
            Self::Leaving { url } => write!(f, "{url} is leaving"),
            Self::Waiting { wait } => write!(f, "dialing again in {wait:?}"),
            Self::Over(why) => why.fmt(f),
            Self::Missed(count) => write!(f, "{count} events were missed"),
        }
    }
}

/// The events of a [`Redial`](super::Redial) from the moment on in which [`Redial::events`](super::Redial::events) was called. It
/// does not keep the redial alive. A reader may be 64 events behind; then it [misses](RedialEvent::Missed) the oldest.
pub struct RedialEvents {
    to_come: broadcast::Receiver<RedialEvent>,
    /// It is over already.
    over: Option<RedialError>,
    ended: bool,
}

impl RedialEvents {
    pub(super) fn new(to_come: broadcast::Receiver<RedialEvent>, over: Option<RedialError>) -> Self {
        Self { to_come, over, ended: false }
    }

    /// The next event; `None` after [`Over`](RedialEvent::Over). Cancel-safe.
    pub async fn next(&mut self) -> Option<RedialEvent> {
        if self.ended {
            return None;
        }
        let event = match self.over.take() {
            Some(why) => RedialEvent::Over(why),
            None => match self.to_come.recv().await {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(count)) => RedialEvent::Missed(count),
                Err(broadcast::error::RecvError::Closed) => RedialEvent::Over(RedialError::Stopped),
            },
        };
        self.ended = matches!(event, RedialEvent::Over(_));
        Some(event)
    }
}

impl fmt::Debug for RedialEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedialEvents").field("ended", &self.ended).finish_non_exhaustive()
    }
}
