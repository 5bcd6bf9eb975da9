//! `Raw`: a message nobody has decoded, as a value.

mod ends;

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeTuple, Serializer};

pub use self::ends::EndKind;
use crate::attach::{self, AnySender, Attached, Claim, Collected, Ends, TWICE, entry, index_of};
use crate::chan::share;
use crate::codec::{AnyCodec, CodecId};
use crate::error::{RecvError, SendFailure};
use crate::message::{Arrived, Encoded, Message};
use crate::parcel::PayloadBytes;
use crate::sync::{Mutex, lock};
use crate::uncopied::{self, Encoding, join};

/// A message that has not been decoded: codec, payload and what it carries.
///
/// It is a [`Message`] itself: `Sender<Raw>` and `Receiver<Raw>` are the untyped ends of a channel, and a `Raw`
/// in a field of another message keeps its own codec, so that an envelope can be routed without knowing what is
/// in it. Dropping it closes every end it carries.
///
/// ```
/// use libchan::{AnyCodec, Raw};
///
/// let raw = Raw::encode(&("hello", 7), AnyCodec::json())?;
/// assert_eq!(&raw.payload()[..], br#"["hello",7]"#);
/// assert_eq!(raw.decode::<(String, u8)>()?, ("hello".to_owned(), 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Raw {
    codec: AnyCodec,
    payload: Bytes,
    /// Behind a lock because sending works on `&Raw`: an end that arrived is made shareable at the first send.
    ends: Mutex<Ends>,
    /// As they arrived: they go on with it.
    headers: Option<Box<[u8]>>,
}

impl Raw {
    /// Encodes `value`, taking hold of the ends, streams and descriptors in it.
    ///
    /// # Errors
    /// As a send would: the value does not encode, or something in it is in use already.
    pub fn encode<T: Serialize + ?Sized>(value: &T, codec: AnyCodec) -> Result<Self, SendFailure> {
        let mut out = Vec::new();
        let uncopied = Encoding::begin();
        let scope = attach::EncodeScope::enter(codec.placeholder());
        let result = codec.encode(value, &mut out);
        let ends = scope.finish()?;
        result.map_err(|error| SendFailure::Encode(error.to_string()))?;
        let payload = uncopied.parts(&out).map_or_else(|| out.into(), |parts| join(&parts));
        Ok(Self { codec, payload, ends: Mutex::new(ends), headers: None })
    }

    /// Decodes it. Ends in it that `T` does not claim are closed.
    ///
    /// # Errors
    /// [`RecvError::Decode`] if it is no `T`, or its codec is not known here.
    pub fn decode<T: Message>(self) -> Result<T, RecvError> {
        crate::message::decode(Arrived {
            codec: self.codec,
            payload: &self.payload,
            shared: Some(&self.payload),
            headers: None,
            ends: self.ends.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
        })
    }

    /// The codec of the payload.
    pub fn codec(&self) -> CodecId {
        self.codec.id()
    }

    /// The encoded value; attachments are indexes in it.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// How many ends, streams and descriptors it carries.
    pub fn attachments(&self) -> usize {
        lock(&self.ends).len()
    }

    /// What it carries, with another payload: what a conformance test decodes.
    #[doc(hidden)]
    #[must_use]
    pub fn with_payload(self, codec: AnyCodec, payload: Bytes) -> Self {
        Self { codec, payload, ..self }
    }

    pub(crate) fn from_arrived(arrived: Arrived<'_>) -> Self {
        let payload = arrived.shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(arrived.payload));
        Self { codec: arrived.codec, payload, ends: Mutex::new(arrived.ends), headers: arrived.headers }
    }

    pub(crate) fn to_encoded(&self) -> Result<Encoded, SendFailure> {
        let mut ends = lock(&self.ends);
        let handles = ends.iter_mut().map(again).collect::<Result<Ends, _>>()?;
        Ok(Encoded {
            codec: self.codec.clone(),
            ends: handles,
            kept: Some(PayloadBytes::Whole(self.payload.clone())),
            headers: self.headers.clone(),
        })
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("codec", &self.codec().0)
            .field("bytes", &self.payload.len())
            .field("attachments", &self.attachments())
            .finish()
    }
}

