//! A topic: its subscriptions, and what was published.

use super::SubscriptionId;

#[derive(Debug, Default)]
pub(super) struct Topic {
    subscriptions: Vec<SubscriptionId>,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

impl Topic {
    pub(super) fn add(&mut self, subscription: SubscriptionId) {
        // Ids only grow, so the list is sorted.
        self.subscriptions.push(subscription);
    }

    pub(super) fn remove(&mut self, subscription: SubscriptionId) {
        if let Ok(at) = self.subscriptions.binary_search(&subscription) {
            self.subscriptions.remove(at);
        }
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
