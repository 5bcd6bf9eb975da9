//! How values become bytes: the codecs, their global ids, and the trait for a codec of your own.
//!
//! A session names its codecs in its hello; every message names the one it was written with. Four codecs are always
//! there, three more come by feature:
//!
//! | id | codec | feature | describes itself | place of an attachment |
//! |---|---|---|---|---|
//! | 0 | `raw` | | no: bytes, text | none |
//! | 1 | `msgpack`, the default | | yes | ext type 1: `d4 01 ii` |
//! | 2 | `json` | | yes | `{"$libchan":i}` |
//! | 3 | `cbor` | | yes | `{"$libchan":i}` |
//! | 4 | `postcard` | `postcard` | no | varint |
//! | 5 | `xml` | `xml` | partly | `<libchan:ref xmlns:libchan="urn:libchan:1" index="i"/>` |
//! | 6 | `protobuf` | `protobuf` | no | none |
//!
//! Ids 192 to 255 are for private use. A codec that does not describe itself needs **the same source on both sides**:
//! with it a changed type can decode to nonsense instead of an error.
//!
//! # Limits
//! Every codec refuses a payload that nests more than [`MAX_DEPTH`] sequences, maps and enums, that claims lengths it
//! does not have, or that has bytes left over. None of them allocates by a claimed length alone. A value that nests deeper
//! is refused when it is sent (JSON, CBOR and XML take one level less).
//! * `msgpack`, `json` and `cbor` write an option as what is in it, so `Some(None)` and `Some(())` arrive as `None`. With
//!   serde's `flatten`, an `Option` field of `None` inside the flattened struct may arrive as `Some`. In one process, and over
//!   `mem:`, values are not encoded and arrive as they are.
//! * `json` has no NaN and no infinity: they are refused when sent. Bytes are arrays of numbers in it, and map keys text.
//! * Ends are found by types that have a place for them. A field of `serde_json::Value` drops them; use [`Value`].
//! * A `Vec<u8>` is a sequence of numbers to serde: up to twice its size, and slow. Annotate it `#[serde(with =
//!   "serde_bytes")]`, or make it [`bytes::Bytes`] with [`libchan::uncopied`](crate::uncopied) where it is large.
//! * `postcard` writes neither names nor types. Serde's `flatten` fails when sent; `untagged`, `tag = ".."` and
//!   `tag = "..", content = ".."` fail when received; `skip_serializing_if` is not noticed and decodes to nonsense.
//! * `xml` is a best effort for talking to people who have XML: no bytes, map keys that are XML names only, enums with
//!   data (`Result` too) only as the whole message or in fields renamed to `$value`. An empty sequence is an absent
//!   field and needs `#[serde(default)]`; an option needs `skip_serializing_if = "Option::is_none"` besides.
//!   `flatten`, `untagged` and `tag = ".."` work only if what they buffer is an attachment or a tag, not text or
//!   numbers. A sequence directly inside a sequence flows into it, **without an error**.
//! * `raw` carries one byte string (or text) and no attachments.
//! * `protobuf` carries `Proto<M>` values and no attachments.
//!
//! # A codec of your own
//! ```ignore
//! use libchan::codec::{AnyCodec, Codec, CodecError, CodecId, Placeholder};
//!
//! /// JSON with line breaks, for reading along.
//! struct PrettyJson;
//!
//! impl Codec for PrettyJson {
//!     fn id(&self) -> CodecId { CodecId(200) }
//!     fn name(&self) -> &str { "pretty-json" }
//!     fn placeholder(&self) -> Placeholder { Placeholder::Map }
//!
//!     fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
//!         serde_json::to_writer_pretty(out, value).map_err(|e| CodecError::new(e.to_string()))
//!     }
//!
//!     fn decode(
//!         &self,
//!         payload: &[u8],
//!         read: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>,
//!     ) -> Result<(), CodecError> {
//!         let mut json = serde_json::Deserializer::from_slice(payload);
//!         read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut json))?;
//!         json.end().map_err(|e| CodecError::new(e.to_string()))
//!     }
//! }
//!
//! let codec = AnyCodec::custom(PrettyJson)?;
//! ```

mod any;
mod bounded;
mod cbor;
mod json;
mod limit;
mod msgpack;
mod placeholder;
#[cfg(feature = "postcard")]
mod postcard;
#[cfg(feature = "protobuf")]
mod protobuf;
mod raw;
mod shape;
#[cfg(test)]
mod tests;
mod value;
#[cfg(feature = "xml")]
mod xml;

use std::fmt;

pub use any::AnyCodec;
pub use limit::MAX_DEPTH;
pub use placeholder::Placeholder;
pub(crate) use placeholder::{deserialize_index, serialize_index};
#[cfg(feature = "protobuf")]
pub use protobuf::Proto;
pub use value::Value;

/// The global id of a codec, named by every message.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct CodecId(pub u8);

impl CodecId {
    /// Bytes as they are.
    pub const RAW: Self = Self(0);
    /// MessagePack, structs as maps with field names.
    pub const MSGPACK: Self = Self(1);
    /// JSON.
    pub const JSON: Self = Self(2);
    /// CBOR, structs as maps with field names.
    pub const CBOR: Self = Self(3);
    /// Postcard.
    pub const POSTCARD: Self = Self(4);
    /// XML.
    pub const XML: Self = Self(5);
    /// Protocol buffers.
    pub const PROTOBUF: Self = Self(6);

    /// True for the ids that no registry will ever give away: 192 to 255.
    pub const fn is_private_use(self) -> bool {
        self.0 >= 192
    }
}

impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A codec of your own, for [`AnyCodec::custom`]. See the [module documentation](self) for an example.
///
/// Both sides must register it under the same id. It may be called from several threads at once, and from inside
/// itself, when a value's `Serialize` encodes another value.
pub trait Codec: Send + Sync + 'static {
    /// The id that messages carry: 192 to 255.
    fn id(&self) -> CodecId;

    /// The name that error texts use.
    fn name(&self) -> &str;

    /// How an attachment's index is written inside a payload of this codec.
    fn placeholder(&self) -> Placeholder;

    /// Appends the encoded `value` to `out`. After an error the caller drops what was appended.
    fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Calls `read` once with a deserializer over `payload`, and fails if bytes are left over.
    ///
    /// The payload comes from the peer: lengths in it are claims. Nesting is limited by the caller.
    fn decode(
        &self,
        payload: &[u8],
        read: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError>;
}

/// What went wrong while encoding or decoding, as text for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodecError(String);

impl CodecError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text of anything that can be shown.
    fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// The value was read and the payload goes on.
    fn left_over() -> Self {
        Self::new("bytes are left over after the value")
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

impl From<erased_serde::Error> for CodecError {
    fn from(error: erased_serde::Error) -> Self {
        Self::of(error)
    }
}
