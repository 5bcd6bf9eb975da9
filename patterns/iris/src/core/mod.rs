//! The relay's core: which member of a cluster gets a request, which subscribers get an event, what waits and for how long.
//!
//! It has no socket, session, task or clock. Faces (the native one, draft2, a fabric of other relays) tell it what
//! happened and carry out the [`Action`]s that come of it, after the lock on the core is released: an action may write a
//! socket. Time is an argument.
//!
//! One request passes these states. Its caller gets exactly one [`Action::Answer`], whatever happens, unless it cancels:
//!
//! ```text
//!  request ──> waits in its cluster ──> in a member's hand ──> answered
//!                │ deadline: Timeout      │ deadline: Timeout, and the member is told to stop
//!                │ full: Busy             │ the member is lost: Lost, at once
//!                │ no member: NoMember    │ the member sheds it: Busy
//! ```
//!
//! What waits may go to any member. What a member has in hand is never given to another: it may have begun.

mod cluster;
mod deadlines;
mod fair;
mod requests;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use self::cluster::Cluster;
pub(crate) use self::cluster::Room;
use self::deadlines::Deadlines;
pub(crate) use self::requests::Reply;
use self::requests::Requests;
use self::topic::Topic;
use crate::limits::RelayLimits;

/// Names an attached application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) u64);

/// Names a member of a cluster: one registration of one application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) u64);

/// Names a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SubscriptionId(pub(crate) u64);

/// Names a request in the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) u64);

/// What a message weighs in the queues, in bytes.
pub(crate) trait Weight {
    fn weight(&self) -> usize;
}

/// How a request ended that no handler answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Its deadline passed.
    Timeout,
    /// Its cluster has no member, and it was not to wait for one.
    NoMember,
    /// There is no room for it: in the relay, or at the member that got it. No handler has seen it.
    Busy,
    /// The member that had it is gone. Its handler may have run.
    Lost,
    /// The relay leaves. No handler has seen it.
    Going,
}

/// What a face is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action<B> {
    /// Give the request to the member. What is left of its deadline travels with it.
    Call { member: MemberId, call: CallId, body: B, left: Duration },
    /// Tell the member that nobody waits for the request any more. It keeps its slot until it is over.
    Cancel { member: MemberId, call: CallId },
    /// Answer the client's request of this number.
    Answer { client: ClientId, number: u64, result: Result<B, Outcome<B>> },
}

/// A request without a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<B> {
    /// The handler answered with an error: its body as the member said it.
    Fault(B),
    /// The relay ended it.
    Failed(Failed),
}

/// Why a request or an attachment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NameEmpty,
    NameTooLong {
        limit: usize,
    },
    TooManyAttachments {
        limit: usize,
    },
    /// The client has a request of this number under way.
    NumberInUse,
    UnknownClient,
}

/// How long a request may take, and whether it waits where there is no member yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) deadline: Duration,
    pub(crate) wait_for_member: bool,
}

/// Counters of everything that passed or did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) faults: u64,
    pub(crate) timeouts: u64,
    pub(crate) no_member: u64,
    pub(crate) busy: u64,
    pub(crate) lost: u64,
    pub(crate) cancelled: u64,
    pub(crate) broadcasts: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
}

/// A cluster, as a relay sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Its members.
    pub members: usize,
    /// Requests that they take at the same time, in all.
    pub slots: usize,
    /// Requests that they have in hand.
    pub in_hand: usize,
    /// Requests that wait in the relay for a free slot.
    pub waiting: usize,
    /// Bytes of these.
    pub waiting_bytes: usize,
}

/// A topic, as a relay sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct TopicStatus {
    /// Its name.
    pub name: String,
    /// Its subscriptions.
    pub subscriptions: usize,
    /// Events that were published since it has had a subscription.
    pub events: u64,
    /// Bytes of these.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Client {
    /// Sets, because each may be left alone, and there may be many.
    members: BTreeSet<MemberId>,
    subscriptions: BTreeSet<SubscriptionId>,
    /// Its requests under way, by its own numbers.
    requests: HashMap<u64, CallId>,
    /// Bytes of those that wait, in whatever clusters.
    waiting_bytes: usize,
}

/// Clusters, topics, requests under way.
#[derive(Debug)]
pub(crate) struct Core<B> {
    limits: RelayLimits,
    clients: HashMap<ClientId, Client>,
    clusters: HashMap<Box<str>, Cluster>,
    /// Of each member its cluster.
    members: HashMap<MemberId, (Box<str>, ClientId)>,
    topics: HashMap<Box<str>, Topic>,
    /// Of each subscription its topic.
    subscriptions: HashMap<SubscriptionId, (Box<str>, ClientId)>,
    requests: Requests<B>,
    deadlines: Deadlines,
    actions: VecDeque<Action<B>>,
    next_id: u64,
    totals: Totals,
    random: u64,
    /// Nothing new is taken.
    leaving: bool,
}

impl<B: Weight> Core<B> {
    /// `seed` decides between members that are equally free.
    pub(crate) fn new(limits: RelayLimits, seed: u64) -> Self {
        Self {
            limits,
            clients: HashMap::new(),
            clusters: HashMap::new(),
            members: HashMap::new(),
            topics: HashMap::new(),
            subscriptions: HashMap::new(),
            requests: Requests::default(),
            deadlines: Deadlines::default(),
            actions: VecDeque::new(),
            next_id: 0,
            totals: Totals::default(),
            random: seed | 1,
            leaving: false,
        }
    }

