//! The two halves of a pair: buffers between them, until one half leaves and the other goes on without them.
//!
//! Each direction is a lane. When a half is bound to a session's stream, what its mate had written is handed over
//! (`preload`), the mate drains its own lane once more and from then on polls the session's stream itself. The
//! lane's lock is never held while a session's stream or a waker is called, so it has no order with other locks;
//! the place `Leaving` keeps the mate off the wire for the moment of handing over.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

use super::remote::{Duplex, RemoteStream};
use crate::cut::{self, Cause, Cut};
use crate::error::RemoteError;
use crate::sync::{Mutex, lock};

/// How much one direction holds before its writer waits.
pub(super) const LANE: usize = 64 * 1024;

const GONE: &str = "the other end of the stream is gone";
const UNREAD: &str = "the other end of the stream does not read";

/// One half. Its methods are called by its owner, or by the task that copies once the half was sent.
pub(super) struct PairEnd {
    shared: Arc<Mutex<Shared>>,
    side: usize,
    /// The session's stream that took the mate's place.
    remote: OnceLock<Arc<dyn RemoteStream>>,
    /// The lane to this half will stay empty: reading goes straight to `remote`.
    drained: AtomicBool,
}

struct Shared {
    /// `lanes[i]` is written by half `i`.
    lanes: [Lane; 2],
    places: [Place; 2],
}

#[derive(Default)]
struct Lane {
    bytes: VecDeque<u8>,
    written: Written,
    /// Nobody reads it any more.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Whether a lane's writer has ended it.
#[derive(Clone, Default)]
enum Written {
    #[default]
    Open,
    Ended,
    Failed(Cause),
}

/// Where a half is.
enum Place {
    Here,
    /// It is being bound: its mate waits.
    Leaving,
    /// It was bound; the session's stream is fetched by the mate at its next call.
    Away(Option<Arc<dyn RemoteStream>>),
    Dropped,
}

/// What a half does next: done with the lane, wait, or talk to the session's stream.
enum Step<T> {
    Done(io::Result<T>, Option<Waker>),
    Wait,
    Remote,
}

pub(super) fn ends() -> (PairEnd, PairEnd) {
    let lanes = [Lane::default(), Lane::default()];
    let shared = Arc::new(Mutex::new(Shared { lanes, places: [Place::Here, Place::Here] }));
    let end = |side| PairEnd {
        shared: shared.clone(),
        side,
        remote: OnceLock::new(),
        drained: AtomicBool::new(false),
    };
    (end(0), end(1))
}

impl PairEnd {
    fn mate(&self) -> usize {
        1 - self.side
    }

    /// Puts the session's stream in this half's place. Gives it back where the mate has left already: then there
    /// is nobody here to use it directly.
    pub(super) fn bind(&self, remote: Arc<dyn RemoteStream>) -> Option<Arc<dyn RemoteStream>> {
        let mut written = {
            let mut shared = lock(&self.shared);
            if matches!(shared.places[self.mate()], Place::Leaving | Place::Away(_)) {
                return Some(remote);
            }
            shared.places[self.side] = Place::Leaving;
            mem::take(&mut shared.lanes[self.mate()].bytes)
        };
        if !written.is_empty() {
            remote.preload(written.make_contiguous());
        }
        self.hand_over(remote);
        None
    }

    /// Repeats on the wire how the mate had ended its lane, then lets the mate use the wire.
    fn hand_over(&self, remote: Arc<dyn RemoteStream>) {
        let mut told = false;
        loop {
            let mut shared = lock(&self.shared);
            let written = &shared.lanes[self.mate()].written;
            if !told && !matches!(written, Written::Open) {
                let written = written.clone();
                drop(shared);
                match written {
                    Written::Failed(why) => remote.reset(&why),
                    // The first call commits the half-close, whatever it returns.
                    _ => drop(remote.poll_shutdown(&mut Context::from_waker(Waker::noop()))),
                }
                told = true;
                continue;
            }
            // This half was closed before it was sent (its mate reads the end, and never the wire), or its mate
            // reads no more.
            let lane = &shared.lanes[self.side];
            let unread = lane.unread || !matches!(lane.written, Written::Open);
            let here = !matches!(shared.places[self.mate()], Place::Dropped);
            shared.places[self.side] = Place::Away(here.then(|| remote.clone()));
            let wakers = shared.lanes.each_mut().map(Lane::wakers);
            drop(shared);
            if unread {
                remote.stop(&unread_cause());
            }
            wakers.into_iter().flatten().for_each(wake);
            return;
        }
    }

    /// Takes the session's stream out of the shared place. It is kept by this half alone, so that dropping the
    /// half ends it.
    fn fetch(&self, shared: &mut Shared) {
        if let Place::Away(place) = &mut shared.places[self.mate()]
            && let Some(remote) = place.take()
        {
            // Only this half fetches, and only once, as the place is empty afterwards.
            let _ = self.remote.set(remote);
        }
    }

