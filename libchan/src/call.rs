//! `call`: a request with a reply in it, sent and waited for, with one error for every way that can fail.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::chan::Sending;
use crate::cut::{Cut, SessionLoss};
use crate::error::{Closed, RecvError, RemoteError, SendError, SendFailure};
use crate::oneshot;
use crate::sender::Sender;
use crate::sync::{block_on, block_on_for};

/// A call on its way: a future of the answer. [`Sender::call`] makes it.
///
/// Dropping it is how one gives up. A request that has not left is not sent; of one that has, the handler sees
/// [`closed`](oneshot::Sender::closed).
#[must_use = "a call does nothing unless it is awaited"]
pub struct Call<'a, Q, R> {
    requests: &'a Sender<Q>,
    /// Until the request is accepted.
    sending: Option<Sending<'a, Q>>,
    answer: oneshot::Receiver<R>,
    patience: Option<Duration>,
    /// Made at the first poll, which is on a runtime.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<'a, Q, R> Call<'a, Q, R> {
    pub(crate) fn new(requests: &'a Sender<Q>, request: impl FnOnce(oneshot::Sender<R>) -> Q) -> Self {
        let (reply, answer) = oneshot::channel();
        let sending = Some(Sending::new(requests.chan(), request(reply)));
        Self { requests, sending, answer, patience: None, deadline: None }
    }

    /// Gives up after `duration`, with [`CallError::TimedOut`]. It needs a tokio runtime with its time driver.
    pub fn within(mut self, duration: Duration) -> Self {
        self.patience = Some(duration);
        self
    }

    pub(crate) fn wait(self) -> Result<R, CallError<Q>> {
        block_on(self)
    }

    pub(crate) fn wait_for(mut self, duration: Duration) -> Result<R, CallError<Q>> {
        match block_on_for(&mut self, duration) {
            Some(result) => result,
            None => Err(self.time_out()),
        }
    }

    fn time_out(&self) -> CallError<Q> {
        CallError::TimedOut { sent: self.sending.is_none() }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, CallError<Q>>> {
        if let Some(sending) = &mut self.sending {
            std::task::ready!(Pin::new(sending).poll(cx)).map_err(CallError::NotSent)?;
            self.sending = None;
        }
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.map_err(|error| CallError::of(error, self.requests)))
    }
}

/// Nothing in it is pinned in place.
impl<Q, R> Unpin for Call<'_, Q, R> {}

impl<Q, R> Future for Call<'_, Q, R> {
    type Output = Result<R, CallError<Q>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.poll_answer(cx) {
            return Poll::Ready(result);
        }
        if let Some(duration) = this.patience.take() {
            this.deadline = Some(Box::pin(sleep(duration)));
        }
        match &mut this.deadline {
            Some(deadline) => deadline.as_mut().poll(cx).map(|()| Err(this.time_out())),
            None => Poll::Pending,
        }
    }
}

impl<Q, R> fmt::Debug for Call<'_, Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("sent", &self.sending.is_none()).finish_non_exhaustive()
    }
}

/// Why a [`call`](Sender::call) has no answer.
///
/// [`is_safe_to_retry`](Self::is_safe_to_retry) says whether the application at the other side has certainly not seen the
/// request.
#[non_exhaustive]
pub enum CallError<Q> {
    /// The request was not accepted; here it is.
    NotSent(SendError<Q>),
    /// The channel of the requests was refused.
    Refused(RemoteError),
    /// The other side could not decode the request; the text says why.
    NotDecoded(String),
    /// The request was dropped before anybody received it.
    NotDelivered(String),
    /// The other side is draining and takes no more requests.
    GoingAway(String),
    /// The type at the other side has no place for the reply.
    Unclaimed(String),
    /// The handler panicked.
    Panicked(String),
    /// The handler has dropped the reply without an answer.
    NoReply(String),
    /// The handler was dropped before it had finished: its task was cancelled.
    Abandoned(String),
    /// A session on the way was closed before the answer came.
    SessionClosed(SessionLoss),
    /// A link on the way was lost before the answer came.
    Disconnected(SessionLoss),
    /// The handler has answered with an error.
    Remote(RemoteError),
    /// There was an answer, and it could not be encoded, forwarded or decoded.
    Answer(RecvError),
    /// The time of [`within`](Call::within) is over.
    TimedOut {
        /// Whether the request had been accepted; if not, it never left.
        sent: bool,
    },
}

impl<Q> CallError<Q> {
    fn of(error: RecvError, requests: &Sender<Q>) -> Self {
        let said = match error {
            RecvError::Remote(said) => said,
            RecvError::Disconnected(loss) => return Self::Disconnected(loss),
            RecvError::SessionClosed(loss) => return Self::SessionClosed(loss),
            other => return Self::Answer(other),
        };
        let text = said.text().to_owned();
        match said.cut() {
            None => Self::Remote(said),
            Some(Cut::Refused) => Self::Refused(said),
            Some(Cut::NotDecoded) => Self::NotDecoded(text),
            Some(Cut::NotDelivered) => Self::not_delivered(text, requests),
            Some(Cut::GoingAway) => Self::GoingAway(text),
            Some(Cut::Unclaimed) => Self::Unclaimed(text),
            Some(Cut::Panicked) => Self::Panicked(text),
            Some(Cut::NoReply) => Self::NoReply(text),
            Some(Cut::Abandoned) => Self::Abandoned(text),
        }
    }

