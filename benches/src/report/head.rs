//! Under what conditions a run was made.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::case::Plan;

#[derive(Serialize)]
pub struct Head {
    pub date: String,
    pub command: String,
    pub rounds: usize,
    pub run_ms: u64,
    pub quick: bool,
    pub commit: String,
    pub rustc: String,
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    /// Of the last minute, when the run had ended.
    pub load: String,
    /// From Cargo.lock, of those that take part.
    pub versions: Vec<(String, String)>,
}

const NAMED: [&str; 18] = [
    "async-channel",
    "capnp",
    "capnp-rpc",
    "flume",
    "h2",
    "ipc-channel",
    "kanal",
    "libchan",
    "libchan-transports",
    "prost",
    "remoc",
    "rmp-serde",
    "rustix",
    "serde",
    "tarpc",
    "tokio",
    "tonic",
    "yamux",
];

impl Head {
    pub fn now(plan: Plan) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            date: date(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            rounds: plan.rounds,
            run_ms: plan.run.as_millis() as u64,
            quick: plan.quick,
            commit: said("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
            rustc: said("rustc", &["--version"]),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: model.map_or("unknown", |(_, model)| model).to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            versions: versions(include_str!("../../Cargo.lock")),
        }
    }

    /// As a list for people.
    pub fn lines(&self) -> String {
        let versions: Vec<_> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        format!(
            "- {}, commit {}, load {}\n- `{}`: {} rounds of {} ms{}\n- {}, Linux {}, {} x {}\n- {}\n",
            self.date,
            self.commit,
            self.load,
            self.command,
            self.rounds,
            self.run_ms,
            if self.quick { ", quick: too short for numbers" } else { "" },
            self.rustc,
            self.kernel,
            self.cpus,
            self.cpu,
            versions.join(", "),
        )
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn versions(lock: &str) -> Vec<(String, String)> {
    let mut versions = Vec::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let line = package.lines().find(|line| line.starts_with(key))?;
            Some(line.split('"').nth(1)?.to_owned())
        };
        if let (Some(name), Some(version)) = (value("name ="), value("version ="))
            && NAMED.contains(&name.as_str())
        {
            versions.push((name, version));
        }
    }
    versions
}

/// The day and time in UTC, by the civil calendar.
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Days since 0000-03-01, in eras of 400 years.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}
