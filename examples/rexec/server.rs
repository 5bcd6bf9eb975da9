//! The server: runs what it is sent, and kills it when nobody waits for its status any more.

use std::future::pending;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use libchan::{ByteStream, Session};
use libchan_transports::{AcceptError, ListenOptions, listen_with};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{self, ChildStdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::{CHANNEL, Command, Result, Status};

/// Serves until Ctrl-C or SIGTERM; the commands that run then are killed.
pub(super) async fn serve(url: &str) -> Result<u8> {
    let listener = listen_with(url, ListenOptions::default().unix_mode(0o600)).await?;
    println!("listening on {}", listener.url());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let running = Arc::new(Running::default());
    let outcome = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(session) => drop(tokio::spawn(serve_session(session, running.clone()))),
                Err(error @ AcceptError::Closed) => break Err(error.into()),
                Err(error) => eprintln!("rexec: {error}"),
            },
            _ = interrupt.recv() => break Ok(0),
            _ = terminate.recv() => break Ok(0),
        }
    };
    running.kill().await;
    outcome
}

/// The commands that run. The end of the process would not kill them: it drops no task that is not asked to end.
#[derive(Default)]
struct Running(Mutex<Commands>);

#[derive(Default)]
struct Commands {
    tasks: JoinSet<()>,
    /// The server is leaving: nothing is started any more.
    leaving: bool,
}

impl Running {
    fn start(&self, command: Command) {
        let mut commands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while commands.tasks.try_join_next().is_some() {}
        if !commands.leaving {
            commands.tasks.spawn(run(command));
        }
    }

    /// Kills all of them, and waits until that is done.
    async fn kill(&self) {
        let mut tasks = {
            let mut commands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            commands.leaving = true;
            std::mem::take(&mut commands.tasks)
        };
        tasks.shutdown().await;
    }
}

async fn serve_session(session: Session, running: Arc<Running>) {
    // A session that is lost ends this as a closed one does: its commands notice by themselves.
    while let Ok(Some(incoming)) = session.accept().await {
        if incoming.name() != CHANNEL {
            let text = format!("no channel {:?} here, only {CHANNEL:?}", incoming.name());
            incoming.refuse(text);
            continue;
        }
        let commands = incoming.receive::<Command>();
        let running = running.clone();
        tokio::spawn(async move {
            loop {
                match commands.recv().await {
                    Ok(Some(command)) => running.start(command),
                    Err(error) if !error.is_end() => eprintln!("rexec: {error}"),
                    Ok(None) | Err(_) => break,
                }
            }
        });
    }
}

async fn run(command: Command) {
    let waiting = command.status.clone();
    let (status, ended) = (command.status.clone(), execute(command));
    tokio::select! {
        ended = ended => {
            // Fails if the client left meanwhile: nobody to tell.
            let _ = status.send(ended).await;
        }
        // The client was interrupted, or its link was lost. Dropping `ended` kills the command.
        _ = waiting.closed() => {}
    }
}

async fn execute(command: Command) -> Status {
    let spawned = process::Command::new(&command.program)
        .args(&command.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            // It has written nothing, and that is all there is: dropped, the outputs would look cut short.
            for mut output in [command.stdout, command.stderr] {
                // Fails if the client left: nobody to tell.
                let _ = output.shutdown().await;
            }
            return Status { code, error: Some(format!("{}: {error}", command.program)) };
        }
    };
    let group = Group(child.id());
    let stdin = feed(command.stdin, child.stdin.take());
    let stdout = drain(child.stdout.take(), command.stdout);
    let stderr = drain(child.stderr.take(), command.stderr);
    // First in the select, so that an abandoned command is killed before the end of its stdin could reach it.
    let ended = async move {
        let (ended, (), ()) = tokio::join!(child.wait(), stdout, stderr);
        group.leave();
        ended
    };
    tokio::select! {
        ended = ended => ended.map_or_else(|error| Status { code: 126, error: Some(error.to_string()) }, status),
        // What the command does not read is dropped when it has ended.
        () = async { stdin.await; pending().await } => unreachable!("pending() does not end"),
    }
}

fn status(ended: ExitStatus) -> Status {
    let code = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal)).unwrap_or_default();
    Status { code: code as u8, error: None }
}

/// The client's stdin to the command's.
async fn feed(mut from: ByteStream, to: Option<ChildStdin>) {
    let Some(mut to) = to else { return };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return,
            Ok(n) if to.write_all(&buffer[..n]).await.is_err() => return,
            Ok(_) => {}
            // The input was cut short. Closing the command's stdin would say that it was complete.
            Err(_) => pending().await,
        }
    }
}

/// The command's output to the client. If the client reads no more, the command gets its SIGPIPE.
async fn drain(from: Option<impl AsyncRead + Unpin>, mut to: ByteStream) {
    let Some(mut from) = from else { return };
    if tokio::io::copy(&mut from, &mut to).await.is_ok() {
        // Fails if the client left: nobody to tell.
        let _ = to.shutdown().await;
    }
}

/// The command and what it has started; killed when dropped.
struct Group(Option<u32>);

impl Group {
    /// The command has ended by itself.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // Fails if all of it has ended.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}
