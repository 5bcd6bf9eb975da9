//! Window arithmetic: what a receiver has granted in bytes, and what it owes.
//!
//! At every moment `left + held <= window + extra`: what the sender may still send, and what it has sent that nobody
//! has taken.

/// Windows below this grow with the first half that was taken, in bytes: 64-byte messages then cost a grant every
/// seventy, not every four (measured: 2.4 writes a round trip instead of 2).
const EAGER: i32 = 16 * 1024;

/// The receiving side of a byte window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// What the channel may hold.
    size: i32,
    /// What the sender has left, as far as this side knows: below 0 by less than a first window.
    left: i32,
    /// What has arrived and was not taken.
    held: i32,
    /// Granted beyond the window, for one large message; and [`EXHAUSTED`].
    extra: u32,
}

/// The sender has used up its credit since the window last grew. In one word with another number, which is smaller: every
/// idle channel has a window.
const EXHAUSTED: u32 = 1 << 31;

impl Window {
    pub(crate) fn new(size: u32) -> Self {
        let size = size as i32;
        Self { size, left: size, held: 0, extra: 0 }
    }

    pub(crate) fn left(&self) -> i32 {
        self.left
    }

    /// Size, left, held, extra: for the audit.
    pub(crate) fn numbers(&self) -> [i32; 4] {
        [self.size, self.left, self.held, self.extra() as i32]
    }

    pub(crate) fn size(&self) -> u32 {
        self.size as u32
    }

    pub(crate) fn extra(&self) -> u32 {
        self.extra & !EXHAUSTED
    }

    /// `charge` bytes have arrived. False: they were not granted. `overshoot`: a whole message may pass the end.
    #[must_use]
    pub(crate) fn arrive(&mut self, charge: u32, overshoot: bool) -> bool {
        let charge = charge as i32;
        if self.left <= 0 && overshoot || self.left < charge && !overshoot {
            return false;
        }
        self.left -= charge;
        self.held += charge;
        if self.left <= 0 {
            self.extra |= EXHAUSTED;
        }
        true
    }

    /// `charge` bytes were taken. Returns what of the extra grant is no longer needed.
    pub(crate) fn taken(&mut self, charge: u32) -> u32 {
        self.held -= charge as i32;
        let over = (self.left + self.held - self.size).max(0);
        let freed = self.extra().saturating_sub(over as u32);
        self.extra -= freed;
        freed
    }

    /// Grants more than the window for a message of which `remaining` bytes are to come. Returns how much more.
    pub(crate) fn missing(&self, remaining: u32) -> u32 {
        (remaining as i32 - self.left).max(0) as u32
    }

    pub(crate) fn grant_extra(&mut self, bytes: u32) {
        self.extra += bytes;
        self.left += bytes as i32;
    }

    /// Whether the window should grow: the reader keeps up, and the sender ran out, or the channel is in use and so small
    /// a window would cost a grant every few messages.
    pub(crate) fn wants_growth(&self) -> bool {
        let in_use = self.size < EAGER && self.size - self.left - self.held >= self.size / 2;
        (self.extra & EXHAUSTED != 0 || in_use) && self.held <= self.size / 2
    }

    pub(crate) fn grow(&mut self, bytes: u32) {
        self.size += bytes as i32;
        self.extra &= !EXHAUSTED;
    }

    /// Whether a grant is due: half of the window is owed, or the sender has none left.
    pub(crate) fn is_due(&self) -> bool {
        let owed = self.size - self.left - self.held;
        owed > 0 && (owed >= self.size / 2 || self.left <= 0)
    }

    /// What to grant now.
    pub(crate) fn grant(&mut self) -> u32 {
        let owed = (self.size - self.left - self.held).max(0);
        self.left += owed;
        owed as u32
    }
}

