//! Requests under way, and every step that one may take.

use std::collections::HashMap;
use std::time::Duration;

use super::cluster::{Cluster, Room};
use super::{Action, CallId, ClientId, Core, Failed, MemberId, Outcome, Refused, Terms, Weight};

/// Where a request is.
#[derive(Debug)]
enum State<B> {
    /// In its cluster's queue.
    Waits { body: B },
    /// In a member's hand.
    Held { member: MemberId },
    /// In a member's hand, and nobody waits for it any more.
    Abandoned { member: MemberId },
}

#[derive(Debug)]
pub(super) struct Request<B> {
    client: ClientId,
    number: u64,
    cluster: Box<str>,
    deadline: Duration,
    wait_for_member: bool,
    weight: usize,
    state: State<B>,
}

#[derive(Debug)]
pub(super) struct Requests<B>(HashMap<CallId, Request<B>>);

impl<B> Default for Requests<B> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<B> Requests<B> {
    fn waits(&self, call: CallId) -> bool {
        self.0.get(&call).is_some_and(|request| matches!(request.state, State::Waits { .. }))
    }

    /// Requests that are not over, abandoned ones included.
    pub(super) fn under_way(&self) -> usize {
        self.0.len()
    }

    fn is_awaited(&self, call: CallId) -> bool {
        self.0.get(&call).is_some_and(|request| !matches!(request.state, State::Abandoned { .. }))
    }
}

impl<B: Weight> Core<B> {
    // ---- what applications do

    /// A client asks a cluster. `number` is the client's own, free since its last answer; the answer repeats it.
    pub(crate) fn request(
        &mut self,
        now: Duration,
        client: ClientId,
        number: u64,
        cluster: &str,
        body: B,
        terms: Terms,
    ) -> Result<(), Refused> {
        self.check_name(cluster)?;
        let asking = self.clients.get(&client).ok_or(Refused::UnknownClient)?;
        if asking.requests.contains_key(&number) {
            return Err(Refused::NumberInUse);
        }
        let weight = body.weight();
        let found = self.clusters.get(cluster);
        let limits = self.limits;
        let fits = asking.requests.len() < limits.requests
            && asking.waiting_bytes.saturating_add(weight) <= limits.waiting_bytes
            && found.map_or(0, |cluster| cluster.waiting.bytes()).saturating_add(weight)
                <= limits.cluster_bytes;
        self.totals.requests += 1;
        let failed = if terms.deadline.is_zero() {
            Some(Failed::Timeout)
        } else if !terms.wait_for_member && !found.is_some_and(Cluster::has_members) {
            Some(Failed::NoMember)
        } else if self.leaving {
            Some(Failed::Going)
        } else {
            (!fits).then_some(Failed::Busy)
        };
        if let Some(failed) = failed {
            self.fail(client, number, failed);
            return Ok(());
        }
        let call = CallId(self.fresh());
        let name: Box<str> = cluster.into();
        let deadline = now.saturating_add(terms.deadline);
        let queue = &mut self.clusters.entry(name.clone()).or_default().waiting;
        queue.push(client, call, weight);
        let wait_for_member = terms.wait_for_member;
        let state = State::Waits { body };
        let request = Request { client, number, cluster: name, deadline, wait_for_member, weight, state };
        self.requests.0.insert(call, request);
        self.deadlines.add(deadline, call);
        if let Some(client) = self.clients.get_mut(&client) {
            client.requests.insert(number, call);
            client.waiting_bytes += weight;
        }
        self.serve(now, cluster);
        Ok(())
    }

    /// The relay leaves: what waits, and what still comes, is answered as [`Failed::Going`]; what members have in hand goes on.
    pub(crate) fn refuse_all(&mut self) {
        self.leaving = true;
        let waiting =
            self.requests.0.iter().filter(|(_, request)| matches!(request.state, State::Waits { .. }));
        let mut calls: Vec<CallId> = waiting.map(|(&call, _)| call).collect();
        calls.sort_unstable();
        for call in calls {
            self.end_waiting(call, Failed::Going);
        }
    }

    /// The client waits no longer for its request of this number. It gets no answer.
    pub(crate) fn cancel(&mut self, now: Duration, client: ClientId, number: u64) {
        let call = self.clients.get_mut(&client).and_then(|client| client.requests.remove(&number));
        if let Some(call) = call {
            self.cancel_call(now, call);
        }
    }

    pub(super) fn cancel_call(&mut self, now: Duration, call: CallId) {
        if self.requests.is_awaited(call) {
            self.totals.cancelled += 1;
            self.abandon(now, call);
        }
    }

