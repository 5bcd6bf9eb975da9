//! Frames: how each is laid out (spec/2-frames.md). All integers are big-endian and of fixed width, so a frame has
//! exactly one encoding.
//!
//! Encoding appends to a buffer; decoding reads from a slice that holds the whole body and consumes all of it.

use crate::error::{Misbehaviour, Reason};

/// What both sides send first: the name and the version.
pub(crate) const PREFACE: [u8; 8] = *b"libchan\x01";
/// Length, type, id.
pub(crate) const HEADER: usize = 8;
/// The longest text of a reason, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;
/// Unknown frame types with this bit are skipped.
const IGNORABLE: u8 = 0x80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Type {
    Hello = 0x01,
    Open = 0x02,
    Message = 0x03,
    Fragment = 0x04,
    Credit = 0x05,
    Close = 0x06,
    Cancel = 0x07,
    Data = 0x08,
    End = 0x09,
    Stop = 0x0a,
    Ping = 0x0b,
    Pong = 0x0c,
    Goodbye = 0x0d,
}

impl Type {
    /// `None`: a type that may be skipped.
    pub(crate) fn parse(byte: u8) -> Result<Option<Self>, Misbehaviour> {
        Ok(Some(match byte {
            0x01 => Self::Hello,
            0x02 => Self::Open,
            0x03 => Self::Message,
            0x04 => Self::Fragment,
            0x05 => Self::Credit,
            0x06 => Self::Close,
            0x07 => Self::Cancel,
            0x08 => Self::Data,
            0x09 => Self::End,
            0x0a => Self::Stop,
            0x0b => Self::Ping,
            0x0c => Self::Pong,
            0x0d => Self::Goodbye,
            other if other & IGNORABLE != 0 => return Ok(None),
            other => return Err(Misbehaviour::UnknownType(other)),
        }))
    }
}

/// The first eight bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) id: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let [a, b, c, kind, rest @ ..] = *bytes;
        Some(Self { length: u32::from_be_bytes([0, a, b, c]) as usize, kind, id: u32::from_be_bytes(rest) })
    }
}

/// Appends a header; `length` is at most 2^24 - 1 because frames are limited to less.
pub(crate) fn header(out: &mut Vec<u8>, length: usize, kind: Type, id: u32) {
    header_and(out, length, kind, id, []);
}

/// Appends a header and the first bytes of the body, which `length` counts.
#[inline]
pub(crate) fn header_and<const N: usize>(
    out: &mut Vec<u8>,
    length: usize,
    kind: Type,
    id: u32,
    first: [u8; N],
) {
    out.reserve(HEADER + N);
    out.extend_from_slice(&header_bytes(length, kind, id));
    out.extend_from_slice(&first);
}

/// A header alone.
#[inline]
pub(crate) fn header_bytes(length: usize, kind: Type, id: u32) -> [u8; HEADER] {
    let word = ((length as u64) << 8) | u64::from(kind as u8);
    (word << 32 | u64::from(id)).to_be_bytes()
}

/// Reads fields from the front of a body.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Misbehaviour> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Misbehaviour::FrameTooShort)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Misbehaviour> {
        let (&first, rest) = self.0.split_first().ok_or(Misbehaviour::FrameTooShort)?;
        self.0 = rest;
        Ok(first)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Misbehaviour> {
        let (head, rest) = self.0.split_first_chunk::<2>().ok_or(Misbehaviour::FrameTooShort)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*head))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Misbehaviour> {
        let (head, rest) = self.0.split_first_chunk::<4>().ok_or(Misbehaviour::FrameTooShort)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*head))
    }

    pub(crate) fn text(&mut self, n: usize) -> Result<&'a str, Misbehaviour> {
        std::str::from_utf8(self.take(n)?).map_err(|_| Misbehaviour::Text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn end(&self) -> Result<(), Misbehaviour> {
        if self.0.is_empty() { Ok(()) } else { Err(Misbehaviour::Field) }
    }

    /// `code u16, text` to the end of the body.
    pub(crate) fn reason(&mut self) -> Result<Reason, Misbehaviour> {
        let code = self.u16()?;
        if self.0.len() > MAX_TEXT {
            return Err(Misbehaviour::Text);
        }
        let text = self.text(self.0.len())?;
        Ok(Reason { code, text: text.to_owned() })
    }
}

fn text_of(reason: &Reason) -> &str {
    let end = (0..=reason.text.len().min(MAX_TEXT)).rev().find(|&at| reason.text.is_char_boundary(at));
    &reason.text[..end.unwrap_or(0)]
}

