//! Tests of the codecs. Here: the stand-in for a channel end, exact bytes, raw, protobuf, plug-ins. Beside: the shapes
//! of user types, error texts, bombs.

mod bombs;
mod errors;
mod shapes;

use std::cell::Cell;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

use super::*;

thread_local! {
    /// What the typed layer's scope will know: the form of the codec in force.
    static FORM: Cell<Placeholder> = const { Cell::new(Placeholder::None) };
}

/// A stand-in for a channel end: its index is its identity.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct End(u32);

impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_index(FORM.get(), self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_index(FORM.get(), deserializer).map(Self)
    }
}

/// The built-in codecs with these ids, as far as they are compiled in.
fn those(ids: impl IntoIterator<Item = u8>) -> impl Iterator<Item = AnyCodec> {
    ids.into_iter().filter_map(|id| AnyCodec::builtin(CodecId(id)))
}

fn encode<T: Serialize + ?Sized>(codec: &AnyCodec, value: &T) -> Result<Vec<u8>, CodecError> {
    FORM.set(codec.placeholder());
    let mut out = b"before".to_vec();
    let result = codec.encode(value, &mut out);
    assert_eq!(&out[..6], b"before");
    if result.is_err() {
        assert_eq!(out.len(), 6, "a failed encode leaves nothing behind");
    }
    result.map(|()| out.split_off(6))
}

fn decode<T: DeserializeOwned>(codec: &AnyCodec, payload: &[u8]) -> Result<T, CodecError> {
    FORM.set(codec.placeholder());
    codec.decode(payload)
}

fn text_of<T: Debug>(result: Result<T, CodecError>) -> String {
    result.unwrap_err().to_string()
}

#[track_caller]
fn round<T: Serialize + DeserializeOwned + PartialEq + Debug>(codec: &AnyCodec, value: &T) -> Vec<u8> {
    let payload = encode(codec, value).unwrap();
    assert_eq!(&decode::<T>(codec, &payload).unwrap(), value, "{codec:?}");
    payload
}

