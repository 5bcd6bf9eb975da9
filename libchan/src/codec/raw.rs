//! The `raw` codec: the payload *is* the value. It carries one byte string.
//!
//! The rule: a value fits if it serialises as bytes, as text, as a sequence or array of `u8`, as nothing (`()`), or as
//! a newtype of one of these. It has no names and no structure, so it has no place for attachments either. Reading
//! offers the payload as whichever of these the type asks for.

use std::fmt::{self, Display};

use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde::ser::{self, Impossible, Serialize, Serializer};

use super::CodecError;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    value.serialize(RawSerializer { out, only: None }).map_err(CodecError::of)
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    T::deserialize(RawDeserializer { payload, only: None }).map_err(CodecError::of)
}

/// As [`encode`], but the value must be the newtype called `name`.
#[cfg(feature = "protobuf")]
pub(super) fn encode_only<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    name: &'static str,
) -> Result<(), CodecError> {
    value.serialize(RawSerializer { out, only: Some(name) }).map_err(CodecError::of)
}

/// As [`decode`], but the type must ask for the newtype called `name`.
#[cfg(feature = "protobuf")]
pub(super) fn decode_only<T: DeserializeOwned>(payload: &[u8], name: &'static str) -> Result<T, CodecError> {
    T::deserialize(RawDeserializer { payload, only: Some(name) }).map_err(CodecError::of)
}

/// Why a value or a type is no byte string.
#[derive(Debug)]
struct RawError(String);

impl RawError {
    fn not(what: &str, only: Option<&str>) -> Self {
        Self(match only {
            None => format!("the raw codec carries bytes only, not {what}"),
            Some(_) => format!("the protobuf codec carries Proto<M> values only, not {what}"),
        })
    }
}

impl Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RawError {}

impl ser::Error for RawError {
    fn custom<T: Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

impl de::Error for RawError {
    fn custom<T: Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

struct RawSerializer<'a> {
    out: &'a mut Vec<u8>,
    /// Set until the newtype of this name was met; nothing else is taken before.
    only: Option<&'static str>,
}

impl RawSerializer<'_> {
    fn append(self, what: &str, bytes: &[u8]) -> Result<(), RawError> {
        if self.only.is_some() {
            return Err(RawError::not(what, self.only));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// What has no bytes of its own in this codec.
macro_rules! refused {
    ($($method:ident($($type:ty),*) -> $ok:ty, $what:literal;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, RawError> {
            Err(RawError::not($what, self.only))
        }
    )*};
}

impl<'a> Serializer for RawSerializer<'a> {
    type Ok = ();
    type Error = RawError;
    type SerializeSeq = RawSeq<'a>;
    type SerializeTuple = RawSeq<'a>;
    type SerializeTupleStruct = Impossible<(), RawError>;
    type SerializeTupleVariant = Impossible<(), RawError>;
    type SerializeMap = Impossible<(), RawError>;
    type SerializeStruct = Impossible<(), RawError>;
    type SerializeStructVariant = Impossible<(), RawError>;

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), RawError> {
        self.append("bytes", bytes)
    }

    fn serialize_str(self, text: &str) -> Result<(), RawError> {
        self.append("a string", text.as_bytes())
    }

    fn serialize_unit(self) -> Result<(), RawError> {
        self.append("nothing", &[])
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), RawError> {
        self.append(name, &[])
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), RawError> {
        let only = self.only.filter(|only| *only != name);
        value.serialize(RawSerializer { out: self.out, only })
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<RawSeq<'a>, RawError> {
        match self.only {
            None => Ok(RawSeq(self.out)),
            only => Err(RawError::not("a sequence", only)),
        }
    }

    fn serialize_tuple(self, _: usize) -> Result<RawSeq<'a>, RawError> {
        self.serialize_seq(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), RawError> {
        Err(RawError::not("an option", self.only))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), RawError> {
        Err(RawError::not("an enum", self.only))
    }

    refused! {
        serialize_bool(bool) -> (), "a boolean";
        serialize_i8(i8) -> (), "a number";
        serialize_i16(i16) -> (), "a number";
        serialize_i32(i32) -> (), "a number";
        serialize_i64(i64) -> (), "a number";
        serialize_i128(i128) -> (), "a number";
        serialize_u8(u8) -> (), "a number";
        serialize_u16(u16) -> (), "a number";
        serialize_u32(u32) -> (), "a number";
        serialize_u64(u64) -> (), "a number";
        serialize_u128(u128) -> (), "a number";
        serialize_f32(f32) -> (), "a number";
        serialize_f64(f64) -> (), "a number";
        serialize_char(char) -> (), "a character";
        serialize_none() -> (), "an option";
        serialize_unit_variant(&'static str, u32, &'static str) -> (), "an enum";
        serialize_tuple_struct(&'static str, usize) -> Impossible<(), RawError>, "a tuple struct";
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<(), RawError>, "an enum";
        serialize_map(Option<usize>) -> Impossible<(), RawError>, "a map";
        serialize_struct(&'static str, usize) -> Impossible<(), RawError>, "a struct";
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<(), RawError>, "an enum";
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A sequence of `u8`.
struct RawSeq<'a>(&'a mut Vec<u8>);

impl RawSeq<'_> {
    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), RawError> {
        self.0.push(element.serialize(OneByte)?);
        Ok(())
    }
}

impl ser::SerializeSeq for RawSeq<'_> {
    type Ok = ();
    type Error = RawError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), RawError> {
        self.push(element)
    }

    fn end(self) -> Result<(), RawError> {
        Ok(())
    }
}

impl ser::SerializeTuple for RawSeq<'_> {
    type Ok = ();
    type Error = RawError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), RawError> {
        self.push(element)
    }

    fn end(self) -> Result<(), RawError> {
        Ok(())
    }
}

