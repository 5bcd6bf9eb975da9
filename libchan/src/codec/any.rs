//! A codec as sessions name it. The built-in ones are dispatched statically, so that a small message costs no virtual
//! call a field; plug-ins go through [`Codec`] and erased serde.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bounded::{Depth, Within};
use super::limit::Limited;
#[cfg(feature = "postcard")]
use super::postcard;
#[cfg(feature = "protobuf")]
use super::protobuf;
#[cfg(feature = "xml")]
use super::xml;
use super::{Codec, CodecError, CodecId, Placeholder, cbor, json, msgpack, raw, shape};

fn not_known(id: CodecId) -> CodecError {
    CodecError::new(format!("codec {id} is not known here"))
}

/// One of the built-in codecs, or a [`Codec`] of your own. Cheap to clone.
#[derive(Clone)]
pub struct AnyCodec(Inner);

#[derive(Clone)]
enum Inner {
    Raw,
    Msgpack,
    Json,
    Cbor,
    #[cfg(feature = "postcard")]
    Postcard,
    #[cfg(feature = "xml")]
    Xml,
    #[cfg(feature = "protobuf")]
    Protobuf,
    Custom(Arc<dyn Codec>),
    /// Named by a message and not known here: such a message can be forwarded, not decoded.
    Unknown(CodecId),
}

impl AnyCodec {
    /// Bytes as they are: values that serialise as bytes, text, a sequence of `u8`, nothing, or a newtype of these.
    pub const fn raw() -> Self {
        Self(Inner::Raw)
    }

    /// MessagePack with field names: the default.
    pub const fn msgpack() -> Self {
        Self(Inner::Msgpack)
    }

    /// JSON.
    pub const fn json() -> Self {
        Self(Inner::Json)
    }

    /// CBOR with field names.
    pub const fn cbor() -> Self {
        Self(Inner::Cbor)
    }

    /// Postcard: the smallest payloads, for the same source on both sides.
    #[cfg(feature = "postcard")]
    pub const fn postcard() -> Self {
        Self(Inner::Postcard)
    }

    /// XML, as far as serde's data model fits it.
    #[cfg(feature = "xml")]
    pub const fn xml() -> Self {
        Self(Inner::Xml)
    }

    /// Protocol buffers: only for channels of [`Proto`](super::Proto) values.
    #[cfg(feature = "protobuf")]
    pub const fn protobuf() -> Self {
        Self(Inner::Protobuf)
    }

    /// A codec of your own.
    ///
    /// # Errors
    /// Its id is not for private use: 192 to 255.
    pub fn custom(codec: impl Codec) -> Result<Self, CodecError> {
        let id = codec.id();
        if !id.is_private_use() {
            let name = codec.name();
            return Err(CodecError::new(format!("codec {name} has id {id}: use one of 192 to 255")));
        }
        Ok(Self(Inner::Custom(Arc::new(codec))))
    }

    /// A built-in codec by its id. `None`: unknown, or its feature is off.
    pub fn builtin(id: CodecId) -> Option<Self> {
        Some(match id {
            CodecId::RAW => Self::raw(),
            CodecId::MSGPACK => Self::msgpack(),
            CodecId::JSON => Self::json(),
            CodecId::CBOR => Self::cbor(),
            #[cfg(feature = "postcard")]
            CodecId::POSTCARD => Self::postcard(),
            #[cfg(feature = "xml")]
            CodecId::XML => Self::xml(),
            #[cfg(feature = "protobuf")]
            CodecId::PROTOBUF => Self::protobuf(),
            _ => return None,
        })
    }

    /// A codec that a message names and nobody here knows.
    pub(crate) const fn unknown(id: CodecId) -> Self {
        Self(Inner::Unknown(id))
    }

    /// The id that messages carry.
    pub fn id(&self) -> CodecId {
        match &self.0 {
            Inner::Raw => CodecId::RAW,
            Inner::Msgpack => CodecId::MSGPACK,
            Inner::Json => CodecId::JSON,
            Inner::Cbor => CodecId::CBOR,
            #[cfg(feature = "postcard")]
            Inner::Postcard => CodecId::POSTCARD,
            #[cfg(feature = "xml")]
            Inner::Xml => CodecId::XML,
            #[cfg(feature = "protobuf")]
            Inner::Protobuf => CodecId::PROTOBUF,
            Inner::Custom(codec) => codec.id(),
            Inner::Unknown(id) => *id,
        }
    }

    /// The name that error texts use.
    pub fn name(&self) -> &str {
        match &self.0 {
            Inner::Raw => "raw",
            Inner::Msgpack => "msgpack",
            Inner::Json => "json",
            Inner::Cbor => "cbor",
            #[cfg(feature = "postcard")]
            Inner::Postcard => "postcard",
            #[cfg(feature = "xml")]
            Inner::Xml => "xml",
            #[cfg(feature = "protobuf")]
            Inner::Protobuf => "protobuf",
            Inner::Custom(codec) => codec.name(),
            Inner::Unknown(_) => "unknown",
        }
    }

