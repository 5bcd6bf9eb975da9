//! What a message carries, prepared for the session that it leaves by, and undone where it does not leave.

use libchan_proto::Attach;

use super::in_hand::Dormant;
use super::relay::share;
use crate::attach::{Attached, Attaches, Ends};
use crate::error::SendFailure;
use crate::session::Leg;

/// What becomes of the streams and descriptors in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// They go with it.
    Go,
    /// Its receiver may leave without taking it, and it goes to another one. So nothing is read from them before it is taken:
    /// their ends here stay in [`Dormant`].
    Stay,
}

/// Prepares what a message carries for the session of `leg`. On failure nothing is bound.
pub(super) fn bind_all(leg: &Leg, ends: &mut [Attached], streams: Streams) -> Result<Attaches, SendFailure> {
    let mut attachments = Attaches::with_capacity(ends.len());
    for at in 0..ends.len() {
        match bind(leg, &mut ends[at], streams) {
            Ok(attach) => attachments.push(attach),
            Err(why) => {
                unbind_all(leg, &attachments, ends);
                return Err(why);
            }
        }
    }
    Ok(attachments)
}

/// A stream or descriptor that stays is held in `end` afterwards; one that goes is not.
fn bind(leg: &Leg, end: &mut Attached, streams: Streams) -> Result<Attach, SendFailure> {
    share(end);
    match end {
        Attached::Sender(sender) => sender.chan().clone().bind_sender(&leg.session),
        Attached::Receiver(receiver) => receiver.chan().clone().bind_receiver(&leg.session),
        Attached::Stream(core, hold) => {
            let held = match hold.take() {
                Some(held) => held,
                None => core.hold().map_err(|_| SendFailure::AttachmentInUse)?,
            };
            if streams == Streams::Go {
                return leg.session.bind_stream(held);
            }
            *hold = Some(held);
            leg.session.allocate_stream().map(Attach::Stream)
        }
        Attached::Descriptor(core, hold) => {
            let held = match hold.take() {
                Some(held) => held,
                None => core.hold().map_err(|_| SendFailure::AttachmentInUse)?,
            };
            if streams == Streams::Go {
                return leg.session.bind_descriptor(held);
            }
            leg.session.lend_descriptor(hold.insert(held))
        }
        Attached::Unclaimed(_) | Attached::Taken => Err(SendFailure::AttachmentInUse),
    }
}

/// The message has gone out: receivers that it carries may be sent to. (Senders have nothing to wait for.) What stays until
/// it is taken is the answer.
pub(super) fn announce_all(leg: &Leg, attachments: &[Attach], ends: Ends) -> Option<Box<Dormant>> {
    let mut dormant = None;
    for (at, (attach, end)) in attachments.iter().zip(ends).enumerate() {
        match (*attach, end) {
            (Attach::Channel(key), Attached::Receiver(receiver)) => {
                let (bound, chan) = (Leg { session: leg.session.clone(), key }, receiver.chan().clone());
                // The handle that travelled goes first: what stays here is what is counted.
                receiver.has_left(&bound);
                chan.announced(&bound);
            }
            (attach, end @ (Attached::Stream(_, Some(_)) | Attached::Descriptor(_, Some(_)))) => {
                let key = if let Attach::Stream(key) = attach { Some(key) } else { None };
                dormant.get_or_insert_with(|| Box::new(Dormant::new(leg.clone()))).add(at, key, end);
            }
            _ => {}
        }
    }
    dormant
}

/// The message does not go out.
pub(super) fn unbind_all(leg: &Leg, attachments: &[Attach], ends: &[Attached]) {
    for (attach, end) in attachments.iter().zip(ends) {
        match (attach, end) {
            (Attach::Channel(key), Attached::Sender(sender)) => {
                sender.chan().clone().unbind(&Leg { session: leg.session.clone(), key: *key });
            }
            (Attach::Channel(key), Attached::Receiver(receiver)) => {
                receiver.chan().clone().unbind(&Leg { session: leg.session.clone(), key: *key });
            }
            (Attach::SenderHome(key), _) => leg.session.unpin(*key),
            (Attach::Stream(key), _) => leg.session.abandon(*key),
            (Attach::Descriptor(token), _) => leg.session.forget_descriptor(*token),
            _ => {}
        }
    }
}
