//! Large frames of which not all has arrived. Their payload goes to where it stays: what is here already is copied there,
//! and the rest can be read from the link into it.
//!
//! It is a shortcut past the driver's read buffer and decides nothing: a frame is handled once it is complete, as if it had
//! come in one piece, and one that looks wrong at its beginning is left to that.

use std::ops::Range;

use super::Machine;
use super::ahead::Ahead;
use super::head::Head;
use crate::entry::Entry;
use crate::error::SessionError;
use crate::frame::{self, ATTACHMENT, Header, Reader, Type, flag};
use crate::inbox::charge;
use crate::memory::Memory;

/// The least payload of a frame that is begun before all of it is here, in bytes.
pub(super) const LARGE: usize = 8 * 1024;

/// The payload of a frame.
pub(super) enum Part<'a> {
    /// In what was read.
    Read(&'a [u8]),
    /// In its place already: the last bytes of what the payload has by now; and how long the part is.
    Placed(Memory, usize),
    /// The same, and its memory comes with the next part.
    Between(usize),
}

impl Part<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Read(bytes) => bytes.len(),
            Self::Placed(_, length) | Self::Between(length) => *length,
        }
    }
}

/// A frame that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    kind: Type,
    id: u32,
    /// What its body has before the payload.
    head: Vec<u8>,
    /// The length of its payload.
    length: usize,
    /// `None`: the driver has it.
    rest: Option<Rest>,
}

/// The part of a large frame that has not arrived, and the memory that it goes to: see [`Machine::take_rest`]. With it
/// memory for the frames that are likely to follow.
#[derive(Debug)]
pub struct Rest {
    memory: Memory,
    filled: usize,
    end: usize,
    /// What the payload is to become, with the frames after this one.
    total: usize,
    ahead: Ahead,
}

impl Rest {
    /// Where the next bytes from the link go, one behind the other: first all that the frame lacks, then what is likely to
    /// follow.
    pub fn rooms<'a>(&'a mut self, mut add: impl FnMut(&'a mut [u8])) {
        let Self { memory, filled, end, ahead, .. } = self;
        let last = ahead.last(*end);
        let (first, behind) = memory.up_to(last, last)[*filled..].split_at_mut(*end - *filled);
        add(first);
        ahead.rooms(*end, behind, add);
    }

    /// How many bytes all rooms take.
    pub fn room(&self) -> usize {
        self.ahead.room(self.end) + self.end - self.filled
    }

    /// The first `n` bytes of the rooms were written. Bytes of frames that were not expected are handed to `stray`, in
    /// order: they go on to [`handle_input`](Machine::handle_input), after [`handle_rest`](Machine::handle_rest).
    pub fn advance(&mut self, n: usize, stray: impl FnMut(&[u8])) {
        let first = n.min(self.end - self.filled);
        self.filled += first;
        let (memory, last) = (&self.memory, self.ahead.last(self.end));
        let (end, filled) = self.ahead.check(self.end, n - first, memory.part(self.end..last), stray);
        if end > self.end {
            (self.end, self.filled) = (end, filled);
        }
    }
}

impl Machine {
    /// After [`handle_input`](Self::handle_input): the rest of a large frame, if one has begun. Its bytes are the next on the
    /// link. They may be given to `handle_input` like all others, which copies them; or they are read into
    /// [`Rest::rooms`] and given back with [`handle_rest`](Self::handle_rest), and nothing else is handed in meanwhile.
    pub fn take_rest(&mut self) -> Option<Rest> {
        self.begun.as_mut()?.rest.take()
    }

    /// Whether a large frame has begun, and not all of it is here.
    pub fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Takes back what [`take_rest`](Self::take_rest) gave, with some of it read. The frame need not be complete.
    /// Further frames may be behind it: it is as if each had come alone.
    ///
    /// # Errors
    /// As [`handle_input`](Self::handle_input).
    pub fn handle_rest(&mut self, rest: Rest) -> Result<(), SessionError> {
        if self.reads_no_more() {
            return Ok(());
        }
        self.hear(|machine| {
            machine.take_ahead(&rest)?;
            if let Some(begun) = &mut machine.begun {
                begun.rest = Some(rest);
            }
            machine.go_on(&[])?;
            machine.look_ahead();
            Ok(())
        })
    }

