//! Running cases: each round on a runtime of its own, the contenders of a workload in turn, medians at the end.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

use crate::case::{self, Case, Plan, Run, Sample, Threads};
use crate::cost::{self, Cost};
use crate::count;

/// All rounds of one case.
pub struct Measured<'a> {
    pub case: &'a Case,
    /// Nanoseconds an operation: elapsed and of the processor, each by round.
    pub elapsed: Vec<f64>,
    pub cpu: Vec<f64>,
    /// By name, each by round.
    pub facts: Vec<(&'static str, Vec<f64>)>,
    pub counted: Sample,
    pub cost: Option<Cost>,
    operations: u64,
}

impl Measured<'_> {
    fn add(&mut self, sample: &Sample) {
        let per_operation = |time: Duration| time.as_nanos() as f64 / sample.operations as f64;
        self.elapsed.push(per_operation(sample.time));
        self.cpu.push(per_operation(sample.cpu));
        for &(name, value) in &sample.facts {
            match self.facts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => self.facts.push((name, vec![value])),
            }
        }
    }

    fn count_cost(&mut self, failures: &mut Vec<String>) {
        match cost::of(self.case) {
            Ok(cost) => self.cost = cost,
            Err(error) => {
                let Case { workload, contender, .. } = self.case;
                failures.push(format!("the cost of {workload} {}, {contender}: {error}", self.case.place()));
            }
        }
    }

    pub fn per_operation(&self, count: u64) -> f64 {
        count as f64 / self.counted.operations as f64
    }

    /// What ratios are of. On one thread processor time, which other processes disturb least; on two elapsed time,
    /// because there the two sides may work at once.
    pub fn time(&self) -> f64 {
        median(self.times())
    }

    pub fn times(&self) -> &[f64] {
        if self.case.threads == Threads::One { &self.cpu } else { &self.elapsed }
    }

    /// Time as a multiple of that of `base`, which ran beside it: the median over the rounds, each with its own ratio. A
    /// machine that is slow for some seconds is so for all contenders of a round.
    pub fn times_of(&self, base: &Measured<'_>) -> f64 {
        let ratios: Vec<_> = self.times().iter().zip(base.times()).map(|(time, base)| time / base).collect();
        median(&ratios)
    }

    /// Whether there is nothing but facts: no operations that were timed.
    pub fn facts_only(&self) -> bool {
        self.case.facts.is_some()
    }

    pub fn fact(&self, name: &str) -> Option<f64> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, values)| median(values))
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    (sorted[middle] + sorted[(sorted.len() - 1) / 2]) / 2.0
}

/// Half the distance from the fastest to the slowest round, of the median.
pub fn spread(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    (sorted[sorted.len() - 1] - sorted[0]) / 2.0 / median(values)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Results, and a line for each case that did not come to its end.
pub struct Outcome<'a> {
    pub results: Vec<Measured<'a>>,
    pub failures: Vec<String>,
}

/// Runs every case. One that does not come to its end is told on stderr at once.
pub fn interleaved(cases: &[Case], plan: Plan) -> Outcome<'_> {
    let mut outcome = Outcome { results: Vec::new(), failures: Vec::new() };
    let same =
        |a: &Case, b: &Case| (&a.workload, a.transport, a.threads) == (&b.workload, b.transport, b.threads);
    // Workload by workload: contenders that are compared run within a second of each other.
    for group in cases.chunk_by(same) {
        let case = &group[0];
        eprintln!("{} {} on {}", case.workload, case.place(), case.threads.name());
        count::switch(true);
        let mut running: Vec<_> =
            group.iter().filter_map(|case| counted(case, plan, &mut outcome.failures)).collect();
        for round in 0..plan.rounds {
            for result in &mut running {
                // The counting run of facts was their first round.
                if result.case.facts.is_some_and(|most| round + 1 >= most) {
                    continue;
                }
                count::switch(result.case.facts.is_some());
                if let Some(sample) = run(result.case, result.operations, &mut outcome.failures) {
                    result.add(&sample);
                }
            }
        }
        running.retain(|result| !result.cpu.is_empty());
        if plan.cost {
            running.iter_mut().for_each(|result| result.count_cost(&mut outcome.failures));
        }
        outcome.results.extend(running);
    }
    outcome
}

/// Runs every case once, for so many operations and untimed. Whether all came to their end.
pub fn once(cases: &[Case], operations: u64) -> bool {
    case::run_without_clock();
    let mut failures = Vec::new();
    for case in cases {
        run(case, operations, &mut failures);
    }
    failures.is_empty()
}

fn counted<'a>(case: &'a Case, plan: Plan, failures: &mut Vec<String>) -> Option<Measured<'a>> {
    let sample = run(case, case.operations, failures)?;
    let operations = if case.facts.is_some() { case.operations } else { fitting(&sample, plan) };
    let (elapsed, cpu, facts) = (Vec::new(), Vec::new(), Vec::new());
    let mut measured =
        Measured { case, elapsed, cpu, facts, counted: Sample::default(), cost: None, operations };
    if case.facts.is_some() {
        measured.add(&sample);
    }
    measured.counted = sample;
    Some(measured)
}

/// As many operations as fill the time that a run is meant to last. Not less than a third of those of the first run:
/// on a loaded machine that one took long without having done much.
fn fitting(sample: &Sample, plan: Plan) -> u64 {
    let each = sample.cpu.min(sample.time).as_nanos() as f64 / sample.operations as f64;
    let fit = plan.run.as_nanos() as f64 / each.max(1.0);
    (fit as u64).max(sample.operations / 3).max(1)
}

/// How long a run may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

fn run(case: &Case, operations: u64, failures: &mut Vec<String>) -> Option<Sample> {
    let runtime = runtime(case.threads);
    let sample = match &case.run {
        Run::Task(run) => runtime.block_on(async {
            // A task: `block_on` itself is not one of the workers.
            let task = tokio::spawn(run(operations));
            tokio::time::timeout(PATIENCE, task).await.map(|joined| joined.map_err(|error| error.to_string()))
        }),
        #[cfg(feature = "peers")]
        Run::Local(run) => {
            let waited = async { tokio::time::timeout(PATIENCE, run(operations)).await };
            tokio::task::LocalSet::new().block_on(&runtime, waited).map(Ok)
        }
    };
    runtime.shutdown_background();
    let failure = match sample {
        Ok(Ok(sample)) => return Some(sample),
        Ok(Err(error)) => error,
        Err(_) => format!("not done after {PATIENCE:?}"),
    };
    let threads = case.threads.name();
    failures.push(format!("{} {} on {threads}, {}: {failure}", case.workload, case.place(), case.contender));
    eprintln!("FAILED {}", failures[failures.len() - 1]);
    None
}

fn runtime(threads: Threads) -> Runtime {
    let mut builder = match threads {
        Threads::One => Builder::new_current_thread(),
        Threads::Two | Threads::TwoOnOneCore => Builder::new_multi_thread(),
    };
    if threads != Threads::One {
        builder.worker_threads(2);
    }
    if threads == Threads::TwoOnOneCore {
        builder.on_thread_start(|| {
            let allowed = sched_getaffinity(None).expect("has an affinity");
            let mut first = CpuSet::new();
            first.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap_or(0));
            sched_setaffinity(None, &first).expect("may run on a core it may run on");
        });
    }
    builder.enable_all().build().expect("a runtime")
}
