//! Promise 15: a type mismatch names the outermost shape that was expected and the one that came.

use std::collections::HashMap;

use super::*;

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    input: End,
    log: Option<End>,
    done: End,
}

#[derive(Debug, Serialize, Deserialize)]
enum Ext {
    N(u8),
    T(u8, u8),
    S { a: u8 },
}

#[derive(Debug, Deserialize)]
struct Unit;

#[derive(Debug, Deserialize)]
struct Pair(
    #[expect(dead_code, reason = "only decoded")] u8,
    #[expect(dead_code, reason = "only decoded")] u8,
);

#[derive(Debug, Deserialize)]
struct Flat {
    #[serde(flatten)]
    #[expect(dead_code, reason = "only decoded")]
    rest: HashMap<String, u8>,
    #[expect(dead_code, reason = "only decoded")]
    id: u8,
}

/// Encodes and decodes as something else, and says what the error says before serde's own words.
#[track_caller]
fn mismatch<T: DeserializeOwned + Debug>(codec: &AnyCodec, value: &impl Serialize) -> String {
    let payload = encode(codec, value).unwrap();
    let text = text_of(decode::<T>(codec, &payload));
    let (shapes, serde) = text.split_once(": ").unwrap();
    assert!(!serde.is_empty());
    shapes.to_owned()
}

#[test]
fn expected_and_got() {
    let s = "text";
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let c = &codec;
        let job = Job { input: End(0), log: None, done: End(1) };
        assert_eq!(mismatch::<Job>(c, &s), "expected Job { input, log, done }, got a string");
        assert_eq!(mismatch::<Job>(c, &5), "expected Job { input, log, done }, got a number");
        assert_eq!(mismatch::<Job>(c, &-5), "expected Job { input, log, done }, got a number");
        assert_eq!(mismatch::<Job>(c, &1.5), "expected Job { input, log, done }, got a number");
        assert_eq!(mismatch::<Job>(c, &true), "expected Job { input, log, done }, got a boolean");
        assert_eq!(mismatch::<Job>(c, &()), "expected Job { input, log, done }, got nothing");
        assert_eq!(mismatch::<Job>(c, &[s; 7]), "expected Job { input, log, done }, got a sequence of 7");
        assert_eq!(
            mismatch::<Job>(c, &Ext::S { a: 1 }),
            "expected Job { input, log, done }, got a map { S }"
        );
        assert_eq!(
            mismatch::<Job>(c, &End(0)),
            "expected Job { input, log, done }, got a libchan attachment"
        );
        assert_eq!(mismatch::<Option<Box<Job>>>(c, &s), "expected Job { input, log, done }, got a string");
        assert_eq!(mismatch::<Ext>(c, &job), "expected Ext { N | T | S }, got a map { input, log, done }");
        assert_eq!(mismatch::<End>(c, &job), "expected a libchan attachment, got a map { input, log, done }");
        assert_eq!(mismatch::<End>(c, &s), "expected a libchan attachment, got a string");
        assert_eq!(mismatch::<String>(c, &job), "expected a string, got a map { input, log, done }");
        assert_eq!(mismatch::<u8>(c, &job), "expected a number, got a map { input, log, done }");
        assert_eq!(mismatch::<u8>(c, &300), "expected a number, got a number");
        assert_eq!(mismatch::<bool>(c, &s), "expected a boolean, got a string");
        assert_eq!(mismatch::<char>(c, &[1]), "expected a character, got a sequence of 1");
        assert_eq!(mismatch::<Vec<u8>>(c, &s), "expected a sequence, got a string");
        assert_eq!(mismatch::<HashMap<u8, u8>>(c, &s), "expected a map, got a string");
        assert_eq!(mismatch::<()>(c, &s), "expected nothing, got a string");
        assert_eq!(mismatch::<Unit>(c, &s), "expected Unit, got a string");
        assert_eq!(mismatch::<Pair>(c, &s), "expected Pair of 2, got a string");
        assert_eq!(mismatch::<(u8, u8, u8)>(c, &[1, 2]), "expected a tuple of 3, got a sequence of 2");
        assert_eq!(mismatch::<Flat>(c, &s), "expected a map, got a string");
        assert_eq!(
            mismatch::<Vec<u8>>(c, &vec![1_u16; 2000].iter().map(|_| s).collect::<Vec<_>>()),
            "expected a sequence, got a sequence"
        );
        let wide: HashMap<String, u8> = (0..40).map(|i| (format!("k{i}{}", "x".repeat(100)), 0)).collect();
        let text = mismatch::<u8>(c, &wide);
        assert!(text.len() < 700 && text.ends_with(", .. }"), "{text}");
    }
    assert_eq!(mismatch::<u8>(&AnyCodec::cbor(), &ByteBuf::from(vec![1])), "expected a number, got bytes");
    assert_eq!(mismatch::<ByteBuf>(&AnyCodec::msgpack(), &5), "expected bytes, got a number");
}

#[test]
fn the_whole_text() {
    let msgpack = AnyCodec::msgpack();
    let payload = encode(&msgpack, "text").unwrap();
    assert_eq!(
        text_of(decode::<Job>(&msgpack, &payload)),
        "expected Job { input, log, done }, got a string: invalid type: string \"text\", expected struct Job"
    );
    let payload = encode(&AnyCodec::json(), &[("input", 1)].into_iter().collect::<HashMap<_, _>>()).unwrap();
    assert_eq!(
        text_of(decode::<Ext>(&AnyCodec::json(), &payload)),
        "expected Ext { N | T | S }, got a map { input }: \
         unknown variant `input`, expected one of `N`, `T`, `S` at line 1 column 8"
    );
    assert_eq!(
        text_of(decode::<Job>(&msgpack, b"")),
        "expected Job { input, log, done }, got an empty payload: IO error while reading marker: failed to fill whole buffer"
    );
    assert_eq!(
        text_of(decode::<u8>(&AnyCodec::json(), b"@")),
        "expected a number, got 1 bytes of json: expected value at line 1 column 1"
    );
    assert_eq!(
        text_of(decode::<u8>(&AnyCodec::cbor(), b"\x01\x01")),
        "expected a number, got a number: bytes are left over after the value"
    );
    // Broken in the middle: what could be read is named.
    let text = text_of(decode::<Job>(&msgpack, b"\x83\xa5input\xd4\x01\x00\xa3log\x91"));
    assert!(text.starts_with("expected Job { input, log, done }, got a map { input, log }: "), "{text}");
}

#[test]
fn a_long_payload_makes_no_long_text() {
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let payload = encode(&codec, &"\u{e4}".repeat(1 << 20)).unwrap();
        let text = text_of(decode::<Job>(&codec, &payload));
        assert!(text.len() < 400, "{}", text.len());
    }
}

#[cfg(feature = "postcard")]
#[test]
fn codecs_without_shapes_name_the_length() {
    let text = text_of(decode::<Job>(&AnyCodec::postcard(), &[1]));
    assert!(text.starts_with("expected Job { input, log, done }, got 1 bytes of postcard: "), "{text}");
}
