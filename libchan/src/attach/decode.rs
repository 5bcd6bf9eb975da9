//! The decoding side: the attachments of one message, claimed tentatively by the value that is being decoded.
//!
//! An `untagged` enum may try a variant, claim a stream and then fail on a later field; the next variant must
//! find the stream unclaimed. So a claim makes an end that is not connected, and is connected when the whole
//! value has decoded and the end is still alive.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};

use libchan_proto::Kind;
use serde::de::value::{Error, U32Deserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use smallvec::SmallVec;

use super::{Attached, Ends, fd_from};
use crate::codec::{Placeholder, deserialize_index};
use crate::cut::{self, Cut};
use crate::fd::{Fd, FdCore};
use crate::raw::EndKind;
use crate::session::AnyChan;
use crate::stream::{ByteStream, DescriptorStream, StreamCore};
use crate::sync::thread_local;

thread_local! {
    /// The innermost scope that is open on this thread.
    static OPEN: Cell<Open> = const { Cell::new(Open { form: None, start: 0, len: 0 }) };
}

thread_local! {
    /// The attachments of all scopes of this thread. The borrow is never held while user code runs.
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Where a scope stands. Scopes nest: user code may receive from another channel while it is being deserialised. Most
/// messages carry nothing, and then this is all that is touched.
#[derive(Clone, Copy)]
struct Open {
    /// `None`: no scope is open.
    form: Option<Placeholder>,
    /// Its attachments among the entries.
    start: u32,
    len: u32,
}

/// One attachment of the message and the claim on it, if there is one.
pub(crate) struct Entry {
    pub(crate) attached: Attached,
    pub(crate) claim: Claim,
}

pub(crate) enum Claim {
    None,
    Sender(Arc<dyn AnyChan>),
    Receiver(Arc<dyn AnyChan>),
    Stream(Weak<StreamCore>),
    Descriptor(Weak<FdCore>),
    /// Moved into a `Raw`.
    Moved,
}

/// An open scope; dropping it closes every attachment of the message.
pub(crate) struct DecodeScope {
    /// The scope around it.
    outer: Open,
}

impl DecodeScope {
    #[inline]
    pub(crate) fn enter(form: Placeholder, ends: Ends) -> Self {
        let scope = Self::empty(form);
        if !ends.is_empty() {
            OPEN.set(Open { len: ends.len() as u32, ..OPEN.get() });
            let entries = ends.into_iter().map(|attached| Entry { attached, claim: Claim::None });
            ENTRIES.with_borrow_mut(|known| known.extend(entries));
        }
        scope
    }

    /// The scope of a message that carries nothing.
    #[inline]
    pub(crate) fn empty(form: Placeholder) -> Self {
        let outer = OPEN.get();
        OPEN.set(Open { form: Some(form), start: outer.start + outer.len, len: 0 });
        Self { outer }
    }

    /// The value has decoded: connects what it claimed and closes the rest.
    #[inline]
    pub(crate) fn settle(self) {
        let open = self.leave();
        std::mem::forget(self);
        if open.len > 0 {
            taken(open).into_iter().for_each(Entry::settle);
        }
    }

    /// The value has not decoded, because of `why`: every attachment of the message ends with that.
    #[cold]
    pub(crate) fn discard(self, why: &str) {
        let open = self.leave();
        std::mem::forget(self);
        if open.len > 0 {
            let why = format!("the message that held it did not decode: {why}");
            cut::drop_each(Cut::NotDecoded.because(why), taken(open));
        }
    }

    /// Back to the scope around it.
    #[inline]
    fn leave(&self) -> Open {
        let open = OPEN.get();
        OPEN.set(self.outer);
        open
    }
}

impl Drop for DecodeScope {
    fn drop(&mut self) {
        drop(taken(self.leave()));
    }
}

/// The entries of a scope, for the caller to handle under no borrow.
fn taken(scope: Open) -> SmallVec<[Entry; 1]> {
    ENTRIES
        .with_borrow_mut(|entries| {
            let mut taken = SmallVec::new();
            // One is the usual number, and an iterator costs more than it does.
            match scope.len {
                1 => taken.push(entries.pop()?),
                _ => taken.extend(entries.drain(scope.start as usize..)),
            }
            Some(taken)
        })
        .unwrap_or_default()
}

impl Entry {
    fn settle(self) {
        let Self { mut attached, claim } = self;
        let claimed = !matches!(claim, Claim::None);
        connect(&mut attached, claim);
        let left = match &attached {
            Attached::Unclaimed(unclaimed) => unclaimed.kind().is_some(),
            _ => !claimed,
        };
        if left {
            cut::drop_each(Cut::Unclaimed.cause(), [attached]);
        }
    }
}

/// Gives an attachment to whoever claimed it, if that is still there.
fn connect(attached: &mut Attached, claim: Claim) {
    let Attached::Unclaimed(unclaimed) = attached else { return };
    let leg = unclaimed.leg.clone();
    match claim {
        Claim::Sender(chan) if chan.senders() > 0 => {
            if unclaimed.claim().is_some() {
                chan.adopt_sink(leg);
            }
        }
        Claim::Receiver(chan) if chan.receivers() > 0 => {
            if let Some(attachment) = unclaimed.claim() {
                chan.adopt_source(leg, attachment.on_demand);
            }
        }
        Claim::Stream(core) => {
            if let (Some(core), Some(attachment)) = (core.upgrade(), unclaimed.claim()) {
                core.connect(match attachment.kind {
                    Kind::Descriptor => DescriptorStream::open(leg.descriptor()),
                    _ => leg.stream(),
                });
            }
        }
        Claim::Descriptor(core) => {
            if let (Some(core), Some(attachment)) = (core.upgrade(), unclaimed.claim()) {
                core.connect(fd_from(&leg, attachment.kind));
            }
        }
        Claim::None | Claim::Sender(_) | Claim::Receiver(_) | Claim::Moved => {}
    }
}

pub(crate) fn index_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let form = OPEN.get().form.ok_or_else(|| {
        D::Error::custom(
            "a libchan end can be deserialised only by receiving it in a message (Receiver::recv); \
             found no receive in progress on this thread",
        )
    })?;
    Ok(deserialize_index(form, deserializer)? as usize)
}

pub(crate) fn entry<R>(index: usize, f: impl FnOnce(&mut Entry) -> Result<R, String>) -> Result<R, String> {
    let Open { start, len, .. } = OPEN.get();
    if index >= len as usize {
        return Err(format!("attachment {index} is not in the message, which has {len}"));
    }
    ENTRIES.with_borrow_mut(|entries| f(&mut entries[start as usize + index]))
}

/// How the codec in force writes an index; `None`: no message is being decoded on this thread.
pub(crate) fn form_in_force() -> Option<Placeholder> {
    OPEN.get().form
}

/// What the attachment at this index is.
pub(crate) fn kind_at(index: u32) -> Result<EndKind, String> {
    entry(index as usize, |entry| Ok(EndKind::of(&entry.attached)))
}

/// Claims the attachment whose index was read already, as a field of type `T` would.
pub(crate) fn claim_by_index<T: DeserializeOwned>(index: u32) -> Result<T, Error> {
    let open = OPEN.get();
    OPEN.set(Open { form: Some(Placeholder::Index), ..open });
    let claimed = T::deserialize(U32Deserializer::new(index));
    OPEN.set(open);
    claimed
}

pub(crate) fn wrong_kind(attached: &Attached, wanted: &str) -> String {
    format!("the attachment is {}, this field wants {wanted}", attached.noun())
}

pub(crate) const TWICE: &str = "a stream or descriptor is claimed twice";

pub(crate) fn claim_stream<'de, D: Deserializer<'de>>(d: D) -> Result<ByteStream, D::Error> {
    let index = index_of(d)?;
    let claimed = entry(index, |entry| {
        if let Claim::Stream(core) = &entry.claim
            && core.strong_count() > 0
        {
            return Err(TWICE.to_owned());
        }
        match &mut entry.attached {
            Attached::Stream(core, hold) => {
                let hold = hold.take().or_else(|| core.hold().ok());
                entry.claim = Claim::Moved;
                hold.map(|hold| hold.release()).ok_or_else(|| TWICE.to_owned())
            }
            Attached::Unclaimed(unclaimed)
                if matches!(unclaimed.kind(), Some(Kind::Stream | Kind::Descriptor)) =>
            {
                let stream = ByteStream::unconnected();
                entry.claim = Claim::Stream(Arc::downgrade(stream.core()));
                Ok(stream)
            }
            other => Err(wrong_kind(other, "a ByteStream")),
        }
    });
    claimed.map_err(D::Error::custom)
}

pub(crate) fn claim_descriptor<'de, D: Deserializer<'de>>(d: D) -> Result<Fd, D::Error> {
    let index = index_of(d)?;
    let claimed = entry(index, |entry| {
        if let Claim::Descriptor(core) = &entry.claim
            && core.strong_count() > 0
        {
            return Err(TWICE.to_owned());
        }
        match &mut entry.attached {
            Attached::Descriptor(core, hold) => {
                let hold = hold.take().or_else(|| core.hold().ok());
                entry.claim = Claim::Moved;
                hold.map(|hold| hold.release()).ok_or_else(|| TWICE.to_owned())
            }
            Attached::Unclaimed(unclaimed)
                if matches!(unclaimed.kind(), Some(Kind::Stream | Kind::Descriptor)) =>
            {
                let fd = Fd::unconnected();
                entry.claim = Claim::Descriptor(Arc::downgrade(fd.core()));
                Ok(fd)
            }
            other => Err(wrong_kind(other, "an Fd")),
        }
    });
    claimed.map_err(D::Error::custom)
}
