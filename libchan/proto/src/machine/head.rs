//! What a MESSAGE has before its payload: flags, codec, the table of attachments, the length of the whole.

use crate::error::Misbehaviour;
use crate::frame::{ATTACHMENT, MOST_CAPACITY, Reader, flag};
use crate::inbox::{Flaw, Kind};
use crate::limits::Limits;

pub(super) fn body_length(payload: usize, attachments: usize, headers: usize) -> usize {
    let table = if attachments > 0 { 1 + ATTACHMENT * attachments } else { 0 };
    2 + table + if headers > 0 { 1 + headers } else { 0 } + payload
}

/// Whether a block of headers is one: fields `tag u8, length u8, value` that fill it, 255 bytes at the most. (An empty one
/// stands for none.)
pub fn are_headers(block: &[u8]) -> bool {
    let mut rest = block;
    while let [_, length, behind @ ..] = rest {
        match behind.get(usize::from(*length)..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    rest.is_empty() && block.len() <= 255
}

pub(super) fn flaw_flag(flaw: Flaw) -> u8 {
    match flaw {
        Flaw::None => 0,
        Flaw::NotEncoded => flag::NOT_ENCODED,
        Flaw::NotForwarded => flag::NOT_FORWARDED,
    }
}

/// What a MESSAGE has before its payload.
pub(crate) struct Head<'a> {
    pub(crate) flags: u8,
    pub(crate) codec: u8,
    pub(super) flaw: Flaw,
    /// The attachments, [`ATTACHMENT`] bytes each.
    pub(crate) table: &'a [u8],
    /// The block of headers; empty: there is none.
    pub(crate) headers: &'a [u8],
    /// The length of the whole payload, if fragments follow.
    pub(crate) total: Option<u32>,
}

impl<'a> Head<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>, limits: &Limits) -> Result<Self, Misbehaviour> {
        let (flags, codec) = (reader.u8()?, reader.u8()?);
        let flaw = parse_flags(flags)?;
        let table = if flags & flag::ATTACHMENTS != 0 {
            let n = usize::from(reader.u8()?);
            if n == 0 || n > limits.max_attachments as usize {
                return Err(Misbehaviour::TooManyAttachments);
            }
            reader.take(n * ATTACHMENT)?
        } else {
            &[]
        };
        let headers = if flags & flag::HEADERS != 0 {
            let length = usize::from(reader.u8()?);
            let block = reader.take(length)?;
            if block.is_empty() || !are_headers(block) {
                return Err(Misbehaviour::Field);
            }
            block
        } else {
            &[]
        };
        let total = if flags & flag::MORE != 0 { Some(reader.u32()?) } else { None };
        Ok(Self { flags, codec, flaw, table, headers, total })
    }

    /// Whether a payload of which `part` bytes are in this frame may be.
    pub(crate) fn check_length(&self, part: usize, limits: &Limits) -> Result<(), Misbehaviour> {
        if self.total.map_or(part, |total| total as usize) > limits.max_message as usize {
            return Err(Misbehaviour::MessageTooLarge);
        }
        if self.total.is_some_and(|total| part >= total as usize) {
            return Err(Misbehaviour::Fragment);
        }
        Ok(())
    }
}

/// The kind of an entry of the table whose fields fit each other.
pub(crate) fn check_entry(kind: u8, id: u32, capacity: u32, wanted: u32) -> Result<Kind, Misbehaviour> {
    match kind {
        3..=5 if capacity != 0 || wanted != 0 => Err(Misbehaviour::Field),
        1 | 2 if capacity > MOST_CAPACITY => Err(Misbehaviour::Field),
        1 if wanted > MOST_CAPACITY || (wanted > 0 && capacity > 0) => Err(Misbehaviour::Field),
        1 => Ok(Kind::Sender),
        2 if wanted == 1 || (wanted == 0 && capacity > 0) => Ok(Kind::Receiver),
        2 => Err(Misbehaviour::Field),
        3 => Ok(Kind::Stream),
        4 if id == 0 => Ok(Kind::Descriptor),
        5 => Ok(Kind::SenderHome),
        _ => Err(Misbehaviour::AttachmentKind),
    }
}

fn parse_flags(flags: u8) -> Result<Flaw, Misbehaviour> {
    if flags & !flag::ALL != 0 {
        return Err(Misbehaviour::Field);
    }
    match flags & (flag::NOT_ENCODED | flag::NOT_FORWARDED) {
        0 => Ok(Flaw::None),
        flag::NOT_ENCODED => Ok(Flaw::NotEncoded),
        flag::NOT_FORWARDED => Ok(Flaw::NotForwarded),
        _ => Err(Misbehaviour::Field),
    }
}
