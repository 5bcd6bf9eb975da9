//! How a session ends in good order: what was accepted goes out, goodbyes are exchanged, the link is closed.

use std::task::{Context, Poll};

use libchan_proto::{Reason, SessionError, code};
use tokio::time::sleep;

use super::driver::Driver;
use super::shared::State;
use crate::cut::{self, Cause};

/// How far the end of the session has got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    No,
    /// What was accepted is on its way out.
    Draining,
    /// Our goodbye is in the output; the peer's is awaited.
    Said,
    /// Our goodbye says that the peer's admission is over; the peer is to drop the link.
    Dismissed,
}

/// What the application wants to know of the end of a session.
#[derive(Default)]
pub(super) struct Parting {
    /// Something that was accepted did not leave.
    pub(super) cut_off: bool,
    /// This side takes no new channels, and closes when the last end is gone.
    pub(super) drains: bool,
    /// The peer has said that it is leaving.
    pub(super) peer_going: bool,
    /// The time is over for which the peer was let in: what it is to be told.
    pub(super) admission_over: Option<String>,
}

impl Driver {
    /// Whether the session is closing, or nobody uses it any more.
    pub(super) fn is_parting(&self, state: &State) -> bool {
        let unused = state.is_unused();
        self.farewell != Farewell::No || state.closing || unused
    }

    /// Takes the close of the session a step further. One deadline holds for all of it.
    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let dismissed = self.shared.lock().farewell.admission_over.take();
        if let Some(text) = dismissed {
            self.dismiss(&text);
        }
        if self.farewell == Farewell::Dismissed {
            return self.poll_dismissed(cx);
        }
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
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            self.deadline = None;
        }
        let late = self.deadline.is_none();
        if self.farewell == Farewell::Draining {
            self.say_goodbye(late);
            return Ok(());
        }
        let mut state = self.shared.lock();
        let sent = state.machine.is_drained() && state.unsent.is_none();
        let answered = state.machine.peer_said_goodbye();
        if late && !(sent && answered) {
            state.farewell.cut_off |= !sent;
            let why = "the peer did not answer the goodbye in time (SessionOptions::close_timeout)";
            return Err(if answered { SessionError::Closed } else { SessionError::Link(why.to_owned()) });
        }
        if !(sent && answered) {
            return Ok(());
        }
        match state.writer.as_mut().map(|writer| writer.poll_close(cx)) {
            Some(Poll::Pending) if !late => Ok(()),
            _ => Err(SessionError::Closed),
        }
    }

    /// Tells the peer that its admission is over, and everybody here. A close that is under way keeps its deadline.
    fn dismiss(&mut self, text: &str) {
        {
            let mut state = self.shared.lock();
            if state.machine.is_over() {
                return;
            }
            state.closing = true;
            state.farewell.cut_off |= !state.machine.is_settled();
            state.machine.end_admission(text);
        }
        self.farewell = Farewell::Dismissed;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(self.shared.close_timeout)));
        self.handle_events();
    }

    /// Waits until the peer has dropped the link, for no longer than the deadline: a link that is dropped with bytes unread may
    /// lose the goodbye.
    fn poll_dismissed(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let late = self.deadline.as_mut().is_none_or(|deadline| deadline.as_mut().poll(cx).is_ready());
        let mut state = self.shared.lock();
        if late {
            return state.machine.handle_eof();
        }
        if state.machine.is_drained() && state.unsent.is_none() {
            // A link that cannot be closed any more ends in reading.
            let _ = state.writer.as_mut().map(|writer| writer.poll_close(cx));
        }
        Ok(())
    }

    /// Says goodbye if what was accepted has left, or cannot any more.
    fn say_goodbye(&mut self, late: bool) {
        let answers = {
            let state = self.shared.lock();
            // After the peer's goodbye no credit comes: what cannot leave now never will.
            let answers = state.machine.peer_said_goodbye() || state.machine.is_over();
            let stuck = answers && state.machine.is_drained() && state.unsent.is_none();
            if !(state.machine.is_settled() || stuck || late) {
                return;
            }
            answers
        };
        if !answers {
            self.leave_sources();
        }
        let mut state = self.shared.lock();
        state.farewell.cut_off |= !state.machine.is_settled();
        let reason = Reason { code: code::NONE, text: String::new() };
        if late {
            state.farewell.cut_off |= state.machine.goodbye_now(reason);
        } else {
            state.machine.goodbye(reason);
        }
        self.farewell = Farewell::Said;
    }

    /// Asks every channel and stream to end once what was accepted has gone out.
    fn leave_channels(&self) {
        let keys = self.shared.lock().ports.keys();
        for key in keys {
            let chan = {
                let mut state = self.shared.lock();
                if state.ports.stream(key).is_some() {
                    let unfinished = Cause::session_closed().into_reason();
                    state.machine.stream_finish(key, unfinished);
                }
                state.ports.chan(key).cloned()
            };
            if let Some(chan) = chan {
                let _ = cut::guarded("Drop of a value", || chan.leave(key, &self.shared));
            }
        }
    }

    /// This side leaves first: it says of each of its receiving ends what was taken, so that the peer knows what was not.
    fn leave_sources(&self) {
        let keys = self.shared.lock().ports.keys();
        for key in keys {
            if let Some(chan) = self.shared.port(key) {
                let give_up = || chan.give_up(key, &self.shared, Cause::session_closed());
                let _ = cut::guarded("Drop of a value", give_up);
            }
        }
    }
}
