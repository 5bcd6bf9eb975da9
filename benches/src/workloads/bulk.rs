//! A stream of large bodies.

use super::case;
use crate::contenders::{libchan, raw};
use crate::measure::Case;
use crate::net::Transport;
use crate::payload::Item;

/// Name, bytes of body, operations.
const SIZES: [(&str, usize, u64); 2] = [("bulk-64k", 64 * 1024, 8_000), ("bulk-1m", 1024 * 1024, 600)];

pub fn cases(on: Transport) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, size, many) in SIZES {
        let place = Some(on.name());
        cases.push(case!(flow, name, "raw", place, many, || raw::bulk(on, size)));
        cases.push(case!(flow, name, "raw+c", place, many, || raw::bulk_coded(on, size)));
        let make = move || libchan::stream(on, 64, Item::bulk(size));
        cases.push(case!(flow, name, "libchan", place, many, || make()));
        cases.iter_mut().filter(|case| case.workload == name).for_each(|case| case.bytes = size as u64);
    }
    cases
}
