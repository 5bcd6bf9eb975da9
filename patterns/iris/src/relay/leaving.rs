//! How a relay leaves: its parts are told once, and each ends when what it has in hand is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Whether the relay leaves, and since then each step towards its end.
pub(crate) struct Leaving {
    /// By when, once it leaves.
    deadline: watch::Sender<Option<Instant>>,
    begun: AtomicBool,
    moved: Notify,
}

impl Default for Leaving {
    fn default() -> Self {
        Self { deadline: watch::Sender::new(None), begun: AtomicBool::new(false), moved: Notify::new() }
    }
}

impl Leaving {
    pub(super) fn begin(&self, within: Duration) {
        self.begun.store(true, Ordering::Release);
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

    /// Something has ended that the relay may have waited for. Costs one load while it does not leave.
    pub(super) fn has_moved(&self) {
        if self.begun.load(Ordering::Acquire) {
            self.moved.notify_waiters();
        }
    }

    /// Completes when something has ended since it was called.
    pub(crate) fn moved(&self) -> impl Future<Output = ()> + '_ {
        self.moved.notified()
    }
}
