//! `Transport`: what a session may stand on instead of our protocol over a link.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use libchan_proto::{Limits, Metadata, SessionError};

use crate::attach::AnyReceiver;
use crate::chan::Chan;
use crate::claim::typed_receiver;
use crate::cut::Cause;
use crate::error::{Closed, OpenError, RemoteError};
use crate::link::LinkInfo;
use crate::message::Message;
use crate::pipe::pipe_with;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::session::{AnyChan, OpenOptions};

/// What a [`Session`](crate::Session) stands on when that is not our own protocol over a [`Link`](crate::Link): the
/// in-process transport, or a protocol of somebody else's.
///
/// It ships *ends* and never waits inside a channel, so a channel costs it no task. An [`End`] is the receiving end of
/// the opened channel without its type; a transport that has to put messages on a wire takes it as a
/// `Receiver<Raw>`, whose messages are encoded and carry their ends beside them.
pub trait Transport: Send + Sync + 'static {
    /// What it can do and who is at the other end.
    fn info(&self) -> &LinkInfo;

    /// What the peer said of itself.
    fn peer_metadata(&self) -> &Metadata;

    /// Ships the receiving end of a new channel to the peer.
    ///
    /// # Errors
    /// The session is over, or the peer has too many channels waiting.
    fn open(&self, name: &str, options: OpenOptions, end: End) -> Result<(), OpenError>;

    /// The next end that the peer ships; `None` when the session has ended cleanly.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Shipped>, SessionError>>;

    /// Ends the session once what was accepted has gone out.
    fn close(&self);

    /// Ends the session at once: channels that were opened on it end with `Disconnected`.
    fn abort(&self);

    /// Ends the session because the time is over for which the peer was let in; `why` is
    /// [`AdmissionOver`](SessionError::AdmissionOver), and has the text for the peer. Unless it is written, this is
    /// [`abort`](Self::abort).
    fn end(&self, why: SessionError) {
        let _ = why;
        self.abort();
    }

    /// Ready when the session is over.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>>;

    /// The limits that it keeps. Unless it says otherwise, none: [`Limits::unlimited`].
    fn limits(&self) -> Limits {
        Limits::unlimited()
    }

    /// How many channels opened on it are in use.
    fn open_channels(&self) -> usize;
}

/// A channel on its way to the peer's `accept`.
#[derive(Debug)]
pub struct Shipped {
    /// The name it was opened under.
    pub name: String,
    /// Its capacity and metadata.
    pub options: OpenOptions,
    /// Its receiving end.
    pub end: End,
}

impl Shipped {
    /// A new channel of this name: the sender to keep, and what a [`Transport`] gives its session's `accept`. For a
    /// transport whose peer has opened a channel by a protocol of its own.
    ///
    /// ```
    /// use libchan::{OpenOptions, Raw, Shipped};
    ///
    /// let (to_acceptor, shipped) = Shipped::new::<Raw>("jobs", OpenOptions::new().capacity(8));
    /// assert_eq!(shipped.name, "jobs");
    /// # drop(to_acceptor);
    /// ```
    pub fn new<T: Message>(name: impl Into<String>, options: OpenOptions) -> (Sender<T>, Self) {
        let (sender, receiver) = pipe_with(options.capacity);
        (sender, Self { name: name.into(), options, end: receiver.into() })
    }
}

/// The receiving end of a channel, without its type.
pub struct End(AnyReceiver);

impl End {
    pub(crate) fn new(receiver: AnyReceiver) -> Self {
        Self(receiver)
    }

    pub(crate) fn refuse(&self, why: Closed) {
        self.0.chan().clone().refuse_all(why);
    }

    /// The receiver. If the channel was opened with the same type in this process, values move as they are; else they
    /// are encoded on the way, by the same rules as between processes, which takes a tokio runtime.
    pub fn into_receiver<T: Message>(self) -> Receiver<T> {
        match self.0.chan().clone().as_any().downcast::<Chan<T>>() {
            Ok(chan) => Receiver::from_chan(chan),
            Err(_) => typed_receiver(self.0),
        }
    }

    /// A view of the channel that does not keep it open.
    pub fn watch(&self) -> EndWatch {
        EndWatch(Arc::downgrade(self.0.chan()))
    }
}

impl<T: Message> From<Receiver<T>> for End {
    fn from(receiver: Receiver<T>) -> Self {
        let chan = receiver.chan().clone();
        chan.erase();
        Self(AnyReceiver::new(chan))
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("End")
    }
}

/// A view of an opened channel, for a transport to end it with the session.
#[derive(Clone)]
pub struct EndWatch(Weak<dyn AnyChan>);

impl EndWatch {
    /// Whether the channel is in use.
    pub fn is_alive(&self) -> bool {
        self.0.upgrade().is_some_and(|chan| chan.senders() > 0 || chan.receivers() > 0)
    }

    /// Ends the channel as a session that closes in good order does: receivers drain it, then see
    /// [`SessionClosed`](crate::RecvError::SessionClosed), unless its senders have ended it before.
    pub fn close(&self) {
        if let Some(chan) = self.0.upgrade() {
            chan.end(Cause::session_closed());
        }
    }

    /// Ends the channel as a lost link does: receivers drain it, then see `Disconnected`.
    pub fn disconnect(&self) {
        self.disconnect_with(SessionError::Lost);
    }

    /// As [`disconnect`](Self::disconnect), for a session that has ended with this error.
    pub fn disconnect_with(&self, why: SessionError) {
        if let Some(chan) = self.0.upgrade() {
            chan.end(Cause::session_over(why));
        }
    }

    /// Refuses what is still to come.
    pub fn refuse(&self, reason: impl Into<RemoteError>) {
        if let Some(chan) = self.0.upgrade() {
            chan.refuse_all(Closed::Refused(reason.into()));
        }
    }
}

impl fmt::Debug for EndWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndWatch").field("alive", &self.is_alive()).finish()
    }
}
