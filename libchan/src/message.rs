//! What may cross a session, and how a channel remembers its type once it has.

use std::any::{Any, TypeId};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::attach::{self, EncodeScope, Ends};
use crate::codec::{AnyCodec, CodecError};
use crate::error::{RecvError, SendFailure};
use crate::parcel::PayloadBytes;
use crate::raw::Raw;
use crate::uncopied::{Decoding, Encoding};

/// A value that can cross a session. Every serde type that owns its data is one.
///
/// In one process no bound is needed. A generic type of your own that holds ends needs
/// `#[serde(bound = "")]` on a struct that says `T: Message`, because the derive would add a bound that the
/// one implied by `Message` contradicts:
///
/// ```
/// use libchan::{Message, Sender};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(bound = "")]
/// struct Subscribe<T: Message> {
///     updates: Sender<T>,
/// }
/// ```
///
/// A type that is only sent needs both as well, because an end that its channel has here may be given to somebody in this
/// process, who then decodes. To send what has `Serialize` alone, send a [`Raw`] of it:
///
/// ```
/// # async fn doc(session: libchan::Session) -> Result<(), Box<dyn std::error::Error>> {
/// use libchan::{AnyCodec, Raw};
///
/// let tell = session.open::<Raw>("tell")?;
/// tell.send(Raw::encode(&("name", ["borrowed"]), AnyCodec::msgpack())?).await?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross a session",
    label = "this type is no libchan `Message`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for `{Self}`; it must own its data (no borrowed fields) \
            and be `Send`",
    note = "on a generic struct that names `T: Message`, write `#[serde(bound = \"\")]` besides",
    note = "a value that is only sent can go as `Raw::encode(&value, codec)` through a `Sender<Raw>`"
)]
pub trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

/// A value on its way into a message that is more than bytes in the caller's buffer: it carries ends, or `kept` holds its
/// bytes.
pub(crate) struct Encoded {
    pub(crate) codec: AnyCodec,
    pub(crate) ends: Ends,
    pub(crate) kept: Option<PayloadBytes>,
    /// Of a message that arrived and goes on.
    pub(crate) headers: Option<Box<[u8]>>,
}

impl Encoded {
    /// A plain message after all: nothing but the bytes in the caller's buffer.
    pub(crate) fn plain(codec: &AnyCodec) -> Self {
        Self { codec: codec.clone(), ends: Ends::new(), kept: None, headers: None }
    }
}

/// A message on its way into a value.
pub(crate) struct Arrived<'a> {
    pub(crate) codec: AnyCodec,
    pub(crate) payload: &'a [u8],
    /// The payload again, where it can be kept without a copy.
    pub(crate) shared: Option<&'a Bytes>,
    pub(crate) ends: Ends,
    pub(crate) headers: Option<Box<[u8]>>,
}

/// As [`encode`].
type Encode<T> = fn(&T, &AnyCodec, &mut Vec<u8>) -> Result<Option<Encoded>, SendFailure>;

/// As [`decode_plain`].
type DecodePlain<T> = fn(&AnyCodec, &[u8], &mut Option<T>) -> Result<(), RecvError>;

/// The functions that an unbound `Sender<T>` or `Receiver<T>` needs once its channel has crossed a session.
pub(crate) struct Erased<T> {
    pub(crate) encode: Encode<T>,
    pub(crate) decode: fn(Arrived<'_>) -> Result<T, RecvError>,
    /// The same for a small message that carries nothing, into its place.
    pub(crate) decode_plain: DecodePlain<T>,
}

impl<T: Message> Erased<T> {
    pub(crate) fn of() -> Self {
        Self { encode: encode::<T>, decode: decode::<T>, decode_plain: decode_plain::<T> }
    }
}

/// Encodes `value`, appending to `out`. `None`: a plain message, nothing but these bytes; else the ends that were met in it,
/// or its bytes where they are not in `out`. On failure nothing is bound.
pub(crate) fn encode<T: Message>(
    value: &T,
    codec: &AnyCodec,
    out: &mut Vec<u8>,
) -> Result<Option<Encoded>, SendFailure> {
    if let Some(raw) = (value as &dyn Any).downcast_ref::<Raw>() {
        return raw.to_encoded().map(Some);
    }
    let uncopied = Encoding::begin();
    let scope = EncodeScope::enter(codec.placeholder());
    let result = codec.encode(value, out);
    if result.is_ok() && scope.is_empty() && uncopied.is_empty() {
        scope.close();
        return Ok(None);
    }
    gather(codec, scope, &uncopied, result, out).map(Some)
}

/// What an encoded value is beside the bytes in `out`.
#[inline(never)]
fn gather(
    codec: &AnyCodec,
    scope: EncodeScope,
    uncopied: &Encoding,
    result: Result<(), CodecError>,
    out: &[u8],
) -> Result<Encoded, SendFailure> {
    let ends = scope.finish()?;
    result.map_err(|error| SendFailure::Encode(error.to_string()))?;
    Ok(Encoded {
        codec: codec.clone(),
        ends,
        kept: uncopied.parts(out).map(PayloadBytes::Parts),
        headers: None,
    })
}

/// Decodes a message as `T`. Ends that are not claimed by the value, or all of them on failure, are closed.
pub(crate) fn decode<T: Message>(arrived: Arrived<'_>) -> Result<T, RecvError> {
    if TypeId::of::<T>() == TypeId::of::<Raw>() {
        let raw: Box<dyn Any> = Box::new(Raw::from_arrived(arrived));
        return raw.downcast::<T>().map(|raw| *raw).map_err(|_| RecvError::Decode(String::new()));
    }
    let codec = arrived.codec;
    let _uncopied = arrived.shared.map(Decoding::of);
    let scope = attach::DecodeScope::enter(codec.placeholder(), arrived.ends);
    match codec.decode::<T>(arrived.payload) {
        Ok(value) => {
            scope.settle();
            Ok(value)
        }
        Err(error) => {
            let text = error.to_string();
            scope.discard(&text);
            Err(RecvError::Decode(text))
        }
    }
}

fn decode_plain<T: Message>(
    codec: &AnyCodec,
    payload: &[u8],
    place: &mut Option<T>,
) -> Result<(), RecvError> {
    if TypeId::of::<T>() == TypeId::of::<Raw>() {
        let codec = codec.clone();
        *place = Some(decode(Arrived { codec, payload, shared: None, ends: Ends::new(), headers: None })?);
        return Ok(());
    }
    let scope = attach::DecodeScope::empty(codec.placeholder());
    let decoded = codec.decode::<T>(payload);
    scope.settle();
    match decoded {
        Ok(value) => {
            *place = Some(value);
            Ok(())
        }
        Err(error) => Err(RecvError::Decode(error.to_string())),
    }
}
