//! The sender of a named channel on whichever session is there.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use libchan::{Closed, Message, OpenError, OpenOptions, SendError, SendFailure, Sender, oneshot};
use tokio::time::timeout;

use super::core::{Core, Current};
use super::error::{RedialCallError, RedialFailure, RedialSendError};
use super::{Inner, lock};

/// How long it may take at the most that a redial hears of the loss of its session.
const MOMENT: Duration = Duration::from_secs(1);

/// Sends into a named channel on whichever session is there: what [`Redial::open`](super::Redial::open) gives.
///
/// On each session it opens the name when something is first sent there. While that session is there it is a
/// [`Sender`]: a channel that the peer has refused, or whose receivers it has dropped, stays closed until the next one. A
/// server that stops best drains its sessions ([`Session::drain`](libchan::Session::drain)): then sends that wait go over the
/// next session. If it drops its receivers first, a send that comes between is told so, with its value. Clones share the
/// channel.
pub struct RedialSender<T> {
    shared: Arc<SharedSender<T>>,
}

struct SharedSender<T> {
    redial: Arc<Inner>,
    name: String,
    options: OpenOptions,
    slot: Mutex<Slot<T>>,
}

/// The channel on the newest session that was sent on, and what was accepted there and before.
struct Slot<T> {
    channel: Option<Arc<Channel<T>>>,
    /// By that channel.
    accepted: u64,
    /// By those before, at the most.
    may_be_lost: u64,
}

/// The channel on one session.
struct Channel<T> {
    /// The session's.
    number: u64,
    sender: Sender<T>,
    /// Completes when the session is over or its peer is leaving; `None` once it has. It is one future for good, because each
    /// one that is given up leaves a trace in the session.
    leaving: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl<T> RedialSender<T> {
    pub(super) fn new(redial: Arc<Inner>, name: String, options: OpenOptions) -> Self {
        let slot = Mutex::new(Slot { channel: None, accepted: 0, may_be_lost: 0 });
        Self { shared: Arc::new(SharedSender { redial, name, options, slot }) }
    }

    /// The name of the channel.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How many messages were accepted by [`send`](Self::send) and may be lost with their sessions, at the most: a channel of
    /// capacity n can have lost the last n that it accepted. It counts all clones and all sessions that are over, and never goes
    /// back.
    ///
    /// Who wants to know of each message asks for an answer ([`call`](Self::call)), or opens the channel with capacity 0.
    pub fn may_be_lost(&self) -> u64 {
        let slot = lock(&self.shared.slot);
        let over = slot.channel.as_ref().is_some_and(|channel| channel.sender.is_closed());
        slot.may_be_lost + if over { slot.in_doubt() } else { 0 }
    }
}

impl<T: Message> RedialSender<T> {
    /// Sends on the session that is there, waiting for one and for room. A value that has not left when its session is lost goes
    /// over the next one.
    ///
    /// `Ok` says that the value was accepted, as with [`Sender::send`]: it may be lost with its session, which
    /// [`may_be_lost`](Self::may_be_lost) counts. With capacity 0, `Ok` says that a receiver has taken it.
    ///
    /// # Cancel safety
    /// As [`Sender::send`]: dropped before it completes, the value is dropped and nothing is sent. With capacity 0 this holds until
    /// its message has left for the peer, which may still take it.
    ///
    /// # Errors
    /// The value and the reason: the redial is over, the channel cannot be opened or was refused, the value cannot be encoded or
    /// is too large, or its session was lost when it had left, so that it
    /// [may have been taken](RedialFailure::MayHaveBeenTaken).
    ///
    /// # Panics
    /// If it is the first use of the redial, outside a tokio runtime with its time and I/O drivers.
    pub async fn send(&self, value: T) -> Result<(), RedialSendError<T>> {
        let (mut value, mut passed) = (value, 0);
        loop {
            let channel = match self.shared.channel(passed).await {
                Ok(channel) => channel,
                Err(reason) => return Err(RedialSendError { value, reason }),
            };
            passed = channel.number;
            match channel.sender.send(value).await {
                Ok(()) => {
                    lock(&self.shared.slot).count(&channel);
                    return Ok(());
                }
                Err(SendError { value: back, reason }) => {
                    match channel.verdict(reason, &self.shared.redial.core).await {
                        None => value = back,
                        Some(reason) => return Err(RedialSendError { value: back, reason }),
                    }
                }
            }
        }
    }

    /// Sends a request with a reply in it and waits for the answer. The request goes over the next session if it has not left when
    /// its session is lost; it is never sent twice.
    ///
    /// Put a `tokio::time::timeout` around it to wait no longer than that, for a session too.
    ///
    /// # Cancel safety
    /// Dropping the call gives up: a request that has not left is not sent, and of one that has, the handler sees
    /// [`closed`](oneshot::Sender::closed).
    ///
    /// # Errors
    /// The request was not sent, or no answer came; [`is_safe_to_retry`](RedialCallError::is_safe_to_retry) says whether the service
    /// can have seen it.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub async fn call<R>(
        &self,
        request: impl FnOnce(oneshot::Sender<R>) -> T,
    ) -> Result<R, RedialCallError<T>> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).await.map_err(RedialCallError::NotSent)?;
        answer.await.map_err(RedialCallError::NoAnswer)
    }
}

