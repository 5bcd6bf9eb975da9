//! Every way a channel end can sit in a user's type, in every codec. msgpack, JSON and CBOR take all of them; for
//! postcard and XML the table below says what happens, and each cell is checked.

use std::collections::HashMap;

use super::*;

/// Defines a shape's type with the derives every one of them has.
macro_rules! shapes {
    ($($item:item)*) => { $(#[derive(Debug, PartialEq, Serialize, Deserialize)] $item)* };
}

shapes! {
    struct Struct { id: u32, end: End }
    struct Opt { some: Option<End>, none: Option<End> }
    struct List { ends: Vec<End> }
    struct Map { ends: HashMap<String, End> }
    struct Tuple { pair: (u32, End) }
    struct Res { ok: Result<End, String>, err: Result<u32, End> }
    struct Boxed { end: Box<End> }
    struct Four { a: FourB }
    struct FourB { b: Vec<FourC> }
    struct FourC { c: Option<FourD> }
    struct FourD { d: End }
    struct Newtype(End);
    struct TwoFields(u32, End);

    enum External { Newtype(End), Tuple(u32, End), Struct { id: u32, end: End } }

    #[serde(rename_all = "camelCase")]
    struct Renamed { #[serde(rename = "the-end")] end: End, more_ends: Vec<End> }
    #[serde(deny_unknown_fields)]
    struct Strict { id: u32, end: End }

    struct FlatStruct { id: u32, #[serde(flatten)] inner: Struct2 }
    struct Struct2 { end: End, name: String }
    struct FlatMap { id: u32, #[serde(flatten)] rest: HashMap<String, End> }
    struct FlatEnum { id: u32, #[serde(flatten)] choice: External }

    #[serde(untagged)]
    enum Untagged { Struct { key: String, end: End }, Newtype(End), Other { wrong: End } }
    #[serde(untagged)]
    enum ByKind { Even(Even), Odd(Odd) }

    #[serde(tag = "type")]
    enum Internal { Struct { id: u32, end: End }, Newtype(Struct2) }
    #[serde(tag = "type", content = "value")]
    enum Adjacent { Newtype(End), Tuple(u32, End), Struct { id: u32, end: End } }
}

/// Like a `Sender` field that meets a receiver: the table, not the form, tells them apart.
#[derive(Debug, PartialEq)]
struct Parity<const ODD: u32>(End);
type Even = Parity<0>;
type Odd = Parity<1>;

impl<const ODD: u32> Serialize for Parity<ODD> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const ODD: u32> Deserialize<'de> for Parity<ODD> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let end = End::deserialize(deserializer)?;
        if end.0 % 2 != ODD {
            return Err(serde::de::Error::custom("the attachment is of the other kind"));
        }
        Ok(Self(end))
    }
}

/// What a codec makes of a shape.
#[derive(Debug, PartialEq)]
enum Fate {
    Yes,
    /// `send` fails; the error contains this.
    Encode(&'static str),
    /// The receiver sees an error that contains this.
    Decode(&'static str),
}
use Fate::{Decode, Encode, Yes};

/// Postcard must know a map's length before it writes it; serde does not for flattened fields.
const NO_LENGTH: &str = "The length of a sequence must be known";
/// Postcard cannot say what comes next.
const NEVER: &str = "a feature that PostCard will never implement";
/// Where serde buffers an XML element, text and numbers in it have become maps and strings.
const BUFFERED: &str = "invalid type: map, expected";

#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    name: &str,
    value: T,
    postcard: Fate,
    xml: Fate,
) {
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        round(&codec, &value);
        let plugin = AnyCodec::custom(PrettyJson(200)).unwrap();
        round(&plugin, &value);
    }
    for (id, fate) in [(4, postcard), (5, xml)] {
        those([id]).for_each(|codec| cell(name, &codec, &value, &fate));
    }
}

#[track_caller]
fn cell<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    name: &str,
    codec: &AnyCodec,
    value: &T,
    want: &Fate,
) {
    let payload = match (encode(codec, value), want) {
        (Err(error), Encode(text)) if error.to_string().contains(text) => return,
        (Ok(payload), Yes | Decode(_)) => payload,
        (got, want) => panic!("{name} in {codec:?}: wanted {want:?}, got {got:?} at encode"),
    };
    match (decode::<T>(codec, &payload), want) {
        (Ok(back), Yes) if back == *value => {}
        (Err(error), Decode(text)) if error.to_string().contains(text) => {}
        (got, want) => {
            let payload = String::from_utf8_lossy(&payload);
            panic!("{name} in {codec:?}: wanted {want:?}, got {got:?} from {payload}")
        }
    }
}

fn ends<const N: usize>() -> Vec<End> {
    (0..N as u32).map(End).collect()
}

#[test]
fn plain() {
    check("struct", Struct { id: 1, end: End(0) }, Yes, Yes);
    check("some", FourC { c: Some(FourD { d: End(300) }) }, Yes, Yes);
    check(
        "none",
        Opt { some: Some(End(300)), none: None },
        Yes,
        Decode("an empty map is no libchan attachment"),
    );
    check("vec", List { ends: ends::<3>() }, Yes, Yes);
    check("map", Map { ends: [("a".to_owned(), End(1)), ("b".to_owned(), End(2))].into() }, Yes, Yes);
    check("tuple", Tuple { pair: (5, End(1)) }, Yes, Yes);
    check("bare", End(0), Yes, Yes);
    check(
        "result",
        Res { ok: Ok(End(0)), err: Err(End(1)) },
        Yes,
        Encode("cannot serialize enum newtype variant `Result::Ok`"),
    );
    check("box", Boxed { end: Box::new(End(0)) }, Yes, Yes);
    let four =
        FourB { b: vec![FourC { c: Some(FourD { d: End(0) }) }, FourC { c: Some(FourD { d: End(1) }) }] };
    check("four deep", Four { a: four }, Yes, Yes);
    check("newtype struct", Newtype(End(0)), Yes, Yes);
    check("tuple struct", TwoFields(1, End(0)), Yes, Yes);
    check("rename", Renamed { end: End(1), more_ends: ends::<2>() }, Yes, Yes);
    check("deny_unknown_fields", Strict { id: 1, end: End(0) }, Yes, Yes);
}

#[test]
fn external_enums() {
    check("external newtype", External::Newtype(End(0)), Yes, Yes);
    check("external tuple", External::Tuple(1, End(0)), Yes, Yes);
    check("external struct", External::Struct { id: 1, end: End(0) }, Yes, Yes);
}

#[test]
fn flatten() {
    let inner = || Struct2 { end: End(0), name: "x".to_owned() };
    check("flatten struct", FlatStruct { id: 1, inner: inner() }, Encode(NO_LENGTH), Decode(BUFFERED));
    check("flatten map", FlatMap { id: 1, rest: [("a".to_owned(), End(1))].into() }, Encode(NO_LENGTH), Yes);
    check("flatten newtype", FlatEnum { id: 1, choice: External::Newtype(End(0)) }, Encode(NO_LENGTH), Yes);
    check(
        "flatten tuple",
        FlatEnum { id: 1, choice: External::Tuple(2, End(0)) },
        Encode(NO_LENGTH),
        Decode(BUFFERED),
    );
    check(
        "flatten enum struct",
        FlatEnum { id: 1, choice: External::Struct { id: 2, end: End(0) } },
        Encode(NO_LENGTH),
        Decode(BUFFERED),
    );
}

#[test]
fn other_tags() {
    let inner = || Struct2 { end: End(0), name: "x".to_owned() };
    check(
        "untagged struct",
        Untagged::Struct { key: "k".to_owned(), end: End(0) },
        Decode(NEVER),
        Decode("data did not match any variant"),
    );
    check("untagged newtype", Untagged::Newtype(End(0)), Decode(NEVER), Yes);
    check("untagged even", ByKind::Even(Parity(End(2))), Decode(NEVER), Yes);
    check("untagged odd", ByKind::Odd(Parity(End(3))), Decode(NEVER), Yes);
    check("internal struct", Internal::Struct { id: 1, end: End(0) }, Decode(NEVER), Decode(BUFFERED));
    check("internal newtype", Internal::Newtype(inner()), Decode(NEVER), Decode(BUFFERED));
    check("adjacent newtype", Adjacent::Newtype(End(0)), Decode(NEVER), Yes);
    check("adjacent tuple", Adjacent::Tuple(1, End(0)), Decode(NEVER), Yes);
    check("adjacent struct", Adjacent::Struct { id: 1, end: End(0) }, Decode(NEVER), Yes);
}