#[test]
fn placeholders_are_these_bytes() {
    assert_eq!(round(&AnyCodec::msgpack(), &End(0)), [0xd4, 1, 0]);
    assert_eq!(round(&AnyCodec::msgpack(), &End(255)), [0xd4, 1, 255]);
    assert_eq!(round(&AnyCodec::msgpack(), &End(256)), [0xd5, 1, 1, 0]);
    assert_eq!(round(&AnyCodec::msgpack(), &End(0xfffe)), [0xd5, 1, 0xff, 0xfe]);
    assert_eq!(text_of(encode(&AnyCodec::msgpack(), &End(0x10000))), "attachment index above 65535");
    assert_eq!(round(&AnyCodec::json(), &End(7)), br#"{"$libchan":7}"#);
    assert_eq!(round(&AnyCodec::cbor(), &End(7)), b"\xa1\x68$libchan\x07");
    #[cfg(feature = "postcard")]
    assert_eq!(round(&AnyCodec::postcard(), &End(300)), [0xac, 2]);
    #[cfg(feature = "xml")]
    {
        let xml = round(&AnyCodec::xml(), &End(7));
        let want = r#"<message><libchan:ref xmlns:libchan="urn:libchan:1" index="7"/></message>"#;
        assert_eq!(std::str::from_utf8(&xml).unwrap(), want);
    }
}

#[test]
fn what_is_no_placeholder_is_refused() {
    let msgpack = AnyCodec::msgpack();
    for bad in [&[0xd4, 2, 0][..], &[0xd6, 1, 0, 0, 0, 0], &[0xc7, 0, 1], &[5], &[0xd4, 1], &[0xd4], &[0xc0]]
    {
        text_of(decode::<End>(&msgpack, bad));
    }
    let json = AnyCodec::json();
    for bad in [
        "{}",
        r#"{"$libchan":0,"x":1}"#,
        r#"{"$libchan":0,"$libchan":1}"#,
        r#"{"x":0}"#,
        r#"{"$libchan":-1}"#,
        r#"{"$libchan":"0"}"#,
        r#"{"$libchan":4294967296}"#,
        "0",
        "[0]",
        "null",
    ] {
        text_of(decode::<End>(&json, bad.as_bytes()));
    }
    #[cfg(feature = "xml")]
    for bad in ["<m/>", "<m><ref/></m>", r#"<m><ref index="x"/></m>"#, r#"<m index="1"/>"#, "<m>1</m>", ""] {
        text_of(decode::<End>(&AnyCodec::xml(), bad.as_bytes()));
    }
}

#[test]
fn data_that_looks_like_a_placeholder_is_data() {
    let map: std::collections::BTreeMap<String, u32> = [("$libchan".to_owned(), 3)].into();
    round(&AnyCodec::json(), &map);
    round(&AnyCodec::cbor(), &map);
    round(&AnyCodec::msgpack(), &map);
}

#[test]
fn ids_and_names() {
    let all = [AnyCodec::raw(), AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()];
    for (id, codec) in all.iter().enumerate() {
        assert_eq!(usize::from(codec.id().0), id);
        assert_eq!(AnyCodec::builtin(codec.id()).unwrap().name(), codec.name());
    }
    #[cfg(all(feature = "postcard", feature = "xml", feature = "protobuf"))]
    for (id, codec) in [(4, AnyCodec::postcard()), (5, AnyCodec::xml()), (6, AnyCodec::protobuf())] {
        assert_eq!(codec.id(), CodecId(id));
        assert_eq!(AnyCodec::builtin(CodecId(id)).unwrap().name(), codec.name());
    }
    assert!((7..=255).all(|id| AnyCodec::builtin(CodecId(id)).is_none()));
    assert_eq!(format!("{:?}", AnyCodec::msgpack()), "AnyCodec(1 msgpack)");
}

#[test]
fn bytes_left_over_are_an_error() {
    for codec in those([1, 2, 3, 4]) {
        for more in [&b"1"[..], b"\x00", b"\x91", b"\xc0", b"\xd4", b"\xcd", b"\xff"] {
            let mut payload = encode(&codec, &(1_u8, "x")).unwrap();
            payload.extend_from_slice(more);
            let text = text_of(decode::<(u8, String)>(&codec, &payload));
            assert!(text.contains("left over") || text.contains("trailing"), "{codec:?} {text}");
        }
    }
    #[cfg(feature = "xml")]
    {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only decoded")]
        struct One {
            a: u8,
        }
        decode::<One>(&AnyCodec::xml(), b" <m><a>1</a></m>\n").unwrap();
        for bad in ["<m><a>1</a></m><m/>", "<m><a>1</a></m>x", "<m><a>1</a></m>\n<m/>", "<m><a>1</a></m><"] {
            text_of(decode::<One>(&AnyCodec::xml(), bad.as_bytes()));
        }
    }
}

#[test]
fn raw_carries_bytes() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(ByteBuf);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Empty;

    let raw = AnyCodec::raw();
    assert_eq!(round(&raw, &ByteBuf::from(b"\x00\xffabc".to_vec())), b"\x00\xffabc");
    assert_eq!(round(&raw, &Wrapped(ByteBuf::from(b"abc".to_vec()))), b"abc");
    assert_eq!(round(&raw, &vec![1_u8, 2, 3]), [1, 2, 3]);
    assert_eq!(round(&raw, &[1_u8, 2, 3]), [1, 2, 3]);
    assert_eq!(round(&raw, &"text".to_owned()), b"text");
    assert_eq!(round(&raw, &()), b"");
    assert_eq!(round(&raw, &Empty), b"");
    assert_eq!(round(&raw, &Vec::<u8>::new()), b"");
    assert_eq!(encode(&raw, "unsized").unwrap(), b"unsized");
    assert_eq!(encode(&raw, &[7_u8, 8][..]).unwrap(), [7, 8]);

    assert_eq!(text_of(encode(&raw, &1_u8)), "the raw codec carries bytes only, not a number");
    assert_eq!(text_of(encode(&raw, &Some("x"))), "the raw codec carries bytes only, not an option");
    let text = "the raw codec carries bytes only, not a sequence of anything but u8";
    assert_eq!(text_of(encode(&raw, &vec![1_u16])), text);
    assert_eq!(text_of(encode(&raw, &vec![vec![1_u8]])), text);
    let text = "this codec carries no attachments (channels, streams, descriptors)";
    assert_eq!(text_of(encode(&raw, &End(0))), text);
    assert_eq!(text_of(encode(&raw, &Some(1))), "the raw codec carries bytes only, not an option");

    for wrong in [&b"ab"[..], b"abcd"] {
        text_of(decode::<[u8; 3]>(&raw, wrong));
    }
    text_of(decode::<()>(&raw, b"x"));
    text_of(decode::<String>(&raw, b"\xff"));
    text_of(decode::<Option<ByteBuf>>(&raw, b"x"));
    assert!(text_of(decode::<End>(&raw, b"x")).ends_with(text));
    assert_eq!(
        text_of(decode::<u8>(&raw, b"xy")),
        "expected a number, got 2 bytes of raw: invalid type: byte array, expected u8"
    );
}

