//! What several tests need: directories that vanish, patience with an end, and tests that need a process of their
//! own because they change its limits or its user.

use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A directory of our own in the system's temporary one (short, for the 107 bytes of a socket's path).
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("libchan-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn url(path: &Path) -> String {
    format!("unix://{}", path.display())
}

/// Awaits what must come; a hang becomes a failure.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("hangs")
}

/// Runs the test called `name` again in a process of its own (as user `nobody` if asked, which needs root), and
/// checks that it passed. Gives true in that process.
pub(crate) fn in_own_process(name: &str, nobody: bool) -> bool {
    if std::env::var_os("LIBCHAN_TEST_CHILD").is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env("LIBCHAN_TEST_CHILD", "1");
    if nobody {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// Leaves this process room for `count` more descriptors; gives the old limit.
pub(crate) fn leave_descriptors(count: usize) -> Rlimit {
    let old = getrlimit(Resource::Nofile);
    // The limit is on the number of a descriptor: find the lowest that are free.
    let free: Vec<_> = (0..=count).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    let first_refused = free.iter().map(std::os::fd::AsRawFd::as_raw_fd).max().unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(first_refused as u64), maximum: old.maximum })
        .unwrap();
    old
}

pub(crate) fn restore_descriptors(old: Rlimit) {
    setrlimit(Resource::Nofile, old).unwrap();
}