/// The session's memory: half for what every channel starts with, a quarter for windows that grow, a quarter for
/// messages larger than their window.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: u64,
    /// Kept of the last quarter for a message that a receiver waits for.
    kept: u64,
    base: u64,
    growth: u64,
    extra: u64,
}

impl Pool {
    /// `largest`: the highest charge of a message.
    pub(crate) fn new(limit: u32, largest: u32) -> Self {
        Self { limit: u64::from(limit), kept: u64::from(largest), base: 0, growth: 0, extra: 0 }
    }

    /// Charges a channel's or stream's first window.
    #[must_use]
    pub(crate) fn open(&mut self, charge: u64) -> bool {
        let fits = self.base + charge <= self.limit / 2;
        self.base += if fits { charge } else { 0 };
        fits
    }

    /// The same for what the peer has opened. Openings of both sides may cross, each unaware of the other's, so it
    /// may pass the half; never the whole.
    #[must_use]
    pub(crate) fn admit(&mut self, charge: u64) -> bool {
        self.base += charge;
        self.base <= self.limit
    }

    pub(crate) fn close(&mut self, charge: u64) {
        self.base -= charge;
    }

    /// How much a window of `size` may grow: fourfold, up to `max`, and at most half of what is free.
    pub(crate) fn grow(&mut self, size: u32, max: u32) -> u32 {
        let free = (self.limit / 4).saturating_sub(self.growth);
        let wanted = u64::from(size.saturating_mul(4).min(max).saturating_sub(size));
        let grown = wanted.min(free / 2);
        self.growth += grown;
        grown as u32
    }

    pub(crate) fn shrink(&mut self, growth: u32) {
        self.growth -= u64::from(growth);
    }

    /// Reserves for a large message, if there is room now. A message that nobody waits for leaves room for the largest
    /// one: it may stay unread for ever, and must not delay a channel that is read. One alone that is `awaited` always
    /// fits: what it carries is charged too, and may take the largest message past the quarter.
    #[must_use]
    pub(crate) fn reserve(&mut self, bytes: u32, awaited: bool) -> bool {
        let sum = self.extra + u64::from(bytes);
        let fits = if awaited {
            self.extra == 0 || sum <= self.limit / 4
        } else {
            sum + self.kept <= self.limit / 4
        };
        self.extra += if fits { u64::from(bytes) } else { 0 };
        fits
    }

    pub(crate) fn release(&mut self, bytes: u32) {
        self.extra -= u64::from(bytes);
    }

    /// First windows, growth, large messages: for the audit.
    pub(crate) fn numbers(&self) -> [u64; 3] {
        [self.base, self.growth, self.extra]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Pool, Window};

    #[derive(Clone, Debug)]
    enum Step {
        /// A message that fits the first window, or fragments of one that does not.
        Small(u32),
        Large(u32),
        Take,
        Grant,
        Grow(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (32..=SIZE).prop_map(Step::Small),
            1 => (SIZE + 1..50_000_u32).prop_map(Step::Large),
            4 => Just(Step::Take),
            4 => Just(Step::Grant),
            1 => (1..5000_u32).prop_map(Step::Grow),
        ]
    }

