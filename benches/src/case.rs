//! What is run: a case is one contender on one workload at one place, and gives a sample.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::count::Counts;
use crate::net::Transport;

/// On how many threads both ends run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// A current-thread runtime: client and server in turn.
    One,
    /// Two workers, which the kernel places as it likes.
    Two,
    /// Two workers held to one core.
    TwoOnOneCore,
}

impl Threads {
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
            Self::TwoOnOneCore => "2 on 1 core",
        }
    }
}

/// How much is done.
#[derive(Clone, Copy)]
pub struct Plan {
    pub quick: bool,
    /// Whether to count instructions and copied bytes too.
    pub cost: bool,
    pub rounds: usize,
    /// How long a timed run is meant to last.
    pub run: Duration,
}

impl Plan {
    /// A size of a workload: the first, or the second where it has to be quick.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// One contender on one workload.
pub struct Case {
    pub workload: String,
    pub contender: String,
    /// None: in process.
    pub transport: Option<Transport>,
    pub threads: Threads,
    /// Bytes of body in an operation, where throughput is the point.
    pub bytes: u64,
    /// Of the first run, which counts and finds out how long an operation takes.
    pub operations: u64,
    /// A workload that states facts is run as it is, without a size fitted to the time a run may take, and at most
    /// so often.
    pub facts: Option<usize>,
    pub run: Run,
}

pub type Sampling = Pin<Box<dyn Future<Output = Sample> + Send>>;
#[cfg(feature = "peers")]
pub type LocalSampling = Pin<Box<dyn Future<Output = Sample>>>;

/// How a case runs, given its number of operations.
pub enum Run {
    /// As a task of the runtime.
    Task(Box<dyn Fn(u64) -> Sampling>),
    /// On one thread only, because its futures cannot leave it.
    #[cfg(feature = "peers")]
    Local(Box<dyn Fn(u64) -> LocalSampling>),
}

impl Case {
    pub fn place(&self) -> &'static str {
        self.transport.map_or("-", Transport::name)
    }

    /// The same with a run that cannot leave its thread.
    #[cfg(feature = "peers")]
    pub fn locally(mut self, run: impl Fn(u64) -> LocalSampling + 'static) -> Self {
        self.run = Run::Local(Box::new(run));
        self
    }

    #[cfg(feature = "peers")]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes as u64;
        self
    }

    pub fn facts(mut self, rounds: usize) -> Self {
        self.facts = Some(rounds);
        self
    }
}

/// Makes a case of an expression that makes callers or ends, and of the function that drives them.
macro_rules! case {
    ($drive:ident, $workload:expr, $contender:expr, $operations:expr, || $make:expr) => {
        $crate::case::case!($workload, $contender, $operations, |operations| async move {
            $crate::drive::$drive($make.await, operations).await
        })
    };
    ($workload:expr, $contender:expr, $operations:expr, |$n:ident| $run:expr) => {
        $crate::case::Case {
            workload: String::from($workload),
            contender: String::from($contender),
            transport: None,
            threads: $crate::case::Threads::One,
            bytes: 0,
            operations: $operations,
            facts: None,
            run: $crate::case::Run::Task(Box::new(move |$n| Box::pin($run))),
        }
    };
}
pub(crate) use case;

/// What one run took.
#[derive(Clone, Default)]
pub struct Sample {
    pub operations: u64,
    pub time: Duration,
    /// Of the processor, all threads together.
    pub cpu: Duration,
    pub counts: Counts,
    /// What else was seen, by name.
    pub facts: Vec<(&'static str, f64)>,
}

impl Sample {
    pub fn of(facts: Vec<(&'static str, f64)>) -> Self {
        Self { operations: 1, facts, ..Self::default() }
    }
}

/// Begins where the warm-up ends.
pub struct Stopwatch {
    began: Instant,
    cpu: Duration,
    counts: Counts,
}

/// No processor time is asked for: valgrind does not show the page that the kernel answers it from.
static CLOCKLESS: AtomicBool = AtomicBool::new(false);

pub fn run_without_clock() {
    CLOCKLESS.store(true, Ordering::Relaxed);
}

/// Processor time of this process. On one thread it stands for elapsed time where other processes use the machine:
/// time spent waiting for a processor is not in it.
pub fn cpu() -> Duration {
    if CLOCKLESS.load(Ordering::Relaxed) {
        return Duration::ZERO;
    }
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { counts: Counts::now(), cpu: cpu(), began: Instant::now() }
    }

    pub fn stop(self, operations: u64) -> Sample {
        let (time, cpu) = (self.began.elapsed(), cpu() - self.cpu);
        let counts = Counts::now().since(self.counts);
        Sample { operations, time, cpu, counts, facts: Vec::new() }
    }
}

/// Operations before the watch starts.
pub fn warm_up(operations: u64) -> u64 {
    operations / 10
}
