//! Running cases: each round on a runtime of its own, the contenders of a workload in turn, medians at the end.

use std::pin::Pin;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use crate::count::{self, Counts};

/// One contender on one workload.
pub struct Case {
    pub workload: String,
    pub contender: String,
    /// None: in process.
    pub transport: Option<&'static str>,
    /// Bytes of body in an operation, where throughput is the point.
    pub bytes: u64,
    pub operations: u64,
    pub run: Run,
}

pub type Run = Box<dyn Fn(u64) -> Pin<Box<dyn Future<Output = Sample> + Send>>>;

/// What one run took.
#[derive(Clone, Copy)]
pub struct Sample {
    pub operations: u64,
    pub time: Duration,
    /// Of the processor, all threads together.
    pub cpu: Duration,
    pub counts: Counts,
}

/// Begins where the warm-up ends.
pub struct Stopwatch {
    began: Instant,
    cpu: Duration,
    counts: Counts,
}

/// Processor time of this process. On one thread it stands for elapsed time where other processes use the machine:
/// time spent waiting for a processor is not in it.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { counts: Counts::now(), cpu: cpu(), began: Instant::now() }
    }

    pub fn stop(self, operations: u64) -> Sample {
        let (time, cpu) = (self.began.elapsed(), cpu() - self.cpu);
        Sample { operations, time, cpu, counts: Counts::now().since(self.counts) }
    }
}

/// Operations before the watch starts.
pub fn warm_up(operations: u64) -> u64 {
    operations / 10
}

/// All rounds of one case.
pub struct Measured<'a> {
    pub case: &'a Case,
    /// Nanoseconds an operation: elapsed and of the processor, each sorted.
    pub elapsed: Vec<f64>,
    pub cpu: Vec<f64>,
    pub counted: Sample,
}

impl Measured<'_> {
    fn add(&mut self, sample: &Sample) {
        let per_operation = |time: Duration| time.as_nanos() as f64 / sample.operations as f64;
        self.elapsed.push(per_operation(sample.time));
        self.cpu.push(per_operation(sample.cpu));
    }

    pub fn per_operation(&self, count: u64) -> f64 {
        count as f64 / self.counted.operations as f64
    }
}

pub fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Half the distance from the fastest to the slowest round, of the median.
pub fn spread(sorted: &[f64]) -> f64 {
    (sorted[sorted.len() - 1] - sorted[0]) / 2.0 / median(sorted)
}

/// Runs every case. One that does not come to its end is told on stderr and left out.
pub fn interleaved(cases: &[Case], threads: usize, rounds: usize) -> Vec<Measured<'_>> {
    count::switch(true);
    let mut results: Vec<_> = cases.iter().filter_map(|case| counted(case, threads)).collect();
    count::switch(false);
    // Workload by workload: contenders that are compared run within a second of each other.
    for group in results.chunk_by_mut(|a, b| a.case.workload == b.case.workload) {
        for _ in 0..rounds {
            for result in &mut *group {
                let Some(sample) = run(result.case, threads, result.case.operations) else { continue };
                result.add(&sample);
            }
        }
        for result in group {
            result.elapsed.sort_by(f64::total_cmp);
            result.cpu.sort_by(f64::total_cmp);
        }
    }
    results.retain(|result| !result.cpu.is_empty());
    results
}

fn counted(case: &Case, threads: usize) -> Option<Measured<'_>> {
    let counted = run(case, threads, case.operations / 4)?;
    Some(Measured { case, elapsed: Vec::new(), cpu: Vec::new(), counted })
}

/// How long a run may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(20);

fn run(case: &Case, threads: usize, operations: u64) -> Option<Sample> {
    let runtime = runtime(threads);
    let sample = runtime.block_on(async {
        // A task: `block_on` itself is not one of the workers.
        let task = tokio::spawn((case.run)(operations));
        tokio::time::timeout(PATIENCE, task).await.ok()
    });
    runtime.shutdown_background();
    let place = case.transport.unwrap_or("-");
    match sample {
        Some(Ok(sample)) => return Some(sample),
        Some(Err(error)) => eprintln!("{} {place} {}: {error}", case.workload, case.contender),
        None => eprintln!("{} {place} {}: not done after {PATIENCE:?}", case.workload, case.contender),
    }
    None
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().expect("a runtime")
}
