//! What a service takes on at the same time.

use std::thread::available_parallelism;

/// What one member of a cluster takes on. What does not fit is refused as [`Error::Busy`](crate::Error::Busy) (requests) or
/// lost and counted (broadcasts).
///
/// The defaults are those of the original Iris: four handlers a processor, and 64 MiB each for what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Requests that are handled at the same time. Default: four times the number of processors.
    pub requests: usize,
    /// Bytes of the requests that are handled at the same time. Default 64 MiB.
    pub request_bytes: usize,
    /// Broadcasts that wait for the handler. Default 1,024.
    pub broadcasts: usize,
    /// Broadcasts that are handled at the same time. 1, the default, keeps their order.
    pub broadcast_handlers: usize,
    /// Tunnels that are open at the same time. Default 1,024.
    pub tunnels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 4 * available_parallelism().map_or(1, usize::from),
            request_bytes: 64 << 20,
            broadcasts: 1024,
            broadcast_handlers: 1,
            tunnels: 1024,
        }
    }
}

impl Limits {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests that are handled at the same time; at least 1.
    #[must_use]
    pub fn requests(mut self, count: usize) -> Self {
        self.requests = count.max(1);
        self
    }

    /// Bytes of the requests that are handled at the same time.
    #[must_use]
    pub fn request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// Broadcasts that wait for the handler; at least 1.
    #[must_use]
    pub fn broadcasts(mut self, count: usize) -> Self {
        self.broadcasts = count.max(1);
        self
    }

    /// Broadcasts that are handled at the same time; at least 1. More than 1 gives their order up.
    #[must_use]
    pub fn broadcast_handlers(mut self, count: usize) -> Self {
        self.broadcast_handlers = count.max(1);
        self
    }

    /// Tunnels that are open at the same time; at least 1.
    #[must_use]
    pub fn tunnels(mut self, count: usize) -> Self {
        self.tunnels = count.max(1);
        self
    }
}
