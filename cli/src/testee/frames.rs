//! Frames in JSON, read and written by libchan-proto.

use libchan_proto::conform::{self, Entry, Frame};
use libchan_proto::{Hello, Limits, Metadata, Reason, SessionError, code};

use super::{Fault, Reply};
use crate::json::{Fields, Json, hex, json};

/// The names of codes, by number (spec/8-errors.md).
const NAMES: [&str; 18] = [
    "NONE",
    "PROTOCOL",
    "UNSUPPORTED_VERSION",
    "NO_COMMON_CODEC",
    "FRAME_TOO_LARGE",
    "MESSAGE_TOO_LARGE",
    "TOO_MANY_ATTACHMENTS",
    "TOO_MANY_CHANNELS",
    "FLOW_CONTROL",
    "UNKNOWN_ID",
    "MEMORY",
    "HELLO_TIMEOUT",
    "PEER_SILENT",
    "PING_FLOOD",
    "PEER_NOT_READING",
    "DESCRIPTORS",
    "UNAUTHORIZED",
    "UNAVAILABLE",
];

pub(super) fn code_name(code: u16) -> String {
    match code {
        code::REFUSED => "REFUSED".to_owned(),
        _ => NAMES.get(usize::from(code)).map_or_else(|| code.to_string(), |name| (*name).to_owned()),
    }
}

/// How a session is over, as `over` says it.
pub(super) fn over(why: &SessionError) -> Json {
    match why {
        SessionError::Closed => json!({"why": "closed"}),
        SessionError::Lost | SessionError::Link(_) => json!({"why": "lost"}),
        SessionError::PeerClosed(Reason { code, text }) => {
            json!({"why": "peer", "code": code_name(*code), "text": text})
        }
        broken => json!({"why": "broken", "code": code_name(broken.code())}),
    }
}

pub(super) fn decode(request: &Json) -> Reply {
    let frame = conform::decode(&request.bytes("hex")?);
    frame.map(|frame| to_json(&frame)).map_err(|why| Fault::new(code_name(why.code()), why))
}

pub(super) fn encode(request: &Json) -> Reply {
    Ok(json!({"hex": hex(&conform::encode(&from_json(request.field("frame"))?))}))
}

fn to_json(frame: &Frame) -> Json {
    match frame {
        Frame::Preface { version } => json!({"t": "PREFACE", "version": version}),
        Frame::Hello(hello) => hello_to_json(hello),
        Frame::Open { id, capacity, name, metadata } => {
            json!({"t": "OPEN", "id": id, "capacity": capacity, "name": name, "metadata": pairs(metadata)})
        }
        Frame::Message { id, flags, codec, table, headers, total, payload } => {
            let attachments: Vec<Json> = table.iter().map(entry_to_json).collect();
            let mut json = json!({
                "t": "MESSAGE", "id": id, "flags": flags, "codec": codec,
                "attachments": attachments, "payload": hex(payload),
            });
            if !headers.is_empty() {
                json["headers"] = hex(headers).into();
            }
            if let Some(total) = total {
                json["total"] = (*total).into();
            }
            json
        }
        Frame::Fragment { id, flags, payload } => {
            json!({"t": "FRAGMENT", "id": id, "flags": flags, "payload": hex(payload)})
        }
        Frame::Credit { id, taken, wanted, bytes } => {
            json!({"t": "CREDIT", "id": id, "taken": taken, "wanted": wanted, "bytes": bytes})
        }
        Frame::Close { id, scope, reason: Reason { code, text } } => {
            json!({"t": "CLOSE", "id": id, "scope": scope, "code": code, "text": text})
        }
        Frame::Cancel { id, scope, taken, reason: Reason { code, text } } => {
            json!({"t": "CANCEL", "id": id, "scope": scope, "taken": taken, "code": code, "text": text})
        }
        Frame::Data { id, payload } => json!({"t": "DATA", "id": id, "payload": hex(payload)}),
        Frame::End { id, reason } => with_reason("END", *id, reason),
        Frame::Stop { id, reason } => with_reason("STOP", *id, reason),
        Frame::Ping { payload } => json!({"t": "PING", "id": 0, "payload": hex(payload)}),
        Frame::Pong { payload } => json!({"t": "PONG", "id": 0, "payload": hex(payload)}),
        Frame::Goodbye { reason } => with_reason("GOODBYE", 0, reason),
        Frame::Unknown { id } => json!({"t": "UNKNOWN", "id": id}),
    }
}

fn with_reason(name: &str, id: u32, Reason { code, text }: &Reason) -> Json {
    json!({"t": name, "id": id, "code": code, "text": text})
}

fn entry_to_json(Entry { kind, id, capacity, wanted }: &Entry) -> Json {
    json!({"kind": kind, "id": id, "capacity": capacity, "wanted": wanted})
}

pub(super) fn pairs(metadata: &Metadata) -> Vec<Json> {
    metadata.iter().map(|(key, value)| json!([key, hex(value)])).collect()
}

