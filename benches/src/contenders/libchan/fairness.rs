//! Pingpong channels with a bulk channel beside them.

use std::time::{Duration, Instant};

use libchan::{Session, SessionOptions};

use super::{ChanDrain, ChanFeed, PairCaller, pairs_on, sessions_with};
use crate::case::cpu;
use crate::contenders::{Caller, Drain, Feed};
use crate::net::Transport;
use crate::payload::Item;

/// What runs beside the pingpong channels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    Nothing,
    /// A bulk channel on the same connection.
    Bulk,
    /// A bulk channel on a connection of its own: the same work for the processor, nothing shared.
    BulkElsewhere,
}

const CALLERS: usize = 64;
const BODY: usize = 1024 * 1024;

/// Microseconds a round trip, of all callers together, sorted: as they elapsed, and of the processor.
pub struct Trips {
    pub elapsed: Vec<f64>,
    pub cpu: Vec<f64>,
}

pub async fn fairness(transport: Transport, beside: Beside, calls: u64) -> Trips {
    let sessions = sessions_with(transport, SessionOptions::default()).await;
    let callers = pairs_on(&sessions, CALLERS).await;
    let bulk = match beside {
        Beside::Nothing => None,
        Beside::Bulk => Some(bulk(sessions.clone()).await),
        Beside::BulkElsewhere => Some(bulk(sessions_with(transport, SessionOptions::default()).await).await),
    };
    let tasks: Vec<_> =
        callers.into_iter().map(|caller| tokio::spawn(time_each(caller, calls / CALLERS as u64))).collect();
    let mut all = Vec::with_capacity(calls as usize);
    for task in tasks {
        all.extend(task.await.expect("comes to its end"));
    }
    if let Some(bulk) = bulk {
        bulk.abort();
    }
    let sorted = |time: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<_> = all.iter().map(|trip| time(trip).as_nanos() as f64 / 1000.0).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    Trips { elapsed: sorted(|trip| trip.0), cpu: sorted(|trip| trip.1) }
}

async fn time_each(mut caller: PairCaller, calls: u64) -> Vec<(Duration, Duration)> {
    for _ in 0..calls / 10 {
        caller.call().await;
    }
    let mut times = Vec::with_capacity(calls as usize);
    for _ in 0..calls {
        let (began, before) = (Instant::now(), cpu());
        caller.call().await;
        times.push((began.elapsed(), cpu() - before));
    }
    times
}

/// Sends without end until it is aborted; returns when the first message has arrived.
async fn bulk((client, server): (Session, Session)) -> tokio::task::JoinHandle<()> {
    let (sender, receiver) = super::open(&client, &server, 16).await;
    let mut feed = ChanFeed { sender, message: Item::bulk(BODY), _session: client };
    let mut drain = ChanDrain { receiver, _session: server };
    let sending = tokio::spawn(async move {
        loop {
            feed.send().await;
        }
    });
    drain.recv().await;
    let stop = sending.abort_handle();
    tokio::spawn(async move {
        // Aborted with this task: its sender must not go on alone.
        let _stop = StopWith(stop);
        loop {
            drain.recv().await;
        }
    })
}

struct StopWith(tokio::task::AbortHandle);

impl Drop for StopWith {
    fn drop(&mut self) {
        self.0.abort();
    }
}
