//! What a run says: a table, JSON and charts.

mod head;
mod json;
mod svg;
mod table;

use std::{fs, io};

use crate::case::Plan;
use crate::measure::{Measured, Outcome};
use crate::target;

pub fn print(outcome: &Outcome<'_>, plan: Plan) -> io::Result<()> {
    print!("{}", table::table(outcome, &target::check(&outcome.results), &head::Head::now(plan)));
    Ok(())
}

/// Prints the table and puts all three into a folder.
pub fn write(outcome: &Outcome<'_>, plan: Plan, folder: &str) -> io::Result<()> {
    let (head, checks) = (head::Head::now(plan), target::check(&outcome.results));
    let table = table::table(outcome, &checks, &head);
    print!("{table}");
    fs::create_dir_all(folder)?;
    fs::write(format!("{folder}/latest.md"), table)?;
    fs::write(format!("{folder}/latest.json"), json::json(outcome, &checks, &head)?)?;
    for (name, chart) in svg::charts(&outcome.results) {
        fs::write(format!("{folder}/{name}.svg"), chart)?;
    }
    Ok(())
}

/// The rows that are compared with each other.
fn groups<'a, 'b>(results: &'b [Measured<'a>]) -> impl Iterator<Item = &'b [Measured<'a>]> {
    results.chunk_by(|a, b| {
        (&a.case.workload, a.case.transport, a.case.threads)
            == (&b.case.workload, b.case.transport, b.case.threads)
    })
}

/// Time an operation as a multiple of that of `base` in the same group, whose rounds ran in turn.
fn ratio(group: &[Measured<'_>], of: &Measured<'_>, base: &str) -> Option<f64> {
    let base = group.iter().find(|other| other.case.contender == base)?;
    (!of.facts_only()).then(|| of.times_of(base))
}
