//! What the fuzz targets call. Kept in the crate so that the corpus is replayed by `cargo test`.

use std::time::Duration;

use crate::error::{Misbehaviour, Reason};
use crate::frame::{self, HEADER, Header, Metadata, Opening, Reader, Type};
use crate::{Event, Flaw, Hello, Kind, Limits, Machine, Outgoing, Output, Payload, Role, Scope, code};

/// Feeds arbitrary bytes, cut into chunks by the first byte, to a machine whose peer has or has not said hello.
pub fn machine(data: &[u8]) {
    let Some((&shape, data)) = data.split_first() else { return };
    let hello =
        Hello { limits: Limits::default(), codecs: vec![1], features: 0, metadata: Metadata::default() };
    let mut machine = Machine::new(Role::Acceptor, hello.clone(), Duration::ZERO);
    let mut out = Output::default();
    if shape & 1 == 1 {
        let mut peer = Machine::new(Role::Dialer, hello, Duration::ZERO);
        peer.take_output(&mut out);
        let _ = machine.handle_input(&out.bytes);
    }
    let size = usize::from(shape >> 1).max(1);
    let mut buffer = Vec::new();
    for chunk in data.chunks(size) {
        buffer.extend_from_slice(chunk);
        let taken = machine.handle_input(&buffer);
        let failed = taken.is_err();
        buffer.drain(..taken.unwrap_or(0));
        while let Some(event) = machine.poll_event() {
            act(&mut machine, &event);
        }
        out.clear();
        machine.take_output(&mut out);
        if failed {
            return;
        }
    }
    let _ = machine.handle_eof();
}

/// What an application does, so that the peer's bytes meet a machine that is in use.
fn act(machine: &mut Machine, event: &Event) {
    match *event {
        Event::Opened(key) => {
            machine.accept(key);
            machine.want(key, 1);
        }
        Event::Readable(key) => {
            while let Some(mut inbox) = machine.take_inbox(key, None) {
                // Some messages are dropped with what they carry.
                if key.slot % 4 == 3 {
                    machine.discard(key, inbox);
                    continue;
                }
                while let Some(message) = inbox.pop() {
                    let charge = message.charge;
                    for attachment in message.attachments.iter().copied() {
                        if attachment.key.slot.is_multiple_of(2) {
                            machine.reject(attachment, &Reason::of(code::NOT_DELIVERED));
                        } else if attachment.kind == Kind::Sender {
                            let payload = Payload::Copy(b"answer");
                            let answer = Outgoing {
                                codec: 1,
                                flaw: Flaw::None,
                                attachments: &[],
                                headers: &[],
                                payload,
                            };
                            let _ = machine.try_send(attachment.key, answer);
                        } else if attachment.kind == Kind::Stream {
                            let _ = machine.stream_send(attachment.key, b"answer", false);
                            machine.stream_recv(attachment.key, 100, &mut |_| ());
                        }
                    }
                    machine.taken(key, 1, charge);
                }
            }
            if machine.recv_status(key).closed.is_some() {
                machine.cancel(key, Scope::End, Reason::none(), None);
            }
        }
        Event::Cancelled(key) => machine.close(key, Scope::End, None),
        Event::Starved(key) => {
            machine.want(key, 2);
        }
        Event::StreamReadable(key) => {
            machine.stream_recv(key, 100, &mut |_| ());
        }
        _ => {}
    }
}

/// Reads `data` as frames; what can be read as a frame of fixed layout is written again and must be the same bytes.
pub fn frames(mut data: &[u8]) {
    while let Some(header) = Header::parse(data) {
        let Some(whole) = data.get(..HEADER + header.length) else { return };
        data = &data[whole.len()..];
        if let Ok(Some(kind)) = Type::parse(header.kind)
            && let Ok(Some(again)) = rewrite(kind, header.id, &whole[HEADER..])
        {
            assert_eq!(again, whole, "a frame has exactly one encoding");
        }
    }
}

/// Decodes and encodes; `None` for frames that are not decoded as a whole.
fn rewrite(kind: Type, id: u32, body: &[u8]) -> Result<Option<Vec<u8>>, Misbehaviour> {
    let mut out = Vec::new();
    let mut reader = Reader(body);
    let with_head = |reader: &mut Reader<'_>, n: usize| -> Result<(Vec<u8>, Reason), Misbehaviour> {
        Ok((reader.take(n)?.to_vec(), reader.reason()?))
    };
    match kind {
        Type::Open => {
            let opening = Opening::decode(body)?;
            let Some(body) = Opening::encode(&opening.name, opening.capacity, &opening.metadata, usize::MAX)
            else {
                return Ok(None);
            };
            frame::header(&mut out, body.len(), kind, id);
            out.extend(body);
        }
        Type::Credit => {
            let (taken, wanted, bytes) = (reader.u32()?, reader.u32()?, reader.u32()?);
            reader.end()?;
            frame::credit(&mut out, id, taken, wanted, bytes);
        }
        Type::Close | Type::Cancel | Type::End | Type::Stop | Type::Goodbye => {
            let n = match kind {
                Type::Close => 1,
                Type::Cancel => 5,
                _ => 0,
            };
            let (head, reason) = with_head(&mut reader, n)?;
            frame::with_reason(&mut out, kind, id, &head, &reason);
        }
        Type::Ping | Type::Pong => {
            let bytes = body.try_into().map_err(|_| Misbehaviour::FrameTooShort)?;
            if id != 0 {
                return Err(Misbehaviour::Field);
            }
            frame::eight(&mut out, kind, bytes);
        }
        // Unknown fields of a hello are skipped; messages and data are written by other means.
        Type::Hello | Type::Message | Type::Fragment | Type::Data => return Ok(None),
    }
    Ok(Some(out))
}
