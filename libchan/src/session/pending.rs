//! A peer that has said hello and waits for ours: what an acceptor looks at before it decides whether there is to be a
//! session.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use libchan_proto::{Denial, Machine, Metadata, Misbehaviour, Output, SessionError};
use tokio::time::timeout;

use super::driver::Driver;
use super::options::{Role, SessionOptions};
use super::read::ReadBuffer;
use super::write::Unsent;
use super::{Admission, Session, machine};
use crate::codec::AnyCodec;
use crate::link::{Link, LinkInfo, LinkReader, LinkWriter};

/// A link whose peer has said hello and has got no answer yet.
///
/// The hello may hold a credential. [`admit`](Self::admit) answers it and gives the session, [`deny`](Self::deny) says
/// why there is none, which the dialer sees as [`SessionError::denial`]. Dropping it drops the link. What
/// `libchan-transports` does for a listener with an authorize hook; over a link of your own:
///
/// ```
/// # async fn doc(link: impl libchan::Link) -> Result<(), Box<dyn std::error::Error>> {
/// use libchan::{Denial, PendingSession, SessionOptions};
///
/// let peer = PendingSession::accept(link, SessionOptions::default()).await?;
/// match peer.metadata().get("authorization") {
///     Some(b"Bearer token-of-alice") => {
///         let session = peer.admit(Some("alice".into())).await?;
///         assert_eq!(session.principal(), Some("alice"));
///     }
///     _ => peer.deny(Denial::Unauthorized, "a token, please").await,
/// }
/// # Ok(())
/// # }
/// ```
pub struct PendingSession {
    info: LinkInfo,
    machine: Machine,
    codecs: Vec<AnyCodec>,
    close_timeout: Duration,
    wire: Wire,
}

/// The link, and what has arrived on it and was not taken.
struct Wire {
    reader: Box<dyn LinkReader>,
    writer: Box<dyn LinkWriter>,
    buffer: ReadBuffer,
    descriptors: VecDeque<OwnedFd>,
}

impl PendingSession {
    /// Waits for the peer's hello, in the place of an acceptor's [`Session::start`], and says nothing. A dialer must not
    /// wait like this: the two sides would wait for each other.
    ///
    /// Cancel-safe: dropping the future drops the link.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub async fn accept(link: impl Link, options: SessionOptions) -> Result<Self, SessionError> {
        let info = link.info();
        let patience = options.limits.hello_timeout;
        let machine = machine(&info, Role::Acceptor, &options)?;
        let (reader, writer) = Box::new(link).split();
        let wire = Wire { reader, writer, buffer: ReadBuffer::new(), descriptors: VecDeque::new() };
        let SessionOptions { codecs, close_timeout, .. } = options;
        let mut pending = Self { info, machine, codecs, close_timeout, wire };
        let heard = timeout(patience, poll_fn(|cx| pending.poll_hello(cx))).await;
        match heard.unwrap_or_else(|_| Err(pending.late(patience))) {
            Ok(()) => Ok(pending),
            Err(error) => {
                if !matches!(error, SessionError::Link(_) | SessionError::Lost) {
                    pending.say_last();
                }
                Err(error)
            }
        }
    }

    /// What the link can do and who is at its other end.
    pub fn info(&self) -> &LinkInfo {
        &self.info
    }

    /// What the peer says of itself.
    pub fn metadata(&self) -> &Metadata {
        static NONE: std::sync::OnceLock<Metadata> = std::sync::OnceLock::new();
        match self.machine.established() {
            Some(established) => &established.peer.metadata,
            None => NONE.get_or_init(Metadata::default),
        }
    }

    /// Answers the hello and gives the session. `admission` says who the peer is, which becomes [`LinkInfo::principal`], and until
    /// when; see [`Admission`]. One whose time is over already ends the session at once.
    ///
    /// Cancel-safe: dropping the future drops the link.
    ///
    /// # Errors
    /// The link breaks.
    pub async fn admit(mut self, admission: Option<Admission>) -> Result<Session, SessionError> {
        if let Some(admission) = &admission {
            self.info.principal = Some(admission.name().to_owned());
        }
        let Wire { reader, writer, buffer, descriptors } = self.wire;
        let start = super::Start {
            machine: self.machine,
            info: self.info,
            codecs: self.codecs,
            close_timeout: self.close_timeout,
            writer,
        };
        let session = start.with(|shared| Driver::resuming(shared, reader, buffer, descriptors)).await?;
        Ok(match admission {
            Some(admission) => session.admitted(admission),
            None => session,
        })
    }

    /// Tells the peer why it gets no session, waits until it has gone, at most the options' close timeout, and drops
    /// the link. `text` is for people; at most 1,024 bytes of it are sent. Dropping the future drops the link at once: the
    /// peer may not learn why.
    pub async fn deny(mut self, why: Denial, text: &str) {
        self.machine.deny(why, text);
        let mut goodbye = Output::default();
        self.machine.take_output(&mut goodbye);
        let mut unsent = Unsent::into(goodbye);
        let wire = &mut self.wire;
        let leaving = poll_fn(|cx| wire.poll_leave(cx, &mut unsent));
        // A peer that stays, or a link that fails, has had its chance to hear.
        let _ = timeout(self.close_timeout, leaving).await;
    }

    /// Reads until the hello is whole.
    fn poll_hello(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        let Self { machine, wire, .. } = self;
        while machine.established().is_none() {
            let read = wire.reader.poll_read(cx, wire.buffer.room(), &mut wire.descriptors);
            let Poll::Ready(read) = read else {
                wire.buffer.let_go();
                return Poll::Pending;
            };
            let read = read.map_err(|error| SessionError::Link(error.to_string()))?;
            if read == 0 {
                return Poll::Ready(machine.handle_eof());
            }
            wire.buffer.feed(read, |input| {
                let taken = machine.handle_input(input)?;
                Ok::<_, SessionError>((taken, machine.has_begun()))
            })?;
            if !wire.descriptors.is_empty() && machine.established().is_none() {
                return Poll::Ready(Err(machine.misbehaved(Misbehaviour::DescriptorBudget)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The hello has not come: what the machine says of that.
    fn late(&mut self, patience: Duration) -> SessionError {
        self.machine.handle_tick(patience).err().unwrap_or(SessionError::HelloTimeout)
    }

    /// The machine has a goodbye for a peer that did something wrong: one attempt, no waiting.
    fn say_last(&mut self) {
        let mut output = Output::default();
        self.machine.take_output(&mut output);
        let _ = Unsent::into(output).try_write(&mut *self.wire.writer);
    }
}

impl Wire {
    /// Writes what is left, says that nothing follows, and reads until the peer has gone: a link that is dropped with
    /// bytes unread may lose what was written.
    fn poll_leave(&mut self, cx: &mut Context<'_>, unsent: &mut Unsent) -> Poll<io::Result<()>> {
        ready!(unsent.poll_write(&mut *self.writer, cx))?;
        ready!(self.writer.poll_flush(cx))?;
        let closed = self.writer.poll_close(cx)?;
        let mut dropped = [0; 512];
        loop {
            let read = self.reader.poll_read(cx, &mut dropped, &mut self.descriptors)?;
            self.descriptors.clear();
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return closed.map(Ok),
                Poll::Ready(_) => {}
            }
        }
    }
}

impl fmt::Debug for PendingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSession").field("peer", &self.info.peer).finish_non_exhaustive()
    }
}
