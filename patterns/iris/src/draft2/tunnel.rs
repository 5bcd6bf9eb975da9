//! Tunnels of a binding: its chunks and credit on one side, pieces on libchan channels on the other.
//!
//! Each direction of each tunnel is a task of its own, so that one that stands still delays no other. Credit is enforced both
//! ways: a binding sends no more than it was allowed, and gets no more than it has allowed. What waits for a far side that does not
//! read is bounded for each tunnel, and for all tunnels of a binding.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libchan::{Receiver, Sender, pipe_with};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::chunks::{Budget, Chunks, Share};
use super::frame::{CHUNK, ToClient};
use super::out::Out;
use crate::app::lock;
use crate::relay::Hub;
use crate::wire::{Line, Piece, TunnelRefused};

/// Bytes that a binding may send on a tunnel before the relay has passed some on: the original's buffer.
const ALLOWED: u64 = 4 << 20;
/// Bytes of all its tunnels: from the seventeenth on they are allowed less.
const ALLOWED_IN_ALL: u64 = 16 * ALLOWED;
/// Pieces on their way to the other side.
const PIECES: usize = 16;
/// How long a binding may take to confirm a tunnel that it is offered.
const CONFIRM: Duration = Duration::from_secs(3);
/// Tunnels of one binding at the most, those included that are asked for, or offered and not confirmed.
const MOST: usize = 1024;
/// The most credit that a binding can have given, in bytes.
const MOST_CREDIT: usize = Semaphore::MAX_PERMITS;

/// The tunnels of one binding.
pub(super) struct Tunnels {
    hub: Arc<Hub>,
    out: Arc<Out>,
    budget: Budget,
    places: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Tunnel>>,
    /// Offered to the binding, and not confirmed.
    offered: Mutex<HashMap<u64, Offered>>,
    next: AtomicU64,
}

/// A tunnel's place among [`MOST`]. Dropped, it is free again.
type Place = OwnedSemaphorePermit;

struct Offered {
    line: Line,
    place: Place,
}

struct Tunnel {
    _place: Place,
    /// Chunks of the binding: no more than the relay has allowed, which is what bounds them.
    inward: Arc<Chunks>,
    /// Bytes of chunks that the binding may still send.
    allowed: Arc<AtomicU64>,
    /// Bytes that the binding takes.
    credit: Arc<Semaphore>,
    tasks: [AbortHandle; 2],
}

