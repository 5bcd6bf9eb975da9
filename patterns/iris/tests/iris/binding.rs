//! A binding of the original's protocol, written by its description: the tests' own bytes against the relay's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Reply(Vec<u8>),
    Fault(String),
    Timeout,
}

/// A request that the binding is to answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: u64,
}

/// What a binding has been told, beside answers.
pub(crate) struct Heard {
    pub(crate) broadcasts: mpsc::UnboundedReceiver<Vec<u8>>,
    pub(crate) requests: mpsc::UnboundedReceiver<Asked>,
    pub(crate) events: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
    pub(crate) tunnels: mpsc::UnboundedReceiver<Tunnel>,
    /// The text of CLOSE.
    pub(crate) closed: oneshot::Receiver<String>,
}

#[derive(Clone)]
pub(crate) struct Binding(Arc<Shared>);

struct Shared {
    to: tokio::sync::Mutex<OwnedWriteHalf>,
    next: AtomicU64,
    pending: Mutex<HashMap<u64, oneshot::Sender<Came>>>,
    opening: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
    open: Mutex<HashMap<u64, Side>>,
}

/// The reader's part of a tunnel.
struct Side {
    credit: Arc<Semaphore>,
    messages: mpsc::UnboundedSender<Vec<u8>>,
    begun: Vec<u8>,
    size: u64,
}

/// A binding's end of a tunnel.
pub(crate) struct Tunnel {
    id: u64,
    binding: Binding,
    credit: Arc<Semaphore>,
    messages: mpsc::UnboundedReceiver<Vec<u8>>,
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A part of a frame.
enum Part<'a> {
    Number(u64),
    Flag(bool),
    Bytes(&'a [u8]),
}

fn frame(opcode: u8, parts: &[Part<'_>]) -> Vec<u8> {
    let mut out = vec![opcode];
    for part in parts {
        match part {
            Part::Number(number) => varint(*number, &mut out),
            Part::Flag(flag) => out.push(u8::from(*flag)),
            Part::Bytes(bytes) => binary(bytes, &mut out),
        }
    }
    out
}

/// The bytes that a binding begins with.
pub(crate) fn hello(version: &str, cluster: &str) -> Vec<u8> {
    frame(
        0,
        &[
            Part::Bytes(b"iris-client-magic"),
            Part::Bytes(version.as_bytes()),
            Part::Bytes(cluster.as_bytes()),
        ],
    )
}

async fn read_varint(from: &mut OwnedReadHalf) -> std::io::Result<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = from.read_u8().await?;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    Ok(value)
}

async fn read_binary(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; read_varint(from).await? as usize];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn read_text(from: &mut OwnedReadHalf) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&read_binary(from).await?).into_owned())
}

impl Binding {
    /// Attaches; with a cluster as its member.
    pub(crate) async fn attach(port: u16, cluster: &str) -> (Self, Heard) {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
        let (mut from, mut to) = socket.into_split();
        to.write_all(&hello("v1.0-draft2", cluster)).await.expect("hello");
        let mut accepted = vec![0; 1 + 1 + 16 + 1 + 11];
        from.read_exact(&mut accepted).await.expect("an answer");
        assert_eq!(accepted, b"\x00\x10iris-relay-magic\x0bv1.0-draft2");
        let shared = Shared {
            to: tokio::sync::Mutex::new(to),
            next: AtomicU64::new(0),
            pending: Mutex::default(),
            opening: Mutex::default(),
            open: Mutex::default(),
        };
        let binding = Self(Arc::new(shared));
        let (broadcast, broadcasts) = mpsc::unbounded_channel();
        let (request, requests) = mpsc::unbounded_channel();
        let (event, events) = mpsc::unbounded_channel();
        let (tunnel, tunnels) = mpsc::unbounded_channel();
        let (close, closed) = oneshot::channel();
        let reading = binding.clone();
        tokio::spawn(async move {
            let tell = Tell { broadcast, request, event, tunnel };
            let why = reading.read(&mut from, &tell).await.unwrap_or_else(|error| format!("EOF: {error}"));
            reading.0.pending.lock().unwrap().clear();
            reading.0.open.lock().unwrap().clear();
            close.send(why).ok();
        });
        (binding, Heard { broadcasts, requests, events, tunnels, closed })
    }

