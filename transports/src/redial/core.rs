//! What a redial is at: one state, which its task changes and everybody else watches, and the events that tell of it.

use std::fmt;
use std::mem;
use std::sync::Arc;

use libchan::Session;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::error::RedialError;
use super::events::{RedialEvent, RedialEvents};

/// Events that a reader may be behind.
const EVENTS: usize = 64;

/// What a redial is at.
pub(super) enum State {
    /// It was not used yet.
    Idle,
    /// It dials this URL.
    Dialing(Arc<str>),
    /// There is a session.
    Connected(Current),
    /// It dials again at this time.
    Waiting(Instant),
    /// It dials no more.
    Over(RedialError),
}

/// A session that is there.
#[derive(Clone)]
pub(super) struct Current {
    /// The first session has 1, each one after it one more.
    pub(super) number: u64,
    pub(super) url: Arc<str>,
    pub(super) session: Session,
}

/// The state and who is told of it.
pub(super) struct Core {
    state: watch::Sender<State>,
    events: broadcast::Sender<RedialEvent>,
}

impl Core {
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::new(State::Idle), events: broadcast::Sender::new(EVENTS) }
    }

    /// Goes on to the next state and tells of it, unless it is over: then the answer is false.
    pub(super) fn enter(&self, next: State, event: RedialEvent) -> bool {
        let (mut next, mut before) = (Some(next), None);
        let entered = self.state.send_if_modified(|state| match (&*state, next.take()) {
            (State::Over(_), _) | (_, None) => false,
            (_, Some(next)) => {
                before = Some(mem::replace(state, next));
                true
            }
        });
        if entered {
            self.tell(event);
        }
        // A session in it goes outside the lock.
        drop(before);
        entered
    }

    /// Ends it, unless it is over. Gives the session that was there.
    pub(super) fn end(&self, why: RedialError) -> Option<Session> {
        let mut before = None;
        let ended = self.state.send_if_modified(|state| {
            let over = matches!(state, State::Over(_));
            if !over {
                before = Some(mem::replace(state, State::Over(why.clone())));
            }
            !over
        });
        if ended {
            self.tell(RedialEvent::Over(why));
        }
        match before? {
            State::Connected(current) => Some(current.session),
            _ => None,
        }
    }

    /// Tells of what changes no state.
    pub(super) fn tell(&self, event: RedialEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    pub(super) fn events(&self) -> RedialEvents {
        let to_come = self.events.subscribe();
        let over = match &*self.state.borrow() {
            State::Over(why) => Some(why.clone()),
            _ => None,
        };
        RedialEvents::new(to_come, over)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(&*self.state.borrow(), State::Over(_))
    }

    /// What it is at, for people.
    pub(super) fn described(&self) -> String {
        format!("{:?}", &*self.state.borrow())
    }

    /// The number of the session that is there.
    pub(super) fn number(&self) -> Option<u64> {
        match &*self.state.borrow() {
            State::Connected(current) => Some(current.number),
            _ => None,
        }
    }

    /// What [`session_after`](Self::session_after) can say without waiting.
    pub(super) fn now(&self, passed: u64) -> Option<Result<Current, RedialError>> {
        answer(&self.state.borrow(), passed)
    }

    /// The session that is there, if its number is above `passed`, or else the next one.
    pub(super) async fn session_after(&self, passed: u64) -> Result<Current, RedialError> {
        let mut state = self.state.subscribe();
        loop {
            if let Some(answer) = answer(&state.borrow_and_update(), passed) {
                return answer;
            }
            if state.changed().await.is_err() {
                return Err(RedialError::Stopped);
            }
        }
    }

    /// Completes when the session of this number is no longer the one to use.
    pub(super) async fn left(&self, number: u64) {
        let here = |state: &State| matches!(state, State::Connected(current) if current.number == number);
        // It fails when the sender is gone, which `self` is.
        let _ = self.state.subscribe().wait_for(|state| !here(state)).await;
    }
}

fn answer(state: &State, passed: u64) -> Option<Result<Current, RedialError>> {
    match state {
        State::Connected(current) if current.number > passed => Some(Ok(current.clone())),
        State::Over(why) => Some(Err(why.clone())),
        _ => None,
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("Idle"),
            Self::Dialing(url) => write!(f, "Dialing({url})"),
            Self::Connected(current) => write!(f, "Connected({}, session {})", current.url, current.number),
            Self::Waiting(until) => {
                write!(f, "Waiting({:?} more)", until.saturating_duration_since(Instant::now()))
            }
            Self::Over(why) => write!(f, "Over({why})"),
        }
    }
}
