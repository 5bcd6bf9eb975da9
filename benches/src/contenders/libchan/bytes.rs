//! A `ByteStream` that travelled in a message: written and read in pieces.

use libchan::{ByteStream, OpenOptions, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Way, sessions};
use crate::contenders::{Drain, Feed};

pub struct BytesFeed {
    stream: ByteStream,
    piece: Vec<u8>,
    _session: Session,
}

pub struct BytesDrain {
    stream: ByteStream,
    piece: Vec<u8>,
    _session: Session,
}

/// One operation is a piece of `size` bytes.
pub async fn bytes(way: Way, size: usize) -> (BytesFeed, BytesDrain) {
    bytes_on(sessions(way).await, size).await
}

pub(super) async fn bytes_on((client, server): (Session, Session), size: usize) -> (BytesFeed, BytesDrain) {
    let streams = client.open_with::<ByteStream>("streams", OpenOptions::new()).expect("opens");
    let incoming = server.accept().await.expect("accepts").expect("a channel").receive::<ByteStream>();
    let (near, far) = ByteStream::pair();
    streams.send(far).await.expect("sends");
    let far = incoming.recv().await.expect("a stream").expect("a stream");
    let feed = BytesFeed { stream: near, piece: vec![7; size], _session: client };
    (feed, BytesDrain { stream: far, piece: vec![0; size], _session: server })
}

impl Feed for BytesFeed {
    async fn send(&mut self) {
        self.stream.write_all(&self.piece).await.expect("writes");
    }

    async fn finish(&mut self) {
        self.stream.flush().await.expect("flushes");
    }
}

impl Drain for BytesDrain {
    async fn recv(&mut self) {
        self.stream.read_exact(&mut self.piece).await.expect("reads");
        std::hint::black_box(&self.piece);
    }
}
