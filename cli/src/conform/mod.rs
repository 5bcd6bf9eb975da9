//! `libchan conform`: checks an implementation against the specification. The implementation is a testee
//! (spec/conformance/PROTOCOL.md), driven through its pipe and over sockets.

mod bundle;
mod codes;
mod drained;
mod live;
mod modes;
mod peer;
mod played;
mod report;
mod rogue;
mod steps;
mod vectors;
mod wire;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;

use self::bundle::Vector;
use self::peer::{Launch, Testee};
use self::report::{Report, Row, Verdict};
use self::steps::Trouble;
use crate::json::{Fields, Json};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    mode: Mode,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Mode {
    /// Everything: the vectors, a testee that listens, one that dials, and three in a row with the Rust implementation. Only
    /// what passes all of this is called clean.
    All {
        /// The testee's program and its arguments. Without one: the Rust implementation against itself.
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Plays the test vectors against a testee, through its pipe alone: no socket is opened.
    Vectors {
        /// The testee's program and its arguments. Without one the built-in testee, of the Rust implementation, is checked.
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Has a testee listen; the Rust implementation dials it, and so does a peer that breaks the rules.
    Server {
        /// The testee's program and its arguments. Without one: the Rust implementation against itself.
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Has a testee dial; the Rust implementation listens, and so does a peer that breaks the rules.
    Client {
        /// The testee's program and its arguments. Without one: the Rust implementation against itself.
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Has two testees talk to each other in both roles, or three, then also through each other.
    Interop {
        /// A testee: program and arguments, divided by spaces. `rust` is the built-in one.
        #[arg(long, value_name = "COMMAND")]
        a: String,
        /// Another one.
        #[arg(long, value_name = "COMMAND")]
        b: String,
        /// A third one.
        #[arg(long, value_name = "COMMAND")]
        c: Option<String>,
    },
}

#[derive(clap::Args)]
struct Options {
    /// Runs only the cases whose id begins with this. May be repeated.
    #[arg(long, value_name = "PREFIX", global = true)]
    filter: Vec<String>,
    /// Uses only this carrier. May be repeated. Without it: all that the testees claim.
    #[arg(long, value_name = "NAME", global = true)]
    carrier: Vec<String>,
    /// Runs the cases up to this level, 0 to 3. Without it: the level that the testee claims.
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u8).range(0..=3))]
    level: Option<u8>,
    /// Writes the report to a file as JSON.
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    /// Writes the report to a file as JUnit's XML.
    #[arg(long, value_name = "FILE", global = true)]
    junit: Option<PathBuf>,
    /// A file of ids, one a line, `#` begins a comment: these cases are run and may fail. It is an error if one passes.
    #[arg(long, value_name = "FILE", global = true)]
    known_failing: Option<PathBuf>,
    /// Lists the cases instead of running them.
    #[arg(long, global = true)]
    list: bool,
    /// Shows with each failure the last lines of the testee, and not only with the first.
    #[arg(long, short, global = true)]
    verbose: bool,
    /// Runs each case so many times: what depends on timing may pass once and fail later.
    #[arg(long, value_name = "N", global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Reads the vectors from a folder instead of those that are built in.
    #[arg(long, value_name = "DIR", global = true)]
    vectors: Option<PathBuf>,
    /// How long a reply may take, in seconds.
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// The command was misused, or a testee cannot be spoken with.
const MISUSE: u8 = 2;

pub(crate) async fn run(args: Args) -> ExitCode {
    match start(args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("libchan conform: {why}");
            ExitCode::from(MISUSE)
        }
    }
}

/// Whether the run was clean.
async fn start(args: Args) -> Result<bool, String> {
    let Args { mode, options } = args;
    if options.list {
        list(&mode, &options)?;
        return Ok(true);
    }
    let mut report = options.report()?;
    match play(mode, &options, &mut report).await {
        Ok(what) => options.finish(&what, &report),
        Err(why) => {
            // What was run until then is worth knowing.
            report.print_summary("cut short");
            Err(why)
        }
    }
}

/// Plays a mode's cases; says what was checked.
async fn play(mode: Mode, options: &Options, report: &mut Report) -> Result<String, String> {
    use modes::Role::{Client, Server};
    match mode {
        Mode::Vectors { command } => play_vectors(command, options, report).await,
        Mode::Server { command } => modes::against_rust(Server, command, options, report).await,
        Mode::Client { command } => modes::against_rust(Client, command, options, report).await,
        Mode::Interop { a, b, c } => {
            let words = |command: String| command.split_whitespace().map(str::to_owned).collect();
            modes::interop([a, b].into_iter().chain(c).map(words).collect(), options, report).await
        }
        Mode::All { command } => {
            let what = play_vectors(command.clone(), options, report).await?;
            modes::against_rust(Server, command.clone(), options, report).await?;
            modes::against_rust(Client, command.clone(), options, report).await?;
            modes::in_a_row(command, options, report).await?;
            Ok(format!("{what}, and all live cases"))
        }
    }
}

/// Prints the cases of a mode.
fn list(mode: &Mode, options: &Options) -> Result<(), String> {
    if matches!(mode, Mode::Vectors { .. } | Mode::All { .. }) {
        for vector in bundle::load(options.vectors.as_deref())? {
            if options.wants(vector.id()) {
                let level = vector.entry.number("level")?;
                println!("{:<24} level {level}  {}", vector.id(), vector.entry.text("why")?);
            }
        }
    }
    match mode {
        Mode::Vectors { .. } => Ok(()),
        Mode::Server { .. } | Mode::Client { .. } => modes::list(options, false, true),
        Mode::Interop { .. } => modes::list(options, true, false),
        Mode::All { .. } => modes::list(options, true, true),
    }
}

impl Options {
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    fn wants(&self, id: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|prefix| id.starts_with(prefix))
    }

    /// Runs a case as often as was asked for, up to the first time that it does not pass.
    async fn repeated(&self, mut case: impl AsyncFnMut() -> Result<(), Trouble>) -> Result<(), Trouble> {
        for run in 1..=self.repeat {
            match case().await {
                Err(Trouble::Failed(why)) if run > 1 => {
                    return Err(Trouble::Failed(format!("in run {run} of {}: {why}", self.repeat)));
                }
                result => result?,
            }
        }
        Ok(())
    }

    fn report(&self) -> Result<Report, String> {
        let mut known = BTreeSet::new();
        if let Some(path) = &self.known_failing {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let ids = text.lines().map(|line| line.split('#').next().unwrap_or_default());
            known.extend(ids.map(|id| id.split_whitespace().collect::<Vec<_>>().join(" ")));
            known.remove("");
        }
        Ok(Report::new(known, self.verbose))
    }

    /// Prints and writes what came of a run. Whether it was clean.
    fn finish(&self, what: &str, report: &Report) -> Result<bool, String> {
        report.print_summary(what);
        if let Some(path) = &self.json {
            report.write_json(what, path)?;
        }
        if let Some(path) = &self.junit {
            report.write_junit(what, path)?;
        }
        if report.is_empty() {
            return Err("no case was run; --list shows all of them".to_owned());
        }
        Ok(report.is_clean())
    }
}

