//! Rust, Python and JavaScript with each other: every pair that shares a carrier, in both roles, and channels, streams and
//! descriptors through all three. The cases are those of `libchan conform interop`.
//!
//! `tests/setup-peers.sh` installs the ports as their users would, into `target/peers`.
#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;

const PYTHON: &str = "target/peers/python/bin/python -m libchan.testee";
const JAVASCRIPT: &str = "node target/peers/javascript/node_modules/libchan/testee.js";

/// Runs these cases of the matrix over a carrier, from the top of the workspace.
fn interop(carrier: &str, cases: &[&str]) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for peer in ["target/peers/python", "target/peers/javascript"] {
        assert!(workspace.join(peer).is_dir(), "{peer} is missing: run tests/setup-peers.sh");
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["run", "--locked", "--quiet", "-p", "libchan-cli", "--", "conform", "interop"])
        .args(["--a", "rust", "--b", PYTHON, "--c", JAVASCRIPT, "--timeout", "60", "--verbose"])
        .args(["--carrier", carrier])
        .args(cases.iter().flat_map(|case| ["--filter", case]))
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains(" passed"), "{said}{errors}");
}

#[test]
#[ignore = "needs python, node"]
fn every_pair_over_tcp_and_through_all_three() {
    interop("tcp", &["li."]);
}

#[test]
#[ignore = "needs python, node"]
fn every_pair_over_unix_and_through_all_three() {
    interop("unix", &["li."]);
}

#[test]
#[ignore = "needs python, node"]
fn ends_streams_and_errors_over_tls_and_websocket() {
    for carrier in ["tls", "websocket"] {
        interop(carrier, &["li.nested", "li.stream", "li.end", "li.leave", "li.lost", "li.chain"]);
    }
}
