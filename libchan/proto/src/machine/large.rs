//! Large messages: leaving in fragments, arriving in them, and the memory they wait for.

use std::collections::VecDeque;

use bytes::Bytes;

use super::begun::Part;
use super::head::flaw_flag;
use super::turns::TURN;
use super::{Event, Machine, Outgoing};
use crate::Key;
use crate::entry::{Entry, Large, Partial, RecvHalf};
use crate::error::{Misbehaviour, SessionError};
use crate::frame::{self, ATTACHMENT, HEADER, Type, flag};
use crate::inbox::{Payload, charge};
use crate::output::Output;

impl Machine {
    // ---- leaving

    pub(super) fn queue_large(&mut self, key: Key, message: Outgoing<'_>) {
        let attachments = message.attachments;
        let mut table = Vec::with_capacity(message.attachments.len() * ATTACHMENT);
        let mut tokens = Vec::new();
        self.write_table(message.attachments, &mut table, &mut tokens);
        let total = message.payload.len();
        let parts = match message.payload {
            Payload::Copy(payload) => VecDeque::from([Bytes::copy_from_slice(payload)]),
            Payload::Share(payload) => VecDeque::from([payload]),
            Payload::Parts(parts) => parts.into(),
        };
        let large = Large {
            parts,
            total,
            sent: 0,
            codec: message.codec,
            flaw: message.flaw,
            table,
            headers: message.headers.to_vec(),
            tokens,
            started: false,
        };
        if let Some(half) = self.entries.send(key) {
            half.rare().large = Some(large);
            self.large_open += 1;
        }
        // The message that names a channel goes before what is sent on the channel.
        if attachments.is_empty() || self.write_fragment(key, TURN) {
            self.enqueue(key);
        }
        self.after_table(attachments);
    }

    /// Puts a large message back in line after credit has come.
    pub(super) fn requeue_large(&mut self, key: Key) {
        let Some(half) = self.entries.send(key) else { return };
        let credit = half.credit;
        if let Some(large) = half.rare.as_mut().and_then(|rare| rare.large.as_mut())
            && large.sent < large.total
            && credit > 0
        {
            self.enqueue(key);
        }
    }

    /// Writes the next frame of a large message, of `most` bytes unless it is the first one. True: more can follow.
    pub(super) fn write_fragment(&mut self, key: Key, most: usize) -> bool {
        let max = (self.limits.max_frame as usize).min(most.saturating_sub(HEADER));
        let round = self.round;
        let Some(half) = self.entries.send(key) else { return false };
        let (id, credit) = (half.id, half.credit);
        let Some(large) = half.rare.as_mut().and_then(|rare| rare.large.as_mut()) else { return false };
        let table = if large.table.is_empty() { 0 } else { 1 + large.table.len() };
        let headers = if large.headers.is_empty() { 0 } else { 1 + large.headers.len() };
        let overhead = if large.started { 1 } else { 6 + table + headers };
        let left = large.total - large.sent;
        if credit <= 0 {
            return false;
        }
        let fixed = if large.started {
            0
        } else {
            charge(large.headers.len(), large.table.len() / ATTACHMENT) as usize
        };
        let size = left.min(max.saturating_sub(overhead).max(1)).min((credit as usize).saturating_sub(fixed));
        let cost = (size + fixed) as i32;
        let more = size < left;
        let start = self.out.len() as u64;
        let out = &mut self.out.bytes;
        if large.started {
            frame::header(out, 1 + size, Type::Fragment, id);
            out.push(if more { flag::MORE } else { 0 });
        } else {
            write_first(out, id, large, size, more);
            self.out.descriptors.extend(large.tokens.drain(..).map(|token| (start, token)));
        }
        large.started = true;
        large.add_to(&mut self.out, size);
        half.credit -= cost;
        half.turn.left(round);
        half.turn.spend(HEADER + overhead + size);
        if more {
            return half.credit > 0;
        }
        self.large_is_out(key);
        false
    }

    /// The large message of the channel will not be sent on: it is out, or nobody wants it any more.
    pub(super) fn drop_large(&mut self, key: Key) {
        let large = self.entries.send(key).and_then(|half| half.rare.as_mut()?.large.take());
        self.large_open -= usize::from(large.is_some());
    }

    /// The large message of the channel has gone: the channel may send again, or close.
    fn large_is_out(&mut self, key: Key) {
        self.drop_large(key);
        let Some(half) = self.entries.send(key) else { return };
        let pinned = half.pins > 0;
        let rare = half.rare();
        if !pinned && rare.close.is_some() {
            self.say_close(key);
        } else if half.watched && half.cancelled().is_none() && half.credit > 0 {
            half.watched = false;
            self.events.push_back(Event::Writable(key));
        }
    }

    // ---- arriving

    pub(super) fn begin_partial(&mut self, key: Key, partial: Partial) {
        let Some(half) = self.entries.recv(key) else { return };
        half.rare().partial = Some(partial);
        self.line_up(key);
        self.mark_due(key);
    }

    /// Whether a message with this charge fits what its channel may hold.
    pub(super) fn is_granted(&self, key: Key, charge: u32) -> bool {
        matches!(self.entries.get(key), Entry::Recv(half) if half.window.lacks(charge) == 0)
    }

    /// A large message joins the line of those that wait for memory, or leaves it, by what is so now.
    #[inline]
    pub(super) fn line_up(&mut self, key: Key) {
        let Some(half) = self.entries.recv(key).filter(|half| half.is_arriving()) else { return };
        let waits = half.waits_for_memory();
        let lined = std::mem::replace(&mut half.rare().lined, waits);
        if waits && !lined {
            self.reservations.push_back(key);
            self.serve_line();
        } else if lined && !waits {
            self.unline(key);
        }
    }

