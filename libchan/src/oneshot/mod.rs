//! A channel for one value: what a reply is.
//!
//! [`channel`] gives the two ends. Both may be put into messages, and on the wire they are an ordinary sender and receiver of a
//! channel of capacity 1: a peer whose struct says `libchan::Sender<T>` can answer, and so can every port.
//!
//! The receiver is a future. It gives the value or says why there is none, and never a clean end without a value: that is
//! [`Cut::NoReply`](crate::Cut::NoReply).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use libchan::{Cut, oneshot};
//!
//! let (reply, answer) = oneshot::channel();
//! reply.send(7)?;
//! assert_eq!(answer.await, Ok(7));
//!
//! let (reply, answer) = oneshot::channel::<u32>();
//! drop(reply);
//! assert_eq!(answer.await.unwrap_err().cut(), Some(Cut::NoReply));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! [`Sender::call`](crate::Sender::call) makes the two ends, sends the one and waits for the other.

mod receiver;
mod sender;
#[cfg(test)]
mod tests;

pub use self::receiver::Receiver;
pub use self::sender::Sender;
use crate::pipe::pipe_with;

/// A channel for one value. Nothing is encoded unless an end crosses a session.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = pipe_with(1);
    (Sender::new(sender), Receiver::new(receiver))
}
