//! `libchan dial`: opens a session and shows what both sides have agreed on: whether a peer is there, is who it should be,
//! and lets us in.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use libchan::{Session, SessionOptions};
use libchan_transports::tls::{Fingerprint, TlsClientOptions, TlsSource};
use libchan_transports::{DialOptions, dial_with};

/// Where the token comes from: an argument would be seen by every user of the machine.
const TOKEN: &str = "LIBCHAN_TOKEN";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whom to dial: a URL of any transport, such as unix:///run/build.sock, tls://build.example:7400 or
    /// wss://build.example/libchan/v1. With the variable LIBCHAN_TOKEN, that token is shown to the peer.
    url: String,
    /// Believes the certificate with this fingerprint alone, whoever has signed it: `sha256:` and 64 digits, as `libchan
    /// certificate` prints it.
    #[arg(long, value_name = "FINGERPRINT")]
    pin: Option<Fingerprint>,
    /// Believes certificates that lead to one of those in this file, PEM or DER, in the place of the platform's.
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    root: Option<PathBuf>,
    /// Shows the certificate in this file, PEM or DER, if the server asks for one. In PEM the chain and the key may stand
    /// in one file.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The key of --identity, where it stands in a file of its own.
    #[arg(long, value_name = "FILE", requires = "identity")]
    key: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> ExitCode {
    let began = Instant::now();
    match dial_with(&args.url, options(&args)).await {
        Ok(session) => {
            let took = began.elapsed();
            print!("{}", describe(&session));
            println!("{:<12} {:.1} ms", "dialed in", took.as_secs_f64() * 1000.0);
            match session.close().await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            }
        }
        Err(error) => fail(&error),
    }
}

/// An error of dialing names the URL itself.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("libchan: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

fn options(args: &Args) -> DialOptions {
    let mut tls = TlsClientOptions::new();
    if let Some(pin) = args.pin {
        tls = tls.pin(pin);
    }
    if let Some(file) = &args.root {
        tls = tls.root(TlsSource::file(file));
    }
    if let Some(chain) = &args.identity {
        let key = args.key.as_ref().unwrap_or(chain);
        tls = tls.identity(TlsSource::file(chain), TlsSource::file(key));
    }
    let mut session = SessionOptions::new();
    if let Ok(token) = std::env::var(TOKEN) {
        session = session.bearer(token);
    }
    DialOptions::default().tls(tls).session(session)
}

/// A line a fact.
fn describe(session: &Session) -> String {
    let (info, limits) = (session.info(), session.limits());
    let mut lines = vec![("peer", info.peer.clone())];
    if let Some(credentials) = &info.credentials {
        let process = credentials.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
        let who = format!("{process} of user {}, group {}", credentials.uid, credentials.gid);
        lines.push(("process", who));
    }
    lines.push(("secure", if info.secure { "yes" } else { "no: for networks you trust" }.to_owned()));
    if let Some(own) = info.certificates.as_ref().and_then(|chain| chain.first()) {
        lines.push(("certificate", Fingerprint::of(own).to_string()));
    }
    lines.push((
        "descriptors",
        if limits.max_descriptors > 0 { "pass" } else { "as byte streams" }.to_owned(),
    ));
    lines.push((
        "limits",
        format!("{} bytes a message, {} channels", limits.max_message, limits.max_channels),
    ));
    for (key, value) in session.peer_metadata().iter() {
        // What a peer says is shown so that it cannot steer the terminal.
        lines.push(("metadata", format!("{:?} = {:?}", key, String::from_utf8_lossy(value))));
    }
    lines.into_iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}
