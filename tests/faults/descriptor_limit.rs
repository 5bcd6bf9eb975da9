//! The process's limit of descriptors is reached in the middle of a session. The limit holds for the whole
//! process, so each case has one of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use libchan_tests::*;
use libchan_transports::{DialError, Listener, dial, listen};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn files(count: usize) -> Vec<File> {
    (0..count).map(|_| File::open("/dev/null").unwrap()).collect()
}

/// While it lives, this process gets no more than so many descriptors. What is open stays open.
struct Limit(Rlimit);

impl Limit {
    /// Room for `room` descriptors. `make` opens those that are to be sent. Their numbers are above the
    /// limit, which is on numbers and not on how many there are: once they are on their way they leave no
    /// room behind.
    fn leave<R>(room: usize, make: impl FnOnce() -> R) -> (Self, R) {
        let held = files(room);
        let first = files(1)[0].as_raw_fd();
        let made = make();
        let old = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(first as u64), ..old }).unwrap();
        drop(held);
        (Self(old), made)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

async fn connect(listener: &Listener) -> (Session, Session) {
    let (dialed, accepted) = soon(async { tokio::join!(dial(listener.url()), listener.accept()) }).await;
    (dialed.unwrap(), accepted.unwrap())
}

/// A pipe whose reading end can be sent and whose writing end has said `text`.
fn pipe_that_says(text: &str) -> Fd {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader.into()
}

async fn says(fd: Fd, text: &str) {
    assert!(fd.is_passed());
    let mut got = String::new();
    soon(fd.into_stream().unwrap().read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, text);
}

/// Three descriptors arrive where there is room for fewer: the kernel has dropped the others, so the session
/// is over.
async fn descriptors_that_are_lost_on_arrival_end_the_session() {
    let scratch = Scratch::new();
    let listener = listen(&format!("unix://{}", scratch.path("s").display())).await.unwrap();
    let before = open_descriptors();
    for room in 0..3 {
        let (a, b) = connect(&listener).await;
        let (c, d) = connect(&listener).await;
        let probe = Probe::new(&a, &b).await;
        let (ship, shipped) = channel::<(u32, Vec<Fd>)>(&a, &b, 4).await;
        let (answers, answered) = channel::<u32>(&b, &a, 4).await;
        let (other, others) = channel::<u32>(&c, &d, 1).await;
        // Arrived and not yet taken: it was accepted and is delivered.
        put(&ship, (1, vec![pipe_that_says("before")])).await;
        probe.settle().await;
        let (limit, fds) = Limit::leave(room, || files(3).into_iter().map(Fd::from).collect());
        put(&ship, (2, fds)).await;
        let error = soon(b.closed()).await.unwrap_err();
        assert!(matches!(&error, SessionError::Link(text) if text.contains("lost on arrival")), "{error:?}");
        // The peer sees a lost link, never a clean end.
        assert!(matches!(soon(a.closed()).await, Err(SessionError::Lost | SessionError::Link(_))));
        assert!(matches!(fail(&answered).await, RecvError::Disconnected(_)));
        let error = refused(&ship, (3, Vec::new())).await;
        assert!(matches!(error.reason, SendFailure::Disconnected { outcome_unknown: false, .. }));
        // Other sessions of the process go on, and what needs a descriptor says so.
        for number in 0..20 {
            put(&other, number).await;
            assert_eq!(get(&others).await, number);
        }
        drop(limit);
        let (limit, ()) = Limit::leave(0, || ());
        let error = dial(listener.url()).await.unwrap_err();
        assert!(matches!(error, DialError::DescriptorLimit), "{error:?}");
        drop(limit);
        let (number, mut fds) = get(&shipped).await;
        assert_eq!(number, 1);
        says(fds.remove(0), "before").await;
        assert!(matches!(fail(&shipped).await, RecvError::Disconnected(_)));
        // Those that did arrive were closed with the others.
        drop((a, b, c, d, probe, ship, shipped, answers, answered, other, others));
        eventually(|| open_descriptors() == before).await;
    }
    // The process is in order: a new session passes descriptors.
    let (a, b) = connect(&listener).await;
    let (ship, shipped) = channel::<Fd>(&a, &b, 4).await;
    put(&ship, pipe_that_says("after")).await;
    says(get(&shipped).await, "after").await;
}

