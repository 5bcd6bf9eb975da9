//! Several acceptors on one session: each takes the channels whose names begin with its prefix.
//!
//! There is no task behind them: an `accept` that is told of a channel of another line puts it there and wakes who waits.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use libchan_proto::SessionError;

use super::{Incoming, Inner, Session, Waiting};
use crate::sync::{Mutex, lock};
use crate::waiters::Waiters;

/// The most channels that wait in one line; more are refused.
const MAX_WAITING: usize = 256;

/// Takes the channels whose names begin with a prefix: what [`Session::accept_under`] gives. Clones compete.
///
/// It keeps the session alive as a `Session` does. Dropping the last clone refuses what waits in its line, and from then on
/// its names go to [`Session::accept`] and to shorter prefixes.
pub struct Acceptor {
    session: Session,
    line: Arc<Line>,
}

impl Acceptor {
    /// The next channel that the peer opens under the prefix; `None` when the session has ended cleanly. Cancel-safe.
    ///
    /// # Errors
    /// Why the session is over, unless one of the two sides closed it.
    pub async fn accept(&self) -> Result<Option<Incoming>, SessionError> {
        self.session.accept_on(&self.line).await
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.line.prefix
    }
}

impl Clone for Acceptor {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), line: self.line.clone() }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("prefix", &self.prefix()).finish_non_exhaustive()
    }
}

/// The lines of a session, shared by its handles.
#[derive(Default)]
pub(super) struct Lines {
    /// For names that no prefix has: [`Session::accept`].
    rest: Arc<Line>,
    under: Mutex<Vec<Weak<Line>>>,
}

/// Channels that wait for one kind of acceptor.
#[derive(Default)]
pub(super) struct Line {
    prefix: String,
    state: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Incoming>,
    acceptors: Waiters,
}

impl Lines {
    /// The line of a prefix.
    fn under(&self, prefix: String) -> Arc<Line> {
        let mut lines = lock(&self.under);
        lines.retain(|line| line.strong_count() > 0);
        let known = lines.iter().filter_map(Weak::upgrade).find(|line| line.prefix == prefix);
        known.unwrap_or_else(|| {
            let line = Arc::new(Line { prefix, state: Mutex::default() });
            lines.push(Arc::downgrade(&line));
            line
        })
    }

    /// The line that a channel of this name goes to: of those whose prefix it has, the longest.
    fn of(&self, name: &str) -> Arc<Line> {
        let lines = lock(&self.under);
        let fitting = lines.iter().filter_map(Weak::upgrade).filter(|line| name.starts_with(&line.prefix));
        fitting.max_by_key(|line| line.prefix.len()).unwrap_or_else(|| self.rest.clone())
    }
}

impl Line {
    /// The next channel in line, or a place in the list of those who wait for one.
    fn poll_take(&self, cx: &Context<'_>, ticket: &mut Option<u64>) -> Poll<Incoming> {
        let mut queue = lock(&self.state);
        if let Some(incoming) = queue.waiting.pop_front() {
            if let Some(ticket) = ticket.take() {
                queue.acceptors.leave(ticket);
            }
            return Poll::Ready(incoming);
        }
        queue.acceptors.wait(ticket, cx.waker());
        Poll::Pending
    }

    /// Puts a channel in line, for whoever accepts on it next.
    fn put(&self, incoming: Incoming) {
        let mut queue = lock(&self.state);
        if queue.waiting.len() >= MAX_WAITING {
            drop(queue);
            return incoming.forbid(format!("{MAX_WAITING} channels of this kind wait to be accepted"));
        }
        queue.waiting.push_back(incoming);
        let next = queue.acceptors.notify_one();
        drop(queue);
        if let Some(next) = next {
            next.wake();
        }
    }

    /// An `accept` was dropped; a channel it was told of is offered to the next one.
    fn leave(&self, ticket: u64) {
        let mut queue = lock(&self.state);
        let told = !queue.acceptors.leave(ticket);
        let next = if told && !queue.waiting.is_empty() { queue.acceptors.notify_one() } else { None };
        drop(queue);
        if let Some(next) = next {
            next.wake();
        }
    }
}

/// An `accept` that waits in line; leaves when dropped.
struct InLine<'a> {
    line: &'a Line,
    ticket: Option<u64>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.line.leave(ticket);
        }
    }
}

impl Session {
    /// An acceptor of the channels whose names begin with `prefix`, so that several libraries can accept on one session.
    /// [`accept`](Self::accept) takes what no prefix has; of several prefixes the longest decides. Asking twice for one prefix
    /// gives two that compete. The [guard](Self::guarded) of this handle is asked as well.
    ///
    /// Make it before the peer opens such channels: those that `accept` has given away are gone. At most 256 channels wait for
    /// an acceptor; more are refused.
    ///
    /// ```
    /// # async fn doc(session: libchan::Session) -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = session.accept_under("jobs/");
    /// while let Some(incoming) = jobs.accept().await? {
    ///     assert!(incoming.name().starts_with("jobs/"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn accept_under(&self, prefix: impl Into<String>) -> Acceptor {
        Acceptor { session: self.clone(), line: self.lines.under(prefix.into()) }
    }

    /// The next channel of those that nobody accepts by their prefix.
    pub(super) async fn accept_rest(&self) -> Result<Option<Incoming>, SessionError> {
        self.accept_on(&self.lines.rest).await
    }

    /// The next channel of one line that the guard lets pass.
    async fn accept_on(&self, line: &Arc<Line>) -> Result<Option<Incoming>, SessionError> {
        loop {
            let Some(incoming) = self.next_on(line).await? else { return Ok(None) };
            match self.guard.as_ref().map_or(Ok(()), |guard| guard(&incoming)) {
                Ok(()) => return Ok(Some(incoming)),
                Err(reason) => incoming.forbid(reason),
            }
        }
    }

    async fn next_on(&self, line: &Arc<Line>) -> Result<Option<Incoming>, SessionError> {
        let mut here = InLine { line, ticket: None };
        let mut at_session = match &self.inner {
            Inner::Protocol(shared) => Some(Waiting { shared, ticket: None }),
            Inner::Foreign(_) => None,
        };
        poll_fn(|cx| {
            loop {
                // In line first: what comes between the two is seen by whoever puts it there.
                if let Poll::Ready(incoming) = line.poll_take(cx, &mut here.ticket) {
                    return Poll::Ready(Ok(Some(incoming)));
                }
                let mut incoming = match self.poll_incoming(cx, &mut at_session) {
                    Poll::Ready(Ok(Some(incoming))) => incoming,
                    end => return end,
                };
                incoming.admission = self.admission();
                let of = self.lines.of(incoming.name());
                if Arc::ptr_eq(&of, line) {
                    return Poll::Ready(Ok(Some(incoming)));
                }
                of.put(incoming);
            }
        })
        .await
    }

    fn poll_incoming(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Option<Waiting<'_>>,
    ) -> Poll<Result<Option<Incoming>, SessionError>> {
        match (&self.inner, waiting) {
            (Inner::Protocol(shared), Some(waiting)) => shared.poll_accept(cx, &mut waiting.ticket),
            (Inner::Protocol(shared), None) => shared.poll_accept(cx, &mut None),
            (Inner::Foreign(transport), _) => transport.poll_accept(cx).map_ok(|shipped| {
                shipped.map(|shipped| Incoming::shipped(shipped, transport.info().principal.clone()))
            }),
        }
    }
}
