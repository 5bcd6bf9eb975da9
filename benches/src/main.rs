//! `bench compare [workload..] [--transport tcp,unix] [--threads 1|2] [--rounds 5]`: libchan beside the raw socket
//! and, in process, beside other channels, in one run.
//!
//! `bench only WORKLOAD CONTENDER [--rounds n]` runs one case alone, for a profiler.

mod args;
mod contenders;
mod count;
mod measure;
mod net;
mod payload;
mod report;
mod workloads;

use std::process::ExitCode;

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: count::Counting = count::Counting;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}\n\n{}", args::USAGE);
            return ExitCode::FAILURE;
        }
    };
    let cases: Vec<_> =
        workloads::all(&args.transports).into_iter().filter(|case| args.wants(case)).collect();
    if cases.is_empty() {
        eprintln!("no such workload; there are: {}", workloads::NAMES.join(" "));
        return ExitCode::FAILURE;
    }
    let results = measure::interleaved(&cases, args.threads, args.rounds);
    report::print(&results);
    if args.command == Command::Compare
        && let Err(error) = report::write_json(&results, args.threads, args.rounds)
    {
        eprintln!("cannot write the results: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
