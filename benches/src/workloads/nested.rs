//! A message that carries a fresh reply channel, which is used once: one at a time and 64 in flight. Raw is the map
//! of requests.

use super::case;
use crate::contenders::{libchan, map};
use crate::measure::Case;
use crate::net::Transport;
use crate::payload::{Msgpack, Plain};

/// In flight, and operations.
const SIZES: [(usize, u64); 2] = [(1, 40_000), (64, 300_000)];

pub fn cases(on: Transport) -> Vec<Case> {
    let mut cases = Vec::new();
    for (flight, many) in SIZES {
        let (name, place) = (format!("nested-{flight}"), Some(on.name()));
        cases.push(case!(calls, &name, "raw", place, many, || map::callers::<Plain>(on, flight)));
        cases.push(case!(calls, &name, "raw+c", place, many, || map::callers::<Msgpack>(on, flight)));
        cases.push(case!(calls, &name, "libchan", place, many, || libchan::nested(on, flight)));
    }
    cases
}