    /// What has arrived of the frame that has begun, as it was on the link: for the audit.
    pub(crate) fn begun_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(Begun { kind, id, head, length, rest: Some(rest) }) = &self.begun {
            frame::header(&mut bytes, head.len() + length, *kind, *id);
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(rest.memory.part(rest.end - length..rest.filled));
        }
        bytes
    }

    /// Begins with a frame of which `body` is here. False: it has to be read whole before.
    pub(super) fn begin(&mut self, header: Header, body: &[u8]) -> bool {
        if self.established.is_none() {
            return false;
        }
        let (id, length) = (header.id, header.length);
        let begun = match Type::parse(header.kind) {
            Ok(Some(Type::Message)) => self.begin_message(id, length, body),
            Ok(Some(Type::Fragment)) => self.begin_fragment(id, length, body),
            Ok(Some(Type::Data)) => self.begin_data(id, length, body),
            _ => None,
        };
        self.begun = begun;
        self.look_ahead();
        self.begun.is_some()
    }

    fn begin_message(&mut self, id: u32, length: usize, body: &[u8]) -> Option<Begun> {
        let mut reader = Reader(body);
        let head = Head::parse(&mut reader, &self.limits).ok()?;
        let (head_length, part) = (body.len() - reader.0.len(), reader.0);
        let end = length.checked_sub(head_length).filter(|length| *length >= LARGE)?;
        let total = head.total.map_or(end, |total| total as usize);
        if total > self.limits.max_message as usize || !self.is_wanted(id) {
            return None;
        }
        // Nothing is set aside before there is memory for it.
        let charge = charge(total + head.headers.len(), head.table.len() / ATTACHMENT);
        let granted = self.entries.lookup(id).is_some_and(|key| self.is_granted(key, charge));
        let memory = self.memory.take(end, total, granted);
        Some(Begun::new(Type::Message, id, &body[..head_length], end, Rest::new(memory, 0..end, total, part)))
    }

    /// Whether somebody wants what arrives on a channel.
    fn is_wanted(&self, id: u32) -> bool {
        let Some(key) = self.entries.lookup(id) else { return false };
        matches!(self.entries.get(key), Entry::Recv(half) if !half.cancelled && !half.closed)
    }

    fn begin_fragment(&mut self, id: u32, length: usize, body: &[u8]) -> Option<Begun> {
        let (head, part) = body.split_at_checked(1)?;
        let key = self.entries.lookup(id)?;
        let half = self.entries.recv(key)?;
        let partial = half.rare.as_mut()?.partial.as_mut()?;
        let (from, total) = (partial.received, partial.total as usize);
        let end = from + length - head.len();
        if half.cancelled || end > total {
            return None;
        }
        let mut memory = partial.payload.take()?;
        memory.up_to(end, total);
        Some(Begun::new(Type::Fragment, id, head, end - from, Rest::new(memory, from..end, total, part)))
    }

    fn begin_data(&mut self, id: u32, length: usize, body: &[u8]) -> Option<Begun> {
        let key = self.entries.lookup(id)?;
        let stream = self.entries.stream(key)?;
        if stream.stop_sent || stream.ended.is_some() {
            return None;
        }
        let memory = self.memory.take(length, length, true);
        Some(Begun::new(Type::Data, id, &[], length, Rest::new(memory, 0..length, length, body)))
    }

    /// Expects what is likely to follow the frame that has begun, as far as there is memory for it already.
    fn look_ahead(&mut self) {
        if let Some(Begun { id, rest: Some(rest), .. }) = &mut self.begun {
            let total = rest.total.min(rest.memory.len());
            rest.ahead = self.run.ahead(*id, rest.end, total, rest.total, self.limits.max_frame as usize);
        }
    }

    /// Of frames that came as expected, handles all but the last: they are complete, and the last is the one that has
    /// begun then.
    fn take_ahead(&mut self, rest: &Rest) -> Result<(), SessionError> {
        let held = rest.ahead.held();
        let Some(Begun { kind, id, head, length, .. }) = self.begun.take_if(|_| held > 0) else {
            return Ok(());
        };
        match kind {
            Type::Message => {
                let head = Head::parse(&mut Reader(&head), &self.limits)?;
                self.on_head(id, head, Part::Between(length))?;
            }
            _ => self.on_fragment(id, flag::MORE, Part::Between(length))?,
        }
        for _ in 1..held {
            self.on_fragment(id, flag::MORE, Part::Between(rest.ahead.step()))?;
        }
        let (from, flags) = rest.ahead.before(rest.end);
        let (head, length) = (vec![flags], rest.end - from);
        self.begun = Some(Begun { kind: Type::Fragment, id, head, length, rest: None });
        Ok(())
    }

    /// Takes what belongs to the frame that has begun, and says how much that was.
    pub(super) fn go_on(&mut self, input: &[u8]) -> Result<usize, SessionError> {
        let Some(rest) = self.begun.as_mut().and_then(|begun| begun.rest.as_mut()) else { return Ok(0) };
        // What was expected behind is read the ordinary way.
        rest.ahead = Ahead::default();
        let taken = rest.fill(input);
        if rest.filled == rest.end
            && let Some(Begun { kind, id, head, length, rest: Some(rest) }) = self.begun.take()
        {
            let part = Part::Placed(rest.memory, length);
            match kind {
                Type::Message => {
                    let head = Head::parse(&mut Reader(&head), &self.limits)?;
                    self.on_head(id, head, part)?;
                }
                Type::Fragment => self.on_fragment(id, head[0], part)?,
                _ => self.on_data(id, part)?,
            }
        }
        Ok(taken)
    }
}

impl Begun {
    fn new(kind: Type, id: u32, head: &[u8], length: usize, rest: Rest) -> Self {
        Self { kind, id, head: head.to_vec(), length, rest: Some(rest) }
    }
}

impl Rest {
    /// The frame is `range` of a payload that is to have `total` bytes, and `part` of it is here.
    fn new(memory: Memory, range: Range<usize>, total: usize, part: &[u8]) -> Self {
        let Range { start: filled, end } = range;
        let mut rest = Self { memory, filled, end, total, ahead: Ahead::default() };
        rest.fill(part);
        rest
    }

    fn fill(&mut self, input: &[u8]) -> usize {
        let room = &mut self.memory.up_to(self.end, self.end)[self.filled..];
        let n = input.len().min(room.len());
        room[..n].copy_from_slice(&input[..n]);
        self.filled += n;
        n
    }
}
