//! Forwarding without knowing the type.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};

use crate::chan::{Place, Slot};
use crate::cut::Cause;
use crate::error::{RecvError, SendFailure};
use crate::give_way::poll_budget;
use crate::receiver::Receiver;
use crate::sender::Sender;

/// Why [`copy`] stopped before the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyError {
    /// The source ended with an error.
    Receive(RecvError),
    /// The destination takes no more.
    Send(SendFailure),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(error) => write!(f, "the source failed: {error}"),
            Self::Send(why) => write!(f, "the destination failed: {why}"),
        }
    }
}

impl std::error::Error for CopyError {}

/// Moves every message from `from` to `to` until the end, attachments included, and says how many. What came encoded
/// goes on encoded: no `T` is made of it, so it works for any type, `Raw` included. It closes nothing that it was not
/// given: clones of `to` keep that channel open. If the source ends with an error, `to` ends with its code and text.
///
/// A message is taken from `from` only when `to` has room for it, so nothing is in between.
///
/// # Cancel safety
/// Dropped, it has moved whole messages only.
///
/// # Errors
/// The source ended with an error, or the destination takes no more.
pub async fn copy<T>(from: Receiver<T>, to: Sender<T>) -> Result<u64, CopyError> {
    to.chan().erase_like(from.chan());
    let mut copied = 0;
    loop {
        let permit = to.reserve().await.map_err(|closed| CopyError::Send(closed.into()))?;
        let slot = match next(&from, &to).await {
            Ok(Some(slot)) => slot,
            Ok(None) => return Ok(copied),
            Err(stopped) => {
                if let CopyError::Receive(error) = &stopped {
                    to.chan().note_fault(Cause::passed_on(error));
                }
                return Err(stopped);
            }
        };
        permit.send_slot(slot).map_err(CopyError::Send)?;
        copied += 1;
    }
}

/// The next message, unless the destination goes away while it is waited for.
async fn next<T>(from: &Receiver<T>, to: &Sender<T>) -> Result<Option<Slot<T>>, CopyError> {
    let mut place = CopyPlace { from, place: Place::default() };
    let mut closed = pin!(to.closed());
    poll_fn(|cx| {
        let budget = ready!(poll_budget(cx));
        if let Poll::Ready(slot) = from.chan().poll_slot(cx.waker(), &mut place.place) {
            budget.spend_if(true);
            return Poll::Ready(slot.map_err(CopyError::Receive));
        }
        closed.as_mut().poll(cx).map(|closed| Err(CopyError::Send(closed.into())))
    })
    .await
}

struct CopyPlace<'a, T> {
    from: &'a Receiver<T>,
    place: Place,
}

impl<T> Drop for CopyPlace<'_, T> {
    fn drop(&mut self) {
        self.from.chan().withdraw_recv(&mut self.place);
    }
}
