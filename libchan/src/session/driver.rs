//! The driver: the one future of a session. It alone reads the link, feeds the machine, hands its events on, and
//! finishes writes that a sender could not.
//!
//! Each turn: read what is there, handle events, write what has to leave, look at the clock's tick. Work in a turn
//! is bounded, so that a busy session does not starve the others on its thread.

use std::collections::VecDeque;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libchan_proto::{Event, Key, Misbehaviour, Reason, SessionError, code};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::port::Port;
use super::read::ReadBuffer;
use super::shared::{Shared, State};
use crate::attach::AnyChan;
use crate::chan::Wakes;
use crate::link::LinkReader;

/// Reads in one turn at the most.
const READS: usize = 8;
/// Turns that the driver gives way to the tasks it has woken, before it writes itself (rule 3).
const YIELDS: u32 = 2;
/// Output from which on it does not give way, in bytes.
const YIELD_BELOW: usize = 32 * 1024;
/// Writes in one turn at the most.
const WRITES: usize = 16;
/// How often the machine is told the time.
const TICK: Duration = Duration::from_secs(5);

pub(super) struct Driver {
    shared: Arc<Shared>,
    reader: Box<dyn LinkReader>,
    buffer: ReadBuffer,
    descriptors: VecDeque<OwnedFd>,
    started: Instant,
    tick: Interval,
    yields: u32,
    farewell: Farewell,
    /// When the close that is under way gives up.
    deadline: Option<Pin<Box<Sleep>>>,
    done: bool,
}

/// How far the end of the session has got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    No,
    /// What was accepted is on its way out.
    Draining,
    /// Our goodbye is in the output; the peer's is awaited.
    Said,
}

