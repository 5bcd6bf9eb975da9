//! `libchan iris relay`, and the program `iris`: a relay that applications attach to.

mod admit;
mod limits;
mod lines;
mod listen;
mod rights;
mod status;
mod stop;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libchan_iris::{Act, Relay, Rights};
use tokio::task::JoinSet;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub(super) use self::admit::Tokens;
pub(super) use self::rights::RightsFile;
use self::stop::{Signals, Told};
use crate::iris::units::duration;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Is a relay of its own. Has to be said, because relays do not form a network yet.
    #[arg(long)]
    dev: bool,
    /// The network of relays to join: there is none yet.
    #[arg(long, value_name = "NAME")]
    net: Option<String>,
    /// The key of the network of relays: there is none yet.
    #[arg(long, value_name = "FILE")]
    rsa: Option<String>,
    /// What is logged to standard error: off, error, warn, info, debug (each message) or trace; with a module before it, only
    /// there: `info,libchan_iris=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = filter)]
    log: Targets,
    /// How long requests in hand may take to end after SIGTERM or SIGINT.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    drain: Duration,
    /// Threads that serve applications; by default one a processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    listen: listen::ListenArgs,
    #[command(flatten)]
    admit: listen::AdmitArgs,
    #[command(flatten)]
    status: status::StatusArgs,
    #[command(flatten)]
    limits: limits::LimitArgs,
}

const EXAMPLES: &str = "\
Standard output says where it listens, a line each: `listening on URL`, and `listening on port N` for bindings of the original,
`status on URL` for the status page.
SIGTERM and SIGINT end it in good order with exit code 0: nobody new is let in, applications are told to go elsewhere, requests in
hand may end within --drain. A second signal ends it at once. Exit code 1: it cannot listen or go on;
2: the arguments, or a file that they name, are wrong.

  libchan iris relay --dev
  libchan iris relay --dev --no-draft2 --listen unix:///run/iris.sock
  libchan iris relay --dev --listen tls://0.0.0.0:5556 --certificate relay.pem --tokens tokens --rights rights

A tokens file, and a rights file:

  # NAME TOKEN (openssl rand -hex 32)        # WHO ACT,... NAME...
  shop   6f1c...                             shop      request,tunnel     billing stock.*
  billing 93ab...                            billing   register           billing
                                             +         publish,subscribe  prices.*
                                             ops       status";

/// What is logged. A lone word is a level: the parser of filters would take it for a module.
fn filter(text: &str) -> Result<Targets, String> {
    let wrong = |part: &str| format!("{part:?} is no level: off, error, warn, info, debug or trace");
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        level.parse::<LevelFilter>().map_err(|_| wrong(level))?;
    }
    text.parse().map_err(|error| format!("{error}"))
}

/// Why a relay does not start, or does not go on.
enum Fail {
    /// The arguments, or a file that they name, are wrong.
    Usage(String),
    Trouble(String),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    if let Err(why) = args.check() {
        eprintln!("iris: {why}");
        return ExitCode::from(2);
    }
    let writer =
        tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(writer).with(args.log.clone()).init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads.into());
    }
    crate::run_on(runtime, async {
        let (why, code) = match serve(args).await {
            Ok(code) => return code,
            Err(Fail::Usage(why)) => (why, 2),
            Err(Fail::Trouble(why)) => (why, 1),
        };
        eprintln!("iris: {why}");
        ExitCode::from(code)
    })
}

impl Args {
    fn check(&self) -> Result<(), String> {
        const INSTEAD: &str = "Start with --dev: one relay, for all applications that reach it. For those on other machines \
                               let it listen at tls:// with --listen, --certificate and --tokens.";
        if self.net.is_some() || self.rsa.is_some() {
            return Err(format!("--net and --rsa: there is no network of relays yet. {INSTEAD}"));
        }
        if !self.dev {
            return Err(format!("--dev is missing, and there is no network of relays yet. {INSTEAD}"));
        }
        if self.listen.no_draft2 && self.listen.listen.is_empty() {
            return Err("nobody could attach: with --no-draft2 it takes a --listen URL".to_owned());
        }
        let encrypted = ["tls:", "wss:", "https:"];
        let of_tls = |url: &String| encrypted.iter().any(|scheme| url.starts_with(scheme));
        match (&self.listen.certificate, self.listen.listen.iter().find(|url| of_tls(url))) {
            (None, Some(url)) => Err(format!("{url} is encrypted and takes a --certificate")),
            (Some(_), None) => {
                Err("--certificate is for tls:, wss: and https:, and no --listen URL is one".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn no_longer() -> String {
    "no longer listening".to_owned()
}

async fn serve(args: &Args) -> Result<ExitCode, Fail> {
    // What can be wrong with the arguments is found out before anything listens.
    let tokens =
        args.admit.tokens.as_deref().map(Tokens::read).transpose().map_err(Fail::Usage)?.map(Arc::new);
    let rights =
        args.admit.rights.as_deref().map(RightsFile::read).transpose().map_err(Fail::Usage)?.map(Arc::new);
    let trouble = |error: std::io::Error| Fail::Trouble(error.to_string());
    let mut signals = Signals::new().map_err(trouble)?;
    let gate = args.admit.gate(tokens.as_ref());
    let listeners = listen::listen(&args.listen, &args.admit, gate.as_ref()).await.map_err(Fail::Trouble)?;
    let page = args.status.listen(tokens, rights.clone()).await.map_err(Fail::Trouble)?;
    let mut relay = Relay::builder().limits(args.limits.limits());
    if let Some(rights) = rights {
        relay = relay.rights(move |who: Option<&str>, act: Act<'_>| rights.allows(who, act));
    }
    let relay = relay.build();

    let mut serving: JoinSet<String> = JoinSet::new();
    for listener in listeners {
        println!("listening on {}", listener.url());
        tracing::info!(url = listener.url(), "listening");
        let relay = relay.clone();
        serving.spawn(async move {
            let url = listener.url().to_owned();
            let ended = relay.serve(listener).await;
            format!("{url}: {}", ended.map_or_else(|error| error.to_string(), |()| no_longer()))
        });
    }
    if let Some(page) = page {
        page.announce().map_err(Fail::Trouble)?;
        serving.spawn(page.serve(relay.clone()));
    }
    if !args.listen.no_draft2 {
        let (port, sockets) = listen::listen_draft2(args.listen.port).await.map_err(Fail::Trouble)?;
        if gate.is_some() {
            tracing::warn!(
                relay_port = port,
                "bindings of the original have no credentials: every program of this machine may attach; --no-draft2 \
                 does without, --rights says what those without a name may do"
            );
        }
        for socket in sockets {
            let relay = relay.clone();
            serving.spawn(async move {
                let ended = relay.serve_draft2(socket).await;
                format!("port {port}: {}", ended.map_or_else(|error| error.to_string(), |()| no_longer()))
            });
        }
        println!("listening on port {port}");
        tracing::info!(relay_port = port, "iris successfully booted");
    } else {
        tracing::info!("iris successfully booted");
    }
    tokio::select! {
        Told { name, .. } = signals.next() => {
            tracing::info!(signal = name, "ending");
            Ok(stop::end(relay, serving, args.drain, &mut signals).await)
        }
        Some(ended) = serving.join_next() => {
            Err(Fail::Trouble(ended.unwrap_or_else(|error| error.to_string())))
        }
    }
}
