//! A testee as the runner sees it: a child process, or the built-in one in this process. Requests go out as lines, replies
//! are matched by number; whatever does not answer in time, answers nonsense or dies is a failure with the last lines said.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::json::{Fields, Json, json, shorten};
use crate::testee;

/// How a testee is started.
#[derive(Clone, Debug)]
pub(super) enum Launch {
    /// The Rust testee in this process.
    BuiltIn,
    /// A program and its arguments.
    Command(Vec<String>),
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in testee"),
            Self::Command(words) => f.write_str(&words.join(" ")),
        }
    }
}

/// Why a request has no `ok`.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The testee said `err`.
    Refused { by: String, name: String, text: String, whole: Json },
    /// Nothing came in time.
    Silent { verb: String, after: Duration },
    /// It is gone, or it wrote something that is no reply.
    Broken(String),
}

impl Failure {
    /// The name in `err`.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Refused { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { by, name, text, .. } if text.is_empty() => write!(f, "{by} says {name}"),
            Self::Refused { by, name, text, .. } => write!(f, "{by} says {name}: {text}"),
            Self::Silent { verb, after } => write!(f, "no reply to {verb} within {} s", after.as_secs()),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

pub(super) type Answer = Result<Json, Failure>;

/// The lines that are kept for the transcript of a failure, and the length that each is cut to.
const KEPT: usize = 40;
const LONGEST: usize = 300;

#[derive(Default)]
struct State {
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    /// What was said last, both ways, and on standard error.
    lines: VecDeque<String>,
    broken: Option<String>,
    requests: u64,
}

impl State {
    fn note(&mut self, mark: &str, line: &str) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{mark} {}", shorten(line, LONGEST)));
    }

    fn fail(&mut self, why: &str) {
        let why = self.broken.get_or_insert_with(|| why.to_owned()).clone();
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.send(Err(Failure::Broken(why.clone())));
        }
    }
}

/// A testee that runs.
pub(super) struct Testee {
    state: Arc<Mutex<State>>,
    requests: mpsc::UnboundedSender<String>,
    /// Ends with the testee, and the child with it.
    _tasks: JoinSet<()>,
    timeout: Duration,
    about: Json,
}

/// A request that was made and perhaps not answered yet.
pub(super) struct Pending {
    pub(super) n: u64,
    /// Who was asked.
    of: String,
    verb: String,
    reply: oneshot::Receiver<Answer>,
    timeout: Duration,
}

impl Pending {
    /// Its answer, within the deadline.
    pub(super) async fn answer(&mut self) -> Answer {
        match tokio::time::timeout(self.timeout, &mut self.reply).await {
            Ok(Ok(Err(Failure::Refused { name, text, whole, .. }))) => {
                Err(Failure::Refused { by: self.of.clone(), name, text, whole })
            }
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Failure::Broken("the testee is gone".to_owned())),
            Err(_) => Err(Failure::Silent { verb: self.verb.clone(), after: self.timeout }),
        }
    }

    /// Its answer, if it is there.
    pub(super) fn try_answer(&mut self) -> Option<Answer> {
        self.reply.try_recv().ok()
    }
}

impl Testee {
    /// Starts it and asks what it is.
    pub(super) async fn start(launch: &Launch, timeout: Duration) -> Result<Self, String> {
        let state = Arc::new(Mutex::new(State::default()));
        let (requests, lines) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        match launch {
            Launch::BuiltIn => {
                let (ours, theirs) = tokio::io::duplex(256 * 1024);
                let (input, output) = tokio::io::split(theirs);
                let (reader, writer) = tokio::io::split(ours);
                tasks.spawn(testee::serve(input, output));
                tasks.spawn(write(lines, writer));
                tasks.spawn(read(reader, state.clone(), None));
            }
            Launch::Command(words) => spawn(words, lines, &state, &mut tasks)?,
        }
        let mut testee = Self { state, requests, _tasks: tasks, timeout, about: Json::Null };
        // To start may take longer than to answer, on a machine that has other things to do.
        let mut hello = testee.begin("hello", json!({}));
        hello.timeout = 3 * timeout;
        let hello = hello.answer().await;
        testee.about = hello
            .map_err(|why| format!("{launch} does not answer to hello: {why}{}", testee.transcript()))?;
        testee.check_about(launch)?;
        Ok(testee)
    }

