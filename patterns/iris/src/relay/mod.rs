//! The relay: applications attach to it, and it brings what they ask and tell to clusters and topics.

mod deliver;
mod native;
pub(crate) mod port;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libchan::Session;
use libchan_transports::{AcceptError, Listener};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::deliver::Ports;
use crate::app::{Connection, lock};
use crate::body::Body;
use crate::core::{Core, CoreLimits, Totals};
use crate::error::Error;

/// Requests of one application that are under way at the same time at the most.
pub(crate) const IN_FLIGHT: usize = 4096;

/// A relay, as a library. Clones are the same relay; it serves as long as one is there.
///
/// ```no_run
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let relay = libchan_iris::Relay::new();
/// let listener = libchan_transports::listen("tcp://127.0.0.1:5555").await?;
/// relay.serve(listener).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Relay {
    hub: Arc<Hub>,
}

/// What all faces of a relay share.
pub(crate) struct Hub {
    core: Mutex<Core<Body>>,
    pub(crate) ports: Mutex<Ports>,
    /// Held by the one task that carries out actions: others leave theirs to it, so that they keep their order.
    delivering: Mutex<()>,
    started: Instant,
    /// Tells the clock that the first deadline may have changed.
    deadline: tokio::sync::Notify,
    /// Tells those who look for a member that one has joined.
    pub(crate) joined: tokio::sync::Notify,
}

/// What a relay has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Applications that are attached.
    pub clients: usize,
    /// Clusters with a member or a waiting request.
    pub clusters: usize,
    /// Members of clusters.
    pub members: usize,
    /// Topics with a subscription.
    pub topics: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Requests that are not over.
    pub under_way: usize,
    /// Requests that came.
    pub requests: u64,
    /// Requests that a handler answered.
    pub answered: u64,
    /// Requests that a handler answered with a fault.
    pub faults: u64,
    /// Requests whose time was up.
    pub timeouts: u64,
    /// Requests to a cluster without a member.
    pub no_member: u64,
    /// Requests for which there was no room.
    pub busy: u64,
    /// Requests whose member was lost.
    pub lost: u64,
    /// Requests that their caller cancelled.
    pub cancelled: u64,
    /// Broadcasts that came.
    pub broadcasts: u64,
    /// Events that were published.
    pub published: u64,
    /// Broadcasts and events that were given to a member or subscription.
    pub delivered: u64,
    /// Broadcasts and events that a slow member or subscription lost.
    pub dropped: u64,
}

impl Relay {
    /// A relay of its own: nobody is attached, nothing listens. Needs a tokio runtime with its time driver.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Self {
        let hub = Arc::new(Hub {
            core: Mutex::new(Core::new(CoreLimits::default(), seed())),
            ports: Mutex::new(Ports::default()),
            delivering: Mutex::new(()),
            started: Instant::now(),
            deadline: tokio::sync::Notify::new(),
            joined: tokio::sync::Notify::new(),
        });
        tokio::spawn(clock(Arc::downgrade(&hub)));
        Self { hub }
    }

    /// Attaches an application in this process.
    ///
    /// # Errors
    /// [`Error::Local`]: the session in this process cannot be made; the text says why.
    pub async fn connect(&self) -> Result<Connection, Error> {
        Ok(Connection::over(self.session().await?))
    }

    /// A session in this process whose other end the relay serves: for [`Connection::over`].
    ///
    /// # Errors
    /// [`Error::Local`]: the session in this process cannot be made; the text says why.
    pub async fn session(&self) -> Result<Session, Error> {
        let (ours, theirs) = in_process().await.map_err(Error::Local)?;
        let relay = self.clone();
        tokio::spawn(async move { relay.attach(theirs).await });
        Ok(ours)
    }

    /// Serves an application until its session is over.
    pub async fn attach(&self, session: Session) {
        native::serve(self.hub.clone(), session).await;
    }

    /// Accepts applications and serves each, until the listener fails. Dropping the future drops their sessions.
    ///
    /// # Errors
    /// The listener cannot accept any more.
    pub async fn serve(&self, listener: Listener) -> Result<(), AcceptError> {
        let mut attached = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(session) => {
                        let relay = self.clone();
                        attached.spawn(async move { relay.attach(session).await });
                    }
                    Err(error @ AcceptError::Closed) => return Err(error),
                    Err(error) => tracing::info!(%error, "an application did not attach"),
                },
                Some(_gone) = attached.join_next() => {}
            }
        }
    }

    /// Accepts bindings of the original Iris, which speak relay protocol v1.0-draft2 on plain tcp, until the listener fails.
    /// The original listens on port 55555 of `127.0.0.1` and `::1`: its protocol has no encryption and no credentials. Dropping
    /// the future drops their connections.
    ///
    /// # Errors
    /// The listener cannot accept any more.
    pub async fn serve_draft2(&self, listener: TcpListener) -> std::io::Error {
        crate::draft2::serve(self.hub.clone(), listener).await
    }

    /// What the relay holds and has done.
    pub fn status(&self) -> Status {
        let dropped = lock(&self.hub.ports).dropped();
        lock(&self.hub.core).status(dropped)
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Tells the core something, then carries out what comes of it.
    pub(crate) fn tell<R>(&self, say: impl FnOnce(&mut Core<Body>, Duration) -> R) -> R {
        let now = self.now();
        let (result, sooner) = {
            let mut core = lock(&self.core);
            let before = core.next_deadline();
            let result = say(&mut core, now);
            (result, core.next_deadline().is_some_and(|next| before.is_none_or(|before| next < before)))
        };
        if sooner {
            self.deadline.notify_one();
        }
        self.deliver();
        result
    }
}

/// Ends requests whose time is up: one task for all of them.
async fn clock(hub: std::sync::Weak<Hub>) {
    loop {
        let Some(alive) = hub.upgrade() else { return };
        // Looks now and then whether the relay is still there.
        let look = Instant::now() + Duration::from_secs(1);
        let next = lock(&alive.core).next_deadline();
        let at = next.map_or(look, |next| look.min(alive.started + next));
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = alive.deadline.notified() => {}
        }
        alive.tell(|core, now| core.handle_time(now));
    }
}

/// A pair of sessions in this process.
async fn in_process() -> Result<(Session, Session), String> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let url = format!("mem:iris-relay-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let listener = libchan_transports::listen(&url).await.map_err(|error| error.to_string())?;
    let (dialed, accepted) = tokio::join!(libchan_transports::dial(&url), listener.accept());
    let dialed = dialed.map_err(|error| error.to_string())?;
    Ok((dialed, accepted.map_err(|error| error.to_string())?))
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8)
}

impl Core<Body> {
    fn status(&self, dropped: u64) -> Status {
        let Totals {
            requests,
            answered,
            faults,
            timeouts,
            no_member,
            busy,
            lost,
            cancelled,
            broadcasts,
            published,
            delivered,
        } = self.totals();
        let [clients, clusters, members, topics, subscriptions, under_way] = self.counts();
        Status {
            clients,
            clusters,
            members,
            topics,
            subscriptions,
            under_way,
            requests,
            answered,
            faults,
            timeouts,
            no_member,
            busy,
            lost,
            cancelled,
            broadcasts,
            published,
            delivered,
            dropped,
        }
    }
}
