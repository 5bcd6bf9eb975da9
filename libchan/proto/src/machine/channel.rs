//! Channels: opening, announcing, closing, cancelling, credit.

use bytes::BytesMut;

use super::{Event, Machine, RecvStatus, SendStatus};
use crate::Key;
use crate::code;
use crate::credit::Window;
use crate::entry::{Cancel, Close, Entry, Partial, RareRecv, RecvHalf, Scope, SendHalf, StreamState};
use crate::error::{Misbehaviour, OpenError, Reason, SessionError};
use crate::frame::{self, Metadata, Opening, Reader, Type};
use crate::inbox::{Attachment, Inbox, Kind};

/// Emptied inboxes that are kept.
const SPARE: usize = 256;

impl Machine {
    // ---- opening

    /// Opens a named channel; this side sends.
    ///
    /// # Errors
    /// A limit of one of the sides would be passed, or the session is over.
    pub fn open(&mut self, name: &str, capacity: u32, metadata: &Metadata) -> Result<Key, OpenError> {
        let max = self.limits.max_frame as usize;
        let body = Opening::encode(name, capacity, metadata, max).ok_or(OpenError::NameTooLong)?;
        let key = self.allocate(Kind::Receiver, capacity, false, 0)?;
        if let Some(half) = self.entries.send(key) {
            half.announced = true;
            let id = half.id;
            self.control_frame(|out| {
                frame::header(out, body.len(), Type::Open, id);
                out.extend_from_slice(&body);
            });
        }
        self.entries.note_announced(key);
        Ok(key)
    }

    /// A new channel or stream, one end of which is to go to the peer in a message; `peer_gets` says which. Nothing is
    /// sent before a message announces it. `wanted`: receives that wait here, for a rendezvous.
    ///
    /// # Errors
    /// A limit of one of the sides would be passed, or the session is over.
    pub fn allocate(
        &mut self,
        peer_gets: Kind,
        capacity: u32,
        on_demand: bool,
        wanted: u32,
    ) -> Result<Key, OpenError> {
        let over = self.over.is_some() || self.said_goodbye.is_some() || self.peer_goodbye;
        if over || self.established.is_none() {
            return Err(OpenError::SessionOver);
        }
        if self.entries.open() >= self.limits.max_channels as usize {
            return Err(OpenError::TooManyChannels);
        }
        if !self.charge_entry(peer_gets) {
            return Err(OpenError::Memory);
        }
        let (window, stream) = (self.limits.initial_window, self.limits.stream_window);
        Ok(self.entries.insert_own(|id| match peer_gets {
            Kind::Receiver => Entry::Send(SendHalf::new(id, true, capacity, !on_demand, window)),
            Kind::Stream => Entry::Stream(Box::new(StreamState::new(id, true, stream))),
            _ => {
                let mut half = RecvHalf::new(id, true, capacity, false, window);
                half.wanted = if capacity == 0 { wanted } else { 0 };
                half.waiting = half.wanted;
                Entry::Recv(half)
            }
        }))
    }

    /// Charges what is to become an entry of ours against both memories.
    fn charge_entry(&mut self, peer_gets: Kind) -> bool {
        let (channel, stream) = (self.channel_charge(), self.stream_charge());
        match peer_gets {
            Kind::Receiver => self.theirs.open(channel),
            Kind::Stream => {
                if !self.theirs.open(stream) {
                    return false;
                }
                let fits = self.ours.open(stream);
                if !fits {
                    self.theirs.close(stream);
                }
                fits
            }
            _ => self.ours.open(channel),
        }
    }

    /// An entry that was not announced and will not be.
    pub fn abandon(&mut self, key: Key) {
        match self.entries.get(key) {
            Entry::Stream(_) => self.abandon_stream(key),
            _ => self.drop_entry(key),
        }
    }

    /// Whether the peer knows of the entry.
    pub fn is_announced(&self, key: Key) -> bool {
        match self.entries.get(key) {
            Entry::Free => false,
            Entry::Send(half) => half.announced,
            Entry::Recv(half) => half.announced,
            Entry::Stream(stream) => stream.announced,
        }
    }

