//! Ends that were cut short: what the wire says of them, the cause that a channel keeps, and the mark under which the library
//! drops what nobody has seen.
//!
//! A clean end is said by the application alone. Whoever ends an end for another reason asks [`now`] or names the [`Cause`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use libchan_proto::{Reason, SessionError, code};

use crate::error::{Closed, RecvError, RemoteError};
use crate::sync::thread_local;

/// Why an end is over that nobody has finished, where the protocol has a code for it. See [`RemoteError::cut`].
///
/// That a session was lost or closed under an end has variants of its own in every error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cut {
    /// Its channel was refused, or nobody accepted it.
    Refused,
    /// The message that held it did not decode.
    NotDecoded,
    /// The message that held it was dropped before anybody received it.
    NotDelivered,
    /// The receiver of its channel is draining and takes no more.
    GoingAway,
    /// The message decoded, and its type has no place for the end.
    Unclaimed,
    /// It was dropped by a panic.
    Panicked,
    /// A oneshot ended without a value.
    NoReply,
    /// A byte stream was dropped without `shutdown`, or a sender that must finish was dropped unfinished.
    Abandoned,
}

impl Cut {
    const ALL: [(Self, u16); 8] = [
        (Self::Refused, code::REFUSED),
        (Self::NotDecoded, code::NOT_DECODED),
        (Self::NotDelivered, code::NOT_DELIVERED),
        (Self::GoingAway, code::GOING_AWAY),
        (Self::Unclaimed, code::UNCLAIMED),
        (Self::Panicked, code::PANICKED),
        (Self::NoReply, code::NO_REPLY),
        (Self::Abandoned, code::ABANDONED),
    ];

    pub(crate) fn of(code: u16) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == code).map(|(cut, _)| *cut)
    }

    /// Its code on the wire (`spec/8-errors.md`).
    pub fn code(self) -> u16 {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or(code::ABANDONED, |(_, code)| *code)
    }

    /// Whether the application at the other side has certainly not seen the message that held the end. If so, sending it again
    /// does nothing twice.
    pub fn is_safe_to_retry(self) -> bool {
        matches!(self, Self::Refused | Self::NotDecoded | Self::NotDelivered | Self::GoingAway)
    }

    pub(crate) fn because(self, text: impl Into<String>) -> Cause {
        Cause::from(RemoteError::with_wire_code(self.code(), text.into()))
    }

    pub(crate) fn cause(self) -> Cause {
        self.because(code::describe(self.code()))
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(code::describe(self.code()))
    }
}

/// What is known of a session that ended under a channel or stream.
///
/// Where this process lost the session, [`session_error`](Self::session_error) has the error. Where it was lost further away,
/// there is only the text that was passed on.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionLoss {
    error: Option<Arc<SessionError>>,
    text: Box<str>,
}

impl SessionLoss {
    pub(crate) fn new(error: Option<Arc<SessionError>>, text: impl Into<Box<str>>) -> Self {
        Self { error, text: text.into() }
    }

    /// How the session ended, if it was a session of this process.
    pub fn session_error(&self) -> Option<&SessionError> {
        self.error.as_deref()
    }

    /// What is known of it, for people.
    pub fn text(&self) -> String {
        match &self.error {
            Some(error) => error.to_string(),
            None => self.text.to_string(),
        }
    }

    pub(crate) fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_deref().map(|error| error as &(dyn Error + 'static))
    }

    /// Behind a sentence: a colon and what is known.
    pub(crate) fn detail(&self) -> String {
        let text = self.text();
        if text.is_empty() { text } else { format!(": {text}") }
    }

    fn into_cause(self, code: u16) -> Cause {
        Cause { said: RemoteError::with_wire_code(code, self.text.into()), session: self.error }
    }
}

impl fmt::Debug for SessionLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => fmt::Debug::fmt(error, f),
            None => fmt::Debug::fmt(&self.text, f),
        }
    }
}

/// Why an end is not clean: what the wire says of it, and the session's error where this process knows that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    said: RemoteError,
    session: Option<Arc<SessionError>>,
}

impl Cause {
    /// The end stood on a session that is over.
    pub(crate) fn session_over(error: SessionError) -> Self {
        let code = if error == SessionError::Closed { code::SESSION_CLOSED } else { code::DISCONNECTED };
        Self { said: RemoteError::with_wire_code(code, String::new()), session: Some(Arc::new(error)) }
    }

    /// What is said of ends in messages that nobody takes any more, because of `why`.
    pub(crate) fn undelivered(why: &Closed) -> Self {
        match why {
            Closed::Disconnected(_) => why.clone().into(),
            Closed::Refused(why) => {
                Cut::NotDelivered.because(format!("the message that held it was dropped unread: {why}"))
            }
            _ => Cut::NotDelivered.cause(),
        }
    }

