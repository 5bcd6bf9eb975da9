//! `Alarm`: the driver's look at the clock, taken only when the timer has rung. Asking the timer in every turn costs more
//! than the turn's other steps (a pingpong over tcp: 2 to 3 %).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Rings every so often.
///
/// In memory as it is written here: a turn looks at the bell alone.
#[repr(C)]
pub(super) struct Alarm {
    bell: Option<(Arc<Bell>, Waker)>,
    began: Instant,
    interval: Interval,
}

struct Bell {
    rung: AtomicBool,
    driver: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.driver.wake_by_ref();
    }
}

impl Alarm {
    pub(super) fn every(period: Duration) -> Self {
        let began = Instant::now();
        Self { began, interval: ticks(began, period), bell: None }
    }

    /// Rings every so often from now on, if it did not do so already; takes effect with the next poll, which has to
    /// follow. How long it has been set goes on.
    pub(super) fn change(&mut self, period: Duration) {
        if self.interval.period() != period {
            self.interval = ticks(Instant::now() + period, period);
            // No bell is set on the new timer yet.
            self.bell = None;
        }
    }

    /// How long it has been set, if it has rung since it was asked last. The task of `cx` is woken when it rings.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Option<Duration> {
        let known = self.bell.as_ref().filter(|(bell, _)| bell.driver.will_wake(cx.waker()));
        if known.is_some_and(|(bell, _)| !bell.rung.swap(false, Ordering::AcqRel)) {
            return None;
        }
        if known.is_none() {
            let bell = Arc::new(Bell { rung: AtomicBool::new(false), driver: cx.waker().clone() });
            self.bell = Some((bell.clone(), bell.into()));
        }
        let (_, waker) = self.bell.as_ref()?;
        let mut cx = Context::from_waker(waker);
        let mut rung = false;
        while self.interval.poll_tick(&mut cx).is_ready() {
            rung = true;
        }
        rung.then(|| self.began.elapsed())
    }
}

fn ticks(first: Instant, period: Duration) -> Interval {
    let mut interval = interval_at(first, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}
