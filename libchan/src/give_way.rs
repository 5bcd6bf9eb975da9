//! Giving way: who sends or takes much lets the others have their turn in between.
//!
//! Nothing here waits for anything: without it a task that sends megabytes in a loop would encode one after the other in one
//! poll, and everybody else on its thread would wait for that. So an end of a channel and a stream count what went through
//! them, and for every [`TURN`] of it one call waits for its task to be polled anew, behind the tasks that are ready and what
//! the runtime's sockets have to say. It does so before it has done anything, and may be dropped then as ever; sends keep their
//! order. Whatever their size, sends and receives also count against the budget that tokio gives a task for a turn, as those of
//! tokio's own channels do ([`poll_budget`]). Threads that block give way to nobody.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::coop::{self, RestoreOnPending};

/// What is done without giving way, in bytes: as much as the driver does in a turn.
const TURN: u32 = 128 * 1024;
/// The same for who is ahead of the driver. What waits to be written leaves the processor's caches meanwhile, and its memory is
/// not there to be used again. With a link that takes nothing this is as often as the sender looks again for nothing.
const AHEAD: u32 = TURN / 8;
/// What is remembered at the most, in bytes: whoever did not give way in time does not do it for long.
const MOST: u32 = 32 * TURN;

/// One of so many sends and receives counts against the task's budget.
const ASKED: u8 = 8;

thread_local! {
    /// Within a blocking call.
    static BLOCKS: Cell<bool> = const { Cell::new(false) };
    /// Of this thread. Who is always ready does them one after the other, so it is asked in its turn.
    static OPERATIONS: Cell<u8> = const { Cell::new(0) };
    static LINE: Arc<Line> = Arc::default();
}

/// An operation of what the task may do in this turn, or one that is not counted; given back when it is dropped, unless it was
/// used.
pub(crate) struct Budget(Option<RestoreOnPending>);

impl Budget {
    /// The operation is done if it `is_done`; else it costs nothing.
    #[inline]
    pub(crate) fn spend_if(self, is_done: bool) {
        if let (true, Some(budget)) = (is_done, &self.0) {
            budget.made_progress();
        }
    }
}

/// Pending if the task has done as much as tokio lets it do in a turn, or a few times as much: asking costs as much as a tenth
/// of a message, so it is asked for one operation of a few. Outside of a runtime there is no limit.
#[inline]
pub(crate) fn poll_budget(cx: &mut Context<'_>) -> Poll<Budget> {
    let count = OPERATIONS.get().wrapping_add(1);
    OPERATIONS.set(count);
    if count.is_multiple_of(ASKED) { ask(cx) } else { Poll::Ready(Budget(None)) }
}

#[inline(never)]
fn ask(cx: &mut Context<'_>) -> Poll<Budget> {
    match coop::poll_proceed(cx) {
        Poll::Ready(budget) => Poll::Ready(Budget(Some(budget))),
        // Nobody would wake the thread.
        Poll::Pending if BLOCKS.get() => Poll::Ready(Budget(None)),
        Poll::Pending => Poll::Pending,
    }
}

/// What one end of a channel has done that others were not let in for, in bytes. It is a hint: of two tasks that use the same
/// end either may give way for both. Above it, how many calls that keep their order are giving way.
#[derive(Default)]
pub(crate) struct Effort(AtomicU32);

/// One call that gives way, in an [`Effort`]; below it are the bytes.
const CALL: u32 = (MOST + 1).next_power_of_two();

impl Effort {
    /// So many bytes were encoded, decoded or copied.
    pub(crate) fn add(&self, bytes: usize) {
        let bytes = bytes.min(MOST as usize) as u32;
        self.change(|done| (done + bytes).min(MOST));
    }

    /// Much was passed on without being copied: a turn of the driver's work, and hardly any here.
    pub(crate) fn add_turn(&self) {
        self.add(TURN as usize);
    }

    /// The others had their turn, or want none.
    #[inline]
    pub(crate) fn forget(&self) {
        if self.done() > 0 {
            self.change(|_| 0);
        }
    }

