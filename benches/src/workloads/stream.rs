//! One typed message in one direction, at several capacities. Raw has none and batches 16 KiB.

use crate::case::{Case, case};
use crate::contenders::{libchan, queued, raw};
use crate::net::Transport;
use crate::payload::{Item, Msgpack, Plain};

const CAPACITIES: [usize; 4] = [256, 16, 64, 1024];
const OPERATIONS: u64 = 80_000;

pub fn cases(on: Transport) -> Vec<Case> {
    let mut cases = Vec::new();
    for capacity in CAPACITIES {
        let (name, many) = (format!("stream-{capacity}"), OPERATIONS);
        cases.push(case!(flow, &name, "raw", many, || raw::stream::<Plain>(on)));
        cases.push(case!(flow, &name, "raw+c", many, || raw::stream::<Msgpack>(on)));
        cases.push(case!(flow, &name, "raw-q", many, || queued::stream::<Plain>(on, capacity)));
        cases.push(case!(flow, &name, "raw-q+c", many, || queued::stream::<Msgpack>(on, capacity)));
        for (contender, way) in libchan::ways(on) {
            let make = move || libchan::stream(way, capacity, Item::small());
            cases.push(case!(flow, &name, contender, many, || make()));
        }
    }
    cases
}
