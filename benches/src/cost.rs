//! What an operation costs whatever else the machine does: instructions, and bytes copied in user space. Counted by valgrind
//! (callgrind, and DHAT's copy mode) in a process of its own, with all that both ends, the runtime and the test itself do. A
//! case runs twice, three times as long the second time: the difference is free of how it began.

use std::io;
use std::process::Command;

use crate::case::{Case, Threads};

/// Of one operation.
#[derive(Clone, Copy)]
pub struct Cost {
    pub instructions: f64,
    pub copied: f64,
}

const CALLGRIND: &[&str] = &["--tool=callgrind", "--callgrind-out-file=/dev/null"];
const COPIES: &[&str] = &["--tool=dhat", "--mode=copy", "--dhat-out-file=/dev/null"];

/// What the case costs; `None` where it is not counted: only raw and libchan are, on one thread, where an operation is a
/// message or a round trip on few connections.
///
/// # Errors
/// valgrind is not installed or does not know one of the tools, or the case has not come to its end.
pub fn of(case: &Case) -> io::Result<Option<Cost>> {
    if !is_counted(case) {
        return Ok(None);
    }
    let instructions = per_operation(case, CALLGRIND, "Collected :")?;
    let copied = per_operation(case, COPIES, "Total:")?;
    Ok(Some(Cost { instructions, copied }))
}

fn is_counted(case: &Case) -> bool {
    const WORKLOADS: [&str; 8] =
        ["pingpong", "pipelined", "nested-1", "nested-64", "stream-16", "stream-256", "bulk-64k", "bulk-1m"];
    let ours = case.contender.starts_with("raw") || case.contender.starts_with("libchan");
    ours && case.threads == Threads::One && WORKLOADS.contains(&&*case.workload)
}

/// Operations of the shorter run: as many as all callers of a workload have in common, and warm up with a tenth of.
fn operations(case: &Case) -> u64 {
    match case.bytes {
        0..65_536 => 2560,
        65_536..1_000_000 => 200,
        _ => 20,
    }
}

fn per_operation(case: &Case, tool: &[&str], line: &str) -> io::Result<f64> {
    let few = operations(case);
    let (less, more) = (count(case, tool, line, few)?, count(case, tool, line, 3 * few)?);
    Ok((more - less) / (2.2 * few as f64))
}

/// The number behind `line` in what valgrind says of a run of so many operations.
fn count(case: &Case, tool: &[&str], line: &str, operations: u64) -> io::Result<f64> {
    let run = Command::new("valgrind")
        .args(tool)
        .arg(std::env::current_exe()?)
        .args(["once", &case.workload, &case.contender, &operations.to_string()])
        .args(["--threads", "1", "--transport", case.place()])
        .output()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("valgrind is needed to count costs: {error}"))
        })?;
    let said = String::from_utf8_lossy(&run.stderr);
    let number = said.lines().find_map(|said| {
        let number = said.split_once(line)?.1.trim().split(' ').next()?;
        number.replace(',', "").parse().ok()
    });
    match number {
        Some(number) if run.status.success() => Ok(number),
        _ => Err(io::Error::other(format!("valgrind {} failed: {said}", tool[0]))),
    }
}
