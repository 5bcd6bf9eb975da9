//! Small helpers: patience with an end, seeded randomness, sending and receiving in one word.

use std::future::Future;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use libchan::{Cut, OpenOptions, Receiver, RecvError, SendError, Sender, Session};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// How long a single step may take.
const STEP: Duration = Duration::from_secs(10);

/// Awaits what must come. A hang is a failure that names the line.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    async move {
        match tokio::time::timeout(STEP, future).await {
            Ok(output) => output,
            Err(_) => panic!("hangs at {place}"),
        }
    }
}

/// Receives a value that must come.
#[track_caller]
pub fn get<T>(receiver: &Receiver<T>) -> impl Future<Output = T> {
    let place = Location::caller();
    let receiving = soon(receiver.recv());
    async move {
        match receiving.await {
            Ok(Some(value)) => value,
            Ok(None) => panic!("ended instead of a value at {place}"),
            Err(error) => panic!("{error:?} instead of a value at {place}"),
        }
    }
}

/// Sends a value that must be accepted.
#[track_caller]
pub fn put<T>(sender: &Sender<T>, value: T) -> impl Future<Output = ()> {
    let place = Location::caller();
    let sending = soon(sender.send(value));
    async move {
        if let Err(error) = sending.await {
            panic!("send failed with {:?} at {place}", error.reason);
        }
    }
}

/// The channel must be at its clean end.
#[track_caller]
pub fn end<T>(receiver: &Receiver<T>) -> impl Future<Output = ()> {
    let place = Location::caller();
    let receiving = soon(receiver.recv());
    async move {
        match receiving.await {
            Ok(None) => {}
            Ok(Some(_)) => panic!("a value instead of the end at {place}"),
            Err(error) => panic!("{error:?} instead of the clean end at {place}"),
        }
    }
}

/// The channel must have been cut short for this reason.
#[track_caller]
pub fn cut<T>(receiver: &Receiver<T>, why: Cut) -> impl Future<Output = ()> {
    let (place, failing) = (Location::caller(), fail(receiver));
    async move {
        let error = failing.await;
        assert!(error.cut() == Some(why), "{error:?} instead of {why:?} at {place}");
    }
}

/// The session of the channel's sender must have been closed before the sender had ended.
#[track_caller]
pub fn left<T>(receiver: &Receiver<T>) -> impl Future<Output = ()> {
    let (place, failing) = (Location::caller(), fail(receiver));
    async move {
        let error = failing.await;
        assert!(
            matches!(error, RecvError::SessionClosed(_)),
            "{error:?} instead of a closed session at {place}"
        );
    }
}

/// The next `recv` must fail.
#[track_caller]
pub fn fail<T>(receiver: &Receiver<T>) -> impl Future<Output = RecvError> {
    let place = Location::caller();
    let receiving = soon(receiver.recv());
    async move {
        match receiving.await {
            Err(error) => error,
            Ok(Some(_)) => panic!("a value instead of an error at {place}"),
            Ok(None) => panic!("the clean end instead of an error at {place}"),
        }
    }
}

/// A `send` that must fail.
#[track_caller]
pub fn refused<T>(sender: &Sender<T>, value: T) -> impl Future<Output = SendError<T>> {
    let place = Location::caller();
    let sending = soon(sender.send(value));
    async move {
        match sending.await {
            Err(error) => error,
            Ok(()) => panic!("a send succeeded at {place}"),
        }
    }
}

/// Polls once.
pub async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Polls once, and it must not be ready.
#[track_caller]
pub fn still_pending<F: Future>(future: Pin<&mut F>) -> impl Future<Output = ()> {
    let place = Location::caller();
    let polling = poll_once(future);
    async move { assert!(polling.await.is_none(), "ready too early at {place}") }
}

/// Waits until `holds` does, which it must before long.
#[track_caller]
pub fn eventually(mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move {
        let begun = std::time::Instant::now();
        while !holds() {
            assert!(begun.elapsed() < STEP, "never came to hold at {place}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Prints why the sessions end, for tests that would see only `Disconnected`. It keeps them alive meanwhile.
#[expect(clippy::print_stderr, reason = "the harness shows it when the test fails")]
pub fn tell(sessions: [&Session; 2]) {
    for (side, session) in ["dialer", "acceptor"].into_iter().zip(sessions) {
        let session = session.clone();
        tokio::spawn(async move { eprintln!("the {side}'s session ended: {:?}", session.closed().await) });
    }
}

/// Lets the other tasks of this thread run for a while.
pub async fn yields() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A channel to the peer and back. When a round trip is over, what went before has arrived: the way to show that
/// something does *not* happen without sleeping.
pub struct Probe {
    sender: Sender<u32>,
    receiver: Receiver<u32>,
    echo: JoinHandle<()>,
}

impl Probe {
    /// To be made first: it accepts a channel.
    pub async fn new(here: &Session, there: &Session) -> Self {
        let sender = here.open_with("probe", OpenOptions::new().capacity(1)).expect("open");
        let far: Receiver<u32> = soon(there.accept()).await.expect("accept").expect("probe").receive();
        let back = there.open_with("probe back", OpenOptions::new().capacity(1)).expect("open");
        let receiver = soon(here.accept()).await.expect("accept").expect("probe").receive();
        let echo = tokio::spawn(async move {
            while let Ok(Some(number)) = far.recv().await {
                if back.send(number).await.is_err() {
                    break;
                }
            }
        });
        Self { sender, receiver, echo }
    }

    /// What was sent before this call has arrived after it, both ways.
    pub async fn settle(&self) {
        for number in 0..3 {
            put(&self.sender, number).await;
            assert_eq!(get(&self.receiver).await, number);
            yields().await;
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.echo.abort();
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// A directory that vanishes, at a path short enough for a socket.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one in the system's temporary directory.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("libchan-t{}-{count}", std::process::id()));
        std::fs::create_dir(&path).expect("scratch directory");
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Seeded randomness (xorshift). `LIBCHAN_SEED` replays a run.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Says its seed, which the harness shows when the test fails.
    #[expect(clippy::print_stderr, reason = "the harness shows it when the test fails")]
    pub fn new(what: &str) -> Self {
        static FRESH: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        let seed = std::env::var("LIBCHAN_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = || {
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(1, |d| d.as_nanos() as u64)
            };
            *FRESH.get_or_init(now)
        });
        eprintln!("{what}: LIBCHAN_SEED={seed}");
        Self::from_seed(seed)
    }

    /// From a stated seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

/// `length` bytes that show when one is missing or in the wrong place.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::from_seed(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Bytes that are encoded as one byte string, and not number by number: for tests with a lot of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blob(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl Blob {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The same as [`pattern`], as one byte string.
pub fn blob(length: usize, seed: u64) -> Blob {
    Blob(pattern(length, seed))
}
