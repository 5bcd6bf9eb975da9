//! A tunnel as a stream of bytes, for what wants `AsyncRead` and `AsyncWrite`.

use bytes::BytesMut;
use libchan::ByteStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::tunnel::{Inward, Outward, Tunnel};
use crate::error::Error;

/// The longest message that the bytes are cut into.
const PIECE: usize = 64 * 1024;

impl Tunnel {
    /// Makes it a stream of bytes: what is written goes out as messages of up to 64 KiB, and what is read are the bytes of the
    /// messages that come, one behind the other. Empty messages are not seen.
    ///
    /// `shutdown` closes this side, and the end of the other side's messages is the end of the stream. A tunnel that is lost is an
    /// error of the reader, never an end; so is, for the other side, a stream that is dropped before its `shutdown`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use libchan_iris::{Limits, Relay, Service};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// let relay = Relay::new();
    /// let echo = Service::builder("echo").on_tunnel(|tunnel| async move {
    ///     let (mut from, mut to) = tokio::io::split(tunnel.into_io());
    ///     if tokio::io::copy(&mut from, &mut to).await.is_ok() {
    ///         to.shutdown().await.ok();
    ///     }
    /// });
    /// let _echo = echo.register(relay.connect().await?, Limits::default()).await?;
    ///
    /// let mut stream = relay.connect().await?.tunnel("echo", Duration::from_secs(1)).await?.into_io();
    /// stream.write_all(b"there and back").await?;
    /// stream.shutdown().await?;
    /// let mut back = String::new();
    /// stream.read_to_string(&mut back).await?;
    /// assert_eq!(back, "there and back");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn into_io(self) -> ByteStream {
        let (given, ours) = ByteStream::pair();
        let (inward, outward) = self.into_halves();
        let (from, to) = ours.split();
        tokio::spawn(async move {
            // Each way ends by itself. Dropped unfinished, it is an error for who reads.
            tokio::join!(write_out(from, outward), read_in(inward, to));
        });
        given
    }
}

/// What is written into the stream becomes messages.
async fn write_out(mut from: impl AsyncRead + Unpin, mut outward: Outward) {
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        buffer.reserve(PIECE);
        match from.read_buf(&mut buffer).await {
            Ok(0) => return outward.close(),
            Ok(_) => {}
            Err(error) => return tracing::debug!(%error, "a tunnel's stream was dropped before its shutdown"),
        }
        if outward.send(buffer.split().freeze()).await.is_err() {
            return;
        }
    }
}

/// The messages that come are read from the stream.
async fn read_in(mut inward: Inward, mut to: impl AsyncWrite + Unpin) {
    loop {
        match inward.recv().await {
            Ok(Some(message)) => {
                if to.write_all(&message).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                // Nobody may read any more.
                drop(to.shutdown().await);
                return;
            }
            Err(Error::Lost) => return,
            Err(error) => return tracing::warn!(%error, "a tunnel broke its rules"),
        }
    }
}
