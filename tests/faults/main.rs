//! Faults from outside: killed processes, peers that speak something else, hellos that never come, silence, no
//! descriptors left. Each gives one clear typed error to every waiting call, and nothing hangs.

mod counted;
mod descriptor_limit;
mod dialing;
mod handshake;
mod hostile;
mod killed;
mod late_writer;
mod never_reads;
mod relayed;
mod rude;
mod silence;
mod stopped;

/// Runs the test `module::name` of this binary again in a process of its own, where it is `case`.
fn own_process(module: &str, name: &str, case: fn()) {
    const CHILD: &str = "LIBCHAN_FAULTS_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return case();
    }
    let (_crate, module) = module.split_once("::").expect("a module of the binary");
    let output = std::process::Command::new(std::env::current_exe().expect("this binary"))
        .args([&format!("{module}::{name}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
