//! Runs a member's handler: a task a request, exactly one report for each, broadcasts in order, tunnels beside them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libchan::{Receiver, SendError, SendFailure, Sender};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::Handler;
use super::registration::Registration;
use crate::app::{App, Tunnel};
use crate::body::Body;
use crate::error::Error;
use crate::limits::Limits;
use crate::wire::{Call, Event, Line, Report};

/// How a service is told to leave, and how it went.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    begun: AtomicBool,
    wake: Notify,
    /// There was no relay any more when it left, or there will be none.
    lost: AtomicBool,
}

impl Leaving {
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Completes when it is to leave.
    async fn begins(&self) {
        while !self.begun.load(Ordering::Acquire) {
            self.wake.notified().await;
        }
    }

    pub(super) fn was_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// A member, at one relay after the other where its connection comes back.
pub(super) struct Member<H> {
    pub(super) app: Arc<App>,
    pub(super) cluster: String,
    pub(super) handler: Arc<H>,
    pub(super) limits: Limits,
    pub(super) leaving: Arc<Leaving>,
}

/// How a registration ended.
enum Ended {
    /// The member has left in good order.
    Left,
    /// The relay has let it go, or is gone.
    Dropped(Error),
}

/// Reports on their way to the relay. As many as there are slots at the most: the queue always has room.
type Outbox = mpsc::Sender<Report>;

/// Says exactly one thing of a call, whatever becomes of its handler: returned, failed, panicked, aborted.
struct Once {
    call: u64,
    outbox: Outbox,
    bytes: Arc<AtomicUsize>,
    weight: usize,
    said: bool,
}

impl Once {
    fn say(&mut self, report: Report) {
        self.said = true;
        self.bytes.fetch_sub(self.weight, Ordering::Relaxed);
        if self.outbox.try_send(report).is_err() {
            // The runner is gone, and with it the member: the relay answers `Lost`.
            tracing::debug!(call = self.call, "a reply found no member to carry it");
        }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if !self.said {
            let text =
                if std::thread::panicking() { "the handler panicked" } else { "the request was cancelled" };
            self.say(Report::Fault(self.call, Body::bytes(text)));
        }
    }
}

impl<H: Handler> Member<H> {
    /// Serves until it leaves, or is dropped and there is no further relay.
    pub(super) async fn stay(self, mut registration: Registration) {
        loop {
            let at = registration.at;
            match self.serve(registration).await {
                Ended::Left => return,
                Ended::Dropped(why) => self.handler.dropped(why).await,
            }
            // One that was put out by a relay that stays may come back at once, where coming back is wanted.
            let passed = if self.app.comes_back() { at - 1 } else { at };
            let next = Registration::new(&self.app, &self.cluster, self.limits, passed);
            registration = tokio::select! {
                next = next => match next {
                    Ok(next) => next,
                    Err(why) => {
                        tracing::info!(self.cluster, %why, "a service has no relay any more");
                        self.leaving.lost.store(true, Ordering::Release);
                        return;
                    }
                },
                // The relay was gone before: there is nobody to take leave of.
                () = self.leaving.begins() => {
                    self.leaving.lost.store(true, Ordering::Release);
                    return;
                }
            };
            self.handler.returned().await;
        }
    }

