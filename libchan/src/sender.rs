//! The sending end.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_sink::Sink;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::attach::{AnySender, Collected};
use crate::call::{Call, CallError};
use crate::chan::{Chan, Room, Sending, Slot};
use crate::claim::claim_sender;
use crate::cut::{self, Cut};
use crate::error::{Closed, RemoteError, SendError, SendFailure, TrySendError};
use crate::give_way::poll_budget;
use crate::message::Message;
use crate::oneshot;
use crate::sync::{block_on, block_on_for};

/// The sending end of a channel. Clone it, drop it, put it in a message.
///
/// The channel ends when its last sender is gone, here and remote; receivers then drain it and see the end.
/// A clone that is forgotten somewhere keeps the channel open, as in Go.
///
/// Each time a sender arrives from a peer it is a channel of its own, with its own room: two arrivals of one sender are not
/// [the same channel](Self::same_channel). One that comes back to where its channel lives is the channel there.
pub struct Sender<T> {
    chan: Arc<Chan<T>>,
}

impl<T> Sender<T> {
    pub(crate) fn from_chan(chan: Arc<Chan<T>>) -> Self {
        chan.count_sender();
        Self { chan }
    }

    pub(crate) fn chan(&self) -> &Arc<Chan<T>> {
        &self.chan
    }

    /// Sends, waiting for room. With capacity 0 it completes when a receiver has taken the value.
    ///
    /// `Ok` says that the value was accepted, not that it has arrived. Across a session it may still be in this process: **close
    /// or flush the session before `main` returns** ([`Session::close`](crate::Session::close),
    /// [`Session::flush`](crate::Session::flush)). Who wants to know that it was handled asks for an answer:
    /// [`call`](Self::call).
    ///
    /// # Cancel safety
    /// Dropped before it completes, the value is dropped too and nothing is sent, also if its room has come meanwhile: that goes
    /// to the next. [`reserve`](Self::reserve) keeps the value. With capacity 0 this holds until a receiver has taken the value,
    /// or its message has left for a peer, which may still take it.
    ///
    /// A `send` that waits has to be polled for its value to leave. One that is kept and not polled keeps its room, too. So of
    /// sends that several tasks wait for at the same time, the order is that in which they complete.
    ///
    /// # Errors
    /// [`SendError`] has the value and the reason: the channel takes no more, the link was lost, the value cannot be
    /// encoded, is too large, or holds a stream or descriptor that is in use.
    // Not an `async fn`: that would move the value once more and keep room for it twice.
    #[inline]
    pub fn send(&self, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Sending::new(&self.chan, value)
    }