/// The limits that a hello states, under the names of its fields.
pub(super) fn limits_to_json(limits: &Limits) -> Json {
    json!({
        "max_frame": limits.max_frame,
        "max_message": limits.max_message,
        "max_attachments": limits.max_attachments,
        "max_channels": limits.max_channels,
        "max_pending_accepts": limits.max_pending_accepts,
        "initial_window": limits.initial_window,
        "stream_window": limits.stream_window,
        "session_memory": limits.session_memory,
        "max_descriptors": limits.max_descriptors,
    })
}

fn hello_to_json(hello: &Hello) -> Json {
    let mut json = limits_to_json(&hello.limits);
    json["t"] = "HELLO".into();
    json["id"] = 0.into();
    json["codecs"] = json!(hello.codecs);
    json["features"] = hello.features.into();
    json["metadata"] = pairs(&hello.metadata).into();
    json
}

/// Limits from the fields of a hello; those that are absent are as in `limits`.
pub(super) fn limits_from_json(json: &Json, mut limits: Limits) -> Result<Limits, String> {
    let fields: [(&str, &mut u32); 9] = [
        ("max_frame", &mut limits.max_frame),
        ("max_message", &mut limits.max_message),
        ("max_attachments", &mut limits.max_attachments),
        ("max_channels", &mut limits.max_channels),
        ("max_pending_accepts", &mut limits.max_pending_accepts),
        ("initial_window", &mut limits.initial_window),
        ("stream_window", &mut limits.stream_window),
        ("session_memory", &mut limits.session_memory),
        ("max_descriptors", &mut limits.max_descriptors),
    ];
    for (name, place) in fields {
        if !json.field(name).is_null() {
            *place = json.small(name)?;
        }
    }
    Ok(limits)
}

pub(super) fn metadata_from_json(json: &Json) -> Result<Metadata, String> {
    let mut metadata = Metadata::default();
    for (key, value) in json.metadata("metadata")? {
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// A hello from its fields; `absent` has those that are not there.
pub(super) fn hello_from_json(json: &Json, absent: Limits, codecs: &[u8]) -> Result<Hello, String> {
    let codecs = match json.field("codecs") {
        Json::Null => codecs.to_vec(),
        _ => json.list("codecs")?.iter().map(small_number).collect::<Result<_, _>>()?,
    };
    Ok(Hello {
        limits: limits_from_json(json, absent)?,
        codecs,
        features: json.small("features")?,
        metadata: metadata_from_json(json)?,
    })
}

fn small_number(json: &Json) -> Result<u8, String> {
    json.as_u64().and_then(|number| u8::try_from(number).ok()).ok_or_else(|| format!("no byte: {json}"))
}

fn from_json(json: &Json) -> Result<Frame, String> {
    let id = json.small("id")?;
    let reason =
        || Ok::<_, String>(Reason { code: json.small("code")?, text: json.text("text")?.to_owned() });
    let payload = || json.bytes("payload");
    let eight = || payload()?.try_into().map_err(|_| "`payload` has not eight bytes".to_owned());
    Ok(match json.text("t")? {
        "PREFACE" => Frame::Preface { version: json.small("version")? },
        "HELLO" => {
            let zero = Limits {
                max_frame: 0,
                max_message: 0,
                max_attachments: 0,
                max_channels: 0,
                max_pending_accepts: 0,
                initial_window: 0,
                stream_window: 0,
                session_memory: 0,
                max_descriptors: 0,
                ..Limits::default()
            };
            Frame::Hello(hello_from_json(json, zero, &[])?)
        }
        "OPEN" => Frame::Open {
            id,
            capacity: json.small("capacity")?,
            name: json.text("name")?.to_owned(),
            metadata: metadata_from_json(json)?,
        },
        "MESSAGE" => Frame::Message {
            id,
            flags: json.small("flags")?,
            codec: json.small("codec")?,
            table: json.list("attachments")?.iter().map(entry_from_json).collect::<Result<_, _>>()?,
            headers: json.bytes("headers")?,
            total: if json.field("total").is_null() { None } else { Some(json.small("total")?) },
            payload: payload()?,
        },
        "FRAGMENT" => Frame::Fragment { id, flags: json.small("flags")?, payload: payload()? },
        "CREDIT" => Frame::Credit {
            id,
            taken: json.small("taken")?,
            wanted: json.small("wanted")?,
            bytes: json.small("bytes")?,
        },
        "CLOSE" => Frame::Close { id, scope: json.small("scope")?, reason: reason()? },
        "CANCEL" => {
            Frame::Cancel { id, scope: json.small("scope")?, taken: json.small("taken")?, reason: reason()? }
        }
        "DATA" => Frame::Data { id, payload: payload()? },
        "END" => Frame::End { id, reason: reason()? },
        "STOP" => Frame::Stop { id, reason: reason()? },
        "PING" => Frame::Ping { payload: eight()? },
        "PONG" => Frame::Pong { payload: eight()? },
        "GOODBYE" => Frame::Goodbye { reason: reason()? },
        other => return Err(format!("there is no frame \"{other}\"")),
    })
}

fn entry_from_json(json: &Json) -> Result<Entry, String> {
    Ok(Entry {
        kind: json.small("kind")?,
        id: json.small("id")?,
        capacity: json.small("capacity")?,
        wanted: json.small("wanted")?,
    })
}
