//! Messages: sending them, and taking in what arrives.

use bytes::Bytes;

use super::begun::Part;
use super::head::{Head, are_headers, body_length, check_entry, flaw_flag};
use super::turns::{FILL, TURN};
use super::{Attach, Event, Machine, Outgoing};
use crate::Key;
use crate::entry::{Entry, Partial, RecvHalf, SendHalf, StreamState};
use crate::error::{Blocked, Misbehaviour, SessionError};
use crate::frame::{self, ATTACHMENT, HEADER, Reader, Type, flag};
use crate::inbox::{Attachment, Flaw, Kind, Payload, SMALL, charge};

impl Machine {
    // ---- sending

    /// Sends a message. The attachments' entries are announced by it.
    ///
    /// # Errors
    /// Why not now. Unless it is [`Blocked::Gone`], [`Event::Writable`] follows when it may have changed.
    #[inline]
    pub fn try_send(&mut self, key: Key, message: Outgoing<'_>) -> Result<(), Blocked> {
        self.send(key, message, false)
    }

    /// The same for the usual message: a small payload that carries nothing. Few steps where nothing stands in its way.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[inline]
    pub fn try_send_plain(&mut self, key: Key, codec: u8, payload: &[u8]) -> Result<(), Blocked> {
        let length = body_length(payload.len(), 0, 0);
        let cost = charge(payload.len(), 0) as i32;
        let fits = length <= self.limits.max_frame as usize && self.out.len() < FILL && !self.shared;
        if fits
            && self.over.is_none()
            && self.said_goodbye.is_none()
            && let Some(half) = self.entries.send(key)
            && half.is_clear()
            && cost <= half.credit
        {
            half.sent = half.sent.wrapping_add(1);
            half.credit -= cost;
            self.clock.said = true;
            frame::header_and(&mut self.out.bytes, length, Type::Message, half.id, [0, codec]);
            self.out.bytes.extend_from_slice(payload);
            return Ok(());
        }
        let payload = Payload::Copy(payload);
        self.send(key, Outgoing { codec, flaw: Flaw::None, attachments: &[], headers: &[], payload }, false)
    }

