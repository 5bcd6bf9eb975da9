//! What a relay tells of itself.

use crate::core::{Core, Totals, Weight};

/// What a relay has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Applications that are attached.
    pub clients: usize,
    /// Clusters with a member or a waiting request.
    pub clusters: usize,
    /// Members of clusters.
    pub members: usize,
    /// Topics with a subscription.
    pub topics: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Requests that are not over.
    pub under_way: usize,
    /// Requests that came.
    pub requests: u64,
    /// Requests that a handler answered.
    pub answered: u64,
    /// Requests that a handler answered with a fault.
    pub faults: u64,
    /// Requests whose time was up.
    pub timeouts: u64,
    /// Requests to a cluster without a member.
    pub no_member: u64,
    /// Requests for which there was no room, or that came while the relay was leaving.
    pub busy: u64,
    /// Requests whose member was lost.
    pub lost: u64,
    /// Requests that their caller cancelled.
    pub cancelled: u64,
    /// Broadcasts that came.
    pub broadcasts: u64,
    /// Events that were published.
    pub published: u64,
    /// Broadcasts and events that were given to a member or subscription.
    pub delivered: u64,
    /// Broadcasts and events that a slow member or subscription lost.
    pub dropped: u64,
    /// What applications asked for that they have no right to.
    pub refused: u64,
}

impl Status {
    pub(super) fn of<B: Weight>(core: &Core<B>) -> Self {
        let [clients, clusters, members, topics, subscriptions, under_way] = core.counts();
        let totals = core.totals();
        let Totals { requests, answered, faults, timeouts, no_member, busy, lost, cancelled, .. } = totals;
        let Totals { broadcasts, published, delivered, .. } = totals;
        Self {
            clients,
            clusters,
            members,
            topics,
            subscriptions,
            under_way,
            requests,
            answered,
            faults,
            timeouts,
            no_member,
            busy,
            lost,
            cancelled,
            broadcasts,
            published,
            delivered,
            dropped: 0,
            refused: 0,
        }
    }
}
