//! The targets, and whether this run meets them. A target is checked where everything it needs was run.

use crate::case::Threads::{self, One, Two, TwoOnOneCore};
use crate::measure::Measured;
use crate::net::Transport;

/// A target that was checked.
pub struct Check {
    pub workload: String,
    pub place: &'static str,
    pub threads: Threads,
    /// The row it is shown with.
    pub contender: String,
    /// In words: what has to be at most or at least what.
    pub target: String,
    pub value: f64,
    pub met: bool,
}

/// Contenders that are the limit, and what belongs to libchan: everybody else is to be beaten.
fn is_peer(contender: &str) -> bool {
    !contender.starts_with("raw") && !contender.starts_with("libchan")
}

/// Substreams of yamux carry bytes, and have no type.
fn is_typed_peer(contender: &str) -> bool {
    is_peer(contender) && contender != "yamux"
}

struct Checks<'a> {
    results: &'a [Measured<'a>],
    checks: Vec<Check>,
}

const LIBCHAN: &str = "libchan";
/// Where the limit is a system call. In memory there is none, so multiples of raw are no targets there.
const REMOTE: [Transport; 2] = [Transport::Tcp, Transport::Unix];

pub fn check(results: &[Measured<'_>]) -> Vec<Check> {
    let mut checks = Checks { results, checks: Vec::new() };
    for on in REMOTE {
        checks.one_thread(on);
        checks.two_workers(on);
        checks.facts(on);
    }
    checks.memory();
    checks.in_process();
    checks.carriers();
    if let Some(row) = checks.find("compile", None, One, LIBCHAN) {
        checks.at_most(row, "seconds of a clean release build", row.fact("seconds"), 40.0);
    }
    checks.checks
}

impl<'a> Checks<'a> {
    fn find(
        &self,
        workload: &str,
        on: Option<Transport>,
        threads: Threads,
        contender: &str,
    ) -> Option<&'a Measured<'a>> {
        let same = |row: &&Measured<'_>| {
            let case = row.case;
            (case.workload.as_str(), case.transport, case.threads, case.contender.as_str())
                == (workload, on, threads, contender)
        };
        self.results.iter().find(same)
    }

    fn push(&mut self, row: &Measured<'_>, target: String, value: f64, met: bool) {
        let case = row.case;
        let (workload, contender) = (case.workload.clone(), case.contender.clone());
        self.checks.push(Check {
            workload,
            place: case.place(),
            threads: case.threads,
            contender,
            target,
            value,
            met,
        });
    }

    fn at_most(&mut self, row: &Measured<'_>, what: &str, value: Option<f64>, limit: f64) {
        if let Some(value) = value {
            self.push(row, format!("{what} <= {limit}"), value, value <= limit);
        }
    }

    fn at_least(&mut self, row: &Measured<'_>, what: &str, value: Option<f64>, limit: f64) {
        if let Some(value) = value {
            self.push(row, format!("{what} >= {limit}"), value, value >= limit);
        }
    }

    /// Time an operation as a multiple of another contender's on the same workload.
    fn times(&mut self, row: &Measured<'a>, base: &str, limit: f64) {
        let base_row = self.find(&row.case.workload, row.case.transport, row.case.threads, base);
        let ratio = base_row.map(|base| row.times_of(base));
        self.at_most(row, &format!("x {base}"), ratio, limit);
    }

    /// Rate as a part of another contender's.
    fn part(&mut self, row: &Measured<'a>, base: &str, limit: f64) {
        let base_row = self.find(&row.case.workload, row.case.transport, row.case.threads, base);
        let part = base_row.map(|base| 1.0 / row.times_of(base));
        self.at_least(row, &format!("of {base}'s rate"), part, limit);
    }

    /// Less time than each of those that are to be beaten, named by the fastest.
    fn ahead(&mut self, row: &Measured<'a>, of: impl Fn(&str) -> bool) {
        let case = row.case;
        let rivals = self.results.iter().filter(|other| {
            (&other.case.workload, other.case.transport, other.case.threads)
                == (&case.workload, case.transport, case.threads)
                && of(&other.case.contender)
        });
        let Some((ratio, best)) =
            rivals.map(|rival| (row.times_of(rival), rival)).max_by(|a, b| a.0.total_cmp(&b.0))
        else {
            return;
        };
        self.push(row, format!("ahead of the best, {}: x < 1", best.case.contender), ratio, ratio < 1.0);
    }

    fn one_thread(&mut self, on: Transport) {
        let row =
            |checks: &Self, workload: &str, contender: &str| checks.find(workload, Some(on), One, contender);
        if let Some(ping) = row(self, "pingpong", LIBCHAN) {
            self.times(ping, "raw", if on == Transport::Tcp { 1.25 } else { 1.35 });
            self.ahead(ping, is_peer);
        }
        for workload in ["pipelined", "nested-64"] {
            if let Some(row) = row(self, workload, LIBCHAN) {
                self.times(row, "raw+c", 1.4);
            }
        }
        if let (Some(nested), Some(ping)) = (row(self, "nested-1", LIBCHAN), row(self, "pingpong", LIBCHAN)) {
            self.at_most(nested, "x libchan's pingpong", Some(nested.time() / ping.time()), 1.2);
        }
        if let Some(stream) = row(self, "stream-256", LIBCHAN) {
            self.part(stream, "raw-q", 0.9);
            self.ahead(stream, is_typed_peer);
        }
        for workload in ["many-1000", "many-200"] {
            if let Some(many) = row(self, workload, LIBCHAN) {
                self.part(many, "raw", 0.7);
                self.ahead(many, is_peer);
            }
        }
        for workload in ["bulk-64k", "bulk-1m"] {
            for contender in [LIBCHAN, "libchan uncopied", "libchan bytes"] {
                if let Some(bulk) = row(self, workload, contender) {
                    self.part(bulk, "raw", if on == Transport::Tcp { 0.9 } else { 0.85 });
                }
            }
        }
        if let Some(descriptors) = row(self, "descriptors", LIBCHAN) {
            self.at_least(descriptors, "k/s", Some(1e6 / descriptors.time()), 200.0);
        }
    }

    /// Values that move as they are, and the same encoded: either has to be ahead of what encodes.
    fn memory(&mut self) {
        for contender in [LIBCHAN, "libchan encoded"] {
            let row =
                |checks: &Self, workload| checks.find(workload, Some(Transport::Memory), One, contender);
            if let Some(ping) = row(self, "pingpong") {
                self.ahead(ping, is_peer);
            }
            if let Some(stream) = row(self, "stream-256") {
                self.ahead(stream, is_typed_peer);
            }
        }
    }

    fn carriers(&mut self) {
        for workload in ["carriers-bulk-64k", "carriers-bulk-1m"] {
            for contender in ["libchan tls", "libchan tls bytes"] {
                if let Some(row) = self.find(workload, None, One, contender) {
                    self.part(row, "raw tls", 0.9);
                }
            }
        }
        for workload in ["carriers-pipelined", "carriers-stream-256"] {
            for contender in ["libchan h2c", "libchan ws"] {
                if let Some(row) = self.find(workload, None, One, contender) {
                    self.part(row, "libchan tcp", 0.7);
                }
            }
        }
    }

    fn two_workers(&mut self, on: Transport) {
        for workload in ["pingpong", "stream-256"] {
            let here = |threads| self.find(workload, Some(on), threads, LIBCHAN);
            if let (Some(two), Some(one)) = (here(Two), here(One)) {
                // Elapsed in both: that is what the target is about.
                let [two_time, one_time] = [two, one].map(|row| crate::measure::median(&row.elapsed));
                self.at_most(two, "x one thread, elapsed", Some(two_time / one_time), 1.15);
            }
        }
        if let Some(pipelined) = self.find("pipelined", Some(on), TwoOnOneCore, LIBCHAN) {
            self.times(pipelined, "raw", 1.6);
        }
    }

    fn facts(&mut self, on: Transport) {
        let row =
            |checks: &Self, workload: &str, contender: &str| checks.find(workload, Some(on), One, contender);
        for workload in ["idle-1000", "idle-100000", "idle-1000000"] {
            for contender in [LIBCHAN, "libchan nested"] {
                if let Some(idle) = row(self, workload, contender) {
                    self.at_most(idle, "bytes", idle.fact("bytes"), 500.0);
                }
            }
        }
        for contender in [LIBCHAN, "libchan nested"] {
            let few = row(self, "idle-1000", contender);
            let Some(few) = few.and_then(|few| few.fact("us to open")) else { continue };
            for workload in ["idle-10000", "idle-100000", "idle-1000000"] {
                if let Some(row) = row(self, workload, contender) {
                    let ratio = row.fact("us to open").map(|many| many / few);
                    self.at_most(row, "x the opening time at 1000", ratio, 1.5);
                }
            }
        }
        // Of the processor, as all ratios on one thread: it is never idle there.
        let alone = row(self, "fairness", "libchan alone").and_then(|row| row.fact("p99 cpu us"));
        if let (Some(beside), Some(alone)) = (row(self, "fairness", "libchan beside bulk"), alone) {
            let ratio = beside.fact("p99 cpu us").map(|p99| p99 / alone);
            self.at_most(beside, "x the p99 without bulk", ratio, 3.0);
        }
        self.growth(on);
    }

    fn growth(&mut self, on: Transport) {
        let Some(one) = self.find("growth", Some(on), One, "libchan, one of 1") else { return };
        for channels in [10_000, 100_000] {
            for walk in ["one", "all"] {
                let name = format!("libchan, {walk} of {channels}");
                if let Some(row) = self.find("growth", Some(on), One, &name) {
                    self.at_most(row, "x one channel", Some(row.times_of(one)), 1.5);
                }
            }
        }
    }

    fn in_process(&mut self) {
        for threads in [One, Two] {
            for capacity in [0, 16, 256] {
                for workload in ["local-pingpong", "local-stream"] {
                    let name = format!("{workload}-{capacity}");
                    let Some(row) = self.find(&name, None, threads, LIBCHAN) else { continue };
                    self.ahead(row, |contender| is_peer(contender) && contender != "kanal");
                    if workload == "local-pingpong" {
                        self.times(row, "kanal", 1.3);
                    }
                }
            }
        }
        let idle = |contender| self.find("local-idle-16", None, One, contender);
        if let (Some(ours), Some(kanal)) = (idle(LIBCHAN), idle("kanal")) {
            let ratio = ours.fact("bytes").zip(kanal.fact("bytes")).map(|(ours, theirs)| ours / theirs);
            self.at_most(ours, "x kanal's bytes", ratio, 1.0);
        }
    }
}
