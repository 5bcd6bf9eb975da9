//! Byte streams: data in both directions, half-close, credit in bytes.

use std::collections::VecDeque;

use super::begun::Part;
use super::turns::FILL;
use super::{Event, GoodbyeState, Machine, StreamRead};
use crate::credit::Window;
use crate::entry::{Entry, StreamState, Turn};
use crate::error::{Misbehaviour, Reason, SessionError, StreamError};
use crate::frame::{self, Reader, Type};
use crate::output::Output;
use crate::unread::Unread;
use crate::{Key, code};

/// What a stream keeps that it has no credit for, in bytes.
const UNSENT: usize = 64 * 1024;

impl Machine {
    // ---- sending

    /// Takes bytes to be sent, as many as fit; 0: [`Event::StreamWritable`] follows when some do. With `force` all of
    /// them: for what was buffered before the stream was attached.
    ///
    /// # Errors
    /// This side has ended it, the peer reads no more, or the session is over.
    pub fn stream_send(&mut self, key: Key, data: &[u8], force: bool) -> Result<usize, StreamError> {
        let over = self.over.is_some();
        let leaving = self.said_goodbye.is_some();
        let Some(stream) = self.entries.stream(key) else { return Err(StreamError::Lost) };
        if let Some(reason) = &stream.stopped {
            let lost = over || reason.code == code::DISCONNECTED;
            return Err(if lost { StreamError::Lost } else { StreamError::Stopped(reason.clone()) });
        }
        if stream.finish.is_some() || stream.end_sent {
            return Err(StreamError::Finished);
        }
        if leaving {
            return Err(StreamError::Lost);
        }
        // What has credit leaves at once, past the buffer.
        let mut sent = 0;
        if stream.unsent.is_empty() && stream.announced {
            let most = self.turn_of_stream(key);
            sent = self.write_data(key, data, most);
        }
        let Some(stream) = self.entries.stream(key) else { return Err(StreamError::Lost) };
        let room = if force { usize::MAX } else { UNSENT.saturating_sub(stream.unsent.len()) };
        let kept = (data.len() - sent).min(room);
        stream.unsent.extend(&data[sent..sent + kept]);
        stream.wants_write |= sent + kept == 0;
        self.wake_stream(key);
        Ok(sent + kept)
    }

    /// How much of `length` bytes could leave now in one frame, past all buffers: see [`stream_frame`](Self::stream_frame).
    pub fn stream_room(&mut self, key: Key, length: usize) -> usize {
        let max = self.limits.max_frame as usize;
        if self.over.is_some() || self.said_goodbye.is_some() {
            return 0;
        }
        let most = self.turn_of_stream(key);
        match self.entries.stream(key) {
            Some(stream) if stream.announced && stream.unsent.is_empty() && !stream.is_ended() => {
                length.min(max).min(stream.credit.max(0) as usize).min(most)
            }
            _ => 0,
        }
    }

    /// Begins a frame of `length` bytes, no more than [`stream_room`](Self::stream_room) said, behind `out`, which is from
    /// [`take_output`](Self::take_output). The driver writes the bytes next.
    pub fn stream_frame(&mut self, key: Key, length: usize, out: &mut Output) {
        let Some(stream) = self.entries.stream(key) else { return };
        stream.credit -= length as i32;
        stream.turn.spend(length);
        frame::header(&mut out.bytes, length, Type::Data, stream.id);
        self.clock.said = true;
    }

    /// What a stream may send now, in bytes, credit aside.
    fn turn_of_stream(&mut self, key: Key) -> usize {
        let (full, shared, round) = (self.out.len() >= FILL, self.shared, self.round);
        match self.entries.stream(key) {
            Some(stream) => {
                let left = stream.turn.left(round);
                match (full, shared) {
                    (true, _) => 0,
                    (false, true) => left,
                    (false, false) => usize::MAX,
                }
            }
            None => 0,
        }
    }

    /// Writes as much of `data` as there is credit for, and `most` bytes of it; says how much.
    fn write_data(&mut self, key: Key, data: &[u8], most: usize) -> usize {
        let max = self.limits.max_frame as usize;
        let mut sent = 0;
        if self.said_goodbye == Some(GoodbyeState::Sent) {
            return sent;
        }
        let data = &data[..data.len().min(most)];
        while sent < data.len() && self.out.len() < FILL {
            let Some(stream) = self.entries.stream(key) else { break };
            let size = (data.len() - sent).min(max).min(stream.credit.max(0) as usize);
            if size == 0 {
                break;
            }
            stream.credit -= size as i32;
            stream.turn.spend(size);
            let id = stream.id;
            frame::header(&mut self.out.bytes, size, Type::Data, id);
            self.out.bytes.extend_from_slice(&data[sent..sent + size]);
            sent += size;
        }
        sent
    }

    /// The peer has been told of the stream: it may hear what was done with it before.
    pub(super) fn begin_stream(&mut self, key: Key) {
        let Some(stream) = self.entries.stream(key) else { return };
        if let Some(reason) = stream.stop.take() {
            self.send_stop(key, &reason);
        }
        self.wake_stream(key);
    }

