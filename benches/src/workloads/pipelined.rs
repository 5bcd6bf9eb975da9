//! The same with 256 requests in flight over one connection: libchan on 256 pairs of channels, raw on a map of
//! requests.

use super::case;
use crate::contenders::{libchan, map};
use crate::measure::Case;
use crate::net::Transport;
use crate::payload::{Msgpack, Plain};

const IN_FLIGHT: usize = 256;
const OPERATIONS: u64 = 400_000;

pub fn cases(on: Transport) -> Vec<Case> {
    let (name, place, many) = ("pipelined", Some(on.name()), OPERATIONS);
    vec![
        case!(calls, name, "raw", place, many, || map::callers::<Plain>(on, IN_FLIGHT)),
        case!(calls, name, "raw+c", place, many, || map::callers::<Msgpack>(on, IN_FLIGHT)),
        case!(calls, name, "libchan", place, many, || libchan::pairs(on, IN_FLIGHT)),
    ]
}
