//! remoc: typed channels inside messages, codec postbag. Its buffers are set to 256 items; what is on its way is
//! bounded in bytes by its multiplexer, whatever these say.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use remoc::chmux;
use remoc::codec::Default as Codec;
use remoc::rch::{base, bin, mpsc, oneshot};
use serde::{Deserialize, Serialize};

use super::socket::pair;
use crate::contenders::{Caller, Drain, Feed, Opener};
use crate::net::Transport;
use crate::payload::Item;

const BUFFER: usize = 256;

type Sender<T> = mpsc::Sender<T, Codec, BUFFER>;
type Receiver<T> = mpsc::Receiver<T, Codec, BUFFER>;

/// What the client hands to the server.
#[derive(Serialize, Deserialize)]
enum Hand {
    Pair { requests: Receiver<Item>, replies: Sender<Item> },
    Jobs(Receiver<Job>),
    Items(Receiver<Item>),
    Bytes(bin::Receiver),
}

#[derive(Serialize, Deserialize)]
struct Job {
    item: Item,
    reply: oneshot::Sender<Item>,
}

type Client = base::Sender<Hand>;
type Server = base::Receiver<Hand>;

async fn connect(transport: Transport) -> (Client, Server) {
    let (client, server) = pair(transport).await;
    let (client_read, client_write) = tokio::io::split(client);
    let (server_read, server_write) = tokio::io::split(server);
    let (client, server) = tokio::join!(
        remoc::Connect::io::<_, _, Hand, (), Codec>(remoc::Cfg::default(), client_read, client_write),
        remoc::Connect::io::<_, _, (), Hand, Codec>(remoc::Cfg::default(), server_read, server_write),
    );
    let ((client, sender, _), (server, _, receiver)) = (client.expect("connects"), server.expect("connects"));
    tokio::spawn(client);
    tokio::spawn(server);
    (sender, receiver)
}

fn channel<T: remoc::RemoteSend>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::with_local_buffer::<T, Codec>(BUFFER);
    (sender.set_buffer(), receiver.set_buffer())
}

async fn hand(client: &mut Client, server: &mut Server, what: Hand) -> Hand {
    assert!(client.send(what).await.is_ok());
    server.recv().await.expect("receives").expect("something")
}

// ---- requests on long-lived channels

pub struct PairCaller {
    requests: Sender<Item>,
    replies: Receiver<Item>,
}

async fn open_pair(client: &mut Client, server: &mut Server) -> PairCaller {
    let (requests, inbox) = channel();
    let (outbox, replies) = channel();
    let Hand::Pair { requests: mut inbox, replies: outbox } =
        hand(client, server, Hand::Pair { requests: inbox, replies: outbox }).await
    else {
        unreachable!("a pair was sent")
    };
    tokio::spawn(async move {
        while let Ok(Some(item)) = inbox.recv().await {
            if outbox.send(item).await.is_err() {
                return;
            }
        }
    });
    PairCaller { requests, replies }
}

pub struct PairOf {
    pair: PairCaller,
    /// Their end closes the connection.
    _base: Arc<Mutex<(Client, Server)>>,
}

pub async fn pairs(transport: Transport, count: usize) -> Vec<PairOf> {
    let (mut client, mut server) = connect(transport).await;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push(open_pair(&mut client, &mut server).await);
    }
    let base = Arc::new(Mutex::new((client, server)));
    pairs.into_iter().map(|pair| PairOf { pair, _base: base.clone() }).collect()
}

pub async fn many(transport: Transport, count: usize) -> Vec<PairOf> {
    let mut callers = Vec::new();
    for _ in 0..count {
        callers.extend(pairs(transport, 1).await);
    }
    callers
}

impl Caller for PairOf {
    async fn call(&mut self) {
        assert!(self.pair.requests.send(Item::small()).await.is_ok());
        std::hint::black_box(self.pair.replies.recv().await.expect("a reply").expect("a reply"));
    }
}

// ---- a fresh reply channel a request

#[derive(Clone)]
pub struct NestedCaller {
    jobs: Sender<Job>,
    _base: Arc<Mutex<(Client, Server)>>,
}

