//! The frames of Iris' relay protocol v1.0-draft2, without a socket: bytes to frames and back.
//!
//! A frame is measured first and sliced then: nothing is copied, and no length that a peer states takes memory before its
//! bytes are there. Lengths and names beyond [`Caps`] are refused when they are stated.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) const CLIENT_MAGIC: &[u8] = b"iris-client-magic";
pub(crate) const RELAY_MAGIC: &[u8] = b"iris-relay-magic";
pub(crate) const VERSION: &str = "v1.0-draft2";
/// The longest chunk of a tunnel, in bytes.
pub(crate) const CHUNK: usize = 65_536;
/// Seven bits a byte: a number of 64 bits has ten at most.
const VARINT: usize = 10;
/// The longest magic, version or fault that is read before it is judged.
const SHORT: usize = 4096;

/// What a peer may make the relay hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Bytes of a cluster's or topic's name.
    pub(crate) name: usize,
    /// Bytes of a request, reply, broadcast or event.
    pub(crate) message: usize,
}

/// A peer broke the protocol. The original drops the connection without a frame; its log says why, and ours does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    UnknownOpcode(u8),
    /// The frame is known and has no place here: a second handshake, a denial by a client.
    Misplaced(u8),
    InvalidBool(u8),
    VarintTooLong,
    TooLong {
        what: &'static str,
        size: u64,
        cap: usize,
    },
    BadMagic,
    NotText(&'static str),
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownOpcode(op) => write!(f, "protocol violation: unknown opcode: {op}"),
            Self::Misplaced(op) => write!(f, "protocol violation: opcode {op} does not belong here"),
            Self::InvalidBool(value) => write!(f, "protocol violation: invalid boolean value: {value}"),
            Self::VarintTooLong => f.write_str("protocol violation: a number of more than 64 bits"),
            Self::TooLong { what, size, cap } => {
                write!(f, "protocol violation: a {what} of {size} bytes; at most {cap} are taken")
            }
            Self::BadMagic => f.write_str("protocol violation: not an Iris client"),
            Self::NotText(what) => write!(f, "protocol violation: the {what} is not UTF-8"),
        }
    }
}

/// What a binding begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: String,
    /// Empty: a client, no member of a cluster.
    pub(crate) cluster: String,
}

/// What a binding says after its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromClient {
    Close,
    Broadcast { cluster: String, body: Bytes },
    Request { id: u64, cluster: String, body: Bytes, timeout_ms: u64 },
    Reply { id: u64, result: Result<Bytes, Bytes> },
    Subscribe { topic: String },
    Unsubscribe { topic: String },
    Publish { topic: String, body: Bytes },
    TunnelInit { id: u64, cluster: String, timeout_ms: u64 },
    TunnelConfirm { build: u64, id: u64 },
    TunnelAllow { id: u64, bytes: u64 },
    TunnelTransfer { id: u64, size: u64, chunk: Bytes },
    TunnelClose { id: u64 },
}

/// What a relay says to a binding after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToClient<'a> {
    Close {
        reason: &'a str,
    },
    Broadcast {
        body: &'a [u8],
    },
    Request {
        id: u64,
        body: &'a [u8],
        timeout_ms: u64,
    },
    /// `None`: it timed out.
    Reply {
        id: u64,
        result: Option<Result<&'a [u8], &'a [u8]>>,
    },
    Publish {
        topic: &'a str,
        body: &'a [u8],
    },
    TunnelInit {
        build: u64,
        chunk: u64,
    },
    /// `None`: no tunnel came about.
    TunnelConfirm {
        id: u64,
        chunk: Option<u64>,
    },
    TunnelAllow {
        id: u64,
        bytes: u64,
    },
    TunnelTransfer {
        id: u64,
        size: u64,
        chunk: &'a [u8],
    },
    TunnelClose {
        id: u64,
        reason: &'a str,
    },
}

mod op {
    pub(super) const INIT: u8 = 0x00;
    pub(super) const DENY: u8 = 0x01;
    pub(super) const CLOSE: u8 = 0x02;
    pub(super) const BROADCAST: u8 = 0x03;
    pub(super) const REQUEST: u8 = 0x04;
    pub(super) const REPLY: u8 = 0x05;
    pub(super) const SUBSCRIBE: u8 = 0x06;
    pub(super) const UNSUBSCRIBE: u8 = 0x07;
    pub(super) const PUBLISH: u8 = 0x08;
    pub(super) const TUNNEL_INIT: u8 = 0x09;
    pub(super) const TUNNEL_CONFIRM: u8 = 0x0a;
    pub(super) const TUNNEL_ALLOW: u8 = 0x0b;
    pub(super) const TUNNEL_TRANSFER: u8 = 0x0c;
    pub(super) const TUNNEL_CLOSE: u8 = 0x0d;
}

// ---- reading