    /// Whether others are to have their turn first.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.done() >= TURN
    }

    fn done(&self) -> u32 {
        self.0.load(Relaxed) % CALL
    }

    fn change(&self, change: impl Fn(u32) -> u32) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |now| Some(now - now % CALL + change(now % CALL)));
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

    /// The same for calls that keep their order: `gave_way` is of each call and says that it does; one that is dropped before
    /// it goes on says so with [`leave`](Self::leave). `ahead` says whether what was done before waits.
    #[inline]
    pub(crate) fn poll_turn_in_order(
        &self,
        gave_way: &mut bool,
        waker: &Waker,
        ahead: impl FnOnce() -> bool,
    ) -> Poll<()> {
        if *gave_way || self.is_due() { self.go_on(gave_way, waker, ahead()) } else { Poll::Ready(()) }
    }

    #[cold]
    fn go_on(&self, gave_way: &mut bool, waker: &Waker, ahead: bool) -> Poll<()> {
        if !*gave_way && !BLOCKS.get() {
            *gave_way = true;
            self.0.fetch_add(CALL, Relaxed);
            return wait(waker);
        }
        self.pay(if ahead { AHEAD } else { TURN });
        // Once is enough where others have come behind this call: they were woken with it, and would pass it.
        let alone = self.0.load(Relaxed) / CALL <= 1;
        if alone && self.is_due() {
            return wait(waker);
        }
        if std::mem::take(gave_way) {
            self.leave();
        }
        Poll::Ready(())
    }

    /// A call gives way no longer.
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(CALL, Relaxed);
    }

    fn pay(&self, bytes: u32) {
        // Nobody waits for a thread that blocks.
        let bytes = if BLOCKS.get() { u32::MAX } else { bytes };
        self.change(|done| done.saturating_sub(bytes));
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
/// task keeps tokio from looking for dozens of polls.) Tasks that wait so are woken in the order in which they came.
pub(crate) fn last(cx: &mut Context<'_>) {
    let line = LINE.try_with(Arc::clone).unwrap_or_default();
    line.wait(cx.waker().clone());
    let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&Waker::from(line)));
}

/// Tasks of a thread that wait to be woken behind all others. tokio wakes those that yield the last one first, so it is given
/// the line, once for each, and the first time all in it are woken.
#[derive(Default)]
struct Line(Mutex<Vec<Waker>>);

impl Line {
    fn wait(&self, waker: Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }
}

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        // Whoever is woken here may wait again at once: that is for the next time.
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
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
        effort.add(usize::MAX);
        let mut calls = [false; 40];
        let poll = |gave_way: &mut bool| effort.poll_turn_in_order(gave_way, Waker::noop(), || true);
        assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
        assert!(calls[..39].iter_mut().all(|call| poll(call).is_ready()));
        // Nobody is behind the last one, nor behind the next.
        assert!(effort.is_due() && poll(&mut calls[39]).is_pending());
        effort.forget();
        assert!(poll(&mut calls[39]).is_ready());
        assert_eq!((calls, effort.0.load(Relaxed)), ([false; 40], 0));
    }

    #[test]
    fn a_call_that_is_dropped_holds_up_nobody() {
        let effort = Effort::default();
        effort.add_turn();
        let mut dropped = false;
        assert!(effort.poll_turn_in_order(&mut dropped, Waker::noop(), || false).is_pending());
        effort.leave();
        assert_eq!(turns(&effort, false), 1);
        assert_eq!(effort.0.load(Relaxed), 0);
    }

    #[test]
    fn who_waits_is_woken_in_order_and_may_wait_again() {
        struct Number(usize, std::sync::mpsc::Sender<usize>);
        impl Wake for Number {
            fn wake(self: Arc<Self>) {
                self.1.send(self.0).unwrap();
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (woken, order) = std::sync::mpsc::channel();
        runtime.block_on(async {
            for round in 0..2 {
                for number in 0..3 {
                    let waker = Waker::from(Arc::new(Number(10 * round + number, woken.clone())));
                    last(&mut Context::from_waker(&waker));
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2, 10, 11, 12]);
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
