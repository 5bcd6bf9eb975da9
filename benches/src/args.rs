//! The command line.

use crate::measure::Case;
use crate::net::Transport;

pub const USAGE: &str = "bench compare [workload..] [--transport tcp,unix] [--threads 1|2] [--rounds 5]
bench only WORKLOAD CONTENDER [--transport tcp] [--threads 1|2] [--rounds 5]";

#[derive(PartialEq, Eq)]
pub enum Command {
    Compare,
    Only { contender: String },
}

pub struct Args {
    pub command: Command,
    /// None: all.
    workloads: Vec<String>,
    pub transports: Vec<Transport>,
    pub threads: usize,
    pub rounds: usize,
}

impl Args {
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let verb = args.next().ok_or("no command")?;
        let mut words = Vec::new();
        let (mut transports, mut threads, mut rounds) = (vec![Transport::Tcp, Transport::Unix], 1, 5);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--transport" => {
                    transports = value()?.split(',').map(Transport::parse).collect::<Result<_, _>>()?
                }
                "--threads" => threads = number(&value()?)?,
                "--rounds" => rounds = number(&value()?)?.max(1),
                word if word.starts_with("--") => return Err(format!("unknown option {word}")),
                _ => words.push(arg),
            }
        }
        let command = match verb.as_str() {
            "compare" => Command::Compare,
            "only" if words.len() == 2 => Command::Only { contender: words.pop().unwrap_or_default() },
            _ => return Err(format!("not a command: {verb} {}", words.join(" "))),
        };
        if !(1..=2).contains(&threads) {
            return Err("--threads is 1 or 2".to_owned());
        }
        Ok(Self { command, workloads: words, transports, threads, rounds })
    }

    /// A workload is asked for by its whole name or by its beginning: `stream` is every capacity.
    pub fn wants(&self, case: &Case) -> bool {
        let asked = |word: &String| case.workload == *word || case.workload.starts_with(&format!("{word}-"));
        match &self.command {
            Command::Compare => self.workloads.is_empty() || self.workloads.iter().any(asked),
            Command::Only { contender } => self.workloads[0] == case.workload && *contender == case.contender,
        }
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}
