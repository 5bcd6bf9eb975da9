//! The command line.

use std::time::Duration;

use crate::case::{Case, Plan, Threads};
use crate::net::Transport;

pub const USAGE: &str = "bench compare [workload..] [options]    the table, results/*.json and results/*.svg
bench only WORKLOAD CONTENDER [options]  one case alone, for a profiler; writes no files
bench once WORKLOAD CONTENDER OPERATIONS [options]  the same, so many operations and untimed, for valgrind
options: --transport memory,tcp,unix   --threads 1,2   --rounds 5   --run-ms 150   --quick   --cost   --out FOLDER
--cost: count instructions and copied bytes of raw and libchan too, by valgrind, on one thread
--threads: 1 is one thread; 2 is two workers, and for pipelined and nested two workers on one core besides";

pub enum Command {
    Compare,
    Only {
        contender: String,
    },
    Once {
        contender: String,
        operations: u64,
    },
    /// The other process of `sessions`.
    Accept {
        transport: Transport,
        count: usize,
    },
}

pub struct Args {
    pub command: Command,
    /// None: all.
    workloads: Vec<String>,
    pub transports: Vec<Transport>,
    pub threads: Vec<Threads>,
    pub plan: Plan,
    pub out: String,
}

impl Args {
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let verb = args.next().ok_or("no command")?;
        let mut words = Vec::new();
        let (mut rounds, mut run, mut quick, mut cost) = (None, None, false, false);
        let mut transports = vec![Transport::Memory, Transport::Tcp, Transport::Unix];
        let mut threads = vec![Threads::One, Threads::Two, Threads::TwoOnOneCore];
        let mut out = concat!(env!("CARGO_MANIFEST_DIR"), "/results").to_owned();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--transport" => {
                    transports = value()?.split(',').map(Transport::parse).collect::<Result<_, _>>()?
                }
                "--threads" => threads = parse_threads(&value()?)?,
                "--rounds" => rounds = Some(number(&value()?)?.max(1)),
                "--run-ms" => run = Some(number(&value()?)?.max(1) as u64),
                "--quick" => quick = true,
                "--cost" => cost = true,
                "--out" => out = value()?,
                word if word.starts_with("--") => return Err(format!("unknown option {word}")),
                _ => words.push(arg),
            }
        }
        let command = match verb.as_str() {
            "compare" => Command::Compare,
            "only" if words.len() == 2 => Command::Only { contender: words.pop().unwrap_or_default() },
            "once" if words.len() == 3 => {
                let operations = number(&words.pop().unwrap_or_default())? as u64;
                Command::Once { contender: words.pop().unwrap_or_default(), operations }
            }
            "accept" if words.len() == 2 => {
                Command::Accept { transport: Transport::parse(&words[0])?, count: number(&words[1])? }
            }
            _ => return Err(format!("not a command: {verb} {}", words.join(" "))),
        };
        let (usual_rounds, usual_run) = if quick { (2, 40) } else { (5, 150) };
        let run = Duration::from_millis(run.unwrap_or(usual_run));
        let plan = Plan { quick, cost, rounds: rounds.unwrap_or(usual_rounds), run };
        Ok(Self { command, workloads: words, transports, threads, plan, out })
    }

    /// A workload is asked for by its whole name or by its beginning: `stream` is every capacity.
    pub fn wants(&self, case: &Case) -> bool {
        let asked = |word: &String| case.workload == *word || case.workload.starts_with(&format!("{word}-"));
        match &self.command {
            Command::Only { contender } | Command::Once { contender, .. } => {
                self.workloads[0] == case.workload && *contender == case.contender
            }
            _ => self.workloads.is_empty() || self.workloads.iter().any(asked),
        }
    }
}

fn parse_threads(list: &str) -> Result<Vec<Threads>, String> {
    let mut threads = Vec::new();
    for word in list.split(',') {
        match word {
            "1" => threads.push(Threads::One),
            "2" => threads.extend([Threads::Two, Threads::TwoOnOneCore]),
            _ => return Err("--threads is 1, 2 or 1,2".to_owned()),
        }
    }
    Ok(threads)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}
