//! Waiting for something that a session comes to: established, leaving, over, an answer.

use std::future::poll_fn;
use std::task::Poll;

use super::shared::{Shared, State};

/// A call that waits. Dropped, it waits no more: a `select!` in a loop leaves no wakers behind.
struct Watch<'a> {
    shared: &'a Shared,
    ticket: Option<u64>,
}

impl Shared {
    /// Waits until `look` finds in the state what is waited for. It looks whenever the session has come to something.
    pub(super) async fn until<R>(&self, mut look: impl FnMut(&mut State) -> Option<R>) -> R {
        let mut watch = Watch { shared: self, ticket: None };
        poll_fn(|cx| {
            let mut state = self.lock();
            match look(&mut state) {
                Some(found) => Poll::Ready(found),
                None => {
                    state.watchers.wait(&mut watch.ticket, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            // Everybody is told of everything: a notification that it had got needs no other.
            self.shared.lock().watchers.leave(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::session::loopback;

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_given_up_leave_nothing_behind() {
        let session = loopback::with_silent_peer();
        for _ in 0..100 {
            assert!(timeout(Duration::from_millis(1), session.ended()).await.is_err());
            assert!(timeout(Duration::from_millis(1), session.going()).await.is_err());
        }
        assert_eq!(session.lock().watchers.len(), 0);
    }
}