/// A payload in a message, which is not copied where it is large.
struct Part(Bytes);

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        uncopied::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        uncopied::deserialize(deserializer).map(Self)
    }
}

/// One attachment of a nested `Raw`, whatever its kind.
struct AnyEnd(Attached);

struct EndList<'a>(&'a Mutex<Ends>);

impl Serialize for EndList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut ends = lock(self.0);
        let mut list = serializer.serialize_seq(Some(ends.len()))?;
        for end in ends.iter_mut() {
            list.serialize_element(&collected(end)?)?;
        }
        list.end()
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(3)?;
        tuple.serialize_element(&self.codec().0)?;
        tuple.serialize_element(&Part(self.payload.clone()))?;
        tuple.serialize_element(&EndList(&self.ends))?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for AnyEnd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        claim_any(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (codec, payload, ends) = <(u8, Part, Vec<AnyEnd>)>::deserialize(deserializer)?;
        Ok(Self {
            codec: CodecId(codec).into(),
            payload: payload.0,
            ends: Mutex::new(ends.into_iter().map(|end| end.0).collect()),
            headers: None,
        })
    }
}

/// A handle for one more attempt to send the same thing, taking hold of it where it can be sent only once.
fn again(end: &mut Attached) -> Result<Attached, SendFailure> {
    share(end);
    match end {
        Attached::Sender(sender) => Ok(Attached::Sender(sender.clone())),
        Attached::Receiver(receiver) => Ok(Attached::Receiver(receiver.clone())),
        // A hold that is here already is the one that moves on; it is taken anew at the next attempt.
        Attached::Stream(core, hold) => match hold.take() {
            Some(hold) => Ok(Attached::Stream(core.clone(), Some(hold))),
            None => Attached::held_stream(core),
        },
        Attached::Descriptor(core, hold) => match hold.take() {
            Some(hold) => Ok(Attached::Descriptor(core.clone(), Some(hold))),
            None => Attached::held_descriptor(core),
        },
        Attached::Unclaimed(_) | Attached::Taken => Err(SendFailure::AttachmentInUse),
    }
}

/// Any attachment of a `Raw` that is itself part of a message.
fn collected<E: serde::ser::Error>(end: &mut Attached) -> Result<Collected, E> {
    share(end);
    match end {
        Attached::Sender(sender) => Collected::sender(sender.clone()),
        Attached::Receiver(receiver) => Collected::receiver(receiver.clone()),
        // The hold of the Raw gives way to that of the message.
        Attached::Stream(core, hold) => {
            drop(hold.take());
            Collected::stream(core)
        }
        Attached::Descriptor(core, hold) => {
            drop(hold.take());
            Collected::descriptor(core)
        }
        Attached::Unclaimed(_) | Attached::Taken => Err(E::custom("an end in the message is in use")),
    }
}

/// Takes an attachment over unclaimed, for a `Raw` nested in the value.
fn claim_any<'de, D: Deserializer<'de>>(d: D) -> Result<Attached, D::Error> {
    let index = index_of(d)?;
    let claimed = entry(index, |entry| {
        share(&mut entry.attached);
        entry.claim = Claim::Moved;
        match &mut entry.attached {
            Attached::Sender(sender) => Ok(Attached::Sender(AnySender::clone(sender))),
            Attached::Receiver(receiver) => Ok(Attached::Receiver(receiver.clone())),
            Attached::Stream(core, _) => Ok(Attached::Stream(core.clone(), None)),
            Attached::Descriptor(core, _) => Ok(Attached::Descriptor(core.clone(), None)),
            Attached::Unclaimed(_) | Attached::Taken => Err(TWICE.to_owned()),
        }
    });
    claimed.map_err(D::Error::custom)
}
