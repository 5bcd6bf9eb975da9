//! What the driver and every end of a session share: the machine and the output, behind one lock.
//!
//! Senders append to the output and, by rule, write the link themselves; only the driver reads (the thirteen rules
//! of the driver, DESIGN section 7). Events of the machine are handled by the driver alone, in order.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use libchan_proto::{Attach, Attachment, Key, Kind, Machine, Output, Reason, SessionError, code};

use tokio::runtime::Handle;

use super::agreed::Agreed;
use super::any_chan::AnyChan;
use super::buffers;
use super::descriptors::{Arrived, Leaving};
use super::farewell::Parting;
use super::flush::Flush;
use super::leg::Leg;
use super::patience::Patience;
use super::ping::Pings;
use super::port::{Port, Ports};
use super::replies::Replies;
use super::write::Unsent;
use crate::codec::AnyCodec;
use crate::cut::{self, Cause, Cut};
use crate::error::{RemoteError, SendFailure};
use crate::fd::{Fd, FdHold};
use crate::link::{LinkInfo, LinkWriter};
use crate::stream::StreamHold;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::waiters::{Waiters, Wakes};

/// Data of a stream from this size on is written through, in bytes.
const LARGE: usize = 16 * 1024;

/// In memory as it is written here: see [`Machine`].
#[repr(C)]
pub(crate) struct Shared {
    /// `State::broken` is set: asked without the lock, before anything more is read.
    is_broken: AtomicBool,
    /// Set when both hellos are in.
    pub(super) agreed: OnceLock<Agreed>,
    state: Mutex<State>,
    pub(super) info: LinkInfo,
    pub(super) codecs: Vec<AnyCodec>,
    pub(super) close_timeout: Duration,
    pub(super) replies: Replies,
    /// The driver's runtime, for copying tasks begun on a thread that has none.
    pub(super) runtime: Handle,
}

/// In memory as it is written here: see [`Machine`].
#[repr(C)]
pub(crate) struct State {
    /// Channels that were woken with data and have not come back (a hint: nothing may depend on it for progress).
    pub(super) active: u32,
    /// Handles of the session, `Session` and its clones.
    pub(super) handles: u32,
    driver_only: bool,
    /// Somebody has written since the last read or turn of the driver, or is likely to write several messages soon.
    pub(super) burst: bool,
    /// Senders that were out of room have some again and have not run yet: what they send goes in one write (a hint).
    pub(super) refilling: bool,
    pub(super) patience: Patience,
    /// The driver was woken to flush and has not run yet.
    pub(super) woken: bool,
    pub(super) closing: bool,
    pub(super) farewell: Parting,
    pub(super) flush: Flush,
    /// Named channels that were accepted and are received from.
    pub(super) named: Vec<Key>,
    /// `None` while somebody writes.
    pub(super) writer: Option<Box<dyn LinkWriter>>,
    /// What a write has left over: the driver's to finish. In a box, because it is rare.
    pub(super) unsent: Option<Box<Unsent>>,
    pub(super) driver: Option<Waker>,
    pub(super) arrived: Arrived,
    pub(super) ports: Ports,
    pub(super) machine: Machine,
    pub(super) leaving: Leaving,
    pub(super) incoming: VecDeque<Key>,
    pub(super) acceptors: Waiters,
    /// Said goodbye, and whether the peer has.
    pub(super) over: Option<SessionError>,
    /// Calls that wait for the end of the session or for its beginning.
    pub(super) watchers: Waiters,
    /// A write on a sender's thread failed: the driver reports it.
    pub(super) broken: Option<String>,
    pub(super) pings: Pings,
}

/// What a channel finds when it asks its session for more.
pub(crate) enum Refill {
    /// `starved`: the sender has nothing left to send with.
    Messages {
        starved: bool,
    },
    Closed(libchan_proto::Close),
    Empty,
}

impl Shared {
    pub(super) fn new(
        machine: Machine,
        info: LinkInfo,
        codecs: Vec<AnyCodec>,
        close_timeout: Duration,
        writer: Box<dyn LinkWriter>,
    ) -> Arc<Self> {
        let driver_only = writer.driver_only();
        Arc::new(Self {
            info,
            codecs,
            close_timeout,
            replies: Replies::default(),
            agreed: OnceLock::new(),
            runtime: Handle::current(),
            is_broken: AtomicBool::new(false),
            state: Mutex::new(State {
                machine,
                ports: Ports::default(),
                writer: Some(writer),
                driver_only,
                unsent: None,
                active: 0,
                burst: false,
                refilling: false,
                patience: Patience::default(),
                driver: None,
                woken: false,
                incoming: VecDeque::new(),
                acceptors: Waiters::new(),
                arrived: Arrived::default(),
                leaving: Leaving::default(),
                handles: 1,
                closing: false,
                farewell: Parting::default(),
                flush: Flush::default(),
                named: Vec::new(),
                over: None,
                watchers: Waiters::new(),
                broken: None,
                pings: Pings::default(),
            }),
        })
    }

