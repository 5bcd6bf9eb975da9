//! CBOR by ciborium: structs are maps with field names.

use ciborium::{de, ser};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecError;
use super::bounded::{Depth, Within};
use super::limit::MAX_DEPTH;
use super::shape::Outline;

/// What ciborium reads, which counts an enum without data too.
const DEPTH: Depth = Depth::of(127);

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    ciborium::into_writer(&Within::<T, false>::new(value, DEPTH), out).map_err(|error| match error {
        ser::Error::Io(error) => CodecError::of(error),
        ser::Error::Value(text) => CodecError::new(text),
    })
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    let mut rest = payload;
    // ciborium's own texts are Rust's debug form, hence the translation.
    let value = de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH).map_err(|error| match error {
        de::Error::Io(error) => CodecError::of(error),
        de::Error::Syntax(at) => CodecError::new(format!("not CBOR at byte {at}")),
        de::Error::Semantic(_, text) => CodecError::new(text),
        de::Error::RecursionLimitExceeded => CodecError::new("nested too deeply"),
    })?;
    if rest.is_empty() { Ok(value) } else { Err(CodecError::left_over()) }
}

/// What the payload looks like from outside.
pub(super) fn outline(payload: &[u8]) -> Outline {
    de::from_reader_with_recursion_limit(payload, MAX_DEPTH).unwrap_or_default()
}
