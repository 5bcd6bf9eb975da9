//! The results for programs.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::head::Head;
use super::{groups, ratio};
use crate::measure::{Measured, Outcome, median};
use crate::target::Check;

pub fn json(outcome: &Outcome<'_>, checks: &[Check], head: &Head) -> io::Result<String> {
    let rows: Vec<_> =
        groups(&outcome.results).flat_map(|group| group.iter().map(|row| result(group, row))).collect();
    let checks: Vec<_> = checks
        .iter()
        .map(|check| {
            json!({
                "workload": check.workload,
                "transport": check.place,
                "threads": check.threads.name(),
                "contender": check.contender,
                "target": check.target,
                "value": check.value,
                "met": check.met,
            })
        })
        .collect();
    let all = json!({ "run": head, "results": rows, "targets": checks, "failures": outcome.failures });
    Ok(serde_json::to_string_pretty(&all)?)
}

fn result(group: &[Measured<'_>], row: &Measured<'_>) -> Value {
    let (case, counts) = (row.case, row.counted.counts);
    let mut value = json!({
        "workload": case.workload,
        "transport": case.place(),
        "threads": case.threads.name(),
        "contender": case.contender,
    });
    if row.facts_only() {
        let facts: BTreeMap<_, _> = row.facts.iter().map(|(name, values)| (name, median(values))).collect();
        value["facts"] = json!(facts);
        return value;
    }
    value["cpu_ns_per_op"] = json!(median(&row.cpu));
    value["elapsed_ns_per_op"] = json!(median(&row.elapsed));
    value["rounds_cpu_ns"] = json!(row.cpu);
    value["rounds_elapsed_ns"] = json!(row.elapsed);
    value["bytes_per_op"] = json!(case.bytes);
    value["allocations_per_op"] = json!(row.per_operation(counts.allocations));
    value["writes_per_op"] = json!(row.per_operation(counts.writes));
    value["reads_per_op"] = json!(row.per_operation(counts.reads));
    value["instructions_per_op"] = json!(row.cost.map(|cost| cost.instructions));
    value["bytes_copied_per_op"] = json!(row.cost.map(|cost| cost.copied));
    value["to_raw"] = json!(ratio(group, row, "raw"));
    value["to_raw_coded"] = json!(ratio(group, row, "raw+c"));
    value
}
