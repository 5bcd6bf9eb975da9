//! Sessions: a connection between two endpoints that carries many channels.

mod acceptor;
mod admission;
mod again;
mod agreed;
mod alarm;
mod any_chan;
mod buffers;
mod descriptors;
mod drain;
mod driver;
mod farewell;
mod flush;
mod incoming;
mod leg;
pub(crate) mod loopback;
mod options;
mod patience;
mod pending;
mod ping;
mod port;
mod read;
mod replies;
mod shared;
mod stream;
mod watch;
mod write;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use libchan_proto::{Hello, Limits, Machine, Metadata, SessionError};

pub use self::acceptor::Acceptor;
use self::acceptor::Lines;
pub use self::admission::Admission;
use self::admission::Admitted;
pub(crate) use self::any_chan::AnyChan;
use self::driver::Driver;
pub use self::incoming::{Incoming, OpenOptions};
pub(crate) use self::leg::Leg;
#[cfg(test)]
pub(crate) use self::leg::steps;
pub use self::options::{Role, SessionOptions};
pub use self::pending::PendingSession;
pub(crate) use self::port::Parked;
pub(crate) use self::replies::HeldReply;
pub(crate) use self::shared::{Refill, Shared};
use crate::attach::AnyReceiver;
use crate::chan::Chan;
use crate::codec::AnyCodec;
use crate::error::{CloseError, OpenError};
use crate::link::{Link, LinkInfo, LinkWriter};
use crate::message::Message;
use crate::sender::Sender;
use crate::sync::spawn;
use crate::transport::{End, Transport};

/// A connection between two endpoints that carries many channels.
///
/// Both sides may open named channels and accept them; channels inside messages need no name. Cloning gives another
/// handle. A session lives until [`close`](Self::close), or until every handle of it and every end, stream and
/// descriptor pump that lives on it are gone; then it says goodbye in the background, as long as the runtime lives. Before a
/// process returns from `main` it must [`close`](Self::close) or [`flush`](Self::flush), or what it has sent last is lost.
///
/// What `dial` and `accept` of `libchan-transports` give. Over a link of your own:
///
/// ```
/// # async fn doc(link: impl libchan::Link) -> Result<(), Box<dyn std::error::Error>> {
/// use libchan::{Role, Session, SessionOptions};
///
/// let session = Session::start(link, Role::Dialer, SessionOptions::default()).await?;
/// let greetings = session.open::<String>("greetings")?;
/// greetings.send("hello".to_owned()).await?;
/// session.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct Session {
    inner: Inner,
    guard: Option<Guard>,
    /// What waits for which acceptor.
    lines: Arc<Lines>,
    /// As whom the peer was let in.
    admitted: Option<Arc<Admitted>>,
}

/// Says which channels the peer may open.
type Guard = Arc<dyn Fn(&Incoming) -> Result<(), String> + Send + Sync>;

enum Inner {
    /// Our protocol over a link.
    Protocol(Arc<Shared>),
    /// Somebody else's way.
    Foreign(Arc<dyn Transport>),
}

impl Session {
    /// Starts a session over `link`: exchanges hellos and spawns the driver on the current tokio runtime, which must
    /// have its time driver enabled.
    ///
    /// Cancel-safe: dropping the future drops the link.
    ///
    /// # Errors
    /// The metadata is too long, the peer is no libchan peer, speaks another version or no common codec, says nothing within
    /// [`Limits::hello_timeout`](libchan_proto::Limits), or the link breaks.
    pub async fn start(link: impl Link, role: Role, options: SessionOptions) -> Result<Self, SessionError> {
        Self::start_boxed(Box::new(link), role, options).await
    }

    /// The same for a link that is boxed already.
    pub async fn start_boxed(
        link: Box<dyn Link>,
        role: Role,
        options: SessionOptions,
    ) -> Result<Self, SessionError> {
        let info = link.info();
        let machine = machine(&info, role, &options)?;
        let (reader, writer) = link.split();
        let SessionOptions { codecs, close_timeout, .. } = options;
        let start = Start { machine, info, codecs, close_timeout, writer };
        start.with(|shared| Driver::new(shared, reader)).await
    }

