//! libchan itself: what is done on a session, whatever carries it.

mod bytes;
mod carriers;
mod counted;
mod descriptors;
mod duplex;
mod fairness;
mod growth;
mod idle;
mod sessions;
mod uncopied;

use libchan::{OpenOptions, Receiver, Sender, Session, pipe};
use serde::{Deserialize, Serialize};

pub use self::bytes::bytes;
pub use self::carriers::{CARRIERS, bulk_by, bytes_by, pairs_by, stream_by};
pub use self::descriptors::descriptors;
pub use self::fairness::{Beside, Trips, fairness};
pub use self::growth::{Walk, growth};
pub use self::idle::{in_messages, named};
pub use self::sessions::{Way, ways};
use self::sessions::{sessions, sessions_with};
pub use self::uncopied::uncopied;
use super::{Caller, Drain, Feed};
use crate::payload::Item;

async fn open(from: &Session, to: &Session, capacity: usize) -> (Sender<Item>, Receiver<Item>) {
    let options = OpenOptions::new().capacity(capacity);
    let sender = from.open_with("items", options).expect("opens");
    let incoming = to.accept().await.expect("accepts").expect("a channel");
    (sender, incoming.receive())
}

// ---- requests on long-lived channels

pub struct PairCaller {
    requests: Sender<Item>,
    replies: Receiver<Item>,
    message: Option<Item>,
    _session: Session,
}

/// So many pairs of channels on one session, an echo behind each.
pub async fn pairs(way: Way, count: usize) -> Vec<PairCaller> {
    pairs_on(&sessions(way).await, count).await
}

/// A pair of channels on each of so many sessions.
pub async fn many(way: Way, count: usize) -> Vec<PairCaller> {
    let mut callers = Vec::new();
    for _ in 0..count {
        callers.extend(pairs(way, 1).await);
    }
    callers
}

async fn pairs_on((client, server): &(Session, Session), count: usize) -> Vec<PairCaller> {
    let mut callers = Vec::new();
    for _ in 0..count {
        let (requests, inbox) = open(client, server, 64).await;
        let (outbox, replies) = open(server, client, 64).await;
        tokio::spawn(async move {
            while let Ok(Some(item)) = inbox.recv().await {
                if outbox.send(item).await.is_err() {
                    return;
                }
            }
        });
        callers.push(PairCaller {
            requests,
            replies,
            message: Some(Item::small()),
            _session: client.clone(),
        });
    }
    callers
}

impl Caller for PairCaller {
    async fn call(&mut self) {
        let message = self.message.take().expect("the last reply");
        self.requests.send(message).await.expect("sends");
        self.message = self.replies.recv().await.expect("a reply");
    }
}

// ---- a fresh reply channel a request

#[derive(Serialize, Deserialize)]
struct Job {
    item: Item,
    reply: Sender<Item>,
}

pub struct NestedCaller {
    jobs: Sender<Job>,
    message: Item,
    _session: Session,
}

pub async fn nested(way: Way, count: usize) -> Vec<NestedCaller> {
    let (client, server) = sessions(way).await;
    let jobs = client.open_with::<Job>("jobs", OpenOptions::new().capacity(256)).expect("opens");
    let inbox = server.accept().await.expect("accepts").expect("a channel").receive::<Job>();
    tokio::spawn(async move {
        while let Ok(Some(job)) = inbox.recv().await {
            if job.reply.send(job.item).await.is_err() {
                return;
            }
        }
    });
    let caller = || NestedCaller { jobs: jobs.clone(), message: Item::small(), _session: client.clone() };
    (0..count).map(|_| caller()).collect()
}

impl Caller for NestedCaller {
    async fn call(&mut self) {
        let (reply, outcome) = pipe();
        self.jobs.send(Job { item: self.message.clone(), reply }).await.expect("sends");
        std::hint::black_box(outcome.recv().await.expect("a reply").expect("a reply"));
    }
}

// ---- one way

pub struct ChanFeed {
    sender: Sender<Item>,
    message: Item,
    _session: Session,
}

pub struct ChanDrain {
    receiver: Receiver<Item>,
    _session: Session,
}

pub async fn stream(way: Way, capacity: usize, message: Item) -> (ChanFeed, ChanDrain) {
    stream_on(sessions(way).await, capacity, message).await
}

async fn stream_on(
    (client, server): (Session, Session),
    capacity: usize,
    message: Item,
) -> (ChanFeed, ChanDrain) {
    let (sender, receiver) = open(&client, &server, capacity).await;
    (ChanFeed { sender, message, _session: client }, ChanDrain { receiver, _session: server })
}

/// Messages with a large body.
pub async fn bulk(way: Way, size: usize) -> (ChanFeed, ChanDrain) {
    stream(way, 64, Item::bulk(size)).await
}

impl Feed for ChanFeed {
    async fn send(&mut self) {
        self.sender.send(self.message.clone()).await.expect("sends");
    }
}

impl Drain for ChanDrain {
    async fn recv(&mut self) {
        std::hint::black_box(self.receiver.recv().await.expect("an item").expect("an item"));
    }
}