/// Why a frame cannot be read yet, or at all.
enum Stop {
    /// More bytes are needed.
    Short,
    Bad(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Bad(violation)
    }
}

/// Walks over a frame and notes where its parts are.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    caps: Caps,
}

impl Walk<'_> {
    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn bool(&mut self) -> Result<bool, Stop> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Violation::InvalidBool(other).into()),
        }
    }

    fn varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0_u64;
        for index in 0..VARINT {
            let byte = self.byte()?;
            let part = u64::from(byte & 127);
            let shifted = part << (7 * index);
            if shifted >> (7 * index) != part {
                return Err(Violation::VarintTooLong.into());
            }
            value |= shifted;
            if byte & 128 == 0 {
                return Ok(value);
            }
        }
        Err(Violation::VarintTooLong.into())
    }

    fn binary(&mut self, what: &'static str, cap: usize) -> Result<Range<usize>, Stop> {
        let size = self.varint()?;
        let length = usize::try_from(size).ok().filter(|&length| length <= cap);
        let Some(length) = length else { return Err(Violation::TooLong { what, size, cap }.into()) };
        let end = self.at + length;
        if end > self.bytes.len() {
            return Err(Stop::Short);
        }
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    fn text(&mut self, what: &'static str, cap: usize) -> Result<String, Stop> {
        let range = self.binary(what, cap)?;
        match std::str::from_utf8(&self.bytes[range]) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Violation::NotText(what).into()),
        }
    }

    fn name(&mut self, what: &'static str) -> Result<String, Stop> {
        self.text(what, self.caps.name)
    }

    fn message(&mut self, what: &'static str) -> Result<Range<usize>, Stop> {
        self.binary(what, self.caps.message)
    }
}

/// A frame whose parts are still places in the buffer.
type Sliced = Box<dyn FnOnce(&Bytes) -> FromClient>;

/// Takes the next frame off the front of `buffer`. `None`: more bytes are needed.
pub(crate) fn read(buffer: &mut BytesMut, caps: Caps) -> Result<Option<FromClient>, Violation> {
    let mut walk = Walk { bytes: buffer, at: 0, caps };
    match frame(&mut walk) {
        Ok(sliced) => {
            let end = walk.at;
            Ok(Some(sliced(&buffer.split_to(end).freeze())))
        }
        Err(Stop::Short) => Ok(None),
        Err(Stop::Bad(violation)) => Err(violation),
    }
}

fn frame(walk: &mut Walk<'_>) -> Result<Sliced, Stop> {
    Ok(match walk.byte()? {
        op::CLOSE => Box::new(|_| FromClient::Close),
        op::BROADCAST => {
            let cluster = walk.name("cluster")?;
            let body = walk.message("broadcast")?;
            Box::new(move |frame| FromClient::Broadcast { cluster, body: frame.slice(body) })
        }
        op::REQUEST => {
            let id = walk.varint()?;
            let cluster = walk.name("cluster")?;
            let body = walk.message("request")?;
            let timeout_ms = walk.varint()?;
            Box::new(move |frame| FromClient::Request { id, cluster, body: frame.slice(body), timeout_ms })
        }
        op::REPLY => {
            let id = walk.varint()?;
            let success = walk.bool()?;
            let body = walk.message("reply")?;
            Box::new(move |frame| {
                let body = frame.slice(body);
                FromClient::Reply { id, result: if success { Ok(body) } else { Err(body) } }
            })
        }
        op::SUBSCRIBE => {
            let topic = walk.name("topic")?;
            Box::new(move |_| FromClient::Subscribe { topic })
        }
        op::UNSUBSCRIBE => {
            let topic = walk.name("topic")?;
            Box::new(move |_| FromClient::Unsubscribe { topic })
        }
        op::PUBLISH => {
            let topic = walk.name("topic")?;
            let body = walk.message("event")?;
            Box::new(move |frame| FromClient::Publish { topic, body: frame.slice(body) })
        }
        other => return tunnel_frame(walk, other),
    })
}

fn tunnel_frame(walk: &mut Walk<'_>, opcode: u8) -> Result<Sliced, Stop> {
    Ok(match opcode {
        op::TUNNEL_INIT => {
            let id = walk.varint()?;
            let cluster = walk.name("cluster")?;
            let timeout_ms = walk.varint()?;
            Box::new(move |_| FromClient::TunnelInit { id, cluster, timeout_ms })
        }
        op::TUNNEL_CONFIRM => {
            let (build, id) = (walk.varint()?, walk.varint()?);
            Box::new(move |_| FromClient::TunnelConfirm { build, id })
        }
        op::TUNNEL_ALLOW => {
            let (id, bytes) = (walk.varint()?, walk.varint()?);
            Box::new(move |_| FromClient::TunnelAllow { id, bytes })
        }
        op::TUNNEL_TRANSFER => {
            let (id, size) = (walk.varint()?, walk.varint()?);
            let chunk = walk.binary("chunk", CHUNK)?;
            Box::new(move |frame| FromClient::TunnelTransfer { id, size, chunk: frame.slice(chunk) })
        }
        op::TUNNEL_CLOSE => {
            let id = walk.varint()?;
            Box::new(move |_| FromClient::TunnelClose { id })
        }
        op::INIT | op::DENY => return Err(Violation::Misplaced(opcode).into()),
        other => return Err(Violation::UnknownOpcode(other).into()),
    })
}

