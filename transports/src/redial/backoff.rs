//! How long to wait between dials: longer each time, and never in step with others.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::dial::FOR_EVER;

/// How long a redial waits before it dials again.
///
/// The waits grow from `min` by `factor` to `max`. Each is drawn at random from between its half and its whole, so that the
/// clients of a server that was restarted do not all come at the same moment. A session that held for `held` begins them anew.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Backoff {
    /// The first wait. Default 100 ms; less than 1 ms is taken for 1 ms.
    pub min: Duration,
    /// The longest wait. Default 30 s; less than `min` is taken for `min`. It also bounds what a server may ask us to wait.
    pub max: Duration,
    /// What each wait is multiplied by for the next one. Default 2; less than 1, or no number, is taken for 1.
    pub factor: f64,
    /// How long a session has to hold for the waits to begin anew. Default 10 s. Until then a server that takes sessions and
    /// drops them is dialed ever less often.
    pub held: Duration,
}

impl Backoff {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the first wait.
    #[must_use]
    pub fn min(mut self, wait: Duration) -> Self {
        self.min = wait;
        self
    }

    /// Sets the longest wait.
    #[must_use]
    pub fn max(mut self, wait: Duration) -> Self {
        self.max = wait;
        self
    }

    /// Sets what each wait is multiplied by for the next one.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets how long a session has to hold for the waits to begin anew.
    #[must_use]
    pub fn held(mut self, duration: Duration) -> Self {
        self.held = duration;
        self
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(100),
            max: Duration::from_secs(30),
            factor: 2.0,
            held: Duration::from_secs(10),
        }
    }
}

/// The waits of one redial, and all else that it draws at random.
pub(super) struct Waits {
    min: Duration,
    max: Duration,
    factor: f64,
    /// The whole of the next wait.
    next: Duration,
    random: u64,
}

impl Waits {
    pub(super) fn new(backoff: Backoff) -> Self {
        // The system's randomness, as the standard library has it for its maps.
        Self::seeded(backoff, RandomState::new().build_hasher().finish())
    }

    fn seeded(backoff: Backoff, seed: u64) -> Self {
        let min = backoff.min.clamp(Duration::from_millis(1), FOR_EVER);
        // `max` of floats gives the other where one is no number.
        Self {
            min,
            max: backoff.max.clamp(min, FOR_EVER),
            factor: backoff.factor.max(1.0),
            next: min,
            random: seed,
        }
    }

    /// The next wait. It is not shorter than what a server has `asked`, within the longest.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let whole = self.next;
        // What is too long to be a duration is longer than the longest.
        let longer = Duration::try_from_secs_f64(whole.as_secs_f64() * self.factor).unwrap_or(self.max);
        self.next = longer.min(self.max);
        let half = whole / 2;
        let drawn = half + half.mul_f64(self.fraction());
        drawn.max(asked.unwrap_or_default().min(self.max))
    }

    /// The next wait is the first again.
    pub(super) fn reset(&mut self) {
        self.next = self.min;
    }

    /// Puts `things` in an order drawn at random.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let drawn = self.draw() % (last as u64 + 1);
            things.swap(last, drawn as usize);
        }
    }

    /// From 0 to below 1.
    fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// SplitMix64: good enough to be out of step.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> u64 {
        let seed = std::env::var("LIBCHAN_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        eprintln!("LIBCHAN_SEED={seed}");
        seed
    }

    #[test]
    fn waits_grow_within_bounds_and_begin_anew() {
        let ms = Duration::from_millis;
        let backoff = Backoff::new().min(ms(100)).max(ms(1500)).factor(3.0);
        let mut waits = Waits::seeded(backoff, seed());
        for _ in 0..200 {
            for whole in [100, 300, 900, 1500, 1500] {
                let wait = waits.next(None);
                assert!((ms(whole) / 2..=ms(whole)).contains(&wait), "{wait:?} of {whole} ms");
            }
            waits.reset();
        }
    }

    #[test]
    fn two_redials_are_out_of_step() {
        let seed = seed();
        let mut two = [seed, seed ^ 1].map(|seed| Waits::seeded(Backoff::default(), seed));
        let [one, other] = [0, 1].map(|at| (0..8).map(|_| two[at].next(None)).collect::<Vec<_>>());
        assert_ne!(one, other);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it_within_the_longest_wait() {
        let mut waits = Waits::seeded(Backoff::default(), seed());
        assert_eq!(waits.next(Some(Duration::from_secs(5))), Duration::from_secs(5));
        assert_eq!(waits.next(Some(Duration::MAX)), Duration::from_secs(30));
    }

    #[test]
    fn odd_settings_are_no_panic_and_no_hot_loop() {
        for factor in [f64::NAN, -1.0, 0.0, f64::INFINITY, 1e300] {
            let backoff = Backoff::new().min(Duration::ZERO).max(Duration::MAX).factor(factor);
            let mut waits = Waits::seeded(backoff, seed());
            for _ in 0..100 {
                assert!(waits.next(None) >= Duration::from_micros(500));
            }
        }
        let mut waits = Waits::seeded(Backoff::new().max(Duration::ZERO), seed());
        assert!(waits.next(None) >= Duration::from_millis(50));
    }

    #[test]
    fn a_shuffle_loses_nothing_and_moves_everything_at_times() {
        let mut waits = Waits::seeded(Backoff::default(), seed());
        let mut firsts = [0; 4];
        for _ in 0..400 {
            let mut things = [0, 1, 2, 3];
            waits.shuffle(&mut things);
            firsts[things[0]] += 1;
            things.sort_unstable();
            assert_eq!(things, [0, 1, 2, 3]);
        }
        assert!(firsts.iter().all(|&count| count > 0), "{firsts:?}");
    }
}
