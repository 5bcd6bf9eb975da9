//! `libchan iris tunnel`: joins standard input and output to a member of a cluster.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use libchan_iris::{Error, Tunnel};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Attach;
use super::exit::Ended;
use crate::iris::units::duration;

/// The most that is read at once.
const CHUNK: usize = 64 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    attach: Attach,
    /// The cluster.
    cluster: String,
    /// How long it may take until a member has the tunnel.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

pub(crate) fn tunnel(args: Args) -> ExitCode {
    super::run(async move {
        let iris = args.attach.connect().await?;
        let tunnel = iris.tunnel(&args.cluster, args.timeout).await?;
        join(tunnel).await?;
        super::leave(iris).await;
        Ok(())
    })
}

/// Until the member closes the tunnel. The end of the input closes our way of it.
async fn join(tunnel: Tunnel) -> Result<(), Ended> {
    let (mut from, mut to) = tunnel.into_io().split();
    {
        let printing = print(&mut from);
        let sending = send(&mut to);
        tokio::pin!(printing, sending);
        tokio::select! {
            printed = &mut printing => printed?,
            sent = &mut sending => {
                sent?;
                printing.await?;
            }
        }
    }
    // It has ended its way; that we say no more is no loss.
    let _ = to.shutdown().await;
    Ok(())
}

/// Standard input to its end, or for as long as the member takes it.
async fn send(to: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
    let mut stdin = tokio::io::stdin();
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        let read = stdin.read_buf(&mut chunk).await;
        if read.map_err(|error| Ended::Local(format!("standard input: {error}")))? == 0 {
            // Whether the member is still there is seen by who reads.
            let _ = to.shutdown().await;
            return Ok(());
        }
        if to.write_all(&chunk).await.is_err() {
            return Ok(());
        }
    }
}

/// What the member says, to standard output, until it has ended its way.
async fn print(from: &mut (impl AsyncRead + Unpin)) -> Result<(), Ended> {
    let mut out = tokio::io::stdout();
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        match from.read_buf(&mut chunk).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(_) => return Err(Error::Lost.into()),
        }
        let written: io::Result<()> = async {
            out.write_all(&chunk).await?;
            out.flush().await
        }
        .await;
        written.map_err(|error| Ended::output(&error))?;
    }
}
