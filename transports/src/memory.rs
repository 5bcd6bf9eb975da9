//! `mem:NAME`: sessions within this process. Channels move as they are, values are not encoded.
//!
//! Where the two sides name different types for one channel, its messages are encoded after all, by the same rules as
//! between processes (`libchan::End::into_receiver`).

use std::collections::{BTreeMap, VecDeque};
use std::future::{poll_fn, ready};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use libchan::{
    End, EndWatch, LinkInfo, Metadata, OpenError, OpenOptions, Session, SessionError, Shipped, Transport,
};

use crate::dial::DialOptions;
use crate::error::{DialError, ListenError};
use crate::listen::{Acceptor, Arrival, ListenOptions};

/// Named channels of one side that wait to be accepted.
const MAX_PENDING: usize = 256;
/// Sessions that wait to be accepted by a listener.
const BACKLOG: usize = 128;

/// Two connected sessions in this process.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (left, right) = libchan_transports::memory::pair();
/// let words = left.open::<String>("words")?;
/// words.send("hello".to_owned()).await?;
/// let heard = right.accept().await?.expect("a channel was opened").receive::<String>();
/// assert_eq!(heard.recv().await?.as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn pair() -> (Session, Session) {
    named_pair("", Metadata::default(), Metadata::default())
}

/// Two sessions; each side sees what the other said of itself.
fn named_pair(name: &str, first: Metadata, second: Metadata) -> (Session, Session) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let side = |at, peer_metadata| MemoryTransport {
        info: LinkInfo::new(format!("mem:{name}")).passing_descriptors().secured(),
        peer_metadata,
        at,
        shared: shared.clone(),
    };
    (Session::over(side(0, second)), Session::over(side(1, first)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What both sides see.
#[derive(Default)]
struct Shared {
    /// What waits to be accepted by each side.
    incoming: [VecDeque<Shipped>; 2],
    waiting: [Vec<Waker>; 2],
    opened: Vec<EndWatch>,
    over: Option<Result<(), SessionError>>,
}

impl Shared {
    /// What was opened before stays to be accepted, unless the session is aborted.
    fn end(&mut self, how: Result<(), SessionError>) -> (Vec<Waker>, Vec<EndWatch>, [VecDeque<Shipped>; 2]) {
        if self.over.is_some() {
            return Default::default();
        }
        let dropped = if how.is_ok() { Default::default() } else { std::mem::take(&mut self.incoming) };
        self.over = Some(how);
        let wakers = self.waiting.iter_mut().flat_map(std::mem::take).collect();
        (wakers, std::mem::take(&mut self.opened), dropped)
    }
}

struct MemoryTransport {
    info: LinkInfo,
    peer_metadata: Metadata,
    /// Which of the two sides this is.
    at: usize,
    shared: Arc<Mutex<Shared>>,
}

impl MemoryTransport {
    fn end(&self, how: Result<(), SessionError>) {
        let clean = how.is_ok();
        let (wakers, opened, unaccepted) = lock(&self.shared).end(how);
        for channel in opened {
            if clean {
                channel.close();
            } else {
                channel.disconnect();
            }
        }
        for shipped in unaccepted.into_iter().flatten() {
            shipped.end.watch().disconnect();
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Transport for MemoryTransport {
    fn info(&self) -> &LinkInfo {
        &self.info
    }

    fn peer_metadata(&self) -> &Metadata {
        &self.peer_metadata
    }

    fn open(&self, name: &str, options: OpenOptions, end: End) -> Result<(), OpenError> {
        let mut shared = lock(&self.shared);
        if let Some(over) = &shared.over {
            let why = over.clone().err().unwrap_or(SessionError::Closed);
            return Err(OpenError::SessionOver(why));
        }
        let peer = 1 - self.at;
        if shared.incoming[peer].len() >= MAX_PENDING {
            return Err(OpenError::Limit(format!("{MAX_PENDING} channels wait to be accepted")));
        }
        if shared.opened.len() == shared.opened.capacity() {
            shared.opened.retain(EndWatch::is_alive);
        }
        shared.opened.push(end.watch());
        shared.incoming[peer].push_back(Shipped { name: name.to_owned(), options, end });
        let wakers = std::mem::take(&mut shared.waiting[peer]);
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Shipped>, SessionError>> {
        let mut shared = lock(&self.shared);
        if let Some(shipped) = shared.incoming[self.at].pop_front() {
            return Poll::Ready(Ok(Some(shipped)));
        }
        match &shared.over {
            Some(over) => Poll::Ready(over.clone().map(|()| None)),
            None => {
                wait(&mut shared.waiting[self.at], cx);
                Poll::Pending
            }
        }
    }

    fn close(&self) {
        self.end(Ok(()));
    }

    fn abort(&self) {
        self.end(Err(SessionError::Lost));
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        let mut shared = lock(&self.shared);
        match &shared.over {
            Some(over) => Poll::Ready(over.clone()),
            None => {
                wait(&mut shared.waiting[self.at], cx);
                Poll::Pending
            }
        }
    }

    fn open_channels(&self) -> usize {
        lock(&self.shared).opened.iter().filter(|channel| channel.is_alive()).count()
    }
}

impl Drop for MemoryTransport {
    /// The last handle of one side is gone: the other has nothing more to accept. Channels live on, as ends do.
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.over.is_some() {
            return;
        }
        shared.over = Some(Ok(()));
        let wakers: Vec<Waker> = shared.waiting.iter_mut().flat_map(std::mem::take).collect();
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn wait(list: &mut Vec<Waker>, cx: &Context<'_>) {
    if !list.iter().any(|known| known.will_wake(cx.waker())) {
        list.push(cx.waker().clone());
    }
}

// ---- names

/// Sessions on their way to the listener of a name.
#[derive(Default)]
struct Backlog {
    /// What the listener says of itself.
    metadata: Metadata,
    sessions: VecDeque<Session>,
    waiting: Vec<Waker>,
}

type Names = BTreeMap<String, Weak<Mutex<Backlog>>>;

fn names() -> MutexGuard<'static, Names> {
    static NAMES: OnceLock<Mutex<Names>> = OnceLock::new();
    lock(NAMES.get_or_init(Mutex::default))
}

/// Why a name cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    /// Nobody listens.
    NoListener,
    /// Somebody listens already.
    InUse,
    /// The listener does not accept as fast as others dial.
    BacklogFull,
}

impl NameError {
    pub(crate) fn dialing(self, url: &str) -> DialError {
        let url = url.to_owned();
        match self {
            Self::NoListener | Self::InUse => DialError::Refused { url },
            Self::BacklogFull => {
                DialError::Os { url, source: io::Error::from(io::ErrorKind::WouldBlock).into() }
            }
        }
    }
}

/// A session with whoever listens on `name`.
pub(crate) fn dial(name: &str, options: DialOptions) -> Result<Session, NameError> {
    let backlog = names().get(name).and_then(Weak::upgrade).ok_or(NameError::NoListener)?;
    let mut backlog = lock(&backlog);
    if backlog.sessions.len() >= BACKLOG {
        return Err(NameError::BacklogFull);
    }
    let (ours, theirs) = named_pair(name, options.session.metadata, backlog.metadata.clone());
    backlog.sessions.push_back(theirs);
    let wakers = std::mem::take(&mut backlog.waiting);
    drop(backlog);
    wakers.into_iter().for_each(Waker::wake);
    Ok(ours)
}

/// Listens on a name until dropped.
pub(crate) struct MemoryListener {
    name: String,
    url: String,
    backlog: Arc<Mutex<Backlog>>,
}

impl MemoryListener {
    pub(crate) fn bind(name: &str, metadata: Metadata) -> Result<Self, NameError> {
        let mut names = names();
        if names.get(name).is_some_and(|known| known.strong_count() > 0) {
            return Err(NameError::InUse);
        }
        let backlog = Arc::new(Mutex::new(Backlog { metadata, ..Backlog::default() }));
        names.insert(name.to_owned(), Arc::downgrade(&backlog));
        Ok(Self { url: format!("mem:{name}"), name: name.to_owned(), backlog })
    }
}

#[async_trait]
impl Acceptor for MemoryListener {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> io::Result<Arrival> {
        let session = poll_fn(|cx| {
            let mut backlog = lock(&self.backlog);
            if let Some(session) = backlog.sessions.pop_front() {
                return Poll::Ready(session);
            }
            wait(&mut backlog.waiting, cx);
            Poll::Pending
        })
        .await;
        // Both sides are here: there is nothing to agree on.
        Ok(Box::pin(ready(Ok(session))))
    }
}

/// Listens on a name.
pub(crate) fn listen(name: &str, options: &ListenOptions) -> Result<Box<dyn Acceptor>, ListenError> {
    match MemoryListener::bind(name, options.session.metadata.clone()) {
        Ok(listener) => Ok(Box::new(listener)),
        Err(_) => Err(ListenError::AddressInUse { url: format!("mem:{name}") }),
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut names = names();
        // Unless somebody has taken the name since.
        if names.get(&self.name).is_some_and(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&self.backlog)))
        {
            names.remove(&self.name);
        }
    }
}
