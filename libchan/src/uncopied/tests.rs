use serde::{Deserialize, Serialize};

use super::*;
use crate::attach::Ends;
use crate::codec::AnyCodec;
use crate::message::{self, Arrived, Encoded};
use crate::parcel::PayloadBytes;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Chunk {
    before: u64,
    #[serde(with = "crate::uncopied")]
    data: Bytes,
    #[serde(with = "crate::uncopied")]
    more: Bytes,
    after: String,
}

#[derive(Serialize)]
struct Plain<'a> {
    before: u64,
    data: &'a serde_bytes::Bytes,
    more: &'a serde_bytes::Bytes,
    after: &'a str,
}

fn bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at * 7 % 251) as u8).collect::<Vec<_>>().into()
}

fn chunk(data: usize, more: usize) -> Chunk {
    Chunk { before: 7, data: bytes(data), more: bytes(more), after: "the end".to_owned() }
}

fn encode(value: &Chunk, codec: &AnyCodec) -> (Encoded, Vec<u8>) {
    let mut out = Vec::new();
    let encoded = message::encode(value, codec, &mut out).unwrap().unwrap_or_else(|| Encoded::plain(codec));
    (encoded, out)
}

fn parts_of(encoded: Encoded) -> Vec<Bytes> {
    match encoded.kept {
        Some(PayloadBytes::Parts(parts)) => parts,
        _ => Vec::new(),
    }
}

fn decode(payload: &Bytes, codec: AnyCodec) -> Chunk {
    let arrived = Arrived { codec, payload, shared: Some(payload), ends: Ends::new(), headers: None };
    message::decode(arrived).unwrap()
}

fn holds(outer: &Bytes, part: &Bytes) -> bool {
    outer.as_ptr_range().contains(&part.as_ptr())
}

#[test]
fn a_large_field_is_not_copied_and_is_the_same_on_the_wire() {
    for (data, more) in [(100_000, 0), (100_000, 10), (100_000, 100_000), (10, LARGE), (10, 10)] {
        let value = chunk(data, more);
        let (encoded, out) = encode(&value, &AnyCodec::msgpack());
        let parts = parts_of(encoded);
        let whole = if parts.is_empty() { out.into() } else { join(&parts) };
        let Chunk { before, data, more, after } = &value;
        let plain = Plain {
            before: *before,
            data: serde_bytes::Bytes::new(data),
            more: serde_bytes::Bytes::new(more),
            after,
        };
        let mut expected = Vec::new();
        AnyCodec::msgpack().encode(&plain, &mut expected).unwrap();
        assert_eq!(whole, expected);
        for field in [data, more] {
            let left_out = parts.iter().any(|part| part.as_ptr() == field.as_ptr());
            assert_eq!(left_out, field.len() >= LARGE);
        }
        let back = decode(&whole, AnyCodec::msgpack());
        assert_eq!(back, value);
        assert_eq!(holds(&whole, &back.data), data.len() >= LARGE && 2 * data.len() >= whole.len());
    }
    assert_eq!((COUNT.get(), LEFT_OUT.take().len()), (0, 0));
}

#[test]
fn other_codecs_copy() {
    for codec in [AnyCodec::cbor(), AnyCodec::json()] {
        let value = chunk(20_000, 3);
        let (encoded, out) = encode(&value, &codec);
        assert!(parts_of(encoded).is_empty());
        assert_eq!(decode(&out.into(), codec), value);
    }
    assert!(SHOWN.take().is_none());
}

#[test]
fn a_raw_message_is_whole() {
    let value = chunk(20_000, 30_000);
    let raw = crate::Raw::encode(&value, AnyCodec::msgpack()).unwrap();
    assert_eq!(raw.decode::<Chunk>().unwrap(), value);
}

/// Fails after its bytes, having encoded another message in between.
struct Broken(Chunk);

impl Serialize for Broken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error as _, SerializeTuple};
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&self.0)?;
        let (encoded, _) = encode(&self.0, &AnyCodec::msgpack());
        assert_eq!(parts_of(encoded).len(), 3, "only what is its own");
        Err(S::Error::custom("no"))
    }
}

impl<'de> Deserialize<'de> for Broken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Chunk::deserialize(deserializer).map(Self)
    }
}

#[test]
fn nothing_is_left_of_a_message_that_failed() {
    let mut out = Vec::new();
    assert!(message::encode(&Broken(chunk(20_000, 0)), &AnyCodec::msgpack(), &mut out).is_err());
    assert_eq!((COUNT.get(), LEFT_OUT.take().len()), (0, 0));
    assert!(SHOWN.take().is_none());
}
