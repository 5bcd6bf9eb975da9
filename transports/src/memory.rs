//! `mem:NAME`: sessions within this process. Channels move as they are, values are not encoded.
//!
//! Where the two sides name different types for one channel, its messages are encoded after all, by the same rules as
//! between processes (`libchan::End::into_receiver`). With the option `as_a_link` of either side everything is: then a session
//! is our protocol over a link within the process.

use std::collections::{BTreeMap, VecDeque};
use std::future::{poll_fn, ready};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use libchan::{
    Denial, End, EndWatch, Limits, LinkInfo, LocalLink, Metadata, OpenError, OpenOptions, Reason, Role,
    Session, SessionError, SessionOptions, Shipped, Transport, link_pair,
};

use tokio::sync::oneshot;

use crate::authorize::{Asked, Gate, Refusal};
use crate::dial::DialOptions;
use crate::error::{AcceptError, DialError, ListenError};
use crate::listen::{Acceptor, Arrival, ListenOptions};
use crate::places::Place;
use crate::url::UrlError;

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
    let info = info("");
    connect([(info.clone(), Metadata::default()), (info, Metadata::default())])
}

fn info(name: &str) -> LinkInfo {
    LinkInfo::new(format!("mem:{name}")).passing_descriptors().secured()
}

/// Two sessions; what each sees of the other.
fn connect([first, second]: [(LinkInfo, Metadata); 2]) -> (Session, Session) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let side = |at, (info, peer_metadata)| {
        Session::over(MemoryTransport { info, peer_metadata, at, shared: shared.clone() })
    };
    (side(0, first), side(1, second))
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
    over: Option<Ended>,
}

/// How the session has ended, as each side sees it.
type Ended = [Result<(), SessionError>; 2];

