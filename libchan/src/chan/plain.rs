//! The usual receive across a session in few steps: a channel with one source, no queue and one receiver, and a small message
//! that carries nothing, or none. Whatever else there is is left to the general path, which does the same and more.

use std::sync::Arc;
use std::task::{Poll, Waker};

use libchan_proto::{TakeLone, charge};

use super::Chan;
use super::recv::{Place, leave_line, no_codec};
use super::state::State;
use crate::codec::AnyCodec;
use crate::error::RecvError;
use crate::scratch::Scratch;
use crate::sync::MutexGuard;

/// How it went.
enum Plain {
    /// A message in this codec, and its payload.
    Taken(AnyCodec, Scratch),
    /// Nothing, and the receiver waits in the session's port.
    Parked,
    /// It is not the usual case.
    Unclear,
}

impl<T> Chan<T> {
    /// A receive that the short way in one process leaves to the ways across sessions.
    #[inline(never)]
    pub(super) fn poll_recv_across(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<T>>,
        waker: &Waker,
        place: &mut Place,
    ) -> Poll<Result<Option<T>, RecvError>> {
        match self.take_plain(&mut state, waker, place) {
            Plain::Taken(codec, payload) => {
                drop(state);
                Poll::Ready(match self.erased() {
                    Some(erased) => (erased.decode_plain)(&codec, payload.bytes()),
                    None => Err(no_codec()),
                })
            }
            Plain::Parked => Poll::Pending,
            Plain::Unclear => self.poll_recv_anywhere(state, waker, place),
        }
    }

    #[inline]
    fn take_plain(&self, state: &mut State<T>, waker: &Waker, place: &mut Place) -> Plain {
        if !state.is_plain() || self.senders() > 0 {
            return Plain::Unclear;
        }
        let mut payload = None;
        let mut keep = |bytes: &[u8]| payload = Some(Scratch::copy(bytes));
        let (codec, half_window) = if let Some(inbox) = &mut state.legs.inbox {
            let Some((codec, bytes)) = inbox.pop_plain() else { return Plain::Unclear };
            keep(bytes);
            let half_window = inbox.half_window();
            state.legs.put_inbox_aside();
            (codec, half_window)
        } else {
            let known = state.legs.parked;
            if known.is_some() && known != place.parked {
                return Plain::Unclear;
            }
            match state.legs.take_lone(waker, keep) {
                TakeLone::Taken { codec, half_window, starved } => {
                    state.legs.set_starved(starved);
                    (codec, half_window)
                }
                TakeLone::Nothing => {
                    place.parked = Some(known.unwrap_or_else(|| state.legs.park()));
                    return Plain::Parked;
                }
                TakeLone::Report | TakeLone::Other => return Plain::Unclear,
            }
        };
        let (Some(source), Some(payload)) = (state.legs.sources().first(), payload) else {
            return Plain::Unclear;
        };
        let codec = source.leg.session.codec_by_id(codec);
        state.legs.account(charge(payload.bytes().len(), 0), half_window, self.capacity, 0);
        leave_line(state, place);
        Plain::Taken(codec, payload)
    }
}
