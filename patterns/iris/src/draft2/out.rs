//! What waits to be written to a binding: one buffer with a bound, filled by anybody and written by one task.
//!
//! Tunnels wait for room; everything else is put at once or is lost. So the bytes of tunnels have a smaller bound: a small message
//! never waits behind more of them.

use std::sync::Mutex;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::frame::{ToClient, write};
use crate::app::lock;

/// Bytes that wait for a binding at the most. What goes beyond is lost (broadcasts, events) or ends the connection (the rest): a
/// binding that does not read is not served.
const MOST: usize = 64 << 20;
/// Bytes that wait at the most when a frame of a tunnel is put behind them.
const MOST_BEFORE_TUNNELS: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Out {
    waiting: Mutex<Waiting>,
    /// Wakes the task that writes.
    more: Notify,
    /// Wakes tunnels that wait for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    /// Nothing is taken any more; what waits is written.
    closed: bool,
}

impl Out {
    /// Puts a frame that may be lost (a broadcast, an event) behind the others. False: there is no room, or the connection is over.
    pub(super) fn put(&self, frame: &ToClient<'_>) -> bool {
        self.put_behind(MOST, frame).is_ok()
    }

    /// Puts a frame that may not be lost. Where there is no room the connection ends. False: it is over.
    pub(super) fn put_or_end(&self, frame: &ToClient<'_>) -> bool {
        match self.put_behind(MOST, frame) {
            Ok(()) => true,
            Err(NotPut::Over) => false,
            Err(NotPut::NoRoom) => {
                self.close("too much waits to be read");
                false
            }
        }
    }

    /// Puts a frame of a tunnel behind the others, as soon as few enough bytes are before it. False: the connection is over.
    pub(super) async fn put_in_turn(&self, frame: &ToClient<'_>) -> bool {
        loop {
            // From here on it hears of room: between the look and the wait none is missed.
            let room = self.room.notified();
            match self.put_behind(MOST_BEFORE_TUNNELS, frame) {
                Ok(()) => return true,
                Err(NotPut::Over) => return false,
                Err(NotPut::NoRoom) => room.await,
            }
        }
    }

    fn put_behind(&self, most: usize, frame: &ToClient<'_>) -> Result<(), NotPut> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(NotPut::Over);
        }
        if waiting.bytes.len() > most {
            return Err(NotPut::NoRoom);
        }
        write(&mut waiting.bytes, frame);
        drop(waiting);
        self.more.notify_one();
        Ok(())
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
        self.room.notify_waiters();
    }

    /// Writes until [`close`](Self::close) was called and everything is out, or the connection is lost.
    pub(super) async fn write_to(&self, socket: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        let written = self.write_all_to(socket).await;
        if written.is_err() {
            let mut waiting = lock(&self.waiting);
            *waiting = Waiting { bytes: BytesMut::new(), closed: true };
            drop(waiting);
            self.room.notify_waiters();
        }
        written
    }

    async fn write_all_to(&self, mut socket: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        loop {
            let (mut bytes, closed) = {
                let mut waiting = lock(&self.waiting);
                (waiting.bytes.split(), waiting.closed)
            };
            self.room.notify_waiters();
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

/// Why a frame was not put.
enum NotPut {
    NoRoom,
    Over,
}
