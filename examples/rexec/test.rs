//! The server leaves nothing behind: at SIGTERM and at Ctrl-C it kills the commands that run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program. `cargo test` builds it beside the tests; with `--test rexec` it does not, so run
/// `cargo build --example rexec` before.
fn rexec() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/rexec");
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The first line that a child says.
fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Whether a process runs; one that has ended and that nobody has waited for does not.
fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()), Some('Z'))
    })
}

#[test]
fn commands_are_killed_when_the_server_ends() {
    let place: PathBuf = std::env::temp_dir().join(format!("rexec-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    for (round, signal) in [Signal::SIGTERM, Signal::SIGINT].into_iter().cycle().take(8).enumerate() {
        let url = format!("unix:{}", place.join(round.to_string()).display());
        let mut server = rexec().args(["--listen", &url]).spawn().unwrap();
        assert!(line(&mut server).starts_with("listening on "));
        let mut client = rexec().args([&url, "--", "sh", "-c", "echo $$; exec sleep 600"]).spawn().unwrap();
        let command: i32 = line(&mut client).parse().unwrap();
        assert!(runs(command));
        kill(Pid::from_raw(server.id() as i32), signal).unwrap();
        assert!(server.wait().unwrap().success());
        assert!(!client.wait().unwrap().success());
        // SIGKILL was sent before the server's end; the system takes a moment to see to it.
        let patience = Instant::now() + Duration::from_secs(10);
        while runs(command) && Instant::now() < patience {
            thread::yield_now();
        }
        let left = runs(command);
        if left {
            let _ = kill(Pid::from_raw(command), Signal::SIGKILL);
        }
        assert!(!left, "round {round}: the command outlived the server ({signal})");
    }
    fs::remove_dir_all(&place).unwrap();
}
