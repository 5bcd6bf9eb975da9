//! What has arrived and waits: handed over whole, or dropped with all that it carries.

use super::{Event, Machine};
use crate::entry::Scope;
use crate::error::Reason;
use crate::inbox::{Attachment, Inbox, Kind};
use crate::{Key, code};

/// What [`Machine::take_lone`] finds.
#[derive(Debug)]
pub enum TakeLone {
    /// The message, alone in its inbox.
    Taken(Box<Inbox>),
    /// Nothing waits, and the channel is open.
    Nothing,
    /// Several wait, or the end alone.
    Other,
}

/// Emptied inboxes that are kept.
const SPARE: usize = 1024;

impl Machine {
    /// Everything that waits, in exchange for an emptied inbox, which is kept for whatever channel needs one next.
    pub fn take_inbox(&mut self, key: Key, spare: Option<Box<Inbox>>) -> Option<Box<Inbox>> {
        if let Some(spare) = spare {
            self.keep_inbox(spare);
        }
        let half = self.entries.recv(key)?;
        let mut inbox = half.inbox.take()?;
        if inbox.is_empty() {
            self.keep_inbox(inbox);
            return None;
        }
        inbox.set_half_window(half.window.size() / 2);
        self.line_up(key);
        Some(inbox)
    }

    /// Uses the emptied inboxes in `spare` from here on, and those that it has kept itself. A driver has them for all of its
    /// sessions, and takes them back with [`take_spare`](Self::take_spare) when it has handed over what has arrived.
    #[allow(clippy::vec_box, reason = "entries hold them boxed")]
    pub fn lend_spare(&mut self, mut spare: Vec<Box<Inbox>>) {
        while let Some(inbox) = self.spare.pop()
            && spare.len() < SPARE
        {
            spare.push(inbox);
        }
        self.spare = spare;
    }

    /// The emptied inboxes that are kept.
    #[allow(clippy::vec_box, reason = "entries hold them boxed")]
    pub fn take_spare(&mut self) -> Vec<Box<Inbox>> {
        std::mem::take(&mut self.spare)
    }

    /// Takes the message that waits alone, and reports it as [`taken`](Self::taken). Where nothing waits, somebody does from
    /// here on ([`set_awaited`](Self::set_awaited)). True beside it: something may have to be written because of it.
    #[inline]
    pub fn take_lone(&mut self, key: Key) -> (TakeLone, bool) {
        let floor = self.floor;
        let Some(half) = self.entries.recv(key) else { return (TakeLone::Other, false) };
        let Some(inbox) = half.inbox.take_if(|inbox| inbox.len() == 1) else {
            if half.closed || half.inbox.is_some() {
                return (TakeLone::Other, false);
            }
            half.awaited = true;
            let arriving = half.is_arriving();
            if arriving {
                self.line_up(key);
            }
            return (TakeLone::Nothing, arriving);
        };
        let more = half.take(1, inbox.first_charge(), floor);
        if let Some(freed) = more {
            self.settle(key, freed);
        }
        (TakeLone::Taken(inbox), more.is_some())
    }

    #[inline]
    pub(super) fn keep_inbox(&mut self, mut inbox: Box<Inbox>) {
        if inbox.recycle() && self.spare.len() < SPARE {
            self.spare.push(inbox);
        }
    }

    /// Drops messages that nobody will take: what they carry ends with NOT_DELIVERED.
    pub fn discard(&mut self, _key: Key, inbox: Box<Inbox>) {
        self.discard_inbox(inbox);
    }

    pub(super) fn discard_inbox(&mut self, mut inbox: Box<Inbox>) {
        while let Some(message) = inbox.pop() {
            if !message.attachments.is_empty() {
                let attachments = message.attachments.to_vec();
                self.reject_all(&attachments);
            }
        }
        self.keep_inbox(inbox);
    }

    /// Closes what a message carries that nobody will see.
    pub(super) fn reject_all(&mut self, attachments: &[Attachment]) {
        for attachment in attachments {
            if attachment.kind == Kind::Descriptor {
                self.events.push_back(Event::DescriptorDropped(attachment.key.slot));
                self.descriptors_owed += 1;
            } else {
                self.rejected.push_back(*attachment);
            }
        }
        // A loop, no recursion: what is dropped may hold channels that hold channels, as deep as the peer likes.
        if std::mem::replace(&mut self.rejecting, true) {
            return;
        }
        while let Some(attachment) = self.rejected.pop_front() {
            self.reject(attachment, &Reason::of(code::NOT_DELIVERED));
        }
        self.rejecting = false;
    }

    /// Closes an attachment that nobody has claimed, and says why: [`code::NOT_DECODED`], [`code::UNCLAIMED`],
    /// [`code::NOT_DELIVERED`]. (A descriptor is the driver's to close.)
    pub fn reject(&mut self, attachment: Attachment, why: &Reason) {
        let key = attachment.key;
        match attachment.kind {
            Kind::Sender => self.close(key, Scope::End, Some(why.clone())),
            Kind::Receiver => self.cancel(key, Scope::End, why.clone(), None),
            Kind::SenderHome => self.release_hold(key),
            Kind::Stream => {
                self.stream_finish(key, why.clone());
                self.stream_stop(key, why.clone());
            }
            Kind::Descriptor => {}
        }
    }

    /// A sender that came home was claimed or dropped.
    pub fn release_hold(&mut self, key: Key) {
        let Some(half) = self.entries.recv(key).filter(|half| half.holds() > 0) else { return };
        let rare = half.rare();
        rare.holds -= 1;
        if rare.holds > 0 {
            return;
        }
        half.tidy();
        if half.closed {
            self.events.push_back(Event::Readable(key));
        }
    }
}