    /// What is to be done next, in order.
    pub(crate) fn poll_action(&mut self) -> Option<Action<B>> {
        self.actions.pop_front()
    }

    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Clients, clusters, members, topics, subscriptions, requests under way.
    pub(crate) fn counts(&self) -> [usize; 6] {
        [
            self.clients.len(),
            self.clusters.len(),
            self.members.len(),
            self.topics.len(),
            self.subscriptions.len(),
            self.requests.under_way(),
        ]
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Each cluster with its name, by name.
    pub(crate) fn clusters(&self) -> Vec<ClusterStatus> {
        let one = |name: &str, cluster: &Cluster| {
            let (slots, in_hand) = cluster.load();
            ClusterStatus {
                name: name.to_string(),
                members: cluster.members().count(),
                slots,
                in_hand,
                waiting: cluster.waiting.len(),
                waiting_bytes: cluster.waiting.bytes(),
            }
        };
        let mut all: Vec<_> = self.clusters.iter().map(|(name, cluster)| one(name, cluster)).collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Each topic with a subscription, by name.
    pub(crate) fn topics(&self) -> Vec<TopicStatus> {
        let one = |name: &str, topic: &Topic| TopicStatus {
            name: name.to_string(),
            subscriptions: topic.subscriptions().count(),
            events: topic.events,
            bytes: topic.bytes,
        };
        let mut all: Vec<_> = self.topics.iter().map(|(name, topic)| one(name, topic)).collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn fresh(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        match name.len() {
            0 => Err(Refused::NameEmpty),
            len if len > self.limits.name => Err(Refused::NameTooLong { limit: self.limits.name }),
            _ => Ok(()),
        }
    }

    // ---- clients

    /// An application has attached.
    pub(crate) fn attach(&mut self) -> ClientId {
        let id = ClientId(self.fresh());
        self.clients.insert(id, Client::default());
        id
    }

    /// An application is gone, in good order or not: what its members had in hand is lost, what it asked is cancelled.
    pub(crate) fn detach(&mut self, now: Duration, client: ClientId) {
        let Some(gone) = self.clients.remove(&client) else { return };
        for subscription in gone.subscriptions {
            self.forget_subscription(subscription);
        }
        for call in gone.requests.into_values() {
            self.cancel_call(now, call);
        }
        for member in gone.members {
            self.lose_member(now, member);
        }
    }

    /// Requests of the client that wait for their answer.
    pub(crate) fn requests_of(&self, client: ClientId) -> usize {
        self.clients.get(&client).map_or(0, |client| client.requests.len())
    }

    fn admit(&self, client: ClientId, name: &str) -> Result<(), Refused> {
        self.check_name(name)?;
        let client = self.clients.get(&client).ok_or(Refused::UnknownClient)?;
        let limit = self.limits.attachments;
        if client.members.len() + client.subscriptions.len() >= limit {
            return Err(Refused::TooManyAttachments { limit });
        }
        Ok(())
    }

    // ---- topics

    /// From now on the subscription gets what is published under the topic.
    pub(crate) fn subscribe(&mut self, client: ClientId, topic: &str) -> Result<SubscriptionId, Refused> {
        self.admit(client, topic)?;
        let id = SubscriptionId(self.fresh());
        self.topics.entry(topic.into()).or_default().add(id);
        self.subscriptions.insert(id, (topic.into(), client));
        if let Some(client) = self.clients.get_mut(&client) {
            client.subscriptions.insert(id);
        }
        Ok(id)
    }

    pub(crate) fn unsubscribe(&mut self, subscription: SubscriptionId) {
        if let Some((_, client)) = self.subscriptions.get(&subscription)
            && let Some(client) = self.clients.get_mut(client)
        {
            client.subscriptions.remove(&subscription);
        }
        self.forget_subscription(subscription);
    }

    fn forget_subscription(&mut self, subscription: SubscriptionId) {
        let Some((name, _)) = self.subscriptions.remove(&subscription) else { return };
        if let Some(topic) = self.topics.get_mut(&name) {
            topic.remove(subscription);
            if topic.is_empty() {
                self.topics.remove(&name);
            }
        }
    }

    /// Who gets what is published under the topic now. To nobody is no error: publishing is at most once.
    pub(crate) fn publish(&mut self, topic: &str, weight: usize) -> Vec<SubscriptionId> {
        self.totals.published += 1;
        let Some(topic) = self.topics.get_mut(topic) else { return Vec::new() };
        topic.published(weight);
        let told: Vec<_> = topic.subscriptions().collect();
        self.totals.delivered += told.len() as u64;
        told
    }

    /// The members that get a broadcast to the cluster now.
    pub(crate) fn broadcast(&mut self, cluster: &str) -> Vec<MemberId> {
        self.totals.broadcasts += 1;
        let told: Vec<_> =
            self.clusters.get(cluster).map_or_else(Vec::new, |found| found.members().collect());
        self.totals.delivered += told.len() as u64;
        told
    }
}