    async fn say(&self, opcode: u8, parts: &[Part<'_>]) {
        // The relay may be gone: what was asked then has no answer.
        self.0.to.lock().await.write_all(&frame(opcode, parts)).await.ok();
    }

    pub(crate) async fn raw(&self, bytes: &[u8]) {
        self.0.to.lock().await.write_all(bytes).await.expect("write");
    }

    pub(crate) async fn close(&self) {
        self.say(2, &[]).await;
    }

    pub(crate) async fn broadcast(&self, cluster: &str, body: &[u8]) {
        self.say(3, &[Part::Bytes(cluster.as_bytes()), Part::Bytes(body)]).await;
    }

    pub(crate) async fn request(&self, cluster: &str, body: &[u8], timeout_ms: u64) -> Came {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (answer, came) = oneshot::channel();
        self.0.pending.lock().unwrap().insert(id, answer);
        let parts =
            [Part::Number(id), Part::Bytes(cluster.as_bytes()), Part::Bytes(body), Part::Number(timeout_ms)];
        self.say(4, &parts).await;
        came.await.expect("an answer before the end of the connection")
    }

    pub(crate) async fn reply(&self, id: u64, result: Result<&[u8], &str>) {
        let body = result.unwrap_or_else(str::as_bytes);
        self.say(5, &[Part::Number(id), Part::Flag(result.is_ok()), Part::Bytes(body)]).await;
    }

    pub(crate) async fn subscribe(&self, topic: &str) {
        self.say(6, &[Part::Bytes(topic.as_bytes())]).await;
    }

    pub(crate) async fn unsubscribe(&self, topic: &str) {
        self.say(7, &[Part::Bytes(topic.as_bytes())]).await;
    }

    pub(crate) async fn publish(&self, topic: &str, body: &[u8]) {
        self.say(8, &[Part::Bytes(topic.as_bytes()), Part::Bytes(body)]).await;
    }

    pub(crate) async fn tunnel(&self, cluster: &str, timeout_ms: u64) -> Option<Tunnel> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (opened, answer) = oneshot::channel();
        self.0.opening.lock().unwrap().insert(id, opened);
        let tunnel = self.side(id);
        self.say(9, &[Part::Number(id), Part::Bytes(cluster.as_bytes()), Part::Number(timeout_ms)]).await;
        answer.await.unwrap_or(false).then_some(())?;
        // The original's grant: 64 MiB.
        self.say(0xb, &[Part::Number(id), Part::Number(64 << 20)]).await;
        Some(tunnel)
    }

    fn side(&self, id: u64) -> Tunnel {
        let (messages, read) = mpsc::unbounded_channel();
        let credit = Arc::new(Semaphore::new(0));
        let side = Side { credit: credit.clone(), messages, begun: Vec::new(), size: 0 };
        self.0.open.lock().unwrap().insert(id, side);
        Tunnel { id, binding: self.clone(), credit, messages: read }
    }

