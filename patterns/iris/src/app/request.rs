//! Requests: one pair of channels for all of them, and a number for each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libchan::{Message, Receiver, Sender, Session, pipe_with};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::attachment::{Attachment, NotSent};
use super::{Connection, lock};
use crate::body::Body;
use crate::error::Error;
use crate::wire::{Answer, Ask, REQUESTS, Requests, Verdict};

/// Asks that wait for the relay.
const ASKS: usize = 1024;
/// Answers on their way back: the relay holds as many requests of an application, and the sender of a channel hears late of
/// what was taken.
pub(crate) const ANSWERS: usize = 2 * crate::relay::IN_FLIGHT;

/// What a request does where its cluster has no member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// It waits for one until its time is up.
    #[default]
    ForAMember,
    /// It ends at once with [`Error::NoMember`].
    No,
}

/// An application's requests under way.
pub(super) struct Requesting {
    /// Kept open: a relay that leaves says so on the named channels that are.
    _opened: Sender<Requests>,
    asks: Sender<Ask>,
    next: AtomicU64,
    pending: Arc<Pending>,
    dispatching: AbortHandle,
}

impl Drop for Requesting {
    fn drop(&mut self) {
        // Nobody waits for an answer any more.
        self.dispatching.abort();
    }
}

#[derive(Default)]
struct Pending {
    answers: Mutex<HashMap<u64, oneshot::Sender<Verdict>>>,
}

impl Requesting {
    pub(super) fn open(session: &Session) -> Result<Arc<Self>, Error> {
        let opened = session.open::<Requests>(REQUESTS).map_err(|_| Error::Closed)?;
        let (asks, relays_asks) = pipe_with(ASKS);
        let (relays_answers, answers) = pipe_with(ANSWERS);
        let requests = Requests { asks: relays_asks, answers: relays_answers };
        opened.try_send(requests).map_err(|_| Error::Closed)?;
        let pending = Arc::new(Pending::default());
        let dispatching = tokio::spawn(dispatch(answers, pending.clone())).abort_handle();
        let next = AtomicU64::new(0);
        Ok(Arc::new(Self { _opened: opened, asks, next, pending, dispatching }))
    }

    pub(super) fn under_way(&self) -> usize {
        lock(&self.pending.answers).len()
    }
}

/// Hands answers to those who wait for them, until the relay is gone. Then nobody's answer comes any more.
async fn dispatch(answers: Receiver<Answer>, pending: Arc<Pending>) {
    loop {
        match answers.recv().await {
            Ok(Some(Answer(number, verdict))) => {
                if let Some(caller) = lock(&pending.answers).remove(&number) {
                    // The caller may have gone meanwhile.
                    drop(caller.send(verdict));
                }
            }
            Ok(None) => break,
            Err(error) if error.is_end() => break,
            // One answer that does not decode: its request runs into its deadline.
            Err(error) => tracing::warn!(%error, "an answer of the relay does not decode"),
        }
    }
    lock(&pending.answers).clear();
}

/// A request whose answer is awaited. Dropped before, it cancels the request wherever it is.
struct Awaited<'a> {
    requesting: &'a Requesting,
    number: u64,
    /// It has been sent, and has no answer.
    sent: bool,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        lock(&self.requesting.pending.answers).remove(&self.number);
        if self.sent {
            // Full: the relay's clock ends it.
            drop(self.requesting.asks.try_send(Ask::Cancel(self.number)));
        }
    }
}

impl Connection {
    /// Asks a member of the cluster, and waits for the reply, `within` at the most. Waits for a member where there is none.
    ///
    /// The value may hold channel ends, byte streams and descriptors: they work between this application and the handler.
    ///
    /// # Cancel safety
    /// Dropped before it completes, the request is cancelled wherever it is: it is not begun, or its handler is dropped.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_safe_to_retry`] says whether a handler can have seen the request.
    pub async fn request<Q, R>(&self, cluster: &str, value: &Q, within: Duration) -> Result<R, Error>
    where
        Q: Serialize + ?Sized,
        R: Message,
    {
        self.request_raw(cluster, Body::of(value)?, within, Wait::ForAMember).await?.read()
    }

    /// Asks with a body as it is, and gives the reply as it is.
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    ///
    /// # Errors
    /// As [`request`](Self::request); with [`Wait::No`], [`Error::NoMember`] at once where the cluster has none. A redialing
    /// connection that had no relay in time says [`Error::Closed`].
    pub async fn request_raw(
        &self,
        cluster: &str,
        body: Body,
        within: Duration,
        wait: Wait,
    ) -> Result<Body, Error> {
        let deadline = Instant::now() + within;
        let (mut body, mut passed) = (body, 0);
        loop {
            // Without a relay in time nothing was asked.
            let attachment = timeout_at(deadline, self.app.attachment(passed)).await;
            let attachment = attachment.unwrap_or(Err(Error::Closed))?;
            passed = attachment.number;
            match attachment.ask(cluster, body, deadline, wait).await {
                Ok(verdict) => return verdict,
                Err(NotSent { value, error: Error::Closed }) => body = value,
                Err(NotSent { error, .. }) => return Err(error),
            }
        }
    }
}

impl Attachment {
    /// Asks the relay, and waits for its answer.
    ///
    /// # Errors
    /// The request has not left: its body and why.
    async fn ask(
        &self,
        cluster: &str,
        body: Body,
        deadline: Instant,
        wait: Wait,
    ) -> Result<Result<Body, Error>, NotSent<Body>> {
        let requesting = match self.requesting() {
            Ok(requesting) => requesting,
            Err(error) => return Err(NotSent { value: body, error }),
        };
        let number = requesting.next.fetch_add(1, Ordering::Relaxed);
        let (answer, verdict) = oneshot::channel();
        lock(&requesting.pending.answers).insert(number, answer);
        let mut awaited = Awaited { requesting: &requesting, number, sent: false };
        // Time left is rounded up: a request of half a millisecond has one, not none.
        let left = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        let ask = Ask::Request(number, cluster.to_owned(), left, wait == Wait::ForAMember, body);
        match timeout_at(deadline, requesting.asks.send(ask)).await {
            Ok(Ok(())) => awaited.sent = true,
            Ok(Err(failed)) => {
                let NotSent { value, error } = failed.into();
                return match value {
                    Ask::Request(_, _, _, _, body) => Err(NotSent { value: body, error }),
                    Ask::Cancel(_) => Ok(Err(error)),
                };
            }
            Err(_elapsed) => return Ok(Err(Error::Timeout)),
        }
        let verdict = match timeout_at(deadline, verdict).await {
            Ok(verdict) => verdict,
            Err(_elapsed) => return Ok(Err(Error::Timeout)),
        };
        awaited.sent = false;
        Ok(match verdict {
            Ok(Verdict::Ok(body)) => Ok(body),
            Ok(Verdict::Fault(text)) => {
                Err(Error::Remote(String::from_utf8_lossy(text.as_bytes()).into_owned()))
            }
            Ok(Verdict::Timeout) => Err(Error::Timeout),
            Ok(Verdict::NoMember) => Err(Error::NoMember),
            Ok(Verdict::Busy) => Err(Error::Busy),
            Ok(Verdict::Going) => Err(Error::Closed),
            Ok(Verdict::Refused(text)) => Err(Error::Refused(text)),
            Ok(Verdict::Lost) | Err(_) => Err(Error::Lost),
        })
    }
}
