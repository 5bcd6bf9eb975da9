//! What a service takes on at the same time, what may wait for a subscription, and what a relay holds for all of them.

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
    /// Bytes of the requests that are handled at the same time: a further one is taken as long as they are fewer. Default 64 MiB.
    pub request_bytes: usize,
    /// Broadcasts that wait for the handler. Default 1,024.
    pub broadcasts: usize,
    /// Bytes of the broadcasts that wait in the relay. Default 64 MiB.
    pub broadcast_bytes: usize,
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
            broadcast_bytes: 64 << 20,
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

    /// Bytes of the requests that are handled at the same time; at least 1.
    #[must_use]
    pub fn request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes.max(1);
        self
    }

    /// Broadcasts that wait for the handler; at least 1.
    #[must_use]
    pub fn broadcasts(mut self, count: usize) -> Self {
        self.broadcasts = count.max(1);
        self
    }

    /// Bytes of the broadcasts that wait in the relay; at least 1.
    #[must_use]
    pub fn broadcast_bytes(mut self, bytes: usize) -> Self {
        self.broadcast_bytes = bytes.max(1);
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

/// What may wait for a subscription that does not read. What does not fit is lost, and
/// [`Subscription::lost`](crate::Subscription::lost) counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLimits {
    /// Events. Default 1,024.
    pub events: usize,
    /// Bytes of the events that wait in the relay. Default 64 MiB, as in the original Iris.
    pub bytes: usize,
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self { events: 1024, bytes: 64 << 20 }
    }
}

impl TopicLimits {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Events that wait; at least 1.
    #[must_use]
    pub fn events(mut self, count: usize) -> Self {
        self.events = count.max(1);
        self
    }

    /// Bytes of the events that wait in the relay; at least 1.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes.max(1);
        self
    }
}

/// What a relay holds for its applications at most. Each limit stops an application from taking the relay's memory; what an
/// application asks for beyond it is [`Error::Busy`](crate::Error::Busy), refused with a text, or lost and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayLimits {
    /// Requests of one application that are under way. Default 4,096, which is the most.
    pub requests: usize,
    /// Bytes of those that wait for a member. Default 64 MiB.
    pub waiting_bytes: usize,
    /// Bytes of all requests that wait in one cluster. Default 256 MiB.
    pub cluster_bytes: usize,
    /// Bytes of requests that one member has in hand, whatever it says it takes. Default 256 MiB.
    pub member_bytes: usize,
    /// Bytes of replies that wait for one application. An application that has more of them does not read, and is detached.
    /// Default 256 MiB.
    pub reply_bytes: usize,
    /// Bytes of events and broadcasts that wait for one application, over all its subscriptions and registrations. Default
    /// 256 MiB.
    pub event_bytes: usize,
    /// Bytes of a cluster's or topic's name. Default 1,024.
    pub name: usize,
    /// Subscriptions and registrations of one application. Default 65,536.
    pub attachments: usize,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            requests: crate::relay::IN_FLIGHT,
            waiting_bytes: 64 << 20,
            cluster_bytes: 256 << 20,
            member_bytes: 256 << 20,
            reply_bytes: 256 << 20,
            event_bytes: 256 << 20,
            name: 1024,
            attachments: 65_536,
        }
    }
}

impl RelayLimits {
    /// The defaults: change the fields that matter, and give it to [`RelayBuilder::limits`](crate::RelayBuilder::limits).
    pub fn new() -> Self {
        Self::default()
    }
}
