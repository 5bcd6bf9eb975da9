//! The table: a section a workload, a row a contender.

use std::fmt::Write;

use super::head::Head;
use super::{groups, ratio};
use crate::case::Threads;
use crate::measure::{Measured, Outcome, median, spread};
use crate::target::Check;

pub fn table(outcome: &Outcome<'_>, checks: &[Check], head: &Head) -> String {
    let mut text = format!("# libchan beside the raw socket and its peers\n\n{}", head.lines());
    for group in groups(&outcome.results) {
        let case = group[0].case;
        let threads = match case.threads {
            Threads::One => "one thread",
            Threads::Two => "two workers",
            Threads::TwoOnOneCore => "two workers on one core",
        };
        let place = case.transport.map_or(String::new(), |on| format!("{}, ", on.name()));
        let _ = write!(text, "\n## {}, {place}{threads}\n\n", case.workload);
        if group[0].facts_only() {
            facts(&mut text, group, checks);
        } else {
            timed(&mut text, group, checks);
        }
    }
    targets(&mut text, checks);
    if !outcome.failures.is_empty() {
        let _ = write!(text, "\n## Did not come to their end\n\n- {}\n", outcome.failures.join("\n- "));
    }
    text
}

fn timed(text: &mut String, group: &[Measured<'_>], checks: &[Check]) {
    // One thread: processor time is what counts, elapsed time stands beside it. Two: the other way about.
    let (first, second) = match group[0].case.threads {
        Threads::One => ("cpu", "elapsed"),
        Threads::Two | Threads::TwoOnOneCore => ("elapsed", "cpu"),
    };
    let _ = writeln!(
        text,
        "| contender | {first} us/op | spread | x raw | x raw+c | rate | {second} us/op | allocs/op | writes/op \
         | reads/op | instructions/op | copied B/op | target | |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for row in group {
        let time = row.time();
        let rate = match row.case.bytes {
            0 => format!("{:.0} k/s", 1e6 / time),
            bytes => format!("{:.2} GB/s", bytes as f64 / time),
        };
        let [raw, coded] =
            ["raw", "raw+c"].map(|base| ratio(group, row, base).map_or(String::new(), |x| format!("{x:.2}")));
        let other = if row.case.threads == Threads::One { &row.elapsed } else { &row.cpu };
        let counts = row.counted.counts;
        // Only sockets that are wrapped for it are counted.
        let socket = |count: u64| match count {
            0 => String::new(),
            count => format!("{:.3}", row.per_operation(count)),
        };
        let [instructions, copied] = row.cost.map_or([String::new(), String::new()], |cost| {
            [cost.instructions, cost.copied].map(|number| format!("{number:.0}"))
        });
        let (target, verdict) = verdicts(row, checks);
        let _ = writeln!(
            text,
            "| {} | {:.3} | {:.0} % | {raw} | {coded} | {rate} | {:.3} | {:.3} | {} | {} | {instructions} | {copied} \
             | {target} | {verdict} |",
            row.case.contender,
            time / 1000.0,
            spread(row.times()) * 100.0,
            median(other) / 1000.0,
            row.per_operation(counts.allocations),
            socket(counts.writes),
            socket(counts.reads),
        );
    }
}

fn facts(text: &mut String, group: &[Measured<'_>], checks: &[Check]) {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in group.iter().flat_map(|row| &row.facts) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let _ = writeln!(text, "| contender | {} | target | |", names.join(" | "));
    let _ = writeln!(text, "|---|{}---|---|", "---|".repeat(names.len()));
    for row in group {
        let value = |name: &&str| row.fact(name).map_or(String::new(), |value| format!("{value:.1}"));
        let values: Vec<_> = names.iter().map(value).collect();
        let (target, verdict) = verdicts(row, checks);
        let _ = writeln!(text, "| {} | {} | {target} | {verdict} |", row.case.contender, values.join(" | "));
    }
}

/// The targets of a row, and whether they are met.
fn verdicts(row: &Measured<'_>, checks: &[Check]) -> (String, String) {
    let case = row.case;
    let own = checks.iter().filter(|check| {
        (&check.workload, check.place, check.threads, &check.contender)
            == (&case.workload, case.place(), case.threads, &case.contender)
    });
    let (targets, verdicts): (Vec<_>, Vec<_>) =
        own.map(|check| (check.target.as_str(), format!("{:.2} {}", check.value, word(check)))).unzip();
    (targets.join("; "), verdicts.join("; "))
}

fn word(check: &Check) -> &'static str {
    if check.met { "met" } else { "**missed**" }
}

fn targets(text: &mut String, checks: &[Check]) {
    if checks.is_empty() {
        return;
    }
    let met = checks.iter().filter(|check| check.met).count();
    let _ = write!(text, "\n## Targets: {met} of {} met\n\n", checks.len());
    let _ = writeln!(
        text,
        "| workload | | threads | contender | target | measured | |\n|---|---|---|---|---|---|---|"
    );
    for check in checks {
        let Check { workload, place, threads, contender, target, value, .. } = check;
        let _ = writeln!(
            text,
            "| {workload} | {place} | {} | {contender} | {target} | {value:.2} | {} |",
            threads.name(),
            word(check)
        );
    }
}
