//! The receiving end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::attach::{AnyReceiver, Collected};
use crate::chan::{Chan, Place, Recv};
use crate::claim::claim_receiver;
use crate::error::{Closed, RecvError, RemoteError, TryRecvError};
use crate::give_way::poll_budget;
use crate::message::Message;
use crate::sync::{block_on, block_on_for};

/// The receiving end of a channel. Clones compete: each message goes to one of them. Put it in a message, and the
/// messages of the channel go to whoever gets it.
///
/// What a remote clone has been given and has not taken goes to another one when it leaves in good order, with all that is in
/// it: nothing is read from a [`ByteStream`](crate::ByteStream) or an [`Fd`](crate::Fd) in it before it is taken. So it is
/// through any number of sessions. What a clone has in its hand when its link is lost is gone.
///
/// A receiver that is sent to a peer and back is not shortened: each crossing leaves a relay, which is one more hop for every
/// message and one more channel of the session until the channel ends.
///
/// A channel that holds its own receiver in a message is a cycle, as with any channel and as with an `Arc` in itself: it is
/// freed when somebody takes the message or [refuses](Self::close) what is still to come, not when the last handle outside is dropped.
pub struct Receiver<T> {
    chan: Arc<Chan<T>>,
}

impl<T> Receiver<T> {
    pub(crate) fn from_chan(chan: Arc<Chan<T>>) -> Self {
        chan.count_receiver();
        Self { chan }
    }

    pub(crate) fn chan(&self) -> &Arc<Chan<T>> {
        &self.chan
    }

    /// The next message, or `None` at the clean end. Cancel-safe: a `recv` that is dropped loses nothing.
    ///
    /// ```
    /// # async fn doc(numbers: libchan::Receiver<u32>) -> Result<(), libchan::RecvError> {
    /// while let Some(number) = numbers.recv().await? {
    ///     println!("{number}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Do not write `while let Ok(Some(x))`: it takes a lost link for the end, and stops at the first message that
    /// does not decode. The `?` above stops there too, with the error; a service that is to go on with the next message, and
    /// with the next client, looks at the error:
    ///
    /// ```
    /// # async fn doc(numbers: libchan::Receiver<u32>) -> Result<(), libchan::RecvError> {
    /// use libchan::RecvError;
    ///
    /// loop {
    ///     match numbers.recv().await {
    ///         Ok(Some(number)) => println!("{number}"),
    ///         // The end, or the client has closed its session.
    ///         Ok(None) | Err(RecvError::SessionClosed(_)) => break,
    ///         // One message that does not decode: its sender is told, the next one is unharmed.
    ///         Err(error) if !error.is_end() => eprintln!("{error}"),
    ///         Err(error) => return Err(error),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// One message that does not decode or could not be sent (go on with the next; see [`RecvError::is_end`]), or
    /// the channel's end with an error.
    #[inline]
    pub fn recv(&self) -> impl Future<Output = Result<Option<T>, RecvError>> {
        Recv::new(&self.chan)
    }

    /// The next message if one waits.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none does.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.chan.try_recv()
    }

    /// Refuses what is still to come, for every receiver of the channel, and says why: pending and later sends fail
    /// with it and have their values back. What was in flight is dropped.
    pub fn close_with(&self, reason: impl Into<RemoteError>) {
        self.chan.refuse_all(Closed::Refused(reason.into()));
    }

    /// Refuses what is still to come, for every receiver of the channel, without saying why.
    pub fn close(&self) {
        self.chan.refuse_all(Closed::Dropped);
    }

    /// How many messages the channel holds that nobody has taken.
    pub fn capacity(&self) -> usize {
        self.chan.capacity()
    }

    /// How many messages have arrived and wait to be taken: in this process's queue, and in the sessions that feed it. What is on
    /// its way is not counted, nor is a rendezvous `send` that waits.
    pub fn len(&self) -> usize {
        self.chan.len()
    }

    /// Whether none waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are ends of one channel in this process.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chan, &other.chan)
    }

    /// [`recv`](Self::recv) for a thread without a runtime.
    ///
    /// # Errors
    /// As `recv`.
    ///
    /// # Panics
    /// On a thread that runs async tasks, which it would stop. Use `recv` there, or `tokio::task::spawn_blocking`.
    #[track_caller]
    pub fn recv_blocking(&self) -> Result<Option<T>, RecvError> {
        block_on(self.recv())
    }

    /// The same, waiting for no longer than `duration`.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none came in time, [`TryRecvError::Ended`] at the clean end.
    ///
    /// # Panics
    /// As [`recv_blocking`](Self::recv_blocking).
    #[track_caller]
    pub fn recv_blocking_within(&self, duration: Duration) -> Result<T, TryRecvError> {
        match block_on_for(self.recv(), duration) {
            Some(Ok(Some(value))) => Ok(value),
            Some(Ok(None)) => Err(TryRecvError::Ended),
            Some(Err(error)) => Err(TryRecvError::Failed(error)),
            None => Err(TryRecvError::Empty),
        }
    }

    /// A [`Stream`] of this receiver; it ends after the channel's end, error or not.
    pub fn into_stream(self) -> ReceiverStream<T> {
        ReceiverStream { receiver: self, place: Place::default(), ended: false }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::from_chan(self.chan.clone())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.chan.drop_receiver();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

impl<T: Message> Serialize for Receiver<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What waits for it may have to be encoded from here on, if only to find what is in it.
        self.chan.erase();
        Collected::receiver(AnyReceiver::new(self.chan.clone()))?.serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for Receiver<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        claim_receiver(deserializer)
    }
}

/// A [`Stream`] of a [`Receiver`].
pub struct ReceiverStream<T> {
    receiver: Receiver<T>,
    place: Place,
    ended: bool,
}

impl<T> ReceiverStream<T> {
    /// The receiver again.
    pub fn into_inner(self) -> Receiver<T> {
        self.receiver.clone()
    }
}

impl<T> Unpin for ReceiverStream<T> {}

impl<T> Stream for ReceiverStream<T> {
    type Item = Result<T, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let budget = ready!(poll_budget(cx));
        let mut value = None;
        let polled = this.receiver.chan.poll_recv(&mut value, cx.waker(), &mut this.place).with(value);
        budget.spend_if(polled.is_ready());
        let result = ready!(polled);
        this.ended = match &result {
            Ok(value) => value.is_none(),
            Err(error) => error.is_end(),
        };
        Poll::Ready(result.transpose())
    }
}

impl<T> Drop for ReceiverStream<T> {
    fn drop(&mut self) {
        self.receiver.chan.withdraw_recv(&mut self.place);
    }
}

impl<T> fmt::Debug for ReceiverStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverStream").finish_non_exhaustive()
    }
}