pub async fn nested(transport: Transport, count: usize) -> Vec<NestedCaller> {
    let (mut client, mut server) = connect(transport).await;
    let (jobs, inbox) = channel();
    let Hand::Jobs(mut inbox) = hand(&mut client, &mut server, Hand::Jobs(inbox)).await else {
        unreachable!("jobs were sent")
    };
    tokio::spawn(async move {
        while let Ok(Some(Job { item, reply })) = inbox.recv().await {
            drop(reply.send(item));
        }
    });
    vec![NestedCaller { jobs, _base: Arc::new(Mutex::new((client, server))) }; count]
}

impl Caller for NestedCaller {
    async fn call(&mut self) {
        let (reply, outcome) = oneshot::channel();
        assert!(self.jobs.send(Job { item: Item::small(), reply }).await.is_ok());
        std::hint::black_box(outcome.await.expect("a reply"));
    }
}

// ---- one way

pub struct ItemFeed {
    sender: Sender<Item>,
    message: Item,
    _client: Client,
}

pub struct ItemDrain {
    receiver: Receiver<Item>,
    _server: Server,
}

pub async fn stream(transport: Transport, message: Item) -> (ItemFeed, ItemDrain) {
    let (mut client, mut server) = connect(transport).await;
    let (sender, receiver) = channel();
    let Hand::Items(receiver) = hand(&mut client, &mut server, Hand::Items(receiver)).await else {
        unreachable!("items were sent")
    };
    (ItemFeed { sender, message, _client: client }, ItemDrain { receiver, _server: server })
}

impl Feed for ItemFeed {
    async fn send(&mut self) {
        assert!(self.sender.send(self.message.clone()).await.is_ok());
    }
}

impl Drain for ItemDrain {
    async fn recv(&mut self) {
        std::hint::black_box(self.receiver.recv().await.expect("an item").expect("an item"));
    }
}

pub struct BytesFeed {
    sender: chmux::Sender,
    body: Bytes,
    _client: Client,
}

pub struct BytesDrain {
    receiver: chmux::Receiver,
    _server: Server,
}

/// Its channel of bytes, without a codec.
pub async fn bytes(transport: Transport, size: usize) -> (BytesFeed, BytesDrain) {
    let (mut client, mut server) = connect(transport).await;
    let (sender, receiver) = bin::channel();
    let Hand::Bytes(receiver) = hand(&mut client, &mut server, Hand::Bytes(receiver)).await else {
        unreachable!("a channel of bytes was sent")
    };
    let (sender, receiver) = tokio::join!(sender.into_inner(), receiver.into_inner());
    let mut receiver = receiver.expect("connects");
    receiver.set_max_data_size(4 << 20);
    let feed = BytesFeed { sender: sender.expect("connects"), body: vec![7; size].into(), _client: client };
    (feed, BytesDrain { receiver, _server: server })
}

impl Feed for BytesFeed {
    async fn send(&mut self) {
        self.sender.send(self.body.clone()).await.expect("sends");
    }
}

impl Drain for BytesDrain {
    async fn recv(&mut self) {
        std::hint::black_box(self.receiver.recv().await.expect("bytes").expect("bytes"));
    }
}

// ---- idle

pub struct Kept {
    client: Client,
    server: Server,
    kept: Vec<(Sender<Item>, Receiver<Item>)>,
}

pub async fn idle(transport: Transport, room: usize) -> Kept {
    let (client, server) = connect(transport).await;
    Kept { client, server, kept: Vec::with_capacity(room + 1) }
}

impl Opener for Kept {
    async fn open(&mut self, count: usize) {
        for _ in 0..count {
            // Its default buffer, 16: what a user would have who asks for nothing.
            let (sender, receiver) = mpsc::channel::<Item, Codec>();
            let (sender, receiver) = (sender.set_buffer(), receiver.set_buffer());
            let what = hand(&mut self.client, &mut self.server, Hand::Items(receiver)).await;
            let Hand::Items(mut receiver) = what else { unreachable!("items were sent") };
            assert!(sender.send(Item::small()).await.is_ok());
            receiver.recv().await.expect("an item").expect("an item");
            self.kept.push((sender, receiver));
        }
    }
}
