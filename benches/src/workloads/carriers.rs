//! libchan over each carrier beside its own tcp, and large bodies over tls beside a raw rustls stream.

use crate::case::{Case, case};
use crate::contenders::{libchan, raw_tls};
use crate::workloads::bulk::SIZES;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (carrier, url) in libchan::CARRIERS {
        cases.push(case!(calls, "carriers-pingpong", carrier, 4_000, || libchan::pairs_by(url, 1)));
        cases.push(case!(calls, "carriers-pipelined", carrier, 40_000, || libchan::pairs_by(url, 256)));
        cases.push(case!(flow, "carriers-stream-256", carrier, 80_000, || libchan::stream_by(url, 256)));
    }
    for (name, size, many) in SIZES {
        let workload = format!("carriers-{name}");
        let from = cases.len();
        cases.push(case!(flow, &workload, "raw tls", many, || raw_tls::bulk(size)));
        for (carrier, url) in libchan::CARRIERS {
            cases.push(case!(flow, &workload, carrier, many, || libchan::bulk_by(url, size)));
            let bytes = format!("{carrier} bytes");
            cases.push(case!(flow, &workload, bytes, many, || libchan::bytes_by(url, size)));
        }
        cases[from..].iter_mut().for_each(|case| case.bytes = size as u64);
    }
    cases
}
