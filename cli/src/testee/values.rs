//! Values of any shape: read and written in every codec through the libchan crate, with channel ends, streams and
//! descriptors in them, and in JSON as the testee's protocol writes them.

use std::fmt;

use libchan::{AnyCodec, ByteStream, Fd, Raw, Receiver, Sender, pipe};
use serde::de::{self, Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Fault, Reply};
use crate::json::{Fields, Json, hex, json, unhex};

/// A value of any shape.
#[derive(Debug)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    End(End),
}

/// What a message can carry.
#[derive(Debug)]
pub(super) enum End {
    Sender(Sender<Value>),
    Receiver(Receiver<Value>),
    Stream(ByteStream),
    Fd(Fd),
}

// ---- the verbs

pub(super) fn codec(name: &str) -> Result<AnyCodec, Fault> {
    Ok(match name {
        "msgpack" => AnyCodec::msgpack(),
        "json" => AnyCodec::json(),
        "cbor" => AnyCodec::cbor(),
        "raw" => AnyCodec::raw(),
        other => return Err(Fault::not_supported(format!("codec {other}"))),
    })
}

/// The senders that stand for `count` attachments.
fn attachments(count: usize) -> Vec<Sender<Value>> {
    (0..count).map(|_| pipe().0).collect()
}

pub(super) fn decode(request: &Json) -> Reply {
    let codec = codec(request.text("codec")?)?;
    let table = attachments(request.small("attachments")?);
    let ends = table.iter().map(|sender| Value::End(End::Sender(sender.clone()))).collect();
    let carrier =
        Raw::encode(&Value::List(ends), AnyCodec::msgpack()).map_err(|why| Fault::new("ENCODE", why))?;
    let payload = request.bytes("hex")?.into();
    let value: Value =
        carrier.with_payload(codec, payload).decode().map_err(|why| Fault::new("DECODE", why))?;
    let json = value.into_json(&mut |end| match end {
        End::Sender(sender) => {
            json!({"attachment": table.iter().position(|known| known.same_channel(&sender))})
        }
        _ => Json::Null,
    });
    Ok(json!({"value": json}))
}

pub(super) fn encode(request: &Json) -> Reply {
    let codec = codec(request.text("codec")?)?;
    let mut count = 0;
    let table = attachments(256);
    let value = Value::from_json(request.field("value"), &mut |json| {
        let index = json.field("attachment").as_u64().and_then(|index| usize::try_from(index).ok());
        let Some((index, sender)) = index.and_then(|index| Some((index, table.get(index)?))) else {
            return Err(Fault::new("BAD_REQUEST", json));
        };
        // An encoder numbers what it meets.
        if index > count {
            return Err(Fault::not_supported("attachments are numbered in the order of the value"));
        }
        count = count.max(index + 1);
        Ok(End::Sender(sender.clone()))
    })?;
    let raw = Raw::encode(&value, codec).map_err(|why| Fault::new("ENCODE", why))?;
    Ok(json!({"hex": hex(raw.payload())}))
}

// ---- in JSON

/// The whole numbers that JSON keeps everywhere.
const EXACT: i128 = (1 << 53) - 1;

impl Value {
    /// What the protocol writes; `hold` takes hold of what the value carries and says how it is named.
    pub(super) fn into_json(self, hold: &mut dyn FnMut(End) -> Json) -> Json {
        match self {
            Self::Nothing => Json::Null,
            Self::Bool(value) => value.into(),
            Self::Int(number) if number.abs() <= EXACT => (number as i64).into(),
            Self::Int(number) => json!({"int": number.to_string()}),
            Self::Float(number) if number.is_nan() => json!({"float": "nan"}),
            Self::Float(number) if number == f64::INFINITY => json!({"float": "inf"}),
            Self::Float(number) if number == f64::NEG_INFINITY => json!({"float": "-inf"}),
            Self::Float(number) => json!({"float": number}),
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => json!({"bytes": hex(&bytes)}),
            Self::List(list) => list.into_iter().map(|value| value.into_json(hold)).collect(),
            Self::Map(map) => {
                let entries = map.into_iter().map(|(key, value)| {
                    let key = key.into_json(hold);
                    Json::from(vec![key, value.into_json(hold)])
                });
                json!({"map": entries.collect::<Vec<_>>()})
            }
            Self::End(end) => hold(end),
        }
    }

    /// The other way; `find` gives what a name stands for.
    pub(super) fn from_json(
        json: &Json,
        find: &mut dyn FnMut(&Json) -> Result<End, Fault>,
    ) -> Result<Self, Fault> {
        let wrong = || Fault::new("BAD_REQUEST", format!("not a value: {json}"));
        Ok(match json {
            Json::Null => Self::Nothing,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Int(number.as_i64().map(i128::from).ok_or_else(wrong)?),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(list) => {
                Self::List(list.iter().map(|json| Self::from_json(json, find)).collect::<Result<_, _>>()?)
            }
            Json::Object(object) => {
                let Some((form, inner)) = object.iter().next() else { return Err(wrong()) };
                match (form.as_str(), inner) {
                    ("int", Json::String(text)) => Self::Int(text.parse().map_err(|_| wrong())?),
                    ("float", Json::String(text)) => Self::Float(text.parse().map_err(|_| wrong())?),
                    ("float", number) => Self::Float(number.as_f64().ok_or_else(wrong)?),
                    ("bytes", Json::String(text)) => Self::Bytes(unhex(text)?),
                    ("map", Json::Array(entries)) => {
                        let entry = |entry: &Json| match entry.as_array().map(Vec::as_slice) {
                            Some([key, value]) => {
                                Ok((Self::from_json(key, find)?, Self::from_json(value, find)?))
                            }
                            _ => Err(wrong()),
                        };
                        Self::Map(entries.iter().map(entry).collect::<Result<_, _>>()?)
                    }
                    _ => Self::End(find(json)?),
                }
            }
        })
    }

