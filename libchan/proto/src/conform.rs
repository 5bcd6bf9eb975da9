//! Single frames as values, read and written by the code that the machine uses: what a conformance testee shows. No part
//! of the API.

use crate::code;
use crate::entry::{Cancel, Close, Scope};
use crate::error::{Misbehaviour, Reason, SessionError};
use crate::frame::{self, ATTACHMENT, HEADER, Header, Metadata, Opening, PREFACE, Reader, Type, flag};
use crate::hello::Hello;
use crate::limits::Limits;
use crate::machine::close::{parse_cancel, parse_close};
use crate::machine::head::{Head, check_entry};
use crate::machine::large::check_fragment;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Frame {
    Preface {
        version: u8,
    },
    Hello(Hello),
    Open {
        id: u32,
        capacity: u32,
        name: String,
        metadata: Metadata,
    },
    Message {
        id: u32,
        flags: u8,
        codec: u8,
        table: Vec<Entry>,
        /// Empty: there is none.
        headers: Vec<u8>,
        total: Option<u32>,
        payload: Vec<u8>,
    },
    Fragment {
        id: u32,
        flags: u8,
        payload: Vec<u8>,
    },
    Credit {
        id: u32,
        taken: u32,
        wanted: u32,
        bytes: u32,
    },
    Close {
        id: u32,
        scope: u8,
        reason: Reason,
    },
    Cancel {
        id: u32,
        scope: u8,
        taken: u32,
        reason: Reason,
    },
    Data {
        id: u32,
        payload: Vec<u8>,
    },
    End {
        id: u32,
        reason: Reason,
    },
    Stop {
        id: u32,
        reason: Reason,
    },
    Ping {
        payload: [u8; 8],
    },
    Pong {
        payload: [u8; 8],
    },
    Goodbye {
        reason: Reason,
    },
    /// Of a type that is skipped.
    Unknown {
        id: u32,
    },
}

/// An entry of the attachment table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Entry {
    pub kind: u8,
    pub id: u32,
    pub capacity: u32,
    pub wanted: u32,
}

/// Reads one whole frame, or the preface, and checks what can be checked without a session, by the default limits.
///
/// # Errors
/// As a session would end.
pub fn decode(bytes: &[u8]) -> Result<Frame, SessionError> {
    if let Some(version) = bytes.strip_prefix(&PREFACE[..7]) {
        return match *version {
            [version] if version == PREFACE[7] => Ok(Frame::Preface { version }),
            [version] => Err(SessionError::UnsupportedVersion(version)),
            _ => Err(Misbehaviour::FrameTooShort.into()),
        };
    }
    let header = Header::parse(bytes).ok_or(Misbehaviour::FrameTooShort)?;
    let (id, body) = (header.id, &bytes[HEADER..]);
    let limits = Limits::default();
    let longest = if header.kind == Type::Hello as u8 { limits.max_hello } else { limits.max_frame };
    if header.length > longest as usize {
        return Err(Misbehaviour::FrameTooLarge.into());
    }
    if header.length != body.len() {
        return Err(Misbehaviour::FrameTooShort.into());
    }
    let Some(kind) = Type::parse(header.kind)? else { return Ok(Frame::Unknown { id }) };
    if id != 0 && matches!(kind, Type::Hello | Type::Ping | Type::Pong | Type::Goodbye) {
        return Err(Misbehaviour::Field.into());
    }
    Ok(read(kind, id, body, &limits)?)
}

fn read(kind: Type, id: u32, body: &[u8], limits: &Limits) -> Result<Frame, Misbehaviour> {
    let mut reader = Reader(body);
    Ok(match kind {
        Type::Hello => Frame::Hello(Hello::decode(body)?),
        Type::Open => {
            let Opening { name, capacity, metadata } = Opening::decode(body)?;
            Frame::Open { id, capacity, name, metadata }
        }
        Type::Message => {
            let head = Head::parse(&mut reader, limits)?;
            head.check_length(reader.0.len(), limits)?;
            let Head { flags, codec, table, headers, total, .. } = head;
            let payload = reader.0;
            let table = table.chunks_exact(ATTACHMENT).map(entry).collect::<Result<_, _>>()?;
            Frame::Message {
                id,
                flags,
                codec,
                table,
                headers: headers.to_vec(),
                total,
                payload: payload.to_vec(),
            }
        }
        Type::Fragment => {
            let (&flags, part) = body.split_first().ok_or(Misbehaviour::FrameTooShort)?;
            let more = check_fragment(flags, part.len())?;
            Frame::Fragment { id, flags: u8::from(more) * flag::MORE, payload: part.to_vec() }
        }
        Type::Credit => {
            let (taken, wanted, bytes) = (reader.u32()?, reader.u32()?, reader.u32()?);
            reader.end()?;
            if id == 0 && (wanted != 0 || bytes != 0) {
                return Err(Misbehaviour::Field);
            }
            Frame::Credit { id, taken, wanted, bytes }
        }
        Type::Close => {
            let Close { scope, reason } = parse_close(body)?;
            Frame::Close { id, scope: number(scope), reason: reason.unwrap_or_default() }
        }
        Type::Cancel => {
            let (Cancel { scope, reason }, taken) = parse_cancel(body)?;
            Frame::Cancel { id, scope: number(scope), taken, reason }
        }
        Type::Data if body.is_empty() => return Err(Misbehaviour::FrameTooShort),
        Type::Data => Frame::Data { id, payload: body.to_vec() },
        Type::End => Frame::End { id, reason: reader.reason()? },
        Type::Stop => Frame::Stop { id, reason: reader.reason()? },
        Type::Ping => Frame::Ping { payload: eight(body)? },
        Type::Pong => Frame::Pong { payload: eight(body)? },
        Type::Goodbye => Frame::Goodbye { reason: reader.reason()? },
    })
}

