//! Ends that arrived and are passed on unread: channels become untyped relays, streams and descriptors values of their own.

use std::sync::Arc;

use libchan_proto::{Attachment, Kind};

use super::Chan;
use crate::attach::{AnyReceiver, AnySender, Attached};
use crate::raw::Raw;
use crate::session::{AnyChan, Leg};
use crate::stream::ByteStream;

/// Turns an end that merely arrived into a handle that can be held more than once.
pub(crate) fn share(end: &mut Attached) {
    let Attached::Unclaimed(unclaimed) = end else { return };
    let leg = unclaimed.leg.clone();
    let Some(attachment) = unclaimed.claim() else { return };
    *end = match attachment.kind {
        Kind::Sender => Attached::Sender(relay_sender(leg, attachment)),
        Kind::SenderHome => Attached::Sender(home(&leg)),
        Kind::Receiver => Attached::Receiver(relay_receiver(leg, attachment)),
        Kind::Stream => Attached::Stream(ByteStream::from_remote(leg.stream()).into_core(), None),
        Kind::Descriptor => Attached::Descriptor(leg.descriptor().into_core(), None),
    };
}

/// An untyped sender for an end that arrived and is sent on unread.
fn relay_sender(leg: Leg, attachment: Attachment) -> AnySender {
    let chan: Arc<dyn AnyChan> = Chan::<Raw>::tentative(attachment.capacity);
    let sender = AnySender::new(chan.clone());
    chan.adopt_sink(leg);
    sender
}

/// A sender of the channel here that the peer's sender led to.
fn home(leg: &Leg) -> AnySender {
    let chan: Arc<dyn AnyChan> = leg.session.port(leg.key).unwrap_or_else(|| Chan::<Raw>::closed());
    let sender = AnySender::new(chan.clone());
    chan.come_home();
    leg.session.release_hold(leg.key);
    sender
}

/// An untyped receiver for an end that arrived and is sent on unread.
fn relay_receiver(leg: Leg, attachment: Attachment) -> AnyReceiver {
    let chan: Arc<dyn AnyChan> = Chan::<Raw>::tentative(attachment.capacity);
    let receiver = AnyReceiver::new(chan.clone());
    chan.adopt_source(leg, attachment.on_demand);
    receiver
}