    /// The same for the holder of the channel's backlog.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn send_backlog(&mut self, key: Key, message: Outgoing<'_>) -> Result<(), Blocked> {
        self.send(key, message, true)
    }

    fn send(&mut self, key: Key, mut message: Outgoing<'_>, backlog: bool) -> Result<(), Blocked> {
        if !are_headers(message.headers) {
            message.headers = &[];
        }
        let (full, shared, round) = (self.out.len() >= FILL, self.shared, self.round);
        let (small, floor) = (self.limits.initial_window as i32 / 2, self.floor);
        let max_frame = self.limits.max_frame as usize;
        let descriptors = count_descriptors(message.attachments);
        let descriptor_credit = self.descriptor_credit;
        let over = self.over.is_some() || self.said_goodbye.is_some();
        let Some(half) = self.entries.send(key) else { return Err(Blocked::Gone) };
        if half.backlog && !backlog {
            return Err(if half.cancelled().is_some() { Blocked::Gone } else { Blocked::Backlog });
        }
        let n = message.attachments.len();
        let cost = charge(message.payload.len() + message.headers.len(), n) as i32;
        // Half of a first window comes back whatever happens; what needs more is cut, once its first frame is worth it.
        let lacks = cost > half.credit && (cost <= small || half.credit < floor);
        let refused = half.refuses().or_else(|| {
            if over {
                Some(Blocked::Gone)
            } else if full || (shared && half.turn.left(round) == 0) {
                Some(Blocked::Congested)
            } else if lacks {
                Some(Blocked::Credit)
            } else if descriptors > descriptor_credit {
                Some(Blocked::Descriptors)
            } else {
                None
            }
        });
        if let Some(why) = refused {
            half.watched = true;
            self.stand_in_line(key, why);
            return Err(why);
        }
        let length = body_length(message.payload.len(), n, message.headers.len());
        half.sent = half.sent.wrapping_add(1);
        self.clock.said = true;
        if cost > half.credit || length > max_frame || (shared && length > TURN) {
            self.queue_large(key, message);
            return Ok(());
        }
        if shared {
            half.turn.spend(HEADER + length);
        }
        half.credit -= cost;
        let id = half.id;
        self.write_message(id, length, message);
        Ok(())
    }

    /// A send that was refused is told when it may be repeated.
    fn stand_in_line(&mut self, key: Key, why: Blocked) {
        let line = match why {
            Blocked::Congested => return self.enqueue(key),
            Blocked::Descriptors => &mut self.descriptor_waiters,
            _ => return,
        };
        // Who asks again and again stands in line once.
        if line.last() != Some(&key) {
            line.push(key);
        }
    }

    fn write_message(&mut self, id: u32, length: usize, message: Outgoing<'_>) {
        let headers = message.headers;
        let flags = flaw_flag(message.flaw) | if headers.is_empty() { 0 } else { flag::HEADERS };
        if message.attachments.is_empty() {
            frame::header_and(&mut self.out.bytes, length, Type::Message, id, [flags, message.codec]);
        } else {
            let start = self.out.len() as u64;
            let head = [flags | flag::ATTACHMENTS, message.codec];
            frame::header_and(&mut self.out.bytes, length, Type::Message, id, head);
            self.out.bytes.push(message.attachments.len() as u8);
            let mut table = std::mem::take(&mut self.out.bytes);
            let mut tokens = Vec::new();
            self.write_table(message.attachments, &mut table, &mut tokens);
            self.out.bytes = table;
            self.out.descriptors.extend(tokens.into_iter().map(|token| (start, token)));
        }
        if !headers.is_empty() {
            self.out.bytes.push(headers.len() as u8);
            self.out.bytes.extend_from_slice(headers);
        }
        match message.payload {
            Payload::Copy(payload) => self.out.bytes.extend_from_slice(payload),
            Payload::Share(payload) => self.out.add(payload),
            Payload::Parts(parts) => parts.into_iter().for_each(|part| self.out.add(part)),
        }
        self.after_table(message.attachments);
    }

    /// Writes the attachment table and marks its entries as announced.
    pub(super) fn write_table(&mut self, attachments: &[Attach], out: &mut Vec<u8>, tokens: &mut Vec<u32>) {
        for attach in attachments {
            let (kind, id, capacity, wanted) = match *attach {
                Attach::Channel(key) | Attach::Stream(key) => {
                    if let Some(id) = self.wire_id(key) {
                        self.entries.announce(id, key);
                    }
                    match self.entries.get_mut(key) {
                        Some(Entry::Send(half)) => {
                            half.announced = true;
                            let free = half.credit > 0 && (half.room() > 0 || half.demand() > 0);
                            if half.watched && free {
                                half.watched = false;
                                self.events.push_back(Event::Writable(key));
                            }
                            // `wanted` says whether the receiver is to announce its demand.
                            (
                                Kind::Receiver,
                                half.id,
                                half.capacity,
                                u32::from(!half.sole || half.capacity == 0),
                            )
                        }
                        Some(Entry::Recv(half)) => {
                            half.announced = true;
                            let wanted = if half.capacity == 0 { half.demand().waiting } else { 0 };
                            half.ask(wanted);
                            (Kind::Sender, half.id, half.capacity, wanted)
                        }
                        Some(Entry::Stream(stream)) => {
                            stream.announced = true;
                            (Kind::Stream, stream.id, 0, 0)
                        }
                        Some(Entry::Free) | None => (Kind::Stream, 0, 0, 0),
                    }
                }
                Attach::Descriptor(token) => {
                    tokens.push(token);
                    self.descriptor_credit -= 1;
                    self.descriptors_out += 1;
                    (Kind::Descriptor, 0, 0, 0)
                }
                Attach::SenderHome(key) => {
                    let id = self.entries.send(key).map_or(0, |half| half.id);
                    (Kind::SenderHome, id, 0, 0)
                }
            };
            out.push(kind as u8);
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&capacity.to_be_bytes());
            out.extend_from_slice(&wanted.to_be_bytes());
        }
    }

    /// After a message: what its attachments waited for it to say.
    pub(super) fn after_table(&mut self, attachments: &[Attach]) {
        for attach in attachments {
            match *attach {
                Attach::Stream(key) => self.begin_stream(key),
                Attach::SenderHome(key) => self.unpin(key),
                Attach::Channel(key) => self.begin_channel(key),
                Attach::Descriptor(_) => {}
            }
        }
    }

    // ---- receiving

    pub(super) fn on_message(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        if let [0, codec, payload @ ..] = body {
            return self.on_plain(id, *codec, payload);
        }
        let mut reader = Reader(body);
        let head = Head::parse(&mut reader, &self.limits)?;
        self.on_head(id, head, Part::Read(reader.0))
    }

    /// The first frame of a message, or all of it.
    pub(super) fn on_head(&mut self, id: u32, head: Head<'_>, part: Part<'_>) -> Result<(), SessionError> {
        head.check_length(part.len(), &self.limits)?;
        let Head { codec, flaw, table, headers, total, .. } = head;
        let count = table.len() / ATTACHMENT;
        let size = total.map_or(part.len(), |total| total as usize);
        let key = self.lookup(id)?;
        let floor = self.floor;
        let Some(half) = self.entries.recv(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        let wanted = !half.cancelled;
        if wanted {
            half.admit(charge(part.len() + headers.len(), count), floor)?;
        }
        let mut attachments = std::mem::take(&mut self.table);
        attachments.clear();
        self.take_table(table, &mut attachments)?;
        if !wanted {
            self.reject_all(&attachments);
            self.table = attachments;
            return self.check_control();
        }
        let (received, charge) = (part.len(), charge(size + headers.len(), count));
        match total {
            Some(total) => {
                let payload = match part {
                    Part::Placed(memory, _) => Some(memory),
                    Part::Between(_) => None,
                    Part::Read(bytes) => {
                        Some(self.memory.copy(bytes, total as usize, self.is_granted(key, charge)))
                    }
                };
                self.begin_partial(
                    key,
                    Partial {
                        codec,
                        flaw,
                        attachments,
                        headers: headers.to_vec(),
                        payload,
                        received,
                        total,
                        charge,
                    },
                );
            }
            None => {
                let payload = match part {
                    Part::Placed(memory, length) => Payload::Share(self.memory.lend(memory, length)),
                    Part::Read(bytes) => kept(bytes),
                    Part::Between(_) => Payload::Copy(&[]),
                };
                self.deliver(key, codec, flaw, headers, &attachments, payload);
                self.table = attachments;
            }
        }
        Ok(())
    }

    /// A message without flags: nothing but a payload, all of it here.
    fn on_plain(&mut self, id: u32, codec: u8, payload: &[u8]) -> Result<(), SessionError> {
        if payload.len() > self.limits.max_message as usize {
            return Err(Misbehaviour::MessageTooLarge.into());
        }
        let floor = self.floor;
        let Some((key, half)) = self.entries.recv_by_id(id) else {
            self.lookup(id)?;
            return Err(Misbehaviour::WrongEnd.into());
        };
        if half.cancelled {
            return Ok(());
        }
        half.admit(charge(payload.len(), 0), floor)?;
        if payload.len() >= SMALL || half.due || half.is_starved(floor) {
            self.deliver(key, codec, Flaw::None, &[], &[], kept(payload));
            return Ok(());
        }
        half.starving = false;
        let spare = &mut self.spare;
        let inbox = half.inbox.get_or_insert_with(|| spare.pop().unwrap_or_default());
        // Behind others it is nobody's news.
        if inbox.push_plain(codec, payload) == 1 {
            half.awaited = false;
            self.events.push_back(Event::Readable(key));
        }
        Ok(())
    }

    /// Enters the attachments that a message brings.
    fn take_table(&mut self, table: &[u8], attachments: &mut Vec<Attachment>) -> Result<(), Misbehaviour> {
        let mut table = Reader(table);
        let (window, stream) = (self.limits.initial_window, self.limits.stream_window);
        while !table.is_empty() {
            let (kind, id) = (table.u8()?, table.u32()?);
            let (capacity, wanted) = (table.u32()?, table.u32()?);
            let attachment = |kind, key| Attachment { kind, key, capacity, on_demand: wanted != 0 };
            attachments.push(match check_entry(kind, id, capacity, wanted)? {
                Kind::Sender => {
                    let mut half = SendHalf::new(id, false, capacity, capacity > 0, window);
                    half.wanted = wanted;
                    attachment(Kind::Sender, self.insert_theirs(id, Kind::Sender, Entry::Send(half))?)
                }
                Kind::Receiver => {
                    let half = RecvHalf::new(id, true, capacity, wanted == 1, window);
                    attachment(Kind::Receiver, self.insert_theirs(id, Kind::Receiver, Entry::Recv(half))?)
                }
                Kind::Stream => {
                    let entry = Entry::Stream(Box::new(StreamState::new(id, true, stream)));
                    attachment(Kind::Stream, self.insert_theirs(id, Kind::Stream, entry)?)
                }
                Kind::Descriptor => attachment(Kind::Descriptor, self.take_descriptor()?),
                Kind::SenderHome => {
                    let key = self.lookup(id)?;
                    let Some(half) = self.entries.recv(key) else { return Err(Misbehaviour::WrongEnd) };
                    // After our CANCEL it is a sender of nothing.
                    if !half.cancelled {
                        half.rare().holds += 1;
                    }
                    attachment(Kind::SenderHome, key)
                }
            });
        }
        Ok(())
    }

    /// Puts a whole message into its channel's inbox.
    pub(super) fn deliver(
        &mut self,
        key: Key,
        codec: u8,
        flaw: Flaw,
        headers: &[u8],
        attachments: &[Attachment],
        payload: Payload<'_>,
    ) {
        let (spare, floor) = (&mut self.spare, self.floor);
        let Some(Entry::Recv(half)) = self.entries.get_mut(key) else { return };
        let inbox = half.inbox.get_or_insert_with(|| spare.pop().unwrap_or_default());
        let was_empty = inbox.is_empty();
        inbox.push(codec, flaw, headers, attachments, payload);
        half.awaited = false;
        let waiting = inbox.len() as u32;
        // The arrival may have used up what the sender had: then what is owed goes out at once (rule 8).
        if half.is_starved(floor) {
            let out = half.untold.wrapping_sub(half.owed) > waiting;
            if out && !half.starving {
                half.starving = true;
                self.events.push_back(Event::Starved(key));
            }
            if was_empty {
                self.events.push_back(Event::Readable(key));
            }
            self.mark_due(key);
            return;
        }
        half.starving = false;
        if half.due {
            let most_waited = floor.max(self.limits.initial_window as i32 / 2);
            self.urgent |= half.is_short(most_waited);
        }
        if was_empty {
            self.events.push_back(Event::Readable(key));
        }
    }
}

