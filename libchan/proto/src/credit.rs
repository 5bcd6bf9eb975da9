//! Window arithmetic: what a receiver has granted in bytes, and what it owes.
//!
//! At every moment `left + held <= window + extra`: what the sender may still send, and what it has sent that nobody
//! has taken.

/// The receiving side of a byte window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// What the channel may hold.
    size: i32,
    /// What the sender has left, as far as this side knows: below 0 by less than a first window.
    left: i32,
    /// What has arrived and was not taken.
    held: i32,
    /// Granted beyond the window, for one large message.
    extra: i32,
    /// The sender has used up its credit since the window last grew.
    exhausted: bool,
}

impl Window {
    pub(crate) fn new(size: u32) -> Self {
        let size = size as i32;
        Self { size, left: size, held: 0, extra: 0, exhausted: false }
    }

    pub(crate) fn left(&self) -> i32 {
        self.left
    }

    pub(crate) fn size(&self) -> u32 {
        self.size as u32
    }

    pub(crate) fn extra(&self) -> u32 {
        self.extra as u32
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
        self.exhausted |= self.left <= 0;
        true
    }

    /// `charge` bytes were taken. Returns what of the extra grant is no longer needed.
    pub(crate) fn taken(&mut self, charge: u32) -> u32 {
        self.held -= charge as i32;
        let over = (self.left + self.held - self.size).max(0);
        let freed = (self.extra - over).max(0);
        self.extra -= freed;
        freed as u32
    }

    /// Grants more than the window for a message of which `remaining` bytes are to come. Returns how much more.
    pub(crate) fn missing(&self, remaining: u32) -> u32 {
        (remaining as i32 - self.left).max(0) as u32
    }

    pub(crate) fn grant_extra(&mut self, bytes: u32) {
        self.extra += bytes as i32;
        self.left += bytes as i32;
    }

    /// Whether the window should grow: the sender ran out and the reader keeps up.
    pub(crate) fn wants_growth(&self) -> bool {
        self.exhausted && self.held <= self.size / 2
    }

    pub(crate) fn grow(&mut self, bytes: u32) {
        self.size += bytes as i32;
        self.exhausted = false;
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
    base: u64,
    growth: u64,
    extra: u64,
}

impl Pool {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit: u64::from(limit), base: 0, growth: 0, extra: 0 }
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

    /// Reserves for a large message, if there is room now.
    #[must_use]
    pub(crate) fn reserve(&mut self, bytes: u32) -> bool {
        let fits = self.extra + u64::from(bytes) <= self.limit / 4;
        self.extra += if fits { u64::from(bytes) } else { 0 };
        fits
    }

    pub(crate) fn release(&mut self, bytes: u32) {
        self.extra -= u64::from(bytes);
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.base == 0 && self.growth == 0 && self.extra == 0
    }
}
