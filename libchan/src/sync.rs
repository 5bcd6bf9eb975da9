//! Locking, and waiting on a thread that has no runtime.
//!
//! Everything here that a scheduler has to see comes from one place, so that `tests/shuttle` can compile the same sources
//! over the randomised scheduler of the crate `shuttle`.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::give_way;

#[cfg(feature = "shuttle")]
pub(crate) use self::scheduled::{AtomicU32, Local, Mutex, MutexGuard, spawn, thread, thread_local};
#[cfg(not(feature = "shuttle"))]
pub(crate) use self::system::{AtomicU32, Mutex, MutexGuard, spawn, thread, thread_local};

/// Locks. No user code runs under our locks, so a poisoned one means a bug of ours on another thread: the data
/// is used as it is rather than spreading the panic to every user of the session.
#[inline]
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Unpark {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs `future` on this thread, parking it while it waits.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(unpark.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        match give_way::blocking(|| future.as_mut().poll(&mut cx)) {
            Poll::Ready(output) => return output,
            // Parking may end for no reason.
            Poll::Pending => {
                while !unpark.woken.swap(false, Ordering::Acquire) {
                    thread::park();
                }
            }
        }
    }
}

/// The same for no longer than `duration`; `None`: it is not done.
pub(crate) fn run_for<F: Future>(future: F, duration: Duration) -> Option<F::Output> {
    let begun = Instant::now();
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(unpark.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = give_way::blocking(|| future.as_mut().poll(&mut cx)) {
            return Some(output);
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            let left = duration.checked_sub(begun.elapsed()).filter(|left| !left.is_zero())?;
            thread::park_timeout(left);
        }
    }
}

/// What a blocking twin does: runs `future` on this thread.
///
/// # Panics
/// On a thread that runs async tasks, which would stand still for as long.
#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    check_may_block();
    run(future)
}

/// The same for no longer than `duration`; `None`: it is not done.
#[track_caller]
pub(crate) fn block_on_for<F: Future>(future: F, duration: Duration) -> Option<F::Output> {
    check_may_block();
    run_for(future, duration)
}

/// Panics where tokio's own blocking calls do, and with their words.
#[track_caller]
fn check_may_block() {
    if Handle::try_current().is_ok() {
        // Nothing public says whether this thread runs tasks or is one of `spawn_blocking`; a receive that has its answer does.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let _ = sender.send(());
        let _ = receiver.blocking_recv();
    }
}

#[cfg(not(feature = "shuttle"))]
mod system {
    pub(crate) use std::sync::atomic::AtomicU32;
    pub(crate) use std::sync::{Mutex, MutexGuard};
    pub(crate) use std::{thread, thread_local};

    /// Runs a task on the current runtime.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

/// The same from `shuttle`, whose threads and tasks are coroutines on one thread of the system.
#[cfg(feature = "shuttle")]
mod scheduled {
    use std::cell::{Cell, RefCell};

    pub(crate) use shuttle::sync::atomic::AtomicU32;
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    pub(crate) use shuttle::thread;

    /// A thread of its own: shuttle's tasks lose a wake-up that comes while they wait for a lock.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        thread::spawn(move || super::run(task));
    }

    pub(crate) struct Local<T: 'static>(pub(crate) &'static thread::LocalKey<T>);

    impl<T> Local<RefCell<T>> {
        pub(crate) fn with_borrow<R>(&self, f: impl FnOnce(&T) -> R) -> R {
            self.0.with(|value| f(&value.borrow()))
        }

        pub(crate) fn with_borrow_mut<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            self.0.with(|value| f(&mut value.borrow_mut()))
        }
    }

    impl<T: Copy> Local<Cell<T>> {
        pub(crate) fn get(&self) -> T {
            self.0.with(Cell::get)
        }

        pub(crate) fn set(&self, value: T) {
            self.0.with(|cell| cell.set(value));
        }
    }

    macro_rules! task_local {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };) => {
            $(#[$attribute])*
            static $name: $crate::sync::Local<$type> = $crate::sync::Local({
                shuttle::thread_local!(static KEY: $type = const { $value });
                &KEY
            });
        };
    }

    pub(crate) use task_local as thread_local;
}
