//! yamux: byte streams on one connection, with the raw contender's frames on them and no codec. It is told to allow
//! 100,000 streams, and no limit of their windows together, which that number needs.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

use super::socket::{Socket, pair};
use crate::contenders::{Caller, Drain, Feed, Opener};
use crate::net::{FrameReader, FrameWriter, Transport};
use crate::payload::{Coding, Plain};

type Substream = Compat<Stream>;

/// Opens substreams; the connection lives as long.
#[derive(Clone)]
struct Handle(mpsc::Sender<oneshot::Sender<Stream>>);

impl Handle {
    async fn open(&self) -> Substream {
        let (reply, stream) = oneshot::channel();
        assert!(self.0.send(reply).await.is_ok());
        stream.await.expect("opens").compat()
    }
}

/// A client, and what is opened towards the server.
async fn connect(transport: Transport) -> (Handle, mpsc::Receiver<Substream>) {
    let (client, server) = pair(transport).await;
    let mut config = Config::default();
    config.set_max_connection_receive_window(None).set_max_num_streams(100_000);
    let (wishes, queue) = mpsc::channel(64);
    let (incoming, accepted) = mpsc::channel(256);
    tokio::spawn(dial(Connection::new(client.compat(), config.clone(), Mode::Client), queue));
    tokio::spawn(accept(Connection::new(server.compat(), config, Mode::Server), incoming));
    (Handle(wishes), accepted)
}

