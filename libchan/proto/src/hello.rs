//! The hello: what each side offers, and what both come to.

use crate::error::{Misbehaviour, SessionError};
use crate::frame::{Metadata, Reader};
use crate::limits::Limits;

/// What one side offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it accepts.
    pub limits: Limits,
    /// The codecs it speaks, the preferred one first.
    pub codecs: Vec<u8>,
    /// Bits of features; none is defined yet.
    pub features: u32,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// What both sides' hellos come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// Of each limit the smaller.
    pub limits: Limits,
    /// Codecs that both speak, in the dialer's order.
    pub codecs: Vec<u8>,
    /// Features that both have.
    pub features: u32,
    /// The peer's hello.
    pub peer: Hello,
}

const CODECS: u8 = 10;
const FEATURES: u8 = 11;
const METADATA: u8 = 12;

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let limits = &self.limits;
        let mut out = Vec::new();
        let numbers = [
            limits.max_frame,
            limits.max_message,
            limits.max_attachments,
            limits.max_channels,
            limits.max_pending_accepts,
            limits.initial_window,
            limits.stream_window,
            limits.session_memory,
            limits.max_descriptors,
        ];
        for (tag, number) in (1..).zip(numbers) {
            field(&mut out, tag, &number.to_be_bytes());
        }
        field(&mut out, CODECS, &self.codecs);
        field(&mut out, FEATURES, &self.features.to_be_bytes());
        let mut metadata = Vec::new();
        self.metadata.encode(&mut metadata);
        field(&mut out, METADATA, &metadata);
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Misbehaviour> {
        let mut numbers = [None; 9];
        let (mut codecs, mut features, mut metadata) = (None, None, None);
        let mut last = 0;
        let mut body = Reader(body);
        while !body.is_empty() {
            let tag = body.u8()?;
            let length = usize::from(body.u16()?);
            let mut value = Reader(body.take(length)?);
            if tag <= last {
                return Err(Misbehaviour::HelloField);
            }
            last = tag;
            match tag {
                1..=9 => numbers[usize::from(tag) - 1] = Some(value.u32()?),
                CODECS => codecs = Some(std::mem::take(&mut value.0).to_vec()),
                FEATURES => features = Some(value.u32()?),
                METADATA => metadata = Some(Metadata::decode(Reader(std::mem::take(&mut value.0)))?),
                _ => value.0 = &[],
            }
            value.end()?;
        }
        let number = |at: usize| numbers[at].ok_or(Misbehaviour::HelloField);
        let limits = Limits {
            max_frame: number(0)?,
            max_message: number(1)?,
            max_attachments: number(2)?,
            max_channels: number(3)?,
            max_pending_accepts: number(4)?,
            initial_window: number(5)?,
            stream_window: number(6)?,
            session_memory: number(7)?,
            max_descriptors: number(8)?,
            ..Limits::default()
        };
        Ok(Self {
            limits,
            codecs: codecs.ok_or(Misbehaviour::HelloField)?,
            features: features.ok_or(Misbehaviour::HelloField)?,
            metadata: metadata.ok_or(Misbehaviour::HelloField)?,
        })
    }

    /// What `self` and the peer's hello come to; `first` says whose order of codecs wins.
    pub(crate) fn agree(&self, peer: Self, dialer: bool) -> Result<Established, SessionError> {
        let (first, second) =
            if dialer { (&self.codecs, &peer.codecs) } else { (&peer.codecs, &self.codecs) };
        let codecs: Vec<u8> = first.iter().copied().filter(|codec| second.contains(codec)).collect();
        if codecs.is_empty() {
            return Err(SessionError::NoCommonCodec);
        }
        let limits = self.limits.agree(&peer.limits).sane();
        Ok(Established { limits, codecs, features: self.features & peer.features, peer })
    }
}

fn field(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(value.len().min(usize::from(u16::MAX)) as u16).to_be_bytes());
    out.extend_from_slice(&value[..value.len().min(usize::from(u16::MAX))]);
}
