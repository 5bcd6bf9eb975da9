//! Forwarding without knowing the type.

use std::fmt;
use std::future::poll_fn;

use crate::chan::Place;
use crate::error::{RecvError, SendFailure};
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
/// given: clones of `to` keep that channel open.
///
/// A message is taken from `from` only when `to` has room for it, so nothing is in between.
///
/// # Cancel safety
/// Dropped, it has moved whole messages only.
///
/// # Errors
/// The source ended with an error, or the destination takes no more.
pub async fn copy<T>(from: Receiver<T>, to: Sender<T>) -> Result<u64, CopyError> {
    let mut copied = 0;
    loop {
        let permit = to.reserve().await.map_err(|closed| CopyError::Send(closed.into()))?;
        let mut place = CopyPlace { from: &from, place: Place::default() };
        let slot = poll_fn(|cx| from.chan().poll_slot(cx.waker(), &mut place.place)).await;
        let Some(slot) = slot.map_err(CopyError::Receive)? else { return Ok(copied) };
        permit.send_slot(slot).map_err(CopyError::Send)?;
        copied += 1;
    }
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
