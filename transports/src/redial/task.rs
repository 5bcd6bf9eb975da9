//! The task of a redial: dials, holds the session until it is lost, waits, and begins again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use libchan::{Session, SessionError};
use tokio::time::{Instant, sleep_until};

use super::backoff::Waits;
use super::core::{Core, Current, State};
use super::error::RedialError;
use super::events::RedialEvent;
use super::options::RedialOptions;
use crate::dial::dial_with;

/// The work of one redial, until it is over or dropped. Not an `async fn` as a whole: its guard is there before the first poll.
pub(super) fn run(
    core: Arc<Core>,
    urls: Vec<Arc<str>>,
    options: RedialOptions,
) -> impl Future<Output = ()> + Send {
    let guard = StopsWithTask(core);
    let waits = Waits::new(options.backoff.clone());
    let mut dialer = Dialer { guard, urls, options, waits, retry_after: None, sessions: 0 };
    async move {
        let None = dialer.work().await;
    }
}

/// Ends the redial when its task goes for a reason that nobody has told: its runtime shuts down, or it has panicked.
struct StopsWithTask(Arc<Core>);

impl Drop for StopsWithTask {
    fn drop(&mut self) {
        drop(self.0.end(RedialError::Stopped));
    }
}

struct Dialer {
    guard: StopsWithTask,
    urls: Vec<Arc<str>>,
    options: RedialOptions,
    waits: Waits,
    /// When the servers that were dialed last have asked us to come again.
    retry_after: Option<Duration>,
    sessions: u64,
}

impl Dialer {
    /// `None`: it is over.
    async fn work(&mut self) -> Option<Infallible> {
        loop {
            if let Some(current) = self.round().await? {
                self.hold(&current).await;
            }
            let wait = self.waits.next(self.retry_after.take());
            let until = Instant::now() + wait;
            self.enter(State::Waiting(until), RedialEvent::Waiting { wait })?;
            sleep_until(until).await;
        }
    }

    /// Dials each address once until one gives a session. `None` outside: it is over; inside: all have failed.
    async fn round(&mut self) -> Option<Option<Current>> {
        if self.options.shuffled {
            self.waits.shuffle(&mut self.urls);
        }
        for at in 0..self.urls.len() {
            let url = self.urls[at].clone();
            self.enter(State::Dialing(url.clone()), RedialEvent::Dialing { url: url.clone() })?;
            match dial_with(&url, self.options.dial.clone()).await {
                Ok(session) => return self.connected(url, session).map(Some),
                Err(error) => {
                    let (is_final, error) = (error.is_final(), Arc::new(error));
                    let asked = error.refusal().and_then(|refusal| refusal.retry_after());
                    self.guard.0.tell(RedialEvent::Failed { url: url.clone(), error: error.clone() });
                    if is_final {
                        drop(self.guard.0.end(RedialError::GaveUp { url, error }));
                        return None;
                    }
                    // The first that has room is good enough.
                    self.retry_after = match (self.retry_after, asked) {
                        (Some(before), Some(asked)) => Some(before.min(asked)),
                        (before, asked) => before.or(asked),
                    };
                }
            }
        }
        Some(None)
    }

    fn connected(&mut self, url: Arc<str>, session: Session) -> Option<Current> {
        self.sessions += 1;
        self.retry_after = None;
        let current = Current { number: self.sessions, url: url.clone(), session };
        self.enter(State::Connected(current.clone()), RedialEvent::Connected { url })?;
        Some(current)
    }

    /// Waits until the session is lost or its peer is leaving. The waits begin anew after one that held.
    async fn hold(&mut self, current: &Current) {
        let (begun, url) = (Instant::now(), current.url.clone());
        tokio::select! {
            biased;
            over = current.session.closed() => {
                let why = over.err().unwrap_or(SessionError::Closed);
                self.guard.0.tell(RedialEvent::Lost { url, why });
            }
            () = current.session.going() => self.guard.0.tell(RedialEvent::Leaving { url }),
        }
        if begun.elapsed() >= self.options.backoff.held {
            self.waits.reset();
        }
    }

    fn enter(&self, state: State, event: RedialEvent) -> Option<()> {
        self.guard.0.enter(state, event).then_some(())
    }
}