impl Shared {
    /// What was opened before stays to be accepted, unless the session is aborted.
    fn end(&mut self, how: Ended) -> (Vec<Waker>, Vec<EndWatch>, [VecDeque<Shipped>; 2]) {
        if self.over.is_some() {
            return Default::default();
        }
        let dropped = if how[0].is_ok() { Default::default() } else { std::mem::take(&mut self.incoming) };
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
    fn finish(&self, how: Ended) {
        let why = how[0].clone();
        let (wakers, opened, unaccepted) = lock(&self.shared).end(how);
        for channel in opened {
            match &why {
                Ok(()) => channel.close(),
                Err(why) => channel.disconnect_with(why.clone()),
            }
        }
        let why = why.err().unwrap_or(SessionError::Lost);
        for shipped in unaccepted.into_iter().flatten() {
            shipped.end.watch().disconnect_with(why.clone());
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
            let why = over[self.at].clone().err().unwrap_or(SessionError::Closed);
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
            Some(over) => Poll::Ready(over[self.at].clone().map(|()| None)),
            None => {
                wait(&mut shared.waiting[self.at], cx);
                Poll::Pending
            }
        }
    }

    fn close(&self) {
        self.finish([Ok(()), Ok(())]);
    }

    fn abort(&self) {
        self.finish([const { Err(SessionError::Lost) }; 2]);
    }

    fn end(&self, why: SessionError) {
        let told = match &why {
            SessionError::AdmissionOver(text) => {
                SessionError::PeerClosed(Reason { code: Denial::Unauthorized.code(), text: text.clone() })
            }
            _ => SessionError::Lost,
        };
        let mut how = [Err(why), Err(told)];
        how.rotate_right(self.at);
        self.finish(how);
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        let mut shared = lock(&self.shared);
        match &shared.over {
            Some(over) => Poll::Ready(over[self.at].clone()),
            None => {
                wait(&mut shared.waiting[self.at], cx);
                Poll::Pending
            }
        }
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::unlimited();
        limits.max_pending_accepts = MAX_PENDING as u32;
        limits
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
        shared.over = Some([Ok(()), Ok(())]);
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

/// Peers on their way to the listener of a name.
#[derive(Default)]
struct Backlog {
    /// What the listener says of itself.
    metadata: Metadata,
    /// Whether it asks a hook.
    asks: bool,
    /// Whether its sessions are over links.
    as_a_link: bool,
    callers: VecDeque<Caller>,
    waiting: Vec<Waker>,
}

/// A peer that has dialed.
enum Caller {
    /// It has its session already; this is the listener's.
    Connected(Session),
    /// This is its link, on which it says hello.
    Linked(LocalLink),
    /// It says this of itself, and waits for what the hook says.
    Asking(Metadata, oneshot::Sender<Result<Session, Refusal>>),
}

impl Caller {
    fn has_given_up(&self) -> bool {
        matches!(self, Self::Asking(_, answer) if answer.is_closed())
    }
}

type Names = BTreeMap<String, Weak<Mutex<Backlog>>>;

fn names() -> MutexGuard<'static, Names> {
    static NAMES: OnceLock<Mutex<Names>> = OnceLock::new();
    lock(NAMES.get_or_init(Mutex::default))
}

/// A session with whoever listens on `name`. If the listener asks a hook, it has as long to accept as for a hello.
pub(crate) async fn dial(name: &str, url: &str, options: DialOptions) -> Result<Session, DialError> {
    if name.is_empty() {
        return Err(UrlError::EmptyPath.into());
    }
    let nobody = || DialError::Refused { url: url.to_owned() };
    let patience = options.session.limits.hello_timeout.min(options.connect_timeout);
    let answer = {
        let backlog = names().get(name).and_then(Weak::upgrade).ok_or_else(nobody)?;
        let mut backlog = lock(&backlog);
        backlog.callers.retain(|caller| !caller.has_given_up());
        if backlog.callers.len() >= BACKLOG {
            let source = io::Error::from(io::ErrorKind::WouldBlock).into();
            return Err(DialError::Os { url: url.to_owned(), source });
        }
        let (caller, answer) = if options.as_a_link || backlog.as_a_link {
            let (near, far) = link_pair(url);
            (Caller::Linked(far), Answer::Linked(near))
        } else {
            call(name, options.session.metadata.clone(), &backlog)
        };
        backlog.callers.push_back(caller);
        let wakers = std::mem::take(&mut backlog.waiting);
        drop(backlog);
        wakers.into_iter().for_each(Waker::wake);
        answer
    };
    let answer = match answer {
        Answer::Session(session) => return Ok(session),
        Answer::Linked(link) => return greet(link, url, options.session_now()).await,
        Answer::Asked(answer) => tokio::time::timeout(patience, answer).await,
    };
    match answer {
        Ok(Ok(Ok(session))) => Ok(session),
        Ok(Ok(Err(refusal))) => Err(DialError::NotAdmitted { url: url.to_owned(), refusal }),
        Ok(Err(_)) => Err(nobody()),
        Err(_) => Err(SessionError::HelloTimeout.into()),
    }
}

/// How a dialer comes to its session.
enum Answer {
    Session(Session),
    Linked(LocalLink),
    Asked(oneshot::Receiver<Result<Session, Refusal>>),
}

/// Says hello over a link within the process.
async fn greet(link: LocalLink, url: &str, options: SessionOptions) -> Result<Session, DialError> {
    Session::start(link, Role::Dialer, options).await.map_err(|error| match Refusal::told(&error) {
        Some(refusal) => DialError::NotAdmitted { url: url.to_owned(), refusal },
        None => error.into(),
    })
}

/// What the listener will find of a dialer, and how the dialer comes to its session.
fn call(name: &str, said: Metadata, backlog: &Backlog) -> (Caller, Answer) {
    if backlog.asks {
        let (answer, waiting) = oneshot::channel();
        return (Caller::Asking(said, answer), Answer::Asked(waiting));
    }
    let (ours, theirs) = connect([(info(name), backlog.metadata.clone()), (info(name), said)]);
    (Caller::Connected(theirs), Answer::Session(ours))
}

/// Listens on a name until dropped.
struct MemoryListener {
    name: String,
    url: String,
    gate: Gate,
    backlog: Arc<Mutex<Backlog>>,
}

#[async_trait]
impl Acceptor for MemoryListener {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> Result<Arrival, AcceptError> {
        let caller = poll_fn(|cx| {
            let mut backlog = lock(&self.backlog);
            if let Some(caller) = backlog.callers.pop_front() {
                return Poll::Ready(caller);
            }
            wait(&mut backlog.waiting, cx);
            Poll::Pending
        })
        .await;
        Ok(match caller {
            // Both sides are here: there is nothing to agree on.
            Caller::Connected(session) => Box::new(|_| Box::pin(ready(Ok(session)))),
            Caller::Linked(link) => {
                let gate = self.gate.clone();
                Box::new(|place| Box::pin(async move { gate.begin(link, &place).await }))
            }
            Caller::Asking(said, answer) => {
                let (gate, info) = (self.gate.clone(), info(&self.name));
                Box::new(|place| Box::pin(admit(gate, info, said, answer, place)))
            }
        })
    }
}

/// Asks the hook about a dialer that waits for the answer.
async fn admit(
    gate: Gate,
    info: LinkInfo,
    said: Metadata,
    answer: oneshot::Sender<Result<Session, Refusal>>,
    place: Arc<Place>,
) -> Result<Session, AcceptError> {
    let (peer, asking) = (info.peer.clone(), place.asking());
    let asked = gate.local(&info, &said).await;
    drop(asking);
    let admission = match asked {
        Ok(admission) => admission,
        Err(refusal) => {
            let _ = answer.send(Err(refusal.clone()));
            return Err(AcceptError::Refused { peer, refusal });
        }
    };
    let mut named = info.clone();
    named.principal = admission.as_ref().map(|admission| admission.name().to_owned());
    let asked = Asked::of(&info, None, Some(&said));
    let (ours, theirs) = connect([(info, gate.session.metadata.clone()), (named, said)]);
    match answer.send(Ok(ours)) {
        Ok(()) => Ok(match admission {
            Some(admission) => gate.guard(gate.renew(theirs.admitted(admission), asked)),
            None => theirs,
        }),
        Err(_) => {
            Err(AcceptError::PeerGone { peer, source: io::Error::from(io::ErrorKind::TimedOut).into() })
        }
    }
}

/// Listens on a name.
pub(crate) fn listen(name: &str, options: &ListenOptions) -> Result<Box<dyn Acceptor>, ListenError> {
    if name.is_empty() {
        return Err(UrlError::EmptyPath.into());
    }
    let (gate, url) = (Gate::of(options), format!("mem:{name}"));
    let mut names = names();
    if names.get(name).is_some_and(|known| known.strong_count() > 0) {
        return Err(ListenError::AddressInUse { url });
    }
    let metadata = options.session.metadata.clone();
    let backlog = Backlog { metadata, asks: gate.asks(), as_a_link: options.as_a_link, ..Backlog::default() };
    let backlog = Arc::new(Mutex::new(backlog));
    names.insert(name.to_owned(), Arc::downgrade(&backlog));
    Ok(Box::new(MemoryListener { name: name.to_owned(), url, gate, backlog }))
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
