//! The driver: the one future of a session. It alone reads the link, feeds the machine, hands its events on, and
//! finishes writes that a sender could not.
//!
//! Each turn: read what is there, handle events, write what has to leave, look at the clock's tick. Work in a turn
//! is bounded, so that a busy session does not starve the others on its thread.

use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libchan_proto::{Event, Key, Machine, Misbehaviour, Rest, Scope, SessionError};
use smallvec::SmallVec;
use tokio::time::Sleep;

use super::again::Again;
use super::alarm::Alarm;
use super::any_chan::AnyChan;
use super::buffers;
use super::drain::going_away;
use super::farewell::Farewell;
use super::port::Concerned;
use super::read::ReadBuffer;
use super::shared::{Shared, State};
use crate::cut;
use crate::link::LinkReader;
use crate::spare;
use crate::sync::MutexGuard;
use crate::waiters::Wakes;

/// Reads in one turn at the most.
const READS: usize = 8;
/// Bytes of large frames in one turn at the most: whoever takes them next finds them in the processor's cache, and their
/// memory is used again the sooner.
const PLACED: usize = 128 * 1024;
/// Buffers of a read that need no allocation: as many as a large frame and those expected behind it may have.
const ROOMS: usize = 36;
/// Writes in one turn at the most.
const WRITES: usize = 16;
/// Bytes from which on a turn writes no more: what has arrived meanwhile, and what others have to say, is not to wait for
/// megabytes. Not more than is read, or on a fast link a queue of them builds up in the kernel.
const WRITTEN: usize = 64 * 1024;
/// How often the machine is told the time, and how often at the most.
const TICK: Duration = Duration::from_secs(5);
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// In memory as it is written here: see [`Machine`].
#[repr(C)]
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    reader: Box<dyn LinkReader>,
    done: bool,
    /// The link has not pushed out yet what was written.
    unflushed: bool,
    pub(super) farewell: Farewell,
    yields: u32,
    buffer: ReadBuffer,
    descriptors: VecDeque<OwnedFd>,
    alarm: Alarm,
    /// Bytes that were read past the buffer in this turn.
    placed: usize,
    /// The rest of a large frame, which is read past the buffer.
    rest: Option<Rest>,
    /// The peer is silent, and the link is looked at once more.
    doubtful: bool,
    /// How often the alarm is to ring once both hellos are in.
    tick: Duration,
    /// When the close that is under way gives up.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
}

/// What the machine had to say, for when the session's lock is released.
#[derive(Default)]
struct News {
    wakes: Wakes,
    effects: Vec<Effect>,
    /// The receiver that is to be woken for this channel: it finds all that has arrived, the end behind a message too.
    told: Option<Key>,
}