/// Takes a binding's handshake off the front of `buffer`. `None`: more bytes are needed.
pub(crate) fn read_hello(buffer: &mut BytesMut, caps: Caps) -> Result<Option<Hello>, Violation> {
    let mut walk = Walk { bytes: buffer, at: 0, caps };
    match hello(&mut walk) {
        Ok(hello) => {
            let end = walk.at;
            let _taken = buffer.split_to(end);
            Ok(Some(hello))
        }
        Err(Stop::Short) => Ok(None),
        Err(Stop::Bad(violation)) => Err(violation),
    }
}

fn hello(walk: &mut Walk<'_>) -> Result<Hello, Stop> {
    if walk.byte()? != op::INIT {
        return Err(Violation::BadMagic.into());
    }
    // A program that is no binding is told apart by its first bytes, before it can make the relay wait for more.
    let magic = walk.binary("magic", CLIENT_MAGIC.len()).map_err(|stop| match stop {
        Stop::Bad(Violation::TooLong { .. }) => Stop::Bad(Violation::BadMagic),
        stop => stop,
    })?;
    if walk.bytes[magic] != *CLIENT_MAGIC {
        return Err(Violation::BadMagic.into());
    }
    let version = walk.text("version", SHORT)?;
    let cluster = walk.name("cluster")?;
    Ok(Hello { version, cluster })
}

// ---- writing

/// The relay's answer to a handshake that it accepts.
pub(crate) fn write_accept(out: &mut BytesMut) {
    out.put_u8(op::INIT);
    put_binary(out, RELAY_MAGIC);
    put_binary(out, VERSION.as_bytes());
}

/// The relay's answer to a handshake that it does not accept.
pub(crate) fn write_deny(out: &mut BytesMut, reason: &str) {
    out.put_u8(op::DENY);
    put_binary(out, RELAY_MAGIC);
    put_binary(out, reason.as_bytes());
}

/// What a binding of another version is told, word for word as the original does.
pub(crate) fn version_refusal(theirs: &str) -> String {
    format!("Unsupported protocol. Client: {theirs}. Iris: {VERSION}.")
}

/// Writes a frame behind what is in `out`.
pub(crate) fn write(out: &mut BytesMut, frame: &ToClient<'_>) {
    match *frame {
        ToClient::Close { reason } => {
            out.put_u8(op::CLOSE);
            put_binary(out, reason.as_bytes());
        }
        ToClient::Broadcast { body } => {
            out.put_u8(op::BROADCAST);
            put_binary(out, body);
        }
        ToClient::Request { id, body, timeout_ms } => {
            put_numbers(out, op::REQUEST, &[id]);
            put_binary(out, body);
            put_varint(out, timeout_ms);
        }
        ToClient::Reply { id, result } => {
            put_numbers(out, op::REPLY, &[id]);
            out.put_u8(u8::from(result.is_none()));
            if let Some(result) = result {
                out.put_u8(u8::from(result.is_ok()));
                put_binary(out, result.unwrap_or_else(|fault| fault));
            }
        }
        ToClient::Publish { topic, body } => {
            out.put_u8(op::PUBLISH);
            put_binary(out, topic.as_bytes());
            put_binary(out, body);
        }
        ToClient::TunnelInit { build, chunk } => put_numbers(out, op::TUNNEL_INIT, &[build, chunk]),
        ToClient::TunnelConfirm { id, chunk } => {
            put_numbers(out, op::TUNNEL_CONFIRM, &[id]);
            out.put_u8(u8::from(chunk.is_none()));
            if let Some(chunk) = chunk {
                put_varint(out, chunk);
            }
        }
        ToClient::TunnelAllow { id, bytes } => put_numbers(out, op::TUNNEL_ALLOW, &[id, bytes]),
        ToClient::TunnelTransfer { id, size, chunk } => {
            put_numbers(out, op::TUNNEL_TRANSFER, &[id, size]);
            put_binary(out, chunk);
        }
        ToClient::TunnelClose { id, reason } => {
            put_numbers(out, op::TUNNEL_CLOSE, &[id]);
            put_binary(out, reason.as_bytes());
        }
    }
}

fn put_numbers(out: &mut BytesMut, opcode: u8, numbers: &[u64]) {
    out.put_u8(opcode);
    for &number in numbers {
        put_varint(out, number);
    }
}

pub(super) fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value > 127 {
        out.put_u8(value as u8 | 128);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