/// What an event asks for, done without the session's lock.
enum Effect {
    Ready(Arc<dyn AnyChan>, Key),
    Taken(Arc<dyn AnyChan>, Key, u32),
    Close(OwnedFd),
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, reader: Box<dyn LinkReader>) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            shared,
            reader,
            buffer: ReadBuffer::new(),
            descriptors: VecDeque::new(),
            started: Instant::now(),
            tick,
            yields: 0,
            farewell: Farewell::No,
            deadline: None,
            done: false,
        }
    }

    /// One turn. `Err` is the end of the session, and why.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        self.begin_turn(cx)?;
        let mut more = false;
        for round in 1.. {
            match self.poll_read(cx)? {
                Poll::Ready(()) if round < READS => self.handle_events(),
                Poll::Ready(()) => {
                    more = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        self.handle_events();
        self.poll_farewell(cx)?;
        more |= self.poll_flush(cx)?;
        // Writing may have made room for channels that waited for it.
        self.handle_events();
        while self.tick.poll_tick(cx).is_ready() {
            let now = self.started.elapsed();
            self.shared.lock().machine.handle_tick(now)?;
            more = true;
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    fn begin_turn(&mut self, cx: &Context<'_>) -> Result<(), SessionError> {
        let mut state = self.shared.lock();
        state.woken = false;
        state.burst = false;
        match &mut state.driver {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        match state.broken.take() {
            Some(text) => Err(SessionError::Link(text)),
            None => Ok(()),
        }
    }

    // ---- reading

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, SessionError> {
        let room = self.buffer.room();
        let read = match self.reader.poll_read(cx, room, &mut self.descriptors) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(error)) => return Err(SessionError::Link(error.to_string())),
        };
        let mut state = self.shared.lock();
        state.burst = false;
        if read == 0 {
            return state.machine.handle_eof().and(Err(SessionError::Closed));
        }
        state.arrived.extend(&mut self.descriptors);
        let result = self.buffer.feed(read, |data| state.machine.handle_input(data));
        let (announced, arrived) = (state.machine.descriptors_announced(), state.arrived.total());
        let held = state.arrived.len();
        if result.is_ok()
            && (announced.wrapping_sub(arrived) as i32 > 0
                || held > state.machine.limits().max_descriptors as usize)
        {
            // A descriptor is never later than the message it belongs to, and never more than were granted.
            return Err(SessionError::PeerMisbehaved(Misbehaviour::DescriptorBudget));
        }
        result.map(Poll::Ready)
    }

    // ---- events

    /// Hands on what the machine has to say, in order.
    fn handle_events(&mut self) {
        let mut wakes = Wakes::default();
        let mut effects = Vec::new();
        let mut state = self.shared.lock();
        while let Some(event) = state.machine.poll_event() {
            self.note(&mut state, event, &mut wakes, &mut effects);
        }
        drop(state);
        drop(wakes);
        for effect in effects {
            match effect {
                Effect::Ready(chan, key) => chan.ready(key, &self.shared),
                Effect::Taken(chan, key, messages) => chan.taken(key, &self.shared, messages),
                Effect::Close(descriptor) => drop(descriptor),
            }
        }
    }

    fn note(&self, state: &mut State, event: Event, wakes: &mut Wakes, effects: &mut Vec<Effect>) {
        match event {
            Event::Established => {
                if let Some(established) = state.machine.established().cloned()
                    && let Err(error) = self.shared.agree(&established)
                {
                    state.broken = Some(error.to_string());
                }
                state.watchers.notify_all(wakes);
            }
            Event::Opened(key) => {
                state.incoming.push_back(key);
                wakes.push(state.acceptors.notify_one());
            }
            Event::Readable(key) => {
                let busy = &mut state.active;
                match state.ports.get(key) {
                    Port::Chan { chan, parked, active } => {
                        if !std::mem::replace(active, true) {
                            *busy += 1;
                        }
                        match parked.take() {
                            Some(waker) => wakes.push(Some(waker)),
                            None => effects.push(Effect::Ready(chan.clone(), key)),
                        }
                    }
                    Port::Stream { reader, .. } => wakes.push(reader.take()),
                    Port::Open => {}
                }
            }
            Event::Writable(key) | Event::Cancelled(key) | Event::Starved(key) => {
                if let Some(chan) = state.ports.chan(key) {
                    effects.push(Effect::Ready(chan.clone(), key));
                }
            }
            Event::Taken(key, messages) => {
                if let Some(chan) = state.ports.chan(key) {
                    effects.push(Effect::Taken(chan.clone(), key, messages));
                }
            }
            Event::StreamReadable(key) => {
                if let Port::Stream { reader, .. } = state.ports.get(key) {
                    wakes.push(reader.take());
                }
            }
            Event::StreamWritable(key) => {
                if let Port::Stream { writer, .. } = state.ports.get(key) {
                    wakes.push(writer.take());
                }
            }
            Event::DescriptorDropped(number) => {
                effects.extend(state.arrived.take(number).map(Effect::Close));
            }
            Event::PeerGoodbye(_) => state.closing = true,
            _ => {}
        }
    }

    // ---- writing

    /// Writes what is to leave. True: there is more than fits a turn.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        for _ in 0..WRITES {
            let mut state = self.shared.lock();
            if !state.machine.has_output() && state.unsent.is_none() {
                self.yields = 0;
                return Ok(false);
            }
            if self.gives_way(&state) {
                self.yields += 1;
                return Ok(true);
            }
            // A sender that is writing wakes us if it leaves anything.
            let Some(mut writer) = state.writer.take() else { return Ok(false) };
            let mut unsent = state.unsent.take().unwrap_or_else(|| state.swap_out());
            drop(state);
            let result = unsent.poll_write(&mut *writer, cx);
            let mut state = self.shared.lock();
            state.writer = Some(writer);
            match result {
                Poll::Ready(Ok(())) => {
                    state.swap_back(unsent);
                    let flushed = state.writer.as_mut().map(|writer| writer.poll_flush(cx));
                    if let Some(Poll::Ready(Err(error))) = flushed {
                        return Err(SessionError::Link(error.to_string()));
                    }
                }
                Poll::Ready(Err(error)) => return Err(SessionError::Link(error.to_string())),
                Poll::Pending => {
                    state.unsent = Some(unsent);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether to let the tasks that were woken add to the output first (rule 3).
    fn gives_way(&self, state: &State) -> bool {
        state.active > 0
            && self.yields < YIELDS
            && state.unsent.is_none()
            && state.machine.output_len() < YIELD_BELOW
    }

    // ---- the end

    /// Takes the close of the session a step further.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if self.farewell == Farewell::No {
            let mut state = self.shared.lock();
            let unused = state.handles == 0 && state.machine.open_channels() == 0;
            if !(state.closing || unused) {
                return Ok(());
            }
            state.closing = true;
            drop(state);
            self.farewell = Farewell::Draining;
            self.deadline = Some(Box::pin(sleep(self.shared.close_timeout)));
            self.leave_channels();
        }
        let late = self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        let mut state = self.shared.lock();
        let sent = state.machine.is_drained() && state.unsent.is_none();
        if self.farewell == Farewell::Draining {
            // After the peer's goodbye no credit comes: what cannot leave now never will.
            let stuck = state.machine.peer_said_goodbye() && sent;
            if !(state.machine.is_settled() || stuck || late) {
                return Ok(());
            }
            state.goodbye(Reason { code: code::NONE, text: String::new() });
            self.farewell = Farewell::Said;
            let mut deadline = Box::pin(sleep(self.shared.close_timeout));
            // Registers for its end; it cannot have come yet.
            let _ = deadline.as_mut().poll(cx);
            self.deadline = Some(deadline);
            return Ok(());
        }
        if late {
            return Err(SessionError::Closed);
        }
        if !(sent && state.machine.peer_said_goodbye()) {
            return Ok(());
        }
        match state.writer.as_mut().map(|writer| writer.poll_close(cx)) {
            Some(Poll::Pending) => Ok(()),
            _ => Err(SessionError::Closed),
        }
    }

    /// Asks every channel and stream to end once what was accepted has gone out.
    fn leave_channels(&self) {
        let keys = self.shared.lock().ports.keys();
        for key in keys {
            let chan = {
                let mut state = self.shared.lock();
                if matches!(state.ports.get(key), Port::Stream { .. }) {
                    state.machine.stream_finish(key, Reason { code: code::NONE, text: String::new() });
                }
                state.ports.chan(key).cloned()
            };
            if let Some(chan) = chan {
                chan.leave(key, &self.shared);
            }
        }
    }

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
            state.finish(why, &mut wakes);
        }
        drop(wakes);
        self.handle_events();
        let keys = self.shared.lock().ports.keys();
        for key in keys {
            let (chan, mut wakes) = (self.shared.port(key), Wakes::default());
            if let Some(chan) = chan {
                chan.session_over(key, &self.shared);
            } else if let Port::Stream { reader, writer } = self.shared.lock().ports.get(key) {
                wakes.push(reader.take());
                wakes.push(writer.take());
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
            let mut unsent = state.unsent.take().unwrap_or_else(|| state.swap_out());
            let _ = unsent.try_write(&mut *writer);
        }
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