/// What an event asks for, done without the session's lock.
enum Effect {
    Ready(Arc<dyn AnyChan>, Key),
    Taken(Arc<dyn AnyChan>, Key, u32),
    Close(OwnedFd),
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, reader: Box<dyn LinkReader>) -> Self {
        let limits = shared.lock().machine.limits().clone();
        let tick = TICK.min(limits.ping_after / 3).min(limits.dead_after / 9).max(SHORTEST_TICK);
        Self {
            shared,
            reader,
            buffer: ReadBuffer::new(),
            rest: None,
            placed: 0,
            descriptors: VecDeque::new(),
            // The hello's deadline may be shorter.
            alarm: Alarm::every(tick.min(limits.hello_timeout).max(SHORTEST_TICK)),
            tick,
            yields: 0,
            unflushed: false,
            farewell: Farewell::No,
            deadline: None,
            done: false,
            doubtful: false,
        }
    }

    /// The driver of a session whose first bytes have been read already.
    pub(super) fn resuming(
        shared: Arc<Shared>,
        reader: Box<dyn LinkReader>,
        buffer: ReadBuffer,
        descriptors: VecDeque<OwnedFd>,
    ) -> Self {
        let mut driver = Self::new(shared, reader);
        driver.buffer = buffer;
        driver.descriptors = descriptors;
        driver
    }

    /// One turn. `Err` is the end of the session, and why.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        let mut again = Again::No;
        self.placed = 0;
        for round in 1.. {
            if self.shared.is_broken() || self.poll_read(cx)?.is_pending() {
                break;
            }
            if round == READS || self.placed >= PLACED {
                again = Again::Later;
                break;
            }
        }
        self.buffer.let_go();
        if self.begin_output(cx)? {
            again = again.max(self.poll_output(cx)?);
        } else {
            self.yields = 0;
        }
        if let Some(now) = self.alarm.poll(cx) {
            self.tick(now)?;
            again = Again::Soon;
        }
        again.wake(cx);
        Ok(())
    }

    /// Tells the machine the time. A process that stood still, or a machine that slept, finds the peer silent before the
    /// runtime has looked at the sockets: then it is judged after one more look.
    fn tick(&mut self, now: Duration) -> Result<(), SessionError> {
        let mut state = self.shared.lock();
        let silent = state.machine.is_silent(now);
        if silent && !std::mem::replace(&mut self.doubtful, true) {
            drop(state);
            self.alarm.change(SHORTEST_TICK);
            return Ok(());
        }
        self.doubtful = false;
        state.machine.handle_tick(now)?;
        let established = state.machine.established().is_some();
        drop(state);
        if established {
            self.alarm.change(self.tick);
        }
        Ok(())
    }

    /// Whether there is anything to do but reading. Mostly there is not: what is sent is written by its senders.
    fn begin_output(&self, cx: &Context<'_>) -> Result<bool, SessionError> {
        let mut state = self.shared.lock();
        begin_turn(&mut state, cx);
        if self.shared.is_broken()
            && let Some(text) = state.broken.take()
        {
            return Err(SessionError::Link(text));
        }
        let due =
            self.unflushed || state.flush.is_asked() || state.unsent.is_some() || state.machine.is_urgent();
        Ok(due || state.machine.has_events() || self.is_parting(&state))
    }

    /// Writes, and goes on with the end of the session where that has begun.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<Again, SessionError> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if state.flush.is_asked() {
            drop(state);
            self.poll_flushes();
            state = shared.lock();
        }
        if self.is_parting(&state) {
            drop(state);
            self.handle_events();
            self.poll_farewell(cx)?;
            state = shared.lock();
        }
        let mut again = self.poll_flush(&shared, state, cx)?;
        if self.farewell != Farewell::No {
            // What has left may have been the goodbye: then the link is closed in this turn, not at the next event.
            let farewell = self.farewell;
            self.poll_farewell(cx)?;
            if self.farewell != farewell {
                again = Again::Soon;
            }
        }
        Ok(again)
    }

    // ---- reading

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, SessionError> {
        let (buffer, descriptors) = (&mut self.buffer, &mut self.descriptors);
        let read = match &mut self.rest {
            Some(rest) => {
                let mut bufs = SmallVec::<[IoSliceMut<'_>; ROOMS]>::new();
                rest.rooms(|room| bufs.push(IoSliceMut::new(room)));
                bufs.push(IoSliceMut::new(buffer.room_behind()));
                self.reader.poll_read_vectored(cx, &mut bufs, descriptors)
            }
            None => self.reader.poll_read(cx, buffer.room(), descriptors),
        };
        let read = match read {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(error)) => return Err(SessionError::Link(error.to_string())),
        };
        self.placed += self.rest.as_ref().map_or(0, |rest| read.min(rest.room()));
        let mut state = self.shared.lock();
        state.burst = false;
        if read == 0 {
            return state.machine.handle_eof().and(Err(SessionError::Closed));
        }
        if !self.descriptors.is_empty() {
            state.arrived.extend(&mut self.descriptors);
        }
        let (buffer, rest) = (&mut self.buffer, &mut self.rest);
        let result = spare::lend(&mut state.machine, |machine| feed(machine, buffer, rest, read));
        let (announced, arrived) = (state.machine.descriptors_announced(), state.arrived.total());
        let held = state.arrived.len();
        let most = state.machine.limits().max_descriptors as usize;
        // A descriptor is never later than the message it belongs to, and never more than were granted.
        let broken = if announced.wrapping_sub(arrived) as i32 > 0 {
            Some(Misbehaviour::DescriptorMissing)
        } else {
            (held > most).then_some(Misbehaviour::DescriptorBudget)
        };
        if let (Ok(()), Some(rule)) = (&result, broken) {
            return Err(state.machine.misbehaved(rule));
        }
        self.tell_all(state);
        result.map(Poll::Ready)
    }

    // ---- events

    /// Hands on what the machine has to say, in order.
    pub(super) fn handle_events(&self) {
        self.tell_all(self.shared.lock());
    }

    /// The same, and lets the lock go first.
    #[inline]
    fn tell_all(&self, mut state: MutexGuard<'_, State>) {
        if state.machine.has_events() {
            let mut news = News::default();
            self.collect(&mut state, &mut news);
            drop(state);
            self.tell(news);
        }
    }

    fn collect(&self, state: &mut State, news: &mut News) {
        while let Some(event) = state.machine.poll_event() {
            self.note(state, event, news);
        }
    }

    /// Tells those whom the news is for, under no lock.
    fn tell(&self, news: News) {
        drop(news.wakes);
        if !news.effects.is_empty() {
            self.take_effect(news.effects);
        }
    }

    fn take_effect(&self, effects: Vec<Effect>) {
        for effect in effects {
            // A value that is dropped may panic: the session is not to end with it.
            let _ = cut::guarded("Drop of a value", || match effect {
                Effect::Ready(chan, key) => chan.ready(key, &self.shared),
                Effect::Taken(chan, key, messages) => chan.taken(key, &self.shared, messages),
                Effect::Close(descriptor) => drop(descriptor),
            });
        }
    }

    fn note(&self, state: &mut State, event: Event, news: &mut News) {
        let News { wakes, effects, told } = news;
        match event {
            Event::Established => {
                if let Some(established) = state.machine.established().cloned()
                    && let Err(error) = self.shared.agree(&established)
                {
                    self.shared.break_link(state, error.to_string());
                }
                state.watchers.notify_all(wakes);
            }
            Event::Opened(key) if state.farewell.drains => {
                state.machine.cancel(key, Scope::Channel, going_away(), None);
            }
            Event::Opened(key) => {
                state.incoming.push_back(key);
                wakes.push(state.acceptors.notify_one());
            }
            Event::Readable(key) if *told == Some(key) => {}
            Event::Readable(key) => {
                let (concerned, begins) = state.ports.news(key);
                state.active += u32::from(begins);
                match concerned {
                    Concerned::Parked(waker) => {
                        wakes.push(Some(waker));
                        *told = Some(key);
                    }
                    Concerned::Chan(chan) => effects.push(Effect::Ready(chan, key)),
                    Concerned::Nobody => {}
                }
            }
            Event::Writable(key) | Event::Cancelled(key) | Event::Starved(key) => {
                if matches!(event, Event::Cancelled(_)) && state.is_going_away(key) {
                    state.farewell.peer_going = true;
                    state.watchers.notify_all(wakes);
                }
                if let Some(chan) = state.ports.chan(key) {
                    effects.push(Effect::Ready(chan.clone(), key));
                    // More than the one message that waits is likely to come.
                    state.refilling |= state.machine.send_room(key) > 1;
                }
            }
            Event::Taken(key, messages) => {
                if let Some(chan) = state.ports.chan(key) {
                    effects.push(Effect::Taken(chan.clone(), key, messages));
                }
            }
            Event::StreamReadable(key) => {
                wakes.push(state.ports.stream(key).and_then(|stream| stream.reader.take()));
            }
            Event::StreamWritable(key) => {
                wakes.push(state.ports.stream(key).and_then(|stream| stream.writer.take()));
            }
            Event::DescriptorDropped(number) => {
                effects.extend(state.arrived.take(number).map(Effect::Close));
            }
            Event::PeerGoodbye(_) => {
                state.closing = true;
                state.watchers.notify_all(wakes);
            }
            Event::Pong(number) => {
                state.pings.answered = number.max(state.pings.answered);
                state.note_pong(number, wakes);
                state.watchers.notify_all(wakes);
            }
            _ => {}
        }
    }

    // ---- writing

    /// Writes what is to leave, and hands on what that had to say.
    fn poll_flush<'a>(
        &mut self,
        shared: &'a Shared,
        mut state: MutexGuard<'a, State>,
        cx: &mut Context<'_>,
    ) -> Result<Again, SessionError> {
        let (mut again, mut sent) = (Again::Later, 0);
        for _ in 0..WRITES {
            let due = state.machine.is_urgent() || state.unsent.is_some();
            if !due && !self.unflushed {
                self.yields = 0;
                again = Again::No;
                break;
            }
            if due && let Some(back) = state.gives_way(self.yields) {
                self.yields += 1;
                again = back;
                break;
            }
            // Those whose turn it is are told before the others have another one.
            if sent >= WRITTEN || state.machine.has_events() {
                break;
            }
            // A sender that is writing wakes us if it leaves anything.
            let Some(mut writer) = state.writer.take() else {
                again = Again::No;
                break;
            };
            let mut unsent = state.take_unsent();
            drop(state);
            let left = unsent.left();
            let mut written = unsent.poll_write(&mut *writer, cx);
            sent += left - unsent.left();
            if let Poll::Ready(Ok(())) = written {
                written = writer.poll_flush(cx);
                self.unflushed = written.is_pending();
            }
            state = shared.lock();
            state.writer = Some(writer);
            if unsent.is_done() {
                buffers::keep_output(unsent.output);
            } else {
                state.unsent = Some(Box::new(unsent));
            }
            match written {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(SessionError::Link(error.to_string())),
                Poll::Pending => {
                    again = Again::No;
                    break;
                }
            }
        }
        // Writing may have made room for channels that waited for it.
        self.tell_all(state);
        Ok(again)
    }

    // ---- the end

    /// The session is over: everybody who waits is told, every channel loses its leg.
    fn finish(&mut self, why: SessionError) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let mut wakes = Wakes::default();
        {
            let mut state = self.shared.lock();
            // Ends every entry, unless the machine had seen the end coming.
            let _ = state.machine.handle_eof();
            let why = match state.machine.end() {
                // However the link ended then.
                Some(over @ SessionError::AdmissionOver(_)) => over.clone(),
                _ => why,
            };
            state.finish(why, &mut wakes);
        }
        drop(wakes);
        self.handle_events();
        let keys = self.shared.lock().ports.keys();
        for key in keys {
            let (chan, mut wakes) = (self.shared.port(key), Wakes::default());
            if let Some(chan) = chan {
                let _ = cut::guarded("Drop of a value", || chan.session_over(key, &self.shared));
            } else if let Some(stream) = self.shared.lock().ports.stream(key) {
                wakes.push(stream.reader.take());
                wakes.push(stream.writer.take());
            }
            drop(wakes);
        }
    }

    fn say_last(&self, error: &SessionError) {
        // The machine has queued a goodbye that says what the peer did wrong: one attempt, no waiting.
        if matches!(error, SessionError::Link(_) | SessionError::Lost | SessionError::Closed) {
            return;
        }
        let mut state = self.shared.lock();
        if let Some(mut writer) = state.writer.take() {
            let mut unsent = state.take_unsent();
            let _ = unsent.try_write(&mut *writer);
        }
    }
}

/// Gives the machine the `read` bytes that have arrived: first what was read into `rest`, if there is one.
fn feed(
    machine: &mut Machine,
    buffer: &mut ReadBuffer,
    rest: &mut Option<Rest>,
    mut read: usize,
) -> Result<(), SessionError> {
    if let Some(mut rest) = rest.take() {
        let placed = read.min(rest.room());
        let mut stray = Vec::new();
        rest.advance(placed, |bytes| stray.extend_from_slice(bytes));
        read -= placed;
        machine.handle_rest(rest)?;
        if !stray.is_empty() {
            buffer.put_before(stray);
        }
    }
    if read > 0 || buffer.has_stray() {
        buffer.feed(read, |input| {
            let taken = machine.handle_input(input)?;
            Ok::<_, SessionError>((taken, machine.has_begun()))
        })?;
    }
    *rest = machine.take_rest();
    Ok(())
}

fn begin_turn(state: &mut State, cx: &Context<'_>) {
    state.woken = false;
    state.burst = false;
    match &mut state.driver {
        Some(known) => known.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        match self.turn(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => {
                self.say_last(&error);
                self.finish(error);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The runtime goes away under the session: nobody may be left waiting.
        self.finish(SessionError::Lost);
    }
}
