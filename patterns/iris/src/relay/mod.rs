//! The relay: applications attach to it, and it brings what they ask and tell to clusters and topics.

mod deliver;
mod leaving;
mod native;
pub(crate) mod port;
mod rights;
mod status;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libchan::Session;
use libchan_transports::{AcceptError, Listener};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::deliver::Ports;
use self::leaving::Leaving;
pub use self::rights::{Act, Rights};
use self::rights::{Denied, Everything};
pub use self::status::Status;
use crate::app::{Connection, lock};
use crate::body::Body;
use crate::core::{ClientId, ClusterStatus, Core, TopicStatus};
use crate::error::Error;
use crate::limits::RelayLimits;

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
    pub(crate) limits: RelayLimits,
    rights: Box<dyn Rights>,
    /// Acts that `rights` did not allow.
    refused: AtomicU64,
    pub(crate) core: Mutex<Core<Body>>,
    pub(crate) ports: Mutex<Ports>,
    /// Held by the one task that carries out actions: others leave theirs to it, so that they keep their order.
    delivering: Mutex<()>,
    started: Instant,
    /// Tells the clock that the first deadline may have changed.
    deadline: tokio::sync::Notify,
    /// Tells those who look for a member that one has joined.
    pub(crate) joined: tokio::sync::Notify,
    pub(crate) leaving: Leaving,
    /// Of applications that speak libchan.
    sessions: Mutex<HashMap<ClientId, Session>>,
}

/// A relay before it is made: its limits, and who may do what.
#[must_use]
pub struct RelayBuilder {
    limits: RelayLimits,
    rights: Box<dyn Rights>,
}

impl RelayBuilder {
    /// What it holds for its applications at the most.
    pub fn limits(mut self, limits: RelayLimits) -> Self {
        self.limits = limits;
        // What an application's answers have room for.
        self.limits.requests = limits.requests.min(IN_FLIGHT);
        self
    }

    /// Who may do what. Everybody may do everything at first.
    pub fn rights(mut self, rights: impl Rights) -> Self {
        self.rights = Box::new(rights);
        self
    }

    /// Makes the relay: nobody is attached, nothing listens.
    ///
    /// # Panics
    /// Outside a tokio runtime with its time driver.
    pub fn build(self) -> Relay {
        let Self { limits, rights } = self;
        let hub = Arc::new(Hub {
            limits,
            rights,
            refused: AtomicU64::new(0),
            core: Mutex::new(Core::new(limits, seed())),
            ports: Mutex::new(Ports::default()),
            delivering: Mutex::new(()),
            started: Instant::now(),
            deadline: tokio::sync::Notify::new(),
            joined: tokio::sync::Notify::new(),
            leaving: Leaving::default(),
            sessions: Mutex::default(),
        });
        tokio::spawn(clock(Arc::downgrade(&hub)));
        Relay { hub }
    }
}

impl fmt::Debug for RelayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay with the default limits, at which everybody may do everything.
    ///
    /// # Panics
    /// Outside a tokio runtime with its time driver.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A relay with limits and rights of its own.
    pub fn builder() -> RelayBuilder {
        RelayBuilder { limits: RelayLimits::default(), rights: Box::new(Everything) }
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

    /// Accepts applications and serves each, until the listener fails, or the relay [drains](Self::drain): then until the last
    /// application is gone. Dropping the future drops their sessions.
    ///
    /// # Errors
    /// The listener cannot accept any more.
    pub async fn serve(&self, listener: Listener) -> Result<(), AcceptError> {
        let mut attached = JoinSet::new();
        loop {
            tokio::select! {
                () = self.hub.leaving.begins() => break,
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
        drop(listener);
        while attached.join_next().await.is_some() {}
        Ok(())
    }

    /// Accepts bindings of the original Iris, which speak relay protocol v1.0-draft2 on plain tcp, until the listener fails.
    /// The original listens on port 55555 of `127.0.0.1` and `::1`: its protocol has no encryption and no credentials. Dropping
    /// the future drops their connections. It ends as [`serve`](Self::serve) does.
    ///
    /// # Errors
    /// The listener cannot accept any more.
    pub async fn serve_draft2(&self, listener: TcpListener) -> std::io::Result<()> {
        crate::draft2::serve(self.hub.clone(), listener).await
    }

    /// Leaves in good order, within the time at the most: accepts no more applications, tells those that are attached (a
    /// redialing connection goes to another relay), gives nothing new to members, lets requests in their hands be answered, then
    /// closes. What is unfinished at the end of the time is lost. What applications in this process have under way is lost at once:
    /// stop those before.
    ///
    /// # Cancel safety
    /// Dropped, the relay is still leaving; what is unfinished goes on until its session ends.
    pub async fn drain(&self, within: Duration) {
        tracing::info!(?within, "the relay leaves");
        self.hub.leaving.begin(within);
        self.hub.tell(|core, _| core.refuse_all());
        let sessions: Vec<_> = lock(&self.hub.sessions).values().cloned().collect();
        let mut draining = JoinSet::new();
        for session in sessions {
            draining.spawn(async move {
                // It may have ended by itself.
                if let Err(error) = session.drain(within).await {
                    tracing::info!(%error, "an application did not take all before the relay left");
                }
            });
        }
        // Each ends at the deadline by itself.
        while draining.join_next().await.is_some() {}
        self.hub.leaving.until(|| self.status().clients == 0).await;
        tracing::info!("the relay has left");
    }

    /// What the relay holds and has done.
    pub fn status(&self) -> Status {
        let dropped = lock(&self.hub.ports).dropped();
        let refused = self.hub.refused.load(Ordering::Relaxed);
        Status { dropped, refused, ..Status::of(&lock(&self.hub.core)) }
    }

    /// Each cluster that has a member or a waiting request, by name.
    pub fn clusters(&self) -> Vec<ClusterStatus> {
        lock(&self.hub.core).clusters()
    }

    /// Each topic that has a subscription, by name.
    pub fn topics(&self) -> Vec<TopicStatus> {
        lock(&self.hub.core).topics()
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

    /// Whether the application may do this.
    ///
    /// # Errors
    /// It may not: the text for the application.
    pub(crate) fn may(&self, client: ClientId, who: Option<&str>, act: Act<'_>) -> Result<(), String> {
        if self.rights.allows(who, act) {
            return Ok(());
        }
        let why = Denied(who, act).to_string();
        tracing::info!(client = client.0, why, "refused");
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(why)
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
        self.leaving.has_moved();
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