    pub(super) fn on_open(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let opening = Opening::decode(body)?;
        let (capacity, window) = (opening.capacity, self.limits.initial_window);
        let mut half = RecvHalf::new(id, false, capacity, false, window);
        half.rare = Some(Box::new(RareRecv { opening: Some(opening), ..RareRecv::default() }));
        let key = self.insert_theirs(id, Kind::Receiver, Entry::Recv(half))?;
        if self.pending_accepts >= self.limits.max_pending_accepts {
            let reason = Reason::of(code::ACCEPT_QUEUE_FULL);
            if let Some(half) = self.entries.recv(key) {
                half.rare = None;
            }
            self.cancel(key, Scope::Channel, reason, None);
            return self.check_control();
        }
        self.pending_accepts += 1;
        self.events.push_back(Event::Opened(key));
        Ok(())
    }

    /// A new entry under an id that the peer gave; `we_get` says what this side has of it.
    pub(super) fn insert_theirs(&mut self, id: u32, we_get: Kind, entry: Entry) -> Result<Key, Misbehaviour> {
        let most = self.limits.max_channels as usize;
        // What both sides have opened meanwhile may cross: the peer may not know yet of ours.
        if self.entries.open() >= 2 * most {
            return Err(Misbehaviour::TooManyChannels);
        }
        let (channel, stream) = (self.channel_charge(), self.stream_charge());
        let fits = match we_get {
            Kind::Receiver => self.ours.admit(channel),
            Kind::Stream => self.ours.admit(stream) & self.theirs.admit(stream),
            _ => self.theirs.admit(channel),
        };
        if !fits {
            return Err(Misbehaviour::Memory);
        }
        self.entries.insert_theirs(id, most, entry).ok_or(Misbehaviour::IdNotFree)
    }

    /// Takes a named channel out of the line of those that wait.
    pub fn accept(&mut self, key: Key) -> Option<Opening> {
        let opening = self.entries.recv(key)?.rare.as_mut()?.opening.take()?;
        self.pending_accepts -= 1;
        Some(opening)
    }

    // ---- what the layer above sets

    /// Whether direct sends must wait for a backlog.
    pub fn set_backlog(&mut self, key: Key, on: bool) {
        if let Some(half) = self.entries.send(key) {
            half.backlog = on;
        }
    }

    /// Whether the receiver is the only one, so that it may hold a channel's worth of messages.
    pub fn set_sole(&mut self, key: Key, sole: bool) {
        if let Some(half) = self.entries.send(key) {
            half.sole = sole;
        }
    }

    /// Whether [`Event::Taken`] is wanted.
    pub fn track_taken(&mut self, key: Key, on: bool) {
        if let Some(half) = self.entries.send(key) {
            half.track = on;
        }
    }

    /// Asks for [`Event::Writable`] when more may be sent.
    pub fn watch(&mut self, key: Key) {
        if let Some(half) = self.entries.send(key) {
            half.watched = true;
        }
    }

    /// How a sending entry stands; an entry that is gone says that it is cancelled.
    pub fn send_status(&self, key: Key) -> SendStatus {
        let Entry::Send(half) = self.entries.get(key) else {
            let cancelled = Some(Cancel { scope: Scope::End, reason: Reason::of(code::DISCONNECTED) });
            return SendStatus { cancelled, ..SendStatus::default() };
        };
        SendStatus {
            room: half.room(),
            demand: half.demand(),
            untaken: half.sent.wrapping_sub(half.taken),
            byte_credit: i64::from(half.credit),
            cancelled: half.cancelled().cloned(),
        }
    }

    /// Whether nothing was sent yet on a channel that the peer has given us.
    pub fn is_fresh(&self, key: Key) -> bool {
        matches!(self.entries.get(key), Entry::Send(half) if !half.own && half.sent == 0)
    }

    /// Whether the receiver of a sending entry takes no more. Of a receiving entry: false, unless it is gone.
    pub fn is_cancelled(&self, key: Key) -> bool {
        match self.entries.get(key) {
            Entry::Send(half) => half.cancelled().is_some(),
            Entry::Free => true,
            _ => false,
        }
    }

    /// How a receiving entry stands.
    pub fn recv_status(&self, key: Key) -> RecvStatus {
        let Entry::Recv(half) = self.entries.get(key) else {
            let reason = Some(Reason::of(code::DISCONNECTED));
            return RecvStatus { waiting: 0, closed: Some(Close { scope: Scope::End, reason }) };
        };
        let waiting = half.inbox.as_ref().map_or(0, |inbox| inbox.len());
        let close = half.rare.as_ref().and_then(|rare| rare.close.clone());
        RecvStatus { waiting, closed: close.filter(|_| half.holds() == 0) }
    }

