//! What people and scripts say to clusters and topics: one verb a module.

mod body;
mod exit;
mod post;
mod request;
mod show;
mod status;
mod subscribe;
mod tunnel;

use std::process::ExitCode;

use libchan_iris::Connection;

use self::exit::Ended;
pub(super) use self::exit::HELP;
pub(super) use self::post::{broadcast, publish};
pub(super) use self::request::request;
pub(super) use self::status::status;
pub(super) use self::subscribe::subscribe;
pub(super) use self::tunnel::tunnel;
use crate::credentials::Credentials;

pub(super) type PostArgs = post::Args;
pub(super) type RequestArgs = request::Args;
pub(super) type StatusArgs = status::Args;
pub(super) type SubscribeArgs = subscribe::Args;
pub(super) type TunnelArgs = tunnel::Args;

/// The relay, and who we are.
#[derive(clap::Args)]
struct Attach {
    /// The relay: a URL of any transport, as it printed it. With the variable LIBCHAN_TOKEN, that token is shown to it.
    url: String,
    #[command(flatten)]
    credentials: Credentials,
}

impl Attach {
    async fn connect(&self) -> Result<Connection, Ended> {
        Ok(Connection::connect_with(&self.url, self.credentials.options()).await?)
    }
}

/// Leaves the relay in good order. What was to be done is done, so that an error of leaving changes nothing.
async fn leave(connection: Connection) {
    if let Err(error) = connection.close().await {
        eprintln!("libchan: leaving the relay: {error}");
    }
}

/// Runs a verb and tells how it ended.
fn run(verb: impl Future<Output = Result<(), Ended>>) -> ExitCode {
    crate::on_one_thread(async {
        match verb.await {
            Ok(()) => ExitCode::SUCCESS,
            Err(ended) => ended.tell(),
        }
    })
}
