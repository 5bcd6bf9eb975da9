//! The vectors of the specification as segments: nothing breaks the dissector, and it marks what is malformed.

use std::fs;
use std::path::Path;

use libchan_tests::{Rng, Scratch};
use serde_json::Value;

use crate::pcap::{Pcap, Side};
use crate::shown::{assert_sound, assert_sound_by_port, frames};

const PREFACE: &[u8] = b"libchan\x01";
/// The bytes of one segment, where they are not to be cut.
const WHOLE: usize = 30_000;

fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(vector: &Value) -> Vec<u8> {
    bytes(vector["hex"].as_str().unwrap())
}

/// The preface and the HELLO of the text's example.
fn greeting() -> Vec<u8> {
    [PREFACE, &hex(&vectors("frames.json")[0])].concat()
}

/// A capture with one connection for each of these, which follow the two greetings.
fn capture(file: &Path, each: &[Vec<u8>], cut: usize) {
    let mut pcap = Pcap::new();
    for (port, bytes) in (10_000..).zip(each) {
        let mut connection = pcap.connect(port);
        pcap.send(&mut connection, Side::Acceptor, &greeting(), WHOLE);
        pcap.send(&mut connection, Side::Dialer, &greeting(), cut.max(4));
        pcap.send(&mut connection, Side::Dialer, bytes, cut);
    }
    pcap.write(file);
}

#[test]
#[ignore = "needs tshark"]
fn every_frame_however_it_is_cut() {
    let scratch = Scratch::new();
    let file = scratch.path("frames.pcap");
    let vectors = vectors("frames.json");
    let each: Vec<Vec<u8>> = vectors.iter().map(hex).collect();
    for cut in [WHOLE, 1, 7] {
        capture(&file, &each, cut);
        assert_sound(&file, &[]);
        let all = frames(&file, &[]);
        assert_eq!(all.len(), 3 * each.len(), "two hellos and a frame for each vector");
        for (vector, three) in vectors.iter().zip(all.chunks(3)) {
            let (id, hellos, frame) = (&vector["id"], &three[..2], &three[2]);
            assert!(hellos.iter().all(|hello| hello.kind() == 1 && !hello.is_malformed()), "{id}");
            assert_eq!(frame.kind(), hex(vector)[3], "{id}");
            assert_eq!(frame.is_malformed(), vector.get("error").is_some(), "{id}, cut at {cut}: {frame:?}");
        }
    }
}

#[test]
#[ignore = "needs tshark"]
fn what_ends_a_session_breaks_nothing() {
    let scratch = Scratch::new();
    let file = scratch.path("reject.pcap");
    let each: Vec<Vec<u8>> = vectors("reject.json").iter().map(hex).collect();
    for cut in [WHOLE, 1] {
        capture(&file, &each, cut);
        assert_sound(&file, &[]);
    }
    // Without a greeting before it, the capture begins in the middle. The port says whose bytes they are.
    let mut pcap = Pcap::new();
    for (port, bytes) in (10_000..).zip(&each) {
        let mut connection = pcap.connect(port);
        pcap.send(&mut connection, Side::Dialer, bytes, WHOLE);
        pcap.send(&mut connection, Side::Acceptor, &greeting(), 1);
    }
    pcap.write(&file);
    assert_sound_by_port(&file);
}

/// All frames in one stream, with bytes changed at random: whatever comes of it, it is shown.
#[test]
#[ignore = "needs tshark"]
fn random_damage_breaks_nothing() {
    let scratch = Scratch::new();
    let file = scratch.path("damaged.pcap");
    let valid: Vec<u8> =
        vectors("frames.json").iter().filter(|vector| vector.get("frame").is_some()).flat_map(hex).collect();
    let mut rng = Rng::new("damage");
    let mut pcap = Pcap::new();
    for port in 10_000..10_060 {
        let mut bytes = valid.clone();
        for _ in 0..=rng.below(20) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.next() as u8;
        }
        let mut connection = pcap.connect(port);
        pcap.send(&mut connection, Side::Dialer, &greeting(), WHOLE);
        pcap.send(&mut connection, Side::Acceptor, &greeting(), WHOLE);
        pcap.send(&mut connection, Side::Dialer, &bytes, 1 + rng.below(2000) as usize);
    }
    pcap.write(&file);
    assert_sound(&file, &[]);
    assert_sound_by_port(&file);
}

/// Values nested as deep as a frame is long, for which Wireshark's dissectors would give up the packet.
#[test]
#[ignore = "needs tshark"]
fn deep_values_hide_no_frame() {
    const LENGTH: usize = 20_000;
    let scratch = Scratch::new();
    let file = scratch.path("deep.pcap");
    let mut pcap = Pcap::new();
    let mut connection = pcap.connect(10_000);
    pcap.send(&mut connection, Side::Acceptor, &greeting(), WHOLE);
    pcap.send(&mut connection, Side::Dialer, &greeting(), WHOLE);
    pcap.send(&mut connection, Side::Dialer, &frame(2, &[0, 0, 0, 99, 0, 4, b'd', b'e', b'e', b'p']), WHOLE);
    let deep: [(u8, &[u8]); 9] = [
        (1, b"\x91"),
        (1, b"\x81\xa1a"),
        (1, b"\xdc\x00\x01"),
        (2, b"["),
        (2, br#"{"\"":"#),
        (3, b"\x81"),
        (3, b"\xc1"),
        (3, b"\x9f"),
        (5, b"<a>"),
    ];
    for (codec, level) in deep {
        let payload: Vec<u8> = level.iter().copied().cycle().take(LENGTH).collect();
        pcap.send(&mut connection, Side::Dialer, &frame(3, &[&[0, codec], &payload[..]].concat()), WHOLE);
    }
    pcap.write(&file);
    assert_sound(&file, &[]);
    let shown = frames(&file, &[]);
    assert_eq!(shown.len(), 3 + deep.len());
    assert!(shown[3..].iter().all(|frame| frame.get("libchan.channel") == "deep" && !frame.is_malformed()));
}

/// A frame of channel 2.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[1..], &[kind, 0, 0, 0, 2], body].concat()
}