    /// Whether the sender of the channel has nothing left to start a message with.
    pub fn sender_starved(&self, key: Key) -> bool {
        matches!(self.entries.get(key), Entry::Recv(half) if !half.closed && half.is_starved())
    }

    // ---- credit

    /// The application has taken `messages` with this charge in all. True: credit is due, flush. A relay reports the
    /// charge when it forwards and the messages when they are taken at the far end.
    pub fn taken(&mut self, key: Key, messages: u32, charge: u32) -> bool {
        let Some(half) = self.entries.recv(key) else { return false };
        half.taken = half.taken.wrapping_add(messages);
        half.owed += messages;
        let freed = half.window.taken(charge);
        if !half.closed && half.window.wants_growth() {
            let grown = self.ours.grow(half.window.size(), self.limits.max_window);
            if grown > 0 {
                half.window.grow(grown);
            }
        }
        if freed > 0 {
            self.ours.release(freed);
            self.serve_reservations();
        }
        self.mark_due(key)
    }

    /// So many receives wait now: a level, not a count of calls. True: something is to be sent.
    pub fn want(&mut self, key: Key, waiting: u32) -> bool {
        let Some(half) = self.entries.recv(key) else { return false };
        half.waiting = waiting;
        self.mark_due(key)
    }

    /// Whether somebody waits for the channel's next message, until one arrives: a large one then has its memory before
    /// those that nobody reads.
    pub fn set_awaited(&mut self, key: Key, on: bool) {
        let Some(half) = self.entries.recv(key) else { return };
        let begins = on && !half.awaited && half.inbox.as_ref().is_none_or(|inbox| inbox.is_empty());
        half.awaited = begins || (on && half.awaited);
        if begins && half.is_reserving() {
            self.serve_reservations();
        }
    }

    /// Puts the channel on the list of those that owe credit, if it does.
    pub(super) fn mark_due(&mut self, key: Key) -> bool {
        let Some(half) = self.entries.recv(key) else { return false };
        if half.closed || half.cancelled || !half.announced {
            return false;
        }
        let wants = half.serves_demand() && half.want_increment() > 0;
        let half_owed = half.owed >= half.capacity.div_ceil(2).max(1);
        let told = half.owed > 0 && (half.serves_demand() || half_owed || half.room_left() == 0);
        let owes = wants || told || half.window.is_due();
        if owes {
            self.urgent |= wants || half.serves_demand() || half.is_short();
            if !std::mem::replace(&mut half.due, true) {
                self.due.push(key);
            }
        }
        owes
    }

    pub(super) fn on_credit(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let mut body = Reader(body);
        let (taken, wanted, bytes) = (body.u32()?, body.u32()?, body.u32()?);
        body.end()?;
        if id == 0 {
            return Ok(self.on_descriptor_credit(taken, wanted, bytes)?);
        }
        let Some(key) = self.lookup(id)? else { return Ok(()) };
        let half = match self.entries.get_mut(key) {
            Some(Entry::Send(half)) => half,
            Some(Entry::Stream(_)) if taken == 0 && wanted == 0 => {
                return Ok(self.on_stream_credit(key, bytes)?);
            }
            _ => return Err(Misbehaviour::WrongEnd.into()),
        };
        if half.sent.wrapping_sub(half.taken) < taken {
            return Err(Misbehaviour::CreditOverflow.into());
        }
        half.taken = half.taken.wrapping_add(taken);
        half.wanted = half.wanted.wrapping_add(wanted);
        let bytes = i32::try_from(bytes).map_err(|_| Misbehaviour::CreditOverflow)?;
        half.credit = half.credit.checked_add(bytes).ok_or(Misbehaviour::CreditOverflow)?;
        if half.closed {
            self.requeue_large(key);
            return Ok(());
        }
        if half.track && taken > 0 {
            self.events.push_back(Event::Taken(key, taken));
        }
        if half.watched && half.credit > 0 && (half.room() > 0 || half.demand() > 0) {
            half.watched = false;
            self.events.push_back(Event::Writable(key));
        }
        self.requeue_large(key);
        Ok(())
    }

