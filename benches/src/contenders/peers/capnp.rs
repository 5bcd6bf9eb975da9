//! capnp-rpc: calls of capabilities, which may carry capabilities; codec of its own. Its futures cannot leave their
//! thread, so it takes part with one thread only and is driven here. `bench_capnp.rs` is generated and checked in:
//! `capnp compile -orust bench.capnp` with capnpc 0.27.

use std::rc::Rc;

use capnp::Error;
use capnp::capability::Rc as ServerRc;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, new_client, twoparty};
use futures::io::{AsyncReadExt, BufReader, BufWriter};
use tokio::task::spawn_local;
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::socket::{Socket, pair};
use crate::bench_capnp::{echo, item, replies};
use crate::case::{Sample, Stopwatch, warm_up};
use crate::drive::Gates;
use crate::net::Transport;
use crate::payload::Item;

struct Server;

/// Decodes as the others do: the body into memory of its own.
fn decode(item: item::Reader<'_>) -> Result<Item, Error> {
    let body = bytes::Bytes::copy_from_slice(item.get_body()?);
    Ok(Item { id: item.get_id(), kind: item.get_kind(), body })
}

fn encode(item: &Item, mut out: item::Builder<'_>) {
    out.set_id(item.id);
    out.set_kind(item.kind);
    out.set_body(&item.body);
}

impl echo::Server for Server {
    async fn echo(
        self: ServerRc<Self>,
        params: echo::EchoParams,
        mut results: echo::EchoResults,
    ) -> Result<(), Error> {
        let item = decode(params.get()?.get_item()?)?;
        encode(&item, results.get().init_item());
        Ok(())
    }

    async fn nested(
        self: ServerRc<Self>,
        params: echo::NestedParams,
        _: echo::NestedResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let item = decode(params.get_item()?)?;
        let mut reply = params.get_replies()?.reply_request();
        encode(&item, reply.get().init_item());
        reply.send().promise.await?;
        Ok(())
    }

    async fn push(self: ServerRc<Self>, params: echo::PushParams) -> Result<(), Error> {
        std::hint::black_box(decode(params.get()?.get_item()?)?);
        Ok(())
    }

    async fn open(
        self: ServerRc<Self>,
        _: echo::OpenParams,
        mut results: echo::OpenResults,
    ) -> Result<(), Error> {
        results.get().set_channel(new_client(Self));
        Ok(())
    }
}

fn network(socket: Socket, side: Side) -> Box<twoparty::VatNetwork<impl futures::AsyncRead + Unpin>> {
    let (reader, writer) = socket.compat().split();
    let (reader, writer) = (BufReader::new(reader), BufWriter::new(writer));
    Box::new(twoparty::VatNetwork::new(reader, writer, side, Default::default()))
}

async fn connect(transport: Transport) -> echo::Client {
    let (client, server) = pair(transport).await;
    let bootstrap: echo::Client = new_client(Server);
    spawn_local(RpcSystem::new(network(server, Side::Server), Some(bootstrap.client)));
    let mut client = RpcSystem::new(network(client, Side::Client), None);
    let echo = client.bootstrap(Side::Server);
    spawn_local(client);
    echo
}

async fn call(echo: &echo::Client) {
    let mut request = echo.echo_request();
    encode(&Item::small(), request.get().init_item());
    let reply = request.send().promise.await.expect("a reply");
    let item = reply.get().expect("a reply").get_item().expect("an item");
    std::hint::black_box(decode(item).expect("decodes"));
}

/// All callers call at the same time, one request at a time each.
async fn calls(callers: usize, operations: u64, call: impl AsyncFn(usize) + 'static) -> Sample {
    let each = (operations / callers as u64).max(1);
    let (gates, call) = (Gates::new(callers), Rc::new(call));
    for caller in 0..callers {
        let (gates, call) = (gates.clone(), call.clone());
        spawn_local(async move {
            for _ in 0..warm_up(each).max(1) {
                call(caller).await;
            }
            gates.warm().await;
            for _ in 0..each {
                call(caller).await;
            }
            gates.done().await;
        });
    }
    gates.watch(each * callers as u64).await
}

/// So many callers on one connection.
pub async fn callers(on: Transport, count: usize, operations: u64) -> Sample {
    let echo = connect(on).await;
    calls(count, operations, async move |_| call(&echo).await).await
}

/// One caller on each of so many connections.
pub async fn many(on: Transport, count: usize, operations: u64) -> Sample {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(connect(on).await);
    }
    calls(count, operations, async move |caller| call(&connections[caller]).await).await
}

/// The reply channel of a request: what comes in goes to who waits.
struct Replies(std::cell::Cell<Option<tokio::sync::oneshot::Sender<Item>>>);

impl replies::Server for Replies {
    async fn reply(
        self: ServerRc<Self>,
        params: replies::ReplyParams,
        _: replies::ReplyResults,
    ) -> Result<(), Error> {
        if let Some(waiting) = self.0.take() {
            drop(waiting.send(decode(params.get()?.get_item()?)?));
        }
        Ok(())
    }
}

pub async fn nested(on: Transport, count: usize, operations: u64) -> Sample {
    let echo = connect(on).await;
    let call = async move |_| {
        let (reply, outcome) = tokio::sync::oneshot::channel();
        let mut request = echo.nested_request();
        encode(&Item::small(), request.get().init_item());
        request.get().set_replies(new_client(Replies(Some(reply).into())));
        // The call itself is answered too; who has the reply does not wait for that.
        let answer = request.send().promise;
        std::hint::black_box(outcome.await.expect("a reply"));
        answer.await.expect("an answer");
    };
    calls(count, operations, call).await
}

/// One way, by its calls with flow control.
pub async fn stream(on: Transport, message: Item, operations: u64) -> Sample {
    let echo = connect(on).await;
    let push = async |times: u64| {
        for _ in 0..times {
            let mut request = echo.push_request();
            encode(&message, request.get().init_item());
            request.send().await.expect("sends");
        }
        // Comes after all that was pushed.
        call(&echo).await;
    };
    push(warm_up(operations)).await;
    let watch = Stopwatch::start();
    push(operations).await;
    watch.stop(operations)
}

/// Opens so many capabilities of the server, uses each once and keeps them.
pub async fn idle(on: Transport, count: u64) -> Sample {
    let echo = connect(on).await;
    let mut kept = Vec::with_capacity(count as usize + 1);
    let open = async |count: u64, kept: &mut Vec<echo::Client>| {
        for _ in 0..count {
            let reply = echo.open_request().send().promise.await.expect("a reply");
            let channel = reply.get().expect("a reply").get_channel().expect("a capability");
            call(&channel).await;
            kept.push(channel);
        }
    };
    open(1, &mut kept).await;
    let watch = Stopwatch::start();
    open(count, &mut kept).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let mut sample = watch.stop(count);
    let each = |total: f64| total / count as f64;
    sample.facts = vec![
        ("bytes", each(sample.counts.live as f64)),
        ("allocations", each(sample.counts.allocations as f64)),
        ("us to open", each(sample.time.as_nanos() as f64 / 1000.0)),
    ];
    sample
}
