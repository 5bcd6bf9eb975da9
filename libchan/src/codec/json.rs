//! JSON by serde_json, which limits what it reads to 127 levels by itself.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CodecError;
use super::bounded::{Depth, Within};
use super::shape::Outline;

/// What serde_json reads.
const DEPTH: Depth = Depth::of(127);

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    // serde_json writes NaN as null, which reads as a number nowhere.
    serde_json::to_writer(out, &Within::<T, true>::new(value, DEPTH)).map_err(CodecError::of)
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    // `from_slice` refuses what is left over.
    serde_json::from_slice(payload).map_err(CodecError::of)
}

/// What the payload looks like from outside.
pub(super) fn outline(payload: &[u8]) -> Outline {
    Outline::deserialize(&mut serde_json::Deserializer::from_slice(payload)).unwrap_or_default()
}