    // ---- closing

    /// The sending end ends, after what was sent. The key is no longer ours to use.
    pub fn close(&mut self, key: Key, scope: Scope, reason: Option<Reason>) {
        let Some(half) = self.entries.send(key) else { return };
        half.closed = true;
        if !half.announced {
            // The message that names it may be on its way out: the last word follows it.
            half.rare().close = Some(Close { scope, reason });
            return;
        }
        if half.pins > 0 || (half.has_large() && half.cancelled().is_none()) {
            half.rare().close = Some(Close { scope, reason });
            return;
        }
        self.send_close(key, scope, reason);
    }

    /// Keeps a sending entry until a message that names it ([`Attach::SenderHome`](crate::Attach)) is sent or
    /// [`unpin`](Self::unpin)ned. False: it is gone, or the peer does not know of it.
    pub fn pin(&mut self, key: Key) -> bool {
        let Some(half) = self.entries.send(key) else { return false };
        // What is still on its way in fragments would be overtaken by the message that names it.
        let open = half.announced && !half.closed && half.cancelled().is_none() && !half.has_large();
        half.pins += u16::from(open);
        open
    }

    /// The message that was to name the entry is sent, or is not sent after all.
    pub fn unpin(&mut self, key: Key) {
        let Some(half) = self.entries.send(key) else { return };
        half.pins = half.pins.saturating_sub(1);
        if half.pins == 0
            && (!half.has_large() || half.cancelled().is_some())
            && let Some(close) = half.rare.as_mut().and_then(|rare| rare.close.take())
        {
            self.send_close(key, close.scope, close.reason);
        }
    }

    pub(super) fn send_close(&mut self, key: Key, scope: Scope, reason: Option<Reason>) {
        let Some(half) = self.entries.send(key) else { return };
        let (id, done) = (half.id, !half.own || half.cancelled().is_some());
        // A code of 0 is the clean end, which has no text.
        let reason = reason.filter(|reason| reason.code != code::NONE).unwrap_or_default();
        self.control_frame(|out| frame::with_reason(out, Type::Close, id, &[scope as u8], &reason));
        if done || self.over.is_some() {
            self.drop_entry(key);
        }
    }