fn launch(command: Vec<String>) -> Launch {
    if command.is_empty() { Launch::BuiltIn } else { Launch::Command(command) }
}

/// A row of the report, before it is known what came of it.
fn row(id: &str, on: &str, entry: &Json) -> Row {
    let requirements = entry.list("req").unwrap_or_default();
    Row {
        id: id.to_owned(),
        on: on.to_owned(),
        requirements: requirements.iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect(),
        why: entry.text("why").unwrap_or_default().to_owned(),
        verdict: Verdict::Skip,
        text: String::new(),
        due: String::new(),
        transcript: String::new(),
        took: Duration::ZERO,
    }
}

// ---- vectors

async fn play_vectors(
    command: Vec<String>,
    options: &Options,
    report: &mut Report,
) -> Result<String, String> {
    let mut vectors = bundle::load(options.vectors.as_deref())?;
    vectors.retain(|vector| options.wants(vector.id()));
    let launch = launch(command);
    let mut testee = Testee::start(&launch, options.timeout()).await?;
    let level = options.level.map_or_else(|| testee.level(), u64::from);
    let what = format!("{} {}, vectors to level {level}", testee.name(), testee.about().text("version")?);
    for vector in vectors {
        if vector.entry.number("level")? > level {
            continue;
        }
        if testee.is_broken() {
            testee = Testee::start(&launch, options.timeout()).await?;
        }
        play_vector(&vector, &testee, options, report).await;
    }
    Ok(what)
}

async fn play_vector(vector: &Vector, testee: &Testee, options: &Options, report: &mut Report) {
    let mut row = row(vector.id(), "", &vector.entry);
    let begun = Instant::now();
    let result = options
        .repeated(async || {
            testee.new_case();
            vectors::play(&vector.file, &vector.entry, testee).await
        })
        .await;
    row.took = begun.elapsed();
    if let Err(Trouble::Failed(why)) = &result {
        row.due = vectors::due(&vector.entry, why);
        row.transcript = testee.transcript();
    }
    report.note(row, result);
}
