//! `libchan`: the command-line tool. It parses and dispatches; each command is a module.

mod certificate;
mod conform;
mod dial;
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
    /// Is the testee of the Rust implementation: requests in lines of JSON on standard input, replies on standard output
    /// (spec/conformance/PROTOCOL.md).
    Testee,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("libchan: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Certificate(args) => certificate::run(&args),
            Command::Conform(args) => conform::run(*args).await,
            Command::Dial(args) => dial::run(args).await,
            Command::Testee => {
                testee::serve(tokio::io::stdin(), tokio::io::stdout()).await;
                ExitCode::SUCCESS
            }
        }
    });
    // Reading standard input cannot be cancelled; nothing is left to wait for.
    runtime.shutdown_background();
    code
}
