//! Window arithmetic: what a receiver has granted in bytes and what it owes, and what a session may hold.
//!
//! At every moment `left + held <= size + extra`: what the sender may still send, and what it has sent that nobody has
//! taken.

use crate::limits::Limits;

/// Windows below this grow with the first half that was taken, in bytes: 64-byte messages then cost a grant every
/// seventy, not every four (measured: 2.4 writes a round trip instead of 2).
const EAGER: i32 = 16 * 1024;

/// The receiving side of a byte window.
///
/// `floor`, where it is asked for: with less than this left the sender may stand still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// What the channel may hold.
    size: i32,
    /// What the sender has left, as far as this side knows.
    left: i32,
    /// What has arrived and was not taken.
    held: i32,
    /// Added for the one large message that is arriving or waits; and [`EXHAUSTED`].
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

    /// `charge` bytes have arrived. False: they were not granted.
    #[must_use]
    pub(crate) fn arrive(&mut self, charge: u32, floor: i32) -> bool {
        let charge = charge as i32;
        if charge > self.left {
            return false;
        }
        self.left -= charge;
        self.held += charge;
        if self.left < floor {
            self.extra |= EXHAUSTED;
        }
        true
    }

    /// `charge` bytes were taken. Returns what was added for them and is free again.
    pub(crate) fn taken(&mut self, charge: u32) -> u32 {
        self.held -= charge as i32;
        let freed = if self.left + self.held <= self.size { self.extra() } else { 0 };
        self.extra -= freed;
        freed
    }

    /// How much is to be added for a message that is charged so much in all.
    pub(crate) fn lacks(&self, charge: u32) -> u32 {
        charge.saturating_sub(self.size() + self.extra())
    }

    pub(crate) fn add(&mut self, bytes: u32) {
        self.extra += bytes;
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

    /// Makes the window smaller by what it owes, up to half: that is not granted again. What is on its way in parts keeps what it
    /// has. Returns how much.
    pub(crate) fn give_back(&mut self) -> u32 {
        let part = if self.extra() > 0 { 0 } else { self.owed().clamp(0, self.size / 2) };
        self.size -= part;
        part as u32
    }

    fn owed(&self) -> i32 {
        self.size + self.extra() as i32 - self.left - self.held
    }

    /// Whether a grant is due: half of the window is owed, or anything and the sender may stand still.
    pub(crate) fn is_due(&self, floor: i32) -> bool {
        let owed = self.owed();
        owed > 0 && (owed >= self.size / 2 || self.left < floor)
    }

    /// What to grant now.
    pub(crate) fn grant(&mut self) -> u32 {
        let owed = self.owed().max(0);
        self.left += owed;
        owed as u32
    }
}

/// What one side has opened and is not finished. Each side counts both, and of the other's it never counts more than that
/// does.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    count: u32,
    bytes: u64,
}

/// What of a side's budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Count,
    Memory,
}

impl Opened {
    /// Counts a channel or stream with this first window, if it is within the limits: so many, and a quarter of the memory.
    pub(crate) fn add(&mut self, charge: u32, limits: &Limits) -> Result<(), Full> {
        if self.count >= limits.max_channels {
            return Err(Full::Count);
        }
        let bytes = self.bytes + u64::from(charge);
        if bytes > u64::from(limits.session_memory / 4) {
            return Err(Full::Memory);
        }
        (self.count, self.bytes) = (self.count + 1, bytes);
        Ok(())
    }

    pub(crate) fn remove(&mut self, charge: u32) {
        self.count -= 1;
        self.bytes -= u64::from(charge);
    }

    /// How many, and their first windows: for the audit.
    pub(crate) fn numbers(&self) -> [u64; 2] {
        [u64::from(self.count), self.bytes]
    }
}

/// What this side may hold beyond first windows: a quarter of the memory for windows that grow, and a quarter for messages
/// larger than their window. Two, because credit cannot be taken back: windows that have grown and lie idle are not to stop
/// large messages.
#[derive(Debug)]
pub(crate) struct Pool {
    quarter: u64,
    growth: u64,
    extra: u64,
    /// A window found less than it wanted to grow by. Forgotten by and by: it may be in use no longer.
    short: Option<Short>,
}

/// The smallest window that found too little, and how much it wanted.
#[derive(Clone, Copy, Debug)]
struct Short {
    size: u32,
    wanted: u64,
}

impl Pool {
    pub(crate) fn new(memory: u32) -> Self {
        Self { quarter: u64::from(memory / 4), growth: 0, extra: 0, short: None }
    }

    /// Lets a window grow that wants to. Where the memory for that is used up, a window that is more than four times as large as
    /// one that wants to grow gives back instead of what it owes, unless something is `arriving` that counts on it.
    pub(crate) fn fit(&mut self, window: &mut Window, max: u32, arriving: bool) {
        if let Some(short) = self.short.filter(|short| window.size() / 4 > short.size) {
            if !arriving && self.free() / 2 < short.wanted {
                self.growth -= u64::from(window.give_back());
            }
        } else if window.wants_growth() {
            let grown = self.grow(window.size(), max);
            if grown > 0 {
                window.grow(grown);
            }
        }
    }

    fn free(&self) -> u64 {
        self.quarter.saturating_sub(self.growth)
    }