    /// A link was lost, and no more is known.
    pub(crate) fn disconnected(text: &str) -> Self {
        Self::from(RemoteError::with_wire_code(code::DISCONNECTED, text.to_owned()))
    }

    /// The session was closed under the end.
    pub(crate) fn session_closed() -> Self {
        Self::session_over(SessionError::Closed)
    }

    pub(crate) fn code(&self) -> u16 {
        self.said.wire_code()
    }

    /// Whether a session is to blame.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self.code(), code::DISCONNECTED | code::SESSION_CLOSED)
    }

    pub(crate) fn into_loss(self) -> SessionLoss {
        SessionLoss::new(self.session, self.said.text())
    }

    /// What a peer is told. Of a session that it does not know it gets a text.
    pub(crate) fn into_reason(self) -> Reason {
        match self.session {
            Some(error) if self.said.text().is_empty() => {
                RemoteError::with_wire_code(self.said.wire_code(), error.to_string()).into_reason()
            }
            _ => self.said.into_reason(),
        }
    }

    /// What a receiver is told.
    pub(crate) fn into_recv_error(self) -> RecvError {
        match self.code() {
            code::DISCONNECTED => RecvError::Disconnected(self.into_loss()),
            code::SESSION_CLOSED => RecvError::SessionClosed(self.into_loss()),
            _ => RecvError::Remote(self.said),
        }
    }

    /// What who reads a stream is told.
    pub(crate) fn into_read_error(self) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionReset, self.into_recv_error())
    }

    /// What who writes a stream is told.
    pub(crate) fn into_write_error(self) -> io::Error {
        let kind = if self.is_loss() { io::ErrorKind::ConnectionReset } else { io::ErrorKind::BrokenPipe };
        match self.code() {
            code::NONE if !self.said.text().is_empty() => io::Error::new(kind, self.said),
            code::NONE => io::Error::new(kind, "the other end of the stream reads no more"),
            _ => io::Error::new(kind, self.into_closed()),
        }
    }

    /// What a failed stream passes on: code and text of what cut it short, or that it was lost on the way.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        let known = error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>());
        known
            .and_then(Self::of_recv_error)
            .unwrap_or_else(|| Self::disconnected(&format!("the stream was cut: {error}")))
    }

    /// What a relay passes on of a source that ended with `error`.
    pub(crate) fn passed_on(error: &RecvError) -> Self {
        Self::of_recv_error(error)
            .unwrap_or_else(|| Cut::Abandoned.because(format!("it was not passed on: {error}")))
    }

    /// What `error` says of an end; `None` if it is of a message.
    fn of_recv_error(error: &RecvError) -> Option<Self> {
        match error.clone() {
            RecvError::Remote(said) => Some(said.into()),
            RecvError::Disconnected(loss) => Some(loss.into_cause(code::DISCONNECTED)),
            RecvError::SessionClosed(loss) => Some(loss.into_cause(code::SESSION_CLOSED)),
            _ => None,
        }
    }

    /// What a sender is told.
    pub(crate) fn into_closed(self) -> Closed {
        match self.code() {
            code::NONE => Closed::Dropped,
            code::CLOSED => Closed::BySender,
            code::DISCONNECTED => Closed::Disconnected(self.into_loss()),
            code::SESSION_CLOSED => Closed::SessionClosed(self.into_loss()),
            _ => Closed::Refused(self.said),
        }
    }
}

impl From<RemoteError> for Cause {
    fn from(said: RemoteError) -> Self {
        Self { said, session: None }
    }
}

impl From<Closed> for Cause {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Dropped => RemoteError::with_wire_code(code::NONE, String::new()).into(),
            Closed::BySender => RemoteError::with_wire_code(code::CLOSED, String::new()).into(),
            Closed::Disconnected(loss) => loss.into_cause(code::DISCONNECTED),
            Closed::SessionClosed(loss) => loss.into_cause(code::SESSION_CLOSED),
            Closed::Refused(error) => error.into(),
        }
    }
}

// ---- the mark

thread_local! {
    static MARK: Cell<Mark> = const { Cell::new(Mark::None) };
}

/// Who drops on this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The application.
    None,
    /// The library drops what nobody has seen: `CAUSE` says why.
    Unseen,
    /// The library drops its own handles on what has gone on.
    Spent,
}

thread_local! {
    static CAUSE: RefCell<Option<Cause>> = const { RefCell::new(None) };
}

/// Why an end that is dropped on this thread now is not clean, if that is so.
#[inline]
pub(crate) fn now() -> Option<Cause> {
    if MARK.get() != Mark::None || std::thread::panicking() { marked() } else { None }
}

#[cold]
#[inline(never)]
fn marked() -> Option<Cause> {
    match MARK.get() {
        Mark::None => Some(Cut::Panicked.cause()),
        Mark::Unseen => CAUSE.with_borrow(Clone::clone),
        Mark::Spent => None,
    }
}

