//! How a relay leaves: its parts are told once, and each ends when what it has in hand is over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Whether the relay leaves, and each step of what somebody waits for to end.
pub(crate) struct Leaving {
    /// By when, once it leaves.
    deadline: watch::Sender<Option<Instant>>,
    /// Those who wait for a step.
    watching: AtomicUsize,
    moved: Notify,
}

impl Default for Leaving {
    fn default() -> Self {
        Self { deadline: watch::Sender::new(None), watching: AtomicUsize::new(0), moved: Notify::new() }
    }
}

impl Leaving {
    pub(super) fn begin(&self, within: Duration) {
        self.deadline.send_replace(Some(Instant::now() + within));
    }

    /// Completes when the relay leaves. Cancel-safe.
    pub(crate) async fn begins(&self) {
        // It fails when the sender is gone, which `self` is.
        let _ = self.deadline.subscribe().wait_for(Option::is_some).await;
    }

    /// Completes at the end of the time that the relay has given itself to leave. Cancel-safe.
    pub(crate) async fn is_due(&self) {
        self.begins().await;
        let deadline = *self.deadline.borrow();
        if let Some(deadline) = deadline {
            tokio::time::sleep_until(deadline).await;
        }
    }

    /// Something has ended that somebody may wait for. Costs one load where nobody does.
    pub(super) fn has_moved(&self) {
        if self.watching.load(Ordering::Acquire) > 0 {
            self.moved.notify_waiters();
        }
    }

    /// Waits until `is_over` says so; asks it again whenever something has ended. Cancel-safe.
    pub(crate) async fn until(&self, is_over: impl Fn() -> bool) {
        self.watching.fetch_add(1, Ordering::AcqRel);
        let _watching = Watching(&self.watching);
        loop {
            // From here on it hears of each step: between the look and the wait none is missed.
            let moved = self.moved.notified();
            if is_over() {
                return;
            }
            moved.await;
        }
    }
}

struct Watching<'a>(&'a AtomicUsize);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
