//! Golden bytes of the original, and what it should have refused.

use super::*;

const CAPS: Caps = Caps { name: 8192, message: 1 << 20 };

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn decode(text: &str) -> Result<Option<FromClient>, Violation> {
    read(&mut BytesMut::from(&hex(text)[..]), CAPS)
}

fn encode(frame: &ToClient<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out, frame);
    out.to_vec()
}

#[test]
fn the_handshake_has_the_originals_bytes() {
    let init = hex("00 11 697269732d636c69656e742d6d61676963 0b 76312e302d647261667432 00");
    let mut buffer = BytesMut::from(&init[..]);
    buffer.extend_from_slice(&hex("02"));
    let expected = Hello { version: VERSION.to_owned(), cluster: String::new() };
    assert_eq!(read_hello(&mut buffer, CAPS), Ok(Some(expected)));
    assert_eq!(read(&mut buffer, CAPS), Ok(Some(FromClient::Close)), "what follows is left");
    for cut in 0..init.len() {
        assert_eq!(read_hello(&mut BytesMut::from(&init[..cut]), CAPS), Ok(None), "{cut} bytes");
    }
    let mut out = BytesMut::new();
    write_accept(&mut out);
    assert_eq!(out[..], hex("00 10 697269732d72656c61792d6d61676963 0b 76312e302d647261667432")[..]);
    out.clear();
    write_deny(&mut out, &version_refusal("v2"));
    assert!(
        out.starts_with(&hex("01 10"))
            && out.ends_with(b"Unsupported protocol. Client: v2. Iris: v1.0-draft2.")
    );
}

#[test]
fn a_program_that_is_no_binding_is_told_apart_at_once() {
    for wrong in ["474554202f", "0002 6162", "00 ffffffffffffffffff01", "01"] {
        let read = read_hello(&mut BytesMut::from(&hex(wrong)[..]), CAPS);
        assert_eq!(read, Err(Violation::BadMagic), "{wrong}");
    }
}

#[test]
fn frames_of_bindings_are_read() {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let cases = [
        ("02", FromClient::Close),
        ("03 01 63 02 6869", FromClient::Broadcast { cluster: "c".into(), body: bytes("hi") }),
        (
            "04 8001 01 63 02 6869 e807",
            FromClient::Request { id: 128, cluster: "c".into(), body: bytes("hi"), timeout_ms: 1000 },
        ),
        ("05 07 01 02 6f6b", FromClient::Reply { id: 7, result: Ok(bytes("ok")) }),
        ("05 07 00 02 6e6f", FromClient::Reply { id: 7, result: Err(bytes("no")) }),
        ("05 07 01 00", FromClient::Reply { id: 7, result: Ok(bytes("")) }),
        ("06 01 74", FromClient::Subscribe { topic: "t".into() }),
        ("07 01 74", FromClient::Unsubscribe { topic: "t".into() }),
        ("08 01 74 00", FromClient::Publish { topic: "t".into(), body: bytes("") }),
        ("09 00 01 63 0a", FromClient::TunnelInit { id: 0, cluster: "c".into(), timeout_ms: 10 }),
        ("0a 03 04", FromClient::TunnelConfirm { build: 3, id: 4 }),
        ("0b 04 80808020", FromClient::TunnelAllow { id: 4, bytes: 64 << 20 }),
        ("0c 04 02 02 6869", FromClient::TunnelTransfer { id: 4, size: 2, chunk: bytes("hi") }),
        ("0d 04", FromClient::TunnelClose { id: 4 }),
    ];
    for (text, expected) in cases {
        assert_eq!(decode(text), Ok(Some(expected)), "{text}");
        let whole = hex(text);
        for cut in 0..whole.len() {
            assert_eq!(read(&mut BytesMut::from(&whole[..cut]), CAPS), Ok(None), "{text}, {cut} bytes");
        }
    }
}

#[test]
fn frames_of_the_relay_have_the_originals_bytes() {
    let cases = [
        (ToClient::Close { reason: "" }, "02 00"),
        (ToClient::Broadcast { body: b"hi" }, "03 02 6869"),
        (ToClient::Request { id: 1, body: b"hi", timeout_ms: 300 }, "04 01 02 6869 ac02"),
        (ToClient::Reply { id: 1, result: None }, "05 01 01"),
        (ToClient::Reply { id: 1, result: Some(Ok(b"ok")) }, "05 01 00 01 02 6f6b"),
        (ToClient::Reply { id: 1, result: Some(Err(b"no")) }, "05 01 00 00 02 6e6f"),
        (ToClient::Publish { topic: "t", body: b"e" }, "08 01 74 01 65"),
        (ToClient::TunnelInit { build: 0, chunk: 65_536 }, "09 00 808004"),
        (ToClient::TunnelConfirm { id: 0, chunk: Some(65_536) }, "0a 00 00 808004"),
        (ToClient::TunnelConfirm { id: 0, chunk: None }, "0a 00 01"),
        (ToClient::TunnelAllow { id: 0, bytes: 4 << 20 }, "0b 00 80808002"),
        (ToClient::TunnelTransfer { id: 0, size: 2, chunk: b"hi" }, "0c 00 02 02 6869"),
        (ToClient::TunnelClose { id: 0, reason: "" }, "0d 00 00"),
    ];
    for (frame, text) in cases {
        assert_eq!(encode(&frame), hex(text), "{frame:?}");
    }
}

#[test]
fn broken_frames_are_violations_before_they_take_memory() {
    let too_long = |what, size, cap| Violation::TooLong { what, size, cap };
    let cases = [
        ("0e", Violation::UnknownOpcode(14)),
        ("ff", Violation::UnknownOpcode(255)),
        ("00 00", Violation::Misplaced(0)),
        ("01 00", Violation::Misplaced(1)),
        ("05 07 02", Violation::InvalidBool(2)),
        ("03 01 63 808080808020", too_long("broadcast", 1 << 40, CAPS.message)),
        ("06 808004", too_long("topic", 65_536, CAPS.name)),
        ("0c 04 02 818004", too_long("chunk", 65_537, CHUNK)),
        ("0d ffffffffffffffffffffff01", Violation::VarintTooLong),
        ("0d ffffffffffffffffff7f", Violation::VarintTooLong),
        ("06 01 ff", Violation::NotText("topic")),
    ];
    for (text, violation) in cases {
        assert_eq!(decode(text), Err(violation), "{text}");
    }
    assert_eq!(decode("0d ffffffffffffffffff01"), Ok(Some(FromClient::TunnelClose { id: u64::MAX })));
}

/// Any bytes: an answer, no panic, and never more taken than is there.
#[test]
fn random_bytes_are_frames_or_violations() {
    let mut random = 0x1234_5678_9abc_def1_u64;
    for round in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..round % 60 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes.push(if random & 256 == 0 { (random % 16) as u8 } else { random as u8 });
        }
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = read(&mut buffer, CAPS) {}
        assert!(
            read_hello(&mut BytesMut::from(&bytes[..]), CAPS).is_ok_and(|read| read.is_none())
                || !bytes.is_empty()
        );
    }
}
