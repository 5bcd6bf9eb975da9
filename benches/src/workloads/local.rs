//! Pingpong and stream in one process, without a connection.

use crate::case::{Case, case};
use crate::contenders::local::{async_channel, flume, kanal, pipe, tokio_mpsc};

const CAPACITIES: [usize; 3] = [0, 16, 256];
const PINGS: u64 = 30_000;
const ITEMS: u64 = 100_000;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for cap in CAPACITIES {
        let name = format!("local-pingpong-{cap}");
        cases.push(case!(call, &name, "libchan", PINGS, || pipe::caller(cap)));
        cases.push(case!(call, &name, "tokio", PINGS, || tokio_mpsc::caller(cap)));
        cases.push(case!(call, &name, "flume", PINGS, || flume::caller(cap)));
        cases.push(case!(call, &name, "kanal", PINGS, || kanal::caller(cap)));
        cases.push(case!(call, &name, "async-channel", PINGS, || async_channel::caller(cap)));
    }
    for cap in CAPACITIES {
        let name = format!("local-stream-{cap}");
        cases.push(case!(flow, &name, "libchan", ITEMS, || pipe::stream(cap)));
        cases.push(case!(flow, &name, "tokio", ITEMS, || tokio_mpsc::stream(cap)));
        cases.push(case!(flow, &name, "flume", ITEMS, || flume::stream(cap)));
        cases.push(case!(flow, &name, "kanal", ITEMS, || kanal::stream(cap)));
        cases.push(case!(flow, &name, "async-channel", ITEMS, || async_channel::stream(cap)));
    }
    cases
}
