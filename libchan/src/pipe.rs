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

/// A channel that holds `capacity` undelivered messages. With 0 it is a rendezvous: `send` completes when a receiver
/// has taken the value.
pub fn pipe_with<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let chan = Chan::new(capacity);
    (Sender::from_chan(chan.clone()), Receiver::from_chan(chan))
}
