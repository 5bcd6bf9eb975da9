//! `libchan iris broadcast` and `publish`: tell many, and hear no answer.

use std::process::ExitCode;
use std::time::Duration;

use libchan_iris::{Body, Connection, Error};
use tokio::time::timeout;

use super::Attach;
use super::body::BodyArgs;
use super::exit::Ended;

/// How long the relay may take until it has it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    attach: Attach,
    /// The cluster of a broadcast, or the topic of an event.
    name: String,
    #[command(flatten)]
    body: BodyArgs,
}

/// Tells every member of a cluster.
pub(crate) fn broadcast(args: Args) -> ExitCode {
    super::run(async {
        let (iris, name, body) = begin(args).await?;
        end(iris.clone(), iris.broadcast_raw(&name, body)).await
    })
}

/// Tells every subscription of a topic.
pub(crate) fn publish(args: Args) -> ExitCode {
    super::run(async {
        let (iris, name, body) = begin(args).await?;
        end(iris.clone(), iris.publish_raw(&name, body)).await
    })
}

async fn begin(args: Args) -> Result<(Connection, String, Body), Ended> {
    let body = args.body.read().await?;
    Ok((args.attach.connect().await?, args.name, body))
}

/// Told, and with the relay: closing hands over what was posted.
async fn end(iris: Connection, posted: impl Future<Output = Result<(), Error>>) -> Result<(), Ended> {
    let handed_over = async {
        posted.await?;
        iris.close().await.map_err(|_| Error::Lost)
    };
    timeout(PATIENCE, handed_over).await.unwrap_or(Err(Error::Lost)).map_err(Ended::Iris)
}
