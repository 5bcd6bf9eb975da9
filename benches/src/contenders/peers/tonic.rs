//! tonic: gRPC on HTTP/2, codec protobuf. The service is written by hand as its generator would write it, so that no
//! protobuf compiler is needed. A call is a unary one; an open stream is a call whose two directions stay open.

use std::convert::Infallible;
use std::future::Ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::socket::{Socket, pair};
use crate::contenders::{Caller, Drain, Feed, Opener};
use crate::net::Transport;
use crate::payload;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

impl From<payload::Item> for Item {
    fn from(item: payload::Item) -> Self {
        Self { id: item.id, kind: item.kind, body: item.body }
    }
}

/// More than the 4 MiB that it would decode is not sent.
const UNARY: &str = "/bench.Echo/Unary";
const STREAM: &str = "/bench.Echo/Stream";
const TAKE: &str = "/bench.Echo/Take";

type Codec = ProstCodec<Item, Item>;
type Inbox = Arc<Mutex<Option<oneshot::Sender<Streaming<Item>>>>>;

// ---- the server

#[derive(Clone)]
struct Echo {
    /// Where the incoming stream of `Take` goes.
    taken: Inbox,
}

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl tower_service::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(Codec::default());
        match request.uri().path() {
            UNARY => Box::pin(async move { Ok(grpc.unary(Unary, request).await) }),
            STREAM => Box::pin(async move { Ok(grpc.streaming(Stream, request).await) }),
            _ => {
                let take = Take(self.taken.clone());
                Box::pin(async move { Ok(grpc.client_streaming(take, request).await) })
            }
        }
    }
}

struct Unary;

impl tower_service::Service<Request<Item>> for Unary {
    type Response = Response<Item>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Item>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

/// Sends back what comes in: the incoming stream is the outgoing one.
struct Stream;

impl tower_service::Service<Request<Streaming<Item>>> for Stream {
    type Response = Response<Streaming<Item>>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Item>>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

/// Gives the incoming stream to the drain, and answers never.
struct Take(Inbox);

impl tower_service::Service<Request<Streaming<Item>>> for Take {
    type Response = Response<Item>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Item>>) -> Self::Future {
        if let Some(taken) = self.0.lock().expect("unpoisoned").take() {
            drop(taken.send(request.into_inner()));
        }
        Box::pin(std::future::pending())
    }
}

impl Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

/// A client's connection, and where the server gives what `Take` brings.
async fn connect(transport: Transport) -> (Channel, oneshot::Receiver<Streaming<Item>>) {
    let (client, server) = pair(transport).await;
    let (taken, incoming) = oneshot::channel();
    let echo = Echo { taken: Arc::new(Mutex::new(Some(taken))) };
    // The end of the incoming connections is the end of the server: one comes, and then nothing.
    let sockets = futures::StreamExt::chain(
        tokio_stream::once(Ok::<_, std::io::Error>(server)),
        futures::stream::pending(),
    );
    tokio::spawn(Server::builder().add_service(echo).serve_with_incoming(sockets));
    let endpoint = Endpoint::from_static("http://bench");
    let channel = endpoint.connect_with_connector(Once(Some(client))).await.expect("connects");
    (channel, incoming)
}

/// A connector that has one connection.
struct Once(Option<Socket>);

impl tower_service::Service<http::Uri> for Once {
    type Response = TokioIo<Socket>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let socket = self.0.take().ok_or(std::io::ErrorKind::NotConnected.into());
        std::future::ready(socket.map(TokioIo::new))
    }
}

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

async fn ready(channel: &Channel) -> tonic::client::Grpc<Channel> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.expect("is ready");
    grpc
}

// ---- unary calls

pub struct UnaryCaller(tonic::client::Grpc<Channel>);

pub async fn callers(transport: Transport, count: usize) -> Vec<UnaryCaller> {
    let (channel, _) = connect(transport).await;
    (0..count).map(|_| UnaryCaller(tonic::client::Grpc::new(channel.clone()))).collect()
}

pub async fn many(transport: Transport, count: usize) -> Vec<UnaryCaller> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.extend(callers(transport, 1).await);
    }
    all
}

impl Caller for UnaryCaller {
    async fn call(&mut self) {
        self.0.ready().await.expect("is ready");
        let request = Request::new(Item::from(payload::Item::small()));
        let reply: Response<Item> =
            self.0.unary(request, path(UNARY), Codec::default()).await.expect("a reply");
        std::hint::black_box(reply.into_inner());
    }
}

// ---- an open stream

pub struct StreamCaller {
    requests: mpsc::Sender<Item>,
    replies: Streaming<Item>,
}

async fn open(channel: &Channel) -> StreamCaller {
    let (requests, outgoing) = mpsc::channel(64);
    let outgoing = Request::new(ReceiverStream::new(outgoing));
    let replies = ready(channel).await.streaming(outgoing, path(STREAM), Codec::default()).await;
    StreamCaller { requests, replies: replies.expect("opens").into_inner() }
}

pub async fn streams(transport: Transport, count: usize) -> Vec<StreamCaller> {
    let (channel, _) = connect(transport).await;
    let mut callers = Vec::new();
    for _ in 0..count {
        callers.push(open(&channel).await);
    }
    callers
}

pub async fn many_streams(transport: Transport, count: usize) -> Vec<StreamCaller> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.extend(streams(transport, 1).await);
    }
    all
}

impl Caller for StreamCaller {
    async fn call(&mut self) {
        self.requests.send(payload::Item::small().into()).await.expect("sends");
        std::hint::black_box(self.replies.message().await.expect("a reply").expect("a reply"));
    }
}

// ---- one way

pub struct TakeFeed {
    sender: mpsc::Sender<Item>,
    message: Item,
    call: tokio::task::JoinHandle<()>,
}

pub struct TakeDrain(Streaming<Item>);

pub async fn stream(transport: Transport, capacity: usize, message: payload::Item) -> (TakeFeed, TakeDrain) {
    let (channel, incoming) = connect(transport).await;
    let (sender, outgoing) = mpsc::channel(capacity);
    let call = tokio::spawn(async move {
        let outgoing = Request::new(ReceiverStream::new(outgoing));
        let mut grpc = ready(&channel).await;
        drop(grpc.client_streaming::<_, Item, Item, _>(outgoing, path(TAKE), Codec::default()).await);
    });
    let drain = TakeDrain(incoming.await.expect("is called"));
    (TakeFeed { sender, message: message.into(), call }, drain)
}

impl Drop for TakeFeed {
    fn drop(&mut self) {
        // The call is never answered.
        self.call.abort();
    }
}

impl Feed for TakeFeed {
    async fn send(&mut self) {
        self.sender.send(self.message.clone()).await.expect("sends");
    }
}

impl Drain for TakeDrain {
    async fn recv(&mut self) {
        std::hint::black_box(self.0.message().await.expect("an item").expect("an item"));
    }
}

// ---- idle

pub struct Kept {
    channel: Channel,
    kept: Vec<StreamCaller>,
}

/// An open stream each, two directions.
pub async fn idle(transport: Transport, room: usize) -> Kept {
    Kept { channel: connect(transport).await.0, kept: Vec::with_capacity(room + 1) }
}

impl Opener for Kept {
    async fn open(&mut self, count: usize) {
        for _ in 0..count {
            let mut stream = open(&self.channel).await;
            stream.call().await;
            self.kept.push(stream);
        }
    }
}