impl Tunnels {
    pub(super) fn new(hub: Arc<Hub>, out: Arc<Out>) -> Arc<Self> {
        Arc::new(Self {
            hub,
            out,
            budget: Budget::new(ALLOWED_IN_ALL),
            places: Arc::new(Semaphore::new(MOST)),
            open: Mutex::default(),
            offered: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// The binding asks for a tunnel to a cluster.
    pub(super) fn open(self: &Arc<Self>, id: u64, cluster: String, timeout_ms: u64) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::info!(cluster, "a binding has {MOST} tunnels already, which is the most");
            self.out.put_or_end(&ToClient::TunnelConfirm { id, chunk: None });
            return;
        };
        let tunnels = self.clone();
        tokio::spawn(async move {
            let within = Duration::from_millis(timeout_ms);
            let opened = timeout(within, tunnels.find(cluster, timeout_ms)).await;
            match opened {
                Ok(Some((out, inward))) => {
                    // The binding's credit may come right behind the confirmation: the tunnel is there before.
                    let bytes = tunnels.begin(id, place, out, inward);
                    tunnels.out.put_or_end(&ToClient::TunnelConfirm { id, chunk: Some(CHUNK as u64) });
                    tunnels.out.put_or_end(&ToClient::TunnelAllow { id, bytes });
                }
                Ok(None) | Err(_) => {
                    tunnels.out.put_or_end(&ToClient::TunnelConfirm { id, chunk: None });
                }
            }
        });
    }

    /// A member takes the tunnel, or nobody does until the time is up.
    async fn find(&self, cluster: String, left_ms: u64) -> Option<(Sender<Piece>, Receiver<Piece>)> {
        loop {
            let joined = self.hub.joined.notified();
            let (out, to_member) = pipe_with(PIECES);
            let (to_opener, inward) = pipe_with(PIECES);
            let (ready, answer) = pipe_with(1);
            self.hub.tunnel(Line { cluster: cluster.clone(), left_ms, to_member, to_opener, ready });
            match answer.recv().await {
                Ok(Some(Ok(()))) => return Some((out, inward)),
                // The original waits for a member as long as the time allows.
                Ok(Some(Err(TunnelRefused::NoMember | TunnelRefused::Busy))) => joined.await,
                Ok(Some(Err(TunnelRefused::Refused(_))) | None) | Err(_) => return None,
            }
        }
    }

    /// Somebody opens a tunnel to the binding.
    pub(super) fn offer(self: &Arc<Self>, line: Line) -> Result<(), Box<Line>> {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return Err(Box::new(line)) };
        let build = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.offered).insert(build, Offered { line, place });
        if !self.out.put_or_end(&ToClient::TunnelInit { build, chunk: CHUNK as u64 }) {
            let offered = lock(&self.offered).remove(&build);
            return offered.map_or(Ok(()), |offered| Err(Box::new(offered.line)));
        }
        let tunnels = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(CONFIRM).await;
            // Not confirmed: this tunnel fails, and nothing else of the binding.
            let late = tunnels.upgrade().and_then(|tunnels| lock(&tunnels.offered).remove(&build));
            if let Some(Offered { line, .. }) = late {
                // The opener may have given up.
                drop(line.ready.try_send(Err(TunnelRefused::Busy)));
            }
        });
        Ok(())
    }

    /// The binding takes the tunnel that it was offered. What was not offered, or too late, is ignored.
    pub(super) fn confirm(self: &Arc<Self>, build: u64, id: u64) {
        let Some(Offered { line, place }) = lock(&self.offered).remove(&build) else { return };
        if line.ready.try_send(Ok(())).is_err() {
            // The opener has given up.
            self.out.put_or_end(&ToClient::TunnelClose { id, reason: "" });
            return;
        }
        let bytes = self.begin(id, place, line.to_opener, line.to_member);
        self.out.put_or_end(&ToClient::TunnelAllow { id, bytes });
    }

    /// Returns how many bytes the binding may send at first.
    fn begin(self: &Arc<Self>, id: u64, place: Place, out: Sender<Piece>, inward: Receiver<Piece>) -> u64 {
        let chunks = Arc::new(Chunks::default());
        let share = self.budget.share(ALLOWED);
        let bytes = share.bytes();
        let (allowed, credit) = (Arc::new(AtomicU64::new(bytes)), Arc::new(Semaphore::new(0)));
        let forward = tokio::spawn(self.clone().forward(id, chunks.clone(), out, allowed.clone(), share));
        let back = tokio::spawn(self.clone().back(id, inward, credit.clone()));
        let tasks = [forward.abort_handle(), back.abort_handle()];
        let tunnel = Tunnel { _place: place, inward: chunks, allowed, credit, tasks };
        if let Some(before) = lock(&self.open).insert(id, tunnel) {
            before.tasks.iter().for_each(AbortHandle::abort);
        }
        bytes
    }

    /// The binding takes so many more bytes.
    pub(super) fn allow(&self, id: u64, bytes: u64) {
        if let Some(tunnel) = lock(&self.open).get(&id) {
            let room = MOST_CREDIT - tunnel.credit.available_permits();
            tunnel.credit.add_permits(usize::try_from(bytes).unwrap_or(room).min(room));
        }
    }

    /// A chunk of the binding.
    ///
    /// # Errors
    /// It was not allowed to send as much: what its connection ends with.
    pub(super) fn transfer(&self, id: u64, size: u64, chunk: &[u8]) -> Result<(), String> {
        let open = lock(&self.open);
        let Some(tunnel) = open.get(&id) else { return Ok(()) };
        let length = chunk.len() as u64;
        if length == 0 {
            return Ok(());
        }
        let taken =
            tunnel.allowed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(length));
        if taken.is_err() {
            return Err(format!("protocol violation: tunnel {id} sent more than it was allowed"));
        }
        tunnel.inward.put(size, chunk);
        Ok(())
    }

    /// The binding closes the tunnel: what it sent before is passed on first.
    pub(super) fn close(&self, id: u64) {
        if let Some(tunnel) = lock(&self.open).remove(&id) {
            // The forwarding task sees the end of its chunks, and closes the tunnel cleanly.
            tunnel.inward.close();
            tunnel.tasks[1].abort();
            self.out.put_or_end(&ToClient::TunnelClose { id, reason: "" });
        }
    }

    /// The connection is over: its tunnels are lost for their other sides.
    pub(super) fn end(&self) {
        for tunnel in lock(&self.open).drain().map(|(_, tunnel)| tunnel) {
            tunnel.tasks.iter().for_each(AbortHandle::abort);
        }
        lock(&self.offered).clear();
    }

    /// Chunks of the binding become pieces. Where the other side takes no more, chunks that still come are dropped.
    async fn forward(
        self: Arc<Self>,
        id: u64,
        chunks: Arc<Chunks>,
        out: Sender<Piece>,
        allowed: Arc<AtomicU64>,
        _share: Share,
    ) {
        let unfinished = Unfinished(Some(out));
        let Some(out) = &unfinished.0 else { return };
        while let Some((size, chunk)) = chunks.next().await {
            let length = chunk.len() as u64;
            if out.send(Piece((size > 0).then_some(size), chunk)).await.is_err() {
                return;
            }
            allowed.fetch_add(length, Ordering::AcqRel);
            if !self.out.put_in_turn(&ToClient::TunnelAllow { id, bytes: length }).await {
                return;
            }
        }
        unfinished.finish();
    }

    /// Pieces become chunks for the binding, each when it is allowed.
    async fn back(self: Arc<Self>, id: u64, inward: Receiver<Piece>, credit: Arc<Semaphore>) {
        while let Ok(Some(Piece(begins, bytes))) = inward.recv().await {
            // An empty message cannot be said in this protocol.
            let mut size = begins.unwrap_or(0);
            for chunk in bytes.chunks(CHUNK) {
                match credit.acquire_many(chunk.len() as u32).await {
                    Ok(permits) => permits.forget(),
                    Err(_closed) => return,
                }
                if !self.out.put_in_turn(&ToClient::TunnelTransfer { id, size, chunk }).await {
                    return;
                }
                size = 0;
            }
        }
        let known = lock(&self.open).remove(&id);
        if let Some(tunnel) = known {
            tunnel.inward.close();
            self.out.put_or_end(&ToClient::TunnelClose { id, reason: "" });
        }
    }
}

/// The other side's way of a tunnel: unless it is finished, it ends as lost.
struct Unfinished(Option<Sender<Piece>>);

impl Unfinished {
    fn finish(mut self) {
        if let Some(out) = self.0.take() {
            out.close();
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(out) = self.0.take() {
            out.close_with("the tunnel's other side is gone");
        }
    }
}
