//! Payloads made to hurt: nesting that would overflow the stack, lengths that would exhaust memory. Each must be an
//! error, and quickly. Tests run on threads with a 2 MiB stack, as tokio's workers do.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::*;

const DEEP: usize = 100_000;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    kids: Vec<Self>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Bare(Vec<Self>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    next: Option<Box<Self>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Chain {
    N(Box<Self>),
    S { n: Box<Self> },
    T(u8, Box<Self>),
    End,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Json {
    List(Vec<Self>),
    Map(HashMap<String, Self>),
    Number(u64),
}

fn nested(open: &[u8], middle: &[u8], close: &[u8]) -> Vec<u8> {
    [open.repeat(DEEP), middle.to_vec(), close.repeat(DEEP)].concat()
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(codec: &AnyCodec, payload: &[u8]) {
    let start = std::time::Instant::now();
    let text = text_of(decode::<T>(codec, payload));
    assert!(text.len() < 700, "{text}");
    assert!(start.elapsed().as_secs() < 5, "{codec:?} took {:?}", start.elapsed());
}

#[track_caller]
fn refused_by_all_types(codec: &AnyCodec, payload: &[u8]) {
    refused::<Tree>(codec, payload);
    refused::<Bare>(codec, payload);
    refused::<Node>(codec, payload);
    refused::<Chain>(codec, payload);
    refused::<Json>(codec, payload);
    refused::<IgnoredAny>(codec, payload);
    refused::<u8>(codec, payload);
    refused::<End>(codec, payload);
    refused::<HashMap<String, Json>>(codec, payload);
}

#[test]
fn deep_msgpack() {
    let codec = AnyCodec::msgpack();
    refused_by_all_types(&codec, &nested(b"\x91", b"\x90", b""));
    refused_by_all_types(&codec, &nested(b"\x81\xa4kids\x91", b"\x80", b""));
    refused_by_all_types(&codec, &nested(b"\x81\xa4next", b"\xc0", b""));
    refused_by_all_types(&codec, &nested(b"\x81\xa1N", b"\xa3End", b""));
    refused_by_all_types(&codec, &nested(b"\x81\x00", b"\xa3End", b""));
    refused_by_all_types(&codec, &nested(b"\x81\xa1S\x81\xa1n", b"\xa3End", b""));
    refused_by_all_types(&codec, &nested(b"\x81\xa1T\x92\x00", b"\xa3End", b""));
    refused_by_all_types(&codec, &nested(b"\x81\x81", b"", b""));
}

#[test]
fn deep_json() {
    let plugin = AnyCodec::custom(PrettyJson(200)).unwrap();
    for codec in [AnyCodec::json(), plugin] {
        // serde_json skips what is ignored without recursion, so that type may succeed.
        let payload = nested(b"[", b"", b"]");
        refused::<Bare>(&codec, &payload);
        refused::<Json>(&codec, &payload);
        refused::<u8>(&codec, &payload);
        refused::<Tree>(&codec, &nested(br#"{"kids":["#, b"", b"]}"));
        refused::<Node>(&codec, &nested(br#"{"next":"#, b"null", b"}"));
        refused::<Chain>(&codec, &nested(br#"{"N":"#, br#""End""#, b"}"));
        refused::<Chain>(&codec, &nested(br#"{"S":{"n":"#, br#""End""#, b"}}"));
        refused_by_all_types(&codec, &b"[".repeat(DEEP));
    }
}

#[test]
fn deep_cbor() {
    let codec = AnyCodec::cbor();
    refused_by_all_types(&codec, &nested(b"\x81", b"\x80", b""));
    refused_by_all_types(&codec, &nested(b"\x9f", b"", b"\xff"));
    refused_by_all_types(&codec, &nested(b"\xa1\x64kids\x81", b"\xa0", b""));
    refused_by_all_types(&codec, &nested(b"\xa1\x64next", b"\xf6", b""));
    refused_by_all_types(&codec, &nested(b"\xa1\x61N", b"\x63End", b""));
    refused_by_all_types(&codec, &nested(b"\xa1\x61T\x82\x00", b"\x63End", b""));
    refused_by_all_types(&codec, &nested(b"\xbf\x61N", b"\x63End", b"\xff"));
    // Tags are skipped in a loop where the type knows what it wants, and are levels where it does not.
    for tags in [nested(b"\xc1", b"\x80", b""), nested(b"\xda\x01\x02\x03\x04", b"\x80", b"")] {
        assert_eq!(decode::<Bare>(&codec, &tags).unwrap(), Bare(vec![]));
        refused::<Json>(&codec, &tags);
        refused::<IgnoredAny>(&codec, &tags);
        refused::<Chain>(&codec, &tags);
        refused::<u8>(&codec, &tags);
    }
    // Segments within segments.
    refused_by_all_types(&codec, &b"\x5f".repeat(DEEP));
    refused_by_all_types(&codec, &b"\x7f".repeat(DEEP));
}

#[cfg(feature = "postcard")]
#[test]
fn deep_postcard() {
    let codec = AnyCodec::postcard();
    for byte in [0, 1, 2] {
        let payload = vec![byte; DEEP];
        refused::<Tree>(&codec, &payload);
        refused::<Bare>(&codec, &payload);
        refused::<Node>(&codec, &payload);
        refused::<Chain>(&codec, &payload);
    }
}

#[cfg(feature = "xml")]
#[test]
fn deep_xml() {
    let codec = AnyCodec::xml();
    refused::<Tree>(&codec, &nested(b"<kids>", b"", b"</kids>"));
    refused::<Node>(&codec, &nested(b"<next>", b"", b"</next>"));
    refused::<Chain>(&codec, &nested(b"<N>", b"<End/>", b"</N>"));
    refused::<Json>(&codec, &nested(b"<N>", b"<End/>", b"</N>"));
    refused_by_all_types(&codec, &b"<a>".repeat(DEEP));
    // A DTD that would unfold: entities of the document's own are not known to us.
    let lol = r#"<!DOCTYPE m [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;">]><m><next>&b;</next></m>"#;
    refused::<HashMap<String, String>>(&codec, lol.as_bytes());
}

#[test]
fn lengths_are_claims() {
    let msgpack = AnyCodec::msgpack();
    for bomb in [
        &b"\xdd\xff\xff\xff\xff"[..],
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xdc\xff\xff\x00",
    ] {
        all_containers(&msgpack, bomb);
        refused::<Bare>(&msgpack, &bomb.repeat(100));
    }
    let cbor = AnyCodec::cbor();
    for bomb in [
        &b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5f\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    ] {
        all_containers(&cbor, bomb);
        refused::<Bare>(&cbor, &bomb.repeat(100));
    }
}

#[track_caller]
fn all_containers(codec: &AnyCodec, bomb: &[u8]) {
    refused::<Vec<u64>>(codec, bomb);
    refused::<Vec<()>>(codec, bomb);
    refused::<HashMap<u64, u64>>(codec, bomb);
    refused::<String>(codec, bomb);
    refused::<ByteBuf>(codec, bomb);
    refused::<Json>(codec, bomb);
    refused::<IgnoredAny>(codec, bomb);
    refused::<End>(codec, bomb);
    refused::<Node>(codec, bomb);
}

#[cfg(feature = "postcard")]
#[test]
fn postcard_elements_of_no_bytes() {
    let postcard = AnyCodec::postcard();
    let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    refused::<Vec<()>>(&postcard, &max);
    refused::<HashMap<(), ()>>(&postcard, &max);
    // A million units in each of a hundred thousand lists.
    let wide = [&[0xa0, 0x8d, 0x06][..], &[0xc0, 0x84, 0x3d].repeat(100_000)].concat();
    refused::<Vec<Vec<()>>>(&postcard, &wide);
    round(&postcard, &vec![Vec::<u8>::new(); 1000]);
    round(&postcard, &vec![vec![1_u8], vec![2, 3]]);
    round(&postcard, &vec![(vec![1_u8],), (vec![2, 3],)]);
    refused::<Vec<u64>>(&postcard, &max);
    refused::<String>(&postcard, &max);
    refused::<ByteBuf>(&postcard, &max);
    refused::<Bare>(&postcard, &max.repeat(100));
    // The type's own lengths are no claims.
    round(&postcard, &((), (), ()));
    round(&postcard, &[(); 5]);
}

#[test]
fn what_is_within_the_limit_passes() {
    let plugin = AnyCodec::custom(PrettyJson(200)).unwrap();
    let mut node = Node { next: None };
    let mut chain = Chain::End;
    for _ in 0..60 {
        node = Node { next: Some(Box::new(node)) };
        chain = Chain::S { n: Box::new(chain) };
    }
    for codec in those([1, 2, 3, 4]).chain([plugin]) {
        round(&codec, &node);
        round(&codec, &chain);
    }
}