    /// A session over a transport that has a way of its own.
    pub fn over(transport: impl Transport) -> Self {
        Self {
            inner: Inner::Foreign(Arc::new(transport)),
            guard: None,
            lines: Arc::default(),
            admitted: None,
        }
    }

    /// The same session, whose [`accept`](Self::accept) asks `guard` about each channel that the peer opens. One for
    /// which it gives an error is refused with that text, and `accept` goes on to the next. Clones that are made from
    /// now on ask as well.
    ///
    /// It runs inside `accept`, so it must not block.
    ///
    /// ```
    /// # async fn doc(session: libchan::Session) -> Result<(), Box<dyn std::error::Error>> {
    /// let session = session.guarded(|incoming| match (incoming.principal(), incoming.name()) {
    ///     (Some("root"), _) | (_, "status") => Ok(()),
    ///     _ => Err("root only".to_owned()),
    /// });
    /// while let Some(incoming) = session.accept().await? { /* may be opened */ }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn guarded(
        mut self,
        guard: impl Fn(&Incoming) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.guard = Some(Arc::new(guard));
        self
    }

    /// Opens a named channel to the peer and gives its sender. Does not wait, so the peer may refuse the channel after sends
    /// were accepted: they are lost, later sends fail with the reason, and [`Sender::closed`](crate::Sender::closed) has it.
    /// A reply channel in a lost message says [`NotDelivered`](crate::Cut::NotDelivered), and a
    /// [`call`](crate::Sender::call) that it was refused. Only with capacity 0 is a refusal the error of the first send. The
    /// capacity is 64; see [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// The session is over, or a limit would be passed.
    pub fn open<T: Message>(&self, name: &str) -> Result<Sender<T>, OpenError> {
        self.open_with(name, OpenOptions::default())
    }

    /// Opens a named channel with a stated capacity and metadata.
    ///
    /// # Errors
    /// The session is over, or a limit would be passed.
    pub fn open_with<T: Message>(&self, name: &str, options: OpenOptions) -> Result<Sender<T>, OpenError> {
        options.check()?;
        match &self.inner {
            Inner::Foreign(transport) => {
                let chan = Chan::<T>::new(options.capacity);
                chan.erase();
                let sender = Sender::from_chan(chan.clone());
                transport.open(name, options, End::new(AnyReceiver::new(chan)))?;
                Ok(sender)
            }
            Inner::Protocol(shared) => {
                let chan = Chan::<T>::tentative(options.capacity_u32());
                let sender = Sender::from_chan(chan.clone());
                let key = shared.open(name, &options, chan.clone())?;
                AnyChan::adopt_sink(chan, Leg { session: shared.clone(), key });
                Ok(sender)
            }
        }
    }

    /// The next channel that the peer opens; `None` when the session has ended cleanly. Cancel-safe.
    ///
    /// An [`Incoming`] that is dropped refuses its channel. Those that a [guard](Self::guarded) refuses are passed over,
    /// and those under a prefix that somebody [accepts on its own](Self::accept_under) go there.
    ///
    /// # Errors
    /// Why the session is over, unless one of the two sides closed it.
    pub async fn accept(&self) -> Result<Option<Incoming>, SessionError> {
        self.accept_rest().await
    }

    /// Sends what was accepted, within the options' [close timeout](SessionOptions::close_timeout), says goodbye and waits for
    /// the peer's. `Ok`: all that was accepted was handed to the peer's library.
    ///
    /// Ends that their own side had ended before are clean. All others are unfinished and say
    /// [`SessionClosed`](crate::RecvError::SessionClosed), on both sides. What has arrived here and was not taken is dropped, and
    /// its sender learns that it was [not delivered](crate::Cut::NotDelivered): take what you want before you close.
    ///
    /// **A process must close or [`flush`](Self::flush) before it returns from `main`.** A message that `send` has accepted may
    /// still be in this process, and is lost when the process ends.
    ///
    /// Over `mem:` the ends inside messages have moved to the other side: they do not live on the session, and outlive it.
    ///
    /// # Errors
    /// The time was over before all had been handed over, or the session was lost before or meanwhile.
    pub async fn close(self) -> Result<(), CloseError> {
        match &self.inner {
            Inner::Foreign(transport) => {
                transport.close();
                Ok(poll_fn(|cx| transport.poll_closed(cx)).await?)
            }
            Inner::Protocol(shared) => {
                shared.begin_close();
                shared.parted().await
            }
        }
    }

    /// Waits until the peer's library has all that was accepted here before, what waits for the peer's credit included. It says
    /// nothing of the peer's application, which may not have received any of it. Cancel-safe.
    ///
    /// It waits for as long as the peer lets messages wait: put a `tokio::time::timeout` around it.
    ///
    /// # Errors
    /// The session is over, or ends before.
    pub async fn flush(&self) -> Result<(), CloseError> {
        match &self.inner {
            // What was sent is with the peer already.
            Inner::Foreign(_) => Ok(()),
            Inner::Protocol(shared) => Ok(shared.flush().await?),
        }
    }

    /// Leaves without breaking off what is at work: takes no new channels and no more messages of the named channels that were
    /// accepted, waits until all other ends on the session are gone, and closes it. At the `deadline` it closes in any case, and
    /// what is unfinished says [`SessionClosed`](crate::RecvError::SessionClosed).
    ///
    /// Requests that were not taken come back to their senders as [going away](crate::Cut::GoingAway) or
    /// [not delivered](crate::Cut::NotDelivered), both safe to send again elsewhere. The receivers here see the clean end, and the
    /// peer's application is told by [`going`](Self::going).
    ///
    /// A `mem:` session has nothing to wait for: there it is `close`.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn drain(self, deadline: Duration) -> Result<(), CloseError> {
        match &self.inner {
            Inner::Foreign(transport) => {
                transport.close();
                Ok(poll_fn(|cx| transport.poll_closed(cx)).await?)
            }
            Inner::Protocol(shared) => {
                shared.begin_drain();
                shared.drained(deadline).await;
                shared.parted().await
            }
        }
    }

    /// Completes when the peer has said that it is leaving: it drains, or closes. What it has taken it may still answer, but new
    /// requests should go elsewhere. Completes also when the session is over. Cancel-safe.
    pub async fn going(&self) {
        match &self.inner {
            Inner::Foreign(transport) => drop(poll_fn(|cx| transport.poll_closed(cx)).await),
            Inner::Protocol(shared) => shared.going().await,
        }
    }

    /// Ends the session at once: the peer sees a lost link. Over `mem:` the ends inside messages have moved, and outlive it.
    pub fn abort(&self) {
        match &self.inner {
            Inner::Foreign(transport) => transport.abort(),
            Inner::Protocol(shared) => shared.abort(),
        }
    }

    /// Completes when the session is over, and says why; `Ok` after a goodbye. Cancel-safe.
    pub async fn closed(&self) -> Result<(), SessionError> {
        match &self.inner {
            Inner::Foreign(transport) => poll_fn(|cx| transport.poll_closed(cx)).await,
            Inner::Protocol(shared) => shared.ended().await,
        }
    }

    /// What the link can do and who is at its other end.
    pub fn info(&self) -> &LinkInfo {
        match &self.inner {
            Inner::Foreign(transport) => transport.info(),
            Inner::Protocol(shared) => &shared.info,
        }
    }

    /// Who the peer is. At the side that listened, as the authorize hook said. At the side that dialed, as the peer has proved:
    /// the name that its certificate was verified for, the fingerprint of a pinned one, or the user of the process at a unix
    /// socket. `None` where nobody is known. What the hook said beside the name is [`admission`](Self::admission).
    pub fn principal(&self) -> Option<&str> {
        self.info().principal.as_deref()
    }

    /// What the peer said of itself in its hello.
    pub fn peer_metadata(&self) -> &Metadata {
        static NONE: std::sync::OnceLock<Metadata> = std::sync::OnceLock::new();
        match &self.inner {
            Inner::Protocol(shared) => {
                shared.established().map_or_else(|| NONE.get_or_init(Metadata::default), |e| &e.peer.metadata)
            }
            Inner::Foreign(transport) => transport.peer_metadata(),
        }
    }

    /// The limits in force: of both sides' the smaller. Over another transport than a link, those that it keeps: `mem:` keeps
    /// [`max_pending_accepts`](Limits::max_pending_accepts) alone, so a message that passes there may be too large for a link.
    pub fn limits(&self) -> Limits {
        match &self.inner {
            Inner::Foreign(transport) => transport.limits(),
            Inner::Protocol(shared) => shared.limits().clone(),
        }
    }

    /// How many channels and streams are open on the session, both sides' together.
    pub fn open_channels(&self) -> usize {
        match &self.inner {
            Inner::Foreign(transport) => transport.open_channels(),
            Inner::Protocol(shared) => shared.lock().machine.open_channels(),
        }
    }
}

