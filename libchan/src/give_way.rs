//! Giving way: who sends or takes much lets the others have their turn in between.
//!
//! Nothing here waits for anything: without it a task that sends megabytes in a loop would encode one after the other in one
//! poll, and everybody else on its thread would wait for that. So an end of a channel and a stream count what went through
//! them, and for every [`TURN`] of it one call waits for its task to be polled anew, behind the tasks that are ready and what
//! the runtime's sockets have to say. It does so before it has done anything, and may be dropped then as ever; sends keep their
//! order. Small messages are not counted. Threads that block give way to nobody.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

/// What is done without giving way, in bytes: as much as the driver does in a turn.
const TURN: u32 = 128 * 1024;
/// The same for who is ahead of the driver. What waits to be written leaves the processor's caches meanwhile, and its memory is
/// not there to be used again. With a link that takes nothing this is as often as the sender looks again for nothing.
const AHEAD: u32 = TURN / 8;
/// What is remembered at the most, in bytes: whoever did not give way in time does not do it for long.
const MOST: u32 = 32 * TURN;

thread_local! {
    /// Within a blocking call.
    static BLOCKS: Cell<bool> = const { Cell::new(false) };
}

/// What one end of a channel has done that others were not let in for, in bytes. It is a hint: of two tasks that use the same
/// end either may give way for both.
#[derive(Default)]
pub(crate) struct Effort(AtomicU32);

impl Effort {
    /// So many bytes were encoded, decoded or copied.
    pub(crate) fn add(&self, bytes: usize) {
        let bytes = bytes.min(MOST as usize) as u32;
        self.0.store((self.0.load(Relaxed) + bytes).min(MOST), Relaxed);
    }

    /// Much was passed on without being copied: a turn of the driver's work, and hardly any here.
    pub(crate) fn add_turn(&self) {
        self.add(TURN as usize);
    }

    /// The others had their turn, or want none.
    #[inline]
    pub(crate) fn forget(&self) {
        if self.0.load(Relaxed) > 0 {
            self.0.store(0, Relaxed);
        }
    }

    /// Whether others are to have their turn first.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.0.load(Relaxed) >= TURN
    }

    /// Pending if others are to have their turn first; `waker` is woken behind them.
    #[inline]
    pub(crate) fn poll_turn(&self, waker: &Waker) -> Poll<()> {
        if self.is_due() { self.give_way(waker) } else { Poll::Ready(()) }
    }

    #[cold]
    fn give_way(&self, waker: &Waker) -> Poll<()> {
        self.pay(TURN);
        wait(waker)
    }

    /// The same for calls that keep their order: `gave_way` is of each call and says that it did. What one gives way for is
    /// there until it is polled again, so that no other call passes it. `ahead` says whether what was done before waits.
    #[inline]
    pub(crate) fn poll_turn_in_order(
        &self,
        gave_way: &mut bool,
        waker: &Waker,
        ahead: impl FnOnce() -> bool,
    ) -> Poll<()> {
        if self.is_due() { self.go_on(gave_way, waker, ahead()) } else { Poll::Ready(()) }
    }

    #[cold]
    fn go_on(&self, gave_way: &mut bool, waker: &Waker, ahead: bool) -> Poll<()> {
        if std::mem::take(gave_way) || BLOCKS.get() {
            self.pay(if ahead { AHEAD } else { TURN });
        }
        if !self.is_due() {
            return Poll::Ready(());
        }
        *gave_way = true;
        wait(waker)
    }

    fn pay(&self, bytes: u32) {
        // Nobody waits for a thread that blocks.
        let bytes = if BLOCKS.get() { u32::MAX } else { bytes };
        self.0.store(self.0.load(Relaxed).saturating_sub(bytes), Relaxed);
    }
}

fn wait(waker: &Waker) -> Poll<()> {
    if BLOCKS.get() {
        return Poll::Ready(());
    }
    last(&mut Context::from_waker(waker));
    Poll::Pending
}

/// Wakes the task once all others that are ready had their turn and the runtime has looked at its sockets. (Woken at once, a
/// task keeps tokio from looking for dozens of polls.)
pub(crate) fn last(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// Runs `f` on a thread that blocks: nobody would wake it.
pub(crate) fn blocking<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            BLOCKS.set(self.0);
        }
    }
    let _reset = Reset(BLOCKS.replace(true));
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(effort: &Effort, ahead: bool) -> usize {
        let mut gave_way = false;
        let mut poll = || effort.poll_turn_in_order(&mut gave_way, Waker::noop(), || ahead);
        (0..1000).take_while(|_| poll().is_pending()).count()
    }

    #[test]
    fn much_gives_way_in_proportion_and_more_often_ahead_of_the_driver() {
        let effort = Effort::default();
        effort.add(TURN as usize - 1);
        assert_eq!(turns(&effort, false), 0);
        effort.add(7 * TURN as usize + 1);
        assert_eq!((turns(&effort, false), turns(&effort, false)), (8, 0));
        effort.add(2 * TURN as usize);
        assert_eq!((turns(&effort, true), turns(&effort, false)), (9, 0));
        effort.forget();
        effort.add_turn();
        assert!(effort.poll_turn(Waker::noop()).is_pending() && effort.poll_turn(Waker::noop()).is_ready());
        effort.add_turn();
        effort.forget();
        assert_eq!(turns(&effort, false), 0);
    }

    #[test]
    fn a_call_that_gave_way_is_not_passed() {
        let effort = Effort::default();
        effort.add_turn();
        let [mut first, mut second] = [false; 2];
        let poll = |gave_way: &mut bool| effort.poll_turn_in_order(gave_way, Waker::noop(), || false);
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    }

    #[test]
    fn a_blocking_call_gives_no_way() {
        let effort = Effort::default();
        effort.add(usize::MAX);
        assert_eq!(blocking(|| turns(&effort, true)), 0);
        assert_eq!(turns(&effort, true), 0);
        effort.add(usize::MAX);
        assert!(blocking(|| effort.poll_turn(Waker::noop())).is_ready());
    }
}
