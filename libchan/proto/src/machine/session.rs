//! The session as a whole: hello, ping, silence, goodbye, the end.

use std::time::Duration;

use super::{Event, GoodbyeState, Machine};
use crate::credit::Pool;
use crate::entry::{Cancel, Close, Entry, Scope};
use crate::error::{Denial, Misbehaviour, Reason, SessionError};
use crate::frame::{self, PREFACE, Type};
use crate::hello::Hello;
use crate::{Key, code};

/// Pings are counted over so long.
const PING_PERIOD: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn say_hello(&mut self) {
        let body = self.hello.encode();
        self.out.bytes.extend_from_slice(&PREFACE);
        frame::header(&mut self.out.bytes, body.len(), Type::Hello, 0);
        self.out.bytes.extend_from_slice(&body);
    }

    pub(super) fn on_hello(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        if self.established.is_some() || id != 0 {
            return Err(Misbehaviour::Hello.into());
        }
        let peer = Hello::decode(body)?;
        let established = self.hello.agree(peer, self.role == crate::Role::Dialer)?;
        self.limits = established.limits.clone();
        self.beyond = Pool::new(self.limits.session_memory);
        self.floor = self.limits.floor() as i32;
        self.descriptor_credit = self.limits.max_descriptors;
        self.established = Some(Box::new(established));
        self.events.push_back(Event::Established);
        Ok(())
    }

    /// Says goodbye in the place of our hello, which must not have been handed out yet: there will be no session.
    pub fn deny(&mut self, why: Denial, text: &str) {
        self.out.clear();
        self.out.bytes.extend_from_slice(&PREFACE);
        let reason = Reason { code: why.code(), text: text.to_owned() };
        frame::with_reason(&mut self.out.bytes, Type::Goodbye, 0, &[], &reason);
        self.said_goodbye = Some(GoodbyeState::Sent);
        self.over = Some(SessionError::Closed);
    }

    /// The link has ended or failed.
    ///
    /// # Errors
    /// [`SessionError::Lost`] unless both sides had said goodbye.
    pub fn handle_eof(&mut self) -> Result<(), SessionError> {
        if let Some(why) = &self.over {
            return if self.has_closed() { Ok(()) } else { Err(why.clone()) };
        }
        self.fail(SessionError::Lost);
        Err(SessionError::Lost)
    }

    /// Tells the time; call it every few seconds.
    ///
    /// # Errors
    /// The session is over: no hello in time, a silent peer, or one that does not read.
    pub fn handle_tick(&mut self, now: Duration) -> Result<(), SessionError> {
        if let Some(why) = &self.over {
            return if self.reads_no_more() { Ok(()) } else { Err(why.clone()) };
        }
        self.memory.tick();
        self.beyond.tick();
        let clock = &mut self.clock;
        if std::mem::take(&mut clock.heard) {
            clock.last_heard = now;
        }
        if std::mem::take(&mut clock.said) {
            clock.last_said = now;
        }
        if now.saturating_sub(clock.pings_since) >= PING_PERIOD {
            clock.pings = 0;
            clock.pings_since = now;
        }
        let error = if self.established.is_none() {
            let late = now.saturating_sub(clock.started) >= self.limits.hello_timeout;
            late.then_some(SessionError::HelloTimeout)
        } else if now.saturating_sub(clock.last_heard) >= self.limits.dead_after {
            Some(SessionError::PeerSilent)
        } else {
            None
        };
        if let Some(error) = error {
            self.fail(error.clone());
            return Err(error);
        }
        // Ours may come in a burst; what has not left since the last tick is not read.
        let much = self.unsent_control > self.limits.max_control_bytes as usize;
        if std::mem::replace(&mut self.stuck, much) && much {
            self.fail(SessionError::PeerNotReading);
            return Err(SessionError::PeerNotReading);
        }
        let quiet = now.saturating_sub(self.clock.last_said) >= self.limits.ping_after;
        if quiet && self.established.is_some() && self.said_goodbye.is_none() {
            self.ping();
            self.clock.last_said = now;
        }
        Ok(())
    }

    /// Whether [`handle_tick`](Self::handle_tick) at this time would end the session because nothing was heard of the peer. A
    /// process that stood still looks at the link once more before it judges: what came meanwhile waits there.
    pub fn is_silent(&self, now: Duration) -> bool {
        let quiet = now.saturating_sub(self.clock.last_heard) >= self.limits.dead_after;
        quiet && !self.clock.heard && self.established.is_some() && self.over.is_none()
    }

    pub(super) fn on_ping(&mut self, kind: Type, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let number: [u8; 8] = body.try_into().map_err(|_| Misbehaviour::FrameTooShort)?;
        if id != 0 {
            return Err(Misbehaviour::Field.into());
        }
        if kind == Type::Pong {
            self.events.push_back(Event::Pong(u64::from_be_bytes(number)));
            return Ok(());
        }
        self.clock.pings += 1;
        if self.clock.pings > self.limits.max_pings {
            return Err(Misbehaviour::PingFlood.into());
        }
        self.control_frame(|out| frame::eight(out, Type::Pong, number));
        self.check_control()
    }

    /// Appends a frame that needs no credit.
    pub(super) fn control_frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.said_goodbye == Some(GoodbyeState::Sent) || self.over.is_some() {
            return;
        }
        let before = self.out.bytes.len();
        write(&mut self.out.bytes);
        let written = self.out.bytes.len() - before;
        self.unsent_control += written;
        if self.answering {
            self.answers += written;
        }
    }

    /// A peer that asks for answers and never reads them ends its session.
    pub(super) fn check_control(&self) -> Result<(), SessionError> {
        if self.answers > self.limits.max_control_bytes as usize {
            return Err(SessionError::PeerNotReading);
        }
        Ok(())
    }

    /// The peer broke a rule that only the link's reader can see: tells it, and ends the session. Gives what it ended with.
    pub fn misbehaved(&mut self, what: Misbehaviour) -> SessionError {
        if let Some(why) = &self.over {
            return why.clone();
        }
        let why = SessionError::from(what);
        self.fail(why.clone());
        why
    }

    /// Says goodbye: nothing of ours follows. What was accepted goes out before it, large messages included, however long
    /// they wait for credit: [`goodbye_now`](Self::goodbye_now) ends that. Before the peer's hello the session is over at
    /// once, and a reason without a code becomes [`code::UNAVAILABLE`].
    pub fn goodbye(&mut self, reason: Reason) {
        if self.said_goodbye.is_some() || self.over.is_some() {
            return;
        }
        if self.established.is_none() {
            return self.leave_unheard(reason);
        }
        self.said_goodbye = Some(GoodbyeState::Queued);
        self.goodbye_reason = reason;
        self.flush_goodbye();
    }

    /// There will be no session. Before the peer's hello only a goodbye with a code may leave (SE-01).
    fn leave_unheard(&mut self, mut reason: Reason) {
        if reason.code == code::NONE {
            reason.code = code::UNAVAILABLE;
        }
        self.control_frame(|out| frame::with_reason(out, Type::Goodbye, 0, &[], &reason));
        self.said_goodbye = Some(GoodbyeState::Sent);
        self.fail(SessionError::Closed);
    }

    /// Says goodbye, and lets what was accepted and has not left be lost. True: something was.
    pub fn goodbye_now(&mut self, reason: Reason) -> bool {
        let cut = self.cut_large();
        self.line.clear();
        self.goodbye(reason);
        self.flush_goodbye();
        cut
    }

    /// The peer was let in for a time that is over: tells it so by a goodbye with the code UNAUTHORIZED, and ends the session. What
    /// arrives from here on is not read; the driver waits for the peer to drop the link, because a link that is dropped with
    /// bytes unread may lose the goodbye. Nothing happens if the session is over already.
    pub fn end_admission(&mut self, text: &str) {
        if self.over.is_some() {
            return;
        }
        if self.said_goodbye != Some(GoodbyeState::Sent) {
            let reason = Reason { code: code::UNAUTHORIZED, text: text.to_owned() };
            self.control_frame(|out| frame::with_reason(out, Type::Goodbye, 0, &[], &reason));
            self.said_goodbye = Some(GoodbyeState::Sent);
        }
        self.fail(SessionError::AdmissionOver(text.to_owned()));
    }

    /// Messages that were accepted and have not left never will. True: there were some.
    fn cut_large(&mut self) -> bool {
        if self.large_open == 0 {
            return false;
        }
        for key in self.entries.keys() {
            self.drop_large(key);
        }
        self.cut = true;
        true
    }

    /// Whether messages that were accepted were lost because the session ended before they could leave.
    pub fn has_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn flush_goodbye(&mut self) {
        if self.may_say_goodbye() {
            self.flush_credit();
            let reason = std::mem::take(&mut self.goodbye_reason);
            self.control_frame(|out| frame::with_reason(out, Type::Goodbye, 0, &[], &reason));
            self.said_goodbye = Some(GoodbyeState::Sent);
        }
    }

    /// The goodbye is queued, and nothing goes before it any more.
    pub(super) fn may_say_goodbye(&self) -> bool {
        self.said_goodbye == Some(GoodbyeState::Queued) && self.large_open == 0 && self.line.is_empty()
    }

    /// Whether the session has ended: its link did, both sides said goodbye, or one broke a rule.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Why the session has ended, if it has.
    pub fn end(&self) -> Option<&SessionError> {
        self.over.as_ref()
    }

    /// Whether the peer has said goodbye.
    pub fn peer_said_goodbye(&self) -> bool {
        self.peer_goodbye
    }

    /// Whether every sending end and every stream has said its last: a goodbye takes nothing away.
    pub fn is_settled(&self) -> bool {
        self.entries.keys().into_iter().all(|key| match self.entries.get(key) {
            Entry::Free | Entry::Recv(_) => true,
            Entry::Stream(stream) => stream.end_sent,
            Entry::Send(half) => half.closed && !half.has_large(),
        })
    }

    /// Whether nothing waits to be written.
    pub fn is_drained(&self) -> bool {
        !self.is_urgent() && self.said_goodbye != Some(GoodbyeState::Queued)
    }

    /// The session is over: tells the peer why, if it is to blame, and everybody here.
    pub(super) fn fail(&mut self, why: SessionError) {
        let code = why.code();
        if code != code::NONE && self.said_goodbye != Some(GoodbyeState::Sent) {
            let reason = Reason { code, text: why.to_string() };
            self.control_frame(|out| frame::with_reason(out, Type::Goodbye, 0, &[], &reason));
            self.said_goodbye = Some(GoodbyeState::Sent);
        }
        let told = if why == SessionError::Closed { code::SESSION_CLOSED } else { code::DISCONNECTED };
        self.cut |= self.large_open > 0;
        self.over = Some(why);
        self.end_all(told);
    }

    /// Nothing more will arrive, and nothing will leave: what its own side had not ended ends with `code`.
    fn end_all(&mut self, code: u16) {
        self.reservations.clear();
        for key in self.entries.keys() {
            match self.entries.get_mut(key) {
                Some(Entry::Recv(_)) => self.lose_receiver(key, code),
                Some(Entry::Send(_)) => self.lose_sender(key, code),
                Some(Entry::Stream(stream)) => {
                    stream.ended.get_or_insert_with(|| Reason::of(code));
                    stream.stopped.get_or_insert_with(|| Reason::of(code));
                    self.events.push_back(Event::StreamReadable(key));
                    self.events.push_back(Event::StreamWritable(key));
                    self.finish_stream(key);
                }
                Some(Entry::Free) | None => {}
            }
        }
        self.line.clear();
        self.guests = 0;
        self.shared = false;
        self.large_open = 0;
    }

    fn lose_receiver(&mut self, key: Key, code: u16) {
        let Some(half) = self.entries.recv(key) else { return };
        if half.cancelled {
            return self.drop_entry(key);
        }
        if !half.closed {
            half.closed = true;
            let reason = Some(Reason::of(code));
            half.rare().close = Some(Box::new(Close { scope: Scope::End, reason }));
        }
        let partial = half.rare.as_mut().and_then(|rare| {
            rare.lined = false;
            rare.partial.take()
        });
        self.events.push_back(Event::Readable(key));
        if let Some(partial) = partial {
            self.reject_all(&partial.attachments);
        }
    }

    fn lose_sender(&mut self, key: Key, code: u16) {
        let Some(half) = self.entries.send(key) else { return };
        if half.closed {
            return self.drop_entry(key);
        }
        if half.cancelled().is_none() {
            half.rare().cancelled = Some(Cancel { scope: Scope::End, reason: Reason::of(code) });
            self.events.push_back(Event::Cancelled(key));
        }
        if let Some(half) = self.entries.send(key) {
            half.rare().large = None;
        }
    }
}
