//! What both hellos came to: the codec that values are encoded with, and the limits in force.

use std::sync::OnceLock;

use libchan_proto::{Established, Limits, SessionError};

use super::shared::Shared;
use crate::codec::{AnyCodec, CodecId};

/// What both hellos came to.
#[repr(C)]
pub(super) struct Agreed {
    /// What values are encoded with for this session.
    codec: AnyCodec,
    established: Established,
}

impl Shared {
    /// Remembers what both hellos came to. Fails if no codec of ours is among the common ones.
    pub(super) fn agree(&self, established: &Established) -> Result<(), SessionError> {
        let known = |id: &u8| self.codecs.iter().find(|codec| codec.id().0 == *id).cloned();
        let codec = established.codecs.iter().find_map(known).ok_or(SessionError::NoCommonCodec)?;
        let _ = self.agreed.set(Agreed { established: established.clone(), codec });
        Ok(())
    }

    pub(crate) fn codec(&self) -> &AnyCodec {
        self.terms().0
    }

    /// What values are encoded with, and the limits in force: the strictest possible before the hellos are in.
    #[inline]
    pub(crate) fn terms(&self) -> (&AnyCodec, &Limits) {
        match self.agreed.get() {
            Some(agreed) => (&agreed.codec, &agreed.established.limits),
            None => unknown_terms(),
        }
    }

    pub(super) fn established(&self) -> Option<&Established> {
        self.agreed.get().map(|agreed| &agreed.established)
    }

    /// The smaller of both sides' limits.
    pub(crate) fn limits(&self) -> &Limits {
        self.terms().1
    }

    /// The codec that a message names; messages may name any, because relays forward what they did not encode.
    #[inline]
    pub(crate) fn codec_by_id(&self, id: u8) -> AnyCodec {
        let preferred = self.codec();
        if preferred.id().0 == id { preferred.clone() } else { self.another_codec(id) }
    }

    /// The same, lent.
    #[inline(always)]
    pub(crate) fn with_codec<R>(&self, id: u8, f: impl FnOnce(&AnyCodec) -> R) -> R {
        let preferred = self.codec();
        if preferred.id().0 == id { f(preferred) } else { f(&self.another_codec(id)) }
    }

    #[cold]
    fn another_codec(&self, id: u8) -> AnyCodec {
        let own = self.codecs.iter().find(|codec| codec.id().0 == id).cloned();
        own.or_else(|| AnyCodec::builtin(CodecId(id))).unwrap_or_else(|| AnyCodec::unknown(CodecId(id)))
    }

    pub(crate) fn passes_descriptors(&self) -> bool {
        self.info.passes_descriptors && self.limits().max_descriptors > 0
    }
}

#[cold]
fn unknown_terms() -> (&'static AnyCodec, &'static Limits) {
    static UNKNOWN: OnceLock<Limits> = OnceLock::new();
    const RAW: &AnyCodec = &AnyCodec::raw();
    (RAW, UNKNOWN.get_or_init(Limits::default))
}
