//! A future that is spawned and can be dropped by somebody else, at once: what it holds is free when that returns. A
//! task that is aborted drops its future some time later.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

/// The spawned half.
pub(super) struct Held(Arc<Shared>);

/// The half that drops.
pub(super) struct Holder(Arc<Shared>);

struct Shared {
    /// Gone once it is over. Locked while it is polled.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    /// Who polls it.
    polling: Mutex<Option<ThreadId>>,
}

pub(super) fn held(future: impl Future<Output = ()> + Send + 'static) -> (Held, Holder) {
    let shared = Arc::new(Shared { future: Mutex::new(Some(Box::pin(future))), polling: Mutex::default() });
    (Held(shared.clone()), Holder(shared))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Future for Held {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut future = lock(&self.0.future);
        *lock(&self.0.polling) = Some(thread::current().id());
        let polled = match future.as_mut() {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Ready(()),
        };
        *lock(&self.0.polling) = None;
        if polled.is_ready() {
            *future = None;
        }
        polled
    }
}

impl Holder {
    /// Drops the future. If it is being polled by another thread, waits for that poll; if by this one, which is within a
    /// callback of it, it is left to the caller to abort the task.
    pub(super) fn drop_future(&self) {
        let future = match self.0.future.try_lock() {
            Ok(mut future) => future.take(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
            Err(TryLockError::WouldBlock) if *lock(&self.0.polling) == Some(thread::current().id()) => None,
            Err(TryLockError::WouldBlock) => lock(&self.0.future).take(),
        };
        drop(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_it_holds_is_free_when_the_call_returns() {
        let thing = Arc::new(());
        let kept = thing.clone();
        let (future, holder) = held(async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        });
        let task = tokio::spawn(future);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&thing), 2);
        holder.drop_future();
        assert_eq!(Arc::strong_count(&thing), 1);
        task.abort();
    }
}
