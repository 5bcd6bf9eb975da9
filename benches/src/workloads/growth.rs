//! A message while 1 to 100,000 channels are open on one connection, 64 messages on their way: all on one channel, and
//! each on another channel. The second touches memory that was not touched for as many messages as there are channels;
//! what it costs more than the first is the processor's caches.

use crate::case::{Case, Plan, case};
use crate::contenders::libchan::{Walk, growth};
use crate::net::Transport;

const OPERATIONS: u64 = 20_000;

pub fn cases(on: Transport, plan: Plan) -> Vec<Case> {
    let mut cases = Vec::new();
    for &count in plan.size(&[1, 100, 10_000, 100_000][..], &[1, 100, 10_000]) {
        let one = format!("libchan, one of {count}");
        cases.push(case!(flow, "growth", &one, OPERATIONS, || growth(on, count, Walk::Stay)));
        if count > 1 {
            let all = format!("libchan, all of {count}");
            cases.push(case!(flow, "growth", &all, OPERATIONS, || growth(on, count, Walk::Round)));
        }
    }
    cases
}
