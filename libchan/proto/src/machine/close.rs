//! How a channel ends: the sender's CLOSE, the receiver's CANCEL, and what each answers.

use super::{Event, Machine};
use crate::Key;
use crate::code;
use crate::credit::Window;
use crate::entry::{Cancel, Close, Entry, Last, Scope};
use crate::error::{Misbehaviour, Reason, SessionError};
use crate::frame::{self, Reader, Type};
use crate::inbox::Inbox;

impl Machine {
    /// The sending end ends, after what was sent. The key is no longer ours to use.
    pub fn close(&mut self, key: Key, scope: Scope, reason: Option<Reason>) {
        let Some(half) = self.entries.send(key).filter(|half| !half.closed) else { return };
        half.closed = true;
        if half.last != Last::Unsaid || self.over.is_some() {
            // The receiver's CANCEL was answered already.
            return self.drop_entry(key);
        }
        half.rare().close = Some(Close { scope, reason });
        self.say_close(key);
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
        self.say_close(key);
    }

    /// Sends the CLOSE that waits, if nothing goes before it any more: the message that names the channel, those that are
    /// to name it, a large one on the channel itself.
    pub(super) fn say_close(&mut self, key: Key) {
        let Some(half) = self.entries.send(key) else { return };
        if !half.announced || half.pins > 0 || half.has_large() {
            return;
        }
        let Some(Close { scope, reason }) = half.rare.as_mut().and_then(|rare| rare.close.take()) else {
            return;
        };
        let (id, used) = (half.id, !half.closed);
        let finished = !half.own || half.cancelled().is_some();
        // A code of 0 is the clean end, which has no text.
        let reason = reason.filter(|reason| reason.code != code::NONE).unwrap_or_default();
        self.control_frame(|out| frame::with_reason(out, Type::Close, id, &[scope as u8], &reason));
        match (finished, used) {
            (false, _) => self.entries.note_parting(key),
            (true, true) => self.finish_entry(key),
            (true, false) => self.drop_entry(key),
        }
    }

    pub(super) fn on_close(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let Close { scope, reason } = parse_close(body)?;
        let key = self.lookup(id)?;
        let Some(half) = self.entries.recv(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        let cut = half.rare.as_mut().and_then(|rare| rare.partial.take());
        if half.closed || (cut.is_some() && reason.is_none()) {
            return Err(Misbehaviour::AfterEnd.into());
        }
        half.closed = true;
        if half.cancelled {
            // The peer has our last word on it, and may give its id again.
            self.drop_entry(key);
            return Ok(());
        }
        match (scope, reason) {
            (Scope::End, None) => half.clean = true,
            (scope, reason) => half.rare().close = Some(Box::new(Close { scope, reason })),
        }
        self.events.push_back(Event::Readable(key));
        if let Some(partial) = cut {
            self.leave_line(key);
            self.reject_all(&partial.attachments);
            return self.check_control();
        }
        Ok(())
    }

    /// The receiving end ends; what waits is dropped, `spare` with it. The key is no longer ours to use.
    pub fn cancel(&mut self, key: Key, scope: Scope, reason: Reason, spare: Option<Box<Inbox>>) {
        let Some(half) = self.entries.recv(key).filter(|half| !half.cancelled) else { return };
        half.cancelled = true;
        if !half.announced && self.over.is_none() {
            // The message that names it may be on its way out: the last word follows it.
            half.rare().cancel = Some(Box::new(Cancel { scope, reason }));
            return;
        }
        self.say_cancel(key, scope, &reason, spare);
    }

    fn say_cancel(&mut self, key: Key, scope: Scope, reason: &Reason, spare: Option<Box<Inbox>>) {
        let Some(half) = self.entries.recv(key) else { return };
        let inbox = half.inbox.take();
        let (id, owed, closed) = (half.id, half.owed, half.closed);
        self.leave_line(key);
        let Some(half) = self.entries.recv(key) else { return };
        // Nothing that still comes counts.
        let rare = half.rare.take().map(|rare| *rare).unwrap_or_default();
        if rare.opening.is_some() {
            self.pending_accepts -= 1;
        }
        self.release_window(key);
        for inbox in [spare, inbox].into_iter().flatten() {
            self.discard_inbox(inbox);
        }
        if let Some(partial) = rare.partial {
            self.reject_all(&partial.attachments);
        }
        if self.over.is_some() {
            return self.drop_entry(key);
        }
        if !closed {
            return self.send_cancel(id, scope, owed, reason);
        }
        if self.entries.is_theirs(id) {
            // What had arrived was held until now, and counted: only now may the peer forget it.
            self.send_cancel(id, Scope::End, owed, &Reason::none());
        }
        self.drop_entry(key);
    }

    /// The entry has been announced: says what was said of it before.
    pub(super) fn begin_channel(&mut self, key: Key) {
        match self.entries.get_mut(key) {
            Some(Entry::Send(half)) if half.closed => self.say_close(key),
            Some(Entry::Recv(half)) if half.cancelled => {
                if let Some(cancel) = half.rare.as_mut().and_then(|rare| rare.cancel.take()) {
                    self.say_cancel(key, cancel.scope, &cancel.reason, None);
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
        let Some(key) = self.lookup_crossed(id)? else { return Ok(()) };
        let Some(half) = self.entries.send(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        if half.cancelled().is_some() {
            return Err(Misbehaviour::AfterEnd.into());
        }
        if half.sent.wrapping_sub(half.taken) < taken {
            return Err(Misbehaviour::CreditOverflow.into());
        }
        half.taken = half.taken.wrapping_add(taken);
        half.rare().cancelled = Some(Cancel { scope, reason });
        let (used, said, track) = (!half.closed, half.last != Last::Unsaid, half.track);
        self.drop_large(key);
        if said {
            self.drop_entry(key);
            return Ok(());
        }
        if used {
            if track && taken > 0 {
                self.events.push_back(Event::Taken(key, taken));
            }
            self.events.push_back(Event::Cancelled(key));
        }
        // It is answered at once, behind the messages that are to name the channel.
        if let Some(half) = self.entries.send(key) {
            half.rare().close.get_or_insert(Close { scope: Scope::End, reason: None });
        }
        self.say_close(key);
        self.check_control()
    }

    /// The id is finished: gives back what it was charged. The entry stays for who uses it here.
    pub(super) fn finish_entry(&mut self, key: Key) {
        let charge = self.charge_of(key);
        if self.entries.finish(key) {
            self.uncharge(charge);
            self.release_window(key);
        }
    }

    /// Frees an entry and gives back what it was charged.
    pub(super) fn drop_entry(&mut self, key: Key) {
        self.drop_large(key);
        self.leave_line(key);
        self.release_window(key);
        let charge = self.charge_of(key);
        let (entry, charged) = self.entries.remove(key);
        if charged {
            self.uncharge(charge);
        }
        if let Entry::Recv(half) = entry
            && let Some(inbox) = half.inbox
        {
            self.discard_inbox(inbox);
        }
    }

    /// Nothing more is kept of what arrives: gives back what the window has beyond the first one.
    pub(super) fn release_window(&mut self, key: Key) {
        let (first, stream_first) = (self.limits.initial_window, self.limits.stream_window);
        let (window, first) = match self.entries.get_mut(key) {
            Some(Entry::Recv(half)) => (&mut half.window, first),
            Some(Entry::Stream(stream)) => (&mut stream.window, stream_first),
            _ => return,
        };
        let (growth, extra) = (window.size() - first, window.extra());
        *window = Window::new(first);
        self.beyond.shrink(growth);
        if extra > 0 {
            self.beyond.release(extra);
            self.serve_line();
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
