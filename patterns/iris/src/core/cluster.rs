//! A cluster: its members with their free slots, and the requests that wait for one.

use std::collections::{HashMap, HashSet};

use super::fair::Fair;
use super::{CallId, MemberId};

#[derive(Debug)]
struct Member {
    id: MemberId,
    /// Requests that it takes at the same time; 0 while it leaves.
    slots: usize,
    /// What it has in hand, requests included that nobody waits for any more.
    in_hand: HashSet<CallId>,
    /// Where it stands in `ready`, if it has a free slot.
    ready: Option<usize>,
}

impl Member {
    fn free(&self) -> usize {
        self.slots.saturating_sub(self.in_hand.len())
    }
}

#[derive(Debug, Default)]
pub(super) struct Cluster {
    members: Vec<Member>,
    by_id: HashMap<MemberId, usize>,
    /// Indexes of the members with a free slot, in no order.
    ready: Vec<usize>,
    pub(super) waiting: Fair,
}

impl Cluster {
    pub(super) fn join(&mut self, id: MemberId, slots: usize) {
        let at = self.members.len();
        self.members.push(Member { id, slots, in_hand: HashSet::new(), ready: None });
        self.by_id.insert(id, at);
        self.settle(at);
    }

    /// The member leaves; returns what it has in hand.
    pub(super) fn leave(&mut self, id: MemberId) -> HashSet<CallId> {
        let Some(at) = self.by_id.remove(&id) else { return HashSet::new() };
        self.unready(at);
        let last = self.members.len() - 1;
        let gone = self.members.swap_remove(at);
        if at != last {
            // The last member has moved into the gap.
            let moved = &self.members[at];
            self.by_id.insert(moved.id, at);
            if let Some(place) = moved.ready {
                self.ready[place] = at;
            }
        }
        gone.in_hand
    }

    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().map(|member| member.id)
    }

    pub(super) fn set_slots(&mut self, id: MemberId, slots: usize) {
        if let Some(&at) = self.by_id.get(&id) {
            self.members[at].slots = slots;
            self.settle(at);
        }
    }

    pub(super) fn in_hand(&self, id: MemberId) -> usize {
        self.by_id.get(&id).map_or(0, |&at| self.members[at].in_hand.len())
    }

    /// The member that gets the next request: the freer one of two. `random` picks the two.
    pub(super) fn choose(&self, mut random: impl FnMut(usize) -> usize) -> Option<MemberId> {
        let count = self.ready.len();
        let one = *self.ready.get(if count > 1 { random(count) } else { 0 })?;
        let other = if count > 1 { self.ready[random(count)] } else { one };
        let (one, other) = (&self.members[one], &self.members[other]);
        Some(if other.free() > one.free() { other.id } else { one.id })
    }

    /// The member for a tunnel, which takes no slot: any that does not leave.
    pub(super) fn choose_any(&self, mut random: impl FnMut(usize) -> usize) -> Option<MemberId> {
        self.choose(&mut random).or_else(|| {
            let staying: Vec<_> = self.members.iter().filter(|member| member.slots > 0).collect();
            if staying.is_empty() { None } else { Some(staying[random(staying.len())].id) }
        })
    }

    pub(super) fn take(&mut self, id: MemberId, call: CallId) {
        if let Some(&at) = self.by_id.get(&id) {
            self.members[at].in_hand.insert(call);
            self.settle(at);
        }
    }

    /// The member is over with the request.
    pub(super) fn give_back(&mut self, id: MemberId, call: CallId) {
        if let Some(&at) = self.by_id.get(&id) {
            self.members[at].in_hand.remove(&call);
            self.settle(at);
        }
    }

    /// Puts the member into `ready`, or out of it.
    fn settle(&mut self, at: usize) {
        let member = &mut self.members[at];
        match (member.free() > 0, member.ready) {
            (true, None) => {
                member.ready = Some(self.ready.len());
                self.ready.push(at);
            }
            (false, Some(_)) => self.unready(at),
            _ => {}
        }
    }

    fn unready(&mut self, at: usize) {
        let Some(place) = self.members[at].ready.take() else { return };
        self.ready.swap_remove(place);
        if let Some(&moved) = self.ready.get(place) {
            self.members[moved].ready = Some(place);
        }
    }
}