    /// How much a window of `size` may grow: fourfold, up to `max`, and at most half of what is free.
    fn grow(&mut self, size: u32, max: u32) -> u32 {
        let wanted = u64::from(size.saturating_mul(4).min(max).saturating_sub(size));
        let grown = wanted.min(self.free() / 2);
        self.growth += grown;
        match self.short {
            Some(short) if short.size < size => {}
            _ => self.short = (grown < wanted).then_some(Short { size, wanted }),
        }
        grown as u32
    }

    /// Who wants to grow says so again.
    pub(crate) fn tick(&mut self) {
        self.short = None;
    }

    pub(crate) fn shrink(&mut self, growth: u32) {
        self.growth -= u64::from(growth);
    }

    /// Sets aside for a large message, if there is room now. One alone always fits: the first window covers what it has
    /// beside its payload.
    #[must_use]
    pub(crate) fn reserve(&mut self, bytes: u32) -> bool {
        let sum = self.extra + u64::from(bytes);
        let fits = sum <= self.quarter;
        self.extra = if fits { sum } else { self.extra };
        fits
    }

    pub(crate) fn release(&mut self, bytes: u32) {
        self.extra -= u64::from(bytes);
    }

    /// Growth, large messages: for the audit.
    pub(crate) fn numbers(&self) -> [u64; 2] {
        [self.growth, self.extra]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Full, Opened, Pool, Window};
    use crate::limits::Limits;

    #[derive(Clone, Debug)]
    enum Step {
        /// A message that has credit.
        Small(u32),
        /// One that may need more than the window has.
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

    const SIZE: u32 = 512;
    const FLOOR: i32 = 360;

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
                        let may = credit >= i64::from(charge);
                        prop_assert_eq!(window.arrive(charge, FLOOR), may);
                        if may {
                            credit -= i64::from(charge);
                            held.push_back(charge);
                        }
                    }
                    Step::Large(charge) => {
                        // What is held is taken before; then there is memory for all of it.
                        while let Some(charge) = held.pop_front() {
                            window.taken(charge);
                        }
                        window.add(window.lacks(charge));
                        prop_assert_eq!(window.lacks(charge), 0);
                        credit += i64::from(window.grant());
                        prop_assert!(window.arrive(charge, FLOOR));
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
                        if window.is_due(FLOOR) {
                            let bytes = window.grant();
                            prop_assert!(bytes > 0);
                            credit += i64::from(bytes);
                        }
                        prop_assert!(!window.is_due(FLOOR));
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
                prop_assert!(left >= 0 && extra >= 0);
            }
            // Who takes everything lets the sender go on, and nothing extra is kept.
            for charge in held {
                window.taken(charge);
            }
            prop_assert_eq!(window.extra(), 0);
            if window.is_due(FLOOR) {
                window.grant();
            }
            prop_assert!(window.left() > SIZE as i32 / 2);
            prop_assert!(window.left() <= window.size() as i32);
        }

        #[test]
        fn a_pool_keeps_its_parts(ops in prop::collection::vec((0..4_u8, 1..3000_u32), 0..300)) {
            let limit = 40_000;
            let mut pool = Pool::new(limit);
            let (mut grown, mut extra) = (Vec::new(), Vec::new());
            for (op, n) in ops {
                match op {
                    0 => grown.push(pool.grow(n, 3 * n)),
                    1 => if let Some(n) = grown.pop() { pool.shrink(n) },
                    2 => {
                        let free = u64::from(limit) / 4 - pool.numbers()[1];
                        let fits = pool.reserve(n);
                        prop_assert_eq!(fits, u64::from(n) <= free);
                        if fits { extra.push(n) }
                    }
                    _ => if let Some(n) = extra.pop() { pool.release(n) },
                }
                let sum = |of: &[u32]| of.iter().map(|n| u64::from(*n)).sum::<u64>();
                let [growth, large] = pool.numbers();
                prop_assert_eq!([growth, large], [sum(&grown), sum(&extra)]);
                prop_assert!(growth <= u64::from(limit) / 4 && large <= u64::from(limit) / 4);
            }
        }
    }

    #[test]
    fn growth_is_fourfold_and_at_most_half_of_what_is_free() {
        let mut pool = Pool::new(40_000);
        assert_eq!(pool.grow(1000, 100_000), 3000);
        assert_eq!(pool.grow(4000, 100_000), 3500);
        assert_eq!(pool.grow(1000, 1500), 500);
        assert_eq!(pool.grow(1500, 1500), 0);
        assert_eq!(pool.grow(2000, 1500), 0);
    }

    #[test]
    fn a_side_opens_so_many_and_a_quarter_of_the_memory() {
        let limits = Limits { session_memory: 4000, max_channels: 3, ..Limits::default() };
        let mut opened = Opened::default();
        assert_eq!(opened.add(500, &limits), Ok(()));
        assert_eq!(opened.add(501, &limits), Err(Full::Memory));
        assert_eq!(opened.add(400, &limits), Ok(()));
        assert_eq!(opened.add(100, &limits), Ok(()));
        assert_eq!((opened.add(0, &limits), opened.numbers()), (Err(Full::Count), [3, 1000]));
        opened.remove(400);
        assert_eq!((opened.add(401, &limits), opened.add(1, &limits)), (Err(Full::Memory), Ok(())));
    }
}
