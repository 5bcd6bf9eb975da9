//! `libchan iris request`: asks a member of a cluster and prints its reply.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use libchan_iris::{Body, Wait};
use tokio::io::AsyncWriteExt;

use super::body::BodyArgs;
use super::exit::Ended;
use super::{Attach, show};
use crate::iris::units::duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    attach: Attach,
    /// The cluster.
    cluster: String,
    #[command(flatten)]
    body: BodyArgs,
    /// How long the reply may take, from when the relay was reached: 200ms, 1.5s, 2m.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Ends at once with exit code 4 if the cluster has no member, rather than to wait for one.
    #[arg(long)]
    no_wait: bool,
    /// Prints a reply that is a value as JSON, as on a terminal. Plain bytes are printed as they are.
    #[arg(long)]
    json: bool,
}

pub(crate) fn request(args: Args) -> ExitCode {
    super::run(async move {
        let body = args.body.read().await?;
        let iris = args.attach.connect().await?;
        let wait = if args.no_wait { Wait::No } else { Wait::ForAMember };
        let reply = iris.request_raw(&args.cluster, body, args.timeout, wait).await;
        // It leaves in good order whatever came of the request.
        super::leave(iris).await;
        print(reply?, args.json).await
    })
}

async fn print(reply: Body, json: bool) -> Result<(), Ended> {
    if reply.ends() > 0 {
        eprintln!(
            "libchan: the reply holds {} channel ends, which are closed: see `Connection::request`",
            reply.ends()
        );
    }
    let bytes = reply.as_bytes().to_vec();
    let terminal = std::io::stdout().is_terminal();
    let shown = if json || terminal { show::as_json(reply).map(|json| json + "\n") } else { None };
    let bytes = match shown {
        Some(json) => json.into_bytes(),
        None if terminal => (show::printable(&bytes) + "\n").into_bytes(),
        None => bytes,
    };
    let mut out = tokio::io::stdout();
    out.write_all(&bytes).await.map_err(|error| Ended::output(&error))?;
    out.flush().await.map_err(|error| Ended::output(&error))
}
