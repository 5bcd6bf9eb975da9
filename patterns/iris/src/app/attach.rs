//! How an application comes to its attachment: there is one with a session, and one after the other where the session comes back.

use std::sync::Arc;

use libchan::{Message, Session};
use libchan_transports::{Redial, RedialError, RedialSessions};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::attachment::{Attachment, Named, NotSent};
use crate::error::Error;

/// What clones of a connection, and what was made with them, share.
pub(crate) struct App {
    source: Source,
}

enum Source {
    Session(Arc<Attachment>),
    Redial { redial: Redial, now: watch::Receiver<Now>, following: AbortHandle },
}

/// Where a connection that comes back stands.
enum Now {
    NotYet,
    /// It may be over already, and the next one on its way.
    Attached(Arc<Attachment>),
    Over(Error),
}

impl App {
    pub(super) fn over(session: Session) -> Self {
        Self { source: Source::Session(Attachment::new(1, session)) }
    }

    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn redialing(redial: Redial) -> Self {
        let (tell, now) = watch::channel(Now::NotYet);
        let following = tokio::spawn(follow(redial.sessions(), tell)).abort_handle();
        Self { source: Source::Redial { redial, now, following } }
    }

    /// An attachment whose number is above `passed`. Waits for it where the session comes back.
    ///
    /// # Errors
    /// [`Error::Closed`], or why the redial has given up: there will be none.
    pub(crate) async fn attachment(&self, passed: u64) -> Result<Arc<Attachment>, Error> {
        let usable = |attachment: &Attachment| attachment.number > passed && !attachment.is_leaving();
        match &self.source {
            Source::Session(only) if usable(only) => Ok(only.clone()),
            Source::Session(_) => Err(Error::Closed),
            Source::Redial { now, .. } => {
                let mut now = now.clone();
                let ready = |now: &Now| match now {
                    Now::NotYet => false,
                    Now::Attached(attachment) => usable(attachment),
                    Now::Over(_) => true,
                };
                match now.wait_for(ready).await.as_deref() {
                    Ok(Now::Attached(attachment)) => Ok(attachment.clone()),
                    Ok(Now::Over(why)) => Err(why.clone()),
                    Ok(Now::NotYet) | Err(_) => Err(Error::Closed),
                }
            }
        }
    }

    /// Sends on a named channel of whichever attachment is there. What has not left when its session ends goes to the next one.
    pub(super) async fn send<T: Message>(
        &self,
        value: T,
        on: impl Fn(&Attachment) -> &Named<T>,
    ) -> Result<(), Error> {
        let (mut value, mut passed) = (value, 0);
        loop {
            let attachment = self.attachment(passed).await?;
            passed = attachment.number;
            match attachment.send(on(&attachment), value).await {
                Ok(()) => return Ok(()),
                Err(NotSent { value: back, error: Error::Closed }) => value = back,
                Err(NotSent { error, .. }) => return Err(error),
            }
        }
    }

    /// The attachment that is there, if there is one.
    pub(super) fn current(&self) -> Option<Arc<Attachment>> {
        match &self.source {
            Source::Session(only) => Some(only.clone()),
            Source::Redial { now, .. } => match &*now.borrow() {
                Now::Attached(attachment) => Some(attachment.clone()),
                Now::NotYet | Now::Over(_) => None,
            },
        }
    }

    /// Whether a lost session is followed by another.
    pub(crate) fn comes_back(&self) -> bool {
        matches!(self.source, Source::Redial { .. })
    }

    pub(super) async fn close(&self) -> Result<(), Error> {
        let closed = match &self.source {
            Source::Session(only) => only.session.clone().close().await,
            Source::Redial { redial, .. } => redial.clone().close().await,
        };
        closed.map_err(|_| Error::Closed)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Source::Redial { following, .. } = &self.source {
            following.abort();
        }
    }
}

async fn follow(mut sessions: RedialSessions, tell: watch::Sender<Now>) {
    let mut number = 0;
    loop {
        match sessions.next().await {
            Ok(session) => {
                number += 1;
                tracing::info!(relay = session.info().peer, number, "attached to a relay");
                tell.send_replace(Now::Attached(Attachment::new(number, session)));
            }
            Err(over) => {
                tracing::info!(why = %over, "attached to no relay any more");
                tell.send_replace(Now::Over(over.into()));
                return;
            }
        }
    }
}

impl From<RedialError> for Error {
    fn from(over: RedialError) -> Self {
        match &over {
            RedialError::GaveUp { error, .. } if error.refusal().is_some() => Self::Refused(over.to_string()),
            RedialError::Closed | RedialError::Stopped => Self::Closed,
            _ => Self::Local(over.to_string()),
        }
    }
}
