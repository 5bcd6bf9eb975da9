//! `bench compare`: libchan beside the raw socket, beside other libraries and, in process, beside other channels, in
//! one run. `args.rs` has the options.

mod args;
// Generated code names itself by this path.
#[cfg(feature = "peers")]
#[path = "contenders/peers/bench_capnp.rs"]
#[allow(clippy::all, dead_code, unused_qualifications)]
#[rustfmt::skip]
mod bench_capnp;
mod case;
mod contenders;
mod cost;
mod count;
mod drive;
mod measure;
mod net;
mod payload;
mod report;
mod target;
mod workloads;

use std::process::ExitCode;

use rustix::process::{Resource, getrlimit, setrlimit};

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: count::Counting = count::Counting;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}\n\n{}\nworkloads: {}", args::USAGE, workloads::NAMES);
            return ExitCode::FAILURE;
        }
    };
    raise_descriptor_limit();
    if let Command::Accept { transport, count } = args.command {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(workloads::sessions::accept(transport, count));
        return ExitCode::SUCCESS;
    }
    let mut cases = workloads::all(&args.transports, &args.threads, args.plan);
    cases.retain(|case| args.wants(case));
    if cases.is_empty() {
        eprintln!("no such workload; there are: {}", workloads::NAMES);
        return ExitCode::FAILURE;
    }
    if let Command::Once { operations, .. } = args.command {
        return if measure::once(&cases, operations) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let outcome = measure::interleaved(&cases, args.plan);
    let written = match args.command {
        Command::Compare => report::write(&outcome, args.plan, &args.out),
        _ => report::print(&outcome, args.plan),
    };
    match written {
        Ok(()) if outcome.failures.is_empty() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot write the results: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A thousand connections with both ends here, and ten thousand with one, take more than a thousand descriptors.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit of descriptors stays: {error}");
    }
}
