//! The same with 256 requests in flight over one connection: libchan on 256 pairs of channels, raw on a map of
//! requests.

use crate::case::{Case, case};
use crate::contenders::{libchan, map};
use crate::net::Transport;
use crate::payload::{Msgpack, Plain};

const IN_FLIGHT: usize = 256;
const OPERATIONS: u64 = 40_000;

pub fn cases(on: Transport) -> Vec<Case> {
    let (name, many) = ("pipelined", OPERATIONS);
    let mut cases = vec![
        case!(calls, name, "raw", many, || map::callers::<Plain>(on, IN_FLIGHT)),
        case!(calls, name, "raw+c", many, || map::callers::<Msgpack>(on, IN_FLIGHT)),
    ];
    for (contender, way) in libchan::ways(on) {
        cases.push(case!(calls, name, contender, many, || libchan::pairs(way, IN_FLIGHT)));
    }
    cases
}
