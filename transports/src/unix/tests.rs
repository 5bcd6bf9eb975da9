//! Dialing and listening at paths and abstract names.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Barrier, Mutex};

use super::*;
use crate::test_support::{Scratch, in_own_process, soon, url};
use crate::{dial, dial_with, listen, listen_with};

/// Leaves what a killed server leaves: a socket file without a listener.
fn stale(path: &Path) {
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    assert!(path.exists());
}

async fn accepts(listener: &crate::Listener) {
    let url = listener.url().to_owned();
    let dialing = tokio::spawn(async move { dial(&url).await });
    soon(listener.accept()).await.unwrap();
    soon(dialing).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_path_is_taken_and_given_back() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let listener = listen(&url(&path)).await.unwrap();
    assert_eq!(listener.url(), url(&path));
    accepts(&listener).await;
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    stale(&path);
    let listener = listen(&url(&path)).await.unwrap();
    let error = listen(&url(&path)).await.unwrap_err();
    assert_eq!(error, ListenError::LiveServer { path: path.clone() });
    // The probe of the second server did the first no harm.
    accepts(&listener).await;
}

/// Without the lock on the directory this fails: one server takes another, which has bound the path and not called
/// `listen` yet, for dead. (Verdicts are gathered and judged at the end: a panic would leave others at a barrier.)
#[test]
fn of_servers_that_start_at_once_one_gets_the_path() {
    const SERVERS: usize = 4;
    const ROUNDS: usize = 300;
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let (start, done) = (Barrier::new(SERVERS + 1), Barrier::new(SERVERS + 1));
    let outcomes = Mutex::new(Vec::new());
    let server = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..ROUNDS {
            start.wait();
            let outcome = runtime.block_on(listen(&url(&path)));
            done.wait();
            outcomes.lock().unwrap().push(outcome.map(drop));
            done.wait();
        }
    };
    let left_behind = std::thread::scope(|scope| {
        (0..SERVERS).for_each(|_| drop(scope.spawn(server)));
        let mut left_behind = 0;
        for _ in 0..ROUNDS {
            stale(&path);
            start.wait();
            done.wait();
            done.wait();
            left_behind += usize::from(fs::remove_file(&path).is_ok());
        }
        left_behind
    });
    let outcomes = outcomes.into_inner().unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), ROUNDS);
    let taken = Err(ListenError::LiveServer { path });
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || *outcome == taken), "{outcomes:?}");
    assert_eq!(left_behind, 0);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path("a.txt");
    fs::write(&path, "precious").unwrap();
    let error = listen(&url(&path)).await.unwrap_err();
    assert_eq!(error, ListenError::NotASocket { path: path.clone() });
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let error = dial(&url(&path)).await.unwrap_err();
    assert!(matches!(&error, DialError::NotASocket { path: found } if *found == path), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_no_longer_ours_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let first = listen(&url(&path)).await.unwrap();
    fs::remove_file(&path).unwrap();
    let second = listen(&url(&path)).await.unwrap();
    drop(first);
    accepts(&second).await;
}

#[tokio::test]
async fn a_path_has_107_bytes() {
    let scratch = Scratch::new();
    let room = 107 - scratch.path("").as_os_str().len();
    let longest = scratch.path(&"x".repeat(room));
    let listener = listen(&url(&longest)).await.unwrap();
    accepts(&listener).await;
    let path = url(&scratch.path(&"x".repeat(room + 1)));
    let error = listen(&path).await.unwrap_err();
    assert_eq!(error, ListenError::PathTooLong { length: 108, limit: 107 });
    assert!(error.to_string().contains("the limit is 107"));
    let error = dial(&path).await.unwrap_err();
    assert!(matches!(error, DialError::PathTooLong { length: 108, limit: 107 }), "{error:?}");
}

#[tokio::test]
async fn nobody_there() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let error = dial(&url(&path)).await.unwrap_err();
    assert!(matches!(error, DialError::NoSuchSocket { .. }), "{error:?}");
    stale(&path);
    let error = dial(&url(&path)).await.unwrap_err();
    assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
    let error = dial("unix:@libchan-nobody").await.unwrap_err();
    assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
    let path = scratch.path("missing/a.sock");
    let error = listen(&url(&path)).await.unwrap_err();
    assert_eq!(error, ListenError::NoSuchDirectory { path });
}

#[tokio::test]
async fn the_mode_is_set() {
    let scratch = Scratch::new();
    for mode in [0o600, 0o666] {
        let path = scratch.path(&format!("{mode:o}.sock"));
        let options = ListenOptions::default().unix_mode(mode);
        let _listener = listen_with(&url(&path), options).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
    }
}

#[tokio::test]
async fn no_permission() {
    // Root may do everything, so root runs this as `nobody`.
    let root = rustix::process::geteuid().is_root();
    if root && !in_own_process("unix::tests::no_permission", true) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let _listener = listen_with(&url(&path), ListenOptions::default().unix_mode(0)).await.unwrap();
    let error = dial(&url(&path)).await.unwrap_err();
    assert!(matches!(error, DialError::NoPermission { .. }), "{error:?}");
    // Whether a server lives there cannot be told, so it is not replaced.
    let error = listen(&url(&path)).await.unwrap_err();
    assert_eq!(error, ListenError::NoPermission { url: url(&path) });
    let closed = scratch.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let path = closed.join("a.sock");
    let error = listen(&url(&path)).await.unwrap_err();
    assert_eq!(error, ListenError::NoPermission { url: url(&path) });
}

#[tokio::test]
async fn abstract_names() {
    let name = format!("unix:@libchan-test-{}", std::process::id());
    let listener = listen(&name).await.unwrap();
    assert_eq!(listener.url(), name);
    let error = listen(&name).await.unwrap_err();
    assert_eq!(error, ListenError::AddressInUse { url: name.clone() });
    accepts(&listener).await;
    drop(listener);
    listen(&name).await.unwrap();
}

#[tokio::test]
async fn a_relative_path_is_resolved_at_once() {
    // Relative to the directory of this crate, so climb out of it.
    let scratch = Scratch::new();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count() - 1);
    let absolute = scratch.path("r.sock");
    let relative = format!("unix:{up}{}", absolute.strip_prefix("/").unwrap().display());
    let listener = listen(&relative).await.unwrap();
    assert_eq!(listener.url(), relative);
    accepts(&listener).await;
    drop(listener);
    assert!(!absolute.exists());
}

#[tokio::test]
async fn a_full_backlog_is_a_timeout() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let after = Duration::from_millis(50);
    let error = dial_with(&url(&path), DialOptions::default().connect_timeout(after)).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { after: said, .. } if said == after), "{error:?}");
    // And for a server that wants the path: somebody lives there.
    let error = listen(&url(&path)).await.unwrap_err();
    assert_eq!(error, ListenError::LiveServer { path });
}

#[tokio::test]
async fn descriptor_limits() {
    if !in_own_process("unix::tests::descriptor_limits", false) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let listener = listen(&url(&path)).await.unwrap();
    let old = crate::test_support::leave_descriptors(0);
    let error = dial(&url(&path)).await.unwrap_err();
    assert!(matches!(error, DialError::DescriptorLimit), "{error:?}");
    let error = listen(&url(&scratch.path("b.sock"))).await.unwrap_err();
    assert_eq!(error, ListenError::DescriptorLimit);
    crate::test_support::restore_descriptors(old);
    accepts(&listener).await;
}
