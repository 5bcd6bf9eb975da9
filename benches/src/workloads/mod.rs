//! The workloads. Each file says what one operation is and who takes part; here is how they are driven.

mod bulk;
mod local;
mod nested;
mod pingpong;
mod pipelined;
mod stream;

use std::sync::Arc;

use tokio::sync::Barrier;

use crate::contenders::{Caller, Drain, Feed};
use crate::measure::{Case, Sample, Stopwatch, warm_up};
use crate::net::Transport;

pub const NAMES: [&str; 7] =
    ["pingpong", "pipelined", "stream", "nested", "bulk", "local-pingpong", "local-stream"];

/// Every case of every workload.
pub fn all(transports: &[Transport]) -> Vec<Case> {
    let mut cases = Vec::new();
    for &transport in transports {
        cases.extend(pingpong::cases(transport));
        cases.extend(pipelined::cases(transport));
        cases.extend(nested::cases(transport));
        cases.extend(stream::cases(transport));
        cases.extend(bulk::cases(transport));
    }
    cases.extend(local::cases());
    cases
}

/// A case from an expression that makes callers or ends.
macro_rules! case {
    ($drive:ident, $workload:expr, $contender:expr, $transport:expr, $operations:expr, || $make:expr) => {
        $crate::measure::Case {
            workload: String::from($workload),
            contender: String::from($contender),
            transport: $transport,
            bytes: 0,
            operations: $operations,
            run: Box::new(move |operations| {
                Box::pin(async move { $crate::workloads::$drive($make.await, operations).await })
            }),
        }
    };
}
use case;

/// All callers call at the same time, one request at a time each.
async fn calls<C: Caller>(callers: Vec<C>, operations: u64) -> Sample {
    let each = operations / callers.len() as u64;
    let total = each * callers.len() as u64;
    let (warm, done) = (Arc::new(Barrier::new(callers.len() + 1)), Arc::new(Barrier::new(callers.len() + 1)));
    for mut caller in callers {
        let (warm, done) = (warm.clone(), done.clone());
        tokio::spawn(async move {
            for _ in 0..warm_up(each) {
                caller.call().await;
            }
            warm.wait().await;
            for _ in 0..each {
                caller.call().await;
            }
            done.wait().await;
        });
    }
    warm.wait().await;
    let watch = Stopwatch::start();
    done.wait().await;
    watch.stop(total)
}

/// One caller, one request at a time.
async fn call<C: Caller>(caller: C, operations: u64) -> Sample {
    calls(vec![caller], operations).await
}

/// One sends, one receives; the watch is the receiver's.
async fn flow<F: Feed, D: Drain>((mut feed, mut drain): (F, D), operations: u64) -> Sample {
    let warm = warm_up(operations);
    let sending = tokio::spawn(async move {
        for _ in 0..warm + operations {
            feed.send().await;
        }
        feed.finish().await;
        feed
    });
    let receiving = tokio::spawn(async move {
        for _ in 0..warm {
            drain.recv().await;
        }
        let watch = Stopwatch::start();
        for _ in 0..operations {
            drain.recv().await;
        }
        watch.stop(operations)
    });
    let sample = receiving.await.expect("receives all");
    drop(sending.await);
    sample
}
