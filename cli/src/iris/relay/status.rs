//! The status page of a relay, as options.

use std::sync::Arc;

use libchan_iris::Relay;
use tokio::net::TcpListener;

use super::{RightsFile, Tokens};
use crate::iris::page::{self, Access};

#[derive(clap::Args)]
#[command(next_help_heading = "Status")]
pub(super) struct StatusArgs {
    /// Serves the status page over HTTP at this address, such as 127.0.0.1:8080: `/` for people, `/status.json`, `/metrics` for
    /// Prometheus, `/healthz`. With --tokens it takes a token, as `Authorization: Bearer TOKEN` or as the password in a browser, and
    /// with --rights the act `status`. It is not encrypted: a proxy before it can do that.
    #[arg(long, value_name = "ADDRESS")]
    status: Option<String>,
    /// A name under which the status page may be asked for, beside localhost and addresses. Without that, any web page could
    /// reach it through a name of its own. May be repeated.
    #[arg(long, value_name = "NAME", requires = "status")]
    status_host: Vec<String>,
}

/// A status page that is not served yet.
pub(super) struct StatusPage {
    socket: TcpListener,
    access: Access,
}

impl StatusArgs {
    /// Listens, if it is to.
    ///
    /// # Errors
    /// The address cannot be listened at: the text says which.
    pub(super) async fn listen(
        &self,
        tokens: Option<Arc<Tokens>>,
        rights: Option<Arc<RightsFile>>,
    ) -> Result<Option<StatusPage>, String> {
        let Some(address) = &self.status else { return Ok(None) };
        let socket =
            TcpListener::bind(address).await.map_err(|error| format!("--status {address}: {error}"))?;
        let access = Access { tokens, rights, hosts: self.status_host.clone().into() };
        Ok(Some(StatusPage { socket, access }))
    }
}

impl StatusPage {
    /// Serves it until the future is dropped.
    pub(super) async fn serve(self, relay: Relay) -> String {
        page::serve(relay, self.socket, self.access).await;
        "the status page is no longer served".to_owned()
    }

    /// Says where it is.
    ///
    /// # Errors
    /// The system does not tell.
    pub(super) fn announce(&self) -> Result<(), String> {
        let address = self.socket.local_addr().map_err(|error| error.to_string())?;
        println!("status on http://{address}/");
        tracing::info!(%address, "serving the status page");
        if self.access.tokens.is_none() && !address.ip().is_loopback() {
            tracing::warn!(%address, "whoever reaches this address may see the status page: --tokens says who may");
        }
        Ok(())
    }
}
