//! What waits in a cluster: a lane for each client, served in turns by bytes (deficit round robin), so that a client that
//! floods delays its own requests and nobody else's.

use std::collections::{HashMap, VecDeque};

use super::{CallId, ClientId};

/// Bytes of a client's turn.
const TURN: i64 = 16 * 1024;
/// What a request costs beside its body, so that empty ones count too.
const FIXED: i64 = 256;

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<(CallId, usize)>,
    /// Of those in `waiting`: the requests that nobody has withdrawn.
    live: usize,
    /// Bytes that it may still have served before others have their turn. Below 0 after a large request.
    left: i64,
}

/// The lanes of one cluster.
#[derive(Debug, Default)]
pub(super) struct Fair {
    lanes: HashMap<ClientId, Lane>,
    /// Clients with something in their lane; the first has the turn.
    turns: VecDeque<ClientId>,
    live: usize,
    bytes: usize,
}

impl Fair {
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many requests wait.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Bytes of the bodies that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, client: ClientId, call: CallId, weight: usize) {
        let lane = self.lanes.entry(client).or_default();
        if lane.waiting.is_empty() {
            self.turns.push_back(client);
        }
        lane.waiting.push_back((call, weight));
        lane.live += 1;
        self.live += 1;
        self.bytes += weight;
    }

    /// A request waits no longer, for another reason than its turn. `is_live` says which ones do.
    pub(super) fn withdraw(&mut self, client: ClientId, weight: usize, is_live: impl Fn(CallId) -> bool) {
        let Some(lane) = self.lanes.get_mut(&client) else { return };
        lane.live = lane.live.saturating_sub(1);
        self.live = self.live.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(weight);
        // A client that asks and cancels all the time would fill the lane while nobody serves it.
        if lane.waiting.len() > 2 * lane.live + 16 {
            lane.waiting.retain(|&(call, _)| is_live(call));
        }
        if lane.live == 0 {
            self.lanes.remove(&client);
            self.turns.retain(|&other| other != client);
        }
    }

    /// The next request. `is_live` says which of those in the lanes were not withdrawn.
    pub(super) fn pop(&mut self, is_live: impl Fn(CallId) -> bool) -> Option<CallId> {
        loop {
            let client = *self.turns.front()?;
            let alone = self.turns.len() == 1;
            let Some(lane) = self.lanes.get_mut(&client) else {
                self.turns.pop_front();
                continue;
            };
            if lane.left <= 0 && !alone {
                lane.left += TURN;
                self.turns.rotate_left(1);
                continue;
            }
            let Some((call, weight)) = lane.waiting.pop_front() else {
                self.lanes.remove(&client);
                self.turns.pop_front();
                continue;
            };
            let live = is_live(call);
            if live {
                lane.left = if alone { 0 } else { lane.left - FIXED - weight as i64 };
                lane.live -= 1;
                self.live -= 1;
                self.bytes -= weight;
            }
            if lane.waiting.is_empty() {
                self.lanes.remove(&client);
                self.turns.pop_front();
            }
            if live {
                return Some(call);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(fair: &mut Fair, count: usize) -> Vec<u64> {
        (0..count).map_while(|_| fair.pop(|_| true)).map(|call| call.0).collect()
    }

    #[test]
    fn a_flood_does_not_delay_a_polite_client() {
        let mut fair = Fair::default();
        for call in 0..1000 {
            fair.push(ClientId(1), CallId(call), 1000);
        }
        fair.push(ClientId(2), CallId(5000), 1000);
        let first = served(&mut fair, 20);
        assert!(first.contains(&5000), "the polite one waits for one turn: {first:?}");
        assert_eq!((fair.live, fair.bytes()), (981, 981_000));
    }

    #[test]
    fn turns_go_by_bytes() {
        let mut fair = Fair::default();
        for call in 0..100 {
            fair.push(ClientId(1), CallId(call), 100_000);
            fair.push(ClientId(2), CallId(1000 + call), 1000);
        }
        let first = served(&mut fair, 50);
        let large = first.iter().filter(|&&call| call < 1000).count();
        assert!((1..=2).contains(&large), "one large one for about eighty small ones: {large}");
    }

    #[test]
    fn a_client_keeps_its_own_order_and_withdrawn_requests_are_skipped() {
        let mut fair = Fair::default();
        for call in 0..10 {
            fair.push(ClientId(1), CallId(call), 1);
        }
        fair.withdraw(ClientId(1), 1, |_| true);
        let order: Vec<u64> =
            std::iter::from_fn(|| fair.pop(|call| call.0 != 3)).map(|call| call.0).collect();
        assert_eq!(order, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        assert!(fair.is_empty() && fair.bytes() == 0);
    }

    #[test]
    fn asking_and_cancelling_takes_no_memory() {
        let mut fair = Fair::default();
        fair.push(ClientId(1), CallId(0), 1);
        for call in 1..10_000 {
            fair.push(ClientId(1), CallId(call), 1);
            fair.withdraw(ClientId(1), 1, |live| live.0 == 0);
        }
        let lane = &fair.lanes[&ClientId(1)];
        assert_eq!((lane.live, fair.bytes()), (1, 1));
        assert!(lane.waiting.len() < 32);
    }
}