    /// Sends now or not at all. With capacity 0 a receiver must be waiting; the value is handed over to it, which is
    /// not yet its being taken.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if this side knows of no room now. It is a hint: a remote receiver may have taken messages that its
    /// side has not told of yet, which it does for several at a time. It cannot be asked, and need not be: the message that used
    /// up the room makes it tell, if anything was taken before. So [`reserve`](Self::reserve) has such room a round trip later.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.chan.try_send(value)
    }

    /// Waits for room and keeps it. Cancel-safe: use this in `select!`. With capacity 0 it waits for a receiver.
    ///
    /// Do not keep a permit for long: what it keeps is missing from the channel's capacity. A remote receiver does not know of it,
    /// and tells of what it has taken when that is half of the capacity (of more than 8: when a quarter is left). So permits that
    /// keep more than half of a capacity up to 8, or a quarter of a larger one, may let other senders wait until one is used.
    ///
    /// # Errors
    /// Why the channel takes no more.
    pub async fn reserve(&self) -> Result<Permit<'_, T>, Closed> {
        poll_fn(|cx| poll_budget(cx).map(|budget| budget.spend_if(true))).await;
        let mut waiting = match self.chan.begin_reserve()? {
            Room::Kept => return Ok(Permit { chan: &self.chan, used: false }),
            Room::Waits(id) => Reserve { chan: &self.chan, id: Some(id) },
        };
        poll_fn(|cx| waiting.poll(cx)).await?;
        Ok(Permit { chan: &self.chan, used: false })
    }

    /// Ends the channel for every sender: receivers drain it and then see the clean end.
    pub fn close(&self) {
        self.chan.close(None);
    }

    /// Ends the channel for every sender: receivers drain it and then see `error`.
    pub fn close_with(&self, error: impl Into<RemoteError>) {
        self.chan.close(Some(error.into().into()));
    }

    /// Completes when the channel takes no more, and says why. Cancel-safe.
    pub async fn closed(&self) -> Closed {
        let mut watch = Watch { chan: &self.chan, ticket: None };
        poll_fn(|cx| watch.chan.poll_closed(cx, &mut watch.ticket)).await
    }

    /// As [`closed`](Self::closed), as a future of its own, to be kept beside others. It does not keep the channel open: it
    /// completes with [`Closed::BySender`] when the last sender is gone. Cancel-safe.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (sender, receiver) = libchan::pipe::<u32>();
    /// let closed = sender.closed_owned();
    /// drop(receiver);
    /// assert_eq!(closed.await, libchan::Closed::Dropped);
    /// # });
    /// ```
    pub fn closed_owned(&self) -> impl Future<Output = Closed> + use<T> {
        let mut watch = OwnedWatch { chan: self.chan.clone(), ticket: None };
        poll_fn(move |cx| watch.chan.poll_closed(cx, &mut watch.ticket))
    }

    /// How many messages were accepted and wait in this process, and how many bytes those of them take that are encoded
    /// already. With a remote receiver every message is encoded when it is sent; in one process none is, and counts as no
    /// bytes. What the session has taken over, within its window, is not counted.
    pub fn queued(&self) -> (usize, usize) {
        self.chan.queued()
    }

    /// Sets a limit by bytes beside the capacity, for all senders of the channel in this process: while what waits here for
    /// remote receivers takes `bytes` or more, there is no room ([`queued`](Self::queued) says how much it is). So at most the
    /// limit and one message wait for a receiver that does not read. There is no such limit at first.
    pub fn set_byte_limit(&self, bytes: usize) {
        self.chan.set_byte_limit(bytes);
    }

    /// Whether the channel takes no more.
    pub fn is_closed(&self) -> bool {
        self.chan.is_ended()
    }

    /// How many messages the channel holds that nobody has taken.
    pub fn capacity(&self) -> usize {
        self.chan.capacity()
    }

    /// Whether both are ends of one channel in this process.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chan, &other.chan)
    }

    /// [`send`](Self::send) for a thread without a runtime.
    ///
    /// # Errors
    /// As `send`.
    ///
    /// # Panics
    /// On a thread that runs async tasks, which it would stop. Use `send` there, or `tokio::task::spawn_blocking`.
    #[track_caller]
    pub fn send_blocking(&self, value: T) -> Result<(), SendError<T>> {
        block_on(self.send(value))
    }

    /// The same, waiting for no longer than `duration`.
    ///
    /// # Errors
    /// [`TrySendError::Full`] with the value if there was no room in time. With capacity 0 and a remote receiver, a message that
    /// had left may still be taken; then there is no value to give back and the answer is `Ok`.
    ///
    /// # Panics
    /// As [`send_blocking`](Self::send_blocking).
    #[track_caller]
    pub fn send_blocking_within(&self, value: T, duration: Duration) -> Result<(), TrySendError<T>> {
        let mut sending = Sending::new(&self.chan, value);
        match block_on_for(&mut sending, duration) {
            Some(result) => result.map_err(TrySendError::Failed),
            None => sending.take_back().map_or(Ok(()), |value| Err(TrySendError::Full(value))),
        }
    }

    /// Sends a request with a reply in it and waits for the answer. Every way that can fail is one [`CallError`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use std::time::Duration;
    /// use libchan::{oneshot, pipe};
    ///
    /// struct Double { number: u32, reply: oneshot::Sender<u32> }
    ///
    /// let (requests, inbox) = pipe::<Double>();
    /// let service = async {
    ///     while let Some(request) = inbox.recv().await? {
    ///         request.reply.send(2 * request.number).ok();
    ///     }
    ///     Ok::<(), libchan::RecvError>(())
    /// };
    /// let client = async {
    ///     let answer = requests.call(|reply| Double { number: 21, reply }).within(Duration::from_secs(5)).await;
    ///     assert_eq!(answer.unwrap(), 42);
    ///     drop(requests);
    /// };
    /// tokio::join!(service, client).0
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the call gives up: a request that has not left is not sent, and of one that has, the handler sees
    /// [`closed`](oneshot::Sender::closed).
    pub fn call<R>(&self, request: impl FnOnce(oneshot::Sender<R>) -> T) -> Call<'_, T, R> {
        Call::new(self, request)
    }

    /// [`call`](Self::call) for a thread without a runtime.
    ///
    /// # Errors
    /// As `call`.
    ///
    /// # Panics
    /// As [`send_blocking`](Self::send_blocking).
    #[track_caller]
    pub fn call_blocking<R>(&self, request: impl FnOnce(oneshot::Sender<R>) -> T) -> Result<R, CallError<T>> {
        self.call(request).wait()
    }

    /// The same, waiting for no longer than `duration` in all.
    ///
    /// # Errors
    /// As `call`; [`CallError::TimedOut`] if there was no answer in time.
    ///
    /// # Panics
    /// As [`send_blocking`](Self::send_blocking).
    #[track_caller]
    pub fn call_blocking_within<R>(
        &self,
        duration: Duration,
        request: impl FnOnce(oneshot::Sender<R>) -> T,
    ) -> Result<R, CallError<T>> {
        self.call(request).wait_for(duration)
    }

    /// A handle that ends cleanly by [`finish`](MustFinish::finish) only. Dropped before, as a cancelled task drops what it holds,
    /// the receiver gets [`Cut::Abandoned`] behind what was sent, once all other senders have ended.
    pub fn must_finish(self) -> MustFinish<T> {
        MustFinish { sender: self, finished: false }
    }

    /// A [`Sink`] of this sender. Flushing waits for nothing: an accepted message needs no push. Closing the sink drops this
    /// sender only.
    pub fn into_sink(self) -> SenderSink<T> {
        SenderSink { sender: Some(self), reserve: None, kept: false }
    }
}

