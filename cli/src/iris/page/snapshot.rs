//! What the status page shows of a relay: taken at most twice a second, however many look.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libchan_iris::{ClusterStatus, Relay, Status, TopicStatus};
use serde::{Deserialize, Serialize};

/// Clusters and topics that are shown: those with the most to do. Applications choose the names, and there may be millions.
const SHOWN: usize = 500;
/// For how long a snapshot is shown.
const FRESH: Duration = Duration::from_millis(500);

/// A relay at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::iris) struct Snapshot {
    pub(in crate::iris) version: String,
    pub(in crate::iris) uptime_ms: u64,
    pub(in crate::iris) relay: Status,
    pub(in crate::iris) clusters: Vec<ClusterStatus>,
    pub(in crate::iris) more_clusters: usize,
    pub(in crate::iris) topics: Vec<TopicStatus>,
    pub(in crate::iris) more_topics: usize,
}

impl Snapshot {
    /// As JSON that may stand in a page: nothing in it ends a script.
    pub(super) fn json(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"error\":\"{error:?}\"}}"));
        json.replace('<', "\\u003c")
    }
}

/// Takes snapshots of a relay.
#[derive(Clone)]
pub(super) struct Camera {
    relay: Relay,
    started: Instant,
    last: Arc<Mutex<Option<Taken>>>,
}

/// A snapshot, and when it was taken.
type Taken = (Instant, Arc<Snapshot>);

impl Camera {
    pub(super) fn new(relay: Relay) -> Self {
        Self { relay, started: Instant::now(), last: Arc::default() }
    }

    /// The relay now, or half a second ago.
    pub(super) fn look(&self) -> Arc<Snapshot> {
        // Who finds the lock taken waits for the snapshot that is being taken.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, snapshot)) = &*last
            && at.elapsed() < FRESH
        {
            return snapshot.clone();
        }
        let snapshot = Arc::new(self.take());
        *last = Some((Instant::now(), snapshot.clone()));
        snapshot
    }

    fn take(&self) -> Snapshot {
        let (mut clusters, mut topics) = (self.relay.clusters(), self.relay.topics());
        clusters
            .sort_by_key(|cluster| std::cmp::Reverse((cluster.waiting, cluster.in_hand, cluster.members)));
        topics.sort_by_key(|topic| std::cmp::Reverse((topic.events, topic.subscriptions)));
        let more_clusters = clusters.len().saturating_sub(SHOWN);
        let more_topics = topics.len().saturating_sub(SHOWN);
        clusters.truncate(SHOWN);
        topics.truncate(SHOWN);
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            relay: self.relay.status(),
            clusters,
            more_clusters,
            topics,
            more_topics,
        }
    }
}