    /// What is kept waits for its turn, if there is credit; then comes the end, if that is due.
    pub(super) fn wake_stream(&mut self, key: Key) {
        let Some(stream) = self.entries.stream(key) else { return };
        if !stream.announced {
            return;
        }
        if !stream.unsent.is_empty() {
            if stream.credit > 0 {
                self.enqueue(key);
            }
        } else if stream.finish.is_some() {
            self.send_end(key);
        }
        self.tell_writer(key);
    }

    /// Sends what is kept, `most` bytes of it. True: more can follow.
    pub(super) fn write_unsent(&mut self, key: Key, most: usize) -> bool {
        let Some(stream) = self.entries.stream(key) else { return false };
        let mut unsent = std::mem::take(&mut stream.unsent);
        let sent = self.write_data(key, unsent.make_contiguous(), most);
        unsent.drain(..sent);
        let Some(stream) = self.entries.stream(key) else { return false };
        stream.unsent = unsent;
        let more = !stream.unsent.is_empty() && stream.credit > 0 && sent > 0;
        if stream.unsent.is_empty() && stream.finish.is_some() {
            self.send_end(key);
        }
        self.tell_writer(key);
        more
    }

    fn tell_writer(&mut self, key: Key) {
        let Some(stream) = self.entries.stream(key) else { return };
        if stream.unsent.len() < UNSENT && std::mem::take(&mut stream.wants_write) {
            self.events.push_back(Event::StreamWritable(key));
        }
    }

    /// This side writes no more: the end follows what is kept.
    pub fn stream_finish(&mut self, key: Key, reason: Reason) {
        let Some(stream) = self.entries.stream(key) else { return };
        if stream.finish.is_some() {
            return;
        }
        // A stream that was dropped ends behind what was written. Who says another reason wants nothing more to be read.
        if !matches!(reason.code, code::NONE | code::ABANDONED) {
            stream.unsent.clear();
        }
        stream.finish = Some(reason);
        self.wake_stream(key);
        self.finish_stream(key);
    }

    /// Whether everything taken has left; a stream that failed has nothing to wait for.
    pub fn stream_flushed(&mut self, key: Key) -> bool {
        let Some(stream) = self.entries.stream(key) else { return true };
        let flushed = stream.unsent.is_empty() || stream.stopped.is_some();
        stream.wants_write |= !flushed;
        flushed
    }

    /// Whether nobody reads what this side writes: the peer has stopped, or the session is over.
    pub fn stream_stopped(&self, key: Key) -> bool {
        !matches!(self.entries.get(key), Entry::Stream(stream) if stream.stopped.is_none())
    }

    fn send_end(&mut self, key: Key) {
        let Some(stream) = self.entries.stream(key) else { return };
        if stream.end_sent || !stream.announced {
            return;
        }
        stream.end_sent = true;
        let (id, reason) = (stream.id, stream.finish.clone().unwrap_or_default());
        self.control_frame(|out| frame::with_reason(out, Type::End, id, &[], &reason));
        self.finish_stream(key);
    }

    // ---- receiving

    /// Hands up to `max` bytes that have arrived to `out`.
    pub fn stream_recv(&mut self, key: Key, max: usize, out: &mut dyn FnMut(&[u8])) -> StreamRead {
        let max_window = self.limits.max_window;
        let Some(stream) = self.entries.stream(key) else {
            return StreamRead::Failed(Reason::of(code::DISCONNECTED));
        };
        if stream.arrived.is_empty() {
            return match &stream.ended {
                None => {
                    stream.wants_read = true;
                    StreamRead::Pending
                }
                Some(reason) if reason.code == code::NONE => StreamRead::End,
                Some(reason) => StreamRead::Failed(reason.clone()),
            };
        }
        let n = stream.arrived.read(max, out);
        stream.window.taken(n as u32);
        if stream.ended.is_some() {
            if stream.arrived.is_empty() {
                self.send_stop(key, &Reason::none());
            }
        } else {
            self.beyond.fit(&mut stream.window, max_window, false);
            if stream.window.is_due(1) && !stream.due {
                stream.due = true;
                self.urgent = true;
                self.due.push(key);
            }
        }
        StreamRead::Data(n)
    }

    /// This side reads no more: what has arrived is dropped.
    pub fn stream_stop(&mut self, key: Key, reason: Reason) {
        let Some(stream) = self.entries.stream(key) else { return };
        stream.arrived = Unread::default();
        let first = !std::mem::replace(&mut stream.discard, true);
        if stream.announced {
            self.send_stop(key, &reason);
        } else if first {
            stream.stop = Some(reason);
        }
        self.finish_stream(key);
    }