/// A `reserve` that waits; dropped, it gives back what it may have got.
struct Reserve<'a, T> {
    chan: &'a Arc<Chan<T>>,
    id: Option<u64>,
}

impl<T> Reserve<'_, T> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Closed>> {
        let Some(id) = self.id else { return Poll::Ready(Ok(())) };
        let result = self.chan.poll_reserve(id, cx);
        if result.is_ready() {
            self.id = None;
        }
        result
    }
}

impl<T> Drop for Reserve<'_, T> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.chan.withdraw_reserve(id);
        }
    }
}

struct Watch<'a, T> {
    chan: &'a Arc<Chan<T>>,
    ticket: Option<u64>,
}

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.chan.withdraw_watch(ticket);
        }
    }
}

/// As `Watch`, without a sender.
struct OwnedWatch<T> {
    chan: Arc<Chan<T>>,
    ticket: Option<u64>,
}

impl<T> Drop for OwnedWatch<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.chan.withdraw_watch(ticket);
        }
    }
}

/// Room for one message. Dropping it gives the room back.
#[must_use = "a permit that is dropped gives its room back"]
pub struct Permit<'a, T> {
    chan: &'a Arc<Chan<T>>,
    used: bool,
}

impl<T> Permit<'_, T> {
    /// Sends with the room that was kept: never waits.
    ///
    /// # Errors
    /// The value cannot be encoded or holds something in use, or the channel has taken its end meanwhile.
    pub fn send(mut self, value: T) -> Result<(), SendError<T>> {
        self.used = true;
        self.chan.send_reserved(value)
    }
}