    /// The request was dropped unread: perhaps its channel knows why.
    fn not_delivered(text: String, requests: &Sender<Q>) -> Self {
        match requests.chan().refused() {
            Some(Closed::Refused(why)) if why.cut() == Some(Cut::GoingAway) => {
                Self::GoingAway(why.text().to_owned())
            }
            Some(Closed::Refused(why)) => Self::Refused(why),
            _ => Self::NotDelivered(text),
        }
    }

    /// Whether the application at the other side has certainly not seen the request: sending it again does nothing twice. `false`
    /// says that it may have seen it.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::NotSent(error) => {
                !matches!(error.reason, SendFailure::Disconnected { outcome_unknown: true, .. })
            }
            Self::Refused(_) | Self::NotDecoded(_) | Self::NotDelivered(_) | Self::GoingAway(_) => true,
            Self::TimedOut { sent } => !sent,
            Self::Unclaimed(_) | Self::Panicked(_) | Self::NoReply(_) | Self::Abandoned(_) => false,
            Self::SessionClosed(_) | Self::Disconnected(_) | Self::Remote(_) | Self::Answer(_) => false,
        }
    }

    /// The request, if it never left.
    pub fn into_request(self) -> Option<Q> {
        match self {
            Self::NotSent(error) => Some(error.value),
            _ => None,
        }
    }

    /// The same error without the request: for `?` into a boxed error when `Q` is not `Sync`.
    pub fn without_request(self) -> CallError<()> {
        match self {
            Self::NotSent(SendError { reason, .. }) => CallError::NotSent(SendError::new((), reason)),
            Self::Refused(why) => CallError::Refused(why),
            Self::NotDecoded(text) => CallError::NotDecoded(text),
            Self::NotDelivered(text) => CallError::NotDelivered(text),
            Self::GoingAway(text) => CallError::GoingAway(text),
            Self::Unclaimed(text) => CallError::Unclaimed(text),
            Self::Panicked(text) => CallError::Panicked(text),
            Self::NoReply(text) => CallError::NoReply(text),
            Self::Abandoned(text) => CallError::Abandoned(text),
            Self::SessionClosed(loss) => CallError::SessionClosed(loss),
            Self::Disconnected(loss) => CallError::Disconnected(loss),
            Self::Remote(error) => CallError::Remote(error),
            Self::Answer(error) => CallError::Answer(error),
            Self::TimedOut { sent } => CallError::TimedOut { sent },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "NotSent",
            Self::Refused(_) => "Refused",
            Self::NotDecoded(_) => "NotDecoded",
            Self::NotDelivered(_) => "NotDelivered",
            Self::GoingAway(_) => "GoingAway",
            Self::Unclaimed(_) => "Unclaimed",
            Self::Panicked(_) => "Panicked",
            Self::NoReply(_) => "NoReply",
            Self::Abandoned(_) => "Abandoned",
            Self::SessionClosed(_) => "SessionClosed",
            Self::Disconnected(_) => "Disconnected",
            Self::Remote(_) => "Remote",
            Self::Answer(_) => "Answer",
            Self::TimedOut { .. } => "TimedOut",
        }
    }
}

impl<Q> fmt::Display for CallError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => write!(f, "the request was not sent: {error}"),
            Self::Refused(why) => write!(f, "the service refused the channel of the request: {why}"),
            Self::NotDecoded(text) => {
                write!(
                    f,
                    "the service did not understand the request: {text}; both sides must name the same type"
                )
            }
            Self::NotDelivered(text) => {
                write!(f, "the service has not seen the request: {text}; send it again")
            }
            Self::GoingAway(text) => {
                write!(
                    f,
                    "the service is going away and has not taken the request: {text}; send it to another"
                )
            }
            Self::Unclaimed(text) => {
                write!(f, "the service's type of the request has no place for the reply: {text}")
            }
            Self::Panicked(text) => write!(f, "the handler of the request panicked: {text}"),
            Self::NoReply(text) => write!(f, "the handler dropped the request without an answer: {text}"),
            Self::Abandoned(text) => write!(f, "the handler was dropped before it had finished: {text}"),
            Self::SessionClosed(loss) => write!(
                f,
                "the session was closed before the answer came{}; the service may have seen the request",
                loss.detail()
            ),
            Self::Disconnected(loss) => write!(
                f,
                "the link was lost before the answer came{}; the service may have seen the request",
                loss.detail()
            ),
            Self::Remote(error) => write!(f, "the service answered with an error: {error}"),
            Self::Answer(error) => write!(f, "the answer did not arrive: {error}"),
            Self::TimedOut { sent: true } => {
                f.write_str("no answer came in time; the service was told that nobody waits any more")
            }
            Self::TimedOut { sent: false } => {
                f.write_str("the channel had no room for the request in time; it was not sent")
            }
        }
    }
}

impl<Q> fmt::Debug for CallError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.name())
    }
}

impl<Q> Error for CallError<Q> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent(error) => Some(&error.reason),
            Self::Refused(why) | Self::Remote(why) => Some(why),
            Self::SessionClosed(loss) | Self::Disconnected(loss) => loss.source(),
            Self::Answer(error) => Some(error),
            _ => None,
        }
    }
}