/// Where there is just enough room nothing is lost, and a session whose process has none left passes
/// everything else.
async fn a_session_at_the_limit_works() {
    let scratch = Scratch::new();
    let listener = listen(&format!("unix://{}", scratch.path("s").display())).await.unwrap();
    let (a, b) = connect(&listener).await;
    let (ship, shipped) = channel::<(u32, Vec<Fd>)>(&a, &b, 4).await;
    let (nest, nested) = channel::<(Sender<u32>, ByteStream)>(&a, &b, 4).await;
    for _ in 0..20 {
        let pipes = || (0..3).map(|number| pipe_that_says(&number.to_string())).collect();
        let (limit, fds) = Limit::leave(3, pipes);
        put(&ship, (3, fds)).await;
        let (_, fds) = get(&shipped).await;
        assert!(File::open("/dev/null").is_err());
        // Opening them as streams takes no further descriptor, and so it is with channels and streams of the
        // session.
        let mut streams: Vec<ByteStream> = fds.into_iter().map(|fd| fd.into_stream().unwrap()).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            let mut said = String::new();
            soon(stream.read_to_string(&mut said)).await.unwrap();
            assert_eq!(said, number.to_string());
        }
        let (answer, answers) = pipe();
        let (mut here, stream) = ByteStream::pair();
        put(&nest, (answer, stream)).await;
        let (answer, mut stream) = get(&nested).await;
        put(&answer, 7).await;
        assert_eq!(get(&answers).await, 7);
        soon(stream.write_all(b"bytes")).await.unwrap();
        let mut got = [0; 5];
        soon(here.read_exact(&mut got)).await.unwrap();
        assert_eq!(&got, b"bytes");
        assert!(File::open("/dev/null").is_err());
        drop(limit);
    }
}

/// Over tcp an owned descriptor is a socketpair that stands in: without a descriptor for it there is an
/// error, the sender's descriptor is closed, and the session goes on.
async fn a_stand_in_that_cannot_be_made_is_an_error() {
    let listener = listen("tcp://127.0.0.1:0").await.unwrap();
    let (a, b) = connect(&listener).await;
    let (ship, shipped) = channel::<Fd>(&a, &b, 4).await;
    let before = open_descriptors();
    for room in 0..2 {
        let (reader, writer) = std::io::pipe().unwrap();
        put(&ship, reader.into()).await;
        let fd = get(&shipped).await;
        assert!(!fd.is_passed());
        let (limit, ()) = Limit::leave(room, || ());
        let error = fd.into_owned().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()), "{error:?}");
        drop(limit);
        // The reading end is gone, there and here.
        eventually(|| (&writer).write_all(b"x").is_err()).await;
        drop(writer);
        eventually(|| open_descriptors() == before && a.open_channels() == 1 && b.open_channels() == 1).await;
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    put(&ship, reader.into()).await;
    let owned: OwnedFd = get(&shipped).await.into_owned().unwrap();
    writer.write_all(b"after").unwrap();
    drop(writer);
    let reading = tokio::task::spawn_blocking(move || {
        let mut got = String::new();
        File::from(owned).read_to_string(&mut got).map(|_| got)
    });
    assert_eq!(soon(reading).await.unwrap().unwrap(), "after");
}

/// Runs the case again in a process of its own.
macro_rules! own_process {
    ($($case:ident),* $(,)?) => {
        mod current { $(#[test] fn $case() { $crate::own_process(module_path!(), stringify!($case), || {
            libchan_tests::run(libchan_tests::Flavor::Current, || Box::pin(super::$case()));
        }); })* }
        mod multi { $(#[test] fn $case() { $crate::own_process(module_path!(), stringify!($case), || {
            libchan_tests::run(libchan_tests::Flavor::Multi, || Box::pin(super::$case()));
        }); })* }
    };
}

own_process! {
    descriptors_that_are_lost_on_arrival_end_the_session,
    a_session_at_the_limit_works,
    a_stand_in_that_cannot_be_made_is_an_error,
}