impl<T> Permit<'_, T> {
    /// Sends a message in whatever form it has.
    pub(crate) fn send_slot(mut self, slot: Slot<T>) -> Result<(), SendFailure> {
        self.used = true;
        self.chan.send_slot_reserved(slot)
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        if !self.used {
            self.chan.unreserve();
        }
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// A sender that was cut short unless it [finishes](Self::finish): what [`Sender::must_finish`] gives.
///
/// A dropped [`Sender`] ends cleanly, and nobody can tell a finished task from a cancelled one. Give this to whoever produces
/// something that must not look complete before it is.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use libchan::{Cut, pipe};
///
/// let (rows, read) = pipe();
/// let rows = rows.must_finish();
/// rows.send(1).await?;
/// drop(rows); // the task was cancelled
/// assert_eq!(read.recv().await, Ok(Some(1)));
/// assert_eq!(read.recv().await.unwrap_err().cut(), Some(Cut::Abandoned));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "dropped without `finish` it ends with an error"]
pub struct MustFinish<T> {
    sender: Sender<T>,
    finished: bool,
}

impl<T> MustFinish<T> {
    /// All was sent: this sender ends cleanly.
    pub fn finish(mut self) {
        self.finished = true;
    }

    /// Ends the channel with `error` instead.
    pub fn fail(mut self, error: impl Into<RemoteError>) {
        self.finished = true;
        self.sender.close_with(error);
    }
}

impl<T> std::ops::Deref for MustFinish<T> {
    type Target = Sender<T>;

    fn deref(&self) -> &Sender<T> {
        &self.sender
    }
}

impl<T> Drop for MustFinish<T> {
    fn drop(&mut self) {
        if !self.finished {
            self.sender.chan.note_fault(cut::now().unwrap_or_else(|| Cut::Abandoned.cause()));
        }
    }
}

impl<T> fmt::Debug for MustFinish<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MustFinish").finish_non_exhaustive()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::from_chan(self.chan.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.chan.drop_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

impl<T: Message> Serialize for Sender<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Collected::sender(AnySender::new(self.chan.clone()))?.serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for Sender<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        claim_sender(deserializer)
    }
}

/// A [`Sink`] of a [`Sender`].
///
/// Closing it drops its own sender, as `drop` would: clones of that go on, and the channel ends with the last one. So several
/// streams may be forwarded into clones of one sender. To end the channel for all of them use [`Sender::close`].
pub struct SenderSink<T> {
    /// `None` once the sink is closed.
    sender: Option<Sender<T>>,
    reserve: Option<u64>,
    kept: bool,
}

impl<T> SenderSink<T> {
    /// The sender again; `None` if the sink was closed.
    pub fn into_inner(self) -> Option<Sender<T>> {
        self.sender.clone()
    }

    /// Gives back what room there is, and drops the sender.
    fn leave(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        if let Some(id) = self.reserve.take() {
            sender.chan.withdraw_reserve(id);
        }
        if std::mem::take(&mut self.kept) {
            sender.chan.unreserve();
        }
    }
}

impl<T> Unpin for SenderSink<T> {}

impl<T> Sink<T> for SenderSink<T> {
    type Error = SendFailure;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendFailure>> {
        if self.kept {
            return Poll::Ready(Ok(()));
        }
        let budget = ready!(poll_budget(cx));
        let this = &mut *self;
        let Some(sender) = &this.sender else { return Poll::Ready(Err(Closed::BySender.into())) };
        let id = match this.reserve {
            Some(id) => id,
            None => match sender.chan.begin_reserve()? {
                Room::Kept => {
                    this.kept = true;
                    budget.spend_if(true);
                    return Poll::Ready(Ok(()));
                }
                Room::Waits(id) => id,
            },
        };
        this.reserve = Some(id);
        let result = sender.chan.poll_reserve(id, cx);
        budget.spend_if(result.is_ready());
        if result.is_ready() {
            self.reserve = None;
            self.kept = matches!(result, Poll::Ready(Ok(())));
        }
        result.map_err(SendFailure::from)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), SendFailure> {
        if std::mem::take(&mut self.kept)
            && let Some(sender) = &self.sender
        {
            return sender.chan.send_reserved(value).map_err(SendError::into_reason);
        }
        Err(SendFailure::Encode("start_send without poll_ready".to_owned()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), SendFailure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), SendFailure>> {
        self.leave();
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for SenderSink<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for SenderSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderSink").finish_non_exhaustive()
    }
}
