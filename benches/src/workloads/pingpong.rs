//! A request and its reply on two long-lived channels, one at a time.

use crate::case::{Case, case};
use crate::contenders::{libchan, queued, raw};
use crate::net::Transport;
use crate::payload::{Msgpack, Plain};

const OPERATIONS: u64 = 4_000;

pub fn cases(on: Transport) -> Vec<Case> {
    let (name, many) = ("pingpong", OPERATIONS);
    let mut cases = vec![
        case!(call, name, "raw", many, || raw::caller::<Plain>(on)),
        case!(call, name, "raw+c", many, || raw::caller::<Msgpack>(on)),
        case!(call, name, "raw-q", many, || queued::caller::<Plain>(on, 256)),
        case!(call, name, "raw-q+c", many, || queued::caller::<Msgpack>(on, 256)),
    ];
    for (contender, way) in libchan::ways(on) {
        cases.push(case!(calls, name, contender, many, || libchan::pairs(way, 1)));
    }
    cases
}
