//! The limit: frames written by hand, no queue and no task between the user and the socket.

use super::{Caller, Drain, Feed};
use crate::net::{FrameReader, FrameWriter, Transport, framed_pair};
use crate::payload::{Coding, Item};

/// The stream's writer collects so much before it writes, in bytes.
const BATCH: usize = 16 * 1024;

pub struct RawCaller<C: Coding> {
    reader: FrameReader,
    writer: FrameWriter,
    message: C::Message,
}

/// A client and a server that decodes and encodes, if the coding does.
pub async fn caller<C: Coding>(transport: Transport) -> RawCaller<C> {
    let ((reader, writer), server) = framed_pair(transport).await;
    tokio::spawn(serve::<C>(server.0, server.1));
    RawCaller { reader, writer, message: C::small() }
}

/// The same on each of so many connections.
pub async fn many<C: Coding>(transport: Transport, count: usize) -> Vec<RawCaller<C>> {
    let mut callers = Vec::new();
    for _ in 0..count {
        callers.push(caller(transport).await);
    }
    callers
}

async fn serve<C: Coding>(mut reader: FrameReader, mut writer: FrameWriter) {
    while let Some(frame) = reader.next().await {
        let message = C::get(frame);
        writer.put(|out| C::put(&message, out));
        if !reader.has_frame() && !writer.flush().await {
            return;
        }
    }
}

impl<C: Coding> Caller for RawCaller<C>
where
    C::Message: Sync,
{
    async fn call(&mut self) {
        self.writer.put(|out| C::put(&self.message, out));
        self.writer.flush().await;
        self.message = C::get(self.reader.next().await.expect("a reply"));
    }
}

pub struct RawFeed<C: Coding> {
    writer: FrameWriter,
    message: C::Message,
}

pub struct RawDrain<C> {
    reader: FrameReader,
    coding: std::marker::PhantomData<C>,
}

pub async fn stream<C: Coding>(transport: Transport) -> (RawFeed<C>, RawDrain<C>) {
    let (client, server) = framed_pair(transport).await;
    let feed = RawFeed { writer: client.1, message: C::small() };
    (feed, RawDrain { reader: server.0, coding: std::marker::PhantomData })
}

impl<C: Coding> Feed for RawFeed<C>
where
    C::Message: Sync,
{
    async fn send(&mut self) {
        let message = self.message.clone();
        self.writer.put(|out| C::put(&message, out));
        if self.writer.len() >= BATCH {
            self.writer.flush().await;
        }
    }

    async fn finish(&mut self) {
        self.writer.flush().await;
    }
}

impl<C: Coding> Drain for RawDrain<C> {
    async fn recv(&mut self) {
        std::hint::black_box(C::get(self.reader.next().await.expect("a frame")));
    }
}

/// A large body without a codec: written from where it is, read into the reader's buffer, never copied besides.
pub struct BulkFeed {
    writer: FrameWriter,
    body: Vec<u8>,
}

pub struct BulkDrain(FrameReader);

pub async fn bulk(transport: Transport, size: usize) -> (BulkFeed, BulkDrain) {
    let (client, server) = framed_pair(transport).await;
    (BulkFeed::new(client.1, size), BulkDrain::new(server.0))
}

impl BulkFeed {
    pub fn new(writer: FrameWriter, size: usize) -> Self {
        Self { writer, body: vec![7; size] }
    }
}

impl BulkDrain {
    pub fn new(reader: FrameReader) -> Self {
        Self(reader)
    }
}

impl Feed for BulkFeed {
    async fn send(&mut self) {
        self.writer.write(&self.body).await;
    }
}

impl Drain for BulkDrain {
    async fn recv(&mut self) {
        std::hint::black_box(self.0.next().await.expect("a frame"));
    }
}

/// The same through msgpack.
pub async fn bulk_coded(
    transport: Transport,
    size: usize,
) -> (RawFeed<crate::payload::Msgpack>, RawDrain<crate::payload::Msgpack>) {
    let (mut feed, drain) = stream(transport).await;
    feed.message = Item::bulk(size);
    (feed, drain)
}
