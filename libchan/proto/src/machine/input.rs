//! What arrives: from bytes to frames, and each frame to the submodule that decides.

use super::begun::{LARGE, Part};
use super::{Event, Machine};
use crate::error::{Misbehaviour, Reason, SessionError};
use crate::frame::{HEADER, Header, PREFACE, Reader, Type};
use crate::{Key, code};

impl Machine {
    /// Takes whole frames from the front of `input` and says how many bytes they were. What is left is not yet whole: at
    /// most a frame, to be given again with what follows it. Of a large frame the beginning is taken too; what follows it
    /// may be read past here, see [`take_rest`](Self::take_rest).
    ///
    /// # Errors
    /// The session is over: the peer broke a rule, or does not speak libchan. A goodbye that says so is in the output.
    /// After the peer's goodbye it is no error, and what follows is not read.
    pub fn handle_input(&mut self, input: &[u8]) -> Result<usize, SessionError> {
        if self.reads_no_more() {
            return Ok(input.len());
        }
        self.hear(|machine| machine.read_frames(input))
    }

    /// Whether both sides have said goodbye: what is still read means nothing, and what is written goes out.
    pub(super) fn has_closed(&self) -> bool {
        self.over == Some(SessionError::Closed)
    }

    /// Whether what is still read means nothing, and is no error.
    pub(super) fn reads_no_more(&self) -> bool {
        matches!(self.over, Some(SessionError::Closed | SessionError::AdmissionOver(_)))
    }

    /// Handles what has arrived.
    pub(super) fn hear<R>(
        &mut self,
        handle: impl FnOnce(&mut Self) -> Result<R, SessionError>,
    ) -> Result<R, SessionError> {
        if let Some(why) = &self.over {
            return Err(why.clone());
        }
        self.clock.heard = true;
        // What the application asked for meanwhile is not what the peer makes us say.
        self.answering = true;
        let result = handle(self);
        self.answering = false;
        if let Err(error) = &result {
            self.fail(error.clone());
        }
        result
    }

    fn read_frames(&mut self, input: &[u8]) -> Result<usize, SessionError> {
        let mut rest = input;
        if self.begun.is_some() {
            let taken = self.go_on(input)?;
            rest = &input[taken..];
            if self.begun.is_some() {
                return Ok(taken);
            }
        }
        if !self.preface_read {
            match self.read_preface(input)? {
                true => rest = &input[PREFACE.len()..],
                false => return Ok(0),
            }
        }
        while let Some(header) = Header::parse(rest) {
            let max = if self.established.is_none() { self.limits.max_hello } else { self.limits.max_frame };
            if header.length > max as usize {
                return Err(Misbehaviour::FrameTooLarge.into());
            }
            let Some((frame, behind)) = rest.split_at_checked(HEADER + header.length) else {
                if header.length >= LARGE && self.begin(header, &rest[HEADER..]) {
                    return Ok(input.len());
                }
                break;
            };
            match Type::parse(header.kind)? {
                Some(kind) => self.on_frame(kind, header.id, &frame[HEADER..])?,
                None => self.established_or_fail()?,
            }
            rest = behind;
            if self.peer_goodbye {
                // What follows a goodbye is not read.
                return Ok(input.len());
            }
        }
        Ok(input.len() - rest.len())
    }

    /// False: it is not all there yet.
    fn read_preface(&mut self, input: &[u8]) -> Result<bool, SessionError> {
        let have = input.len().min(PREFACE.len());
        let name = PREFACE.len() - 1;
        if input[..have.min(name)] != PREFACE[..have.min(name)] {
            return Err(SessionError::NotLibchan { first_bytes: input[..have].to_vec() });
        }
        if have < PREFACE.len() {
            return Ok(false);
        }
        if input[name] != PREFACE[name] {
            return Err(SessionError::UnsupportedVersion(input[name]));
        }
        self.preface_read = true;
        Ok(true)
    }

    fn established_or_fail(&self) -> Result<(), SessionError> {
        if self.established.is_some() { Ok(()) } else { Err(Misbehaviour::Hello.into()) }
    }

    fn on_frame(&mut self, kind: Type, id: u32, body: &[u8]) -> Result<(), SessionError> {
        if kind == Type::Hello {
            return self.on_hello(id, body);
        }
        if kind != Type::Goodbye {
            self.established_or_fail()?;
        }
        if kind != Type::Fragment {
            self.run.disturb(kind, id);
        }
        match kind {
            Type::Message => self.on_message(id, body)?,
            Type::Credit => self.on_credit(id, body)?,
            Type::Open => self.on_open(id, body)?,
            Type::Fragment => {
                let (&flags, part) = body.split_first().ok_or(Misbehaviour::FrameTooShort)?;
                self.on_fragment(id, flags, Part::Read(part))?;
            }
            Type::Close => self.on_close(id, body)?,
            Type::Cancel => self.on_cancel(id, body)?,
            Type::Data => self.on_data(id, Part::Read(body))?,
            Type::End => self.on_end(id, body)?,
            Type::Stop => self.on_stop(id, body)?,
            Type::Ping | Type::Pong => self.on_ping(kind, id, body)?,
            Type::Goodbye => return self.on_goodbye(id, body),
            Type::Hello => {}
        }
        Ok(())
    }

    /// The entry that an id names.
    pub(super) fn lookup(&self, id: u32) -> Result<Key, Misbehaviour> {
        self.entries.lookup(id).ok_or(Misbehaviour::UnknownId)
    }

    /// The entry that a CREDIT or CANCEL names; `None` if it has crossed our CLOSE, which made the id free for the peer.
    pub(super) fn lookup_crossed(&self, id: u32) -> Result<Option<Key>, Misbehaviour> {
        match self.entries.lookup(id) {
            None if self.entries.is_theirs(id) => Ok(None),
            found => found.map(Some).ok_or(Misbehaviour::UnknownId),
        }
    }

    fn on_goodbye(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let mut body = Reader(body);
        let reason = body.reason()?;
        if id != 0 {
            return Err(Misbehaviour::Field.into());
        }
        self.peer_goodbye = true;
        if reason.code != code::NONE {
            return Err(SessionError::PeerClosed(reason));
        }
        self.established_or_fail()?;
        self.events.push_back(Event::PeerGoodbye(reason));
        // It is answered behind what is written already; what is not ended by now ends on both sides.
        self.goodbye_now(Reason::none());
        self.fail(SessionError::Closed);
        Ok(())
    }
}
