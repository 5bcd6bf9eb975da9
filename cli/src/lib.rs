//! The commands behind the programs `libchan` and `iris`. Programs link `libchan`, not this.

mod certificate;
mod conform;
mod credentials;
mod dial;
mod iris;
mod json;
mod testee;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Go channels over any transport: the command-line tool.
#[derive(Parser)]
#[command(name = "libchan", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a self-signed certificate for development, valid for 90 days, and prints its fingerprint, which clients pin.
    Certificate(certificate::Args),
    /// Checks an implementation against the specification and its test vectors.
    Conform(Box<conform::Args>),
    /// Opens a session, shows what both sides have agreed on, and closes it.
    Dial(dial::Args),
    /// Speaks to clusters and topics by name, through a relay; or is the relay.
    #[command(subcommand)]
    Iris(iris::Command),
    /// Is the testee of the Rust implementation: requests in lines of JSON on standard input, replies on standard output
    /// (spec/conformance/PROTOCOL.md).
    Testee,
}

/// The program `libchan`: reads its arguments and does what they say.
pub fn libchan() -> ExitCode {
    match Cli::parse().command {
        Command::Certificate(args) => certificate::run(&args),
        Command::Conform(args) => on_one_thread(conform::run(*args)),
        Command::Dial(args) => on_one_thread(dial::run(args)),
        Command::Iris(command) => iris::run(command),
        Command::Testee => on_one_thread(async {
            testee::serve(tokio::io::stdin(), tokio::io::stdout()).await;
            ExitCode::SUCCESS
        }),
    }
}

/// The program `iris`: `libchan iris relay` under the flags of the original, which have one dash.
pub fn iris() -> ExitCode {
    iris::original()
}

fn on_one_thread(command: impl Future<Output = ExitCode>) -> ExitCode {
    run_on(tokio::runtime::Builder::new_current_thread(), command)
}

fn run_on(mut runtime: tokio::runtime::Builder, command: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("libchan: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(command);
    // Reading standard input cannot be cancelled; nothing is left to wait for.
    runtime.shutdown_background();
    code
}
