//! How contenders are driven: callers call, a feed feeds a drain.

use std::sync::Arc;

use tokio::sync::Barrier;

use crate::case::{Sample, Stopwatch, warm_up};
use crate::contenders::{Caller, Drain, Feed};

/// All callers call at the same time, one request at a time each.
pub async fn calls<C: Caller>(callers: Vec<C>, operations: u64) -> Sample {
    let each = (operations / callers.len() as u64).max(1);
    let total = each * callers.len() as u64;
    let (warm, done) = (Arc::new(Barrier::new(callers.len() + 1)), Arc::new(Barrier::new(callers.len() + 1)));
    for mut caller in callers {
        let (warm, done) = (warm.clone(), done.clone());
        tokio::spawn(async move {
            // Once at least: what a connection does on its first use is not measured.
            for _ in 0..warm_up(each).max(1) {
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
pub async fn call<C: Caller>(caller: C, operations: u64) -> Sample {
    calls(vec![caller], operations).await
}

/// One sends, one receives; the watch is the receiver's.
pub async fn flow<F: Feed, D: Drain>((mut feed, mut drain): (F, D), operations: u64) -> Sample {
    let warm = warm_up(operations).max(1);
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
