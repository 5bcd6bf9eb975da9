//! A session that comes back: dialed when it is first used, and again whenever it is lost.
//!
//! One task (`task.rs`) dials, holds the session and waits; what it is at is one [`State`](core::State) that everybody else
//! watches. It stops with the last handle.

mod backoff;
mod core;
mod error;
mod events;
mod options;
mod sender;
mod sessions;
mod task;

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libchan::{CloseError, Incoming, Message, OpenOptions, Session};
use tokio::task::AbortHandle;

pub use self::backoff::Backoff;
use self::core::{Core, Current};
pub use self::error::{RedialCallError, RedialError, RedialFailure, RedialSendError};
pub use self::events::{RedialEvent, RedialEvents};
pub use self::options::RedialOptions;
pub use self::sender::RedialSender;
pub use self::sessions::RedialSessions;

/// A session that comes back. It dials when it is first used and whenever the session is lost, with growing waits between, and
/// **sends nothing twice**.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use libchan::{Session, oneshot};
/// use libchan_transports::{Redial, listen};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Length { of: String, reply: oneshot::Sender<usize> }
///
/// async fn answer_one(session: &Session) -> Result<(), Box<dyn std::error::Error>> {
///     let requests = session.accept().await?.expect("a channel").receive::<Length>();
///     let request = requests.recv().await?.expect("a request");
///     Ok(request.reply.send(request.of.len())?)
/// }
///
/// let listener = listen("tcp://127.0.0.1:0").await?;
/// let redial = Redial::new(listener.url());
/// let lengths = redial.open::<Length>("lengths"); // nothing is dialed yet
///
/// let client = async {
///     let first = redial.session().await?; // now it is
///     assert_eq!(lengths.call(|reply| Length { of: "four".into(), reply }).await?, 4);
///     let _ = first.closed().await; // the server is killed, and comes back
///     assert_eq!(lengths.call(|reply| Length { of: "eleven".into(), reply }).await?, 6);
///     redial.close().await?;
///     Ok::<(), Box<dyn std::error::Error>>(())
/// };
/// let server = async {
///     let session = listener.accept().await?;
///     answer_one(&session).await?;
///     session.flush().await?;
///     session.abort();
///     let session = listener.accept().await?;
///     answer_one(&session).await?;
///     Ok(session.closed().await?)
/// };
/// tokio::try_join!(client, server)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # What it does, and what not
/// - [`open`](Self::open) gives a [`RedialSender`]: its `send` waits while there is no session, and opens the name again on each
///   new one.
/// - A message that had left when its session was lost fails with
///   [`MayHaveBeenTaken`](RedialFailure::MayHaveBeenTaken). One that never left goes over the next session. Messages that were
///   accepted before are counted: [`RedialSender::may_be_lost`].
/// - What lived on the lost session is lost: replies, streams and channels in messages. They end with errors of their own, as
///   on any session. What has to be established on each session anew (subscriptions, memberships) takes the sessions one by
///   one: [`sessions`](Self::sessions).
/// - [`events`](Self::events) tells what it is at.
/// - When the peer [is leaving](Session::going), the next session is dialed, and what is at work on the old one may finish.
///
/// # When it gives up
/// What no further dial can mend ends it, for all handles: see [`DialError::is_final`](crate::DialError::is_final). Everything
/// else is tried again for as long as a handle is there: put a `tokio::time::timeout` around what must not wait so long.
///
/// # Handles
/// Clones are the same redial. Its task stops, and the session says goodbye, when the last `Redial`, [`RedialSender`] and
/// [`RedialSessions`] are gone. What was sent last may then still be in this process: [`close`](Self::close) it before `main`
/// returns.
#[derive(Clone)]
pub struct Redial {
    inner: Arc<Inner>,
}

impl Redial {
    /// A redial of one URL with the default options. Nothing is dialed before it is used.
    pub fn new(url: impl Into<String>) -> Self {
        Self::with([url], RedialOptions::default())
    }

    /// A redial of several URLs, which are dialed one after the other until one gives a session. They should be ways to
    /// the same service: a session may be with any of them, and one of them that refuses us for good ends all.
    ///
    /// Without any URL every call fails with [`RedialError::NoAddress`].
    ///
    /// # Panics
    /// With [`RedialOptions::at_once`], outside a tokio runtime.
    pub fn with(urls: impl IntoIterator<Item = impl Into<String>>, options: RedialOptions) -> Self {
        let urls: Vec<Arc<str>> = urls.into_iter().map(|url| url.into().into()).collect();
        let core = Arc::new(Core::new());
        if urls.is_empty() {
            core.end(RedialError::NoAddress);
        }
        let at_once = options.at_once;
        let task = Mutex::new(Task::NotStarted(Box::new(options)));
        let redial = Self { inner: Arc::new(Inner { core, urls, task }) };
        if at_once {
            redial.inner.start();
        }
        redial
    }

