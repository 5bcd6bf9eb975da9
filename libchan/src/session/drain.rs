//! `drain`: a side that wants to leave takes no new requests, lets what is at work finish, and then closes.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use libchan_proto::{Key, Reason, Scope, code};

use super::shared::{Shared, State};
use crate::cut::{Cause, Cut};

/// What the peer is told of channels that are received from no more.
pub(super) fn going_away() -> Reason {
    Cut::GoingAway.cause().into_reason()
}

impl State {
    /// Whether the channel `key` was cancelled because the peer drains.
    pub(super) fn is_going_away(&self, key: Key) -> bool {
        let cancelled = self.machine.send_status(key).cancelled;
        cancelled.is_some_and(|cancel| cancel.reason.code == code::GOING_AWAY)
    }
}

impl Shared {
    /// A named channel was accepted. Where this side drains already, it is given up at once.
    pub(super) fn note_named(self: &Arc<Self>, key: Key) {
        let mut state = self.lock();
        if state.farewell.drains {
            drop(state);
            return self.take_no_more(key);
        }
        if state.named.len() == state.named.capacity() {
            let State { named, ports, .. } = &mut *state;
            named.retain(|known| ports.chan(*known).is_some());
        }
        state.named.push(key);
    }

    /// Takes nothing new from here on: named channels are cancelled, what waits to be accepted is refused.
    pub(super) fn begin_drain(self: &Arc<Self>) {
        let (named, driver) = {
            let mut state = self.lock();
            state.farewell.drains = true;
            while let Some(key) = state.incoming.pop_front() {
                state.machine.cancel(key, Scope::Channel, going_away(), None);
            }
            (std::mem::take(&mut state.named), state.wake_driver())
        };
        driver.into_iter().for_each(Waker::wake);
        named.into_iter().for_each(|key| self.take_no_more(key));
    }

    fn take_no_more(self: &Arc<Self>, key: Key) {
        if let Some(chan) = self.port(key) {
            chan.give_up(key, self, Cut::GoingAway.cause());
        }
    }

    /// Waits for the end of a drain, for no longer than `deadline`.
    pub(super) async fn drained(self: &Arc<Self>, deadline: Duration) {
        if tokio::time::timeout(deadline, self.ended()).await.is_err() {
            self.begin_close();
        }
    }

    /// Completes when the peer has said that it is leaving, or the session is over.
    pub(super) async fn going(&self) {
        let is_going = |state: &State| state.farewell.peer_going || state.machine.peer_said_goodbye();
        self.until(|state| (is_going(state) || state.over.is_some()).then_some(())).await;
    }
}

impl Cause {
    /// Whether the receivers here have given the channel up themselves, and need not be told.
    pub(crate) fn is_own_drain(&self) -> bool {
        self.code() == code::GOING_AWAY
    }
}