/// Drives the client's connection, and opens what is wished for until nobody can wish.
async fn dial(
    mut connection: Connection<Compat<Socket>>,
    mut queue: mpsc::Receiver<oneshot::Sender<Stream>>,
) {
    let mut wishes = VecDeque::new();
    let mut open = true;
    poll_fn(|cx| {
        while let Poll::Ready(wish) = queue.poll_recv(cx) {
            match wish {
                Some(wish) => wishes.push_back(wish),
                None => {
                    open = false;
                    break;
                }
            }
        }
        while !wishes.is_empty() {
            let Poll::Ready(stream) = connection.poll_new_outbound(cx) else { break };
            let wish: oneshot::Sender<Stream> = wishes.pop_front().expect("not empty");
            drop(wish.send(stream.expect("opens")));
        }
        // Nothing comes in, but this is what reads and writes.
        match connection.poll_next_inbound(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending if !open => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

async fn accept(mut connection: Connection<Compat<Socket>>, incoming: mpsc::Sender<Substream>) {
    let mut waiting = VecDeque::new();
    poll_fn(|cx| {
        loop {
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => waiting.push_back(stream.compat()),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        // Those who do not want more are gone, or take what there is before they wait for more.
        while let Some(stream) = waiting.pop_front() {
            match incoming.try_send(stream) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(stream)) => {
                    waiting.push_front(stream);
                    cx.waker().wake_by_ref();
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    })
    .await;
}

fn framed(stream: Substream) -> (FrameReader, FrameWriter) {
    let (reader, writer) = tokio::io::split(stream);
    (FrameReader::other(reader), FrameWriter::other(writer))
}

/// Answers every substream, each in a task.
async fn serve(mut accepted: mpsc::Receiver<Substream>) {
    while let Some(stream) = accepted.recv().await {
        tokio::spawn(async move {
            let (mut reader, mut writer) = framed(stream);
            while let Some(frame) = reader.next().await {
                let message = Plain::get(frame);
                writer.put(|out| Plain::put(&message, out));
                if !writer.flush().await {
                    return;
                }
            }
        });
    }
}

// ---- requests on long-lived substreams

pub struct StreamCaller {
    reader: FrameReader,
    writer: FrameWriter,
    _handle: Handle,
}

pub async fn callers(transport: Transport, count: usize) -> Vec<StreamCaller> {
    let (handle, accepted) = connect(transport).await;
    tokio::spawn(serve(accepted));
    let mut callers = Vec::new();
    for _ in 0..count {
        let (reader, writer) = framed(handle.open().await);
        callers.push(StreamCaller { reader, writer, _handle: handle.clone() });
    }
    callers
}

pub async fn many(transport: Transport, count: usize) -> Vec<StreamCaller> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.extend(callers(transport, 1).await);
    }
    all
}

impl Caller for StreamCaller {
    async fn call(&mut self) {
        self.writer.put(|out| Plain::put(&Plain::small(), out));
        assert!(self.writer.flush().await);
        std::hint::black_box(Plain::get(self.reader.next().await.expect("a reply")));
    }
}

// ---- a fresh substream a request

#[derive(Clone)]
pub struct FreshCaller(Handle);

pub async fn nested(transport: Transport, count: usize) -> Vec<FreshCaller> {
    let (handle, mut accepted) = connect(transport).await;
    tokio::spawn(async move {
        while let Some(stream) = accepted.recv().await {
            tokio::spawn(echo_once(stream));
        }
    });
    vec![FreshCaller(handle); count]
}

/// One message of the small size back, then the end.
async fn echo_once(mut stream: Substream) {
    let mut message = Plain::small();
    if stream.read_exact(&mut message).await.is_ok() && stream.write_all(&message).await.is_ok() {
        drop(stream.shutdown().await);
    }
}

impl Caller for FreshCaller {
    async fn call(&mut self) {
        let mut stream = self.0.open().await;
        let mut message = Plain::small();
        stream.write_all(&message).await.expect("writes");
        stream.flush().await.expect("flushes");
        stream.read_exact(&mut message).await.expect("a reply");
        stream.shutdown().await.expect("shuts down");
    }
}

// ---- one way

/// The stream's writer collects so much before it writes, as raw's does.
const BATCH: usize = 16 * 1024;

pub struct StreamFeed {
    writer: FrameWriter,
    body: Vec<u8>,
    _handle: Handle,
}

pub struct StreamDrain(FrameReader);

pub async fn stream(transport: Transport, size: usize) -> (StreamFeed, StreamDrain) {
    let (handle, mut accepted) = connect(transport).await;
    let mut stream = handle.open().await;
    // Nothing is said to the server before the first bytes: an empty frame.
    stream.write_all(&0_u32.to_le_bytes()).await.expect("writes");
    stream.flush().await.expect("flushes");
    let mut drain = StreamDrain(FrameReader::other(accepted.recv().await.expect("a substream")));
    assert!(drain.0.next().await.is_some());
    tokio::spawn(async move { while accepted.recv().await.is_some() {} });
    (StreamFeed { writer: FrameWriter::other(stream), body: vec![7; size], _handle: handle }, drain)
}

impl Feed for StreamFeed {
    async fn send(&mut self) {
        if self.body.len() >= BATCH {
            assert!(self.writer.write(&self.body).await);
            return;
        }
        self.writer.put(|out| out.extend_from_slice(&self.body));
        if self.writer.len() >= BATCH {
            assert!(self.writer.flush().await);
        }
    }

    async fn finish(&mut self) {
        assert!(self.writer.flush().await);
    }
}

impl Drain for StreamDrain {
    async fn recv(&mut self) {
        std::hint::black_box(self.0.next().await.expect("a frame"));
    }
}

// ---- idle

pub struct Kept {
    handle: Handle,
    accepted: mpsc::Receiver<Substream>,
    kept: Vec<(Substream, Substream)>,
}

pub async fn idle(transport: Transport, room: usize) -> Kept {
    let (handle, accepted) = connect(transport).await;
    Kept { handle, accepted, kept: Vec::with_capacity(room + 1) }
}

impl Opener for Kept {
    async fn open(&mut self, count: usize) {
        for _ in 0..count {
            let mut stream = self.handle.open().await;
            let mut message = Plain::small();
            stream.write_all(&message).await.expect("writes");
            stream.flush().await.expect("flushes");
            let mut far = self.accepted.recv().await.expect("a substream");
            far.read_exact(&mut message).await.expect("a message");
            // A substream counts as not acknowledged until the other side has written, and 256 of those are the most.
            far.write_all(&message).await.expect("writes");
            far.flush().await.expect("flushes");
            stream.read_exact(&mut message).await.expect("a reply");
            self.kept.push((stream, far));
        }
    }
}
