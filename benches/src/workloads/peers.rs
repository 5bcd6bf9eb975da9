//! What the other libraries take part in.

use super::idle::{COMPARED, idle};
use super::{bulk, many};
use crate::case::{Case, Plan, Sample, Threads, case};
use crate::contenders::peers::{capnp, ipc, remoc, tarpc, tonic, yamux};
use crate::net::Transport;
use crate::payload::{Item, SMALL};

/// Of the first run: many of these are ten times slower than libchan.
const FEW: u64 = 1_000;
const SOME: u64 = 10_000;

pub fn cases(on: Transport, threads: Threads, plan: Plan) -> Vec<Case> {
    let mut cases = calls(on);
    cases.extend(nested(on));
    cases.extend(streams(on));
    cases.extend(many_connections(on, plan));
    if threads == Threads::One {
        cases.extend(one_thread(on, plan));
    }
    if threads == Threads::One && on != Transport::Memory {
        cases.extend(idle_channels(on));
    }
    if threads == Threads::Two && on == Transport::Unix {
        cases.extend(blocking());
    }
    cases
}

fn calls(on: Transport) -> Vec<Case> {
    vec![
        case!(calls, "pingpong", "remoc", FEW, || remoc::pairs(on, 1)),
        case!(calls, "pingpong", "tarpc", FEW, || tarpc::callers(on, 1)),
        case!(calls, "pingpong", "tonic", FEW, || tonic::callers(on, 1)),
        case!(calls, "pingpong", "tonic stream", FEW, || tonic::streams(on, 1)),
        case!(calls, "pingpong", "yamux", FEW, || yamux::callers(on, 1)),
        case!(calls, "pipelined", "remoc", SOME, || remoc::pairs(on, 256)),
        case!(calls, "pipelined", "tarpc", SOME, || tarpc::callers(on, 256)),
        case!(calls, "pipelined", "tonic", SOME, || tonic::callers(on, 256)),
        case!(calls, "pipelined", "tonic stream", SOME, || tonic::streams(on, 256)),
        case!(calls, "pipelined", "yamux", SOME, || yamux::callers(on, 256)),
    ]
}

fn nested(on: Transport) -> Vec<Case> {
    let mut cases = Vec::new();
    for flight in [1, 64] {
        let name = format!("nested-{flight}");
        cases.push(case!(calls, &name, "remoc", FEW, || remoc::nested(on, flight)));
        // A call of its own is what comes next to a reply channel of its own.
        cases.push(case!(calls, &name, "tonic", FEW, || tonic::callers(on, flight)));
        cases.push(case!(calls, &name, "yamux", FEW, || yamux::nested(on, flight)));
    }
    cases
}

fn streams(on: Transport) -> Vec<Case> {
    let mut cases = vec![
        case!(flow, "stream-256", "remoc", SOME, || remoc::stream(on, Item::small())),
        case!(flow, "stream-256", "tonic stream", SOME, || tonic::stream(on, 256, Item::small())),
        case!(flow, "stream-256", "yamux", SOME, || yamux::stream(on, SMALL)),
    ];
    for (name, size, many) in bulk::SIZES {
        let many = many / 4;
        let body = move || Item::bulk(size);
        cases.extend([
            case!(flow, name, "remoc", many, || remoc::stream(on, body())).bytes(size),
            case!(flow, name, "remoc bytes", many, || remoc::bytes(on, size)).bytes(size),
            case!(flow, name, "tonic stream", many, || tonic::stream(on, 16, body())).bytes(size),
            case!(flow, name, "yamux", many, || yamux::stream(on, size)).bytes(size),
        ]);
    }
    cases
}

fn many_connections(on: Transport, plan: Plan) -> Vec<Case> {
    let count = many::connections(plan);
    let (name, first) = (format!("many-{count}"), many::OPERATIONS / 4);
    vec![
        case!(calls, &name, "remoc", first, || remoc::many(on, count)),
        case!(calls, &name, "tarpc", first, || tarpc::many(on, count)),
        case!(calls, &name, "tonic", first, || tonic::many(on, count)),
        case!(calls, &name, "tonic stream", first, || tonic::many_streams(on, count)),
        case!(calls, &name, "yamux", first, || yamux::many(on, count)),
    ]
}

/// A case of capnp-rpc, which cannot leave its thread.
macro_rules! local {
    ($workload:expr, $operations:expr, |$n:ident| $run:expr) => {
        case!($workload, "capnp-rpc", $operations, |_n| async { Sample::default() })
            .locally(move |$n| Box::pin($run))
    };
}

fn one_thread(on: Transport, plan: Plan) -> Vec<Case> {
    let connections = many::connections(plan);
    let mut cases = vec![
        local!("pingpong", FEW, |n| capnp::callers(on, 1, n)),
        local!("pipelined", SOME, |n| capnp::callers(on, 256, n)),
        local!("nested-1", FEW, |n| capnp::nested(on, 1, n)),
        local!("nested-64", FEW, |n| capnp::nested(on, 64, n)),
        local!("stream-256", SOME, |n| capnp::stream(on, Item::small(), n)),
        local!(format!("many-{connections}"), FEW, |n| capnp::many(on, connections, n)),
    ];
    for (name, size, many) in bulk::SIZES {
        cases.push(local!(name, many / 4, |n| capnp::stream(on, Item::bulk(size), n)).bytes(size));
    }
    cases
}

fn idle_channels(on: Transport) -> Vec<Case> {
    let (name, count) = (format!("idle-{COMPARED}"), COMPARED);
    vec![
        idle!(&name, "remoc", count, || remoc::idle(on, count)),
        idle!(&name, "tonic stream", count, || tonic::idle(on, count)),
        idle!(&name, "yamux", count, || yamux::idle(on, count)),
        local!(&name, count as u64, |n| capnp::idle(on, n)).facts(3),
    ]
}

/// ipc-channel blocks, so each of its ends has a thread.
fn blocking() -> Vec<Case> {
    let mut cases = vec![
        case!("pingpong", "ipc-channel", FEW, |n| ipc::pingpong(n)),
        case!("nested-1", "ipc-channel", FEW, |n| ipc::nested(n)),
        case!("stream-256", "ipc-channel", SOME, |n| ipc::stream(n, Item::small())),
    ];
    for (name, size, many) in bulk::SIZES {
        cases.push(case!(name, "ipc-channel", many / 4, |n| ipc::stream(n, Item::bulk(size))).bytes(size));
    }
    cases
}
