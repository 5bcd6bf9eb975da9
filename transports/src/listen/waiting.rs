//! How many peers that have spoken wait, for the hook's answer or for `accept`.

use std::sync::Arc;

use tokio::sync::watch;

/// The count of those who wait, and its bound.
pub(crate) struct Waiting {
    most: usize,
    count: watch::Sender<usize>,
}

impl Waiting {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), count: watch::Sender::new(0) })
    }

    /// Waits until there is room for a further one. What is on its way by then is not counted, so there may be more than
    /// the bound by as many as there are handshakes. Cancel-safe.
    pub(crate) async fn room(&self) {
        let _ = self.count.subscribe().wait_for(|count| *count < self.most).await;
    }

    /// Whether there is no room.
    #[cfg(feature = "_http")]
    pub(crate) fn is_full(&self) -> bool {
        *self.count.borrow() >= self.most
    }

    /// Counts one, until the guard is dropped.
    pub(crate) fn count(self: &Arc<Self>) -> Waits {
        self.count.send_modify(|count| *count += 1);
        Waits(self.clone())
    }
}

/// One that waits.
pub(crate) struct Waits(Arc<Waiting>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}