/// Counts nothing and copies nothing: shows which way a codec hands bytes over.
#[derive(Debug, PartialEq)]
struct HowBytesCome(&'static str);

impl<'de> Deserialize<'de> for HowBytesCome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = HowBytesCome;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<HowBytesCome, E> {
                Ok(HowBytesCome("borrowed"))
            }
            fn visit_bytes<E>(self, _: &[u8]) -> Result<HowBytesCome, E> {
                Ok(HowBytesCome("lent"))
            }
            fn visit_byte_buf<E>(self, _: Vec<u8>) -> Result<HowBytesCome, E> {
                Ok(HowBytesCome("owned"))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[test]
fn bytes_are_handed_out_without_a_copy() {
    let bytes = ByteBuf::from(vec![7; 10_000]);
    let table = [(0, "borrowed"), (1, "borrowed"), (3, "owned"), (4, "lent")];
    for (codec, how) in table.into_iter().flat_map(|(id, how)| those([id]).map(move |codec| (codec, how))) {
        let payload = round(&codec, &bytes);
        assert_eq!(decode::<HowBytesCome>(&codec, &payload).unwrap(), HowBytesCome(how), "{codec:?}");
    }
    round(&AnyCodec::json(), &bytes);
}

#[test]
fn encoding_inside_encoding() {
    struct Outer;
    impl Serialize for Outer {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut inner = Vec::new();
            AnyCodec::json().encode(&vec![1, 2], &mut inner).unwrap();
            serializer.serialize_bytes(&inner)
        }
    }
    assert_eq!(encode(&AnyCodec::msgpack(), &Outer).unwrap(), b"\xc4\x05[1,2]");
}

/// JSON with line breaks: the example of the module's documentation.
struct PrettyJson(u8);

impl Codec for PrettyJson {
    fn id(&self) -> CodecId {
        CodecId(self.0)
    }
    fn name(&self) -> &str {
        "pretty-json"
    }
    fn placeholder(&self) -> Placeholder {
        Placeholder::Map
    }
    fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer_pretty(out, value).map_err(|e| CodecError::new(e.to_string()))
    }
    fn decode(
        &self,
        payload: &[u8],
        read: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError> {
        let mut json = serde_json::Deserializer::from_slice(payload);
        read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut json))?;
        json.end().map_err(|e| CodecError::new(e.to_string()))
    }
}

/// A codec that forgets to read.
struct Silent;

impl Codec for Silent {
    fn id(&self) -> CodecId {
        CodecId(255)
    }
    fn name(&self) -> &str {
        "silent"
    }
    fn placeholder(&self) -> Placeholder {
        Placeholder::Index
    }
    fn encode(&self, _: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.push(1);
        Err(CodecError::new("never"))
    }
    fn decode(
        &self,
        _: &[u8],
        _: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError> {
        Ok(())
    }
}

#[test]
fn a_codec_of_ones_own() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Job {
        name: String,
        ends: Vec<End>,
    }

    let codec = AnyCodec::custom(PrettyJson(200)).unwrap();
    assert_eq!(
        (codec.id(), codec.name(), codec.placeholder()),
        (CodecId(200), "pretty-json", Placeholder::Map)
    );
    let job = Job { name: "x".to_owned(), ends: vec![End(0), End(1)] };
    let payload = round(&codec.clone(), &job);
    assert!(payload.starts_with(b"{\n  \"name\": \"x\""));
    assert_eq!(encode(&codec, "unsized").unwrap(), b"\"unsized\"");
    assert_eq!(
        text_of(decode::<Job>(&codec, b"true")),
        "expected Job { name, ends }, got 4 bytes of pretty-json: \
         invalid type: boolean `true`, expected struct Job at line 1 column 4"
    );
    text_of(decode::<bool>(&codec, b"true x"));

