//! How a redial dials.

use super::backoff::Backoff;
use crate::dial::DialOptions;

/// How a [`Redial`](super::Redial) dials.
///
/// ```
/// use std::time::Duration;
/// use libchan_transports::{Backoff, DialOptions, Redial, RedialOptions};
///
/// let options = RedialOptions::default()
///     .dial(DialOptions::default().connect_timeout(Duration::from_secs(3)))
///     .backoff(Backoff::new().max(Duration::from_secs(5)))
///     .shuffled();
/// let redial = Redial::with(["tls://a.example:7400", "tls://b.example:7400"], options);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RedialOptions {
    /// How each URL is dialed. [`DialOptions::connect_timeout`] is the one deadline of each dial.
    pub dial: DialOptions,
    /// How long to wait between dials.
    pub backoff: Backoff,
    /// Whether the URLs are dialed in a random order, drawn for each round. By default in the given one, from the first.
    pub shuffled: bool,
    /// Whether to dial at once. By default at the first use.
    pub at_once: bool,
}

impl RedialOptions {
    /// Sets how each URL is dialed.
    #[must_use]
    pub fn dial(mut self, options: DialOptions) -> Self {
        self.dial = options;
        self
    }

    /// Sets how long to wait between dials.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Dials the URLs in a random order, drawn for each round: so the clients of several servers spread over them.
    #[must_use]
    pub fn shuffled(mut self) -> Self {
        self.shuffled = true;
        self
    }

    /// Dials at once, and not at the first use.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }
}
