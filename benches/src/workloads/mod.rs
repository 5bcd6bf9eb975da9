//! The workloads. Each file says what one operation is and who takes part; here they are put in order.

mod bulk;
mod carriers;
mod compile;
mod descriptors;
mod fairness;
mod growth;
mod idle;
mod local;
mod many;
mod nested;
#[cfg(feature = "peers")]
mod peers;
mod pingpong;
mod pipelined;
pub mod sessions;
mod stream;

use crate::case::{Case, Plan, Threads};
use crate::net::Transport;

pub const NAMES: &str = "pingpong pipelined nested-1 nested-64 stream-16 stream-64 stream-256 stream-1024 bulk-64k \
bulk-1m many descriptors idle fairness growth sessions local-pingpong local-stream local-idle carriers compile";

/// Every case, those that are compared next to each other.
pub fn all(transports: &[Transport], threads: &[Threads], plan: Plan) -> Vec<Case> {
    let mut cases = Vec::new();
    for &threads in threads {
        for &transport in transports {
            let mut here = remote(transport, threads, plan);
            here.iter_mut().for_each(|case| case.transport = Some(transport));
            add(&mut cases, here, threads);
        }
        add(&mut cases, in_process(threads, plan), threads);
    }
    cases
}

/// Peers come last in their group, so groups have to be put together.
fn add(cases: &mut Vec<Case>, mut group: Vec<Case>, threads: Threads) {
    let mut order: Vec<String> = Vec::new();
    for case in &mut group {
        case.threads = threads;
        if !order.contains(&case.workload) {
            order.push(case.workload.clone());
        }
    }
    group.sort_by_key(|case| order.iter().position(|name| *name == case.workload));
    cases.extend(group);
}

fn remote(on: Transport, threads: Threads, plan: Plan) -> Vec<Case> {
    let mut cases = pipelined::cases(on);
    cases.extend(nested::cases(on));
    // The third way of placing threads tells what sharing a core does to many requests at once, and no more.
    if threads == Threads::TwoOnOneCore {
        return cases;
    }
    cases.extend(pingpong::cases(on));
    cases.extend(stream::cases(on));
    cases.extend(bulk::cases(on));
    cases.extend(many::cases(on, plan));
    if on == Transport::Unix {
        cases.extend(descriptors::cases());
    }
    // What a session holds and how it shares its link is asked where there is a link to another process.
    if on != Transport::Memory {
        cases.extend(fairness::cases(on, plan));
    }
    if on != Transport::Memory && threads == Threads::One {
        cases.extend(idle::cases(on, plan));
        cases.extend(growth::cases(on, plan));
        cases.extend(sessions::cases(on, plan));
    }
    #[cfg(feature = "peers")]
    cases.extend(peers::cases(on, threads, plan));
    cases
}

fn in_process(threads: Threads, plan: Plan) -> Vec<Case> {
    if threads == Threads::TwoOnOneCore {
        return Vec::new();
    }
    let mut cases = local::cases();
    if threads == Threads::One {
        cases.extend(idle::local());
        cases.extend(carriers::cases());
        cases.extend(compile::cases(plan));
    }
    cases
}
