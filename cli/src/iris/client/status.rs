//! `libchan iris status`: what a relay holds and does, as its status page shows it.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use libchan::pipe_with;
use libchan_transports::dial_with;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::exit::Ended;
use super::show::on_one_line;
use crate::credentials::Credentials;
use crate::iris::page::{LIVE, STATUS, Snapshot, Watch};

/// How long the first snapshot may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The status page, as the relay printed it: http://127.0.0.1:8080/. With the variable LIBCHAN_TOKEN, that token is shown to
    /// it.
    url: String,
    #[command(flatten)]
    credentials: Credentials,
    /// Prints JSON on one line.
    #[arg(long)]
    json: bool,
    /// Prints it again every second, until a signal or the relay's end.
    #[arg(long)]
    watch: bool,
}

pub(crate) fn status(args: Args) -> ExitCode {
    super::run(async move {
        let url = live(&args.url)?;
        let session =
            dial_with(&url, args.credentials.options()).await.map_err(|error| match error.refusal() {
                Some(_) => Ended::Iris(libchan_iris::Error::Refused(error.to_string())),
                None => Ended::Local(error.to_string()),
            })?;
        let (updates, snapshots) = pipe_with(1);
        let gone = |_| Ended::Iris(libchan_iris::Error::Lost);
        let asked = session.open::<Watch>(STATUS).map_err(|error| Ended::Local(error.to_string()))?;
        asked.send(Watch { updates }).await.map_err(|error| Ended::Local(error.to_string()))?;
        let mut out = tokio::io::stdout();
        loop {
            let snapshot = timeout(PATIENCE, snapshots.recv())
                .await
                .map_err(|_| Ended::Iris(libchan_iris::Error::Timeout))?;
            let Some(snapshot) = snapshot.map_err(gone)? else {
                return Err(Ended::Iris(libchan_iris::Error::Lost));
            };
            let text = if args.json { json(&snapshot)? } else { table(&snapshot) };
            out.write_all(text.as_bytes()).await.map_err(|error| Ended::output(&error))?;
            out.flush().await.map_err(|error| Ended::output(&error))?;
            if !args.watch {
                // What is open ends with the session: nothing is left to say.
                drop(session.close().await);
                return Ok(());
            }
        }
    })
}

/// Where the page has its sessions.
fn live(url: &str) -> Result<String, Ended> {
    let page = url.strip_prefix("http").filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
    let Some(rest) = page else {
        return Err(Ended::Usage(format!(
            "{url} is no page: the relay prints its address, http://ADDRESS/, if it was started with --status"
        )));
    };
    Ok(format!("ws{}{LIVE}", rest.trim_end_matches('/')))
}

fn json(snapshot: &Snapshot) -> Result<String, Ended> {
    serde_json::to_string(snapshot).map(|text| text + "\n").map_err(|error| Ended::Local(error.to_string()))
}

/// For people: a line a cluster and topic.
fn table(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // A String takes whatever is written.
    let _ = write(&mut text, snapshot);
    text
}

fn write(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let relay = &snapshot.relay;
    writeln!(out, "{:<14} {} s", "up", snapshot.uptime_ms / 1000)?;
    for (name, value) in
        [("applications", relay.clients), ("members", relay.members), ("under way", relay.under_way)]
    {
        writeln!(out, "{name:<14} {value}")?;
    }
    for (name, value) in [
        ("requests", relay.requests),
        ("answered", relay.answered),
        ("faults", relay.faults),
        ("timed out", relay.timeouts),
        ("no member", relay.no_member),
        ("no room", relay.busy),
        ("member lost", relay.lost),
        ("cancelled", relay.cancelled),
        ("broadcasts", relay.broadcasts),
        ("events", relay.published),
        ("delivered", relay.delivered),
        ("dropped", relay.dropped),
        ("refused", relay.refused),
    ] {
        writeln!(out, "{name:<14} {value}")?;
    }
    if !snapshot.clusters.is_empty() {
        writeln!(out, "\n{:>8} {:>8} {:>8} {:>8}  CLUSTER", "MEMBERS", "SLOTS", "IN HAND", "WAITING")?;
    }
    for of in &snapshot.clusters {
        let name = on_one_line(of.name.as_bytes());
        writeln!(out, "{:>8} {:>8} {:>8} {:>8}  {name}", of.members, of.slots, of.in_hand, of.waiting)?;
    }
    if snapshot.more_clusters > 0 {
        writeln!(out, "and {} more", snapshot.more_clusters)?;
    }
    if !snapshot.topics.is_empty() {
        writeln!(out, "\n{:>13} {:>10} {:>12}  TOPIC", "SUBSCRIPTIONS", "EVENTS", "BYTES")?;
    }
    for of in &snapshot.topics {
        writeln!(
            out,
            "{:>13} {:>10} {:>12}  {}",
            of.subscriptions,
            of.events,
            of.bytes,
            on_one_line(of.name.as_bytes())
        )?;
    }
    if snapshot.more_topics > 0 {
        writeln!(out, "and {} more", snapshot.more_topics)?;
    }
    Ok(())
}