    /// Nobody waits for the large message any more, or it will not be whole.
    pub(super) fn leave_line(&mut self, key: Key) {
        let rare = self.entries.recv(key).and_then(|half| half.rare.as_mut());
        if rare.is_some_and(|rare| std::mem::take(&mut rare.lined)) {
            self.unline(key);
        }
    }

    /// Whoever was behind it may go on.
    fn unline(&mut self, key: Key) {
        self.reservations.retain(|other| *other != key);
        self.serve_line();
    }

    /// Grants memory to large messages, first come first served.
    pub(super) fn serve_line(&mut self) {
        while let Some(&key) = self.reservations.front() {
            if let Some(half) = self.entries.recv(key)
                && let Some(rare) = &mut half.rare
                && let Some(partial) = &rare.partial
            {
                let lacks = half.window.lacks(partial.charge);
                if !self.beyond.reserve(lacks) {
                    return;
                }
                half.window.add(lacks);
                rare.lined = false;
                self.urgent = true;
                if !std::mem::replace(&mut half.due, true) {
                    self.due.push(key);
                }
            }
            self.reservations.pop_front();
        }
    }

    pub(super) fn on_fragment(&mut self, id: u32, flags: u8, part: Part<'_>) -> Result<(), SessionError> {
        let key = self.lookup(id)?;
        let floor = self.floor;
        let Some(half) = self.entries.recv(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        if half.cancelled {
            return Ok(());
        }
        let more = check_fragment(flags, part.len())?;
        let Some(partial) = half.rare.as_mut().and_then(|rare| rare.partial.as_mut()) else {
            return Err(Misbehaviour::Fragment.into());
        };
        let have = partial.received + part.len();
        let last = !more;
        if have > partial.total as usize || last != (have == partial.total as usize) {
            return Err(Misbehaviour::Fragment.into());
        }
        let longest = self.limits.max_frame as usize - 1;
        self.run.fragment(id, part.len() == longest.min(partial.total as usize - partial.received));
        if !half.window.arrive(part.len() as u32, floor) {
            return Err(Misbehaviour::ByteCredit.into());
        }
        partial.received = have;
        partial.add(part, have);
        if last && let Some(partial) = half.rare.as_mut().and_then(|rare| rare.partial.take()) {
            let payload = self.memory.lend(partial.payload.unwrap_or_default(), have);
            let payload = Payload::Share(payload);
            let Partial { codec, flaw, headers, attachments, .. } = partial;
            self.deliver(key, codec, flaw, &headers, &attachments, payload);
        } else {
            self.mark_due(key);
        }
        Ok(())
    }
}

impl Large {
    /// Appends the next `size` bytes of the payload to `out`.
    fn add_to(&mut self, out: &mut Output, size: usize) {
        let mut size = size;
        self.sent += size;
        while size > 0
            && let Some(part) = self.parts.front_mut()
        {
            let next = part.split_to(size.min(part.len()));
            size -= next.len();
            if part.is_empty() {
                self.parts.pop_front();
            }
            out.add(next);
        }
    }
}

impl RecvHalf {
    /// Whether a message has begun to arrive.
    pub(super) fn is_arriving(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.partial.is_some())
    }

    /// Whether a message that is larger than the window arrives, a receive waits for it, and nothing else can be taken.
    fn waits_for_memory(&self) -> bool {
        let Some(partial) = self.rare.as_ref().and_then(|rare| rare.partial.as_ref()) else { return false };
        let awaited = self.awaited || self.demand().waiting > 0;
        let empty = self.inbox.as_ref().is_none_or(|inbox| inbox.is_empty());
        awaited && empty && !self.cancelled && self.window.lacks(partial.charge) > 0
    }
}

impl Partial {
    /// Takes in a part of the payload, which is `to` bytes then.
    fn add(&mut self, part: Part<'_>, to: usize) {
        match part {
            Part::Placed(memory, _) => self.payload = Some(memory),
            Part::Between(_) => {}
            Part::Read(bytes) => {
                let total = self.total as usize;
                let payload = self.payload.get_or_insert_default();
                payload.up_to(to, total)[to - bytes.len()..].copy_from_slice(bytes);
            }
        }
    }
}

/// Of a FRAGMENT with so many bytes of payload: whether further ones follow.
pub(crate) fn check_fragment(flags: u8, part: usize) -> Result<bool, Misbehaviour> {
    if flags & !flag::MORE != 0 || part == 0 {
        return Err(Misbehaviour::Field);
    }
    Ok(flags & flag::MORE != 0)
}

fn write_first(out: &mut Vec<u8>, id: u32, large: &Large, size: usize, more: bool) {
    let mut flags = flaw_flag(large.flaw);
    let mut length = 2 + size;
    if !large.table.is_empty() {
        flags |= flag::ATTACHMENTS;
        length += 1 + large.table.len();
    }
    if !large.headers.is_empty() {
        flags |= flag::HEADERS;
        length += 1 + large.headers.len();
    }
    if more {
        flags |= flag::MORE;
        length += 4;
    }
    frame::header(out, length, Type::Message, id);
    out.extend_from_slice(&[flags, large.codec]);
    if !large.table.is_empty() {
        out.push((large.table.len() / ATTACHMENT) as u8);
        out.extend_from_slice(&large.table);
    }
    if !large.headers.is_empty() {
        out.push(large.headers.len() as u8);
        out.extend_from_slice(&large.headers);
    }
    if more {
        out.extend_from_slice(&(large.total as u32).to_be_bytes());
    }
}