    async fn read(&self, from: &mut OwnedReadHalf, tell: &Tell) -> std::io::Result<String> {
        loop {
            match from.read_u8().await? {
                2 => return read_text(from).await,
                3 => drop(tell.broadcast.send(read_binary(from).await?)),
                4 => {
                    let (id, body) = (read_varint(from).await?, read_binary(from).await?);
                    let timeout_ms = read_varint(from).await?;
                    tell.request.send(Asked { id, body, timeout_ms }).ok();
                }
                5 => self.answered(from).await?,
                8 => drop(tell.event.send((read_text(from).await?, read_binary(from).await?))),
                9 => {
                    let (build, _limit) = (read_varint(from).await?, read_varint(from).await?);
                    let id = self.0.next.fetch_add(1, Ordering::Relaxed);
                    let tunnel = self.side(id);
                    self.say(0xa, &[Part::Number(build), Part::Number(id)]).await;
                    self.say(0xb, &[Part::Number(id), Part::Number(64 << 20)]).await;
                    tell.tunnel.send(tunnel).ok();
                }
                0xa => {
                    let (id, refused) = (read_varint(from).await?, from.read_u8().await? == 1);
                    if !refused {
                        assert_eq!(read_varint(from).await?, 65_536);
                    }
                    if let Some(opened) = self.0.opening.lock().unwrap().remove(&id) {
                        opened.send(!refused).ok();
                    }
                }
                0xb => {
                    let (id, bytes) = (read_varint(from).await?, read_varint(from).await?);
                    if let Some(side) = self.0.open.lock().unwrap().get(&id) {
                        side.credit.add_permits(bytes as usize);
                    }
                }
                0xc => self.chunk(from).await?,
                0xd => {
                    let id = read_varint(from).await?;
                    read_text(from).await?;
                    self.0.open.lock().unwrap().remove(&id);
                }
                other => panic!("the relay sent opcode {other}"),
            }
        }
    }

    async fn answered(&self, from: &mut OwnedReadHalf) -> std::io::Result<()> {
        let id = read_varint(from).await?;
        let came = if from.read_u8().await? == 1 {
            Came::Timeout
        } else if from.read_u8().await? == 1 {
            Came::Reply(read_binary(from).await?)
        } else {
            Came::Fault(read_text(from).await?)
        };
        let waiting = self.0.pending.lock().unwrap().remove(&id);
        waiting.expect("one answer for each request").send(came).ok();
        Ok(())
    }

    async fn chunk(&self, from: &mut OwnedReadHalf) -> std::io::Result<()> {
        let (id, size) = (read_varint(from).await?, read_varint(from).await?);
        let chunk = read_binary(from).await?;
        assert!(chunk.len() <= 65_536);
        let mut given_up = 0;
        if let Some(side) = self.0.open.lock().unwrap().get_mut(&id) {
            if size > 0 {
                given_up = side.begun.len() as u64;
                side.begun.clear();
                side.size = size;
            }
            side.begun.extend_from_slice(&chunk);
            if side.begun.len() as u64 == side.size {
                side.messages.send(std::mem::take(&mut side.begun)).ok();
            }
        }
        if given_up > 0 {
            // Nobody takes what was given up: its bytes are allowed again, as the original's bindings do it.
            self.say(0xb, &[Part::Number(id), Part::Number(given_up)]).await;
        }
        Ok(())
    }
}

struct Tell {
    broadcast: mpsc::UnboundedSender<Vec<u8>>,
    request: mpsc::UnboundedSender<Asked>,
    event: mpsc::UnboundedSender<(String, Vec<u8>)>,
    tunnel: mpsc::UnboundedSender<Tunnel>,
}

impl Tunnel {
    /// Sends a message in chunks, each when it is allowed. False: the time was up within it.
    ///
    /// The time is up only between two frames: half a frame would take the next one for its own rest.
    pub(crate) async fn send(&self, message: &[u8], within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut size = message.len() as u64;
        for chunk in message.chunks(65_536) {
            if Instant::now() >= deadline {
                return false;
            }
            let allowed = self.credit.acquire_many(chunk.len() as u32);
            let Ok(allowed) = tokio::time::timeout_at(deadline, allowed).await else { return false };
            allowed.expect("open").forget();
            self.binding.say(0xc, &[Part::Number(self.id), Part::Number(size), Part::Bytes(chunk)]).await;
            size = 0;
        }
        true
    }

    /// The next message; `None` when the tunnel is closed.
    pub(crate) async fn recv(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.recv().await?;
        self.binding.say(0xb, &[Part::Number(self.id), Part::Number(message.len() as u64)]).await;
        Some(message)
    }

    pub(crate) async fn close(&self) {
        self.binding.say(0xd, &[Part::Number(self.id)]).await;
    }
}
