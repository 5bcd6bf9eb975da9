//! The client: lends its stdin, stdout and stderr to a command on the server.

use std::io::ErrorKind;

use libchan::{ByteStream, Sender};
use libchan_transports::dial;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::{CHANNEL, Command, Result, Status};

/// What a shell says of a command that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Runs one command with our stdin and gives its exit code.
pub(super) async fn run_one(url: &str, program: &str, args: &[&str]) -> Result<u8> {
    let session = dial(url).await?;
    let commands = session.open(CHANNEL)?;
    let stdin = ByteStream::from_reader(tokio::io::stdin());
    let code = run(&commands, program, args, stdin).await?;
    drop(commands);
    // The command has ended and its output is out: nothing that could still be lost hangs on this.
    let _ = session.close().await;
    Ok(code)
}

/// Runs each line of our stdin, one after the other, and gives the last exit code.
pub(super) async fn run_lines(url: &str) -> Result<u8> {
    let session = dial(url).await?;
    let commands = session.open(CHANNEL)?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut code = 0;
    while let Some(line) = lines.next_line().await? {
        code = run(&commands, "sh", &["-c", &line], ByteStream::from_reader(tokio::io::empty())).await?;
    }
    drop(commands);
    let _ = session.close().await;
    Ok(code)
}

async fn run(commands: &Sender<Command>, program: &str, args: &[&str], stdin: ByteStream) -> Result<u8> {
    let (out, stdout) = ByteStream::pair();
    let (err, stderr) = ByteStream::pair();
    let (status, ended) = libchan::pipe();
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    let command = Command { program: program.to_owned(), args, stdin, stdout, stderr, status };
    commands.send(command).await.map_err(libchan::SendError::into_reason)?;

    let ended = async {
        match ended.recv().await? {
            Some(Status { code, error }) => {
                if let Some(error) = error {
                    eprintln!("rexec: {error}");
                }
                Ok(code)
            }
            None if commands.is_closed() => Err(commands.closed().await.into()),
            None => Err("the server has left without saying how the command ended".into()),
        }
    };
    tokio::select! {
        // All three: the status may arrive before the last of the output.
        all = async { tokio::try_join!(ended, show(out, tokio::io::stdout()), show(err, tokio::io::stderr())) } => {
            all.map(|(code, (), ())| code)
        }
        // Dropping `ended` tells the server that nobody waits for the command any more.
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| INTERRUPTED).map_err(Into::into),
    }
}

/// What the command writes, to one of our outputs.
async fn show(mut from: ByteStream, mut to: impl AsyncWrite + Unpin) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = from.read(&mut buffer).await.map_err(|error| format!("the output was cut short: {error}"))?;
        let written = match n {
            0 => to.flush().await,
            _ => to.write_all(&buffer[..n]).await,
        };
        match written {
            Ok(()) if n == 0 => return Ok(()),
            Ok(()) => {}
            // Nobody reads our output (`| head`): dropping the stream tells the command.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
