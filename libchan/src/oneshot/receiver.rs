//! The end that waits for the answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::chan::Place;
use crate::cut::Cut;
use crate::error::{RecvError, TryRecvError};
use crate::message::Message;
use crate::receiver;
use crate::sync::{block_on, block_on_for};

/// Waits for one value: a future of `Result<T, RecvError>`.
///
/// With the value, or the reason why there is none, the channel is over. Dropping it before is how one gives up: the other side
/// sees [`closed`](super::Sender::closed).
///
/// Cancel-safe: polled through a reference (`&mut answer`) it loses nothing.
#[must_use = "a oneshot receiver does nothing unless it is awaited; dropped, it tells the sender that nobody waits"]
pub struct Receiver<T> {
    /// `None` once it has given its result.
    inner: Option<receiver::Receiver<T>>,
    place: Place,
}

impl<T> Receiver<T> {
    pub(super) fn new(inner: receiver::Receiver<T>) -> Self {
        Self { inner: Some(inner), place: Place::default() }
    }

    /// The value if it is there.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if it is not there yet, [`TryRecvError::Failed`] if it will not come.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let Some(inner) = &self.inner else { return Err(TryRecvError::Failed(over())) };
        let result = match inner.try_recv() {
            Err(TryRecvError::Empty) => return Err(TryRecvError::Empty),
            Err(TryRecvError::Ended) => Err(TryRecvError::Failed(no_reply())),
            result => result,
        };
        self.finish();
        result
    }

    /// Awaiting it, for a thread without a runtime.
    ///
    /// # Errors
    /// Why there is no value.
    ///
    /// # Panics
    /// On a thread that runs async tasks, which it would stop.
    #[track_caller]
    pub fn recv_blocking(self) -> Result<T, RecvError> {
        block_on(self)
    }

    /// The same, for no longer than `duration`.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if the value has not come in time: it may still, to this receiver.
    ///
    /// # Panics
    /// On a thread that runs async tasks, which it would stop.
    #[track_caller]
    pub fn recv_blocking_within(&mut self, duration: Duration) -> Result<T, TryRecvError> {
        match block_on_for(&mut *self, duration) {
            Some(result) => result.map_err(TryRecvError::Failed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// The result is known: nothing more is wanted.
    fn finish(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.chan().withdraw_recv(&mut self.place);
        }
    }
}

/// The value is moved through, and never pinned.
impl<T> Unpin for Receiver<T> {}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(inner) = &this.inner else { return Poll::Ready(Err(over())) };
        let mut value = None;
        let polled = inner.chan().poll_recv(&mut value, cx.waker(), &mut this.place);
        let result = std::task::ready!(polled.with(value));
        this.finish();
        Poll::Ready(result.and_then(|value| value.ok_or_else(no_reply)))
    }
}

fn no_reply() -> RecvError {
    Cut::NoReply.cause().into_recv_error()
}

/// It was asked again after it had given its result.
fn over() -> RecvError {
    Cut::NoReply.because("the one value of this channel was received before").into_recv_error()
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("oneshot::Receiver")
    }
}

impl<T: Message> Serialize for Receiver<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.inner {
            Some(inner) => inner.serialize(serializer),
            None => {
                Err(serde::ser::Error::custom("the oneshot receiver has given its result and cannot be sent"))
            }
        }
    }
}

impl<'de, T: Message> Deserialize<'de> for Receiver<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        receiver::Receiver::deserialize(deserializer).map(Self::new)
    }
}
