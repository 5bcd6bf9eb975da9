//! A request and its reply on two long-lived channels, one at a time.

use super::case;
use crate::contenders::{libchan, queued, raw};
use crate::measure::Case;
use crate::net::Transport;
use crate::payload::{Msgpack, Plain};

const OPERATIONS: u64 = 40_000;

pub fn cases(on: Transport) -> Vec<Case> {
    let (name, place, many) = ("pingpong", Some(on.name()), OPERATIONS);
    vec![
        case!(call, name, "raw", place, many, || raw::caller::<Plain>(on)),
        case!(call, name, "raw+c", place, many, || raw::caller::<Msgpack>(on)),
        case!(call, name, "raw-q", place, many, || queued::caller::<Plain>(on, 256)),
        case!(call, name, "raw-q+c", place, many, || queued::caller::<Msgpack>(on, 256)),
        case!(calls, name, "libchan", place, many, || libchan::pairs(on, 1)),
    ]
}
