//! `Body`: what a request, reply, broadcast or event holds.

use std::fmt;

use bytes::Bytes;
use libchan::{AnyCodec, CodecId, Message, Raw};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// The body of a request, reply, broadcast or event: any serde value, or plain bytes.
///
/// A request or reply may hold channel ends, byte streams and descriptors: they work through the relay. A broadcast or
/// event may not, because it goes to many. A binding of another language sees plain bytes as they are, and a value as its
/// encoding.
///
/// ```
/// use libchan_iris::Body;
///
/// let sum = Body::of(&(2, 3))?;
/// assert_eq!(sum.read::<(u64, u64)>()?, (2, 3));
/// let plain = Body::bytes("any binary");
/// assert!(plain.is_bytes());
/// assert_eq!(plain.as_bytes(), b"any binary");
/// # Ok::<(), libchan_iris::Error>(())
/// ```
pub struct Body(Raw);

impl Body {
    /// Encodes a value, and takes hold of the channel ends, streams and descriptors in it.
    ///
    /// # Errors
    /// [`Error::Local`]: the value does not encode, or holds a stream or descriptor that is in use.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Raw::encode(value, AnyCodec::msgpack()).map(Self).map_err(|failure| Error::Local(failure.to_string()))
    }

    /// Plain bytes, as a binding of another language sends and sees them.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Raw::from_parts(CodecId::RAW, bytes.into()))
    }

    /// The value in it. Ends in it for which `T` has no place are closed.
    ///
    /// # Errors
    /// [`Error::NotDecoded`]: it is no `T`.
    pub fn read<T: Message>(self) -> Result<T, Error> {
        self.0.decode().map_err(|error| Error::NotDecoded(error.to_string()))
    }

    /// The bytes: those that were sent, or the encoding of a value.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.payload()
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0.payload().clone()
    }

    /// Whether it is plain bytes, rather than the encoding of a value.
    pub fn is_bytes(&self) -> bool {
        self.0.codec() == CodecId::RAW
    }

    /// How many channel ends, streams and descriptors it holds.
    pub fn ends(&self) -> usize {
        self.0.attachments()
    }

    /// Another one for another receiver. `None`: a stream or descriptor in it has one end only.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        self.0.try_clone().map(Self)
    }

    pub(crate) fn weight(&self) -> usize {
        self.0.payload().len() + 64 * self.ends()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::bytes(bytes)
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Raw::deserialize(deserializer).map(Self)
    }
}

impl crate::core::Weight for Body {
    fn weight(&self) -> usize {
        self.weight()
    }
}