    /// A member of the cluster that takes so much at the same time.
    pub(crate) fn register(
        &mut self,
        now: Duration,
        client: ClientId,
        cluster: &str,
        room: Room,
    ) -> Result<MemberId, Refused> {
        self.admit(client, cluster)?;
        let member = MemberId(self.fresh());
        self.clusters.entry(cluster.into()).or_default().join(member, room);
        self.members.insert(member, (cluster.into(), client));
        if let Some(client) = self.clients.get_mut(&client) {
            client.members.insert(member);
        }
        self.serve(now, cluster);
        Ok(member)
    }

    /// What the member takes at the same time from now on. [`Room::NONE`]: nothing new, because it leaves.
    pub(crate) fn set_room(&mut self, now: Duration, member: MemberId, room: Room) {
        let Some((name, _)) = self.members.get(&member).cloned() else { return };
        if let Some(cluster) = self.clusters.get_mut(&name) {
            cluster.set_room(member, room);
        }
        self.serve(now, &name);
    }

    /// How many requests the member has in hand, or on their way to it: it may leave in good order when none is left.
    pub(crate) fn in_hand(&self, member: MemberId) -> usize {
        let cluster = self.members.get(&member).and_then(|(name, _)| self.clusters.get(name));
        cluster.map_or(0, |cluster| cluster.in_hand(member))
    }

    /// The member is gone. What it had in hand is lost.
    pub(crate) fn leave(&mut self, now: Duration, member: MemberId) {
        if let Some((_, client)) = self.members.get(&member)
            && let Some(client) = self.clients.get_mut(client)
        {
            client.members.remove(&member);
        }
        self.lose_member(now, member);
    }

    pub(super) fn lose_member(&mut self, now: Duration, member: MemberId) {
        let Some((name, _)) = self.members.remove(&member) else { return };
        let Some(cluster) = self.clusters.get_mut(&name) else { return };
        for call in cluster.leave(member) {
            if let Some(request) = self.requests.0.remove(&call)
                && let State::Held { .. } = request.state
            {
                self.finish(&request, Err(Outcome::Failed(Failed::Lost)));
            }
        }
        self.fail_those_that_do_not_wait(&name);
        self.serve(now, &name);
    }

    /// The last member may have gone: requests that were not to wait for one are answered.
    fn fail_those_that_do_not_wait(&mut self, name: &str) {
        if self.clusters.get(name).is_none_or(|cluster| cluster.has_members()) {
            return;
        }
        let impatient = |request: &Request<B>| {
            &*request.cluster == name
                && !request.wait_for_member
                && matches!(request.state, State::Waits { .. })
        };
        let found = self.requests.0.iter().filter(|(_, request)| impatient(request));
        let mut calls: Vec<CallId> = found.map(|(&call, _)| call).collect();
        calls.sort_unstable();
        for call in calls {
            self.end_waiting(call, Failed::NoMember);
        }
    }

    /// The member answers. What nobody waits for only frees its slot.
    pub(crate) fn answer(&mut self, now: Duration, member: MemberId, call: CallId, reply: Reply<B>) {
        let by = |state: &State<B>| match state {
            State::Held { member } | State::Abandoned { member } => Some(*member),
            State::Waits { .. } => None,
        };
        if self.requests.0.get(&call).and_then(|request| by(&request.state)) != Some(member) {
            return;
        }
        let Some(request) = self.requests.0.remove(&call) else { return };
        if let Some(cluster) = self.clusters.get_mut(&request.cluster) {
            cluster.give_back(member, call);
        }
        if let State::Held { .. } = request.state {
            let result = match reply {
                Reply::Ok(body) => Ok(body),
                Reply::Fault(body) => Err(Outcome::Fault(body)),
                Reply::Shed => Err(Outcome::Failed(Failed::Busy)),
                Reply::Expired => Err(Outcome::Failed(Failed::Timeout)),
            };
            self.finish(&request, result);
        }
        self.serve(now, &request.cluster);
    }

    /// A member for a tunnel to the cluster, or nobody.
    pub(crate) fn choose_for_tunnel(&mut self, cluster: &str) -> Option<MemberId> {
        let mut random = self.random;
        let chosen = self.clusters.get(cluster)?.choose_any(|count| pick(&mut random, count));
        self.random = random;
        chosen
    }

    // ---- time

    /// When [`handle_time`](Self::handle_time) has something to do.
    pub(crate) fn next_deadline(&mut self) -> Option<Duration> {
        let requests = &self.requests;
        self.deadlines.next(|call| requests.is_awaited(call))
    }

