//! Channel ends as fields of a message that is being decoded: claimed with the type that the value names.

use std::sync::Arc;

use libchan_proto::Kind;
use serde::de::{Deserializer, Error as _};

use crate::attach::{AnyReceiver, AnySender, Attached, Claim, entry, index_of, wrong_kind};
use crate::chan::{Chan, share};
use crate::message::Message;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::session::{AnyChan, loopback};

const TWO_TYPES: &str = "the same channel end is claimed twice with two types";

/// The channel behind an earlier claim, if that was for the same type.
fn typed<T: Message>(chan: &Arc<dyn AnyChan>) -> Result<Arc<Chan<T>>, String> {
    chan.clone().as_any().downcast::<Chan<T>>().map_err(|_| TWO_TYPES.to_owned())
}

pub(crate) fn claim_sender<'de, T: Message, D: Deserializer<'de>>(d: D) -> Result<Sender<T>, D::Error> {
    let index = index_of(d)?;
    let claimed = entry(index, |entry| {
        if let Attached::Unclaimed(unclaimed) = &entry.attached
            && unclaimed.kind() == Some(Kind::SenderHome)
        {
            share(&mut entry.attached);
        }
        match (&entry.attached, &entry.claim) {
            (Attached::Sender(sender), _) => {
                let typed = match sender.chan().clone().as_any().downcast::<Chan<T>>() {
                    Ok(chan) => Sender::from_chan(chan),
                    Err(_) => typed_sender(sender),
                };
                entry.claim = Claim::Moved;
                Ok(typed)
            }
            (Attached::Unclaimed(_), Claim::Sender(chan)) if chan.senders() > 0 => {
                typed::<T>(chan).map(Sender::from_chan)
            }
            (Attached::Unclaimed(unclaimed), _) if unclaimed.kind() == Some(Kind::Sender) => {
                let capacity = unclaimed.capacity();
                let chan = Chan::<T>::tentative(capacity);
                entry.claim = Claim::Sender(chan.clone());
                Ok(Sender::from_chan(chan))
            }
            (other, _) => Err(wrong_kind(other, "a Sender")),
        }
    });
    claimed.map_err(D::Error::custom)
}

pub(crate) fn claim_receiver<'de, T: Message, D: Deserializer<'de>>(d: D) -> Result<Receiver<T>, D::Error> {
    let index = index_of(d)?;
    let claimed = entry(index, |entry| match (&entry.attached, &entry.claim) {
        (Attached::Receiver(receiver), _) => {
            let typed = match receiver.chan().clone().as_any().downcast::<Chan<T>>() {
                Ok(chan) => Receiver::from_chan(chan),
                Err(_) => typed_receiver(receiver.clone()),
            };
            entry.claim = Claim::Moved;
            Ok(typed)
        }
        (Attached::Unclaimed(_), Claim::Receiver(chan)) if chan.receivers() > 0 => {
            typed::<T>(chan).map(Receiver::from_chan)
        }
        (Attached::Unclaimed(unclaimed), _) if unclaimed.kind() == Some(Kind::Receiver) => {
            let capacity = unclaimed.capacity();
            let chan = Chan::<T>::tentative(capacity);
            entry.claim = Claim::Receiver(chan.clone());
            Ok(Receiver::from_chan(chan))
        }
        (other, _) => Err(wrong_kind(other, "a Receiver")),
    });
    claimed.map_err(D::Error::custom)
}

/// A receiver of `T` for a channel of another type.
pub(crate) fn typed_receiver<T: Message>(receiver: AnyReceiver) -> Receiver<T> {
    let chan = Chan::<T>::tentative(receiver.chan().capacity());
    let typed = Receiver::from_chan(chan.clone());
    loopback::connect(receiver.chan().clone(), chan);
    typed
}

/// A sender of `T` for a channel of another type.
fn typed_sender<T: Message>(sender: &AnySender) -> Sender<T> {
    let chan = Chan::<T>::tentative(sender.chan().capacity());
    let typed = Sender::from_chan(chan.clone());
    loopback::connect(chan, sender.chan().clone());
    typed
}
