//! Frames between JSON and bytes, written from spec/2-frames.md and independent of the implementation that is checked.

use crate::json::{Fields, Json, hex, json, unhex};

pub(super) const PREFACE: [u8; 8] = *b"libchan\x01";
const HEADER: usize = 8;

/// How a field of a body is laid out.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    U8,
    U16,
    U32,
    /// A text with its length in two bytes before it.
    Name,
    /// Entries to the end of the body.
    Metadata,
    /// Text to the end of the body.
    Text,
    /// Bytes to the end of the body.
    Bytes,
    /// A table of attachments, if the flags say so.
    Table,
    /// The bytes of the headers, if the flags say so.
    Headers,
    /// The length of the whole payload, if the flags say so.
    Total,
}

/// Flags of a MESSAGE that say which fields it has.
const MORE: u64 = 0x01;
const ATTACHMENTS: u64 = 0x02;
const HEADERS: u64 = 0x10;

type Layout = &'static [(&'static str, Field)];

const REASON: Layout = &[("code", Field::U16), ("text", Field::Text)];

/// Name, type and body of every frame but HELLO.
const FRAMES: [(&str, u8, Layout); 12] = [
    ("OPEN", 0x02, &[("capacity", Field::U32), ("name", Field::Name), ("metadata", Field::Metadata)]),
    (
        "MESSAGE",
        0x03,
        &[
            ("flags", Field::U8),
            ("codec", Field::U8),
            ("attachments", Field::Table),
            ("headers", Field::Headers),
            ("total", Field::Total),
            ("payload", Field::Bytes),
        ],
    ),
    ("FRAGMENT", 0x04, &[("flags", Field::U8), ("payload", Field::Bytes)]),
    ("CREDIT", 0x05, &[("taken", Field::U32), ("wanted", Field::U32), ("bytes", Field::U32)]),
    ("CLOSE", 0x06, &[("scope", Field::U8), ("code", Field::U16), ("text", Field::Text)]),
    (
        "CANCEL",
        0x07,
        &[("scope", Field::U8), ("taken", Field::U32), ("code", Field::U16), ("text", Field::Text)],
    ),
    ("DATA", 0x08, &[("payload", Field::Bytes)]),
    ("END", 0x09, REASON),
    ("STOP", 0x0a, REASON),
    ("PING", 0x0b, &[("payload", Field::Bytes)]),
    ("PONG", 0x0c, &[("payload", Field::Bytes)]),
    ("GOODBYE", 0x0d, REASON),
];

/// The numbers of a HELLO, tags 1 to 9.
const LIMITS: [&str; 9] = [
    "max_frame",
    "max_message",
    "max_attachments",
    "max_channels",
    "max_pending_accepts",
    "initial_window",
    "stream_window",
    "session_memory",
    "max_descriptors",
];

