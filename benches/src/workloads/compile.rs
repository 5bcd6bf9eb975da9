//! What building libchan with tcp and unix takes: a clean release build in a folder of its own, and the number of
//! crates in it. A quick run only counts.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::case::{Case, Plan, Sample, case};

const WHAT: [&str; 5] = ["-p", "libchan-transports", "--no-default-features", "--features", "tcp,unix"];

pub fn cases(plan: Plan) -> Vec<Case> {
    let build = u64::from(!plan.quick);
    vec![case!("compile", "libchan", build, |build| async move { compile(build > 0) }).facts(1)]
}

fn compile(build: bool) -> Sample {
    let crates = cargo(&["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
    let mut names: Vec<_> = crates.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    names.sort_unstable();
    names.dedup();
    // What libchan itself consists of is not what it depends on.
    let foreign = names.iter().filter(|name| !name.starts_with("libchan")).count();
    let mut facts = vec![("dependencies", foreign as f64)];
    if build {
        let folder = std::env::temp_dir().join(format!("libchan-bench-build-{}", std::process::id()));
        let began = Instant::now();
        cargo(&["build", "--release", "--target-dir", &folder.to_string_lossy()]);
        facts.push(("seconds", began.elapsed().as_secs_f64()));
        std::fs::remove_dir_all(folder).expect("removes what it built");
    }
    Sample::of(facts)
}

fn cargo(args: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("cargo").args(args).args(WHAT).current_dir(root).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
