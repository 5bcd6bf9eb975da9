//! Two processes do to each other, at random and many at a time, whatever the API offers: channels in
//! channels, byte streams, descriptors, shared receivers, senders that come home, ends that are dropped or
//! closed with an error, sessions that are closed or lost. Every outcome is checked. The work is counted, not
//! timed; `LIBCHAN_SEED` does the same work again.

mod asking;
mod serving;
mod work;

use std::process::{Child, Command, Stdio};

use libchan_tests::*;
use libchan_transports::{dial, listen};
use tokio::task::{JoinError, JoinSet};
use work::{Outcome, Work};

const URL: &str = "LIBCHAN_SOAK_URL";
const SEED: &str = "LIBCHAN_SOAK_SEED";

/// Sessions one after the other. Every third is lost in the middle of its work.
const ROUNDS: u64 = 6;
/// What each side asks of the other in a session, and how much of it at a time.
const ASKED: u64 = 80;
const AT_A_TIME: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It ends the sessions, in good order or not.
    Ends,
    Follows,
}

/// One side of one session: asks, and serves what the other side asks.
async fn side(session: Session, role: Role, round: u64, mut rng: Rng) {
    let lost = round % 3 == 2;
    let asks = session.open_with::<Work>("work", OpenOptions::new().capacity(4)).unwrap();
    let asked = soon(session.accept()).await.unwrap().unwrap().receive::<Work>();
    let serving = tokio::spawn(serving::serve(asked));
    let mut asking = JoinSet::new();
    for number in 0..ASKED {
        if role == Role::Ends && lost && number == ASKED / 2 {
            session.abort();
        }
        while asking.len() >= AT_A_TIME {
            check(soon(asking.join_next()).await, lost);
        }
        asking.spawn(asking::ask(asks.clone(), Rng::from_seed(rng.next()), 3));
    }
    while !asking.is_empty() {
        check(soon(asking.join_next()).await, lost);
    }
    // With the last sender the other side's serving ends, as ours does when the other side is done.
    drop(asks);
    let served = soon(serving).await.unwrap();
    assert!(served.is_ok() || lost, "the link was lost");
    if lost {
        assert!(soon(session.closed()).await.is_err());
        return;
    }
    eventually(|| session.open_channels() == 0).await;
    match role {
        Role::Ends => soon(session.close()).await.unwrap(),
        Role::Follows => soon(session.closed()).await.unwrap(),
    }
}

fn check(done: Option<Result<Outcome, JoinError>>, lost: bool) {
    match done {
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        Some(Ok(outcome)) => assert!(outcome.is_ok() || lost, "the link was lost"),
        None => {}
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Not a test of its own: what the other process does.
#[test]
fn the_other_process() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rng = Rng::from_seed(std::env::var(SEED).unwrap().parse().unwrap());
        let before = open_descriptors();
        for round in 0..ROUNDS {
            let session = soon(dial(&url)).await.unwrap();
            side(session, Role::Follows, round, Rng::from_seed(rng.next())).await;
            // Nothing else runs in this process.
            eventually(|| open_descriptors() == before).await;
        }
    });
}

/// Killed if the test fails before it has ended. What it says when it fails is not captured.
struct OtherProcess(Child);

impl OtherProcess {
    fn start(url: &str, seed: u64) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["the_other_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(URL, url)
            .env(SEED, seed.to_string())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn soak(url: &str) {
    let listener = listen(url).await.unwrap();
    let mut rng = Rng::new("soak");
    let mut other = OtherProcess::start(listener.url(), rng.next());
    for round in 0..ROUNDS {
        let session = soon(listener.accept()).await.unwrap();
        side(session, Role::Ends, round, Rng::from_seed(rng.next())).await;
    }
    let mut ended = None;
    eventually(|| {
        ended = other.0.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert!(ended.unwrap().success(), "the other process failed: see above");
}

async fn two_processes_over_unix() {
    let scratch = Scratch::new();
    soak(&format!("unix://{}", scratch.path("s").display())).await;
}

async fn two_processes_over_tcp() {
    soak("tcp://127.0.0.1:0").await;
}

libchan_tests::in_process! { two_processes_over_unix, two_processes_over_tcp }
