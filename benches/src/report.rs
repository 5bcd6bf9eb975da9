//! The table and the JSON.

use std::{fs, io};

use serde_json::json;

use crate::measure::{Measured, median, spread};

/// What the ratios are to: the contender without a codec and with it.
const RAW: [&str; 2] = ["raw", "raw+c"];

/// The table. Ratios are of processor time, which other processes disturb least.
pub fn print(results: &[Measured<'_>]) {
    println!(
        "| workload | | contender | cpu us/op | spread | x raw | x raw+c | elapsed us/op | spread | rate by cpu \
         | allocs/op | writes/op | reads/op |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for result in results {
        let case = result.case;
        let cpu = median(&result.cpu);
        let [raw, coded] =
            RAW.map(|base| ratio(results, result, base).map_or(String::new(), |x| format!("{x:.2}")));
        let rate = match case.bytes {
            0 => format!("{:.0} k/s", 1e6 / cpu),
            bytes => format!("{:.2} GB/s", bytes as f64 / cpu),
        };
        let counts = result.counted.counts;
        let per = |count| format!("{:.3}", result.per_operation(count));
        println!(
            "| {} | {} | {} | {:.3} | {:.0} % | {raw} | {coded} | {:.3} | {:.0} % | {rate} | {} | {} | {} |",
            case.workload,
            case.transport.unwrap_or("-"),
            case.contender,
            cpu / 1000.0,
            spread(&result.cpu) * 100.0,
            median(&result.elapsed) / 1000.0,
            spread(&result.elapsed) * 100.0,
            per(counts.allocations),
            per(counts.writes),
            per(counts.reads),
        );
    }
}

/// How much more processor time than `base` on the same workload and transport.
fn ratio(results: &[Measured<'_>], of: &Measured<'_>, base: &str) -> Option<f64> {
    let same = |other: &&Measured<'_>| {
        (&other.case.workload, other.case.transport) == (&of.case.workload, of.case.transport)
            && other.case.contender == base
    };
    Some(median(&of.cpu) / median(&results.iter().find(same)?.cpu))
}

pub fn write_json(results: &[Measured<'_>], threads: usize, rounds: usize) -> io::Result<()> {
    let rows: Vec<_> = results
        .iter()
        .map(|result| {
            let (case, counts) = (result.case, result.counted.counts);
            json!({
                "workload": case.workload,
                "transport": case.transport,
                "contender": case.contender,
                "cpu_ns_per_op": median(&result.cpu),
                "elapsed_ns_per_op": median(&result.elapsed),
                "rounds_cpu_ns": result.cpu,
                "rounds_elapsed_ns": result.elapsed,
                "bytes_per_op": case.bytes,
                "allocations_per_op": result.per_operation(counts.allocations),
                "writes_per_op": result.per_operation(counts.writes),
                "reads_per_op": result.per_operation(counts.reads),
                "to_raw": ratio(results, result, RAW[0]),
                "to_raw_coded": ratio(results, result, RAW[1]),
            })
        })
        .collect();
    let text =
        serde_json::to_string_pretty(&json!({ "threads": threads, "rounds": rounds, "results": rows }))?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
    fs::create_dir_all(folder)?;
    fs::write(format!("{folder}/latest.json"), text)
}