    const SIZE: u32 = 256;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_window_never_promises_more_than_it_has(steps in prop::collection::vec(step(), 0..200)) {
            let mut window = Window::new(SIZE);
            // The sender's side of it, and what is held, in order.
            let mut credit = i64::from(SIZE);
            let mut held = std::collections::VecDeque::new();
            for step in steps {
                match step {
                    Step::Small(charge) => {
                        let may = credit > 0;
                        prop_assert_eq!(window.arrive(charge, true), may);
                        if may {
                            credit -= i64::from(charge);
                            held.push_back(charge);
                        }
                    }
                    Step::Large(charge) => {
                        if credit <= 0 {
                            continue;
                        }
                        let missing = window.missing(charge);
                        window.grant_extra(missing);
                        credit += i64::from(missing);
                        prop_assert!(window.arrive(charge, false));
                        credit -= i64::from(charge);
                        held.push_back(charge);
                    }
                    Step::Take => {
                        if let Some(charge) = held.pop_front() {
                            let before = window.extra();
                            let freed = window.taken(charge);
                            prop_assert_eq!(before - freed, window.extra());
                        }
                    }
                    Step::Grant => {
                        if window.is_due() {
                            let bytes = window.grant();
                            prop_assert!(bytes > 0);
                            credit += i64::from(bytes);
                        }
                        prop_assert!(!window.is_due());
                    }
                    Step::Grow(by) => {
                        if window.wants_growth() {
                            window.grow(by);
                            // Being exhausted counts once; being small counts while it lasts.
                            prop_assert!(!window.wants_growth() || window.size() < super::EAGER as u32);
                        }
                    }
                }
                let [size, left, sum, extra] = window.numbers().map(i64::from);
                prop_assert_eq!(left, credit);
                prop_assert_eq!(sum, held.iter().map(|charge| i64::from(*charge)).sum::<i64>());
                prop_assert!(left + sum <= size + extra);
                prop_assert!(left > -i64::from(SIZE) && extra >= 0);
            }
            // Whoever takes everything lets the sender go on, and nothing extra is kept.
            for charge in held {
                window.taken(charge);
            }
            prop_assert_eq!(window.extra(), 0);
            if window.is_due() {
                window.grant();
            }
            prop_assert!(window.left() > 0);
            prop_assert!(window.left() <= window.size() as i32);
        }

        #[test]
        fn a_pool_keeps_its_parts(ops in prop::collection::vec((0..6_u8, 1..3000_u32), 0..300)) {
            let limit = 40_000;
            let kept = 3000;
            let mut pool = Pool::new(limit, kept);
            let (mut open, mut grown, mut extra) = (Vec::new(), Vec::new(), Vec::new());
            for (op, n) in ops {
                let unread = pool.numbers()[2] + u64::from(kept) <= u64::from(limit) / 4;
                match op {
                    0 => if pool.open(u64::from(n)) { open.push(n) },
                    1 => if let Some(n) = open.pop() { pool.close(u64::from(n)) },
                    2 => grown.push(pool.grow(n, 3 * n)),
                    3 => if let Some(n) = grown.pop() { pool.shrink(n) },
                    4 => {
                        // What nobody waits for leaves room for what somebody does.
                        let awaited = n % 2 == 0;
                        let fits = pool.reserve(n, awaited);
                        prop_assert!(fits || !awaited || !unread);
                        if fits { extra.push(n) }
                    }
                    _ => if let Some(n) = extra.pop() { pool.release(n) },
                }
                let sum = |of: &[u32]| of.iter().map(|n| u64::from(*n)).sum::<u64>();
                let [base, growth, large] = pool.numbers();
                prop_assert_eq!([base, growth, large], [sum(&open), sum(&grown), sum(&extra)]);
                prop_assert!(base <= u64::from(limit) / 2 && growth <= u64::from(limit) / 4);
                prop_assert!(large <= u64::from(limit) / 4 || extra.len() == 1);
            }
        }
    }

    #[test]
    fn growth_is_fourfold_and_at_most_half_of_what_is_free() {
        let mut pool = Pool::new(40_000, 10_000);
        assert_eq!(pool.grow(1000, 100_000), 3000);
        assert_eq!(pool.grow(4000, 100_000), 3500);
        assert_eq!(pool.grow(1000, 1500), 500);
        assert_eq!(pool.grow(1500, 1500), 0);
        assert_eq!(pool.grow(2000, 1500), 0);
    }

    #[test]
    fn crossing_openings_may_pass_the_half_and_not_the_whole() {
        let mut pool = Pool::new(1000, 250);
        assert!(pool.open(500));
        assert!(!pool.open(1));
        assert!(pool.admit(500));
        assert!(!pool.admit(1));
    }
}
