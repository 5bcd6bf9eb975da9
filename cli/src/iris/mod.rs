//! `libchan iris`: a relay, and what people and scripts say to clusters and topics through one.

mod client;
mod page;
mod relay;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Tells every member of a cluster, and waits for no answer: what the relay refuses, or nobody hears, is counted there.
    #[command(after_help = client::HELP)]
    Broadcast(client::PostArgs),
    /// Tells every subscription of a topic, and waits for no answer: what the relay refuses, or nobody hears, is counted there.
    #[command(after_help = client::HELP)]
    Publish(client::PostArgs),
    /// Is a relay: applications attach to it, and reach clusters and topics by name.
    Relay(Box<relay::Args>),
    /// Asks a member of a cluster, and prints its reply as it is.
    #[command(after_help = client::HELP)]
    Request(client::RequestArgs),
    /// Prints what a relay holds and does, as its status page (`relay --status`) shows it.
    #[command(after_help = client::HELP)]
    Status(client::StatusArgs),
    /// Prints what is published under a topic, an event a line.
    #[command(after_help = client::HELP)]
    Subscribe(client::SubscribeArgs),
    /// Joins standard input and output to a member of a cluster, both ways, until it ends its side.
    #[command(after_help = client::HELP)]
    Tunnel(client::TunnelArgs),
}

pub(crate) fn run(command: Command) -> ExitCode {
    match command {
        Command::Broadcast(args) => client::broadcast(args),
        Command::Publish(args) => client::publish(args),
        Command::Relay(args) => relay::run(&args),
        Command::Request(args) => client::request(args),
        Command::Status(args) => client::status(args),
        Command::Subscribe(args) => client::subscribe(args),
        Command::Tunnel(args) => client::tunnel(args),
    }
}

/// A relay of Iris: applications attach to it, and reach clusters and topics by name. Options may have one dash, as those of
/// the original have.
#[derive(Parser)]
#[command(name = "iris", version, arg_required_else_help = true, max_term_width = 100)]
struct Original {
    #[command(flatten)]
    relay: relay::Args,
}

/// The relay with the original's options.
pub(crate) fn original() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().into_iter();
    relay::run(&Original::parse_from(program.chain(words.map(two_dashes))).relay)
}

/// `-dev` and `-port=1` are options of one letter each to the parser: with a second dash they are the words that are meant.
fn two_dashes(word: OsString) -> OsString {
    let is_long = word.to_str().is_some_and(|text| {
        let mut letters = text.strip_prefix('-').unwrap_or_default().chars();
        letters.by_ref().take(2).filter(char::is_ascii_lowercase).count() == 2
    });
    if !is_long {
        return word;
    }
    let mut longer = OsString::from("-");
    longer.push(word);
    longer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_dashes_become_double() {
        for (given, read) in [
            ("-dev", "--dev"),
            ("-port", "--port"),
            ("-port=0", "--port=0"),
            ("--dev", "--dev"),
            ("-h", "-h"),
            ("-V", "-V"),
            ("-", "-"),
            ("--", "--"),
            ("-1", "-1"),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
        ] {
            assert_eq!(two_dashes(given.into()), OsString::from(read), "{given}");
        }
    }
}