    /// Says STOP unless it was said: what had arrived was read or dropped, and what still comes is dropped.
    fn send_stop(&mut self, key: Key, reason: &Reason) {
        let Some(stream) = self.entries.stream(key) else { return };
        if std::mem::replace(&mut stream.stop_sent, true) {
            return;
        }
        let id = stream.id;
        self.release_window(key);
        self.control_frame(|out| frame::with_reason(out, Type::Stop, id, &[], reason));
        self.finish_stream(key);
    }

    pub(super) fn on_data(&mut self, id: u32, data: Part<'_>) -> Result<(), SessionError> {
        let key = self.lookup(id)?;
        let Some(stream) = self.entries.stream(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        if stream.ended.is_some() {
            return Err(Misbehaviour::AfterEnd.into());
        }
        if data.len() == 0 {
            return Err(Misbehaviour::FrameTooShort.into());
        }
        if stream.stop_sent {
            return Ok(());
        }
        if !stream.window.arrive(data.len() as u32, 1) {
            return Err(Misbehaviour::ByteCredit.into());
        }
        // The arrival may have used up what the sender had: then what is owed goes out at once.
        if stream.window.is_due(1) && !std::mem::replace(&mut stream.due, true) {
            self.urgent = true;
            self.due.push(key);
        }
        match data {
            Part::Read(bytes) => stream.arrived.extend(bytes),
            Part::Placed(memory, length) => stream.arrived.push(self.memory.lend(memory, length)),
            Part::Between(_) => {}
        }
        if std::mem::take(&mut stream.wants_read) {
            self.events.push_back(Event::StreamReadable(key));
        }
        Ok(())
    }

    pub(super) fn on_stream_credit(&mut self, key: Key, bytes: u32) -> Result<(), Misbehaviour> {
        let Some(stream) = self.entries.stream(key) else { return Ok(()) };
        let bytes = i32::try_from(bytes).map_err(|_| Misbehaviour::CreditOverflow)?;
        stream.credit = stream.credit.checked_add(bytes).ok_or(Misbehaviour::CreditOverflow)?;
        self.wake_stream(key);
        Ok(())
    }

    pub(super) fn on_end(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let reason = Reader(body).reason()?;
        let key = self.lookup(id)?;
        let Some(stream) = self.entries.stream(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        if stream.ended.is_some() {
            return Err(Misbehaviour::AfterEnd.into());
        }
        stream.ended = Some(reason);
        let read = stream.arrived.is_empty();
        self.events.push_back(Event::StreamReadable(key));
        if read {
            self.send_stop(key, &Reason::none());
        }
        self.finish_stream(key);
        self.check_control()
    }

    pub(super) fn on_stop(&mut self, id: u32, body: &[u8]) -> Result<(), SessionError> {
        let reason = Reader(body).reason()?;
        let key = self.lookup(id)?;
        let Some(stream) = self.entries.stream(key) else { return Err(Misbehaviour::WrongEnd.into()) };
        if stream.stopped.is_some() {
            return Err(Misbehaviour::AfterEnd.into());
        }
        stream.stopped = Some(reason);
        stream.unsent = VecDeque::new();
        self.events.push_back(Event::StreamWritable(key));
        self.send_end(key);
        self.finish_stream(key);
        self.check_control()
    }

    /// The message that was to name the stream is not sent: it fails for who uses it here, and is freed after them.
    pub(super) fn abandon_stream(&mut self, key: Key) {
        let Some(stream) = self.entries.stream(key) else { return };
        stream.abandoned = true;
        stream.ended.get_or_insert_with(|| Reason::of(code::DISCONNECTED));
        stream.stopped.get_or_insert_with(|| Reason::of(code::DISCONNECTED));
        self.events.push_back(Event::StreamReadable(key));
        self.events.push_back(Event::StreamWritable(key));
        self.finish_stream(key);
    }

    /// Frees the id once END and STOP have gone and have come, and the entry once nobody here uses it.
    pub(super) fn finish_stream(&mut self, key: Key) {
        let gone = self.over.is_some();
        let Some(stream) = self.entries.stream(key) else { return };
        let used = !(stream.discard && stream.finish.is_some());
        let said = stream.end_sent && stream.stop_sent;
        let over = stream.abandoned || (said && stream.ended.is_some() && stream.stopped.is_some());
        if over || gone {
            if used { self.finish_entry(key) } else { self.drop_entry(key) }
        }
    }
}

impl StreamState {
    /// Whether nothing more is to be sent.
    fn is_ended(&self) -> bool {
        self.stopped.is_some() || self.finish.is_some() || self.end_sent
    }

    pub(crate) fn new(id: u32, announced: bool, window: u32) -> Self {
        Self {
            id,
            announced,
            credit: window as i32,
            unsent: VecDeque::new(),
            finish: None,
            end_sent: false,
            stopped: None,
            wants_write: false,
            lined: false,
            turn: Turn::default(),
            window: Window::new(window),
            arrived: Unread::default(),
            ended: None,
            stop_sent: false,
            wants_read: false,
            discard: false,
            stop: None,
            abandoned: false,
            over: false,
            due: false,
        }
    }
}
