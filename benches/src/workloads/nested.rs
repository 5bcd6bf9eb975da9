//! A message that carries a fresh reply channel, which is used once: one at a time and 64 in flight. Raw is the map
//! of requests.

use crate::case::{Case, case};
use crate::contenders::{libchan, map};
use crate::net::Transport;
use crate::payload::{Msgpack, Plain};

/// In flight, and operations.
const SIZES: [(usize, u64); 2] = [(1, 4_000), (64, 30_000)];

pub fn cases(on: Transport) -> Vec<Case> {
    let mut cases = Vec::new();
    for (flight, many) in SIZES {
        let name = format!("nested-{flight}");
        cases.push(case!(calls, &name, "raw", many, || map::callers::<Plain>(on, flight)));
        cases.push(case!(calls, &name, "raw+c", many, || map::callers::<Msgpack>(on, flight)));
        for (contender, way) in libchan::ways(on) {
            cases.push(case!(calls, &name, contender, many, || libchan::nested(way, flight)));
        }
    }
    cases
}
