//! MessagePack by rmp-serde: structs are maps with field names, so that other languages can read them and types can
//! grow.

use std::cell::Cell;

use rmp_serde::decode::{Deserializer, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CodecError;
use super::bounded::{Depth, Within};
use super::limit::{Limited, MAX_DEPTH};
use super::shape::Outline;
use crate::uncopied::Buffer;

#[inline]
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut serializer = rmp_serde::Serializer::new(Buffer(out)).with_struct_map();
    Within::<T, false>::new(value, Depth::FULL).serialize(&mut serializer).map_err(CodecError::of)
}

#[inline]
pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    let mut deserializer = Deserializer::from_read_ref(payload);
    // It stops when the count reaches 0.
    deserializer.set_max_depth(MAX_DEPTH + 1);
    // rmp-serde counts arrays and maps but not enums, and a nested enum takes two bytes a level: `Limited` counts all.
    let elements = Cell::new(payload.len());
    let value = T::deserialize(Limited::new(&mut deserializer, &elements)).map_err(CodecError::of)?;
    // The reader does not say what is left. Asking for one more value fails on its first byte if nothing is; a bool,
    // because that request descends into nothing.
    match bool::deserialize(&mut deserializer) {
        Err(Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(CodecError::left_over()),
    }
}

/// What the payload looks like from outside.
pub(super) fn outline(payload: &[u8]) -> Outline {
    let mut deserializer = Deserializer::from_read_ref(payload);
    deserializer.set_max_depth(MAX_DEPTH);
    Outline::deserialize(&mut deserializer).unwrap_or_default()
}