/// Puts back what was marked before.
struct Outer(Mark, Option<Cause>);

impl Drop for Outer {
    fn drop(&mut self) {
        MARK.set(self.0);
        let before = self.1.take();
        let mine = CAUSE.with_borrow_mut(|cause| std::mem::replace(cause, before));
        drop(mine);
    }
}

/// Runs `f`; ends that it drops end with `cause`.
pub(crate) fn marking<R>(cause: Cause, f: impl FnOnce() -> R) -> R {
    let before = CAUSE.with_borrow_mut(|known| known.replace(cause));
    let _outer = Outer(MARK.get(), before);
    MARK.set(Mark::Unseen);
    f()
}

/// Runs `f`, which drops handles on ends that have gone on: that says nothing of the ends, whatever is marked around it.
#[inline]
pub(crate) fn spending<R>(f: impl FnOnce() -> R) -> R {
    if MARK.get() == Mark::None && !std::thread::panicking() { f() } else { spending_marked(f) }
}

#[cold]
fn spending_marked<R>(f: impl FnOnce() -> R) -> R {
    let before = CAUSE.with_borrow_mut(Option::take);
    let _outer = Outer(MARK.get(), before);
    MARK.set(Mark::Spent);
    f()
}

/// Drops each of `things` by itself, so that one that panics takes no other with it. The first panic goes on afterwards.
pub(crate) fn drop_each<T>(cause: Cause, things: impl IntoIterator<Item = T>) {
    let mut first: Option<Box<dyn Any + Send>> = None;
    marking(cause, || {
        for thing in things {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(thing))) {
                first.get_or_insert(panic);
            }
        }
    });
    if let Some(panic) = first {
        resume_unwind(panic);
    }
}

// ---- panics of the application's code where no caller is left

/// Runs `f`, which may run code of the application (`Serialize`, `Drop`) for nobody who waits. A panic ends there: it is an event,
/// and the text of it the answer.
pub(crate) fn guarded<R>(what: &str, f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "no text".to_owned(),
        };
        tracing::error!(what, panic = text, "code of the application has panicked");
        text
    })
}

/// Drops what was sent, for nobody who waits.
pub(crate) fn drop_guarded<T>(value: T) {
    // Then there is nothing to be told.
    let _ = guarded("Drop of a value that was sent", || drop(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_both_ways() {
        for (cut, code) in Cut::ALL {
            assert_eq!((Cut::of(code), cut.code()), (Some(cut), code));
            let cause = cut.because("why");
            let reason = cause.clone().into_reason();
            assert_eq!((reason.code, reason.text.as_str()), (code, "why"));
            assert_eq!(Cause::from(RemoteError::from(reason)), cause, "relays pass code and text unchanged");
            assert_eq!(Cause::from(cause.clone().into_closed()), cause);
            assert!(matches!(cause.into_recv_error(), RecvError::Remote(error) if error.cut() == Some(cut)));
        }
        for code in [code::DISCONNECTED, code::SESSION_CLOSED] {
            let cause = Cause::from(RemoteError::with_wire_code(code, "far away".to_owned()));
            assert_eq!(Cause::from(cause.clone().into_closed()), cause);
            let error = cause.into_recv_error();
            assert!(error.is_end() && error.to_string().contains("far away"), "{error}");
        }
    }

    #[test]
    fn a_mark_is_taken_back_also_by_a_panic() {
        assert_eq!(now(), None);
        let panicked = catch_unwind(|| {
            marking(Cut::NotDelivered.cause(), || {
                assert_eq!(now(), Some(Cut::NotDelivered.cause()));
                marking(Cut::Unclaimed.cause(), || assert_eq!(now(), Some(Cut::Unclaimed.cause())));
                spending(|| assert_eq!(now(), None));
                assert_eq!(now(), Some(Cut::NotDelivered.cause()));
                panic!("on purpose");
            });
        });
        assert!(panicked.is_err());
        assert_eq!(now(), None);
    }

    #[test]
    fn each_is_dropped_and_the_first_panic_goes_on() {
        struct Bomb<'a>(u32, &'a Cell<u32>);
        impl Drop for Bomb<'_> {
            fn drop(&mut self) {
                self.1.set(self.1.get() + 1);
                if self.0 > 0 {
                    resume_unwind(Box::new(self.0));
                }
            }
        }
        let count = Cell::new(0);
        let bombs = [0, 1, 0, 2, 0].map(|number| Bomb(number, &count));
        let panic = catch_unwind(AssertUnwindSafe(|| drop_each(Cut::NotDelivered.cause(), bombs)));
        assert_eq!(panic.unwrap_err().downcast_ref::<u32>(), Some(&1));
        assert_eq!(count.get(), 5);
    }
}