    /// Requests whose deadline has passed are answered, and their members told.
    pub(crate) fn handle_time(&mut self, now: Duration) {
        while let Some(call) = self.deadlines.expired(now) {
            let Some(request) = self.requests.0.get(&call) else { continue };
            match request.state {
                State::Waits { .. } => self.end_waiting(call, Failed::Timeout),
                State::Held { .. } => {
                    let (client, number) = (request.client, request.number);
                    self.abandon(now, call);
                    self.forget_number(client, number);
                    self.fail(client, number, Failed::Timeout);
                }
                State::Abandoned { .. } => {}
            }
        }
    }

    // ---- steps

    /// Gives waiting requests to members with free slots.
    fn serve(&mut self, now: Duration, name: &str) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let (requests, clients, random) = (&mut self.requests, &mut self.clients, &mut self.random);
        while !cluster.waiting.is_empty() {
            let Some(member) = cluster.choose(|count| pick(random, count)) else { break };
            let Some(call) = cluster.waiting.pop(|call| requests.waits(call)) else { break };
            let Some(request) = requests.0.get_mut(&call) else { continue };
            let State::Waits { body } = std::mem::replace(&mut request.state, State::Held { member }) else {
                continue;
            };
            cluster.take(member, call, request.weight);
            if let Some(client) = clients.get_mut(&request.client) {
                client.waiting_bytes -= request.weight;
            }
            let left = request.deadline.saturating_sub(now);
            self.actions.push_back(Action::Call { member, call, body, left });
        }
        if cluster.is_empty() {
            self.clusters.remove(name);
        }
        let requests = &self.requests;
        self.deadlines.tidy(requests.0.len(), |call| requests.is_awaited(call));
    }

    /// Nobody waits for the request any more.
    fn abandon(&mut self, now: Duration, call: CallId) {
        let Some(request) = self.requests.0.get_mut(&call) else { return };
        let State::Held { member } = request.state else {
            self.withdraw(call);
            return;
        };
        request.state = State::Abandoned { member };
        self.actions.push_back(Action::Cancel { member, call });
        let name = request.cluster.clone();
        self.serve(now, &name);
    }

    fn end_waiting(&mut self, call: CallId, failed: Failed) {
        if let Some(request) = self.withdraw(call) {
            self.finish(&request, Err(Outcome::Failed(failed)));
        }
    }

    /// Takes a request out of its cluster's queue.
    fn withdraw(&mut self, call: CallId) -> Option<Request<B>> {
        let request = self.requests.0.remove(&call)?;
        if let Some(client) = self.clients.get_mut(&request.client) {
            client.waiting_bytes -= request.weight;
        }
        let requests = &self.requests;
        if let Some(cluster) = self.clusters.get_mut(&request.cluster) {
            cluster.waiting.withdraw(request.client, request.weight, |call| requests.waits(call));
            if cluster.is_empty() {
                self.clusters.remove(&request.cluster);
            }
        }
        Some(request)
    }

    fn finish(&mut self, request: &Request<B>, result: Result<B, Outcome<B>>) {
        match &result {
            Ok(_) => self.totals.answered += 1,
            Err(Outcome::Fault(_)) => self.totals.faults += 1,
            Err(Outcome::Failed(failed)) => self.count(*failed),
        }
        self.forget_number(request.client, request.number);
        let (client, number) = (request.client, request.number);
        self.actions.push_back(Action::Answer { client, number, result });
    }

    fn fail(&mut self, client: ClientId, number: u64, failed: Failed) {
        self.count(failed);
        let result = Err(Outcome::Failed(failed));
        self.actions.push_back(Action::Answer { client, number, result });
    }

    fn forget_number(&mut self, client: ClientId, number: u64) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.requests.remove(&number);
        }
    }

    fn count(&mut self, failed: Failed) {
        let totals = &mut self.totals;
        *match failed {
            Failed::Timeout => &mut totals.timeouts,
            Failed::NoMember => &mut totals.no_member,
            Failed::Busy | Failed::Going => &mut totals.busy,
            Failed::Lost => &mut totals.lost,
        } += 1;
    }
}

/// What a member says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply<B> {
    Ok(B),
    /// Its handler failed.
    Fault(B),
    /// It has no room for the request, and has not begun it.
    Shed,
    /// Its clock has ended the request.
    Expired,
}

/// The next number below `count`, by xorshift: good enough to spread load.
fn pick(random: &mut u64, count: usize) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random % count as u64) as usize
}
