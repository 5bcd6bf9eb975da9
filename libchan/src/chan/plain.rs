//! The usual message across a session in few steps: a small one that carries nothing, on a channel with one sink or one
//! source and nothing that waits. Whatever else there is is left to the general paths, which do the same and more.

use std::sync::Arc;
use std::task::Waker;

use libchan_proto::{Blocked, Inbox, TakeLone, charge};

use super::Chan;
use super::here::{Number, Polled};
use super::recv::{Got, Place, leave_line, no_codec, pop_inbox};
use super::send::LARGE;
use super::state::State;
use crate::codec::AnyCodec;
use crate::error::{RecvError, SendError, SendFailure};
use crate::message::Encoded;
use crate::scratch::Scratch;
use crate::session::Leg;
use crate::sync::MutexGuard;

/// How a send of a plain message went. Nothing was sent but for `Sent`.
pub(super) enum Tried {
    Sent,
    /// The receiver is gone.
    Gone,
    /// It is encoded, and there is no room.
    Refused,
    /// It is encoded, and no plain message.
    Other(Option<Encoded>),
    Failed(SendFailure),
}

/// How a receive went.
enum Plain<T> {
    /// A message in this codec, and its payload.
    Taken(AnyCodec, Scratch),
    /// Any other message, and its payload if that is small.
    Any(Got<T>, Scratch),
    /// A message of any kind, alone in the inbox that came by this leg.
    Lone(Leg, Box<Inbox>),
    /// Nothing, and the receive waits at the port, which is lent.
    Waits,
    /// It is not the usual case.
    Unclear,
}

impl<T> Chan<T> {
    /// A send that the short way in one process leaves to the ways across sessions.
    #[inline(never)]
    pub(super) fn poll_send_across(
        self: &Arc<Self>,
        value: &mut Option<T>,
        waits: &mut Option<Number>,
        waker: &Waker,
    ) -> Polled<SendError<T>> {
        if let (Some(leg), Some(sent)) = (self.sink(), value.as_ref()) {
            let mut scratch = Scratch::take();
            let tried = self.try_plain(leg, sent, &mut scratch);
            if let Tried::Sent = tried {
                // Dropped where it is: moved out first it would be copied.
                *value = None;
                return Polled::Done;
            }
            let Some(value) = value.take() else { return Polled::Waits };
            let begun = self.go_on(leg, tried, value, &mut scratch);
            return self.poll_begun(begun, waits, waker);
        }
        let Some(value) = value.take() else { return Polled::Waits };
        let begun = self.begin_send_anywhere(self.lock(), value);
        self.poll_begun(begun, waits, waker)
    }

    /// Encodes, and sends a plain message past the queue if nothing waits in it.
    #[inline]
    pub(super) fn try_plain(&self, leg: &Leg, value: &T, scratch: &mut Scratch) -> Tried {
        let (codec, limits) = leg.session.terms();
        match self.encode(value, codec, scratch) {
            Ok(None) if scratch.is_small(LARGE, limits.max_message as usize) => {
                match leg.send_plain(codec.id().0, scratch.bytes()) {
                    Ok(()) => Tried::Sent,
                    Err(Blocked::Gone) => Tried::Gone,
                    Err(_) => Tried::Refused,
                }
            }
            Ok(encoded) => Tried::Other(encoded),
            Err(why) => Tried::Failed(why),
        }
    }

    /// A receive that the short way in one process leaves to the ways across sessions.
    #[inline(never)]
    pub(super) fn poll_recv_across(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<T>>,
        value: &mut Option<T>,
        waker: &Waker,
        place: &mut Place,
    ) -> Polled<RecvError> {
        match self.take_plain(&mut state, waker, place) {
            Plain::Taken(codec, payload) => {
                drop(state);
                let decoded = match self.erased() {
                    Some(erased) => (erased.decode_plain)(&codec, payload.bytes(), value),
                    None => Err(no_codec()),
                };
                Polled::giving(decoded, &mut ())
            }
            Plain::Any(got, scratch) => {
                drop(state);
                Polled::giving(self.finish(got, &scratch), value)
            }
            Plain::Lone(leg, inbox) => {
                drop(state);
                self.unpack_lone(&leg, inbox, value)
            }
            Plain::Waits => Polled::Waits,
            Plain::Unclear => self.poll_recv_anywhere(self.recall(state), value, waker, place),
        }
    }

    #[inline]
    fn take_plain(&self, state: &mut State<T>, waker: &Waker, place: &mut Place) -> Plain<T> {
        if !state.is_plain() || self.senders() > 0 || self.is_lent() {
            return Plain::Unclear;
        }
        let Some(inbox) = &mut state.legs.inbox else { return self.take_lone(state, waker, place) };
        let Some((codec, bytes)) = inbox.pop_plain() else { return self.take_any(state, place) };
        let payload = Scratch::copy(bytes);
        let half_window = inbox.half_window();
        state.legs.put_inbox_aside();
        let Some(source) = state.legs.sources().first() else { return Plain::Unclear };
        let codec = source.leg.session.codec_by_id(codec);
        state.legs.account(charge(payload.bytes().len(), 0), half_window, self.capacity, 0);
        leave_line(state, place);
        Plain::Taken(codec, payload)
    }

    /// The next message of the inbox is a large one, or carries something.
    fn take_any(&self, state: &mut State<T>, place: &mut Place) -> Plain<T> {
        let mut scratch = Scratch::take();
        if self.effort.is_due() {
            return Plain::Unclear;
        }
        let Some(got) = pop_inbox(&mut state.legs, self.capacity, &mut scratch, 0) else {
            return Plain::Unclear;
        };
        leave_line(state, place);
        Plain::Any(got, scratch)
    }

    /// Nothing is here: the next ones may be taken at the port.
    fn take_lone(&self, state: &mut State<T>, waker: &Waker, place: &mut Place) -> Plain<T> {
        if self.effort.is_due() {
            return Plain::Unclear;
        }
        match self.lend(state, waker, place) {
            TakeLone::Taken(inbox) => {
                leave_line(state, place);
                match state.legs.sources().first() {
                    Some(source) => Plain::Lone(source.leg.clone(), inbox),
                    None => Plain::Unclear,
                }
            }
            TakeLone::Nothing => Plain::Waits,
            TakeLone::Other => Plain::Unclear,
        }
    }
}
