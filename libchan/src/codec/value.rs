//! `Value`: a message of any self-describing codec, as a tree with its channel ends in it.

use std::fmt;

use serde::de::value::Error as ClaimError;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use super::placeholder::KEY;
use super::{Placeholder, deserialize_index};
use crate::attach::{claim_by_index, form_in_force, kind_at};
use crate::fd::Fd;
use crate::raw::{EndKind, Raw};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::stream::ByteStream;

/// Any value, with the channel ends, streams and descriptors in it: for bridges and tools that know no type.
///
/// Every codec that describes itself reads and writes it: `msgpack`, `json`, `cbor`. So a message can change its codec on its
/// way, and its ends stay where they are. It is a [`Message`](crate::Message): `Receiver<Value>` works on any channel.
///
/// ```
/// use libchan::codec::Value;
/// use libchan::{AnyCodec, CodecId, Raw};
///
/// let json = Raw::from_parts(CodecId::JSON, r#"{"name":"rain","drops":[1,2]}"#);
/// let value: Value = json.decode()?;
/// assert_eq!(value.get("name").and_then(Value::as_str), Some("rain"));
/// let msgpack = Raw::encode(&value, AnyCodec::msgpack())?;
/// # assert_eq!(msgpack.payload().len(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Limits
/// `json` turns bytes into a list of numbers, and refuses map keys that are neither text, numbers nor booleans. `cbor` tags
/// are dropped. Codecs that do not describe themselves (`postcard`, `raw`, `protobuf`) fail to decode it, and `xml` has only
/// maps of text.
#[derive(Debug)]
#[non_exhaustive]
pub enum Value {
    /// Nothing: `()`, `None`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number that an `i64` holds.
    Int(i64),
    /// A whole number above what an `i64` holds.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A sequence.
    List(Vec<Self>),
    /// A map or struct, in the order in which it was written.
    Map(Vec<(Self, Self)>),
    /// The sending end of a channel.
    Sender(Sender<Raw>),
    /// The receiving end of a channel.
    Receiver(Receiver<Raw>),
    /// A byte stream.
    Stream(ByteStream),
    /// A descriptor.
    Fd(Fd),
}

impl Value {
    /// The value of a key that is text, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => {
                entries.iter().find(|(known, _)| known.as_str() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Map(entries) => map(entries, serializer),
            Self::Sender(end) => end.serialize(serializer),
            Self::Receiver(end) => end.serialize(serializer),
            Self::Stream(stream) => stream.serialize(serializer),
            Self::Fd(fd) => fd.serialize(serializer),
        }
    }
}

fn map<S: Serializer>(entries: &[(Value, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    if let [(key, Value::Int(_) | Value::Uint(_))] = entries
        && key.as_str() == Some(KEY)
    {
        // It would arrive as one of the message's ends.
        return Err(S::Error::custom(format_args!("a map whose only key is {KEY} stands for a channel end")));
    }
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    for (key, value) in entries {
        map.serialize_entry(key, value)?;
    }
    map.end()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

/// Values without anything inside.
macro_rules! leaves {
    ($($method:ident($name:ident: $type:ty) $value:expr;)*) => {$(
        fn $method<E: serde::de::Error>(self, $name: $type) -> Result<Value, E> {
            Ok($value)
        }
    )*};
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    leaves! {
        visit_bool(value: bool) Value::Bool(value);
        visit_i64(value: i64) Value::Int(value);
        visit_u64(value: u64) i64::try_from(value).map_or(Value::Uint(value), Value::Int);
        visit_f64(value: f64) Value::Float(value);
        visit_str(value: &str) Value::Text(value.to_owned());
        visit_string(value: String) Value::Text(value);
        visit_bytes(value: &[u8]) Value::Bytes(value.to_vec());
        visit_byte_buf(value: Vec<u8>) Value::Bytes(value);
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        // What msgpack makes of an extension value.
        match form_in_force() {
            Some(Placeholder::Ext) => end(deserialize_index(Placeholder::Ext, deserializer)?),
            _ => Value::deserialize(deserializer),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        if form_in_force() == Some(Placeholder::Map)
            && let [(key, Value::Int(index))] = &entries[..]
            && key.as_str() == Some(KEY)
        {
            return end(u32::try_from(*index).map_err(A::Error::custom)?);
        }
        Ok(Value::Map(entries))
    }
}

/// The message's end at this index.
fn end<E: serde::de::Error>(index: u32) -> Result<Value, E> {
    fn claim<T: DeserializeOwned, E: serde::de::Error>(index: u32, make: fn(T) -> Value) -> Result<Value, E> {
        claim_by_index(index).map(make).map_err(|why: ClaimError| E::custom(why))
    }
    match kind_at(index).map_err(E::custom)? {
        EndKind::Sender => claim(index, Value::Sender),
        EndKind::Receiver => claim(index, Value::Receiver),
        EndKind::Stream => claim(index, Value::Stream),
        EndKind::Descriptor => claim(index, Value::Fd),
        EndKind::Taken => Err(E::custom(format_args!("attachment {index} is already claimed"))),
    }
}
