//! A cluster: its members with their free slots, and the requests that wait for one.

use std::collections::HashMap;

use super::fair::Fair;
use super::{CallId, MemberId};

#[derive(Debug)]
struct Member {
    id: MemberId,
    /// What it takes at the same time.
    room: Room,
    /// What it has in hand with their bytes, requests included that nobody waits for any more.
    in_hand: HashMap<CallId, usize>,
    bytes_in_hand: usize,
    /// Where it stands in `ready`, if it has a free slot.
    ready: Option<usize>,
}

/// What a member takes at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Requests; 0 while it leaves.
    pub(crate) slots: usize,
    /// Bytes: it gets a further request as long as it has fewer in hand.
    pub(crate) bytes: usize,
}

impl Room {
    /// Nothing: a member that is not ready, or that leaves.
    pub(crate) const NONE: Self = Self { slots: 0, bytes: 0 };
}

impl Member {
    /// Its free slots; none where it has bytes enough in hand.
    fn free(&self) -> usize {
        let has_room = self.bytes_in_hand < self.room.bytes;
        if has_room { self.room.slots.saturating_sub(self.in_hand.len()) } else { 0 }
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
    pub(super) fn join(&mut self, id: MemberId, room: Room) {
        let at = self.members.len();
        self.members.push(Member { id, room, in_hand: HashMap::new(), bytes_in_hand: 0, ready: None });
        self.by_id.insert(id, at);
        self.settle(at);
    }

    /// The member leaves; returns what it has in hand, in the order of asking.
    pub(super) fn leave(&mut self, id: MemberId) -> Vec<CallId> {
        let Some(at) = self.by_id.remove(&id) else { return Vec::new() };
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
        let mut in_hand: Vec<_> = gone.in_hand.into_keys().collect();
        in_hand.sort_unstable();
        in_hand
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

    pub(super) fn set_room(&mut self, id: MemberId, room: Room) {
        if let Some(&at) = self.by_id.get(&id) {
            self.members[at].room = room;
            self.settle(at);
        }
    }

    pub(super) fn in_hand(&self, id: MemberId) -> usize {
        self.by_id.get(&id).map_or(0, |&at| self.members[at].in_hand.len())
    }

    /// Slots of all members, and the requests in their hands.
    pub(super) fn load(&self) -> (usize, usize) {
        let add = |(slots, in_hand): (usize, usize), member: &Member| {
            (slots.saturating_add(member.room.slots), in_hand + member.in_hand.len())
        };
        self.members.iter().fold((0, 0), add)
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
            let staying: Vec<_> = self.members.iter().filter(|member| member.room.slots > 0).collect();
            if staying.is_empty() { None } else { Some(staying[random(staying.len())].id) }
        })
    }

    pub(super) fn take(&mut self, id: MemberId, call: CallId, bytes: usize) {
        if let Some(&at) = self.by_id.get(&id) {
            let member = &mut self.members[at];
            member.in_hand.insert(call, bytes);
            member.bytes_in_hand += bytes;
            self.settle(at);
        }
    }

    /// The member is over with the request.
    pub(super) fn give_back(&mut self, id: MemberId, call: CallId) {
        if let Some(&at) = self.by_id.get(&id) {
            let member = &mut self.members[at];
            member.bytes_in_hand -= member.in_hand.remove(&call).unwrap_or(0);
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