    /// A sender of the named channel on whichever session is there. Does not wait and dials nothing.
    pub fn open<T: Message>(&self, name: impl Into<String>) -> RedialSender<T> {
        self.open_with(name, OpenOptions::default())
    }

    /// The same with a stated capacity and metadata, for each session.
    pub fn open_with<T: Message>(&self, name: impl Into<String>, options: OpenOptions) -> RedialSender<T> {
        RedialSender::new(self.inner.clone(), name.into(), options)
    }

    /// The session that is there, or the next one. It may be lost the moment after.
    ///
    /// The handle keeps the session alive, also when the redial has gone on to the next.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; dialing goes on.
    ///
    /// # Errors
    /// The redial is over.
    ///
    /// # Panics
    /// If it is the first use, outside a tokio runtime with its time and I/O drivers.
    pub async fn session(&self) -> Result<Session, RedialError> {
        Ok(self.inner.session_after(0).await?.session)
    }

    /// All sessions from now on, beginning with the one that is there: for what has to be established on each anew.
    pub fn sessions(&self) -> RedialSessions {
        RedialSessions::new(self.inner.clone())
    }

    /// The next channel that the peer opens, on whichever session is there: waits over losses.
    ///
    /// # Cancel safety
    /// No channel is lost by dropping the future.
    ///
    /// # Errors
    /// The redial is over.
    ///
    /// # Panics
    /// As [`session`](Self::session).
    pub async fn accept(&self) -> Result<Incoming, RedialError> {
        let mut passed = 0;
        loop {
            let current = self.inner.session_after(passed).await?;
            passed = current.number;
            tokio::select! {
                biased;
                accepted = current.session.accept() => if let Ok(Some(incoming)) = accepted {
                    return Ok(incoming);
                },
                // The peer is leaving: what it still opens is not for us.
                () = self.inner.core.left(passed) => {}
            }
        }
    }

    /// What happens from now on. Dials nothing.
    pub fn events(&self) -> RedialEvents {
        self.inner.core.events()
    }

    /// Ends it for all handles, and closes the session that is there, as [`Session::close`] does. What waits for a session fails
    /// with [`RedialError::Closed`].
    ///
    /// # Cancel safety
    /// Once it was polled the redial is over, and the session is closing, also if the future is dropped.
    ///
    /// # Errors
    /// As [`Session::close`]; `Ok` if there is no session.
    pub async fn close(self) -> Result<(), CloseError> {
        let session = self.inner.core.end(RedialError::Closed);
        self.inner.stop();
        match session {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Redial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// What all handles share. The task holds the core alone, so it does not keep itself alive.
struct Inner {
    core: Arc<Core>,
    urls: Vec<Arc<str>>,
    task: Mutex<Task>,
}

enum Task {
    NotStarted(Box<RedialOptions>),
    Running(AbortHandle),
    /// It was told to stop, or there was no need for it.
    Stopped,
}

impl Inner {
    /// Sets the task going, unless it is or is over.
    fn start(&self) {
        let mut task = lock(&self.task);
        if !matches!(*task, Task::NotStarted(_)) || self.core.is_over() {
            return;
        }
        // Where there is none, it panics before anything has changed.
        let runtime = tokio::runtime::Handle::current();
        if let Task::NotStarted(options) = mem::replace(&mut *task, Task::Stopped) {
            let work = task::run(self.core.clone(), self.urls.clone(), *options);
            *task = Task::Running(runtime.spawn(work).abort_handle());
        }
    }

    /// Stops the task. What it holds is dropped by the runtime.
    fn stop(&self) {
        let task = mem::replace(&mut *lock(&self.task), Task::Stopped);
        if let Task::Running(running) = task {
            running.abort();
        }
    }

    /// The session that is there, if its number is above `passed`, or else the next one.
    async fn session_after(&self, passed: u64) -> Result<Current, RedialError> {
        match self.core.now(passed) {
            Some(known) => known,
            None => {
                self.start();
                self.core.session_after(passed).await
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
        drop(self.core.end(RedialError::Stopped));
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever it is written to is not called under the lock.
        let state = self.core.described();
        f.debug_struct("Redial").field("urls", &self.urls).field("state", &format_args!("{state}")).finish()
    }
}

/// No user code runs under our locks: a poisoned one is used as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, feature = "memory"))]
mod tests;
