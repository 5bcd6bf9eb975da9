//! Carries out what the core decided, outside its lock: an action may encode a value and write a socket.

use std::collections::HashMap;
use std::sync::{Arc, TryLockError};

use super::Hub;
use super::port::{Caller, Member, Subscriber};
use crate::app::lock;
use crate::body::Body;
use crate::core::{Action, ClientId, MemberId, Reply, SubscriptionId};
use crate::wire::{Line, TunnelRefused};

/// Who is attached, by the core's names.
#[derive(Default)]
pub(crate) struct Ports {
    pub(crate) callers: HashMap<ClientId, Arc<dyn Caller>>,
    pub(crate) members: HashMap<MemberId, Arc<dyn Member>>,
    pub(crate) subscribers: HashMap<SubscriptionId, Arc<dyn Subscriber>>,
    dropped: u64,
}

impl Ports {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Hub {
    /// Carries out the core's actions in order. Where another task is at it already, that one carries out ours too.
    pub(crate) fn deliver(&self) {
        loop {
            let delivering = match self.delivering.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            };
            while let Some(action) = self.next_action() {
                self.carry_out(action);
            }
            drop(delivering);
            // An action that came between the last look and the unlocking had nobody to carry it out.
            if !lock(&self.core).has_actions() {
                return;
            }
        }
    }

    fn next_action(&self) -> Option<Action<Body>> {
        lock(&self.core).poll_action()
    }

    fn carry_out(&self, action: Action<Body>) {
        match action {
            Action::Call { member, call, body, left } => {
                let port = lock(&self.ports).members.get(&member).cloned();
                let given = port.map(|port| port.call(call, body, left));
                if !matches!(given, Some(Ok(()))) {
                    tracing::info!(member = member.0, "a member is gone, or does not keep to its slots");
                    // The end of its calls tells it, if it is there.
                    let port = lock(&self.ports).members.remove(&member);
                    drop(port);
                    let now = self.now();
                    lock(&self.core).leave(now, member);
                }
            }
            Action::Cancel { member, call } => {
                let port = lock(&self.ports).members.get(&member).cloned();
                if port.is_some_and(|port| port.cancel(call)) {
                    let now = self.now();
                    lock(&self.core).answer(now, member, call, Reply::Shed);
                }
            }
            Action::Answer { client, number, result } => {
                let port = lock(&self.ports).callers.get(&client).cloned();
                if let Some(port) = port
                    && port.answer(number, result).is_err()
                {
                    tracing::info!(client = client.0, "an application does not take its answers");
                    let now = self.now();
                    lock(&self.core).detach(now, client);
                }
            }
        }
    }

    /// Tells all subscriptions of a topic.
    pub(crate) fn publish(&self, topic: &str, body: &Body) {
        let told = lock(&self.core).publish(topic, body.weight());
        self.to_many(
            told,
            body,
            |ports, id| ports.subscribers.get(id).cloned(),
            |port, body| port.event(body),
        );
    }

    /// Tells all members of a cluster.
    pub(crate) fn broadcast(&self, cluster: &str, body: &Body) {
        let told = lock(&self.core).broadcast(cluster);
        self.to_many(
            told,
            body,
            |ports, id| ports.members.get(id).cloned(),
            |port, body| port.broadcast(body),
        );
    }

    fn to_many<I, P: ?Sized>(
        &self,
        told: Vec<I>,
        body: &Body,
        find: impl Fn(&Ports, &I) -> Option<Arc<P>>,
        give: impl Fn(&P, Body) -> bool,
    ) {
        let found: Vec<Arc<P>> = {
            let ports = lock(&self.ports);
            told.iter().filter_map(|id| find(&ports, id)).collect()
        };
        let mut lost = 0;
        for port in found {
            // A body for many has no ends: `Body::try_clone` cannot fail. If a peer sent some, nobody gets them.
            lost += u64::from(body.try_clone().is_none_or(|body| !give(&port, body)));
        }
        if lost > 0 {
            lock(&self.ports).dropped += lost;
        }
    }

    /// Gives a tunnel to a member of its cluster, or says why it cannot.
    pub(crate) fn tunnel(&self, line: Line) {
        let member = lock(&self.core).choose_for_tunnel(&line.cluster);
        let port = member.and_then(|member| lock(&self.ports).members.get(&member).cloned());
        let (line, why) = match port {
            Some(port) => match port.tunnel(line) {
                Ok(()) => return,
                Err(line) => (*line, TunnelRefused::Busy),
            },
            None => (line, TunnelRefused::NoMember),
        };
        // The opener may have given up.
        drop(line.ready.try_send(Err(why)));
    }

    /// A member's word about a call.
    pub(crate) fn report(&self, member: MemberId, call: crate::core::CallId, reply: Reply<Body>) {
        self.tell(|core, now| core.answer(now, member, call, reply));
    }
}
