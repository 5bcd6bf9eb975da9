//! `Parcel`: a message in its encoded form, on its way through a channel's queue.

use bytes::Bytes;
use libchan_proto::{Flaw, Payload};

use crate::attach::{Attached, Attaches, Ends};
use crate::codec::AnyCodec;
use crate::error::RecvError;
use crate::message::Encoded;
use crate::session::{HeldReply, Leg};
use crate::uncopied::join;

/// A message that nobody has decoded yet, with counted handles on what it carries.
pub(crate) struct Parcel {
    pub(crate) codec: AnyCodec,
    pub(crate) flaw: Flaw,
    pub(crate) payload: PayloadBytes,
    pub(crate) ends: Ends,
    /// Headers of the message as it arrived: they go on with it.
    pub(crate) headers: Option<Box<[u8]>>,
    /// Which session's link its ends are bound to already, after a send that was refused in the last moment.
    pub(crate) bound: Option<Attaches>,
    /// A reply that waits here is counted.
    pub(crate) held: Option<HeldReply>,
    /// It was encoded elsewhere: what goes wrong with it now is a failure to forward it.
    pub(crate) forwarded: bool,
    /// Where it came from, if from a session: credit goes back there when it is taken.
    pub(crate) from: Option<Origin>,
}

/// An encoded value.
#[derive(Clone)]
pub(crate) enum PayloadBytes {
    Whole(Bytes),
    /// One behind the other: some were not copied.
    Parts(Vec<Bytes>),
}

impl PayloadBytes {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Parts(parts) => parts.iter().map(Bytes::len).sum(),
        }
    }

    pub(crate) fn into_whole(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Parts(parts) => join(&parts),
        }
    }

    pub(crate) fn to_payload(&self) -> Payload<'_> {
        match self {
            Self::Whole(bytes) if bytes.len() < SMALL => Payload::Copy(bytes),
            Self::Whole(bytes) => Payload::Share(bytes.clone()),
            Self::Parts(parts) => Payload::Parts(parts.clone()),
        }
    }
}

/// Up to this size a payload is copied rather than counted, in bytes.
const SMALL: usize = 1024;

/// What is owed for a message that came from a session.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) leg: Leg,
    pub(crate) charge: u32,
}

impl Parcel {
    pub(crate) fn encoded(encoded: Encoded, bytes: &[u8]) -> Self {
        let payload = encoded.kept.unwrap_or_else(|| PayloadBytes::Whole(Bytes::copy_from_slice(bytes)));
        Self {
            codec: encoded.codec,
            flaw: Flaw::None,
            payload,
            ends: encoded.ends,
            headers: encoded.headers,
            bound: None,
            held: None,
            forwarded: false,
            from: None,
        }
    }

    /// A message that stands for one that could not be encoded or forwarded.
    pub(crate) fn flawed(flaw: Flaw, text: String, from: Option<Origin>) -> Self {
        let payload = PayloadBytes::Whole(text.into_bytes().into());
        Self {
            codec: AnyCodec::raw(),
            flaw,
            payload,
            ends: Ends::new(),
            headers: None,
            bound: None,
            held: None,
            forwarded: true,
            from,
        }
    }

    /// A second copy, for when a receiver leaves without taking the first, but for what cannot be in two messages: its streams
    /// and descriptors.
    pub(crate) fn clone_countable(&self) -> Self {
        Self {
            codec: self.codec.clone(),
            flaw: self.flaw,
            payload: self.payload.clone(),
            ends: self.ends.iter().filter_map(Attached::clone_countable).collect(),
            headers: self.headers.clone(),
            bound: None,
            held: None,
            forwarded: self.forwarded,
            from: self.from.clone(),
        }
    }
}

/// The error that a flawed message stands for.
pub(crate) fn flaw_error(flaw: Flaw, payload: &[u8]) -> Result<(), RecvError> {
    let text = || String::from_utf8_lossy(payload).into_owned();
    match flaw {
        Flaw::None => Ok(()),
        Flaw::NotEncoded => Err(RecvError::NotEncoded(text())),
        Flaw::NotForwarded => Err(RecvError::NotForwarded(text())),
    }
}
