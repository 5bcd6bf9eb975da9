//! libchan itself, over links that count reads and writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use libchan::{
    Link, LinkInfo, LinkReader, LinkWriter, OpenOptions, Receiver, Role, Sender, Session, SessionOptions,
    pipe,
};
use libchan_transports::{TcpLink, UnixLink};
use serde::{Deserialize, Serialize};

use super::{Caller, Drain, Feed};
use crate::count;
use crate::net::{Transport, tcp_pair, unix_pair};
use crate::payload::Item;

/// A client's session and a server's.
async fn sessions(transport: Transport) -> (Session, Session) {
    match transport {
        Transport::Tcp => {
            let (client, server) = tcp_pair().await.expect("tcp connects");
            start(TcpLink::new(client).expect("a link"), TcpLink::new(server).expect("a link")).await
        }
        Transport::Unix => {
            let (client, server) = unix_pair().await.expect("unix connects");
            start(UnixLink::new(client, "unix:client"), UnixLink::new(server, "unix:server")).await
        }
    }
}

async fn start(client: impl Link, server: impl Link) -> (Session, Session) {
    let options = SessionOptions::default;
    let (client, server) = tokio::join!(
        Session::start(Counted(client), Role::Dialer, options()),
        Session::start(Counted(server), Role::Acceptor, options()),
    );
    (client.expect("a session"), server.expect("a session"))
}

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
pub async fn pairs(transport: Transport, count: usize) -> Vec<PairCaller> {
    let (client, server) = sessions(transport).await;
    let mut callers = Vec::new();
    for _ in 0..count {
        let (requests, inbox) = open(&client, &server, 64).await;
        let (outbox, replies) = open(&server, &client, 64).await;
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

pub async fn nested(transport: Transport, count: usize) -> Vec<NestedCaller> {
    let (client, server) = sessions(transport).await;
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

pub async fn stream(transport: Transport, capacity: usize, message: Item) -> (ChanFeed, ChanDrain) {
    let (client, server) = sessions(transport).await;
    let (sender, receiver) = open(&client, &server, capacity).await;
    (ChanFeed { sender, message, _session: client }, ChanDrain { receiver, _session: server })
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

// ---- counting

struct Counted<L>(L);

struct CountedReader(Box<dyn LinkReader>);

struct CountedWriter(Box<dyn LinkWriter>);

impl<L: Link> Link for Counted<L> {
    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let (reader, writer) = Box::new(self.0).split();
        (Box::new(CountedReader(reader)), Box::new(CountedWriter(writer)))
    }
}

impl LinkReader for CountedReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let result = self.0.poll_read(cx, buf, descriptors);
        if result.is_ready() {
            count::read();
        }
        result
    }
}

impl LinkWriter for CountedWriter {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        count::write();
        self.0.try_write(bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        count::write();
        self.0.poll_write(cx, bufs, descriptors)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }

    fn driver_only(&self) -> bool {
        self.0.driver_only()
    }
}
