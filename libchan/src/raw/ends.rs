//! What a `Raw` carries, one by one: kinds, copies, and ends taken by their index.

use std::fmt;
use std::sync::PoisonError;

use bytes::Bytes;
use libchan_proto::Kind;
use serde::de::value::{Error, U32Deserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::Raw;
use crate::attach::{Attached, DecodeScope, Ends, wrong_kind};
use crate::chan::share;
use crate::codec::{AnyCodec, Placeholder};
use crate::error::RecvError;
use crate::fd::Fd;
use crate::message::Message;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::stream::ByteStream;
use crate::sync::{Mutex, lock};

/// What an attachment of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndKind {
    /// A [`Sender`].
    Sender,
    /// A [`Receiver`].
    Receiver,
    /// A [`ByteStream`]; over a link that passes no descriptors, an [`Fd`] arrives as one too.
    Stream,
    /// An [`Fd`].
    Descriptor,
    /// It was taken already.
    Taken,
}

impl EndKind {
    pub(crate) fn of(attached: &Attached) -> Self {
        let kind = match attached {
            Attached::Sender(_) => return Self::Sender,
            Attached::Receiver(_) => return Self::Receiver,
            Attached::Stream(..) => return Self::Stream,
            Attached::Descriptor(..) => return Self::Descriptor,
            Attached::Taken => return Self::Taken,
            Attached::Unclaimed(unclaimed) => unclaimed.kind(),
        };
        match kind {
            Some(Kind::Sender | Kind::SenderHome) => Self::Sender,
            Some(Kind::Receiver) => Self::Receiver,
            Some(Kind::Stream) => Self::Stream,
            Some(Kind::Descriptor) => Self::Descriptor,
            None => Self::Taken,
        }
    }
}

impl fmt::Display for EndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sender => "a Sender",
            Self::Receiver => "a Receiver",
            Self::Stream => "a ByteStream",
            Self::Descriptor => "an Fd",
            Self::Taken => "already taken",
        })
    }
}

impl Raw {
    /// A message of bytes that are encoded already. It carries nothing; a message that carries ends is made by
    /// [`encode`](Self::encode), also of a [`codec::Value`](crate::codec::Value).
    ///
    /// `codec` is an [`AnyCodec`] or a [`CodecId`](crate::CodecId). The bytes are not checked and not copied: if they are no
    /// message of that codec, the receiver sees a decode error.
    ///
    /// ```
    /// use libchan::{CodecId, Raw};
    ///
    /// let raw = Raw::from_parts(CodecId::JSON, r#"["hello",7]"#);
    /// assert_eq!(raw.decode::<(String, u8)>()?, ("hello".to_owned(), 7));
    /// # Ok::<(), libchan::RecvError>(())
    /// ```
    pub fn from_parts(codec: impl Into<AnyCodec>, payload: impl Into<Bytes>) -> Self {
        Self { codec: codec.into(), payload: payload.into(), ends: Mutex::new(Ends::new()), headers: None }
    }

    /// Another message of the same payload, which is shared and not copied, with clones of its channel ends. `None` if it
    /// carries a byte stream or a descriptor, of which there is only one.
    ///
    /// To publish one value to many, encode it once and send a clone to each:
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use libchan::{AnyCodec, Raw, pipe};
    ///
    /// let (to_first, first) = pipe::<Raw>();
    /// let (to_second, second) = pipe::<Raw>();
    /// let news = Raw::encode("it rains", AnyCodec::msgpack())?;
    /// for subscriber in [&to_first, &to_second] {
    ///     let copy = news.try_clone().expect("a text holds no stream");
    ///     subscriber.send(copy).await?;
    /// }
    /// # for receiver in [first, second] {
    /// #     let news = receiver.recv().await?.expect("it was sent");
    /// #     assert_eq!(news.decode::<String>()?, "it rains");
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn try_clone(&self) -> Option<Self> {
        let mut ends = lock(&self.ends);
        // Looked at before anything is shared: what cannot be cloned stays as it is.
        if !ends.iter().all(|end| matches!(EndKind::of(end), EndKind::Sender | EndKind::Receiver)) {
            return None;
        }
        let clone = |end: &mut Attached| {
            share(end);
            end.clone_countable()
        };
        let clones = ends.iter_mut().map(clone).collect::<Option<Ends>>()?;
        Some(Self {
            codec: self.codec.clone(),
            payload: self.payload.clone(),
            ends: Mutex::new(clones),
            headers: self.headers.clone(),
        })
    }

    /// What it carries, in the order of the indexes in the payload.
    pub fn ends(&self) -> Vec<EndKind> {
        lock(&self.ends).iter().map(EndKind::of).collect()
    }

    /// Takes the sender at `index` out of the message. What is sent through it is encoded with the codec of its session.
    ///
    /// A message of which something was taken can still be decoded as a type that does not name it, and cannot be sent.
    ///
    /// # Errors
    /// [`RecvError::Decode`] if there is no such attachment, it is of another kind, or it was taken before. The message is
    /// unharmed.
    pub fn take_sender<T: Message>(&mut self, index: usize) -> Result<Sender<T>, RecvError> {
        self.take(index, EndKind::Sender)
    }

    /// Takes the receiver at `index` out of the message. Its messages are decoded as `T`, with the codec that each names.
    ///
    /// # Errors
    /// As [`take_sender`](Self::take_sender).
    pub fn take_receiver<T: Message>(&mut self, index: usize) -> Result<Receiver<T>, RecvError> {
        self.take(index, EndKind::Receiver)
    }

    /// Takes the byte stream at `index` out of the message. A descriptor that arrived can be taken as a stream too.
    ///
    /// # Errors
    /// As [`take_sender`](Self::take_sender), or the stream is in use in another message.
    pub fn take_stream(&mut self, index: usize) -> Result<ByteStream, RecvError> {
        self.take(index, EndKind::Stream)
    }

    /// Takes the descriptor at `index` out of the message. A stream that arrived can be taken as a descriptor too.
    ///
    /// # Errors
    /// As [`take_sender`](Self::take_sender), or the descriptor is in use in another message.
    pub fn take_fd(&mut self, index: usize) -> Result<Fd, RecvError> {
        self.take(index, EndKind::Descriptor)
    }

    fn take<T: DeserializeOwned>(&mut self, index: usize, wanted: EndKind) -> Result<T, RecvError> {
        let ends = self.ends.get_mut().unwrap_or_else(PoisonError::into_inner);
        let count = ends.len();
        let Some(end) = ends.get_mut(index) else {
            let text = format!("attachment {index} is not in the message, which has {count}");
            return Err(RecvError::Decode(text));
        };
        if !fits(end, wanted) {
            return Err(RecvError::Decode(wrong_kind(end, &wanted.to_string())));
        }
        let taken: Ends = std::iter::once(std::mem::replace(end, Attached::Taken)).collect();
        let scope = DecodeScope::enter(Placeholder::Index, taken);
        let only: U32Deserializer<Error> = 0_u32.into_deserializer();
        match T::deserialize(only) {
            Ok(end) => {
                scope.settle();
                Ok(end)
            }
            Err(why) => Err(RecvError::Decode(why.to_string())),
        }
    }
}

/// Whether an attachment can be taken as what is wanted.
fn fits(attached: &Attached, wanted: EndKind) -> bool {
    match (attached, EndKind::of(attached)) {
        (_, kind) if kind == wanted => true,
        // What arrived may be read as either.
        (Attached::Unclaimed(_), EndKind::Stream | EndKind::Descriptor) => {
            matches!(wanted, EndKind::Stream | EndKind::Descriptor)
        }
        _ => false,
    }
}
