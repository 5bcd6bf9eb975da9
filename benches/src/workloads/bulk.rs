//! A stream of large bodies.

use crate::case::{Case, case};
use crate::contenders::{libchan, raw};
use crate::net::Transport;

/// Name, bytes of body, operations.
pub const SIZES: [(&str, usize, u64); 2] = [("bulk-64k", 64 * 1024, 1_000), ("bulk-1m", 1024 * 1024, 80)];

pub fn cases(on: Transport) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, size, many) in SIZES {
        cases.push(case!(flow, name, "raw", many, || raw::bulk(on, size)));
        cases.push(case!(flow, name, "raw+c", many, || raw::bulk_coded(on, size)));
        for (contender, way) in libchan::ways(on) {
            let [uncopied, bytes] = ["uncopied", "bytes"].map(|what| format!("{contender} {what}"));
            cases.push(case!(flow, name, contender, many, || libchan::bulk(way, size)));
            cases.push(case!(flow, name, uncopied, many, || libchan::uncopied(way, size)));
            cases.push(case!(flow, name, bytes, many, || libchan::bytes(way, size)));
        }
        cases.iter_mut().filter(|case| case.workload == name).for_each(|case| case.bytes = size as u64);
    }
    cases
}
