//! Channels that are opened, used once and kept: by name, and inside a message.

use libchan::{Limits, OpenOptions, Receiver, Sender, Session, SessionOptions, pipe};

use super::{Job, open, sessions_with};
use crate::contenders::Opener;
use crate::net::Transport;
use crate::payload::Item;

/// A million channels need more than the default limits allow: their number, and 2 KiB of window each.
pub fn roomy() -> SessionOptions {
    let limits = Limits { max_channels: 2_500_000, session_memory: u32::MAX, ..Limits::default() };
    SessionOptions::new().limits(limits)
}

/// How many are on their way at once: fewer than may wait to be accepted.
const BATCH: usize = 64;

pub struct Named {
    sessions: (Session, Session),
    kept: Vec<(Sender<Item>, Receiver<Item>)>,
}

/// With room for so many handles, which are the user's and not counted.
pub async fn named(transport: Transport, room: usize) -> Named {
    Named { sessions: sessions_with(transport, roomy()).await, kept: Vec::with_capacity(room + 1) }
}

impl Opener for Named {
    async fn open(&mut self, count: usize) {
        let (client, server) = &self.sessions;
        let mut left = count;
        while left > 0 {
            let batch = left.min(BATCH);
            let mut senders = Vec::with_capacity(batch);
            for _ in 0..batch {
                let sender = client.open::<Item>("items").expect("opens");
                sender.send(Item::small()).await.expect("sends");
                senders.push(sender);
            }
            for sender in senders {
                let receiver = server.accept().await.expect("accepts").expect("a channel").receive();
                receiver.recv().await.expect("an item").expect("an item");
                self.kept.push((sender, receiver));
            }
            left -= batch;
        }
    }
}

pub struct InMessages {
    jobs: Sender<Job>,
    inbox: Receiver<Job>,
    kept: Vec<(Sender<Item>, Receiver<Item>)>,
    _sessions: (Session, Session),
}

/// Each a fresh reply channel, as in nested, whose ends are then kept.
pub async fn in_messages(transport: Transport, room: usize) -> InMessages {
    let (client, server) = sessions_with(transport, roomy()).await;
    let jobs = client.open_with("jobs", OpenOptions::new().capacity(256)).expect("opens");
    let inbox = server.accept().await.expect("accepts").expect("a channel").receive();
    InMessages { jobs, inbox, kept: Vec::with_capacity(room + 1), _sessions: (client, server) }
}

impl Opener for InMessages {
    async fn open(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let batch = left.min(BATCH);
            let mut outcomes = Vec::with_capacity(batch);
            for _ in 0..batch {
                let (reply, outcome) = pipe();
                self.jobs.send(Job { item: Item::small(), reply }).await.expect("sends");
                outcomes.push(outcome);
            }
            for outcome in outcomes {
                let Job { item, reply } = self.inbox.recv().await.expect("a job").expect("a job");
                reply.send(item).await.expect("sends");
                outcome.recv().await.expect("a reply").expect("a reply");
                self.kept.push((reply, outcome));
            }
            left -= batch;
        }
    }
}

/// So many named channels on one session, each used once.
pub async fn opened(
    transport: Transport,
    count: usize,
) -> (Vec<Sender<Item>>, Vec<Receiver<Item>>, (Session, Session)) {
    let sessions = sessions_with(transport, roomy()).await;
    // The first by the common way, which fails here if the peer accepts nothing.
    let first = open(&sessions.0, &sessions.1, 64).await;
    let mut named = Named { sessions, kept: vec![first] };
    named.open(count - 1).await;
    let (senders, receivers) = named.kept.into_iter().unzip();
    (senders, receivers, named.sessions)
}