fn number(scope: Scope) -> u8 {
    scope as u8
}

fn eight(body: &[u8]) -> Result<[u8; 8], Misbehaviour> {
    body.try_into().map_err(|_| Misbehaviour::FrameTooShort)
}

fn entry(bytes: &[u8]) -> Result<Entry, Misbehaviour> {
    let mut reader = Reader(bytes);
    let (kind, id) = (reader.u8()?, reader.u32()?);
    let (capacity, wanted) = (reader.u32()?, reader.u32()?);
    check_entry(kind, id, capacity, wanted)?;
    Ok(Entry { kind, id, capacity, wanted })
}

/// Writes a frame, header included. An [`Unknown`](Frame::Unknown) one is empty.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    match frame {
        Frame::Preface { version } => {
            out.extend_from_slice(&PREFACE[..7]);
            out.push(*version);
        }
        Frame::Hello(hello) => whole(&mut out, Type::Hello, 0, &hello.encode()),
        Frame::Open { id, capacity, name, metadata } => {
            let body = Opening::encode(name, *capacity, metadata, usize::MAX).unwrap_or_default();
            whole(&mut out, Type::Open, *id, &body);
        }
        Frame::Message { id, .. } => whole(&mut out, Type::Message, *id, &message(frame)),
        Frame::Fragment { id, flags, payload } => {
            whole(&mut out, Type::Fragment, *id, &[&[*flags], &payload[..]].concat());
        }
        Frame::Credit { id, taken, wanted, bytes } => frame::credit(&mut out, *id, *taken, *wanted, *bytes),
        Frame::Close { id, scope, reason } => {
            frame::with_reason(&mut out, Type::Close, *id, &[*scope], &clean(reason));
        }
        Frame::Cancel { id, scope, taken, reason } => {
            let head = [&[*scope], &taken.to_be_bytes()[..]].concat();
            frame::with_reason(&mut out, Type::Cancel, *id, &head, reason);
        }
        Frame::Data { id, payload } => whole(&mut out, Type::Data, *id, payload),
        Frame::End { id, reason } => frame::with_reason(&mut out, Type::End, *id, &[], reason),
        Frame::Stop { id, reason } => frame::with_reason(&mut out, Type::Stop, *id, &[], reason),
        Frame::Ping { payload } => frame::eight(&mut out, Type::Ping, *payload),
        Frame::Pong { payload } => frame::eight(&mut out, Type::Pong, *payload),
        Frame::Goodbye { reason } => frame::with_reason(&mut out, Type::Goodbye, 0, &[], reason),
        Frame::Unknown { .. } => {}
    }
    out
}

/// A code of 0 is the clean end, which has no text.
fn clean(reason: &Reason) -> Reason {
    if reason.code == code::NONE { Reason::none() } else { reason.clone() }
}

fn whole(out: &mut Vec<u8>, kind: Type, id: u32, body: &[u8]) {
    frame::header(out, body.len(), kind, id);
    out.extend_from_slice(body);
}

fn message(frame: &Frame) -> Vec<u8> {
    let Frame::Message { flags, codec, table, headers, total, payload, .. } = frame else {
        return Vec::new();
    };
    let mut body = vec![*flags, *codec];
    if flags & flag::ATTACHMENTS != 0 {
        body.push(table.len() as u8);
        for Entry { kind, id, capacity, wanted } in table {
            body.push(*kind);
            body.extend([id, capacity, wanted].into_iter().flat_map(|number| number.to_be_bytes()));
        }
    }
    if flags & flag::HEADERS != 0 {
        body.push(headers.len() as u8);
        body.extend_from_slice(headers);
    }
    body.extend(total.iter().flat_map(|total| total.to_be_bytes()));
    body.extend_from_slice(payload);
    body
}