/// The protocol's side of a session over a link like this, with its hello ready to leave.
fn machine(info: &LinkInfo, role: Role, options: &SessionOptions) -> Result<Machine, SessionError> {
    if !options.metadata.fits() {
        return Err(SessionError::MetadataTooLong);
    }
    let mut limits = options.limits.clone();
    if !info.passes_descriptors {
        limits.max_descriptors = 0;
    }
    let hello = Hello {
        limits,
        codecs: options.codecs.iter().map(|codec| codec.id().0).collect(),
        features: 0,
        metadata: options.metadata.clone(),
    };
    let role = match role {
        Role::Dialer => libchan_proto::Role::Dialer,
        Role::Acceptor => libchan_proto::Role::Acceptor,
    };
    Ok(Machine::new(role, hello, Duration::ZERO))
}

/// What a session over a link is made of, but for the driver's half.
struct Start {
    machine: Machine,
    info: LinkInfo,
    codecs: Vec<AnyCodec>,
    close_timeout: Duration,
    writer: Box<dyn LinkWriter>,
}

impl Start {
    /// Sets the driver going and waits until both hellos are in.
    async fn with(self, driver: impl FnOnce(Arc<Shared>) -> Driver) -> Result<Session, SessionError> {
        let shared = Shared::new(self.machine, self.info, self.codecs, self.close_timeout, self.writer);
        let inner = Inner::Protocol(shared.clone());
        let session = Session { inner, guard: None, lines: Arc::default(), admitted: None };
        spawn(driver(shared.clone()));
        let mut guard = AbortUnlessStarted(Some(&shared));
        shared.started().await?;
        guard.0 = None;
        Ok(session)
    }
}