/// Takes a `u8` and nothing else.
struct OneByte;

macro_rules! not_a_byte {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, RawError> {
            Err(RawError::not("a sequence of anything but u8", None))
        }
    )*};
}

impl Serializer for OneByte {
    type Ok = u8;
    type Error = RawError;
    type SerializeSeq = Impossible<u8, RawError>;
    type SerializeTuple = Impossible<u8, RawError>;
    type SerializeTupleStruct = Impossible<u8, RawError>;
    type SerializeTupleVariant = Impossible<u8, RawError>;
    type SerializeMap = Impossible<u8, RawError>;
    type SerializeStruct = Impossible<u8, RawError>;
    type SerializeStructVariant = Impossible<u8, RawError>;

    fn serialize_u8(self, byte: u8) -> Result<u8, RawError> {
        Ok(byte)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<u8, RawError> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<u8, RawError> {
        self.serialize_none()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<u8, RawError> {
        self.serialize_none()
    }

    not_a_byte! {
        serialize_bool(bool) -> u8;
        serialize_i8(i8) -> u8;
        serialize_i16(i16) -> u8;
        serialize_i32(i32) -> u8;
        serialize_i64(i64) -> u8;
        serialize_i128(i128) -> u8;
        serialize_u16(u16) -> u8;
        serialize_u32(u32) -> u8;
        serialize_u64(u64) -> u8;
        serialize_u128(u128) -> u8;
        serialize_f32(f32) -> u8;
        serialize_f64(f64) -> u8;
        serialize_char(char) -> u8;
        serialize_str(&str) -> u8;
        serialize_bytes(&[u8]) -> u8;
        serialize_none() -> u8;
        serialize_unit() -> u8;
        serialize_unit_struct(&'static str) -> u8;
        serialize_unit_variant(&'static str, u32, &'static str) -> u8;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

struct RawDeserializer<'de> {
    payload: &'de [u8],
    /// Set until the newtype of this name was asked for; nothing else is given before.
    only: Option<&'static str>,
}

impl<'de> RawDeserializer<'de> {
    /// The payload, if it may be given away now.
    fn bytes(&self) -> Result<&'de [u8], RawError> {
        match self.only {
            None => Ok(self.payload),
            only => Err(RawError::not("other types", only)),
        }
    }
}

/// What is not named here gets the bytes, and its visitor says that it wants something else.
impl<'de> Deserializer<'de> for RawDeserializer<'de> {
    type Error = RawError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RawError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RawError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(de::Error::custom)?;
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RawError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RawError> {
        let mut bytes = SeqDeserializer::new(self.bytes()?.iter().copied());
        let value = visitor.visit_seq(&mut bytes)?;
        // An array of a fixed length takes what it needs; what remains is an error.
        bytes.end().map(|()| value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, RawError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RawError> {
        match self.bytes()? {
            [] => visitor.visit_unit(),
            bytes => visitor.visit_borrowed_bytes(bytes),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, RawError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, RawError> {
        let only = self.only.filter(|only| *only != name);
        visitor.visit_newtype_struct(Self { payload: self.payload, only })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf option
        tuple_struct map struct enum identifier ignored_any
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
