//! Tunnels: messages of any size, in order and throttled, between an application and one member of a cluster.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libchan::{Receiver, Sender, pipe_with};
use tokio::time::timeout;

use super::Connection;
use super::attachment::not_sent;
use crate::error::Error;
use crate::wire::{Line, Piece, TunnelRefused};

/// Longest part of a message that travels as one, in bytes.
const PIECE: usize = 256 * 1024;
/// Pieces on their way, so 4 MiB at the most each way.
const PIECES: usize = 16;

/// Two ways of messages between an application and a member of a cluster. Each way keeps its order, and a sender waits for
/// its reader.
///
/// [`close`](Self::close) ends it cleanly: the other side reads what was sent and then `None`. Dropped, it ends for the other
/// side as [`Error::Lost`].
pub struct Tunnel {
    outward: Outward,
    inward: Inward,
}

/// This side's messages. Dropped unclosed, they end as lost.
pub(super) struct Outward {
    pieces: Sender<Piece>,
    /// Held for a whole message: pieces of two messages must not mix.
    turn: tokio::sync::Mutex<()>,
    closed: bool,
}

/// The other side's messages.
pub(super) struct Inward {
    pieces: Receiver<Piece>,
    /// The beginning of a message whose rest has not been read: a cancelled `recv` loses nothing.
    begun: BytesMut,
    /// The length of that message.
    total: u64,
}

impl Connection {
    /// Opens a tunnel to a member of the cluster, `within` at the most.
    ///
    /// # Errors
    /// [`Error::NoMember`], [`Error::Busy`]: nobody takes it. [`Error::Timeout`], [`Error::Refused`], [`Error::Closed`].
    pub async fn tunnel(&self, cluster: &str, within: Duration) -> Result<Tunnel, Error> {
        timeout(within, self.open_tunnel(cluster, within)).await.unwrap_or(Err(Error::Timeout))
    }

    async fn open_tunnel(&self, cluster: &str, within: Duration) -> Result<Tunnel, Error> {
        let (out, to_member) = pipe_with(PIECES);
        let (to_opener, inward) = pipe_with(PIECES);
        let (ready, answer) = pipe_with(1);
        let left_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let line = Line { cluster: cluster.to_owned(), left_ms, to_member, to_opener, ready };
        self.app.send(line, |attachment| &attachment.tunnels).await?;
        match answer.recv().await {
            Ok(Some(Ok(()))) => Ok(Tunnel::new(out, inward)),
            Ok(Some(Err(TunnelRefused::NoMember))) => Err(Error::NoMember),
            Ok(Some(Err(TunnelRefused::Busy))) => Err(Error::Busy),
            Ok(Some(Err(TunnelRefused::Refused(text)))) => Err(Error::Refused(text)),
            Ok(None) | Err(_) => Err(Error::Lost),
        }
    }
}

impl Tunnel {
    fn new(out: Sender<Piece>, inward: Receiver<Piece>) -> Self {
        Self {
            outward: Outward { pieces: out, turn: tokio::sync::Mutex::new(()), closed: false },
            inward: Inward { pieces: inward, begun: BytesMut::new(), total: 0 },
        }
    }

    /// The member's side of a tunnel that somebody opens.
    pub(crate) fn accept(line: Line) -> Option<Self> {
        let Line { to_member, to_opener, ready, .. } = line;
        // The opener may have given up: then nobody uses the tunnel.
        ready.try_send(Ok(())).ok()?;
        Some(Self::new(to_opener, to_member))
    }

    pub(super) fn into_halves(self) -> (Inward, Outward) {
        (self.inward, self.outward)
    }

    /// Sends a message of any size. Waits while the other side does not read. Several may send at the same time: each message goes
    /// whole.
    ///
    /// # Cancel safety
    /// Dropped before it completes, the message does not arrive, unless all of it had left; the next one is unharmed.
    ///
    /// # Errors
    /// [`Error::Closed`]: the other side has closed the tunnel. [`Error::Lost`]: it, or the relay, is gone.
    pub async fn send(&self, message: impl Into<Bytes>) -> Result<(), Error> {
        self.outward.send(message.into()).await
    }

    /// The next message; `None` when the other side has closed the tunnel. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Lost`]: the other side, or the relay, is gone. [`Error::NotDecoded`]: the other side broke the rules of pieces.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, Error> {
        self.inward.recv().await
    }

    /// Ends this side's messages cleanly, behind what was sent. The other side may go on: [`recv`](Self::recv) still gives
    /// what it sends.
    pub fn close(&mut self) {
        self.outward.close();
    }
}

impl Outward {
    pub(super) async fn send(&self, message: Bytes) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let mut rest = message;
        let mut total = Some(rest.len() as u64);
        loop {
            let piece = Piece(total.take(), rest.split_to(rest.len().min(PIECE)));
            self.pieces.send(piece).await.map_err(|failed| ended(&failed))?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.pieces.close();
    }
}

impl Drop for Outward {
    fn drop(&mut self) {
        if !self.closed {
            self.pieces.close_with("the tunnel was dropped without being closed");
        }
    }
}

impl Inward {
    pub(super) async fn recv(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let piece = match self.pieces.recv().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(None),
                Err(_) => return Err(Error::Lost),
            };
            let Piece(begins, bytes) = piece;
            if let Some(total) = begins {
                // A message that was given up by its sender before it was whole goes nowhere.
                self.begun.clear();
                self.total = total;
            }
            if begins == Some(bytes.len() as u64) {
                return Ok(Some(bytes));
            }
            self.begun.extend_from_slice(&bytes);
            match (self.begun.len() as u64).cmp(&self.total) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(self.begun.split().freeze())),
                Ordering::Greater => {
                    let why = "a piece of the tunnel is longer than its message";
                    return Err(Error::NotDecoded(why.to_owned()));
                }
            }
        }
    }
}

fn ended(failed: &libchan::SendError<Piece>) -> Error {
    match not_sent(&failed.reason) {
        Error::Refused(_) | Error::Closed => Error::Closed,
        other => other,
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("closed", &self.outward.closed).finish_non_exhaustive()
    }
}
