//! Channels in one process.

use crate::chan::{Chan, DEFAULT_CAPACITY};
use crate::receiver::Receiver;
use crate::sender::Sender;

/// A channel in this process that holds 64 undelivered messages. Nothing is encoded and `T` needs no bound; an end
/// that crosses a session works on as before, if `T` is a [`Message`](crate::Message).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (words, heard) = libchan::pipe();
/// words.send("hello").await?;
/// drop(words);
/// assert_eq!(heard.recv().await?, Some("hello"));
/// assert_eq!(heard.recv().await?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn pipe<T>() -> (Sender<T>, Receiver<T>) {
    pipe_with(DEFAULT_CAPACITY)
}

/// The largest capacity of a channel: 2,147,483,647 messages. A larger one is nearly always a mistake: `usize::MAX` for "no
/// bound", which no channel is.
pub const MAX_CAPACITY: usize = i32::MAX as usize;

/// A channel that holds `capacity` undelivered messages. With 0 it is a rendezvous: `send` completes when a receiver
/// has taken the value.
///
/// # Panics
/// If `capacity` is above [`MAX_CAPACITY`].
#[track_caller]
pub fn pipe_with<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity <= MAX_CAPACITY, "a channel holds at most {MAX_CAPACITY} messages, not {capacity}");
    let chan = Chan::new(capacity);
    (Sender::from_chan(chan.clone()), Receiver::from_chan(chan))
}
