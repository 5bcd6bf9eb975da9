//! What is sent: `{id, kind, body}`, as a value through msgpack or as bytes without a codec.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The message of every workload. The body encodes as msgpack `bin`, decodes into memory of its own, and is cloned
/// without a copy, so that making the value to be sent costs no contender anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    pub id: u64,
    pub kind: u32,
    pub body: Bytes,
}

impl Item {
    pub fn small() -> Self {
        Self { id: 7, kind: 70_000, body: Bytes::from_static(&[7; 64]) }
    }

    pub fn bulk(size: usize) -> Self {
        // Leaked once a run: a static body is cloned without touching a reference count.
        Self { id: 7, kind: 70_000, body: Bytes::from_static(vec![7; size].leak()) }
    }
}

/// How a raw contender turns its message into the bytes of a frame.
pub trait Coding: Send + Sync + 'static {
    type Message: Clone + Send + 'static;
    fn small() -> Self::Message;
    fn put(message: &Self::Message, out: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self::Message;
}

/// No codec: as many bytes as the small item has in msgpack, copied.
pub struct Plain;

/// The length of the small item in msgpack; a test of `Msgpack` below holds it true.
pub const SMALL: usize = 86;

impl Coding for Plain {
    type Message = [u8; SMALL];

    fn small() -> Self::Message {
        [7; SMALL]
    }

    fn put(message: &Self::Message, out: &mut Vec<u8>) {
        out.extend_from_slice(message);
    }

    fn get(bytes: &[u8]) -> Self::Message {
        bytes.try_into().expect("a frame of the small size")
    }
}

/// The codec that libchan uses: rmp-serde, structs as maps with names.
pub struct Msgpack;

impl Coding for Msgpack {
    type Message = Item;

    fn small() -> Item {
        Item::small()
    }

    fn put(message: &Item, out: &mut Vec<u8>) {
        let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
        message.serialize(&mut serializer).expect("encodes");
    }

    fn get(bytes: &[u8]) -> Item {
        rmp_serde::from_slice(bytes).expect("decodes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_frames_are_as_long_as_encoded_ones() {
        let mut out = Vec::new();
        Msgpack::put(&Item::small(), &mut out);
        assert_eq!(out.len(), SMALL);
    }
}
