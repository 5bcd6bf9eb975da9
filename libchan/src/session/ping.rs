//! The round-trip time of a session, by the protocol's own ping.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use libchan_proto::SessionError;
use tokio::time::{Instant, sleep_until};

use super::shared::Shared;
use super::{Inner, Session};

/// What lies between two pings at least: a peer ends a session that pings more than a hundred times within five seconds, and
/// these are not the only ones.
const APART: Duration = Duration::from_millis(200);

/// The pings that were asked for.
#[derive(Default)]
pub(super) struct Pings {
    /// The next one may leave from then on.
    next: Option<Instant>,
    /// The number of the last one that was answered.
    pub(super) answered: u64,
}

impl Session {
    /// Asks the peer's library for an answer, and says how long that took: the round trip of the link with what waits on it.
    /// The peer's application takes no part. Cancel-safe.
    ///
    /// Pings are at least 200 ms apart: one that is asked for earlier waits, which its time does not include. It takes no longer
    /// than [`Limits::dead_after`](crate::Limits::dead_after), when a silent peer's session ends. Over a transport that is no
    /// link, `mem:` for one, nothing is asked and the time is zero.
    ///
    /// # Errors
    /// The session is over, or ends before the answer.
    pub async fn ping(&self) -> Result<Duration, SessionError> {
        match &self.inner {
            Inner::Protocol(shared) => shared.ping().await,
            Inner::Foreign(transport) => match poll_fn(|cx| Poll::Ready(transport.poll_closed(cx))).await {
                Poll::Pending => Ok(Duration::ZERO),
                Poll::Ready(over) => Err(over.err().unwrap_or(SessionError::Closed)),
            },
        }
    }
}

impl Shared {
    async fn ping(&self) -> Result<Duration, SessionError> {
        let now = Instant::now();
        let turn = {
            let pings = &mut self.lock().pings;
            let turn = pings.next.map_or(now, |next| next.max(now));
            pings.next = Some(turn + APART);
            turn
        };
        sleep_until(turn).await;
        let number = self.quiet(|state| match &state.over {
            Some(why) => Err(why.clone()),
            // A side that is leaving sends nothing that asks for an answer.
            None if state.closing => Err(SessionError::Closed),
            None => Ok(state.machine.ping()),
        })?;
        let sent = Instant::now();
        self.until(|state| match &state.over {
            _ if state.pings.answered >= number => Some(Ok(sent.elapsed())),
            Some(why) => Some(Err(why.clone())),
            None => None,
        })
        .await
    }
}
