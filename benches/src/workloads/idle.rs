//! Channels that are open and were used once: bytes of heap and allocations of both ends together, and what opening
//! costs when many are open already. The handles lie in memory that was there before and are not counted.

use std::time::{Duration, Instant};

use crate::case::{Case, Plan, Sample};
use crate::contenders::local::{async_channel, flume, kanal, pipe, tokio_mpsc};
use crate::contenders::{Opener, libchan};
use crate::count::Counts;
use crate::net::Transport;

/// A case of an opener: so many channels.
macro_rules! idle {
    ($workload:expr, $contender:expr, $count:expr, || $make:expr) => {
        $crate::case::case!($workload, $contender, $count as u64, |channels| async move {
            $crate::workloads::idle::open($make.await, channels).await
        })
        .facts(3)
    };
}

#[cfg(feature = "peers")]
pub(crate) use idle;

/// How many are open at the comparison with others.
pub const COMPARED: usize = 1_000;

pub fn cases(on: Transport, plan: Plan) -> Vec<Case> {
    let mut cases = Vec::new();
    for &count in plan.size(&[1, 1_000, 10_000, 100_000, 1_000_000][..], &[1, 1_000, 10_000]) {
        cases.push(idle!(format!("idle-{count}"), "libchan", count, || libchan::named(on, count)));
        cases.push(idle!(format!("idle-{count}"), "libchan nested", count, || libchan::in_messages(
            on, count
        )));
    }
    cases
}

/// In one process: 16 slots.
pub fn local() -> Vec<Case> {
    let (name, count) = ("local-idle-16", COMPARED);
    vec![
        idle!(name, "libchan", count, || pipe::idle(count)),
        idle!(name, "tokio", count, || tokio_mpsc::idle(count)),
        idle!(name, "flume", count, || flume::idle(count)),
        idle!(name, "kanal", count, || kanal::idle(count)),
        idle!(name, "async-channel", count, || async_channel::idle(count)),
    ]
}

/// The last so many openings are timed apart.
const LAST: usize = 1_000;

pub async fn open<O: Opener>(mut opener: O, channels: u64) -> Sample {
    let channels = channels as usize;
    // What a connection needs for its first channel is its own.
    opener.open(1).await;
    settle().await;
    let before = Counts::now();
    let last = LAST.min(channels);
    opener.open(channels - last).await;
    let began = Instant::now();
    opener.open(last).await;
    let time = began.elapsed();
    settle().await;
    let counts = Counts::now().since(before);
    let each = |total: f64| total / channels as f64;
    Sample {
        time,
        operations: last as u64,
        ..Sample::of(vec![
            ("bytes", each(counts.live as f64)),
            ("allocations", each(counts.allocations as f64)),
            ("us to open", time.as_nanos() as f64 / 1000.0 / last as f64),
        ])
    }
}

/// Lets drivers finish what they still do: frames that are not waited for.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
