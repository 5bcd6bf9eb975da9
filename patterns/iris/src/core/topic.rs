//! A topic: its subscriptions, and what was published.

use std::collections::BTreeSet;

use super::SubscriptionId;

#[derive(Debug, Default)]
pub(super) struct Topic {
    /// In the order in which they came: ids only grow.
    subscriptions: BTreeSet<SubscriptionId>,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

impl Topic {
    pub(super) fn add(&mut self, subscription: SubscriptionId) {
        self.subscriptions.insert(subscription);
    }

    pub(super) fn remove(&mut self, subscription: SubscriptionId) {
        self.subscriptions.remove(&subscription);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    pub(super) fn published(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes as u64;
    }

    pub(super) fn subscriptions(&self) -> impl Iterator<Item = SubscriptionId> {
        self.subscriptions.iter().copied()
    }
}
