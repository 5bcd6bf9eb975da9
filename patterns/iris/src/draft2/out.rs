//! What waits to be written to a binding: one buffer with a bound, filled by anybody and written by one task.

use std::sync::Mutex;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::frame::{ToClient, write};
use crate::app::lock;

/// Bytes that wait for a binding at the most. What goes beyond is lost (broadcasts, events) or ends the connection (replies,
/// requests): a binding that does not read is not served.
const MOST: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Out {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    /// Nothing is taken any more; what waits is written.
    closed: bool,
}

impl Out {
    /// Puts a frame behind the others. False: there is no room, or the connection is over.
    pub(super) fn put(&self, frame: &ToClient<'_>) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.closed || waiting.bytes.len() > MOST {
            return false;
        }
        write(&mut waiting.bytes, frame);
        drop(waiting);
        self.more.notify_one();
        true
    }

    /// Puts the last frame: what waits, and it, are written before the connection ends.
    pub(super) fn close(&self, reason: &str) {
        let mut waiting = lock(&self.waiting);
        if !waiting.closed {
            write(&mut waiting.bytes, &ToClient::Close { reason });
            waiting.closed = true;
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// Writes until [`close`](Self::close) was called and everything is out.
    pub(super) async fn write_to(&self, mut socket: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        loop {
            let (mut bytes, closed) = {
                let mut waiting = lock(&self.waiting);
                (waiting.bytes.split(), waiting.closed)
            };
            if !bytes.is_empty() {
                socket.write_all_buf(&mut bytes).await?;
            } else if closed {
                return socket.shutdown().await;
            } else {
                self.more.notified().await;
            }
        }
    }
}
