//! Places for peers that have connected and have no session yet. There are so many, and no peer keeps one for long
//! while others wait.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::listen::{Waiting, Waits};

/// How long a peer may have a place while all are taken.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// The places of a listener.
pub(crate) struct Places {
    most: usize,
    /// Who has one, since when, the oldest first.
    taken: Mutex<VecDeque<(Instant, Arc<Taken>)>>,
    given_back: Notify,
    /// Where those are counted that wait for a hook.
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Taken {
    lost: Notify,
    /// How many hooks are being asked about the peer. Changed under the lock of the row, like `over`.
    asking: AtomicUsize,
    /// The place has gone to another, or was given back for good.
    over: AtomicBool,
}

/// A place, until it is dropped or given back.
pub(crate) struct Place {
    places: Arc<Places>,
    taken: Arc<Taken>,
}

impl Places {
    /// So many places, at least one.
    pub(crate) fn new(most: usize, waiting: Arc<Waiting>) -> Arc<Self> {
        let (taken, given_back) = (Mutex::default(), Notify::new());
        Arc::new(Self { most: most.max(1), taken, given_back, waiting })
    }

    /// Waits for a place: a free one, or that of the peer which has had one for longest, when its time is over.
    /// Cancel-safe.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let given_back = self.given_back.notified();
            let until = {
                let mut taken = self.lock();
                let now = Instant::now();
                // More than one, where peers have come back to their places (see `Place::asking`).
                while taken.len() >= self.most
                    && taken.front().is_some_and(|(since, _)| *since + GRACE <= now)
                {
                    if let Some((_, oldest)) = taken.pop_front() {
                        oldest.over.store(true, Ordering::Relaxed);
                        oldest.lost.notify_one();
                    }
                }
                if taken.len() < self.most {
                    let place = Arc::<Taken>::default();
                    taken.push_back((now, place.clone()));
                    return Place { places: self.clone(), taken: place };
                }
                taken.front().map(|(since, _)| *since + GRACE)
            };
            tokio::select! {
                () = given_back => {}
                () = async { match until { Some(instant) => sleep_until(instant).await, None => pending().await } } => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Arc<Taken>)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The peer's time begins now: before, the place was kept for whoever would come.
    pub(crate) fn begin(&self) {
        let mut taken = self.places.lock();
        if let Some(at) = taken.iter().position(|(_, known)| Arc::ptr_eq(known, &self.taken)) {
            taken.remove(at);
            taken.push_back((Instant::now(), self.taken.clone()));
        }
    }

    /// Completes when the place has gone to another. It does not keep the place.
    pub(crate) fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let taken = self.taken.clone();
        async move { taken.lost.notified().await }
    }

    /// Gives the place to others as long as the guard lives: it is we who make this peer wait, by asking a hook, so it
    /// must not lose its place for that. Then it has one again, and its time begins anew.
    pub(crate) fn asking(&self) -> Asking {
        let mut taken = self.places.lock();
        self.taken.asking.fetch_add(1, Ordering::Relaxed);
        let had_it = remove(&mut taken, &self.taken);
        drop(taken);
        if had_it {
            self.places.given_back.notify_one();
        }
        Asking { places: self.places.clone(), taken: self.taken.clone(), _waits: self.places.waiting.count() }
    }

    /// Gives the place to others for good, if it is not gone already.
    pub(crate) fn give_back(&self) {
        let mut taken = self.places.lock();
        self.taken.over.store(true, Ordering::Relaxed);
        let had_it = remove(&mut taken, &self.taken);
        drop(taken);
        if had_it {
            self.places.given_back.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Takes a place out of the row. False if it is not there.
fn remove(taken: &mut VecDeque<(Instant, Arc<Taken>)>, place: &Arc<Taken>) -> bool {
    let at = taken.iter().position(|(_, known)| Arc::ptr_eq(known, place));
    at.and_then(|at| taken.remove(at)).is_some()
}

/// A peer that waits for the answer of a hook.
pub(crate) struct Asking {
    places: Arc<Places>,
    taken: Arc<Taken>,
    _waits: Waits,
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        let last = self.taken.asking.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && !self.taken.over.load(Ordering::Relaxed) {
            taken.push_back((Instant::now(), self.taken.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn polled<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_back_goes_to_who_waits() {
        let places = Places::new(2, Waiting::new(9));
        let (first, second) = (places.take().await, places.take().await);
        let mut waiting = Box::pin(places.take());
        assert!(polled(waiting.as_mut()).is_pending());
        drop(first);
        let begun = Instant::now();
        let third = waiting.await;
        assert!(begun.elapsed() < GRACE);
        assert!(polled(Box::pin(second.lost()).as_mut()).is_pending());
        drop((second, third));
        assert!(places.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_loses_its_place_when_others_wait() {
        let places = Places::new(2, Waiting::new(9));
        let oldest = places.take().await;
        tokio::time::sleep(GRACE / 2).await;
        let second = places.take().await;
        let begun = Instant::now();
        let third = places.take().await;
        assert_eq!(begun.elapsed(), GRACE / 2);
        oldest.lost().await;
        assert!(polled(Box::pin(second.lost()).as_mut()).is_pending());
        // Its place is another's: that it goes makes no room.
        drop(oldest);
        assert_eq!(places.lock().len(), 2);
        let fourth = places.take().await;
        assert_eq!(begun.elapsed(), GRACE);
        second.lost().await;
        drop((second, third, fourth));
        assert!(places.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peers_time_begins_when_it_comes() {
        let places = Places::new(2, Waiting::new(9));
        let (first, second) = (places.take().await, places.take().await);
        tokio::time::sleep(100 * GRACE).await;
        first.begin();
        let begun = Instant::now();
        let third = places.take().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        second.lost().await;
        drop((second, third));
        assert!(polled(Box::pin(first.lost()).as_mut()).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_hook_needs_no_place_and_gets_one_back() {
        let places = Places::new(1, Waiting::new(9));
        let place = places.take().await;
        let asking = place.asking();
        let begun = Instant::now();
        let other = places.take().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        tokio::time::sleep(100 * GRACE).await;
        assert!(polled(Box::pin(place.lost()).as_mut()).is_pending());
        drop(asking);
        // Two where one is allowed: both make room when their time is over.
        assert_eq!(places.lock().len(), 2);
        let third = places.take().await;
        assert_eq!(begun.elapsed(), 101 * GRACE);
        place.lost().await;
        other.lost().await;
        // With the session there is nothing to come back to.
        let asking = third.asking();
        third.give_back();
        drop(asking);
        assert!(places.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn while_there_is_room_nobody_loses_anything() {
        let places = Places::new(2, Waiting::new(9));
        let first = places.take().await;
        tokio::time::sleep(100 * GRACE).await;
        let second = places.take().await;
        for place in [&first, &second] {
            assert!(polled(Box::pin(place.lost()).as_mut()).is_pending());
        }
        // One that stops waiting takes nothing.
        assert!(tokio::time::timeout(GRACE / 4, Places::new(1, Waiting::new(9)).take()).await.is_ok());
        assert_eq!(places.lock().len(), 2);
    }
}
