//! `libchan dial`: opens a session and shows what both sides have agreed on: whether a peer is there, is who it should be,
//! and lets us in.

use std::process::ExitCode;
use std::time::Instant;

use libchan::Session;
use libchan_transports::dial_with;
use libchan_transports::tls::Fingerprint;

use crate::credentials::Credentials;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whom to dial: a URL of any transport, such as unix:///run/build.sock, tls://build.example:7400 or
    /// wss://build.example/libchan/v1. With the variable LIBCHAN_TOKEN, that token is shown to the peer.
    url: String,
    #[command(flatten)]
    credentials: Credentials,
}

pub(crate) async fn run(args: Args) -> ExitCode {
    let began = Instant::now();
    match dial_with(&args.url, args.credentials.options()).await {
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
