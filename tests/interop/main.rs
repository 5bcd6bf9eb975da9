//! The ports by themselves, and Rust, Python and JavaScript with each other: every pair that shares a carrier, in both roles,
//! and channels, streams and descriptors through all three; then Rust of today with Rust of the baseline. The cases are those of `libchan conform`.
//!
//! `tests/setup-peers.sh` installs the ports as their users would, into `target/peers`.
#![allow(missing_docs)]

mod baseline;

use std::path::{Path, PathBuf};
use std::process::Command;

const PYTHON: &str = "target/peers/python/bin/python -m libchan.testee";
const JAVASCRIPT: &str = "node target/peers/javascript/node_modules/libchan/testee.js";

/// The top of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The program that runs these tests, or the one on the `PATH`.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs `libchan conform` from the top of the workspace. Its exit code says whether all that was claimed passed.
fn conform(arguments: &[&str]) {
    let workspace = workspace();
    for peer in ["target/peers/python", "target/peers/javascript"] {
        assert!(workspace.join(peer).is_dir(), "{peer} is missing: run tests/setup-peers.sh");
    }
    let output = Command::new(cargo())
        .current_dir(workspace)
        .args(["run", "--locked", "--quiet", "-p", "libchan-cli", "--", "conform"])
        .args(arguments)
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{said}{errors}");
    assert!(said.contains(" passed"), "{arguments:?}\n{said}{errors}");
}

/// Runs these cases of the matrix over a carrier.
fn interop(carrier: &str, cases: &[&str]) {
    let mut arguments = vec!["interop", "--a", "rust", "--b", PYTHON, "--c", JAVASCRIPT];
    arguments.extend(["--timeout", "60", "--verbose", "--carrier", carrier]);
    arguments.extend(cases.iter().flat_map(|case| ["--filter", case]));
    conform(&arguments);
}

/// Runs a port by itself: the vectors, then real sessions and a peer that breaks the rules, in both roles.
fn alone(port: &str) {
    let program: Vec<&str> = port.split(' ').collect();
    let with = |mode: &[&str]| conform(&[mode, &["--verbose", "--"], &program].concat());
    with(&["vectors"]);
    for (role, carrier) in [("server", "tcp"), ("client", "tcp"), ("server", "unix"), ("client", "unix")] {
        with(&[role, "--carrier", carrier, "--timeout", "60"]);
    }
}

#[test]
#[ignore = "needs python"]
fn python_is_clean_at_its_level() {
    alone(PYTHON);
}

#[test]
#[ignore = "needs node"]
fn javascript_is_clean_at_its_level() {
    alone(JAVASCRIPT);
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