    for id in [0, 1, 7, 191] {
        let error = AnyCodec::custom(PrettyJson(id)).unwrap_err().to_string();
        assert_eq!(error, format!("codec pretty-json has id {id}: use one of 192 to 255"));
    }
    let silent = AnyCodec::custom(Silent).unwrap();
    assert_eq!(text_of(encode(&silent, &1)), "never");
    assert!(text_of(decode::<u8>(&silent, b"1")).ends_with("codec silent did not read the value"));
}

#[cfg(feature = "protobuf")]
#[test]
fn protobuf_is_a_value() {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct Person {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(bytes = "vec", tag = "2")]
        photo: Vec<u8>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Entry {
        person: Proto<Person>,
        done: End,
    }

    let person = Proto(Person { name: "Ada".to_owned(), photo: vec![9; 5000] });
    let protobuf = AnyCodec::protobuf();
    assert_eq!(round(&protobuf, &person), person.encode_to_vec());
    assert_eq!(round(&AnyCodec::raw(), &person), person.encode_to_vec());
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        round(&codec, &Entry { person: person.clone(), done: End(3) });
        round(&codec, &person);
    }
    #[cfg(feature = "postcard")]
    round(&AnyCodec::postcard(), &Entry { person: person.clone(), done: End(3) });
    round(&protobuf, &Proto(Person::default()));

    assert_eq!(
        text_of(encode(&protobuf, &Entry { person, done: End(0) })),
        "the protobuf codec carries Proto<M> values only, not a struct"
    );
    for not_proto in
        [encode(&protobuf, &ByteBuf::new()), encode(&protobuf, "x"), encode(&protobuf, &vec![1_u8])]
    {
        assert!(text_of(not_proto).starts_with("the protobuf codec carries Proto<M> values only, not "));
    }
    assert!(
        text_of(decode::<ByteBuf>(&protobuf, b"")).ends_with("carries Proto<M> values only, not other types")
    );
    let text = text_of(decode::<Proto<Person>>(&protobuf, b"\x0a\xff"));
    assert!(
        text.starts_with("expected bytes, got 2 bytes of protobuf: failed to decode Protobuf message"),
        "{text}"
    );
}

#[cfg(feature = "xml")]
#[test]
fn xml_has_limits() {
    use std::collections::HashMap;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row<T> {
        cells: T,
    }

    let xml = AnyCodec::xml();
    let row = |n| Row { cells: vec![n, n + 1] };
    round(&xml, &row(1));
    round(&xml, &Row { cells: vec![row(1), row(2)] });
    round(&xml, &Row { cells: "<&>\"' \u{e4}".to_owned() });
    round(&xml, &Row { cells: HashMap::from([("key".to_owned(), 1)]) });
    round(&xml, &Row { cells: (1, 2) });

    assert!(text_of(encode(&xml, &Row { cells: ByteBuf::from(vec![1]) })).contains("bytes"));
    assert!(text_of(encode(&xml, &Row { cells: HashMap::from([("a b", 1)]) })).contains("XML name"));
    assert!(
        text_of(encode(&xml, &Row { cells: Ok::<_, u8>(1) }))
            .contains("cannot serialize enum newtype variant")
    );
    let empty = encode(&xml, &Row { cells: Vec::<u8>::new() }).unwrap();
    assert!(text_of(decode::<Row<Vec<u8>>>(&xml, &empty)).ends_with("missing field `cells`"));
    // The one limit that is no error anywhere: lists in lists flow together.
    let flat = round_trip(&xml, &Row { cells: vec![vec![1, 2], vec![3]] });
    assert_eq!(flat, Row { cells: vec![vec![1], vec![2], vec![3]] });
}

#[cfg(feature = "xml")]
fn round_trip<T: Serialize + DeserializeOwned>(codec: &AnyCodec, value: &T) -> T {
    decode(codec, &encode(codec, value).unwrap()).unwrap()
}
