//! Byte strings that are not copied on their way: for `#[serde(with = "libchan::uncopied")]` on a field of [`Bytes`].
//!
//! serde shows an encoder bytes by reference, and has the decoder copy what it keeps. With this module a large field leaves
//! as it is (its memory is held until it is written), and what arrives is a part of the message's memory. On the wire it is
//! what it would be without. Worth it from some 64 KiB on; small fields are copied all the same.
//!
//! Both directions need the `msgpack` codec, the default; with others, bytes are copied where they would be. A part that
//! arrived holds the memory of its whole message.
//!
//! ```
//! use bytes::Bytes;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Chunk {
//!     offset: u64,
//!     #[serde(with = "libchan::uncopied")]
//!     data: Bytes,
//! }
//! ```

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

/// The least that is not copied, in bytes.
const LARGE: usize = 8 * 1024;

thread_local! {
    /// What [`serialize`] is showing a serializer now.
    static SHOWN: Cell<Option<Bytes>> = const { Cell::new(None) };
    /// How many there are in `LEFT_OUT`: for most messages this is all that is looked at.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// What encoders have left out, of all messages that are being encoded on this thread, with the place in the buffer.
    static LEFT_OUT: RefCell<Vec<(usize, Bytes)>> = const { RefCell::new(Vec::new()) };
    /// The message that is being decoded, if it is large.
    static MESSAGE: Cell<Option<Bytes>> = const { Cell::new(None) };
}

/// Serialises `bytes` as serde's byte string.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    if bytes.len() < LARGE {
        return serializer.serialize_bytes(bytes);
    }
    SHOWN.set(Some(bytes.clone()));
    let result = serializer.serialize_bytes(bytes);
    SHOWN.set(None);
    result
}

/// Deserialises a byte string.
///
/// # Errors
/// The deserializer's.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    deserializer.deserialize_byte_buf(Part)
}

// ---- leaving

/// The buffer of an encoder that can leave bytes out.
pub(crate) struct Buffer<'a>(pub(crate) &'a mut Vec<u8>);

impl Write for Buffer<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() < LARGE || !leave_out(bytes, self.0.len()) {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Notes that `bytes` belong at `place` if they are those that are being shown.
#[cold]
fn leave_out(bytes: &[u8], place: usize) -> bool {
    let Some(shown) = SHOWN.take() else { return false };
    if (shown.as_ptr(), shown.len()) != (bytes.as_ptr(), bytes.len()) {
        SHOWN.set(Some(shown));
        return false;
    }
    LEFT_OUT.with_borrow_mut(|left_out| left_out.push((place, shown)));
    COUNT.set(COUNT.get() + 1);
    true
}

/// The encoding of one message. They nest: user code may send while it is being serialised.
pub(crate) struct Encoding {
    /// How much was left out of those around it.
    before: usize,
}

impl Encoding {
    #[inline]
    pub(crate) fn begin() -> Self {
        Self { before: COUNT.get() }
    }

    /// Whether nothing was left out so far.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        COUNT.get() == self.before
    }

    /// The message in parts, if something was left out of `buffer`, which it begins.
    pub(crate) fn parts(&self, buffer: &[u8]) -> Option<Vec<Bytes>> {
        if self.is_empty() { None } else { Some(self.take(buffer)) }
    }

    fn left_out(&self) -> Vec<(usize, Bytes)> {
        COUNT.set(self.before);
        LEFT_OUT.with_borrow_mut(|all| all.split_off(self.before))
    }

    #[cold]
    fn take(&self, buffer: &[u8]) -> Vec<Bytes> {
        let left_out = self.left_out();
        let mut parts = Vec::with_capacity(2 * left_out.len() + 1);
        let mut at = 0;
        for (place, bytes) in left_out {
            parts.push(Bytes::copy_from_slice(&buffer[at..place]));
            parts.push(bytes);
            at = place;
        }
        parts.push(Bytes::copy_from_slice(&buffer[at..]));
        parts.retain(|part| !part.is_empty());
        parts
    }
}

impl Drop for Encoding {
    #[inline]
    fn drop(&mut self) {
        // It did not encode, or panicked.
        if !self.is_empty() {
            drop(self.left_out());
        }
    }
}

/// The whole of a message in parts.
pub(crate) fn join(parts: &[Bytes]) -> Bytes {
    parts.concat().into()
}

// ---- arriving

/// A large message that is being decoded.
pub(crate) struct Decoding {
    outer: Option<Bytes>,
}

impl Decoding {
    pub(crate) fn of(message: &Bytes) -> Self {
        Self { outer: MESSAGE.replace(Some(message.clone())) }
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        MESSAGE.set(self.outer.take());
    }
}

/// The same bytes, as a part of the message that is being decoded if they are in it and most of it.
fn kept(bytes: &[u8]) -> Bytes {
    if bytes.len() < LARGE {
        return Bytes::copy_from_slice(bytes);
    }
    let message = MESSAGE.take();
    let part = message.as_ref().and_then(|message| {
        let from = (bytes.as_ptr() as usize).checked_sub(message.as_ptr() as usize)?;
        let to = from.checked_add(bytes.len()).filter(|to| *to <= message.len())?;
        // A small part would hold the memory of all of it.
        (2 * bytes.len() >= message.len()).then(|| message.slice(from..to))
    });
    MESSAGE.set(message);
    part.unwrap_or_else(|| Bytes::copy_from_slice(bytes))
}

struct Part;

impl<'de> Visitor<'de> for Part {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("byte array")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(kept(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(bytes.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Bytes, A::Error> {
        Vec::<u8>::deserialize(SeqAccessDeserializer::new(seq)).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests;
