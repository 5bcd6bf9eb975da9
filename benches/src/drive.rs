//! How contenders are driven: callers call, a feed feeds a drain.

use std::sync::Arc;

use tokio::sync::Barrier;

use crate::case::{Sample, Stopwatch, warm_up};
use crate::contenders::{Caller, Drain, Feed};

/// Where callers and the watch meet: all are warm, the watch runs, all are done. The second is not the first, because on
/// two workers a thousand callers do much before the one who holds the watch is woken.
pub struct Gates {
    warm: Barrier,
    go: Barrier,
    done: Barrier,
}

impl Gates {
    pub fn new(callers: usize) -> Arc<Self> {
        let barrier = || Barrier::new(callers + 1);
        Arc::new(Self { warm: barrier(), go: barrier(), done: barrier() })
    }

    /// A caller is warm, and may go on when the watch runs.
    pub async fn warm(&self) {
        self.warm.wait().await;
        self.go.wait().await;
    }

    /// A caller has done all.
    pub async fn done(&self) {
        self.done.wait().await;
    }

    /// The side of the watch.
    pub async fn watch(&self, operations: u64) -> Sample {
        self.warm.wait().await;
        let watch = Stopwatch::start();
        self.go.wait().await;
        self.done.wait().await;
        watch.stop(operations)
    }
}

/// All callers call at the same time, one request at a time each.
pub async fn calls<C: Caller>(callers: Vec<C>, operations: u64) -> Sample {
    let each = (operations / callers.len() as u64).max(1);
    let total = each * callers.len() as u64;
    let gates = Gates::new(callers.len());
    for mut caller in callers {
        let gates = gates.clone();
        tokio::spawn(async move {
            // Once at least: what a connection does on its first use is not measured.
            for _ in 0..warm_up(each).max(1) {
                caller.call().await;
            }
            gates.warm().await;
            for _ in 0..each {
                caller.call().await;
            }
            gates.done().await;
        });
    }
    gates.watch(total).await
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
