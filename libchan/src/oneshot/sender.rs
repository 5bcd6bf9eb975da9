//! The end that answers.

use std::fmt;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::error::{Closed, RemoteError, SendError};
use crate::message::Message;
use crate::sender;

/// Sends one value. Dropped without one, the receiver gets [`Cut::NoReply`](crate::Cut::NoReply), or
/// [`Cut::Panicked`](crate::Cut::Panicked) if a panic has dropped it.
///
/// It cannot be cloned. In a message it is an ordinary sender.
pub struct Sender<T> {
    inner: sender::Sender<T>,
}

impl<T> Sender<T> {
    pub(super) fn new(inner: sender::Sender<T>) -> Self {
        Self { inner }
    }

    /// Sends the value. Never waits: across a session, a value that the peer has granted no bytes for yet waits in its encoded
    /// form and leaves when it may.
    ///
    /// # Errors
    /// [`SendError`] has the value and the reason: the receiver is gone, the link was lost, the value does not encode, is too
    /// large, or holds a stream or descriptor that is in use; [`SendFailure::Limit`](crate::SendFailure::Limit) if more bytes
    /// of replies wait for this peer than the session's memory allows.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        self.inner.chan().send_now(value)
    }

    /// Ends the channel with an error in the place of a value. The receiver gets it as
    /// [`RecvError::Remote`](crate::RecvError::Remote), a call as [`CallError::Remote`](crate::CallError::Remote).
    pub fn fail(self, error: impl Into<RemoteError>) {
        self.inner.close_with(error);
    }

    /// Completes when nobody waits for the value any more, and says why: how a handler learns that its caller has given up.
    /// Cancel-safe.
    pub async fn closed(&self) -> Closed {
        self.inner.closed().await
    }

    /// Whether nobody waits for the value any more.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// The ordinary sender that it is on the wire. Ending that one without a value is seen as no reply.
    pub fn into_sender(self) -> sender::Sender<T> {
        self.inner
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("oneshot::Sender")
    }
}

impl<T: Message> Serialize for Sender<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for Sender<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        sender::Sender::deserialize(deserializer).map(Self::new)
    }
}
