//! Connected sockets and pipes in one process, and length-prefixed frames on them, written by hand.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix};

use crate::count;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Within the process, without the kernel.
    Memory,
    Tcp,
    Unix,
}

impl Transport {
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "memory" => Ok(Self::Memory),
            "tcp" => Ok(Self::Tcp),
            "unix" => Ok(Self::Unix),
            _ => Err(format!("unknown transport {name}")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        }
    }
}

pub async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let (client, server) = (client?, server?.0);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// A place for a unix socket, another one each time.
pub fn socket_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("libchan-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

pub async fn unix_pair() -> io::Result<(UnixStream, UnixStream)> {
    let path = socket_path();
    let listener = UnixListener::bind(&path)?;
    let (client, server) = tokio::join!(UnixStream::connect(&path), listener.accept());
    std::fs::remove_file(&path)?;
    Ok((client?, server?.0))
}

/// Bytes that a pipe in memory holds each way: about what a unix socket does (208 KiB on Linux, if nobody asks for
/// more). So a sender runs as far ahead of its receiver as there, and what differs is the kernel.
const PIPE: usize = 256 * 1024;

pub fn memory_pair() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(PIPE)
}

/// A connection as frames: the reading and the writing half.
pub type Framed = (FrameReader, FrameWriter);

/// Two connected ends, the client's first.
pub async fn framed_pair(transport: Transport) -> (Framed, Framed) {
    fn memory(stream: DuplexStream) -> Framed {
        let (reader, writer) = tokio::io::split(stream);
        (FrameReader::other(reader), FrameWriter::other(writer))
    }
    fn tcp(stream: TcpStream) -> Framed {
        let (reader, writer) = stream.into_split();
        (FrameReader::new(ReadHalf::Tcp(reader)), FrameWriter::new(WriteHalf::Tcp(writer)))
    }
    fn unix(stream: UnixStream) -> Framed {
        let (reader, writer) = stream.into_split();
        (FrameReader::new(ReadHalf::Unix(reader)), FrameWriter::new(WriteHalf::Unix(writer)))
    }
    match transport {
        Transport::Memory => {
            let (client, server) = memory_pair();
            (memory(client), memory(server))
        }
        Transport::Tcp => {
            let (client, server) = tcp_pair().await.expect("tcp connects");
            (tcp(client), tcp(server))
        }
        Transport::Unix => {
            let (client, server) = unix_pair().await.expect("unix connects");
            (unix(client), unix(server))
        }
    }
}

enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    /// Frames on another stream, whose reads and writes are not counted here: they are no system calls.
    Other(Box<dyn tokio::io::AsyncRead + Send + Sync + Unpin>),
}

enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Other(Box<dyn tokio::io::AsyncWrite + Send + Sync + Unpin>),
}

const HEADER: usize = 4;

/// Reads frames, as many at a time as the socket has.
pub struct FrameReader {
    socket: ReadHalf,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameReader {
    fn new(socket: ReadHalf) -> Self {
        Self { socket, buffer: vec![0; 64 * 1024], start: 0, end: 0 }
    }

    pub fn other(stream: impl tokio::io::AsyncRead + Send + Sync + Unpin + 'static) -> Self {
        Self::new(ReadHalf::Other(Box::new(stream)))
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<&[u8]> {
        while !self.has_frame() {
            self.make_room();
            let room = &mut self.buffer[self.end..];
            let read = match &mut self.socket {
                ReadHalf::Tcp(socket) => counted(socket.read(room).await),
                ReadHalf::Unix(socket) => counted(socket.read(room).await),
                ReadHalf::Other(stream) => stream.read(room).await,
            };
            match read {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.end += read,
            }
        }
        let from = self.start + HEADER;
        self.start = from + self.length();
        Some(&self.buffer[from..self.start])
    }

    /// Whether a whole frame is here already.
    pub fn has_frame(&self) -> bool {
        self.end - self.start >= HEADER && self.end - self.start >= HEADER + self.length()
    }

    fn length(&self) -> usize {
        let header = self.buffer[self.start..self.start + HEADER].try_into().expect("four bytes");
        u32::from_le_bytes(header) as usize
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end >= HEADER && self.buffer.len() < HEADER + self.length() {
            let length = HEADER + self.length();
            self.buffer.resize(length, 0);
        }
    }
}

/// Collects frames and writes them together.
pub struct FrameWriter {
    socket: WriteHalf,
    buffer: Vec<u8>,
}

impl FrameWriter {
    fn new(socket: WriteHalf) -> Self {
        Self { socket, buffer: Vec::with_capacity(64 * 1024) }
    }

    pub fn other(stream: impl tokio::io::AsyncWrite + Send + Sync + Unpin + 'static) -> Self {
        Self::new(WriteHalf::Other(Box::new(stream)))
    }

    /// Appends a frame of what `fill` adds.
    pub fn put(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEADER]);
        fill(&mut self.buffer);
        let length = (self.buffer.len() - at - HEADER) as u32;
        self.buffer[at..at + HEADER].copy_from_slice(&length.to_le_bytes());
    }

    /// Bytes that were not written yet.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// False: the connection is gone.
    pub async fn flush(&mut self) -> bool {
        let done = write_all(&mut self.socket, &self.buffer).await;
        self.buffer.clear();
        done && self.push_out().await
    }

    /// What another stream holds back itself; sockets hold back nothing.
    async fn push_out(&mut self) -> bool {
        match &mut self.socket {
            WriteHalf::Tcp(_) | WriteHalf::Unix(_) => true,
            WriteHalf::Other(stream) => stream.flush().await.is_ok(),
        }
    }

    /// Writes a frame of `body` without copying it.
    pub async fn write(&mut self, body: &[u8]) -> bool {
        let header = (body.len() as u32).to_le_bytes();
        write_all(&mut self.socket, &header).await
            && write_all(&mut self.socket, body).await
            && self.push_out().await
    }
}

fn counted<T>(read: T) -> T {
    count::read();
    read
}

async fn write_all(socket: &mut WriteHalf, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let written = match socket {
            WriteHalf::Tcp(socket) => {
                count::write();
                socket.write(bytes).await
            }
            WriteHalf::Unix(socket) => {
                count::write();
                socket.write(bytes).await
            }
            WriteHalf::Other(stream) => stream.write(bytes).await,
        };
        match written {
            Ok(0) | Err(_) => return false,
            Ok(written) => bytes = &bytes[written..],
        }
    }
    true
}
