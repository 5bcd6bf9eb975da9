//! When requests expire: one heap for all of them, and no timer for each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::CallId;

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Duration, CallId)>>,
}

impl Deadlines {
    pub(super) fn add(&mut self, at: Duration, call: CallId) {
        self.heap.push(Reverse((at, call)));
    }

    /// The next deadline of a request that is still under way. The heap forgets those that are not.
    pub(super) fn next(&mut self, is_live: impl Fn(CallId) -> bool) -> Option<Duration> {
        while let Some(&Reverse((at, call))) = self.heap.peek() {
            if is_live(call) {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// A request whose deadline has passed.
    pub(super) fn expired(&mut self, now: Duration) -> Option<CallId> {
        let &Reverse((at, call)) = self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some(call)
    }

    /// Requests mostly end long before their deadline: forgets the ended ones when they are the larger part.
    pub(super) fn tidy(&mut self, live: usize, is_live: impl Fn(CallId) -> bool) {
        if self.heap.len() > 2 * live + 1024 {
            self.heap.retain(|&Reverse((_, call))| is_live(call));
        }
    }
}