    /// What it carries, in the order of the value.
    pub(super) fn into_ends(self, ends: &mut Vec<End>) {
        match self {
            Self::List(list) => list.into_iter().for_each(|value| value.into_ends(ends)),
            Self::Map(map) => map.into_iter().for_each(|(key, value)| {
                key.into_ends(ends);
                value.into_ends(ends);
            }),
            Self::End(end) => ends.push(end),
            _ => {}
        }
    }
}

// ---- in a codec

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => serializer.serialize_u64(number),
                (_, Ok(number)) => serializer.serialize_i64(number),
                _ => serializer.serialize_i128(*number),
            },
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|value| seq.serialize_element(value))?;
                seq.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
            Self::End(End::Sender(sender)) => sender.serialize(serializer),
            Self::End(End::Receiver(receiver)) => receiver.serialize(serializer),
            Self::End(End::Stream(stream)) => stream.serialize(serializer),
            Self::End(End::Fd(fd)) => fd.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape)
    }
}

struct AnyShape;

macro_rules! visit_numbers {
    ($($visit:ident: $number:ty),*) => {$(
        fn $visit<E: de::Error>(self, number: $number) -> Result<Value, E> {
            i128::try_from(number).map(Value::Int).map_err(|_| E::custom("a number beyond 128 bits"))
        }
    )*};
}

impl<'de> Visitor<'de> for AnyShape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    visit_numbers!(visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128);

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    /// What rmp-serde makes of an extension value: `(type, bytes)`.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Extension { kind, index } = Extension::deserialize(deserializer)?;
        claim(&Placeholder::Ext(kind, index)).map(Value::End).map_err(de::Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<Value, Value>()? {
            entries.push(entry);
        }
        // Here every place may hold an attachment; what cannot be claimed is data.
        if let [(Value::Text(key), Value::Int(index))] = &entries[..]
            && key == "$libchan"
            && let Ok(index) = u32::try_from(*index)
            && let Ok(end) = claim(&Placeholder::Map(index))
        {
            return Ok(Value::End(end));
        }
        Ok(Value::Map(entries))
    }

    /// What ciborium makes of a tag that it does not know: the tagged value counts.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        struct Tagged;
        impl<'de> Visitor<'de> for Tagged {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tag and its value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let _tag: Option<u64> = seq.next_element()?;
                seq.next_element()?.ok_or_else(|| de::Error::custom("a tag without a value"))
            }
        }
        let (_name, variant) = data.variant::<String>()?;
        variant.tuple_variant(2, Tagged)
    }
}

// ---- claiming what a placeholder stands for

/// A placeholder that was read as data, to be read again as what it stands for.
enum Placeholder {
    Ext(i8, Vec<u8>),
    Map(u32),
}

/// The end that a placeholder stands for. A stream is claimed as a descriptor: only the receiver of the message can tell, once
/// it has decoded. One of this process, in a message that comes back from a peer which has not taken it, is still a stream.
fn claim(place: &Placeholder) -> Result<End, de::value::Error> {
    Sender::deserialize(place)
        .map(End::Sender)
        .or_else(|_| Receiver::deserialize(place).map(End::Receiver))
        .or_else(|_| Fd::deserialize(place).map(End::Fd))
        .or_else(|_| ByteStream::deserialize(place).map(End::Stream))
}

impl<'de> Deserializer<'de> for &Placeholder {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self {
            Placeholder::Ext(..) => visitor.visit_newtype_struct(self),
            Placeholder::Map(index) => {
                visitor.visit_map(de::value::MapDeserializer::new(std::iter::once(("$libchan", *index))))
            }
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(ExtensionSeq { place: self, at: 0 })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple_struct map struct enum identifier ignored_any
    }
}

struct ExtensionSeq<'a> {
    place: &'a Placeholder,
    at: usize,
}

impl<'de> SeqAccess<'de> for ExtensionSeq<'_> {
    type Error = de::value::Error;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let Placeholder::Ext(kind, index) = self.place else { return Ok(None) };
        self.at += 1;
        match self.at {
            1 => seed.deserialize(de::value::I8Deserializer::new(*kind)).map(Some),
            2 => seed.deserialize(de::value::BytesDeserializer::new(index)).map(Some),
            _ => Ok(None),
        }
    }
}

/// A msgpack extension value of whatever type.
struct Extension {
    kind: i8,
    index: Vec<u8>,
}

impl<'de> Deserialize<'de> for Extension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Extension;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an extension value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Extension, A::Error> {
                match (seq.next_element()?, seq.next_element::<Value>()?) {
                    (Some(kind), Some(Value::Bytes(index))) => Ok(Extension { kind, index }),
                    _ => Err(de::Error::custom("an extension value cut short")),
                }
            }
        }
        deserializer.deserialize_tuple(2, Pair)
    }
}
