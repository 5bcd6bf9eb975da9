//! The face for the original's bindings: relay protocol v1.0-draft2 on plain tcp.

mod chunks;
mod conn;
mod frame;
mod out;
mod tunnel;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::relay::Hub;

/// How long accepting pauses where the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts bindings until the relay leaves, then waits for the last of them. A handshake is never in the way of the next one.
pub(crate) async fn serve(hub: Arc<Hub>, listener: TcpListener) -> io::Result<()> {
    let mut attached = JoinSet::new();
    let port = listener.local_addr().map_or(0, |address| address.port());
    loop {
        tokio::select! {
            () = hub.leaving.begins() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _peer)) => {
                    if let Err(error) = socket.set_nodelay(true) {
                        tracing::info!(%error, "a binding's socket is gone already");
                        continue;
                    }
                    attached.spawn(conn::serve(hub.clone(), socket, port));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a binding could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_gone) = attached.join_next() => {}
        }
    }
    drop(listener);
    while attached.join_next().await.is_some() {}
    Ok(())
}
