//! What came of the cases: the table, JSON, JUnit, the exit code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::steps::Trouble;
use crate::json::{Json, json};

/// What came of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail,
    Skip,
    /// It is on the list of what is known to fail, and fails.
    KnownFailure,
    /// It is on that list, and passes: the list is to be shortened.
    UnexpectedPass,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
            Self::KnownFailure => "known failure",
            Self::UnexpectedPass => "UNEXPECTED PASS",
        }
    }

    fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::UnexpectedPass)
    }
}

/// A case that was run.
pub(super) struct Row {
    pub(super) id: String,
    /// What it was run against, where one run has several of these: `tcp`, `rust-python tcp`.
    pub(super) on: String,
    pub(super) requirements: Vec<String>,
    pub(super) why: String,
    pub(super) verdict: Verdict,
    pub(super) text: String,
    /// What was due where it failed, and what went before, in lines.
    pub(super) due: String,
    /// The last lines of those that took part.
    pub(super) transcript: String,
    pub(super) took: Duration,
}

/// All rows of a run.
pub(super) struct Report {
    known_failing: BTreeSet<String>,
    verbose: bool,
    /// A failure was shown with the last lines of the testee.
    shown: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(known_failing: BTreeSet<String>, verbose: bool) -> Self {
        Self { known_failing, verbose, shown: false, rows: Vec::new() }
    }

    /// Notes what came of a case and prints its line.
    pub(super) fn note(&mut self, mut row: Row, result: Result<(), Trouble>) {
        let known = self.known_failing.contains(&row.id)
            || self.known_failing.contains(&format!("{} {}", row.id, row.on));
        (row.verdict, row.text) = match result {
            Ok(()) if known => (Verdict::UnexpectedPass, "is on the list of known failures".to_owned()),
            Ok(()) => (Verdict::Pass, String::new()),
            Err(Trouble::Skipped(why)) => (Verdict::Skip, why),
            Err(Trouble::Failed(why)) if known => (Verdict::KnownFailure, why),
            Err(Trouble::Failed(why)) => (Verdict::Fail, why),
        };
        println!("{}", row.line());
        if row.verdict == Verdict::Fail {
            if !row.why.is_empty() {
                println!("    it shows: {} [{}]", row.why, row.requirements.join(", "));
            }
            for line in row.due.lines() {
                println!("    {line}");
            }
            if !std::mem::replace(&mut self.shown, true) || self.verbose {
                println!("    the last lines (> asked, < answered, ! standard error):{}", row.transcript);
            }
        }
        self.rows.push(row);
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether nothing failed, and nothing passed that was not meant to.
    pub(super) fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| !row.verdict.is_bad())
    }

    /// The last lines of the output: how many of each verdict, and what was bad.
    pub(super) fn print_summary(&self, what: &str) {
        let words = [
            (Verdict::Pass, "passed"),
            (Verdict::Fail, "failed"),
            (Verdict::Skip, "skipped"),
            (Verdict::KnownFailure, "known to fail"),
            (Verdict::UnexpectedPass, "passed unexpectedly"),
        ];
        let counts = words.into_iter().map(|(verdict, word)| (self.count(verdict), word));
        let counts: Vec<String> =
            counts.filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let requirements: BTreeSet<&String> = self.rows.iter().flat_map(|row| &row.requirements).collect();
        println!();
        if self.rows.is_empty() {
            println!("{what}: no case was run");
        } else {
            println!("{what}: {}; {} requirements named", counts.join(", "), requirements.len());
        }
        // Again, at the end: of a long output, that is what is kept and read.
        for row in self.rows.iter().filter(|row| row.verdict.is_bad()) {
            println!("{}", row.line());
        }
        if !self.verbose && self.count(Verdict::Fail) > 1 {
            println!("The first failure has the last lines of the testee; with --verbose all of them have.");
        }
    }

    /// Writes the rows as JSON.
    pub(super) fn write_json(&self, what: &str, path: &Path) -> Result<(), String> {
        let rows: Vec<Json> = self.rows.iter().map(Row::to_json).collect();
        let report = json!({"what": what, "clean": self.is_clean(), "cases": rows});
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        write(path, &(text + "\n"))
    }

    /// Writes the rows as JUnit's XML, which most build servers read.
    pub(super) fn write_junit(&self, what: &str, path: &Path) -> Result<(), String> {
        let bad = self.rows.iter().filter(|row| row.verdict.is_bad()).count();
        let skipped = self.count(Verdict::Skip) + self.count(Verdict::KnownFailure);
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            xml,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{bad}\" skipped=\"{skipped}\">",
            escape(what),
            self.rows.len()
        );
        for row in &self.rows {
            let name = format!("{} {}", row.id, row.on);
            let (class, _) = row.id.split_once('.').unwrap_or((&row.id, ""));
            let _ = write!(
                xml,
                "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escape(class),
                escape(name.trim_end()),
                row.took.as_secs_f64()
            );
            let text = escape(&row.text);
            let _ = match row.verdict {
                Verdict::Pass => writeln!(xml, "/>"),
                Verdict::Fail | Verdict::UnexpectedPass => {
                    let all = escape(&row.transcript);
                    writeln!(xml, "><failure message=\"{text}\">{all}</failure></testcase>")
                }
                Verdict::Skip | Verdict::KnownFailure => {
                    writeln!(xml, "><skipped message=\"{text}\"/></testcase>")
                }
            };
        }
        xml.push_str("</testsuite>\n");
        write(path, &xml)
    }
}

impl Row {
    /// Its line in the output.
    fn line(&self) -> String {
        let parts = [&self.id, &self.on, &self.text].into_iter().filter(|part| !part.is_empty());
        let parts: Vec<_> = parts.map(String::as_str).collect();
        format!("{:<15} {}", self.verdict.word(), parts.join("  "))
    }

    fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "on": self.on,
            "req": self.requirements,
            "why": self.why,
            "verdict": self.verdict.word().to_lowercase(),
            "text": self.text,
            "transcript": if self.verdict.is_bad() { self.transcript.as_str() } else { "" },
            "seconds": self.took.as_secs_f64(),
        })
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