/// A body of `head` and a reason: CLOSE, CANCEL, END, STOP, GOODBYE.
pub(crate) fn with_reason(out: &mut Vec<u8>, kind: Type, id: u32, head: &[u8], reason: &Reason) {
    let text = text_of(reason);
    header(out, head.len() + 2 + text.len(), kind, id);
    out.extend_from_slice(head);
    out.extend_from_slice(&reason.code.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn credit(out: &mut Vec<u8>, id: u32, taken: u32, wanted: u32, bytes: u32) {
    header(out, 12, Type::Credit, id);
    out.extend_from_slice(&taken.to_be_bytes());
    out.extend_from_slice(&wanted.to_be_bytes());
    out.extend_from_slice(&bytes.to_be_bytes());
}

pub(crate) fn eight(out: &mut Vec<u8>, kind: Type, bytes: [u8; 8]) {
    header(out, 8, kind, 0);
    out.extend_from_slice(&bytes);
}

/// Flags of MESSAGE and FRAGMENT.
pub(crate) mod flag {
    pub(crate) const MORE: u8 = 0x01;
    pub(crate) const ATTACHMENTS: u8 = 0x02;
    pub(crate) const NOT_ENCODED: u8 = 0x04;
    pub(crate) const NOT_FORWARDED: u8 = 0x08;
    pub(crate) const HEADERS: u8 = 0x10;
    pub(crate) const ALL: u8 = 0x1f;
}

/// The highest capacity of a channel, and the most receives that may be announced and wait.
pub(crate) const MOST_CAPACITY: u32 = i32::MAX as u32;

/// Bytes of an attachment in a MESSAGE.
pub(crate) const ATTACHMENT: usize = 13;

/// What is said with a named channel or in the hello: `klen u8, key, vlen u16, value`, repeated.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(String, Vec<u8>)>);

impl Metadata {
    /// Adds an entry; the first of a key is the one that [`get`](Self::get) finds. A key longer than 255 bytes and a value
    /// longer than 65,535 fit no frame: what they are said with fails, see [`fits`](Self::fits).
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), value.into()));
    }

    /// Whether it can be sent: keys have at most 255 bytes, values 65,535, and all of it in its encoded form 65,535. Only such
    /// metadata may be in the [`Hello`](crate::Hello) of a [`Machine`](crate::Machine).
    pub fn fits(&self) -> bool {
        let whole = self.0.iter().map(|(key, value)| 3 + key.len() + value.len()).sum::<usize>();
        self.0.iter().all(entry_fits) && whole <= usize::from(u16::MAX)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| &value[..])
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Entries that do not fit are left out: whoever sends them has asked [`fits`](Self::fits).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for (key, value) in self.0.iter().filter(|entry| entry_fits(entry)) {
            out.push(key.len() as u8);
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(&(value.len() as u16).to_be_bytes());
            out.extend_from_slice(value);
        }
    }

    pub(crate) fn decode(mut body: Reader<'_>) -> Result<Self, Misbehaviour> {
        let mut entries = Vec::new();
        while !body.is_empty() {
            let n = usize::from(body.u8()?);
            let key = body.text(n)?.to_owned();
            let n = usize::from(body.u16()?);
            entries.push((key, body.take(n)?.to_vec()));
        }
        Ok(Self(entries))
    }
}

fn entry_fits((key, value): &(String, Vec<u8>)) -> bool {
    key.len() <= usize::from(u8::MAX) && value.len() <= usize::from(u16::MAX)
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be credentials: only keys are shown.
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

/// A named channel that the peer has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its name.
    pub name: String,
    /// How many messages it holds.
    pub capacity: u32,
    /// What was said with it.
    pub metadata: Metadata,
}

impl Opening {
    /// `None`: it does not fit a frame.
    pub(crate) fn encode(name: &str, capacity: u32, metadata: &Metadata, max: usize) -> Option<Vec<u8>> {
        if !metadata.0.iter().all(entry_fits) {
            return None;
        }
        let mut body = Vec::with_capacity(6 + name.len());
        body.extend_from_slice(&capacity.to_be_bytes());
        body.extend_from_slice(&u16::try_from(name.len()).ok()?.to_be_bytes());
        body.extend_from_slice(name.as_bytes());
        metadata.encode(&mut body);
        (body.len() <= max).then_some(body)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Misbehaviour> {
        let mut body = Reader(body);
        let capacity = body.u32()?;
        if capacity > MOST_CAPACITY {
            return Err(Misbehaviour::Field);
        }
        let n = usize::from(body.u16()?);
        let name = body.text(n)?.to_owned();
        Ok(Self { name, capacity, metadata: Metadata::decode(body)? })
    }
}
