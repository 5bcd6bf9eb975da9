//! Messages that have arrived and wait: small payloads back to back in one buffer, so that a message costs no
//! allocation and pins no read buffer (rule 7 of the driver).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Key;

/// What the receiver of a message gets with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A sending end.
    Sender = 1,
    /// A receiving end.
    Receiver = 2,
    /// A byte stream.
    Stream = 3,
    /// A descriptor.
    Descriptor = 4,
    /// A sending end of a channel whose receiving end is at the receiver of the message.
    SenderHome = 5,
}

/// An attachment of a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What it is.
    pub kind: Kind,
    /// Its entry; of a descriptor its arrival number, counted from 0.
    pub key: Key,
    /// How many messages the channel holds.
    pub capacity: u32,
    /// A receiver must say how many of its receives wait.
    pub on_demand: bool,
}

/// Whether a message is one, or stands for one that could not be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaw {
    /// It is a message.
    #[default]
    None,
    /// Its sender could not encode it; the payload says why.
    NotEncoded,
    /// A relay could not forward it; the payload says why.
    NotForwarded,
}

/// The payload of a message.
#[derive(Debug)]
pub enum Body<'a> {
    /// In the inbox's buffer.
    Slice(&'a [u8]),
    /// A large one, which can be kept without a copy.
    Shared(Bytes),
}

/// A message that waited.
#[derive(Debug)]
pub struct Message<'a> {
    /// The codec of its payload.
    pub codec: u8,
    /// Whether it is one.
    pub flaw: Flaw,
    /// What it carries.
    pub attachments: &'a [Attachment],
    /// The encoded value.
    pub body: Body<'a>,
    /// What it is charged against windows: payload + 16 per attachment + 32.
    pub charge: u32,
}

#[derive(Debug)]
struct Head {
    length: u32,
    attachments: u8,
    codec: u8,
    flaw: Flaw,
    shared: bool,
}

/// Messages that wait on one channel, oldest first.
#[derive(Debug, Default)]
pub struct Inbox {
    heads: VecDeque<Head>,
    bytes: Vec<u8>,
    /// Where the oldest payload begins.
    at: usize,
    attachments: Vec<Attachment>,
    attachments_at: usize,
    large: VecDeque<Bytes>,
    /// Half of the channel's byte window when this was handed over.
    half_window: u32,
}

/// The largest payload that is copied, in bytes.
pub(crate) const SMALL: usize = 4096;
/// The largest buffer of an inbox that is kept for reuse, in bytes.
const KEEP: usize = 64 * 1024;

impl Inbox {
    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Half of the channel's byte window: what is taken is to be reported at the latest when it comes to so many bytes.
    #[inline]
    pub fn half_window(&self) -> u32 {
        self.half_window
    }

    pub(crate) fn set_half_window(&mut self, bytes: u32) {
        self.half_window = bytes;
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Message<'_>> {
        let head = self.heads.pop_front()?;
        let first = self.attachments_at;
        self.attachments_at += usize::from(head.attachments);
        let body = if head.shared {
            Body::Shared(self.large.pop_front().unwrap_or_default())
        } else {
            let from = self.at;
            self.at += head.length as usize;
            Body::Slice(&self.bytes[from..self.at])
        };
        Some(Message {
            codec: head.codec,
            flaw: head.flaw,
            attachments: &self.attachments[first..self.attachments_at],
            body,
            charge: charge(head.length as usize, usize::from(head.attachments)),
        })
    }

    /// Takes the oldest if it is a small message that carries nothing: its codec and payload.
    #[inline]
    pub fn pop_plain(&mut self) -> Option<(u8, &[u8])> {
        let head = self.heads.front()?;
        if head.attachments > 0 || head.shared || head.flaw != Flaw::None {
            return None;
        }
        let (codec, from) = (head.codec, self.at);
        self.at += head.length as usize;
        self.heads.pop_front();
        Some((codec, &self.bytes[from..self.at]))
    }

    /// The same as [`push`](Self::push) for a small message that carries nothing. How many wait now.
    #[inline]
    pub(crate) fn push_plain(&mut self, codec: u8, payload: &[u8]) -> usize {
        if self.heads.is_empty() {
            self.rewind();
        }
        self.bytes.extend_from_slice(payload);
        let length = payload.len() as u32;
        self.heads.push_back(Head { length, attachments: 0, codec, flaw: Flaw::None, shared: false });
        self.heads.len()
    }

    pub(crate) fn push(&mut self, codec: u8, flaw: Flaw, attachments: &[Attachment], payload: Payload<'_>) {
        if self.heads.is_empty() {
            self.rewind();
        }
        let length = payload.len();
        self.attachments.extend_from_slice(attachments);
        let shared = !matches!(payload, Payload::Copy(_));
        match payload {
            Payload::Copy(bytes) => self.bytes.extend_from_slice(bytes),
            Payload::Share(bytes) => self.large.push_back(bytes),
            Payload::Parts(parts) => self.large.push_back(parts.concat().into()),
        }
        let (length, attachments) = (length as u32, attachments.len() as u8);
        self.heads.push_back(Head { length, attachments, codec, flaw, shared });
    }

    /// All messages were taken: their buffers begin anew.
    fn rewind(&mut self) {
        self.bytes.clear();
        self.attachments.clear();
        self.at = 0;
        self.attachments_at = 0;
    }

    /// Whether it is worth keeping for another channel; empties it.
    pub fn recycle(&mut self) -> bool {
        self.heads.clear();
        self.large.clear();
        self.rewind();
        self.bytes.capacity() <= KEEP
    }
}

/// The payload of a message on its way.
#[derive(Debug)]
pub enum Payload<'a> {
    /// To be copied.
    Copy(&'a [u8]),
    /// To be kept as it is.
    Share(Bytes),
    /// The same, one behind the other.
    Parts(Vec<Bytes>),
}

impl Payload<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Copy(bytes) => bytes.len(),
            Self::Share(bytes) => bytes.len(),
            Self::Parts(parts) => parts.iter().map(Bytes::len).sum(),
        }
    }
}

/// What a message is charged, the same on every link.
pub fn charge(payload: usize, attachments: usize) -> u32 {
    (payload + 16 * attachments + 32) as u32
}
