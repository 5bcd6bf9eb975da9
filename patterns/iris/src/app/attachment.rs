//! What an application has with a relay on one session: its named channels, each opened when it is first used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use libchan::{Closed, Cut, Message, OpenOptions, SendError, SendFailure, Sender, Session};
use tokio::task::AbortHandle;

use super::lock;
use super::request::Requesting;
use crate::error::Error;
use crate::wire::{Line, POSTS, Post, REGISTER, Register, SUBSCRIBE, Subscribe, TUNNELS};

/// How many posts, subscriptions, registrations and tunnels wait for the relay at the most, of each.
const CAPACITY: usize = 256;

/// An attachment to a relay. It ends with its session; a connection that comes back has one after the other.
pub(crate) struct Attachment {
    /// The first one has 1, each one after it one more.
    pub(crate) number: u64,
    pub(crate) session: Session,
    requesting: Mutex<Option<Arc<Requesting>>>,
    pub(super) posts: Named<Post>,
    pub(super) subscribe: Named<Subscribe>,
    pub(crate) register: Named<Register>,
    pub(super) tunnels: Named<Line>,
    leaving: AtomicBool,
    watching: Mutex<Option<AbortHandle>>,
}

/// A named channel of the session.
pub(crate) struct Named<T> {
    name: &'static str,
    sender: Mutex<Option<Sender<T>>>,
}

/// A value that did not leave, and why.
pub(crate) struct NotSent<T> {
    pub(crate) value: T,
    pub(crate) error: Error,
}

impl Attachment {
    pub(super) fn new(number: u64, session: Session) -> Arc<Self> {
        let attachment = Arc::new(Self {
            number,
            session: session.clone(),
            requesting: Mutex::new(None),
            posts: Named::new(POSTS),
            subscribe: Named::new(SUBSCRIBE),
            register: Named::new(REGISTER),
            tunnels: Named::new(TUNNELS),
            leaving: AtomicBool::new(false),
            watching: Mutex::new(None),
        });
        // Without a runtime nobody can use the session either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let watching = runtime.spawn(leave_with(session, Arc::downgrade(&attachment)));
            *lock(&attachment.watching) = Some(watching.abort_handle());
        }
        attachment
    }

    /// The relay has said that it is leaving, or is gone: nothing new is asked of it.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`Error::Closed`]: the session is over, or the relay is leaving.
    pub(super) fn requesting(&self) -> Result<Arc<Requesting>, Error> {
        let mut requesting = lock(&self.requesting);
        if self.is_leaving() {
            return Err(Error::Closed);
        }
        if let Some(requesting) = &*requesting {
            return Ok(requesting.clone());
        }
        Ok(requesting.insert(Requesting::open(&self.session)?).clone())
    }

    pub(super) fn under_way(&self) -> usize {
        lock(&self.requesting).as_ref().map_or(0, |requesting| requesting.under_way())
    }

    /// Sends on one of its named channels.
    pub(crate) async fn send<T: Message>(&self, on: &Named<T>, value: T) -> Result<(), NotSent<T>> {
        match on.get(&self.session) {
            Ok(sender) => sender.send(value).await.map_err(NotSent::from),
            Err(error) => Err(NotSent { value, error }),
        }
    }

    fn leave(&self) {
        let mut requesting = lock(&self.requesting);
        self.leaving.store(true, Ordering::Release);
        // The last of those under way ends the channel of requests: so the relay knows that no more come.
        requesting.take();
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(watching) = lock(&self.watching).take() {
            watching.abort();
        }
    }
}

async fn leave_with(session: Session, attachment: Weak<Attachment>) {
    session.going().await;
    if let Some(attachment) = attachment.upgrade() {
        attachment.leave();
    }
}

impl<T: Message> Named<T> {
    const fn new(name: &'static str) -> Self {
        Self { name, sender: Mutex::new(None) }
    }

    fn get(&self, session: &Session) -> Result<Sender<T>, Error> {
        let mut sender = lock(&self.sender);
        if let Some(sender) = &*sender {
            return Ok(sender.clone());
        }
        let opened = session.open_with(self.name, OpenOptions::new().capacity(CAPACITY));
        let opened = opened.map_err(|_| Error::Closed)?;
        *sender = Some(opened.clone());
        Ok(opened)
    }
}

impl<T> From<SendError<T>> for NotSent<T> {
    fn from(failed: SendError<T>) -> Self {
        let error = not_sent(&failed.reason);
        Self { value: failed.value, error }
    }
}

/// What a failed send means for its caller.
pub(super) fn not_sent(reason: &SendFailure) -> Error {
    match reason {
        SendFailure::Closed(Closed::Refused(error)) if error.cut() != Some(Cut::GoingAway) => {
            Error::Refused(error.to_string())
        }
        SendFailure::Closed(_) | SendFailure::Disconnected { outcome_unknown: false, .. } => Error::Closed,
        SendFailure::Disconnected { .. } => Error::Lost,
        other => Error::Local(other.to_string()),
    }
}
