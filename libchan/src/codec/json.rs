//! JSON by serde_json, which limits nesting to 128 levels by itself.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CodecError;
use super::shape::Outline;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    serde_json::to_writer(out, value).map_err(CodecError::of)
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    // `from_slice` refuses what is left over.
    serde_json::from_slice(payload).map_err(CodecError::of)
}

/// What the payload looks like from outside.
pub(super) fn outline(payload: &[u8]) -> Outline {
    Outline::deserialize(&mut serde_json::Deserializer::from_slice(payload)).unwrap_or_default()
}
