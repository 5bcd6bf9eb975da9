//! The wire of today against that of the commit in `spec/baseline`: programs of then and of now must go on understanding each
//! other, and what was a vector then is one now.
//!
//! The runner is the baseline's: its cases are those that both know. The baseline is built from git's history into
//! `target/baseline`, once for each commit.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{cargo, workspace};

/// The program `libchan` of the baseline.
fn of_then() -> PathBuf {
    let commit = std::fs::read_to_string(workspace().join("spec/baseline")).unwrap();
    let commit = commit.trim();
    let folder = workspace().join("target/baseline");
    let source = folder.join(commit);
    if !source.is_dir() {
        unpack(commit, &source);
    }
    let built = Command::new(cargo())
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .args(["build", "--locked", "--quiet", "-p", "libchan-cli"])
        .status()
        .unwrap();
    assert!(built.success(), "the baseline {commit} does not build");
    folder.join("target/debug/libchan")
}

/// Writes the files of `commit` into `source`, in one step: half of them are never taken for all.
fn unpack(commit: &str, source: &Path) {
    let beside = source.with_extension("part");
    std::fs::remove_dir_all(&beside).ok();
    std::fs::create_dir_all(&beside).unwrap();
    let mut archive = Command::new("git")
        .current_dir(workspace())
        .args(["archive", commit])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let files = archive.stdout.take().unwrap();
    let written = Command::new("tar").current_dir(&beside).arg("x").stdin(files).status().unwrap();
    let read = archive.wait().unwrap();
    assert!(
        read.success() && written.success(),
        "git has not the whole of commit {commit}, which spec/baseline names: fetch the history (git fetch --unshallow)"
    );
    std::fs::rename(&beside, source).unwrap();
}

/// The program `libchan` of today.
fn of_now() -> PathBuf {
    let built = Command::new(cargo())
        .current_dir(workspace())
        .args(["build", "--locked", "--quiet", "-p", "libchan-cli"])
        .status()
        .unwrap();
    assert!(built.success(), "libchan-cli does not build");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("debug/libchan")
}

/// Runs `conform` of the program `of`, and shows what it said if it did not pass.
fn passes(of: &Path, arguments: &[&str]) {
    let output = Command::new(of).current_dir(workspace()).arg("conform").args(arguments).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{said}{errors}");
    assert!(said.contains(" passed"), "{arguments:?}\n{said}{errors}");
    println!("{}", said.lines().last().unwrap_or_default());
}

#[test]
#[ignore = "needs git's history"]
fn programs_of_the_baseline_and_of_today_understand_each_other() {
    let (then, now) = (of_then(), of_now());
    let now = now.to_str().unwrap();
    passes(&then, &["vectors", "--verbose", "--", now, "testee"]);
    for carrier in ["tcp", "unix"] {
        let now = format!("{now} testee");
        passes(&then, &["interop", "--a", "rust", "--b", &now, "--timeout", "60", "--carrier", carrier]);
    }
}
