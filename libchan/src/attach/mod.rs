//! Attachments: what travels beside a payload, found while a value is encoded and claimed while one is decoded.
//!
//! serde sees `&value`, so nothing can be moved out while it encodes. Ends are counted handles: [`encode`] clones
//! them into the scope that is open on this thread, and dropping the sent value drops the user's. Decoding is
//! the mirror: claims are tentative until the whole value has decoded ([`decode`]).

mod decode;
mod encode;
mod handle;
mod values;

use std::sync::Arc;

use libchan_proto::{Attach, Attachment, Kind};
use smallvec::SmallVec;

pub(crate) use self::decode::{
    Claim, DecodeScope, TWICE, claim_by_index, entry, form_in_force, index_of, kind_at, wrong_kind,
};
use self::decode::{claim_descriptor, claim_stream};
pub(crate) use self::encode::{Collected, EncodeScope};
pub(crate) use self::handle::{AnyReceiver, AnySender};
use crate::error::SendFailure;
use crate::fd::{Fd, FdCore, FdHold};
use crate::session::Leg;
use crate::stream::{StreamCore, StreamHold};

/// What a message carries: nearly always nothing or one end.
pub(crate) type Ends = SmallVec<[Attached; 1]>;

/// The same as the machine knows it.
pub(crate) type Attaches = SmallVec<[Attach; 2]>;

/// Something a message carries, as a counted handle.
pub(crate) enum Attached {
    Sender(AnySender),
    Receiver(AnyReceiver),
    /// A stream that a send has taken hold of; `None` once it has moved on.
    Stream(Arc<StreamCore>, Option<StreamHold>),
    Descriptor(Arc<FdCore>, Option<FdHold>),
    /// It arrived with a message and nobody has claimed it.
    Unclaimed(Unclaimed),
    /// The place of one that was taken out of a `Raw` by its index.
    Taken,
}

/// An attachment that arrived. Dropping it unclaimed closes it because of what marks the thread, else as not delivered.
pub(crate) struct Unclaimed {
    pub(crate) leg: Leg,
    attachment: Option<Attachment>,
}

impl Unclaimed {
    pub(crate) fn new(leg: Leg, attachment: Attachment) -> Self {
        Self { leg, attachment: Some(attachment) }
    }

    pub(crate) fn kind(&self) -> Option<Kind> {
        self.attachment.map(|attachment| attachment.kind)
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.attachment.map_or(0, |attachment| attachment.capacity)
    }

    /// Takes it over: from here on the caller answers for it.
    pub(crate) fn claim(&mut self) -> Option<Attachment> {
        self.attachment.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(attachment) = self.attachment.take() {
            self.leg.session.reject(attachment);
        }
    }
}

impl Attached {
    /// Another handle on the same channel end; a stream or descriptor has none.
    pub(crate) fn clone_countable(&self) -> Option<Self> {
        match self {
            Self::Sender(sender) => Some(Self::Sender(sender.clone())),
            Self::Receiver(receiver) => Some(Self::Receiver(receiver.clone())),
            Self::Stream(..) | Self::Descriptor(..) | Self::Unclaimed(_) | Self::Taken => None,
        }
    }

    pub(crate) fn held_stream(core: &Arc<StreamCore>) -> Result<Self, SendFailure> {
        let hold = core.hold().map_err(|_| SendFailure::AttachmentInUse)?;
        Ok(Self::Stream(core.clone(), Some(hold)))
    }

    pub(crate) fn held_descriptor(core: &Arc<FdCore>) -> Result<Self, SendFailure> {
        let hold = core.hold().map_err(|_| SendFailure::AttachmentInUse)?;
        Ok(Self::Descriptor(core.clone(), Some(hold)))
    }

    /// What it is called where a claim meets the wrong kind.
    fn noun(&self) -> &'static str {
        let kind = match self {
            Self::Sender(_) => return "a Sender",
            Self::Receiver(_) => return "a Receiver",
            Self::Stream(..) => return "a ByteStream",
            Self::Descriptor(..) => return "an Fd",
            Self::Taken => None,
            Self::Unclaimed(unclaimed) => unclaimed.kind(),
        };
        match kind {
            Some(Kind::Sender | Kind::SenderHome) => "a Sender",
            Some(Kind::Receiver) => "a Receiver",
            Some(Kind::Stream) => "a ByteStream",
            Some(Kind::Descriptor) => "an Fd",
            None => "already claimed",
        }
    }
}

/// An `Fd` made from what arrived: the descriptor itself, or a stream that stands for it.
pub(crate) fn fd_from(leg: &Leg, kind: Kind) -> Fd {
    match kind {
        Kind::Descriptor => leg.descriptor(),
        _ => Fd::from_remote(leg.stream()),
    }
}
