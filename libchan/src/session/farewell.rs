//! How a session ends in good order: what was accepted goes out, goodbyes are exchanged, the link is closed.

use std::task::{Context, Poll};

use libchan_proto::{Reason, SessionError, code};
use tokio::time::sleep;

use super::driver::Driver;
use super::shared::State;

/// How far the end of the session has got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    No,
    /// What was accepted is on its way out.
    Draining,
    /// Our goodbye is in the output; the peer's is awaited.
    Said,
}

impl Driver {
    /// Whether the session is closing, or nobody uses it any more.
    pub(super) fn is_parting(&self, state: &State) -> bool {
        let unused = state.handles == 0 && !state.machine.is_used();
        self.farewell != Farewell::No || state.closing || unused
    }

    /// Takes the close of the session a step further.
    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if self.farewell == Farewell::No {
            self.shared.lock().closing = true;
            self.farewell = Farewell::Draining;
            self.deadline = Some(Box::pin(sleep(self.shared.close_timeout)));
            if self.shared.is_over() {
                // The peer's goodbye has ended everything: what is written already goes out, with our answer.
                self.farewell = Farewell::Said;
            } else {
                self.leave_channels();
            }
        }
        let late = self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        let mut state = self.shared.lock();
        let sent = state.machine.is_drained() && state.unsent.is_none();
        if self.farewell == Farewell::Draining {
            // After the peer's goodbye nothing can leave that has not.
            if !(state.machine.is_settled() || state.machine.is_over() || late) {
                return Ok(());
            }
            let reason = Reason { code: code::NONE, text: String::new() };
            if late {
                state.machine.goodbye_now(reason);
            } else {
                state.machine.goodbye(reason);
            }
            self.farewell = Farewell::Said;
            let mut deadline = Box::pin(sleep(self.shared.close_timeout));
            // Registers for its end; it cannot have come yet.
            let _ = deadline.as_mut().poll(cx);
            self.deadline = Some(deadline);
            return Ok(());
        }
        if late {
            return Err(SessionError::Closed);
        }
        if !(sent && state.machine.peer_said_goodbye()) {
            return Ok(());
        }
        match state.writer.as_mut().map(|writer| writer.poll_close(cx)) {
            Some(Poll::Pending) => Ok(()),
            _ => Err(SessionError::Closed),
        }
    }

    /// Asks every channel and stream to end once what was accepted has gone out.
    fn leave_channels(&self) {
        let keys = self.shared.lock().ports.keys();
        for key in keys {
            let chan = {
                let mut state = self.shared.lock();
                if state.ports.stream(key).is_some() {
                    state.machine.stream_finish(key, Reason { code: code::NONE, text: String::new() });
                }
                state.ports.chan(key).cloned()
            };
            if let Some(chan) = chan {
                chan.leave(key, &self.shared);
            }
        }
    }
}
