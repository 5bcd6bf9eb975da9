//! Messages while many channels are open: all on one of them, or each on another one than the last.

use std::sync::Arc;

use libchan::{Receiver, Sender, Session};
use tokio::sync::Semaphore;

use super::idle::opened;
use crate::contenders::{Drain, Feed};
use crate::net::Transport;
use crate::payload::Item;

/// Messages on their way at once, over all channels together: what is in the queues is the same for any number.
const IN_FLIGHT: usize = 64;

#[derive(Clone, Copy)]
pub enum Walk {
    /// All messages on one channel, the others idle.
    Stay,
    /// Each message on another channel.
    Round,
}

/// Which channel is next. The step is a prime far from 1, so that neighbours in memory do not follow each other.
struct Turn {
    at: usize,
    channels: usize,
    step: usize,
}

impl Turn {
    fn new(walk: Walk, channels: usize) -> Self {
        let step = match walk {
            Walk::Stay => 0,
            Walk::Round => 7919,
        };
        Self { at: channels / 2, channels, step }
    }

    fn next(&mut self) -> usize {
        self.at = (self.at + self.step) % self.channels;
        self.at
    }
}

pub struct WalkFeed {
    senders: Vec<Sender<Item>>,
    turn: Turn,
    room: Arc<Semaphore>,
}

pub struct WalkDrain {
    receivers: Vec<Receiver<Item>>,
    turn: Turn,
    room: Arc<Semaphore>,
    _sessions: (Session, Session),
}

pub async fn growth(transport: Transport, channels: usize, walk: Walk) -> (WalkFeed, WalkDrain) {
    let (senders, receivers, sessions) = opened(transport, channels).await;
    // Windows and buffers come to their size with the first messages.
    for (sender, receiver) in senders.iter().zip(&receivers) {
        for _ in 0..2 {
            sender.send(Item::small()).await.expect("sends");
            receiver.recv().await.expect("an item").expect("an item");
        }
    }
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let feed = WalkFeed { senders, turn: Turn::new(walk, channels), room: room.clone() };
    (feed, WalkDrain { receivers, turn: Turn::new(walk, channels), room, _sessions: sessions })
}

impl Feed for WalkFeed {
    async fn send(&mut self) {
        self.room.acquire().await.expect("never closed").forget();
        self.senders[self.turn.next()].send(Item::small()).await.expect("sends");
    }
}

impl Drain for WalkDrain {
    async fn recv(&mut self) {
        let receiver = &self.receivers[self.turn.next()];
        std::hint::black_box(receiver.recv().await.expect("an item").expect("an item"));
        self.room.add_permits(1);
    }
}
