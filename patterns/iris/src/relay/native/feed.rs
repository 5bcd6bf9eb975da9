//! Events on their way to an application that may be slow: what it does not read in time it loses, and nobody else waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use libchan::Sender;
use tokio::time::Instant;

use crate::app::lock;
use crate::body::Body;
use crate::wire::Event;

/// How often what waits for a slow application is counted anew at the most.
const LOOK: Duration = Duration::from_millis(100);

/// Events of one subscription, or broadcasts to one member.
pub(super) struct Feed {
    events: Sender<Event>,
    lost: AtomicU64,
    /// Its bytes in the backlog.
    counted: AtomicUsize,
    backlog: Arc<Backlog>,
}

impl Feed {
    /// `bytes` may wait in it.
    pub(super) fn new(events: Sender<Event>, bytes: u64, backlog: &Arc<Backlog>) -> Arc<Self> {
        events.set_byte_limit(usize::try_from(bytes).unwrap_or(usize::MAX).max(1));
        let (lost, counted) = (AtomicU64::new(0), AtomicUsize::new(0));
        let feed = Arc::new(Self { events, lost, counted, backlog: backlog.clone() });
        lock(&backlog.feeds).insert(Arc::as_ptr(&feed) as usize, Arc::downgrade(&feed));
        feed
    }

    /// False: there was no room, and the event is lost.
    pub(super) fn give(&self, body: Body) -> bool {
        let event = Event(self.lost.load(Ordering::Relaxed), body);
        let given = self.backlog.has_room() && self.events.try_send(event).is_ok();
        if given {
            self.count();
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        given
    }

    /// Brings the backlog up to what waits now.
    fn count(&self) {
        let (_, now) = self.events.queued();
        let before = self.counted.swap(now, Ordering::Relaxed);
        self.backlog.bytes.fetch_add(now, Ordering::Relaxed);
        self.backlog.bytes.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        lock(&self.backlog.feeds).remove(&(std::ptr::from_ref(self) as usize));
        self.backlog.bytes.fetch_sub(*self.counted.get_mut(), Ordering::Relaxed);
    }
}

/// What waits for one application in all its feeds. Each has a limit of its own; this one stops an application that has many.
pub(super) struct Backlog {
    limit: usize,
    /// Bytes, as of the last event of each feed: never too few, because only events add to them.
    bytes: AtomicUsize,
    feeds: Mutex<HashMap<usize, Weak<Feed>>>,
    looked: Mutex<Instant>,
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let (bytes, feeds, looked) = (AtomicUsize::new(0), Mutex::default(), Mutex::new(Instant::now()));
        Arc::new(Self { limit, bytes, feeds, looked })
    }

    fn has_room(&self) -> bool {
        self.is_below_limit() || (self.may_look() && self.look())
    }

    fn is_below_limit(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < self.limit
    }

    fn may_look(&self) -> bool {
        let mut looked = lock(&self.looked);
        let due = looked.elapsed() >= LOOK;
        if due {
            *looked = Instant::now();
        }
        due
    }

    /// Counts anew: some may have been read since their last event.
    fn look(&self) -> bool {
        let feeds: Vec<_> = lock(&self.feeds).values().filter_map(Weak::upgrade).collect();
        feeds.iter().for_each(|feed| feed.count());
        self.is_below_limit()
    }
}
