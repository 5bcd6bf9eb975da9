//! XML by quick-xml: a best effort, for talking to people who have XML.

use std::cell::Cell;
use std::fmt;

use quick_xml::de::Deserializer;
use quick_xml::se::Serializer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecError;
use super::bounded::{Depth, Within};
use super::limit::{Limited, MAX_DEPTH};

/// What quick-xml reads, which counts elements.
const DEPTH: Depth = Depth::of(127);

/// The name of the outermost element. Readers accept any.
const ROOT: &str = "message";

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut text = Text(out);
    let serializer = Serializer::with_root(&mut text, Some(ROOT)).map_err(CodecError::of)?;
    Within::<T, false>::new(value, DEPTH).serialize(serializer).map(drop).map_err(CodecError::of)
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    let text = std::str::from_utf8(payload).map_err(CodecError::of)?;
    // A line break at the end of a file is no part of the document.
    let mut deserializer = Deserializer::from_str(text.trim_end());
    deserializer.recursion_limit(MAX_DEPTH);
    // quick-xml counts elements. A sequence directly in a sequence takes no element, so a type that is a sequence of
    // itself would recurse for ever: `Limited` counts those.
    let elements = Cell::new(payload.len());
    let value = T::deserialize(Limited::new(&mut deserializer, &elements)).map_err(CodecError::of)?;
    if deserializer.is_empty() { Ok(value) } else { Err(CodecError::left_over()) }
}

/// quick-xml writes text and we keep bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
