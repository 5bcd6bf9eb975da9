//! tarpc: requests and replies of a trait, codec bincode, framed by length. It has no channels.

use futures::StreamExt;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::tokio_util::codec::{Framed, LengthDelimitedCodec};
use tarpc::{client, context, serde_transport};

use super::socket::pair;
use crate::contenders::Caller;
use crate::net::Transport;
use crate::payload::Item;

#[tarpc::service]
trait Echo {
    async fn echo(item: Item) -> Item;
}

#[derive(Clone)]
struct Server;

impl Echo for Server {
    async fn echo(self, _: context::Context, item: Item) -> Item {
        item
    }
}

#[derive(Clone)]
pub struct EchoCaller(EchoClient);

/// So many callers on one connection.
pub async fn callers(transport: Transport, count: usize) -> Vec<EchoCaller> {
    let (client, server) = pair(transport).await;
    let client = serde_transport::new(Framed::new(client, LengthDelimitedCodec::new()), Bincode::default());
    let server = serde_transport::new(Framed::new(server, LengthDelimitedCodec::new()), Bincode::default());
    let serving = BaseChannel::with_defaults(server).execute(Server.serve());
    tokio::spawn(serving.for_each(async |reply| drop(tokio::spawn(reply))));
    let mut config = client::Config::default();
    config.pending_request_buffer = 256;
    vec![EchoCaller(EchoClient::new(config, client).spawn()); count]
}

pub async fn many(transport: Transport, count: usize) -> Vec<EchoCaller> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.extend(callers(transport, 1).await);
    }
    all
}

impl Caller for EchoCaller {
    async fn call(&mut self) {
        std::hint::black_box(self.0.echo(context::current(), Item::small()).await.expect("a reply"));
    }
}
