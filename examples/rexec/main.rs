//! Remote execution: a server that runs commands, and a client that feels as if they ran here.
//!
//! ```text
//! rexec --listen URL          serve
//! rexec URL -- CMD ARGS...    run one command; its stdin, stdout, stderr and exit status are ours
//! rexec URL                   run each line of stdin with `sh -c`, over one channel
//! ```
//!
//! URL is `unix:///path.sock` or `tcp://host:port`. Whoever can connect can run commands as the server's user, so
//! listen where only that user can connect: a unix socket is made with mode 0600. A command is killed, with what it has
//! started, when its client is interrupted or lost, and when the server is told to stop (not if that is killed itself).

mod client;
mod server;

use std::error::Error;
use std::process::ExitCode;

use libchan::{ByteStream, Sender};
use serde::{Deserialize, Serialize};

/// What travels to the server: what to run, its three streams, and where its status goes.
#[derive(Serialize, Deserialize)]
struct Command {
    program: String,
    args: Vec<String>,
    stdin: ByteStream,
    stdout: ByteStream,
    stderr: ByteStream,
    status: Sender<Status>,
}

/// How a command ended, as a shell would say it.
#[derive(Serialize, Deserialize)]
struct Status {
    /// Its exit code; 128 and the signal's number if one killed it; 126 or 127 if it could not be started.
    code: u8,
    /// Why it could not be started.
    error: Option<String>,
}

/// The name of the channel on which commands travel.
const CHANNEL: &str = "exec";
/// What the client exits with if it cannot say how the command ended.
const FAILED: u8 = 255;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: rexec --listen URL | rexec URL [-- CMD ARGS...]";

fn main() -> ExitCode {
    let outcome = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        let outcome = runtime.block_on(run());
        // Does not wait for the thread that may be reading our stdin.
        runtime.shutdown_background();
        outcome
    });
    outcome.map_or_else(
        |error| {
            eprint!("rexec: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::from(FAILED)
        },
        ExitCode::from,
    )
}

async fn run() -> Result<u8> {
    let args = std::env::args_os()
        .skip(1)
        .map(|arg| arg.into_string().map_err(|arg| format!("{} is not UTF-8", arg.display())));
    let args = args.collect::<std::result::Result<Vec<_>, _>>()?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--listen", url] => server::serve(url).await,
        [url] if !url.starts_with('-') => client::run_lines(url).await,
        [url, "--", program, ref args @ ..] => client::run_one(url, program, args).await,
        _ => Err(USAGE.into()),
    }
}
