//! The listener: a task that takes connections and has their handshakes run, and `accept`, which takes what came of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, mem};

use libchan::Session;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::held::{Holder, held};
use super::waiting::{Waiting, Waits};
use super::{Acceptor, Arrival, ListenOptions, OnFailedHandshake};
use crate::error::AcceptError;
use crate::places::{Place, Places};

/// Accepts sessions at a URL. Dropping it stops listening and drops the peers that nobody has accepted; sessions that
/// were accepted live on.
///
/// Handshakes happen without a waiting [`accept`](Self::accept), bounded by [`ListenOptions::max_handshakes`] and
/// [`ListenOptions::max_waiting`]: a dialer has its session as soon as both hellos are exchanged, and what it opens and
/// sends waits, within the session's limits, until the session is accepted.
pub struct Listener {
    url: String,
    closed: watch::Sender<bool>,
    work: Mutex<Work>,
    accepted: tokio::sync::Mutex<mpsc::UnboundedReceiver<Queued>>,
}

/// The listener's task.
enum Work {
    /// There was no runtime to spawn it on.
    Idle(Box<Task>),
    Running(JoinHandle<()>, Holder),
    Over,
}

/// What `accept` gives, or that a handshake has panicked.
enum Outcome {
    Session(Session),
    Trouble(AcceptError),
    Panic(Box<dyn Any + Send>),
}

/// What waits for `accept`, counted as long as it does.
type Queued = (Outcome, Waits);

impl Listener {
    pub(crate) fn new(acceptor: Box<dyn Acceptor>, options: ListenOptions) -> Self {
        let url = acceptor.url().to_owned();
        let (queue, accepted) = mpsc::unbounded_channel();
        let closed = watch::Sender::new(false);
        let waiting = Waiting::new(options.max_waiting);
        let task = Task {
            acceptor,
            places: Places::new(options.max_handshakes, waiting.clone()),
            waiting,
            on_failed_handshake: options.on_failed_handshake,
            queue,
            closed: closed.subscribe(),
        };
        let listener = Self {
            url,
            closed,
            work: Mutex::new(Work::Idle(Box::new(task))),
            accepted: tokio::sync::Mutex::new(accepted),
        };
        listener.begin();
        listener
    }

    /// Spawns the task, if that has not been done and can be.
    fn begin(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut work = self.lock();
        if let Work::Idle(_) = *work
            && let Work::Idle(task) = mem::replace(&mut *work, Work::Over)
        {
            let (future, holder) = held(task.run());
            *work = Work::Running(runtime.spawn(future), holder);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address that is listened on, ready to be dialed: with the port that was chosen where 0 was asked for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next peer whose handshake succeeded.
    ///
    /// A failed handshake is skipped (see [`ListenOptions::on_failed_handshake`]). Trouble of the listener itself,
    /// such as no descriptor being left, is returned once; call `accept` again: the listener tries again, with pauses,
    /// and says nothing more until the trouble is over. So a loop over `accept` neither spins nor dies.
    ///
    /// # Cancel safety
    /// Cancel-safe: a later call gets what this one would have got. Several tasks may wait at once; each session goes to
    /// one of them.
    ///
    /// # Errors
    /// See [`AcceptError`]; only [`AcceptError::Closed`] is final.
    ///
    /// # Panics
    /// If the authorize hook or the callback of failed handshakes has panicked: the panic goes on here.
    pub async fn accept(&self) -> Result<Session, AcceptError> {
        self.begin();
        let mut closed = self.closed.subscribe();
        let outcome = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            outcome = async { self.accepted.lock().await.recv().await } => outcome,
        };
        match outcome.map(|(outcome, _)| outcome) {
            None => Err(AcceptError::Closed),
            Some(Outcome::Session(session)) => Ok(session),
            Some(Outcome::Trouble(error)) => Err(error),
            Some(Outcome::Panic(panic)) => std::panic::resume_unwind(panic),
        }
    }

    /// Stops listening and drops the peers that nobody has accepted. When it returns the address is free again
    /// and every waiting [`accept`](Self::accept) has got, or is about to get, [`AcceptError::Closed`].
    pub async fn close(&self) {
        self.closed.send_replace(true);
        let work = mem::replace(&mut *self.lock(), Work::Over);
        if let Work::Running(task, _) = work {
            // It ends by itself; a panic of it has been passed on already.
            let _ = task.await;
        }
        let mut accepted = self.accepted.lock().await;
        accepted.close();
        while accepted.try_recv().is_ok() {}
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closed.send_replace(true);
        // The socket goes now, so that the address is free, and with it the handshakes that are under way.
        if let Work::Running(task, holder) = &*self.lock() {
            holder.drop_future();
            task.abort();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What takes connections.
struct Task {
    acceptor: Box<dyn Acceptor>,
    places: Arc<Places>,
    waiting: Arc<Waiting>,
    on_failed_handshake: Option<OnFailedHandshake>,
    queue: mpsc::UnboundedSender<Queued>,
    closed: watch::Receiver<bool>,
}

/// What the task waits for.
enum Event {
    Closed,
    Shaken(Result<Result<Session, AcceptError>, JoinError>),
    Arrived(Place, Result<Arrival, AcceptError>),
}

impl Task {
    async fn run(mut self: Box<Self>) {
        let mut handshakes = JoinSet::new();
        loop {
            let event = tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => Event::Closed,
                Some(shaken) = handshakes.join_next() => Event::Shaken(shaken),
                (place, arrival) = next_arrival(&*self.acceptor, &self.places, &self.waiting) => {
                    Event::Arrived(place, arrival)
                }
            };
            let told = match event {
                Event::Closed => break,
                Event::Shaken(Ok(Ok(session))) => Some(Outcome::Session(session)),
                Event::Shaken(Ok(Err(error))) => self.failed(&error).err().map(Outcome::Panic),
                // A panic is a bug: `accept` passes it on. Nobody cancels these tasks but a runtime that shuts down.
                Event::Shaken(Err(error)) if error.is_panic() => Some(Outcome::Panic(error.into_panic())),
                Event::Shaken(Err(_)) => break,
                Event::Arrived(place, Ok(arrival)) => {
                    handshakes.spawn(shake(place, arrival));
                    None
                }
                Event::Arrived(_, Err(trouble)) => Some(Outcome::Trouble(trouble)),
            };
            if let Some(outcome) = told
                && self.queue.send((outcome, self.waiting.count())).is_err()
            {
                break;
            }
        }
        handshakes.shutdown().await;
    }

    /// Tells the callback. A panic of it is no reason to stop listening: `accept` passes it on.
    fn failed(&self, error: &AcceptError) -> Result<(), Box<dyn Any + Send>> {
        match &self.on_failed_handshake {
            Some(callback) => catch_unwind(AssertUnwindSafe(|| callback(error))),
            None => Ok(()),
        }
    }
}

/// Waits for room and for a place, and accepts.
async fn next_arrival(
    acceptor: &dyn Acceptor,
    places: &Arc<Places>,
    waiting: &Waiting,
) -> (Place, Result<Arrival, AcceptError>) {
    waiting.room().await;
    let place = places.take().await;
    let arrival = acceptor.accept().await;
    place.begin();
    (place, arrival)
}

/// A handshake, for as long as it has a place.
async fn shake(place: Place, arrival: Arrival) -> Result<Session, AcceptError> {
    let lost = place.lost();
    let place = Arc::new(place);
    tokio::select! {
        biased;
        shaken = arrival(place) => shaken,
        () = lost => Err(AcceptError::NoRoom),
    }
}