    pub(super) fn on_close(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let mut body = Reader(body);
        let scope = parse_scope(body.u8()?)?;
        let reason = body.reason()?;
        if reason.code == code::NONE && !reason.text.is_empty() {
            return Err(Misbehaviour::Field.into());
        }
        let Some(key) = self.lookup(id)? else { return Ok(()) };
        let leaving = self.said_goodbye.is_some();
        let Some(half) = self.entries.recv(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        // Only a message that we have said we do not want may be cut.
        let partial = half.rare.as_mut().and_then(|rare| rare.partial.take());
        if half.closed || (partial.is_some() && !half.cancelled && !leaving) {
            return Err(Misbehaviour::AfterEnd.into());
        }
        half.closed = true;
        let (own, cancelled, owed) = (half.own, half.cancelled, std::mem::take(&mut half.owed));
        if !own {
            // The id is the peer's: it may be given again once the peer has our last word on it.
            self.entries.unlink(id, key);
        }
        if cancelled {
            self.drop_unheld(key);
            return Ok(());
        }
        let reason = match (reason.code, &partial) {
            (code::NONE, None) => None,
            (code::NONE, Some(_)) => Some(Reason::of(code::DISCONNECTED)),
            _ => Some(reason),
        };
        if let Some(half) = self.entries.recv(key) {
            half.rare().close = Some(Close { scope, reason });
        }
        if !own {
            self.send_cancel(id, Scope::End, owed, &Reason::none());
            self.check_control()?;
        }
        self.events.push_back(Event::Readable(key));
        if let Some(partial) = partial {
            self.reject_all(&partial.attachments);
        }
        Ok(())
    }

    /// The receiving end ends; what waits is dropped, `spare` with it. The key is no longer ours to use.
    pub fn cancel(&mut self, key: Key, scope: Scope, reason: Reason, spare: Option<Box<Inbox>>) {
        let Some(half) = self.entries.recv(key) else { return };
        half.cancelled = true;
        if !half.announced && self.over.is_none() {
            // The message that names it may be on its way out: the last word follows it.
            half.rare().cancel = Some(Cancel { scope, reason });
            return;
        }
        let inbox = half.inbox.take();
        let rare = half.rare.take().map(|rare| *rare).unwrap_or_default();
        let (id, owed, closed) = (half.id, half.owed, half.closed);
        let mut cut = Vec::new();
        // What is still to come of a message must be known as such, and the slot kept while a message names it.
        let partial = rare.partial.map(|mut partial| {
            cut = std::mem::take(&mut partial.attachments);
            Partial { payload: BytesMut::new(), ..partial }
        });
        if partial.is_some() || rare.holds > 0 {
            let rest = RareRecv { partial, holds: rare.holds, ..RareRecv::default() };
            half.rare = Some(Box::new(rest));
        }
        if rare.opening.is_some() {
            self.pending_accepts -= 1;
        }
        for inbox in [spare, inbox].into_iter().flatten() {
            self.discard_inbox(inbox);
        }
        self.reject_all(&cut);
        if self.over.is_some() {
            self.drop_entry(key);
        } else if closed {
            self.drop_unheld(key);
        } else {
            self.send_cancel(id, scope, owed, &reason);
            // It may have been the first in line.
            self.serve_reservations();
        }
    }

    /// Frees the entry of a receiving end, unless a sender that came home still names it.
    fn drop_unheld(&mut self, key: Key) {
        if self.entries.recv(key).is_some_and(|half| half.holds() == 0) {
            self.drop_entry(key);
        }
    }

    /// The entry has been announced: says what was said of it before.
    pub(super) fn begin_channel(&mut self, key: Key) {
        match self.entries.get_mut(key) {
            Some(Entry::Send(half)) if half.closed => {
                if let Some(close) = half.rare.as_mut().and_then(|rare| rare.close.take()) {
                    self.close(key, close.scope, close.reason);
                }
            }
            Some(Entry::Recv(half)) if half.cancelled => {
                if let Some(cancel) = half.rare.as_mut().and_then(|rare| rare.cancel.take()) {
                    self.cancel(key, cancel.scope, cancel.reason, None);
                }
            }
            _ => {}
        }
    }

    fn send_cancel(&mut self, id: u32, scope: Scope, taken: u32, reason: &Reason) {
        let mut head = [scope as u8, 0, 0, 0, 0];
        head[1..].copy_from_slice(&taken.to_be_bytes());
        self.control_frame(|out| frame::with_reason(out, Type::Cancel, id, &head, reason));
    }

    pub(super) fn on_cancel(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let mut body = Reader(body);
        let scope = parse_scope(body.u8()?)?;
        let taken = body.u32()?;
        let reason = body.reason()?;
        let Some(key) = self.lookup(id)? else { return Ok(()) };
        let Some(half) = self.entries.send(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        if half.cancelled().is_some() {
            return Err(Misbehaviour::AfterEnd.into());
        }
        if half.sent.wrapping_sub(half.taken) < taken {
            return Err(Misbehaviour::CreditOverflow.into());
        }
        half.taken = half.taken.wrapping_add(taken);
        half.rare().cancelled = Some(Cancel { scope, reason });
        let (closed, track, pinned) = (half.closed, half.track, half.pins > 0);
        self.drop_large(key);
        if closed {
            // Our CLOSE has gone, or waited behind a large message that nobody wants any more.
            if pinned {
                return Ok(());
            }
            let late = self.entries.send(key).and_then(|half| half.rare().close.take());
            match late {
                Some(close) => self.send_close(key, close.scope, close.reason),
                None => self.drop_entry(key),
            }
            return Ok(());
        }
        if track && taken > 0 {
            self.events.push_back(Event::Taken(key, taken));
        }
        self.events.push_back(Event::Cancelled(key));
        Ok(())
    }

    /// Frees an entry and gives back what it was charged.
    pub(super) fn drop_entry(&mut self, key: Key) {
        let (channel, stream) = (self.channel_charge(), self.stream_charge());
        self.drop_large(key);
        match self.entries.remove(key) {
            Entry::Free => {}
            Entry::Send(_) => self.theirs.close(channel),
            Entry::Recv(half) => {
                self.ours.close(channel);
                self.ours.shrink(half.window.size() - self.limits.initial_window);
                self.ours.release(half.window.extra());
                if let Some(inbox) = half.inbox {
                    self.discard_inbox(inbox);
                }
                self.serve_reservations();
            }
            Entry::Stream(state) => {
                self.ours.close(stream);
                self.theirs.close(stream);
                self.ours.shrink(state.window.size() - self.limits.stream_window);
            }
        }
    }

    // ---- inboxes

    /// Everything that waits, in exchange for an emptied inbox. `None`: nothing waits, and the emptied one is kept for
    /// other channels.
    pub fn take_inbox(&mut self, key: Key, spare: Option<Box<Inbox>>) -> Option<Box<Inbox>> {
        let waiting = self.entries.recv(key).and_then(|half| half.inbox.take());
        match waiting {
            Some(inbox) if !inbox.is_empty() => {
                if let (Some(spare), Some(half)) = (spare, self.entries.recv(key)) {
                    half.inbox = Some(spare);
                }
                Some(inbox)
            }
            empty => {
                for inbox in [spare, empty].into_iter().flatten() {
                    self.keep_inbox(inbox);
                }
                None
            }
        }
    }

    pub(super) fn keep_inbox(&mut self, mut inbox: Box<Inbox>) {
        if inbox.recycle() && self.spare.len() < SPARE {
            self.spare.push(inbox);
        }
    }

    /// Drops messages that nobody will take: what they carry is closed.
    pub fn discard(&mut self, _key: Key, inbox: Box<Inbox>) {
        self.discard_inbox(inbox);
    }

    fn discard_inbox(&mut self, mut inbox: Box<Inbox>) {
        while let Some(message) = inbox.pop() {
            if !message.attachments.is_empty() {
                let attachments = message.attachments.to_vec();
                self.reject_all(&attachments);
            }
        }
        self.keep_inbox(inbox);
    }

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
            self.reject(attachment);
        }
        self.rejecting = false;
    }

