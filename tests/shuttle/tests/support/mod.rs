//! What the tests of both files share: running one under many schedules, and calls that are dropped half way.
//!
//! `LIBCHAN_SHUTTLE_ITERATIONS=50` runs fifty times as many schedules. A failure prints the schedule that caused it;
//! `LIBCHAN_SHUTTLE_REPLAY=<schedule> cargo test -p libchan-shuttle <name of the test>` runs that one again, with
//! `LIBCHAN_SHUTTLE_CASE=<the case printed before it>` where the test has several.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod wire;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use libchan_shuttle::{Receiver, RecvError, Sender};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::thread::{self, JoinHandle, Thread};
use shuttle::{Config, Runner};

/// A coroutine's stack: debug builds of serde and the driver want more than shuttle gives.
const STACK: usize = 512 * 1024;
/// How many preemptions the schedules with few of them have at the most.
const DEPTH: usize = 4;

/// Runs `test` under `iterations` schedules: most of them random at every step, every fourth with few preemptions, which
/// finds what a long undisturbed run of one thread is needed for.
pub fn check(iterations: usize, test: impl Fn() + Send + Sync + 'static) {
    // Sessions want a runtime for their timers. Nobody drives it, so none ever fires: time stands still. Leaked, because
    // after a failure timers in it name tasks that are gone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = Box::leak(Box::new(runtime)).enter();
    let mut config = Config::new();
    config.stack_size = STACK;
    if let Ok(schedule) = std::env::var("LIBCHAN_SHUTTLE_REPLAY") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(test);
        return;
    }
    let times = std::env::var("LIBCHAN_SHUTTLE_ITERATIONS").map_or(1, |text| text.parse().unwrap());
    let (all, test) = (iterations * times, Arc::new(test));
    let again = test.clone();
    Runner::new(RandomScheduler::new(all - all / 4), config.clone()).run(move || again());
    Runner::new(PctScheduler::new(DEPTH, all / 4), config).run(move || test());
}

/// Whether the environment leaves this case of a test in.
pub fn is_chosen(case: &str) -> bool {
    std::env::var("LIBCHAN_SHUTTLE_CASE").map_or(true, |chosen| chosen == case)
}

/// Runs a future on this thread. Shuttle's own `block_on` loses a wake-up that comes while the future waits for a lock.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread, AtomicBool);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let unpark = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(unpark.clone());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            // Parking may end for no reason, which would hide a lost wake-up.
            Poll::Pending => {
                while !unpark.1.swap(false, Ordering::Acquire) {
                    thread::park();
                }
            }
        }
    }
}

/// Polls a call once, lets others run, and drops it. Counts those that were pending.
pub async fn poke<F: Future>(cancelled: &AtomicUsize, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(output) => Some(output),
        Poll::Pending => {
            cancelled.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            None
        }
    }
}

/// What threads came to.
pub fn join<T, const N: usize>(threads: [JoinHandle<T>; N]) -> [T; N] {
    threads.map(|thread| thread.join().unwrap())
}

/// Everything until the clean end.
pub async fn drain<T>(receiver: &Receiver<T>) -> Vec<T> {
    let (all, end) = until_end(receiver).await;
    assert_eq!(end, Ok(()));
    all
}

/// Everything until the end, and how it ended.
pub async fn until_end<T>(receiver: &Receiver<T>) -> (Vec<T>, Result<(), RecvError>) {
    let mut all = Vec::new();
    loop {
        match receiver.recv().await {
            Ok(Some(value)) => all.push(value),
            Ok(None) => return (all, Ok(())),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// Sends all of `values`; those that were accepted before the first failure, whose value must come back.
pub async fn send_all(sender: &Sender<u32>, values: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut sent = Vec::new();
    for value in values {
        match sender.send(value).await {
            Ok(()) => sent.push(value),
            Err(error) => {
                assert_eq!(error.value, value);
                break;
            }
        }
    }
    sent
}

/// The values that sender number `who` sends.
pub fn of(who: u32, count: u32) -> std::ops::Range<u32> {
    who * 100..who * 100 + count
}

/// Each sender's messages came in order.
#[track_caller]
pub fn assert_ordered(got: &[u32]) {
    for who in 0..10 {
        let own: Vec<_> = got.iter().filter(|value| **value / 100 == who).collect();
        assert!(own.is_sorted_by(|a, b| a < b), "sender {who} is out of order: {got:?}");
    }
}

/// Between them the receivers got `wanted`, each message once and each sender's in order.
#[track_caller]
pub fn assert_once<'a>(got: impl IntoIterator<Item = &'a Vec<u32>>, wanted: impl IntoIterator<Item = u32>) {
    let mut all: Vec<u32> = Vec::new();
    for part in got {
        assert_ordered(part);
        all.extend(part);
    }
    all.sort_unstable();
    let mut wanted: Vec<u32> = wanted.into_iter().collect();
    wanted.sort_unstable();
    assert_eq!(all, wanted);
}
