//! The registry has the numbers of the code.

use std::collections::BTreeMap;

use libchan::codec::CodecId;
use libchan_proto::{Hello, Limits, Metadata, code, registry};
use libchan_transports::ListenOptions;
use serde_json::Value;

use crate::{json, list, word};

fn rows(name: &str) -> Vec<Value> {
    list(&json("registry.json")["tables"][name], "rows").to_vec()
}

fn number(row: &Value, key: &str) -> u32 {
    let number = row[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {row}"));
    u32::try_from(number).unwrap_or_else(|_| panic!("{key} of {row} is too large"))
}

fn byte(row: &Value, key: &str) -> u8 {
    u8::try_from(number(row, key)).unwrap_or_else(|_| panic!("{key} of {row} is no byte"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn frame_types() {
    let known: BTreeMap<u8, String> =
        rows("frames").iter().map(|row| (byte(row, "type"), word(row, "name").to_owned())).collect();
    let ignorable = byte(&json("registry.json"), "ignorable");
    for kind in 0..=255 {
        match registry::frame_type(kind) {
            Ok(Some(name)) => assert_eq!(known.get(&kind), Some(&name), "type {kind:#04x}"),
            Ok(None) => assert!(!known.contains_key(&kind) && kind & ignorable != 0, "type {kind:#04x}"),
            Err(()) => assert!(!known.contains_key(&kind) && kind & ignorable == 0, "type {kind:#04x}"),
        }
    }
    assert_eq!(json("registry.json")["preface"], hex(&registry::PREFACE));
    assert_eq!(u64::from(registry::PREFACE[7]), json("registry.json")["version"]);
}

#[test]
fn flags_and_kinds() {
    let flags: Vec<(String, u8)> =
        rows("message_flags").iter().map(|row| (word(row, "name").to_owned(), byte(row, "flag"))).collect();
    let code: Vec<(String, u8)> =
        registry::FLAGS.iter().map(|(name, flag)| ((*name).to_owned(), *flag)).collect();
    assert_eq!(flags, code);
    assert_eq!(flags.iter().map(|(_, flag)| flag).sum::<u8>(), registry::ALL_FLAGS);
    let kinds: Vec<u8> = rows("attachments")
        .iter()
        .filter(|row| !word(row, "gets").starts_with("reserved"))
        .map(|row| byte(row, "kind"))
        .collect();
    assert_eq!(kinds, registry::KINDS);
}

/// Every number of a hello different, so that a field in the wrong place is seen.
#[test]
fn fields_of_the_hello() {
    let mut metadata = Metadata::default();
    metadata.insert("k", *b"v");
    let limits = Limits {
        max_frame: 101,
        max_message: 102,
        max_attachments: 103,
        max_channels: 104,
        max_pending_accepts: 105,
        initial_window: 106,
        stream_window: 107,
        session_memory: 108,
        max_descriptors: 109,
        ..Limits::default()
    };
    let body = registry::hello(&Hello { limits, codecs: vec![10], features: 111, metadata });
    let mut wanted = Vec::new();
    for row in rows("hello") {
        let tag = byte(&row, "tag");
        let value = match word(&row, "name") {
            "codecs" => vec![10],
            "metadata" => b"\x01k\x00\x01v".to_vec(),
            "features" => 111_u32.to_be_bytes().to_vec(),
            name => {
                let limit = rows("limits").iter().position(|row| row["name"] == name).expect("a limit");
                (101 + u32::try_from(limit).expect("small")).to_be_bytes().to_vec()
            }
        };
        wanted.push(tag);
        wanted.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
        wanted.extend(value);
    }
    assert_eq!(hex(&body), hex(&wanted));
}

#[test]
fn error_codes() {
    let code = [
        ("NONE", code::NONE),
        ("PROTOCOL", code::PROTOCOL),
        ("UNSUPPORTED_VERSION", code::UNSUPPORTED_VERSION),
        ("NO_COMMON_CODEC", code::NO_COMMON_CODEC),
        ("FRAME_TOO_LARGE", code::FRAME_TOO_LARGE),
        ("MESSAGE_TOO_LARGE", code::MESSAGE_TOO_LARGE),
        ("TOO_MANY_ATTACHMENTS", code::TOO_MANY_ATTACHMENTS),
        ("TOO_MANY_CHANNELS", code::TOO_MANY_CHANNELS),
        ("FLOW_CONTROL", code::FLOW_CONTROL),
        ("UNKNOWN_ID", code::UNKNOWN_ID),
        ("MEMORY", code::MEMORY),
        ("HELLO_TIMEOUT", code::HELLO_TIMEOUT),
        ("PEER_SILENT", code::PEER_SILENT),
        ("PING_FLOOD", code::PING_FLOOD),
        ("PEER_NOT_READING", code::PEER_NOT_READING),
        ("DESCRIPTORS", code::DESCRIPTORS),
        ("UNAUTHORIZED", code::UNAUTHORIZED),
        ("UNAVAILABLE", code::UNAVAILABLE),
        ("REFUSED", code::REFUSED),
        ("ACCEPT_QUEUE_FULL", code::ACCEPT_QUEUE_FULL),
        ("CLOSED", code::CLOSED),
        ("DISCONNECTED", code::DISCONNECTED),
        ("GOING_AWAY", code::GOING_AWAY),
        ("UNCLAIMED", code::UNCLAIMED),
        ("NOT_DECODED", code::NOT_DECODED),
        ("NOT_DELIVERED", code::NOT_DELIVERED),
        ("PANICKED", code::PANICKED),
        ("NO_REPLY", code::NO_REPLY),
        ("ABANDONED", code::ABANDONED),
        ("SESSION_CLOSED", code::SESSION_CLOSED),
        ("APPLICATION", code::APPLICATION),
    ];
    let registry: Vec<(String, u32)> = rows("errors")
        .iter()
        .filter(|row| !word(row, "meaning").contains("reserved"))
        .map(|row| (word(row, "name").to_owned(), number(row, "code")))
        .collect();
    let code: Vec<(String, u32)> =
        code.iter().map(|(name, number)| ((*name).to_owned(), u32::from(*number))).collect();
    assert_eq!(registry, code);
    // No code of the library's own that the list above has forgotten.
    for number in 0..code::APPLICATION {
        let known = code::describe(number) != code::describe(code::APPLICATION - 1);
        assert_eq!(known, registry.iter().any(|(_, code)| *code == u32::from(number)), "code {number}");
    }
}

#[test]
fn codec_ids() {
    let codecs: Vec<(String, u8)> =
        rows("codecs").iter().map(|row| (word(row, "name").to_owned(), byte(row, "id"))).collect();
    let code = [
        ("raw", CodecId::RAW),
        ("msgpack", CodecId::MSGPACK),
        ("json", CodecId::JSON),
        ("cbor", CodecId::CBOR),
        ("postcard", CodecId::POSTCARD),
        ("xml", CodecId::XML),
        ("protobuf", CodecId::PROTOBUF),
    ];
    let code: Vec<(String, u8)> = code.iter().map(|(name, id)| ((*name).to_owned(), id.0)).collect();
    assert_eq!(codecs, code);
}

/// The limits of the hello, in the order of their tags.
fn stated(limits: &Limits) -> [u32; 9] {
    [
        limits.max_frame,
        limits.max_message,
        limits.max_attachments,
        limits.max_channels,
        limits.max_pending_accepts,
        limits.initial_window,
        limits.stream_window,
        limits.session_memory,
        limits.max_descriptors,
    ]
}

fn all(number: u32) -> Limits {
    Limits {
        max_frame: number,
        max_message: number,
        max_attachments: number,
        max_channels: number,
        max_pending_accepts: number,
        initial_window: number,
        stream_window: number,
        session_memory: number,
        max_descriptors: number,
        ..Limits::default()
    }
}

#[test]
fn limits_and_their_ranges() {
    let lowest = stated(&all(0).agree(&all(0)).sane());
    let highest = stated(&all(u32::MAX).agree(&all(u32::MAX)).sane());
    // Of a link that passes no descriptors, as most: there the library states 0, whatever is set.
    let defaults = stated(&Limits { max_descriptors: 0, ..Limits::default() });
    let table = rows("limits");
    assert_eq!(table.len(), defaults.len());
    for (at, row) in table.iter().enumerate() {
        let name = word(row, "name");
        assert_eq!(number(row, "tag") as usize, at + 1, "{name}");
        assert_eq!(number(row, "default"), defaults[at], "{name}");
        assert_eq!(row["min"].as_u64().unwrap_or(0), u64::from(lowest[at]), "{name}, at least");
        let most = match row["max"].as_str() {
            Some("a quarter of session_memory") => u32::MAX / 4,
            Some("") => u32::MAX,
            Some("253, and (initial_window - 320) / 16") => 253,
            _ => number(row, "max"),
        };
        assert_eq!(most, highest[at], "{name}, at most");
    }
}

#[test]
fn local_limits() {
    let limits = Limits::default();
    let code = |name: &str| match name {
        "max_window" => Some(u64::from(limits.max_window)),
        "max_hello" => Some(u64::from(limits.max_hello)),
        "hello_timeout" => Some(limits.hello_timeout.as_secs()),
        "max_control_bytes" => Some(u64::from(limits.max_control_bytes)),
        "max_pings" => Some(u64::from(limits.max_pings)),
        "ping_after" => Some(limits.ping_after.as_secs()),
        "dead_after" => Some(limits.dead_after.as_secs()),
        "nesting" => Some(libchan::codec::MAX_DEPTH as u64),
        "handshakes" => u64::try_from(ListenOptions::default().max_handshakes).ok(),
        other => panic!("a limit that the code has not: {other}"),
    };
    for row in rows("local_limits") {
        if let Some(default) = code(word(&row, "name")) {
            assert_eq!(u64::from(number(&row, "default")), default, "{}", word(&row, "name"));
        }
    }
}
