//! The session as a whole: hello, ping, silence, goodbye, the end.

use std::time::Duration;

use super::{Event, GoodbyeState, Machine};
use crate::code;
use crate::credit::Pool;
use crate::entry::{Cancel, Close, Entry, Scope};
use crate::error::{Denial, Misbehaviour, Reason, SessionError};
use crate::frame::{self, PREFACE, Type};
use crate::hello::Hello;

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
        self.ours = Pool::new(self.limits.session_memory, self.limits.largest_charge());
        self.theirs = Pool::new(self.limits.session_memory, self.limits.largest_charge());
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
            return if *why == SessionError::Closed { Ok(()) } else { Err(why.clone()) };
        }
        let clean = self.peer_goodbye && self.said_goodbye == Some(GoodbyeState::Sent);
        let why = if clean { SessionError::Closed } else { SessionError::Lost };
        self.fail(why.clone());
        if clean { Ok(()) } else { Err(why) }
    }

    /// Tells the time; call it every few seconds.
    ///
    /// # Errors
    /// The session is over: no hello in time, a silent peer, or one that does not read.
    pub fn handle_tick(&mut self, now: Duration) -> Result<(), SessionError> {
        if let Some(why) = &self.over {
            return Err(why.clone());
        }
        self.memory.tick();
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

    /// Says goodbye: nothing of ours follows. What is queued already goes out before it, large messages included.
    pub fn goodbye(&mut self, reason: Reason) {
        if self.said_goodbye.is_some() || self.over.is_some() {
            return;
        }
        self.said_goodbye = Some(GoodbyeState::Queued);
        self.goodbye_reason = reason;
        self.flush_goodbye();
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
        // After the peer's goodbye no credit comes: a large message that waits for some is cut.
        let cut = self.peer_goodbye && self.large.is_empty();
        self.said_goodbye == Some(GoodbyeState::Queued) && (self.large_open == 0 || cut)
    }

    /// Whether the session has ended: its link did, or one side broke a rule.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
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
        let told = if why == SessionError::Closed { code::GOING_AWAY } else { code::DISCONNECTED };
        self.over = Some(why);
        self.end_receiving();
        self.end_sending(told);
    }

    /// Nothing more will arrive: what was not closed is lost.
    pub(super) fn end_receiving(&mut self) {
        for key in self.entries.keys() {
            match self.entries.get_mut(key) {
                Some(Entry::Recv(half)) => {
                    if !half.closed {
                        half.closed = true;
                        let reason = Some(Reason::of(code::DISCONNECTED));
                        half.rare().close = Some(Box::new(Close { scope: Scope::End, reason }));
                    }
                    let gone = half.cancelled;
                    let partial = half.rare.as_mut().and_then(|rare| rare.partial.take());
                    if gone {
                        self.drop_entry(key);
                    } else {
                        self.events.push_back(Event::Readable(key));
                    }
                    if let Some(partial) = partial {
                        self.reject_all(&partial.attachments);
                    }
                }
                Some(Entry::Stream(stream)) => {
                    stream.ended.get_or_insert_with(|| Reason::of(code::DISCONNECTED));
                    self.events.push_back(Event::StreamReadable(key));
                    self.finish_stream(key);
                }
                Some(Entry::Send(_) | Entry::Free) | None => {}
            }
        }
    }

    /// Nothing more will leave. `code` is what senders are told.
    fn end_sending(&mut self, code: u16) {
        for key in self.entries.keys() {
            match self.entries.get_mut(key) {
                Some(Entry::Send(half)) => {
                    let gone = half.closed;
                    if half.cancelled().is_none() {
                        half.rare().cancelled = Some(Cancel { scope: Scope::End, reason: Reason::of(code) });
                    }
                    half.rare().large = None;
                    if gone {
                        self.drop_entry(key);
                    } else {
                        self.events.push_back(Event::Cancelled(key));
                    }
                }
                Some(Entry::Stream(stream)) => {
                    stream.stopped.get_or_insert_with(|| Reason::of(code::DISCONNECTED));
                    self.events.push_back(Event::StreamWritable(key));
                    self.finish_stream(key);
                }
                Some(Entry::Recv(_) | Entry::Free) | None => {}
            }
        }
        self.large.clear();
        self.large_open = 0;
    }
}