impl SendHalf {
    /// Whether a message may start now, and nothing unusual is the matter.
    #[inline]
    fn is_clear(&self) -> bool {
        let usual = self.announced && !self.closed && !self.backlog && self.rare.is_none();
        usual && (self.room() > 0 || self.demand() > 0)
    }

    /// Why no message may start on this channel.
    fn refuses(&self) -> Option<Blocked> {
        if self.closed || self.cancelled().is_some() {
            Some(Blocked::Gone)
        } else if !self.announced {
            Some(Blocked::Unannounced)
        } else if self.room() == 0 && self.demand() == 0 {
            Some(Blocked::Room)
        } else {
            None
        }
    }
}

impl RecvHalf {
    /// Counts the start of a message; it must have been granted.
    #[inline]
    fn admit(&mut self, charge: u32, floor: i32) -> Result<(), Misbehaviour> {
        if self.closed || self.rare.as_ref().is_some_and(|rare| rare.partial.is_some()) {
            return Err(if self.closed { Misbehaviour::AfterEnd } else { Misbehaviour::Fragment });
        }
        if self.untold >= self.capacity && self.demand().asked <= 0 {
            return Err(Misbehaviour::MessageCredit);
        }
        if !self.window.arrive(charge, floor) {
            return Err(Misbehaviour::ByteCredit);
        }
        self.untold += 1;
        if self.serves_demand() {
            let asked = &mut self.rare().demand.asked;
            *asked = asked.wrapping_sub(1);
        }
        Ok(())
    }
}

/// Small payloads are copied into the inbox, large ones kept as they are.
fn kept(payload: &[u8]) -> Payload<'_> {
    match payload.len() {
        ..SMALL => Payload::Copy(payload),
        _ => Payload::Share(Bytes::copy_from_slice(payload)),
    }
}

fn count_descriptors(attachments: &[Attach]) -> u32 {
    attachments.iter().filter(|attach| matches!(attach, Attach::Descriptor(_))).count() as u32
}