impl<T: Message> SharedSender<T> {
    /// The channel on a session whose number is above `passed`.
    async fn channel(&self, mut passed: u64) -> Result<Arc<Channel<T>>, RedialFailure> {
        if let Some(known) = self.known(passed) {
            return Ok(known);
        }
        loop {
            let current = self.redial.session_after(passed).await.map_err(RedialFailure::Over)?;
            passed = current.number;
            match self.opened(current) {
                // Its session may be the newest until the task has seen that it is over.
                Ok(channel) if channel.is_over() => passed = channel.number,
                Ok(channel) => return Ok(channel),
                Err(OpenError::SessionOver(_)) => {}
                Err(why) => return Err(RedialFailure::NotOpened(why)),
            }
        }
    }

    /// The channel that is open already on the session that is there: so for nearly every send.
    fn known(&self, passed: u64) -> Option<Arc<Channel<T>>> {
        let newest = self.redial.core.number()?;
        let known = lock(&self.slot).channel.clone()?;
        (known.number >= newest && known.number > passed && !known.is_over()).then_some(known)
    }

    /// The channel on this session, unless it was opened on a later one already.
    fn opened(&self, current: Current) -> Result<Arc<Channel<T>>, OpenError> {
        let mut slot = lock(&self.slot);
        if let Some(known) = slot.channel.as_ref().filter(|known| known.number >= current.number) {
            return Ok(known.clone());
        }
        let Current { number, session, .. } = current;
        let sender = session.open_with(&self.name, self.options.clone())?;
        let leaving = Mutex::new(Some(Box::pin(async move { session.going().await }) as _));
        let channel = Arc::new(Channel { number, sender, leaving });
        let before = slot.follow(channel.clone());
        drop(slot);
        // What waits in it is dropped outside the lock.
        drop(before);
        Ok(channel)
    }
}

impl<T> Slot<T> {
    /// How many of what the channel has accepted may not have been taken.
    fn in_doubt(&self) -> u64 {
        let capacity = self.channel.as_ref().map_or(0, |channel| channel.sender.capacity());
        self.accepted.min(capacity as u64)
    }

    /// The next session has come: gives the channel before.
    fn follow(&mut self, next: Arc<Channel<T>>) -> Option<Arc<Channel<T>>> {
        self.may_be_lost += self.in_doubt();
        self.accepted = 0;
        self.channel.replace(next)
    }

    /// The channel has accepted a message.
    fn count(&mut self, by: &Channel<T>) {
        match &self.channel {
            Some(channel) if channel.number == by.number => self.accepted += 1,
            // Its session was left meanwhile.
            _ if by.sender.capacity() > 0 => self.may_be_lost += 1,
            _ => {}
        }
    }
}

impl<T> Channel<T> {
    /// Whether it has ended with its session, so that nothing has to be tried.
    fn is_over(&self) -> bool {
        self.sender.is_closed() && self.is_leaving()
    }

    /// Whether the session is over, or its peer has said that it is leaving.
    fn is_leaving(&self) -> bool {
        let mut leaving = lock(&self.leaving);
        let Some(watch) = &mut *leaving else { return true };
        let left = watch.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if left {
            *leaving = None;
        }
        left
    }

    /// What becomes of a value that the channel has not accepted; `None`: it goes to the next session.
    async fn verdict(&self, reason: SendFailure, redial: &Core) -> Option<RedialFailure> {
        let leaves = match &reason {
            SendFailure::Disconnected { outcome_unknown: true, .. } => {
                return Some(RedialFailure::MayHaveBeenTaken(reason));
            }
            // Of a rendezvous that was broken off by a close nobody says whether its message had left.
            SendFailure::Closed(Closed::SessionClosed(_)) if self.sender.capacity() == 0 => {
                return Some(RedialFailure::MayHaveBeenTaken(reason));
            }
            // Lost with a session of this process: ours as a rule, of which the task hears in a moment; over `mem:` it may be one
            // behind the peer, and then no next session is coming.
            SendFailure::Disconnected { loss, .. } | SendFailure::Closed(Closed::SessionClosed(loss))
                if loss.session_error().is_some() =>
            {
                self.is_leaving() || timeout(MOMENT, redial.left(self.number)).await.is_ok()
            }
            // Lost behind the peer, or refused or dropped by it, if it does not do so because it goes itself.
            SendFailure::Disconnected { .. } | SendFailure::Closed(_) => self.is_leaving(),
            _ => false,
        };
        (!leaves).then_some(RedialFailure::NotSent(reason))
    }
}

impl<T> Clone for RedialSender<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for RedialSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedialSender")
            .field("name", &self.shared.name)
            .field("redial", &self.shared.redial)
            .finish_non_exhaustive()
    }
}
