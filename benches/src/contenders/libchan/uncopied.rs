//! Messages with a large body that is not copied: `libchan::uncopied`.

use bytes::Bytes;
use libchan::{OpenOptions, Receiver, Sender, Session};
use serde::{Deserialize, Serialize};

use super::{Way, sessions};
use crate::contenders::{Drain, Feed};

#[derive(Clone, Serialize, Deserialize)]
struct Chunk {
    id: u64,
    kind: u32,
    #[serde(with = "libchan::uncopied")]
    body: Bytes,
}

pub struct ChunkFeed {
    sender: Sender<Chunk>,
    message: Chunk,
    _session: Session,
}

pub struct ChunkDrain {
    receiver: Receiver<Chunk>,
    _session: Session,
}

pub async fn uncopied(way: Way, size: usize) -> (ChunkFeed, ChunkDrain) {
    let (client, server) = sessions(way).await;
    let sender = client.open_with("chunks", OpenOptions::new().capacity(64)).expect("opens");
    let receiver = server.accept().await.expect("accepts").expect("a channel").receive();
    let message = Chunk { id: 7, kind: 70_000, body: Bytes::from_static(vec![7; size].leak()) };
    (ChunkFeed { sender, message, _session: client }, ChunkDrain { receiver, _session: server })
}

impl Feed for ChunkFeed {
    async fn send(&mut self) {
        self.sender.send(self.message.clone()).await.expect("sends");
    }
}

impl Drain for ChunkDrain {
    async fn recv(&mut self) {
        std::hint::black_box(self.receiver.recv().await.expect("a chunk").expect("a chunk"));
    }
}