    async fn serve(&self, registration: Registration) -> Ended {
        let Registration { calls, reports, broadcasts, tunnels, .. } = registration;
        let (handler, limits) = (&self.handler, self.limits);
        let (outbox, mut outgoing) = mpsc::channel(2 * limits.requests + 2);
        let mut tasks = Tasks {
            handler: handler.clone(),
            outbox,
            bytes: Arc::default(),
            limits,
            set: JoinSet::new(),
            running: HashMap::new(),
        };
        let mut beside = JoinSet::new();
        for _ in 0..limits.broadcast_handlers {
            beside.spawn(take_broadcasts(handler.clone(), broadcasts.clone()));
        }
        beside.spawn(serve_tunnels(handler.clone(), tunnels, limits.tunnels));
        drop(broadcasts);
        let mut leaves = false;
        loop {
            tokio::select! {
                () = self.leaving.begins(), if !leaves => {
                    leaves = true;
                    if reports.send(Report::Slots(0)).await.is_err() {
                        return Ended::Dropped(Error::Lost);
                    }
                }
                Some(report) = outgoing.recv() => {
                    tasks.over(&report);
                    if !tell(&reports, report).await {
                        return Ended::Dropped(Error::Lost);
                    }
                }
                call = calls.recv() => match call {
                    Ok(Some(Call::Request(number, left, body))) => tasks.begin(number, left, body),
                    Ok(Some(Call::Cancel(number))) => tasks.cancel(number),
                    // The relay ends the calls of a member that leaves once it has all reports. Before, it is leaving itself.
                    Ok(None) if leaves && tasks.running.is_empty() => return Ended::Left,
                    Ok(None) => return Ended::Dropped(Error::Closed),
                    Err(error) if error.is_end() => return Ended::Dropped(Error::Lost),
                    Err(error) => tracing::warn!(%error, "a call of the relay does not decode"),
                },
                Some(_joined) = tasks.set.join_next() => {}
            }
        }
    }
}

/// Reports to the relay. A reply that cannot travel (too large, a stream that is in use) is a fault for its caller. False: the
/// relay is gone.
async fn tell(reports: &Sender<Report>, report: Report) -> bool {
    let Err(SendError { value, reason }) = reports.send(report).await else { return true };
    if matches!(reason, SendFailure::Closed(_) | SendFailure::Disconnected { .. }) {
        return false;
    }
    let (Report::Ok(call, _) | Report::Fault(call, _)) = value else { return false };
    let text = format!("the service's reply cannot be sent: {reason}");
    reports.send(Report::Fault(call, Body::bytes(text))).await.is_ok()
}

/// The calls in hand.
struct Tasks<H> {
    handler: Arc<H>,
    outbox: Outbox,
    bytes: Arc<AtomicUsize>,
    limits: Limits,
    set: JoinSet<()>,
    running: HashMap<u64, AbortHandle>,
}

impl<H: Handler> Tasks<H> {
    fn begin(&mut self, number: u64, left_ms: u64, body: Body) {
        let weight = body.weight();
        let taken = self.bytes.load(Ordering::Relaxed);
        // As the relay counts it; only a relay that does not count is answered so.
        if taken >= self.limits.request_bytes.max(1) || self.running.len() >= self.limits.requests {
            drop(self.outbox.try_send(Report::Shed(number)));
            return;
        }
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        let (bytes, outbox, handler) = (self.bytes.clone(), self.outbox.clone(), self.handler.clone());
        let mut once = Once { call: number, outbox, bytes, weight, said: false };
        let left = std::time::Duration::from_millis(left_ms);
        let task = self.set.spawn(async move {
            let report = match tokio::time::timeout(left, handler.request(body)).await {
                Ok(Ok(reply)) => Report::Ok(number, reply),
                Ok(Err(fault)) => Report::Fault(number, Body::bytes(fault.text().to_owned())),
                Err(_elapsed) => Report::Expired(number),
            };
            once.say(report);
        });
        self.running.insert(number, task);
    }

    fn cancel(&mut self, number: u64) {
        if let Some(task) = self.running.get(&number) {
            task.abort();
        }
    }

    fn over(&mut self, report: &Report) {
        if let Report::Ok(number, _) | Report::Fault(number, _) | Report::Expired(number) = report {
            self.running.remove(number);
        }
    }
}

async fn take_broadcasts<H: Handler>(handler: Arc<H>, broadcasts: Receiver<Event>) {
    loop {
        match broadcasts.recv().await {
            Ok(Some(Event(_lost, body))) => {
                let handler = handler.clone();
                // A task of its own, so that a panic does not end the others.
                if let Err(error) = tokio::spawn(async move { handler.broadcast(body).await }).await {
                    tracing::error!(%error, "the handler of a broadcast panicked");
                }
            }
            Ok(None) => return,
            Err(error) if error.is_end() => return,
            Err(error) => tracing::warn!(%error, "a broadcast of the relay does not decode"),
        }
    }
}

async fn serve_tunnels<H: Handler>(handler: Arc<H>, tunnels: Receiver<Line>, most: usize) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            line = tunnels.recv(), if open.len() < most => match line {
                Ok(Some(line)) => {
                    let handler = handler.clone();
                    open.spawn(async move {
                        if let Some(tunnel) = Tunnel::accept(line) {
                            handler.tunnel(tunnel).await;
                        }
                    });
                }
                Ok(None) => break,
                Err(error) if error.is_end() => break,
                Err(error) => tracing::warn!(%error, "a tunnel of the relay does not decode"),
            },
            Some(joined) = open.join_next() => {
                if let Err(error) = joined {
                    tracing::error!(%error, "the handler of a tunnel panicked");
                }
            }
        }
    }
    while open.join_next().await.is_some() {}
}
