//! Pairs of sessions over both carriers, patience with an end, and servers that say whatever a test wants.

use std::future::Future;
use std::time::Duration;

use libchan::{OpenOptions, Receiver, Role, Sender, Session, SessionError, SessionOptions};
use libchan_transports::{DialError, DialOptions, ListenOptions, Listener, dial, dial_with, listen_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The URLs of both carriers, to listen at.
pub(crate) const BOTH: [&str; 2] = ["ws://127.0.0.1:0", "h2c://127.0.0.1:0"];

/// Awaits what must come; a hang becomes a failure.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("hangs")
}

/// Two connected sessions, the dialer's and the acceptor's, and the listener.
pub(crate) async fn pair(url: &str) -> (Session, Session, Listener) {
    pair_with(url, ListenOptions::default()).await
}

pub(crate) async fn pair_with(url: &str, options: ListenOptions) -> (Session, Session, Listener) {
    let listener = listen_with(url, options).await.unwrap();
    let url = listener.url().to_owned();
    let (dialed, accepted) = soon(async { tokio::join!(dial(&url), listener.accept()) }).await;
    (dialed.unwrap(), accepted.unwrap(), listener)
}

/// A named channel from one session to the other.
pub(crate) async fn channel<T: libchan::Message>(from: &Session, to: &Session) -> (Sender<T>, Receiver<T>) {
    let sender = from.open_with("test", OpenOptions::new().capacity(4)).unwrap();
    (sender, soon(to.accept()).await.unwrap().unwrap().receive())
}

/// The session was lost, whatever the words for it.
pub(crate) fn assert_lost(outcome: Result<(), SessionError>) {
    assert!(matches!(outcome, Err(SessionError::Lost | SessionError::Link(_))), "{outcome:?}");
}

/// `length` bytes that show when one is missing or in the wrong place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A server for one connection that reads a request's head and answers with these bytes. Gives its address.
pub(crate) async fn saying(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !read.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if stream.read_buf(&mut read).await.unwrap() == 0 {
                return;
            }
        }
        stream.write_all(&answer).await.unwrap();
        // Closed by the other side.
        let _ = stream.read_to_end(&mut read).await;
    });
    address
}

/// The error of dialing a URL that must not work.
pub(crate) async fn failure(url: &str) -> DialError {
    failure_with(url, DialOptions::default()).await
}

pub(crate) async fn failure_with(url: &str, options: DialOptions) -> DialError {
    match soon(dial_with(url, options)).await {
        Err(error) => error,
        Ok(_) => panic!("{url} was dialed"),
    }
}

/// What a libchan peer says first, cut out of a real handshake.
pub(crate) async fn hello() -> Vec<u8> {
    let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
    let link = libchan_transports::UnixLink::new(ours, "");
    let session = tokio::spawn(Session::start(link, Role::Dialer, SessionOptions::default()));
    let mut bytes = vec![0; 64 * 1024];
    let read = theirs.read(&mut bytes).await.unwrap();
    session.abort();
    bytes.truncate(read);
    bytes
}