    /// The session is to end, because of `why`: nothing more is read.
    pub(super) fn break_link(&self, state: &mut State, why: String) {
        state.broken.get_or_insert(why);
        self.is_broken.store(true, Ordering::Release);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Runs a command that may produce output; the driver flushes it.
    pub(crate) fn quiet<R>(&self, command: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = command(&mut state);
        self.after_command(state);
        result
    }

    /// After a command that may have produced output.
    #[inline]
    pub(super) fn after_command(&self, mut state: MutexGuard<'_, State>) {
        let driver = state.wake_driver_for_output();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// After something was appended to the output, a message on the channel `of`: writes it now, or leaves it to the driver
    /// (rule 1).
    #[inline]
    pub(super) fn after_send(&self, mut state: MutexGuard<'_, State>, of: Option<Key>) {
        state.patience.sent();
        if state.active == 0 && !state.burst && !state.refilling {
            return self.write_alone(state, of);
        }
        let driver = state.wake_driver();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Writes if nobody else is about to.
    fn write_alone(&self, mut state: MutexGuard<'_, State>, of: Option<Key>) {
        // After the first message on a channel that the peer has sent us its end is likely to follow, in the same write.
        let reply = of.is_some_and(|key| state.machine.has_begun_reply(key));
        let may = !reply && state.unsent.is_none() && !state.driver_only && !state.patience.straggles();
        let writer = if may { state.writer.take() } else { None };
        let Some(mut writer) = writer else {
            let driver = state.wake_driver();
            drop(state);
            return driver.into_iter().for_each(Waker::wake);
        };
        state.burst = true;
        let mut unsent = state.swap_out();
        drop(state);
        let result = unsent.try_write(&mut *writer);
        self.end_write(writer, unsent, result);
    }

    /// Writes up to a frame of `data` on the stream `key` at once and uncopied, behind all that waits: large data gains
    /// nothing by waiting for more. Gives the lock back if that is not possible now, or not worth it.
    pub(super) fn write_through<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        key: Key,
        data: &[u8],
    ) -> Result<usize, MutexGuard<'a, State>> {
        if data.len() < LARGE || state.driver_only || state.unsent.is_some() {
            return Err(state);
        }
        let size = state.machine.stream_room(key, data.len());
        if size < LARGE {
            return Err(state);
        }
        let Some(mut writer) = state.writer.take() else { return Err(state) };
        let mut unsent = state.swap_out();
        state.machine.stream_frame(key, size, &mut unsent.output);
        drop(state);
        let result = unsent.try_write_with(&mut *writer, &data[..size]);
        self.end_write(writer, unsent, result);
        Ok(size)
    }

    /// Gives the writer back; what it has left over is the driver's to finish.
    fn end_write(&self, writer: Box<dyn LinkWriter>, unsent: Unsent, result: io::Result<bool>) {
        let mut state = self.lock();
        if state.over.is_some() {
            // The session has ended meanwhile: its link is closed by dropping both halves, so this one does not come back.
            drop(state);
            return drop(writer);
        }
        state.writer = Some(writer);
        let all = matches!(result, Ok(true));
        match result {
            Ok(true) => buffers::keep_output(unsent.output),
            Ok(false) => state.unsent = Some(Box::new(unsent)),
            Err(error) => self.break_link(&mut state, error.to_string()),
        }
        let driver = if all { state.wake_driver_for_output() } else { state.wake_driver() };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    // ---- entries and ports

    /// A new entry, one end of which is to go to the peer.
    pub(crate) fn allocate(
        &self,
        peer_gets: Kind,
        capacity: u32,
        on_demand: bool,
        wanted: u32,
        chan: Arc<dyn AnyChan>,
    ) -> Result<Key, SendFailure> {
        let mut state = self.lock();
        let key = state.machine.allocate(peer_gets, capacity, on_demand, wanted);
        let key = key.map_err(|error| not_opened(&state, &error))?;
        state.ports.set_chan(key, chan);
        Ok(key)
    }

    /// As soon as the machine knows: before everybody has been told.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().machine.is_over()
    }

    /// How the session has ended, as far as that is known yet.
    pub(crate) fn end_so_far(&self) -> Option<SessionError> {
        end_so_far(&self.lock())
    }

    /// Why an end on this session is over, of which the machine says `reason`.
    pub(crate) fn cause(&self, reason: Reason) -> Cause {
        match self.end_so_far() {
            Some(error) if is_session_end(&reason) => Cause::session_over(error),
            _ => RemoteError::from(reason).into(),
        }
    }

    /// Whether the count of taken messages that came with a cancel for this `reason` is exact. With a lost link nobody knows.
    pub(crate) fn knows_taken(&self, reason: &Reason) -> bool {
        let ended = is_session_end(reason) && self.end_so_far().is_some();
        !ended && reason.code != code::DISCONNECTED
    }

    pub(crate) fn abandon(&self, key: Key) {
        let port = {
            let mut state = self.lock();
            state.machine.abandon(key);
            state.ports.take(key)
        };
        if let Port::Stream(stream) = port {
            stream.into_wakers().for_each(Waker::wake);
        }
    }

    pub(crate) fn unpin(&self, key: Key) {
        self.quiet(|state| state.machine.unpin(key));
    }

    pub(crate) fn port(&self, key: Key) -> Option<Arc<dyn AnyChan>> {
        self.lock().ports.chan(key).cloned()
    }

    pub(crate) fn release_hold(&self, key: Key) {
        self.quiet(|state| state.machine.release_hold(key));
    }

    pub(crate) fn sender_starved(&self, key: Key) -> bool {
        self.lock().machine.sender_starved(key)
    }

    /// An attachment that nobody claimed ends because of what marks the thread; else its message was dropped unread.
    pub(crate) fn reject(&self, attachment: Attachment) {
        let reason = cut::now().unwrap_or_else(|| Cut::NotDelivered.cause()).into_reason();
        let descriptor = self.quiet(|state| state.reject(attachment, reason));
        drop(descriptor);
    }

    // ---- streams and descriptors

    /// Connects a held stream with a new stream of the session.
    pub(crate) fn bind_stream(self: &Arc<Self>, hold: StreamHold) -> Result<Attach, SendFailure> {
        let key = self.allocate_stream()?;
        hold.bind(Leg { session: self.clone(), key }.stream());
        Ok(Attach::Stream(key))
    }

    /// A new stream, which nothing is connected with yet.
    pub(crate) fn allocate_stream(&self) -> Result<Key, SendFailure> {
        let mut state = self.lock();
        let key = state.machine.allocate(Kind::Stream, 0, false, 0);
        let key = key.map_err(|error| not_opened(&state, &error))?;
        state.ports.set_stream(key);
        Ok(key)
    }

    /// Passes a held descriptor, or pumps it where the link passes none.
    pub(crate) fn bind_descriptor(self: &Arc<Self>, hold: FdHold) -> Result<Attach, SendFailure> {
        let hold = if self.passes_descriptors() {
            match hold.into_descriptor() {
                Ok(descriptor) => return Ok(Attach::Descriptor(self.lock().leaving.insert(descriptor))),
                // It arrived as a stream and goes on as one.
                Err(stream) => stream,
            }
        } else {
            hold
        };
        hold.check_pumpable().map_err(|error| SendFailure::NotPumpable(error.what))?;
        let key = self.allocate_stream()?;
        hold.bind_stream(Leg { session: self.clone(), key }.stream());
        Ok(Attach::Stream(key))
    }

    /// As [`bind_descriptor`](Self::bind_descriptor) for one that stays here until its message is taken: a duplicate is passed,
    /// or a stream made for it that nothing is connected with yet.
    pub(crate) fn lend_descriptor(&self, hold: &FdHold) -> Result<Attach, SendFailure> {
        if self.passes_descriptors() && hold.is_descriptor() {
            let failed = |error| SendFailure::Limit(format!("cannot duplicate the descriptor: {error}"));
            let duplicate = hold.dup_for_passing().map_err(failed)?;
            return Ok(Attach::Descriptor(self.lock().leaving.insert(duplicate)));
        }
        hold.check_pumpable().map_err(|error| SendFailure::NotPumpable(error.what))?;
        self.allocate_stream().map(Attach::Stream)
    }

    /// Ends what the peer has of a stream that nothing was connected with.
    pub(crate) fn cut_stream(&self, key: Key) {
        let port = self.quiet(|state| {
            state.machine.stream_finish(key, Reason::none());
            state.machine.stream_stop(key, Reason::none());
            state.ports.take(key)
        });
        drop(port);
    }

    pub(crate) fn forget_descriptor(&self, token: u32) {
        let descriptor = self.lock().leaving.take(token);
        drop(descriptor);
    }

    /// The descriptor that arrived as number `number`.
    pub(super) fn take_descriptor(&self, number: u32) -> Option<Fd> {
        let descriptor = self.quiet(|state| {
            state.machine.descriptors_released(1);
            state.arrived.take(number)
        });
        descriptor.map(Fd::new)
    }

    // ---- the end

    /// Says goodbye once what was accepted has gone out.
    pub(super) fn begin_close(&self) {
        let driver = {
            let mut state = self.lock();
            state.closing = true;
            state.wake_driver()
        };
        driver.into_iter().for_each(Waker::wake);
    }

    /// Ends the session because the time is over for which the peer was let in, and tells the peer `text`.
    pub(super) fn end_admission(&self, text: String) {
        let driver = {
            let mut state = self.lock();
            if state.over.is_some() {
                return;
            }
            state.farewell.admission_over.get_or_insert(text);
            state.closing = true;
            state.wake_driver()
        };
        driver.into_iter().for_each(Waker::wake);
    }

    /// Ends the session here and now: the peer sees a lost link.
    pub(super) fn abort(&self) {
        let driver = {
            let mut state = self.lock();
            self.break_link(&mut state, "aborted".to_owned());
            state.wake_driver()
        };
        driver.into_iter().for_each(Waker::wake);
    }
}

fn end_so_far(state: &State) -> Option<SessionError> {
    state.over.as_ref().or_else(|| state.machine.end()).cloned()
}

/// What a send is told that cannot open what its message carries.
fn not_opened(state: &State, error: &libchan_proto::OpenError) -> SendFailure {
    match error {
        libchan_proto::OpenError::SessionOver => {
            let end = end_so_far(state).unwrap_or(SessionError::Closed);
            Cause::session_over(end).into_closed().into()
        }
        limit => SendFailure::Limit(limit.to_string()),
    }
}

/// Whether the machine says this of an end because the session is over: nobody has said it in words.
fn is_session_end(reason: &Reason) -> bool {
    reason.text.is_empty() && matches!(reason.code, code::DISCONNECTED | code::SESSION_CLOSED)
}

impl State {
    /// Wakes the driver once.
    pub(super) fn wake_driver(&mut self) -> Option<Waker> {
        if self.woken {
            return None;
        }
        self.woken = true;
        self.driver.clone()
    }