    /// How an attachment's index is written inside a payload.
    pub fn placeholder(&self) -> Placeholder {
        match &self.0 {
            Inner::Raw => Placeholder::None,
            Inner::Msgpack => Placeholder::Ext,
            Inner::Json | Inner::Cbor => Placeholder::Map,
            #[cfg(feature = "postcard")]
            Inner::Postcard => Placeholder::Index,
            #[cfg(feature = "xml")]
            Inner::Xml => Placeholder::Element,
            #[cfg(feature = "protobuf")]
            Inner::Protobuf => Placeholder::None,
            Inner::Custom(codec) => codec.placeholder(),
            Inner::Unknown(_) => Placeholder::None,
        }
    }

    /// Appends the encoded value to `out`; after an error `out` is as it was.
    ///
    /// For bytes that are kept or sent later: [`Raw::from_parts`](crate::Raw::from_parts) makes a message of them.
    ///
    /// # Errors
    /// The codec has no form for the value, it nests deeper than [`MAX_DEPTH`](super::MAX_DEPTH), or it holds a channel
    /// end, a stream or a descriptor: these need a message, so use [`Raw::encode`](crate::Raw::encode) for such a value.
    #[inline]
    pub fn encode<T: Serialize + ?Sized>(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let start = out.len();
        let done = match &self.0 {
            Inner::Msgpack => msgpack::encode(value, out),
            Inner::Raw => raw::encode(value, out),
            Inner::Json => json::encode(value, out),
            Inner::Cbor => cbor::encode(value, out),
            #[cfg(feature = "postcard")]
            Inner::Postcard => postcard::encode(value, out),
            #[cfg(feature = "xml")]
            Inner::Xml => xml::encode(value, out),
            #[cfg(feature = "protobuf")]
            Inner::Protobuf => protobuf::encode(value, out),
            Inner::Custom(codec) => codec.encode(&Within::<T, false>::new(value, Depth::FULL), out),
            Inner::Unknown(id) => return Err(not_known(*id)),
        };
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// Decodes a whole payload. The error names the outermost shape of `T` and of the payload.
    ///
    /// # Errors
    /// The payload is no `T`, or it names a channel end, a stream or a descriptor: use
    /// [`Raw::decode`](crate::Raw::decode) for what arrived with a message.
    #[inline]
    pub fn decode<T: DeserializeOwned>(&self, payload: &[u8]) -> Result<T, CodecError> {
        let decoded = match &self.0 {
            Inner::Msgpack => msgpack::decode(payload),
            Inner::Raw => raw::decode(payload),
            Inner::Json => json::decode(payload),
            Inner::Cbor => cbor::decode(payload),
            #[cfg(feature = "postcard")]
            Inner::Postcard => postcard::decode(payload),
            #[cfg(feature = "xml")]
            Inner::Xml => xml::decode(payload),
            #[cfg(feature = "protobuf")]
            Inner::Protobuf => protobuf::decode(payload),
            Inner::Custom(codec) => decode_custom(&**codec, payload),
            Inner::Unknown(id) => return Err(not_known(*id)),
        };
        decoded.map_err(|error| self.mismatch(shape::of_type::<T>(), payload, error))
    }

    /// "expected .., got ..: what serde said".
    #[cold]
    fn mismatch(&self, expected: Option<String>, payload: &[u8], error: CodecError) -> CodecError {
        let seen = match &self.0 {
            _ if payload.is_empty() => Some("an empty payload".to_owned()),
            Inner::Msgpack => msgpack::outline(payload).into_text(),
            Inner::Json => json::outline(payload).into_text(),
            Inner::Cbor => cbor::outline(payload).into_text(),
            _ => None,
        };
        let got = seen.unwrap_or_else(|| format!("{} bytes of {}", payload.len(), self.name()));
        let why = shape::shortened(&error.0, 256);
        CodecError::new(match expected {
            Some(expected) => format!("expected {expected}, got {got}: {why}"),
            None => format!("got {got}: {why}"),
        })
    }
}

/// Reads a `T` through a plug-in, with a limit on nesting that the plug-in need not know about.
fn decode_custom<T: DeserializeOwned>(codec: &dyn Codec, payload: &[u8]) -> Result<T, CodecError> {
    let mut value = None;
    // A plug-in may compress, so the payload's length says nothing about how much it holds.
    let elements = Cell::new(usize::MAX);
    codec.decode(payload, &mut |deserializer| {
        value = Some(T::deserialize(Limited::new(deserializer, &elements))?);
        Ok(())
    })?;
    value.ok_or_else(|| CodecError::new(format!("codec {} did not read the value", codec.name())))
}

impl From<CodecId> for AnyCodec {
    /// A built-in codec by its id. A message of an id that is not known here can be sent and forwarded, not decoded.
    fn from(id: CodecId) -> Self {
        Self::builtin(id).unwrap_or_else(|| Self::unknown(id))
    }
}

impl fmt::Debug for AnyCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyCodec({} {})", self.id(), self.name())
    }
}
