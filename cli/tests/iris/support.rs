//! The programs under test: a relay that runs beside the test, and commands that end.

use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs beside the test; killed with it.
pub(crate) struct Program {
    child: Child,
    out: Text,
    log: Text,
}

/// What a program has written so far.
struct Text(watch::Receiver<Vec<u8>>);

impl Text {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (told, text) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut stream = stream;
            let mut chunk = Vec::new();
            while let Ok(1..) = stream.read_buf(&mut chunk).await {
                told.send_modify(|text| text.append(&mut chunk));
            }
        });
        Self(text)
    }

    /// Waits until `find` finds something in it.
    async fn wait<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found: Arc<Mutex<Option<T>>> = Arc::default();
        let waiting = self.0.wait_for(|text| {
            let mut found = found.lock().unwrap();
            *found = find(&String::from_utf8_lossy(text));
            found.is_some()
        });
        let ended = match timeout(PATIENCE, waiting).await {
            Ok(Ok(_)) => None,
            Ok(Err(_)) => Some("the program ended"),
            Err(_) => Some("nothing for a minute"),
        };
        if let Some(why) = ended {
            panic!("no {what}: {why}; it said:\n{}", String::from_utf8_lossy(&self.0.borrow()));
        }
        found.lock().unwrap().take().unwrap()
    }

    /// All of it, once the program has ended.
    async fn all(&mut self) -> String {
        while self.0.changed().await.is_ok() {}
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

/// The lines that are whole.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

impl Program {
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_remove("LIBCHAN_TOKEN").kill_on_drop(true);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Text::of(child.stdout.take().unwrap());
        let log = Text::of(child.stderr.take().unwrap());
        Self { child, out, log }
    }

    /// A relay with these options beside `--dev --port 0`.
    pub(crate) fn relay(options: &[&str]) -> Self {
        let all: Vec<&str> =
            ["iris", "relay", "--dev", "--port", "0"].iter().chain(options).copied().collect();
        Self::start(env!("CARGO_BIN_EXE_libchan"), &all)
    }

    /// What follows `before` on a line of its output.
    pub(crate) async fn says(&mut self, before: &str) -> String {
        let find = |text: &str| lines(text).find_map(|line| line.strip_prefix(before).map(str::to_owned));
        self.out.wait(before, find).await
    }

    /// Waits for a line of its log that ends so.
    pub(crate) async fn logs(&mut self, end: &str) -> String {
        let find = |text: &str| lines(text).find(|line| line.ends_with(end)).map(str::to_owned);
        self.log.wait(end, find).await
    }

    pub(crate) async fn listens(&mut self) -> String {
        self.says("listening on ").await
    }

    pub(crate) async fn port(&mut self) -> u16 {
        self.says("listening on port ").await.parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits for its end; gives how it ended, its output and its log.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap();
        (status, self.out.all().await, self.log.all().await)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.child.stdin = None;
    }
}

/// Runs `libchan iris`.
pub(crate) async fn iris(arguments: &[&str]) -> Output {
    iris_with(arguments, b"", None).await
}

/// Runs `libchan iris` with standard input and a token.
pub(crate) async fn iris_with(arguments: &[&str], input: &[u8], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_libchan"));
    command.arg("iris").args(arguments).env_remove("LIBCHAN_TOKEN").kill_on_drop(true);
    command.envs(token.map(|token| ("LIBCHAN_TOKEN", token)));
    run(command, input).await
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    tokio::spawn(async move {
        // It may end before it has read all.
        drop(stdin.write_all(&input).await);
    });
    timeout(PATIENCE, child.wait_with_output()).await.expect("it does not end").unwrap()
}

/// Its exit code, output and errors.
pub(crate) fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A file of this test, with this text.
pub(crate) fn file(name: &str, text: &str) -> String {
    let path = format!("{}/{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&path, text).unwrap();
    path
}
