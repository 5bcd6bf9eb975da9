//! Protocol buffers as a *value*: `Proto<M>` is the prost message `M` wherever serde is spoken.
//!
//! prost knows nothing of serde, so a protobuf message is opaque to us: it holds no attachments, and protobuf is no
//! codec for other types.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{CodecError, raw};

/// By this name the codec knows a `Proto` from other bytes. Other codecs ignore a newtype's name.
const NAME: &str = "$libchan::Proto";

/// A prost message as a value: in codec `protobuf` exactly its bytes, in every other codec a byte string.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Proto<M>(pub M);

impl<M> Deref for Proto<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M> DerefMut for Proto<M> {
    fn deref_mut(&mut self) -> &mut M {
        &mut self.0
    }
}

impl<M: prost::Message> Serialize for Proto<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(NAME, &ByteString(self.0.encode_to_vec()))
    }
}

struct ByteString(Vec<u8>);

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, M: prost::Message + Default> Deserialize<'de> for Proto<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, Decode(PhantomData)).map(Self)
    }
}

/// Hands the byte string to prost, without a copy where the codec has it in one piece.
struct Decode<M>(PhantomData<M>);

impl<'de, M: prost::Message + Default> Visitor<'de> for Decode<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a protobuf message")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<M, D::Error> {
        // Not `deserialize_bytes`: ciborium refuses more than its scratch space there.
        deserializer.deserialize_byte_buf(self)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<M, E> {
        M::decode(bytes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<M, A::Error> {
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        M::decode(&*bytes).map_err(A::Error::custom)
    }
}

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    raw::encode_only(value, out, NAME)
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    raw::decode_only(payload, NAME)
}