    /// Acts on a step, with no lock held.
    fn finish<T>(
        &self,
        step: Step<T>,
        on_remote: impl FnOnce(&Arc<dyn RemoteStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match step {
            Step::Done(result, waker) => {
                wake(waker);
                Poll::Ready(result)
            }
            Step::Wait => Poll::Pending,
            Step::Remote => match self.remote.get() {
                Some(remote) => on_remote(remote),
                None => Poll::Ready(Err(broken(GONE))),
            },
        }
    }

    fn read_lane(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Step<()> {
        let mut shared = lock(&self.shared);
        let lane = &mut shared.lanes[self.mate()];
        if !lane.bytes.is_empty() {
            let taken = lane.bytes.len().min(buf.remaining());
            let (front, back) = lane.bytes.as_slices();
            let front = &front[..front.len().min(taken)];
            buf.put_slice(front);
            buf.put_slice(&back[..taken - front.len()]);
            lane.bytes.drain(..taken);
            return Step::Done(Ok(()), lane.writer.take());
        }
        match &lane.written {
            Written::Open => {}
            Written::Ended => return Step::Done(Ok(()), None),
            Written::Failed(why) => return Step::Done(Err(why.clone().into_read_error()), None),
        }
        if matches!(shared.places[self.mate()], Place::Away(_)) {
            self.fetch(&mut shared);
            self.drained.store(true, Ordering::Release);
            return Step::Remote;
        }
        shared.lanes[self.mate()].reader = Some(cx.waker().clone());
        Step::Wait
    }

    /// The checks that writing, flushing and closing share, and then `act` on the lane.
    fn write_lane<T>(&self, cx: &Context<'_>, act: impl FnOnce(&mut Lane) -> Step<T>) -> Step<T> {
        let mut shared = lock(&self.shared);
        if matches!(shared.places[self.mate()], Place::Away(_)) {
            self.fetch(&mut shared);
            return Step::Remote;
        }
        let leaving = matches!(shared.places[self.mate()], Place::Leaving);
        let lane = &mut shared.lanes[self.side];
        let step = if leaving { Step::Wait } else { act(lane) };
        if matches!(step, Step::Wait) {
            lane.writer = Some(cx.waker().clone());
        }
        step
    }

    /// Ends a direction from the copying task: on the wire, or noted for whoever hands over.
    fn end(&self, on_remote: impl FnOnce(&dyn RemoteStream), on_lanes: impl FnOnce(&mut [Lane; 2])) {
        let mut shared = lock(&self.shared);
        self.fetch(&mut shared);
        if let Some(remote) = self.remote.get() {
            drop(shared);
            return on_remote(&**remote);
        }
        on_lanes(&mut shared.lanes);
        let [mine, theirs] = [self.side, self.mate()].map(|lane| shared.lanes[lane].wakers());
        drop(shared);
        mine.into_iter().chain(theirs).for_each(wake);
    }
}

impl Duplex for PairEnd {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let step = if self.drained.load(Ordering::Acquire) { Step::Remote } else { self.read_lane(cx, buf) };
        self.finish(step, |remote| remote.poll_read(cx, buf))
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(remote) = self.remote.get() {
            return remote.poll_write(cx, data);
        }
        let step = self.write_lane(cx, |lane| lane.append(data));
        self.finish(step, |remote| remote.poll_write(cx, data))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(remote) = self.remote.get() {
            return remote.poll_flush(cx);
        }
        let step = self.write_lane(cx, |_| Step::Done(Ok(()), None));
        self.finish(step, |remote| remote.poll_flush(cx))
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(remote) = self.remote.get() {
            return remote.poll_shutdown(cx);
        }
        let step = self.write_lane(cx, |lane| {
            lane.end(Written::Ended);
            Step::Done(Ok(()), lane.reader.take())
        });
        self.finish(step, |remote| remote.poll_shutdown(cx))
    }

    fn reset(&self, why: &Cause) {
        self.end(|remote| remote.reset(why), |lanes| lanes[self.side].end(Written::Failed(why.clone())));
    }

    fn stop(&self, why: &Cause) {
        self.end(|remote| remote.stop(why), |lanes| lanes[self.mate()].unread = true);
    }

    fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(remote) = self.remote.get() {
            return remote.poll_stopped(cx);
        }
        let step =
            self.write_lane(cx, |lane| if lane.unread { Step::Done(Ok(()), None) } else { Step::Wait });
        self.finish(step, |remote| remote.poll_stopped(cx).map(Ok)).map(drop)
    }
}

impl Drop for PairEnd {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if matches!(shared.places[self.side], Place::Leaving | Place::Away(_)) {
            // The session's stream stands in for this half.
            return;
        }
        shared.places[self.side] = Place::Dropped;
        let mate = self.mate();
        // Behind what was written; a clean end is said by `shutdown` alone.
        shared.lanes[self.side].end(Written::Failed(cut::now().unwrap_or_else(|| Cut::Abandoned.cause())));
        shared.lanes[mate].unread = true;
        let unread = mem::take(&mut shared.lanes[mate].bytes);
        let remote = match &mut shared.places[mate] {
            Place::Away(remote) => remote.take(),
            _ => None,
        };
        let wakers = [shared.lanes[self.side].reader.take(), shared.lanes[mate].writer.take()];
        drop(shared);
        wakers.into_iter().for_each(wake);
        drop((unread, remote));
    }
}

impl Lane {
    fn append(&mut self, data: &[u8]) -> Step<usize> {
        if !matches!(self.written, Written::Open) {
            return Step::Done(Err(broken("the stream's writing direction is closed")), None);
        }
        if self.unread {
            return Step::Done(Err(broken(GONE)), None);
        }
        let room = LANE.saturating_sub(self.bytes.len()).min(data.len());
        if room == 0 {
            return Step::Wait;
        }
        self.bytes.extend(&data[..room]);
        Step::Done(Ok(room), self.reader.take())
    }

    /// The first end counts.
    fn end(&mut self, written: Written) {
        if matches!(self.written, Written::Open) {
            self.written = written;
        }
    }

    fn wakers(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What the other side of a session is told whose stream nobody here reads.
fn unread_cause() -> Cause {
    RemoteError::with_wire_code(libchan_proto::code::NONE, UNREAD.to_owned()).into()
}

fn broken(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, text)
}