/// Ends a session whose start was cancelled.
struct AbortUnlessStarted<'a>(Option<&'a Arc<Shared>>);

impl Drop for AbortUnlessStarted<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.abort();
        }
    }
}

/// An `accept` that waits; leaves the line when dropped.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    ticket: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.leave_accept(ticket);
        }
    }
}

impl Shared {
    /// Both hellos are in.
    async fn started(&self) -> Result<(), SessionError> {
        self.until(|state| match &state.over {
            _ if self.established().is_some() => Some(Ok(())),
            Some(why) => Some(Err(why.clone())),
            None => None,
        })
        .await
    }

    /// The session is over after a close of this side.
    async fn parted(&self) -> Result<(), CloseError> {
        let ended = self.ended().await;
        if self.lock().farewell.cut_off { Err(CloseError::NotHandedOver) } else { Ok(ended?) }
    }

    /// The session is over.
    async fn ended(&self) -> Result<(), SessionError> {
        let why = self.until(|state| state.over.clone()).await;
        if why == SessionError::Closed { Ok(()) } else { Err(why) }
    }
}

impl Clone for Session {
    fn clone(&self) -> Self {
        let inner = match &self.inner {
            Inner::Foreign(transport) => Inner::Foreign(transport.clone()),
            Inner::Protocol(shared) => {
                shared.lock().handles += 1;
                Inner::Protocol(shared.clone())
            }
        };
        Self { inner, guard: self.guard.clone(), lines: self.lines.clone(), admitted: self.admitted.clone() }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Inner::Protocol(shared) = &self.inner {
            shared.quiet(|state| state.handles -= 1);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.info().peer).finish_non_exhaustive()
    }
}
