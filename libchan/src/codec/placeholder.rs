//! The mark that stands for a channel, stream or descriptor inside a payload: its index in the attachment table.
//!
//! The form is an argument, never `is_human_readable()`: a `Serialize` that makes a JSON string inside a msgpack
//! message would meet both answers in one message.

use std::fmt;

use rmp_serde::MSGPACK_EXT_STRUCT_NAME;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeStruct, Serializer};

/// How an attachment's index is written inside a payload.
#[non_exhaustive]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Placeholder {
    /// A msgpack extension value of type 1: one byte of index, above 255 two bytes, big endian.
    Ext,
    /// A map whose only key is `$libchan`: `{"$libchan":0}`.
    Map,
    /// An XML element: `<libchan:ref xmlns:libchan="urn:libchan:1" index="0"/>`.
    Element,
    /// The bare index, for codecs where position says everything.
    Index,
    /// The codec has no place for attachments.
    None,
}

/// The msgpack extension type.
const EXT_TYPE: i8 = 1;
/// The key of the map form, and by its name [`super::shape`] knows an attachment.
pub(super) const KEY: &str = "$libchan";
/// The XML element as it is written, and as namespace-dropping readers show it.
const ELEMENT: &[&str] = &["libchan:ref", "ref"];
const NAMESPACE: (&str, &str) = ("@xmlns:libchan", "urn:libchan:1");
const ATTRIBUTE: &str = "@index";

/// Writes an attachment's index in the form of the codec in force.
pub(crate) fn serialize_index<S: Serializer>(
    form: Placeholder,
    index: u32,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match form {
        Placeholder::Ext => match (u8::try_from(index), u16::try_from(index)) {
            (Ok(index), _) => write_ext(&[index], serializer),
            (_, Ok(index)) => write_ext(&index.to_be_bytes(), serializer),
            _ => Err(S::Error::custom("attachment index above 65535")),
        },
        Placeholder::Map => {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(KEY, &index)?;
            map.end()
        }
        Placeholder::Element => {
            // An element inside the field's own: quick-xml names a field's element after the field.
            let mut outer = serializer.serialize_struct(KEY, 1)?;
            outer.serialize_field(ELEMENT[0], &Element(index))?;
            outer.end()
        }
        Placeholder::Index => serializer.serialize_u32(index),
        Placeholder::None => Err(S::Error::custom(NO_PLACE)),
    }
}

/// Reads an attachment's index in the form of the codec in force.
pub(crate) fn deserialize_index<'de, D: Deserializer<'de>>(
    form: Placeholder,
    deserializer: D,
) -> Result<u32, D::Error> {
    match form {
        Placeholder::Ext => deserializer.deserialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, ExtVisitor),
        // A struct, because its name tells the shape recorder what is meant; codecs with names read it as a map.
        Placeholder::Map => {
            deserializer.deserialize_struct(KEY, &[KEY], OneEntry::<Number> { keys: &[KEY], read: |n| n.0 })
        }
        Placeholder::Element => deserializer.deserialize_struct(
            KEY,
            ELEMENT,
            OneEntry::<Element> { keys: ELEMENT, read: |e| e.0 },
        ),
        Placeholder::Index => u32::deserialize(deserializer),
        Placeholder::None => Err(D::Error::custom(NO_PLACE)),
    }
}

const NO_PLACE: &str = "this codec carries no attachments (channels, streams, descriptors)";
const EXPECTED: &str = "a libchan attachment";

fn write_ext<S: Serializer>(index: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, &(EXT_TYPE, Bytes(index)))
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// `(type, bytes)`, also as serde's buffers replay it.
struct ExtVisitor;

impl<'de> Visitor<'de> for ExtVisitor {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_tuple(2, self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u32, A::Error> {
        let (Some(kind), Some(index)) = (seq.next_element::<i8>()?, seq.next_element::<BigEndian>()?) else {
            return Err(A::Error::custom("a msgpack extension value cut short"));
        };
        if kind != EXT_TYPE {
            return Err(A::Error::custom(format_args!(
                "msgpack extension type {kind} is no libchan attachment"
            )));
        }
        Ok(index.0)
    }
}

/// One or two bytes of index.
struct BigEndian(u32);

impl<'de> Deserialize<'de> for BigEndian {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BigEndianVisitor)
    }
}

struct BigEndianVisitor;

impl Visitor<'_> for BigEndianVisitor {
    type Value = BigEndian;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one or two bytes of attachment index")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<BigEndian, E> {
        match *bytes {
            [low] => Ok(BigEndian(low.into())),
            [high, low] => Ok(BigEndian(u16::from_be_bytes([high, low]).into())),
            _ => Err(E::invalid_length(bytes.len(), &self)),
        }
    }
}

/// A map with exactly one entry, whose key is one of `keys`.
struct OneEntry<V> {
    keys: &'static [&'static str],
    read: fn(V) -> u32,
}

impl<'de, V: Deserialize<'de>> Visitor<'de> for OneEntry<V> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u32, A::Error> {
        let mut found = None;
        while let Some(Name(key)) = map.next_key()? {
            if !self.keys.contains(&key.as_str()) || found.is_some() {
                return Err(A::Error::custom(format_args!("{EXPECTED} has no key `{key}`")));
            }
            found = Some(map.next_value::<V>()?);
        }
        found.map(self.read).ok_or_else(|| A::Error::custom("an empty map is no libchan attachment"))
    }
}

/// A key, owned: it is short, and not every codec can lend it.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Name, E> {
                Ok(Name(key.chars().take(64).collect()))
            }
        }
        deserializer.deserialize_identifier(NameVisitor)
    }
}

/// An index that is a number.
struct Number(u32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self)
    }
}

/// The XML element with its namespace and index.
struct Element(u32);

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut element = serializer.serialize_struct(ELEMENT[0], 2)?;
        element.serialize_field(NAMESPACE.0, NAMESPACE.1)?;
        element.serialize_field(ATTRIBUTE, &self.0)?;
        element.end()
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(ELEMENT[0], &[NAMESPACE.0, ATTRIBUTE], ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        let mut index = None;
        while let Some(Name(key)) = map.next_key()? {
            if key == ATTRIBUTE {
                // Attributes are text, and stay text where serde buffers them.
                let text: String = map.next_value()?;
                index = Some(text.parse().map_err(A::Error::custom)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        index.map(Element).ok_or_else(|| A::Error::missing_field("index"))
    }
}