/// What a hello states that says nothing else (spec/9-limits.md).
pub(super) fn default_hello(fields: &Json) -> Json {
    let mut hello = json!({
        "t": "HELLO", "id": 0, "max_frame": 65_536, "max_message": 16_777_216, "max_attachments": 64,
        "max_channels": 65_536, "max_pending_accepts": 256, "initial_window": 2048, "stream_window": 16_384,
        "session_memory": 536_870_912, "max_descriptors": 0, "codecs": [1, 2, 3, 0], "features": 0, "metadata": [],
    });
    if let (Some(all), Some(stated)) = (hello.as_object_mut(), fields.as_object()) {
        all.extend(stated.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    hello
}

/// Every fill (`{"fill":"mod251","len":n}`) as the hexadecimal text that it stands for.
pub(super) fn expand(json: &Json) -> Result<Json, String> {
    Ok(match json {
        Json::Array(list) => list.iter().map(expand).collect::<Result<_, _>>()?,
        Json::Object(object) if object.contains_key("fill") => {
            if json.text("fill")? != "mod251" {
                return Err(format!("there is no such fill: {json}"));
            }
            let len: usize = json.small("len")?;
            hex(&(0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>()).into()
        }
        Json::Object(object) => {
            let entry = |(name, value): (&String, &Json)| Ok((name.clone(), expand(value)?));
            Json::Object(object.iter().map(entry).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

fn layout(name: &str) -> Option<(u8, Layout)> {
    FRAMES.iter().find(|(known, ..)| *known == name).map(|(_, kind, layout)| (*kind, *layout))
}

/// The frame with all of its fields: those that are absent have their zero value.
pub(super) fn whole(frame: &Json) -> Result<Json, String> {
    let frame = expand(frame)?;
    let name = frame.text("t")?;
    let mut whole = json!({"t": name});
    if name == "PREFACE" {
        whole["version"] = frame.number("version")?.into();
        return Ok(whole);
    }
    whole["id"] = frame.number("id")?.into();
    let mut set = |name: &str, value: Json| whole[name] = value;
    if name == "HELLO" {
        for limit in LIMITS {
            set(limit, frame.number(limit)?.into());
        }
        set("codecs", frame.list("codecs")?.into());
        set("features", frame.number("features")?.into());
        set("metadata", frame.list("metadata")?.into());
    }
    for (field, form) in layout(name).map_or(&[][..], |(_, layout)| layout) {
        match form {
            Field::U8 | Field::U16 | Field::U32 => set(field, frame.number(field)?.into()),
            Field::Name | Field::Text => set(field, frame.text(field)?.into()),
            Field::Bytes => set(field, hex(&frame.bytes(field)?).into()),
            Field::Metadata => set(field, frame.list(field)?.into()),
            Field::Table => {
                let entry = |entry: &Json| {
                    let fields = ["kind", "id", "capacity", "wanted"].iter();
                    let field = |name: &&str| Ok(((*name).to_owned(), entry.number(name)?.into()));
                    Ok(Json::Object(fields.map(field).collect::<Result<_, String>>()?))
                };
                set(field, frame.list(field)?.iter().map(entry).collect::<Result<Vec<_>, String>>()?.into());
            }
            Field::Total if frame.number("flags")? & MORE != 0 => set(field, frame.number(field)?.into()),
            Field::Headers if frame.number("flags")? & HEADERS != 0 => {
                set(field, hex(&frame.bytes(field)?).into());
            }
            Field::Total | Field::Headers => {}
        }
    }
    Ok(whole)
}

/// A frame as bytes, header included.
pub(super) fn encode(frame: &Json) -> Result<Vec<u8>, String> {
    let frame = expand(frame)?;
    let name = frame.text("t")?;
    if name == "PREFACE" {
        return Ok([&PREFACE[..7], &[frame.small("version")?]].concat());
    }
    let (kind, body) = if name == "HELLO" {
        (0x01, encode_hello(&frame)?)
    } else {
        let (kind, layout) = layout(name).ok_or_else(|| format!("there is no frame \"{name}\""))?;
        (kind, encode_body(&frame, layout)?)
    };
    let mut out = (body.len() as u32).to_be_bytes()[1..].to_vec();
    out.push(kind);
    out.extend(frame.small::<u32>("id")?.to_be_bytes());
    out.extend(body);
    Ok(out)
}

/// Several frames, one behind the other.
pub(super) fn encode_all(frames: &[Json]) -> Result<Vec<u8>, String> {
    let frames: Vec<Vec<u8>> = frames.iter().map(encode).collect::<Result<_, _>>()?;
    Ok(frames.concat())
}

fn encode_body(frame: &Json, layout: Layout) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let flags = frame.number("flags").unwrap_or(0);
    for (name, field) in layout {
        match field {
            Field::U8 => body.push(frame.small(name)?),
            Field::U16 => body.extend(frame.small::<u16>(name)?.to_be_bytes()),
            Field::U32 => body.extend(frame.small::<u32>(name)?.to_be_bytes()),
            Field::Name => {
                let text = frame.text(name)?;
                body.extend((text.len() as u16).to_be_bytes());
                body.extend(text.as_bytes());
            }
            Field::Text => body.extend(frame.text(name)?.as_bytes()),
            Field::Bytes => body.extend(frame.bytes(name)?),
            Field::Metadata => body.extend(encode_metadata(frame)?),
            Field::Total if flags & MORE != 0 => body.extend(frame.small::<u32>(name)?.to_be_bytes()),
            Field::Headers if flags & HEADERS != 0 => {
                let block = frame.bytes(name)?;
                body.push(block.len() as u8);
                body.extend(block);
            }
            Field::Table if flags & ATTACHMENTS != 0 => {
                let table = frame.list(name)?;
                body.push(table.len() as u8);
                for entry in table {
                    body.push(entry.small("kind")?);
                    for field in ["id", "capacity", "wanted"] {
                        body.extend(entry.small::<u32>(field)?.to_be_bytes());
                    }
                }
            }
            Field::Total | Field::Headers | Field::Table => {}
        }
    }
    Ok(body)
}

fn encode_metadata(frame: &Json) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for (key, value) in frame.metadata("metadata")? {
        out.push(key.len() as u8);
        out.extend(key.as_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    }
    Ok(out)
}

fn encode_hello(frame: &Json) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut field = |tag: u8, value: &[u8]| {
        out.push(tag);
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    };
    for (tag, name) in (1..).zip(LIMITS) {
        field(tag, &frame.small::<u32>(name)?.to_be_bytes());
    }
    let codec =
        |json: &Json| json.as_u64().map(|codec| codec as u8).ok_or_else(|| format!("no codec: {json}"));
    field(10, &frame.list("codecs")?.iter().map(codec).collect::<Result<Vec<_>, _>>()?);
    field(11, &frame.small::<u32>("features")?.to_be_bytes());
    field(12, &encode_metadata(frame)?);
    Ok(out)
}

/// Reads fields from the front of a body.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("a body that is cut short")?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, n: usize) -> Result<String, String> {
        String::from_utf8(self.take(n)?.to_vec()).map_err(|_| "a text that is not UTF-8".to_owned())
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn metadata(&mut self) -> Result<Json, String> {
        let mut entries = Vec::new();
        while !self.0.is_empty() {
            let n = self.number(1)? as usize;
            let key = self.text(n)?;
            let n = self.number(2)? as usize;
            entries.push(json!([key, hex(self.take(n)?)]));
        }
        Ok(entries.into())
    }
}

/// One whole frame, header included.
pub(super) fn decode(bytes: &[u8]) -> Result<Json, String> {
    if let [version] = bytes.strip_prefix(&PREFACE[..7]).unwrap_or_default() {
        return Ok(json!({"t": "PREFACE", "version": version}));
    }
    let mut header = Reader(bytes);
    let length = header.number(3)? as usize;
    let (kind, id) = (header.number(1)? as u8, header.number(4)?);
    let mut body = Reader(header.0);
    if body.0.len() != length {
        return Err(format!("a frame of {} bytes that says {length}", body.0.len()));
    }
    if kind == 0x01 {
        return decode_hello(&mut body, id);
    }
    let Some((name, _, layout)) = FRAMES.iter().find(|(_, known, _)| *known == kind) else {
        return Ok(json!({"t": "UNKNOWN", "id": id}));
    };
    let mut frame = json!({"t": name, "id": id});
    for (name, field) in *layout {
        let flags = frame.number("flags")?;
        frame[*name] = match field {
            Field::U8 => body.number(1)?.into(),
            Field::U16 => body.number(2)?.into(),
            Field::U32 => body.number(4)?.into(),
            Field::Name => {
                let n = body.number(2)? as usize;
                body.text(n)?.into()
            }
            Field::Text => body.text(body.0.len())?.into(),
            Field::Bytes => hex(body.rest()).into(),
            Field::Metadata => body.metadata()?,
            Field::Total if flags & MORE != 0 => body.number(4)?.into(),
            Field::Headers if flags & HEADERS != 0 => {
                let n = body.number(1)? as usize;
                hex(body.take(n)?).into()
            }
            Field::Total | Field::Headers => continue,
            Field::Table => {
                let n = if flags & ATTACHMENTS != 0 { body.number(1)? } else { 0 };
                let mut entry = || {
                    let (kind, id) = (body.number(1)?, body.number(4)?);
                    let (capacity, wanted) = (body.number(4)?, body.number(4)?);
                    Ok(json!({"kind": kind, "id": id, "capacity": capacity, "wanted": wanted}))
                };
                (0..n).map(|_| entry()).collect::<Result<Vec<_>, String>>()?.into()
            }
        };
    }
    if body.0.is_empty() { Ok(frame) } else { Err("bytes are left over after the last field".to_owned()) }
}

fn decode_hello(body: &mut Reader<'_>, id: u64) -> Result<Json, String> {
    let mut hello = json!({"t": "HELLO", "id": id});
    while !body.0.is_empty() {
        let (tag, n) = (body.number(1)?, body.number(2)? as usize);
        let mut value = Reader(body.take(n)?);
        match tag {
            1..=9 => hello[LIMITS[tag as usize - 1]] = value.number(4)?.into(),
            10 => hello["codecs"] = json!(value.rest()),
            11 => hello["features"] = value.number(4)?.into(),
            12 => hello["metadata"] = value.metadata()?,
            _ => drop(value.rest()),
        }
        if !value.0.is_empty() {
            return Err(format!("field {tag} of a hello has bytes left over"));
        }
    }
    Ok(hello)
}

/// All frames that `bytes` consist of, a preface first if it is there; what is left must be a whole frame too.
pub(super) fn split(mut bytes: &[u8]) -> Result<Vec<Json>, String> {
    let mut frames = Vec::new();
    if bytes.starts_with(&PREFACE[..7]) && bytes.len() >= PREFACE.len() {
        frames.push(decode(&bytes[..PREFACE.len()])?);
        bytes = &bytes[PREFACE.len()..];
    }
    while !bytes.is_empty() {
        let n = frame_length(bytes).ok_or_else(|| format!("not whole frames: {}", hex(bytes)))?;
        frames.push(decode(&bytes[..n])?);
        bytes = &bytes[n..];
    }
    Ok(frames)
}

/// How many bytes the first frame has, header included; `None`: it is not all there.
pub(super) fn frame_length(bytes: &[u8]) -> Option<usize> {
    let [a, b, c, ..] = *bytes else { return None };
    let n = HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
    (bytes.len() >= n).then_some(n)
}

/// Bytes that are written as hexadecimal text or as a list of frames.
pub(super) fn bytes_of(json: &Json) -> Result<Vec<u8>, String> {
    match expand(json)? {
        Json::String(text) => unhex(&text),
        Json::Array(frames) => encode_all(&frames),
        other => Err(format!("neither hexadecimal text nor a list of frames: {other}")),
    }
}
