//! A request and its reply on each of many connections, one at a time on each, all connections at once.

use crate::case::{Case, Plan, case};
use crate::contenders::{libchan, raw};
use crate::net::Transport;
use crate::payload::{Msgpack, Plain};

/// How many connections.
pub fn connections(plan: Plan) -> usize {
    plan.size(1_000, 200)
}

/// Of the first run; a run has at least one operation a connection besides its warm-up.
pub const OPERATIONS: u64 = 10_000;

pub fn cases(on: Transport, plan: Plan) -> Vec<Case> {
    let (name, count) = (format!("many-{}", connections(plan)), connections(plan));
    let mut cases = vec![
        case!(calls, &name, "raw", OPERATIONS, || raw::many::<Plain>(on, count)),
        case!(calls, &name, "raw+c", OPERATIONS, || raw::many::<Msgpack>(on, count)),
    ];
    for (contender, way) in libchan::ways(on) {
        cases.push(case!(calls, &name, contender, OPERATIONS, || libchan::many(way, count)));
    }
    cases
}
