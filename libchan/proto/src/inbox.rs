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
    /// The block of headers; `None`: there is none.
    pub headers: Option<Box<[u8]>>,
    /// The encoded value.
    pub body: Body<'a>,
    /// What it is charged against windows: payload, headers, 16 per attachment, 32.
    pub charge: u32,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    length: u32,
    attachments: u8,
    codec: u8,
    flaw: Flaw,
    /// [`SHARED`], [`HEADERS`].
    beside: u8,
}

/// The payload is not in the inbox's buffer.
const SHARED: u8 = 1;
/// There is a block of headers.
const HEADERS: u8 = 2;

impl Head {
    /// What is charged but for the headers.
    fn charge(self) -> u32 {
        charge(self.length as usize, usize::from(self.attachments))
    }

    /// A small payload and nothing else.
    #[inline]
    fn is_plain(self) -> bool {
        self.attachments == 0 && self.beside == 0 && self.flaw == Flaw::None
    }
}

/// Messages that wait on one channel, oldest first.
///
/// In memory as it is written here: most messages are plain and wait alone, and then nothing behind `bytes` is touched. With
/// many channels in use every line of memory costs a wait.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Inbox {
    waiting: u32,
    /// Where the oldest payload begins.
    at: u32,
    first: Option<Head>,
    /// Half of the channel's byte window when this was handed over.
    half_window: u32,
    attachments_at: u32,
    bytes: Vec<u8>,
    /// Behind the first.
    more: VecDeque<Head>,
    attachments: Vec<Attachment>,
    large: VecDeque<Bytes>,
    headers: VecDeque<Box<[u8]>>,
}

/// The largest payload that is copied, in bytes.
pub(crate) const SMALL: usize = 4096;
/// The largest buffer of an inbox that is kept for reuse, in bytes.
const KEEP: usize = 64 * 1024;

impl Inbox {
    /// How many messages wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.waiting as usize
    }

    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Half of the channel's byte window: what is taken is to be reported at the latest when it comes to so many bytes.
    #[inline]
    pub fn half_window(&self) -> u32 {
        self.half_window
    }

    pub(crate) fn set_half_window(&mut self, bytes: u32) {
        self.half_window = bytes;
    }

    /// What the oldest is charged; 0 if none waits.
    #[inline]
    pub(crate) fn first_charge(&self) -> u32 {
        let Some(head) = self.first else { return 0 };
        let headers =
            if head.beside & HEADERS != 0 { self.headers.front().map_or(0, |block| block.len()) } else { 0 };
        head.charge() + headers as u32
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Message<'_>> {
        let head = self.pop_head()?;
        let first = self.attachments_at as usize;
        self.attachments_at += u32::from(head.attachments);
        let headers = if head.beside & HEADERS != 0 { self.headers.pop_front() } else { None };
        let charge = head.charge() + headers.as_ref().map_or(0, |block| block.len() as u32);
        let body = if head.beside & SHARED != 0 {
            Body::Shared(self.large.pop_front().unwrap_or_default())
        } else {
            let from = self.at as usize;
            self.at += head.length;
            Body::Slice(&self.bytes[from..self.at as usize])
        };
        let attachments = &self.attachments[first..self.attachments_at as usize];
        Some(Message { codec: head.codec, flaw: head.flaw, attachments, headers, body, charge })
    }

    /// Takes the oldest if it is a small message that carries nothing: its codec and payload.
    #[inline]
    pub fn pop_plain(&mut self) -> Option<(u8, &[u8])> {
        if !self.first?.is_plain() {
            return None;
        }
        let head = self.pop_head()?;
        let from = self.at as usize;
        self.at += head.length;
        Some((head.codec, &self.bytes[from..self.at as usize]))
    }

    #[inline]
    fn pop_head(&mut self) -> Option<Head> {
        let head = self.first.take()?;
        self.waiting -= 1;
        if self.waiting > 0 {
            self.first = self.more.pop_front();
        }
        Some(head)
    }

    /// The same as [`push`](Self::push) for a small message that carries nothing. How many wait now.
    #[inline]
    pub(crate) fn push_plain(&mut self, codec: u8, payload: &[u8]) -> usize {
        self.begin();
        self.bytes.extend_from_slice(payload);
        let length = payload.len() as u32;
        self.push_head(Head { length, attachments: 0, codec, flaw: Flaw::None, beside: 0 });
        self.len()
    }

    pub(crate) fn push(
        &mut self,
        codec: u8,
        flaw: Flaw,
        headers: &[u8],
        attachments: &[Attachment],
        payload: Payload<'_>,
    ) {
        self.begin();
        let length = payload.len() as u32;
        let mut beside = if matches!(payload, Payload::Copy(_)) { 0 } else { SHARED };
        if !headers.is_empty() {
            self.headers.push_back(headers.into());
            beside |= HEADERS;
        }
        match payload {
            Payload::Copy(bytes) => self.bytes.extend_from_slice(bytes),
            Payload::Share(bytes) => self.large.push_back(bytes),
            Payload::Parts(parts) => self.large.push_back(parts.concat().into()),
        }
        self.attachments.extend_from_slice(attachments);
        self.push_head(Head { length, attachments: attachments.len() as u8, codec, flaw, beside });
    }

    #[inline]
    fn push_head(&mut self, head: Head) {
        self.waiting += 1;
        if self.first.is_none() {
            self.first = Some(head);
        } else {
            self.more.push_back(head);
        }
    }

    /// Before a message: where none waits the buffers begin anew.
    #[inline]
    fn begin(&mut self) {
        if self.waiting == 0 {
            self.rewind();
        }
    }

    #[inline]
    fn rewind(&mut self) {
        self.bytes.clear();
        self.at = 0;
        if self.attachments_at > 0 {
            self.attachments.clear();
            self.attachments_at = 0;
        }
    }

    /// Whether it is worth keeping for another channel; empties it.
    #[inline]
    pub fn recycle(&mut self) -> bool {
        if self.waiting > 0 {
            self.clear();
        }
        self.rewind();
        self.bytes.capacity() <= KEEP
    }

    #[cold]
    fn clear(&mut self) {
        self.waiting = 0;
        self.first = None;
        self.more.clear();
        self.attachments.clear();
        self.large.clear();
        self.headers.clear();
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

/// What a message without headers is charged, the same on every link. A block of headers adds its length.
pub fn charge(payload: usize, attachments: usize) -> u32 {
    (payload + 16 * attachments + 32) as u32
}
