//! `flush`: waits until the peer's library has all that was accepted before. A ping behind it, answered, says so.
//!
//! One ping is on its way at a time, however many calls wait, and only so many in a while: a peer ends the session of who
//! floods it with pings.

use std::time::Duration;

use libchan_proto::{Machine, SessionError};
use tokio::time::Instant;

use super::driver::Driver;
use super::shared::{Shared, State};
use crate::waiters::Wakes;

/// Over so long pings are counted.
const PERIOD: Duration = Duration::from_secs(5);

/// Calls that wait, by number.
#[derive(Default)]
pub(super) struct Flush {
    /// The last call.
    asked: u64,
    /// Up to here all are answered.
    done: u64,
    /// The ping on its way, and the last call that it is for.
    pinged: Option<(u64, u64)>,
    /// Pings of this period, and when that began.
    pings: u32,
    since: Option<Instant>,
}

impl Flush {
    /// Whether a call waits that no ping is on its way for.
    pub(super) fn is_asked(&self) -> bool {
        self.asked > self.done && self.pinged.is_none()
    }

    /// Sends a ping, if one more may go now.
    fn ping(&mut self, machine: &mut Machine) {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            (self.since, self.pings) = (Some(now), 0);
        }
        // Half of what the peer takes: the others are the session's own.
        if self.pings < (machine.limits().max_pings / 2).max(1) {
            self.pings += 1;
            self.pinged = Some((machine.ping(), self.asked));
        }
    }
}

impl State {
    /// The peer has answered a ping.
    pub(super) fn note_pong(&mut self, number: u64, wakes: &mut Wakes) {
        if let Some((_, asked)) = self.flush.pinged.take_if(|(pinged, _)| *pinged == number) {
            self.flush.done = asked;
            self.watchers.notify_all(wakes);
        }
    }
}

impl Driver {
    /// Sends the ping of a flush once nothing waits to be sent. (Channels are asked under no lock of the session.)
    pub(super) fn poll_flushes(&self) {
        let keys = {
            let state = self.shared.lock();
            if !state.flush.is_asked() || state.machine.has_unsent() {
                return;
            }
            state.ports.keys()
        };
        let waits = |key| self.shared.port(key).is_some_and(|chan| chan.has_unsent());
        if keys.into_iter().any(waits) {
            return;
        }
        let mut state = self.shared.lock();
        let State { flush, machine, .. } = &mut *state;
        if flush.is_asked() && !machine.has_unsent() {
            flush.ping(machine);
        }
    }
}

impl Shared {
    /// Completes when the peer has handled all that was accepted before.
    pub(super) async fn flush(&self) -> Result<(), SessionError> {
        let number = {
            let mut state = self.lock();
            state.flush.asked += 1;
            let (number, driver) = (state.flush.asked, state.wake_driver());
            drop(state);
            driver.into_iter().for_each(std::task::Waker::wake);
            number
        };
        self.until(|state| match &state.over {
            _ if state.flush.done >= number => Some(Ok(())),
            Some(why) => Some(Err(why.clone())),
            None => None,
        })
        .await
    }
}