    fn wake_driver_for_output(&mut self) -> Option<Waker> {
        let idle = self.is_unused();
        if self.machine.is_urgent() || self.machine.has_events() || idle { self.wake_driver() } else { None }
    }

    /// Ends what an attachment leads to, because of `reason`. A descriptor is the caller's to close, under no lock.
    pub(super) fn reject(&mut self, attachment: Attachment, reason: Reason) -> Option<Fd> {
        let key = attachment.key;
        match attachment.kind {
            Kind::Descriptor => {
                self.machine.descriptors_released(1);
                return self.arrived.take(key.slot).map(Fd::new);
            }
            _ => self.machine.reject(attachment, &reason),
        }
        None
    }

    /// Nobody uses the session any more; one that drains is not used by its handles.
    pub(super) fn is_unused(&self) -> bool {
        (self.handles == 0 || self.farewell.drains) && !self.machine.is_used()
    }

    /// What is to be written next: what was left over, or what the machine has.
    pub(super) fn take_unsent(&mut self) -> Unsent {
        match self.unsent.take() {
            Some(unsent) => *unsent,
            None => self.swap_out(),
        }
    }

    /// Takes what the machine has to write, with the descriptors that go with it.
    pub(super) fn swap_out(&mut self) -> Unsent {
        self.lend_buffer();
        self.patience.begin_output();
        let mut unsent = Unsent::into(Output::default());
        self.machine.take_output(&mut unsent.output);
        for (_, token) in &unsent.output.descriptors {
            unsent.descriptors.extend(self.leaving.take(*token));
        }
        unsent
    }

    /// Gives the machine a buffer of this thread's to write into, if it has none.
    #[inline]
    pub(super) fn lend_buffer(&mut self) {
        if self.machine.lacks_buffer() {
            self.machine.use_buffer(buffers::take_output());
        }
    }

    /// The end of the session: nobody is left waiting, and no cycle of channels and session remains.
    pub(super) fn finish(&mut self, why: SessionError, wakes: &mut Wakes) {
        self.over.get_or_insert(why);
        self.watchers.notify_all(wakes);
        self.acceptors.notify_all(wakes);
        self.leaving.clear();
        self.unsent = None;
        self.writer = None;
    }
}
