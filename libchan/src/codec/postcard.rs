//! Postcard: no names, no types, varints. The same source on both sides, or nonsense.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecError;
use super::bounded::{Depth, Within};
use super::limit::Limited;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    postcard::to_io(&Within::<T, false>::new(value, Depth::FULL), out).map(drop).map_err(CodecError::of)
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    let mut deserializer = postcard::Deserializer::from_bytes(payload);
    // Postcard limits neither nesting nor the number of elements that take no bytes at all.
    let elements = Cell::new(payload.len());
    let value = T::deserialize(Limited::new(&mut deserializer, &elements)).map_err(CodecError::of)?;
    let rest = deserializer.finalize().map_err(CodecError::of)?;
    if rest.is_empty() { Ok(value) } else { Err(CodecError::left_over()) }
}
