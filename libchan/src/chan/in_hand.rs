//! What a remote receiver has and has not taken, and what of it stays here until it does: a copy for another receiver, and the
//! streams and descriptors that nothing is read from before somebody has them.

use libchan_proto::Key;

use crate::attach::Attached;
use crate::parcel::{Origin, Parcel};
use crate::session::Leg;

/// A message that a remote receiver has and has not taken.
pub(super) struct InHand {
    /// To be served to another receiver if this one leaves. What is [`dormant`](Self::dormant) is not in it.
    pub(super) copy: Option<Box<Parcel>>,
    /// What the message carries and has not been begun to be read.
    pub(super) dormant: Option<Box<Dormant>>,
    /// The waiting send that it completes (capacity 0).
    pub(super) offer: Option<u64>,
    pub(super) from: Option<Origin>,
}

impl InHand {
    /// A message of which nothing is kept.
    pub(super) fn passed() -> Self {
        Self { copy: None, dormant: None, offer: None, from: None }
    }

    /// The copy, whole again: the receiver has left without taking its own.
    pub(super) fn into_copy(self) -> Option<Box<Parcel>> {
        let mut copy = self.copy?;
        if let Some(dormant) = self.dormant {
            dormant.give_back(&mut copy);
        }
        Some(copy)
    }
}

/// Streams and descriptors of a message that is with a remote receiver. Dropped, they are what they were before it was sent, and
/// what the peer has of them ends.
pub(crate) struct Dormant {
    leg: Leg,
    held: Vec<Held>,
}

/// One of them, held as for a message that is being sent.
struct Held {
    /// Its place in the message.
    at: usize,
    /// The session's stream that is to carry it. `None`: a duplicate of the descriptor was passed.
    key: Option<Key>,
    end: Attached,
}

impl Dormant {
    pub(super) fn new(leg: Leg) -> Self {
        Self { leg, held: Vec::new() }
    }

    pub(super) fn add(&mut self, at: usize, key: Option<Key>, end: Attached) {
        self.held.push(Held { at, key, end });
    }

    /// The message was taken, or nobody else can get it: what it carries is its receiver's from here on. To be called under no
    /// lock.
    pub(super) fn start(mut self) {
        for Held { key, end, .. } in self.held.drain(..) {
            let stream = key.map(|key| Leg { session: self.leg.session.clone(), key }.stream());
            match (end, stream) {
                (Attached::Stream(_, Some(hold)), Some(stream)) => hold.bind(stream),
                (Attached::Descriptor(_, Some(hold)), Some(stream)) => hold.bind_stream(stream),
                // The peer has the duplicate.
                (Attached::Descriptor(_, Some(hold)), None) => drop(hold.into_descriptor()),
                // Nothing else was added.
                _ => {}
            }
        }
    }

    /// Puts them back where they were in the message, of which `parcel` is the rest.
    fn give_back(mut self, parcel: &mut Parcel) {
        for Held { at, key, end } in self.held.drain(..) {
            cut(&self.leg, key);
            parcel.ends.insert(at.min(parcel.ends.len()), end);
        }
    }
}

impl Drop for Dormant {
    fn drop(&mut self) {
        for held in &self.held {
            cut(&self.leg, held.key);
        }
    }
}

/// Ends what the peer has of a stream that was never begun.
fn cut(leg: &Leg, key: Option<Key>) {
    if let Some(key) = key {
        leg.session.cut_stream(key);
    }
}

/// What is to be begun once a channel's lock is released.
#[derive(Default)]
pub(super) struct Starts(Vec<Dormant>);

impl Starts {
    pub(super) fn push(&mut self, dormant: Option<Box<Dormant>>) {
        self.0.extend(dormant.map(|dormant| *dormant));
    }
}

impl Drop for Starts {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            std::mem::take(&mut self.0).into_iter().for_each(Dormant::start);
        }
    }
}