    /// Closes an attachment that nobody has claimed. (A descriptor is the driver's to close.)
    pub fn reject(&mut self, attachment: Attachment) {
        let key = attachment.key;
        match attachment.kind {
            Kind::Sender => self.close(key, Scope::End, None),
            Kind::Receiver => self.cancel(key, Scope::End, Reason::none(), None),
            Kind::SenderHome => self.release_hold(key),
            Kind::Stream => {
                self.stream_finish(key, Reason::none());
                self.stream_stop(key, Reason::none());
            }
            Kind::Descriptor => {}
        }
    }

    /// A sender that came home was claimed or dropped.
    pub fn release_hold(&mut self, key: Key) {
        let Some(half) = self.entries.recv(key) else { return };
        let rare = half.rare();
        rare.holds = rare.holds.saturating_sub(1);
        if rare.holds > 0 {
            return;
        }
        if half.cancelled && half.closed {
            self.drop_entry(key);
        } else if half.closed {
            self.events.push_back(Event::Readable(key));
        }
    }
}

fn parse_scope(byte: u8) -> Result<Scope, Misbehaviour> {
    match byte {
        0 => Ok(Scope::End),
        1 => Ok(Scope::Channel),
        _ => Err(Misbehaviour::Field),
    }
}

impl SendHalf {
    pub(crate) fn new(id: u32, own: bool, capacity: u32, sole: bool, window: u32) -> Self {
        Self {
            id,
            capacity,
            sent: 0,
            taken: 0,
            wanted: 0,
            credit: window as i32,
            own,
            announced: !own,
            sole,
            backlog: false,
            track: false,
            watched: false,
            closed: false,
            pins: 0,
            rare: None,
        }
    }
}

impl RecvHalf {
    pub(crate) fn new(id: u32, own: bool, capacity: u32, on_demand: bool, window: u32) -> Self {
        Self {
            id,
            capacity,
            arrived: 0,
            taken: 0,
            owed: 0,
            wanted: 0,
            waiting: 0,
            window: Window::new(window),
            own,
            announced: !own,
            on_demand,
            closed: false,
            cancelled: false,
            due: false,
            starving: false,
            awaited: false,
            inbox: None,
            rare: None,
        }
    }

    /// How much to add to what was announced, so that no more is on its way than waits.
    pub(crate) fn want_increment(&self) -> u32 {
        let outstanding = self.wanted.wrapping_sub(self.arrived) as i32;
        (self.waiting as i32 - outstanding.max(0)).max(0) as u32
    }
}