    fn check_about(&self, launch: &Launch) -> Result<(), String> {
        let said = &self.about;
        let fits = said.number("level").is_ok_and(|level| level <= 3)
            && said.text("impl").is_ok_and(|name| !name.is_empty())
            && ["codecs", "carriers", "verbs"].iter().all(|name| said.list(name).is_ok());
        if fits { Ok(()) } else { Err(format!("{launch} answers nonsense to hello: {said}")) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a request and waits for its answer.
    pub(super) async fn ask(&self, verb: &str, arguments: Json) -> Answer {
        self.begin(verb, arguments).answer().await
    }

    /// Makes a request. Requests reach the testee in the order in which they were made.
    pub(super) fn begin(&self, verb: &str, mut arguments: Json) -> Pending {
        let (tell, reply) = oneshot::channel();
        let mut state = self.lock();
        state.requests += 1;
        let n = state.requests;
        arguments["n"] = n.into();
        arguments["do"] = verb.into();
        let line = arguments.to_string();
        state.note(">", &line);
        match &state.broken {
            Some(why) => drop(tell.send(Err(Failure::Broken(why.clone())))),
            None => drop(state.waiting.insert(n, tell)),
        }
        // Once the testee is gone the answer says so.
        let _ = self.requests.send(line);
        let of = if self.name().is_empty() { "the testee" } else { self.name() }.to_owned();
        Pending { n, of, verb: verb.to_owned(), reply, timeout: self.timeout }
    }

    /// What it answered to `hello`.
    pub(super) fn about(&self) -> &Json {
        &self.about
    }

    pub(super) fn name(&self) -> &str {
        self.about.text("impl").unwrap_or_default()
    }

    pub(super) fn level(&self) -> u64 {
        self.about.number("level").unwrap_or(0)
    }

    /// Whether a list in its `hello` has this word.
    pub(super) fn claims(&self, list: &str, word: &str) -> bool {
        self.about.list(list).is_ok_and(|words| words.iter().any(|known| known == word))
    }

    /// Whether it cannot be asked any more.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    /// What was said last, for the text of a failure.
    pub(super) fn transcript(&self) -> String {
        self.lock().lines.iter().map(|line| format!("\n    {line}")).collect()
    }

    /// Forgets what was said: a new case begins.
    pub(super) fn new_case(&self) {
        self.lock().lines.clear();
    }
}

fn spawn(
    words: &[String],
    lines: mpsc::UnboundedReceiver<String>,
    state: &Arc<Mutex<State>>,
    tasks: &mut JoinSet<()>,
) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("the command of the testee is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the testee does not start: {program}: {error}"))?;
    let (Some(input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("the testee has no pipes".to_owned());
    };
    tasks.spawn(write(lines, input));
    tasks.spawn(read(output, state.clone(), Some(child)));
    let state = state.clone();
    tasks.spawn(async move {
        let mut errors = BufReader::new(errors).lines();
        while let Ok(Some(line)) = errors.next_line().await {
            state.lock().unwrap_or_else(PoisonError::into_inner).note("!", &line);
        }
    });
    Ok(())
}

async fn write(mut lines: mpsc::UnboundedReceiver<String>, mut writer: impl AsyncWrite + Unpin) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        // A testee that is gone is noticed by its output's end.
        if writer.write_all(line.as_bytes()).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

async fn read(reader: impl AsyncRead + Unpin, state: Arc<Mutex<State>>, child: Option<Child>) {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lines = BufReader::new(reader).lines();
    loop {
        let line = match lines.next_line().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                lock().fail(&format!("what the testee writes cannot be read: {error}"));
                break;
            }
        };
        let mut state = lock();
        state.note("<", &line);
        if let Err(why) = take_reply(&mut state, &line) {
            state.fail(&why);
            break;
        }
    }
    let why = match child {
        None => "the testee has ended".to_owned(),
        Some(mut child) => match tokio::time::timeout(Duration::from_secs(2), child.wait()).await {
            Ok(Ok(status)) => format!("the testee has ended ({status})"),
            _ => "the testee has closed its output".to_owned(),
        },
    };
    lock().fail(&why);
}

fn take_reply(state: &mut State, line: &str) -> Result<(), String> {
    let nonsense = |what: &str| format!("the testee answers nonsense ({what}): {}", shorten(line, LONGEST));
    let reply: Json = serde_json::from_str(line).map_err(|_| nonsense("no JSON"))?;
    let n = reply.field("n").as_u64().ok_or_else(|| nonsense("no number `n`"))?;
    let answer = match (reply.get("ok"), reply.get("err")) {
        (Some(ok), None) => Ok(ok.clone()),
        (None, Some(err)) => {
            let name =
                err.field("name").as_str().ok_or_else(|| nonsense("an err without a name"))?.to_owned();
            let text = err.field("text").as_str().unwrap_or_default().to_owned();
            Err(Failure::Refused { by: "the testee".to_owned(), name, text, whole: err.clone() })
        }
        _ => return Err(nonsense("neither ok nor err")),
    };
    let waiting = state.waiting.remove(&n).ok_or_else(|| nonsense("a number that nobody waits for"))?;
    let _ = waiting.send(answer);
    Ok(())
}
