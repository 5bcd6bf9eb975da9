//! How a channel ends: the sender's CLOSE, the receiver's CANCEL, and what each answers.

use super::{Event, Machine};
use crate::Key;
use crate::code;
use crate::entry::{Cancel, Close, Entry, Partial, RareRecv, Scope};
use crate::error::{Misbehaviour, Reason, SessionError};
use crate::frame::{self, Reader, Type};
use crate::inbox::Inbox;

impl Machine {
    /// The sending end ends, after what was sent. The key is no longer ours to use.
    pub fn close(&mut self, key: Key, scope: Scope, reason: Option<Reason>) {
        let Some(half) = self.entries.send(key).filter(|half| !half.over) else { return };
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
        } else {
            self.entries.note_over(key);
        }
    }

    pub(super) fn on_close(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let Close { scope, reason } = parse_close(body)?;
        let reason = reason.unwrap_or_default();
        let Some(key) = self.lookup(id)? else { return Ok(()) };
        let Some(half) = self.entries.recv(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        // Only a message that we have said we do not want may be cut.
        let partial = half.rare.as_mut().and_then(|rare| rare.partial.take());
        if half.closed || (partial.is_some() && !half.cancelled) {
            return Err(Misbehaviour::AfterEnd.into());
        }
        half.closed = true;
        if half.cancelled {
            // The peer has our last word on it, and may give its id again.
            self.entries.unlink(id, key);
            self.drop_unheld(key);
            return Ok(());
        }
        let reason = match (reason.code, &partial) {
            (code::NONE, None) => None,
            (code::NONE, Some(_)) => Some(Reason::of(code::DISCONNECTED)),
            _ => Some(reason),
        };
        if let Some(half) = self.entries.recv(key) {
            match (scope, reason) {
                (Scope::End, None) => half.clean = true,
                (scope, reason) => half.rare().close = Some(Box::new(Close { scope, reason })),
            }
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
            half.rare().cancel = Some(Box::new(Cancel { scope, reason }));
            return;
        }
        let inbox = half.inbox.take();
        let rare = half.rare.take().map(|rare| *rare).unwrap_or_default();
        let (id, owed, closed) = (half.id, half.owed, half.closed);
        let mut cut = Vec::new();
        // What is still to come of a message must be known as such, and the slot kept while a message names it.
        let partial = rare.partial.map(|mut partial| {
            cut = std::mem::take(&mut partial.attachments);
            Partial { payload: None, ..partial }
        });
        let (holds, demand) = (rare.holds, rare.demand);
        let rest = RareRecv { partial, holds, demand, ..RareRecv::default() };
        half.rare = (!rest.is_empty()).then(|| Box::new(rest));
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
            if self.entries.is_theirs(id) {
                // What had arrived was held until now, and counted: only now may the peer forget it.
                self.send_cancel(id, Scope::End, owed, &Reason::none());
                self.entries.unlink(id, key);
            }
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
        let (Cancel { scope, reason }, taken) = parse_cancel(body)?;
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
}

pub(crate) fn parse_close(body: &[u8]) -> Result<Close, Misbehaviour> {
    let mut body = Reader(body);
    let scope = parse_scope(body.u8()?)?;
    let reason = body.reason()?;
    if reason.code == code::NONE && !reason.text.is_empty() {
        return Err(Misbehaviour::Field);
    }
    Ok(Close { scope, reason: (reason.code != code::NONE).then_some(reason) })
}

/// And how many were taken.
pub(crate) fn parse_cancel(body: &[u8]) -> Result<(Cancel, u32), Misbehaviour> {
    let mut body = Reader(body);
    let scope = parse_scope(body.u8()?)?;
    let taken = body.u32()?;
    Ok((Cancel { scope, reason: body.reason()? }, taken))
}

fn parse_scope(byte: u8) -> Result<Scope, Misbehaviour> {
    match byte {
        0 => Ok(Scope::End),
        1 => Ok(Scope::Channel),
        _ => Err(Misbehaviour::Field),
    }
}
