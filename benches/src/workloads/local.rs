//! Pingpong and stream in one process, without a connection.

use super::case;
use crate::contenders::local::{async_channel, flume, kanal, pipe, tokio_mpsc};
use crate::measure::Case;

const CAPACITIES: [usize; 3] = [0, 16, 256];
const PINGS: u64 = 300_000;
const ITEMS: u64 = 1_000_000;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for cap in CAPACITIES {
        let name = format!("local-pingpong-{cap}");
        cases.push(case!(call, &name, "libchan", None, PINGS, || pipe::caller(cap)));
        cases.push(case!(call, &name, "tokio", None, PINGS, || tokio_mpsc::caller(cap)));
        cases.push(case!(call, &name, "flume", None, PINGS, || flume::caller(cap)));
        cases.push(case!(call, &name, "kanal", None, PINGS, || kanal::caller(cap)));
        cases.push(case!(call, &name, "async-channel", None, PINGS, || async_channel::caller(cap)));
    }
    for cap in CAPACITIES {
        let name = format!("local-stream-{cap}");
        cases.push(case!(flow, &name, "libchan", None, ITEMS, || pipe::stream(cap)));
        cases.push(case!(flow, &name, "tokio", None, ITEMS, || tokio_mpsc::stream(cap)));
        cases.push(case!(flow, &name, "flume", None, ITEMS, || flume::stream(cap)));
        cases.push(case!(flow, &name, "kanal", None, ITEMS, || kanal::stream(cap)));
        cases.push(case!(flow, &name, "async-channel", None, ITEMS, || async_channel::stream(cap)));
    }
    cases
}
