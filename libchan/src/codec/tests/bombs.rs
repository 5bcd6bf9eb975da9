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

/// Postcard keeps no text of an error.
fn says_too_deep(text: &str, codec: &AnyCodec) -> bool {
    text.contains("nests too deeply") || codec.id() == CodecId::POSTCARD
}

/// One level more around a value of this kind.
type Wrap<T> = fn(T) -> T;

/// What a codec accepts for sending, its reader takes; and what is far too deep is an error and no end of the stack.
#[track_caller]
fn sender_and_receiver_agree<T>(codec: &AnyCodec, innermost: fn() -> T, wrap: Wrap<T>)
where
    T: Serialize + DeserializeOwned + Debug,
{
    let mut value = innermost();
    let mut refused = 0;
    for level in 0..300 {
        match encode(codec, &value) {
            Ok(payload) => {
                assert_eq!(refused, 0, "{codec:?} refused a value of {refused} levels and takes {level}");
                decode::<T>(codec, &payload).unwrap_or_else(|why| panic!("{codec:?} at {level}: {why}"));
            }
            Err(why) => {
                assert!(says_too_deep(&why.to_string(), codec), "{why}");
                assert!(level >= 40, "{codec:?} takes {level} levels only");
                refused = level;
            }
        }
        value = wrap(value);
    }
    assert_ne!(refused, 0, "{codec:?} accepts any depth");
    for _ in 300..3000 {
        value = wrap(value);
    }
    assert!(says_too_deep(&text_of(encode(codec, &value)), codec));
}

#[test]
fn a_sender_refuses_what_no_receiver_would_take() {
    for codec in those([1, 2, 3, 4]) {
        sender_and_receiver_agree(&codec, || Bare(vec![]), |value| Bare(vec![value]));
        sender_and_receiver_agree(&codec, || Tree { kids: vec![] }, |value| Tree { kids: vec![value] });
        sender_and_receiver_agree(
            &codec,
            || Node { next: None },
            |value| Node { next: Some(Box::new(value)) },
        );
        sender_and_receiver_agree(&codec, || Chain::End, |value| Chain::N(Box::new(value)));
        sender_and_receiver_agree(&codec, || Chain::End, |value| Chain::S { n: Box::new(value) });
        sender_and_receiver_agree(&codec, || Chain::End, |value| Chain::T(0, Box::new(value)));
    }
    let map = |value| Json::Map(HashMap::from([("k".to_owned(), value)]));
    for codec in those([1, 2, 3]) {
        sender_and_receiver_agree(&codec, || Json::Number(1), map);
        sender_and_receiver_agree(&codec, || Json::Number(1), |value| Json::List(vec![value]));
    }
    #[cfg(feature = "xml")]
    sender_and_receiver_agree(
        &AnyCodec::xml(),
        || Node { next: None },
        |value| Node { next: Some(Box::new(value)) },
    );
}

#[test]
fn options_without_a_level_between_are_counted() {
    #[derive(Serialize)]
    struct Many(Option<Box<Self>>);
    let mut value = Many(None);
    for _ in 0..3000 {
        value = Many(Some(Box::new(value)));
    }
    // A plug-in, whose reader may take less than ours.
    let plugin = AnyCodec::custom(PrettyJson(200)).unwrap();
    for codec in those([1, 2, 3, 4]).chain([plugin]) {
        assert!(says_too_deep(&text_of(encode(&codec, &value)), &codec), "{codec:?}");
    }
}

#[test]
fn what_json_has_no_number_for_is_refused_when_sent() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for why in [
            encode(&AnyCodec::json(), &number),
            encode(&AnyCodec::json(), &(number as f32)),
            encode(&AnyCodec::json(), &vec![(1, Some(number))]),
            encode(&AnyCodec::json(), &HashMap::from([("k", number)])),
        ] {
            let text = why.unwrap_err().to_string();
            assert!(text.contains("no NaN"), "{text}");
        }
        for codec in those([1, 3, 4]) {
            let payload = encode(&codec, &number).unwrap();
            assert_eq!(decode::<f64>(&codec, &payload).unwrap().to_string(), number.to_string());
        }
    }
}
