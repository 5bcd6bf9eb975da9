//! Descriptors of every kind over a fake session: carried whole, half-closed, cut, refused; flags and counts as
//! they were.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, fcntl_getfl};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::kind::classify;
use super::pipe::Pipe;
use super::{Fd, FdHold, pump};
use crate::stream::fake::{Tap, link};
use crate::stream::{ByteStream, InUse};

const MEBIBYTE: usize = 1 << 20;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Sends a descriptor over a link that passes none, and gives what the receiver gets.
fn send(fd: impl Into<OwnedFd>) -> (Fd, Tap) {
    let (near, far, tap) = link();
    let fd = Fd::new(fd);
    let hold = fd.core().hold().unwrap();
    hold.check_pumpable().unwrap();
    hold.bind_stream(near);
    drop(fd);
    (Fd::from_remote(far), tap)
}

fn send_stream(fd: impl Into<OwnedFd>) -> (ByteStream, Tap) {
    let (fd, tap) = send(fd);
    (fd.into_stream().unwrap(), tap)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.expect("the stream fails");
    bytes
}

async fn write_error(stream: &mut ByteStream) -> ErrorKind {
    within(async {
        loop {
            if let Err(error) = stream.write_all(&[0; 4096]).await {
                return error.kind();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn no_tasks_left() {
    within(async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Blocking work on a thread of its own, so that the other side of a descriptor is an ordinary program.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    within(tokio::task::spawn_blocking(work)).await.unwrap()
}

fn scratch_file() -> File {
    let path = std::env::temp_dir().join(format!("libchan-fd-{:?}", thread::current().id()));
    let path = path.with_extension(std::process::id().to_string());
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    file
}

/// The same inode, opened anew for one direction.
fn reopened(file: &File, options: &mut fs::OpenOptions) -> File {
    use std::os::fd::AsRawFd;
    options.open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// The two sides of a raw terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut attributes = tcgetattr(&slave).unwrap();
    attributes.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &attributes).unwrap();
    (master, slave)
}

// ---- the handle

#[test]
fn an_fd_is_made_from_what_owns_one() {
    fn is<T: Send + Sync + Unpin + std::fmt::Debug>() {}
    is::<Fd>();
    let (reader, writer) = io::pipe().unwrap();
    let fds: [Fd; 4] = [
        reader.into(),
        writer.into(),
        UnixStream::pair().unwrap().0.into(),
        OwnedFd::from(scratch_file()).into(),
    ];
    for fd in fds {
        assert!(fd.is_passed() && format!("{fd:?}").starts_with("Fd { descriptor: OwnedFd"), "{fd:?}");
        fd.into_owned().unwrap();
    }
}

#[test]
fn a_passed_descriptor_comes_out_as_it_is() {
    let mut file = scratch_file();
    file.write_all(b"content").unwrap();
    file.rewind().unwrap();
    let mut back = Fd::from(file).into_file().unwrap();
    let mut content = String::new();
    back.read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
}

fn held(fd: &Fd) -> FdHold {
    fd.core().hold().unwrap()
}

#[test]
fn a_hold_keeps_gives_back_duplicates_and_spends() {
    let fd = Fd::from(scratch_file());
    let hold = held(&fd);
    assert_eq!(fd.core().hold().unwrap_err(), InUse);
    assert!(!fd.is_passed() && format!("{fd:?}").contains("held"));
    drop(hold);
    assert!(fd.is_passed());

    let duplicate = held(&fd).dup_for_passing().unwrap();
    let flags = rustix::io::fcntl_getfd(&duplicate).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC) && fd.is_passed());

    held(&fd).into_descriptor().unwrap();
    assert!(!fd.is_passed());
    assert_eq!(fd.core().hold().unwrap_err(), InUse);
    assert_eq!(fd.into_owned().unwrap_err().kind(), ErrorKind::NotConnected);

    let fd = Fd::from(scratch_file());
    let hold = held(&fd);
    drop(fd);
    let fd = hold.release();
    held(&fd).into_descriptor().unwrap();
    assert!(!fd.is_passed());
}

#[tokio::test]
async fn a_stream_in_a_descriptors_place_goes_on_as_a_stream() {
    let (near, far, _) = link();
    let fd = Fd::from_remote(near);
    let hold = held(&fd);
    assert!(!fd.is_passed() && hold.check_pumpable().is_ok());
    assert_eq!(hold.dup_for_passing().unwrap_err().kind(), ErrorKind::Unsupported);
    let hold = hold.into_descriptor().unwrap_err();
    drop(hold);
    let (next, last, _) = link();
    held(&fd).bind_stream(next);
    let (mut first, mut last) = (ByteStream::from_remote(far), ByteStream::from_remote(last));
    first.write_all(b"relayed").await.unwrap();
    first.shutdown().await.unwrap();
    assert_eq!(read_all(&mut last).await, b"relayed");
    drop(last);
    no_tasks_left().await;
}

#[test]
fn an_unconnected_descriptor_is_completed_later() {
    let claimed = Fd::unconnected();
    assert!(!claimed.is_passed() && claimed.core().hold().is_err());
    claimed.core().connect(scratch_file().into());
    assert!(claimed.is_passed());
}

#[test]
fn a_stream_needs_a_runtime() {
    let error = Fd::from(scratch_file()).into_stream().unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
    let (_far, tap) = send(scratch_file());
    assert!(tap.end(0).unwrap().unwrap_err().contains("tokio runtime"));
}

// ---- what is a byte stream

#[test]
fn byte_streams_are_accepted() {
    let (pipe_out, pipe_in) = io::pipe().unwrap();
    let (master, slave) = terminal();
    let (tcp, tcp_far) = tcp_pair();
    let in_memory = fs::metadata("/dev/shm").is_ok().then(|| {
        let path = format!("/dev/shm/libchan-{}", std::process::id());
        let file = File::create(&path).unwrap();
        fs::remove_file(path).unwrap();
        file
    });
    let accepted: Vec<OwnedFd> = vec![
        scratch_file().into(),
        pipe_out.into(),
        pipe_in.into(),
        UnixStream::pair().unwrap().0.into(),
        tcp.into(),
        tcp_far.into(),
        master,
        slave,
        File::open("/dev/null").unwrap().into(),
        File::open("/proc/self/status").unwrap().into(),
    ];
    for fd in accepted.into_iter().chain(in_memory.map(OwnedFd::from)) {
        classify(&fd).unwrap();
    }
}

#[test]
fn what_is_no_byte_stream_is_refused_by_name() {
    use rustix::event::{EventfdFlags, epoll, eventfd};
    use rustix::fs::{MemfdFlags, inotify, memfd_create, open};
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
    let socket = |domain, kind| rustix::net::socket_with(domain, kind, SocketFlags::CLOEXEC, None).unwrap();
    let path = std::env::temp_dir().join(format!("libchan-listener-{}", std::process::id()));
    let unix = UnixListener::bind(&path).unwrap();
    fs::remove_file(path).unwrap();
    let refused: Vec<(OwnedFd, &str)> = vec![
        (File::open("/").unwrap().into(), "a directory"),
        (open("/etc", OFlags::PATH, Mode::empty()).unwrap(), "a descriptor opened for its path only"),
        (TcpListener::bind("127.0.0.1:0").unwrap().into(), "a listening socket"),
        (unix.into(), "a listening socket"),
        (socket(AddressFamily::INET, SocketType::DGRAM), "a datagram socket"),
        (socket(AddressFamily::UNIX, SocketType::SEQPACKET), "a sequenced packet socket"),
        (epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), "an epoll instance"),
        (eventfd(0, EventfdFlags::CLOEXEC).unwrap(), "an eventfd"),
        (timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap(), "a timerfd"),
        (inotify::init(inotify::CreateFlags::CLOEXEC).unwrap(), "an inotify instance"),
        (memfd_create("x", MemfdFlags::CLOEXEC).unwrap(), "a memfd"),
        (pidfd_open(getpid(), PidfdFlags::empty()).unwrap(), "a pidfd"),
    ];
    for (descriptor, what) in refused {
        let fd = Fd::new(descriptor);
        let error = held(&fd).check_pumpable().unwrap_err();
        assert_eq!(error.what, what);
        assert_eq!(error.to_string(), format!("{what} is no byte stream"));
        assert!(fd.is_passed(), "the descriptor is given back");
        assert_eq!(fd.into_stream().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

// ---- files

#[tokio::test]
async fn a_file_is_read_from_its_offset_to_its_end() {
    let mut file = scratch_file();
    file.write_all(b"skipped").unwrap();
    file.write_all(&pattern(MEBIBYTE)).unwrap();
    let mut file = reopened(&file, File::options().read(true));
    file.read_exact(&mut [0; 7]).unwrap();
    let (mut far, tap) = send_stream(file);
    assert!(read_all(&mut far).await == pattern(MEBIBYTE));
    assert!(tap.stopped(1).unwrap().contains("reading only"));
    assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
    no_tasks_left().await;
}

#[tokio::test]
async fn a_file_is_written_and_nothing_is_read() {
    let mut file = scratch_file();
    let (mut far, _) = send_stream(reopened(&file, File::options().write(true)));
    assert_eq!(read_all(&mut far).await, b"");
    far.write_all(&pattern(MEBIBYTE)).await.unwrap();
    far.shutdown().await.unwrap();
    no_tasks_left().await;
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert!(content == pattern(MEBIBYTE));
}

#[tokio::test]
async fn a_file_open_both_ways_is_read_and_then_appended_to() {
    let mut file = scratch_file();
    file.write_all(b"old, ").unwrap();
    file.rewind().unwrap();
    let (mut far, _) = send_stream(file.try_clone().unwrap());
    assert_eq!(read_all(&mut far).await, b"old, ");
    far.write_all(b"new").await.unwrap();
    far.shutdown().await.unwrap();
    no_tasks_left().await;
    file.rewind().unwrap();
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, "old, new");
}

#[tokio::test]
async fn a_write_that_fails_is_told() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut stream = Fd::from(full).into_stream().unwrap();
    let error = async {
        stream.write_all(b"x").await?;
        stream.flush().await
    };
    assert_eq!(within(error).await.unwrap_err().kind(), ErrorKind::StorageFull);

    let full = File::options().write(true).open("/dev/full").unwrap();
    let (mut far, _) = send_stream(full);
    assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
    no_tasks_left().await;
}

#[tokio::test]
async fn a_device_without_readiness_is_read_and_written() {
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let (mut far, _) = send_stream(null);
    assert_eq!(read_all(&mut far).await, b"");
    far.write_all(b"gone").await.unwrap();
    far.shutdown().await.unwrap();
    no_tasks_left().await;

    let zero = Fd::from(File::open("/dev/zero").unwrap());
    let mut stream = zero.into_stream().unwrap();
    stream.read_exact(&mut vec![1; MEBIBYTE]).await.unwrap();
}

// ---- sockets

async fn exchange_with(far: ByteStream, mut local: impl Read + Write + Send + 'static) {
    let (mut reader, mut writer) = far.split();
    let local = elsewhere(move || {
        let mut content = vec![0; MEBIBYTE];
        local.read_exact(&mut content).unwrap();
        local.write_all(&content).unwrap();
        assert_eq!(local.read(&mut [0]).unwrap(), 0, "half-close arrives");
        (local, content)
    });
    let remote = async {
        writer.write_all(&pattern(MEBIBYTE)).await.unwrap();
        let mut content = vec![0; MEBIBYTE];
        reader.read_exact(&mut content).await.unwrap();
        writer.shutdown().await.unwrap();
        content
    };
    let ((local, at_local), at_remote) = tokio::join!(local, within(remote));
    assert!(at_local == pattern(MEBIBYTE) && at_remote == pattern(MEBIBYTE));
    drop(local);
    assert_eq!(within(reader.read(&mut [0])).await.unwrap(), 0);
    no_tasks_left().await;
}

#[tokio::test]
async fn a_unix_socket_is_carried_both_ways() {
    let (near, local) = UnixStream::pair().unwrap();
    exchange_with(send_stream(near).0, local).await;
}

#[tokio::test]
async fn a_tcp_socket_is_carried_both_ways() {
    let (near, local) = tcp_pair();
    exchange_with(send_stream(near).0, local).await;
}

#[tokio::test]
async fn a_sockets_end_leaves_its_other_direction_open() {
    let (near, mut local) = UnixStream::pair().unwrap();
    let (mut far, _) = send_stream(near);
    local.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut far).await, b"");
    far.write_all(b"still open").await.unwrap();
    far.shutdown().await.unwrap();
    let content = elsewhere(move || io::read_to_string(&mut local).unwrap()).await;
    assert_eq!(content, "still open");
    no_tasks_left().await;
}

#[tokio::test]
async fn a_lost_session_resets_a_tcp_socket() {
    let (near, mut local) = tcp_pair();
    let (mut far, tap) = send_stream(near);
    far.write_all(b"part").await.unwrap();
    let read = elsewhere(move || {
        let mut part = [0; 4];
        local.read_exact(&mut part).unwrap();
        tap.lose();
        local.read(&mut part)
    });
    assert_eq!(read.await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    no_tasks_left().await;
}

#[tokio::test]
async fn a_socket_reset_by_its_peer_is_an_error_and_not_an_end() {
    let (near, local) = tcp_pair();
    let (mut far, _) = send_stream(near);
    rustix::net::sockopt::set_socket_linger(&local, Some(Duration::ZERO)).unwrap();
    drop(local);
    let error = within(far.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    no_tasks_left().await;
}

#[tokio::test]
async fn a_receiver_that_leaves_closes_an_idle_descriptor() {
    let (near, mut local) = UnixStream::pair().unwrap();
    let (pipe_out, mut pipe_in) = io::pipe().unwrap();
    drop(send(near));
    drop(send(pipe_out));
    no_tasks_left().await;
    assert_eq!(local.read(&mut [0]).unwrap(), 0);
    assert_eq!(pipe_in.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

// ---- pipes and terminals

/// A pipe's stream by the kernel's non-blocking call, and by the pool.
fn both_ways(fd: impl Into<OwnedFd>, pooled: bool) -> ByteStream {
    let fd = fd.into();
    let shape = classify(&fd).unwrap();
    let pipe = Pipe::new(pump::watch(fd).unwrap(), shape, Handle::current());
    ByteStream::from_duplex(Box::new(if pooled { pipe.pooled() } else { pipe }))
}

fn send_on(stream: ByteStream) -> (ByteStream, Tap) {
    let (near, far, tap) = link();
    stream.core().hold().unwrap().bind(near);
    (ByteStream::from_remote(far), tap)
}

#[tokio::test]
async fn a_pipe_is_read_to_its_end() {
    for pooled in [false, true] {
        let (pipe_out, mut pipe_in) = io::pipe().unwrap();
        let (mut far, tap) = send_on(both_ways(pipe_out, pooled));
        let write = elsewhere(move || pipe_in.write_all(&pattern(MEBIBYTE)).unwrap());
        let ((), content) = tokio::join!(write, read_all(&mut far));
        assert!(content == pattern(MEBIBYTE), "pooled: {pooled}");
        assert!(tap.stopped(1).unwrap().contains("reading only"));
        no_tasks_left().await;
    }
}

#[tokio::test]
async fn a_pipe_is_written_and_closed_by_the_end() {
    for pooled in [false, true] {
        let (mut pipe_out, pipe_in) = io::pipe().unwrap();
        let (mut far, _) = send_on(both_ways(pipe_in, pooled));
        let read = elsewhere(move || {
            let mut content = Vec::new();
            pipe_out.read_to_end(&mut content).unwrap();
            content
        });
        let write = async {
            far.write_all(&pattern(MEBIBYTE)).await.unwrap();
            far.shutdown().await.unwrap();
        };
        let (content, ()) = tokio::join!(read, write);
        assert!(content == pattern(MEBIBYTE), "pooled: {pooled}");
        no_tasks_left().await;
    }
}

#[tokio::test]
async fn a_pipe_nobody_reads_stops_the_writer() {
    for pooled in [false, true] {
        let (pipe_out, pipe_in) = io::pipe().unwrap();
        let (mut far, _) = send_on(both_ways(pipe_in, pooled));
        drop(pipe_out);
        assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
        no_tasks_left().await;
    }
}

/// Another holder of the pipe takes the bytes that woke us: this side goes on waiting and blocks nobody.
#[tokio::test]
async fn bytes_taken_by_another_reader_block_nobody() {
    for pooled in [false, true] {
        let (mut pipe_out, mut pipe_in) = io::pipe().unwrap();
        let mut stream = both_ways(pipe_out.try_clone().unwrap(), pooled);
        for _ in 0..20 {
            let mut byte = [0];
            let mut read = Box::pin(stream.read(&mut byte));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(read.as_mut().poll(&mut cx).is_pending());
            pipe_in.write_all(b"x").unwrap();
            pipe_out.read_exact(&mut [0]).unwrap();
            tokio::task::yield_now().await;
            assert!(read.as_mut().poll(&mut cx).is_pending());
        }
        pipe_in.write_all(b"y").unwrap();
        let mut byte = [0];
        within(stream.read_exact(&mut byte)).await.unwrap();
        assert_eq!(byte, *b"y");
    }
}

#[tokio::test]
async fn a_terminal_is_carried_both_ways_and_hangs_up() {
    for pooled in [false, true] {
        let (master, slave) = terminal();
        let (far, _) = send_on(both_ways(slave.try_clone().unwrap(), pooled));
        let (mut far_reader, mut far_writer) = far.split();
        let mut screen = both_ways(master, pooled);
        let typed = pattern(100_000);
        let write = async { far_writer.write_all(&typed).await.unwrap() };
        let mut content = vec![0; typed.len()];
        let ((), read) = tokio::join!(write, within(screen.read_exact(&mut content)));
        read.unwrap();
        assert!(content == typed, "pooled: {pooled}");
        screen.write_all(b"typed").await.unwrap();
        screen.flush().await.unwrap();
        let mut content = [0; 5];
        within(far_reader.read_exact(&mut content)).await.unwrap();
        assert_eq!(content, *b"typed");
        drop((screen, slave));
        assert_eq!(read_all(&mut far_reader).await, b"");
        drop((far_reader, far_writer));
        no_tasks_left().await;
    }
}

// ---- the caller's flags, and what is left over

#[tokio::test]
async fn file_flags_stay_as_they_are() {
    let (pipe_out, pipe_in) = io::pipe().unwrap();
    let (unix, _unix_far) = UnixStream::pair().unwrap();
    let (tcp, _tcp_far) = tcp_pair();
    let (_master, slave) = terminal();
    let nonblocking = UnixStream::pair().unwrap().0;
    nonblocking.set_nonblocking(true).unwrap();
    let fds: Vec<OwnedFd> = vec![
        scratch_file().into(),
        pipe_out.into(),
        pipe_in.into(),
        unix.into(),
        tcp.into(),
        slave,
        nonblocking.into(),
    ];
    for fd in fds {
        let before = fcntl_getfl(&fd).unwrap();
        let (mut far, _) = send_stream(fd.try_clone().unwrap());
        let _ = far.write_all(b"x").await;
        let _ = timeout(Duration::from_millis(1), far.read(&mut [0])).await;
        assert_eq!(fcntl_getfl(&fd).unwrap(), before);
        drop(far);
        no_tasks_left().await;
        assert_eq!(fcntl_getfl(&fd).unwrap(), before);
    }
}

#[tokio::test]
async fn a_stand_in_is_an_ordinary_blocking_descriptor() {
    let (near, far, _) = link();
    let (mut reader, mut writer) = ByteStream::from_remote(near).split();
    let owned = Fd::from_remote(far).into_owned().unwrap();
    assert!(!fcntl_getfl(&owned).unwrap().contains(OFlags::NONBLOCK));
    let local = elsewhere(move || {
        let mut file = File::from(owned);
        file.write_all(&pattern(MEBIBYTE)).unwrap();
        let mut content = vec![0; MEBIBYTE];
        file.read_exact(&mut content).unwrap();
        content
    });
    let remote = async {
        let mut content = vec![0; MEBIBYTE];
        reader.read_exact(&mut content).await.unwrap();
        writer.write_all(&content).await.unwrap();
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0, "closing the stand-in ends the stream");
        writer.shutdown().await.unwrap();
    };
    let (content, ()) = tokio::join!(local, within(remote));
    assert!(content == pattern(MEBIBYTE));
    drop((reader, writer));
    no_tasks_left().await;
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs alone, in a process of its own: other tests open descriptors all the time.
#[test]
fn no_descriptor_is_left_open() {
    let this = std::env::current_exe().unwrap();
    let name = format!("{}::leak_body", module_path!().split_once("::").unwrap().1);
    let output = Command::new(this).args([&name, "--exact", "--ignored"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by no_descriptor_is_left_open in a process of its own"]
async fn leak_body() {
    let round = async || {
        let (pipe_out, mut pipe_in) = io::pipe().unwrap();
        pipe_in.write_all(b"x").unwrap();
        drop(pipe_in);
        let (master, slave) = terminal();
        let (tcp, tcp_far) = tcp_pair();
        drop(tcp_far);
        for fd in [OwnedFd::from(pipe_out), slave, scratch_file().into(), tcp.into()] {
            let (mut far, _) = send_stream(fd);
            let _ = timeout(Duration::from_millis(1), far.read(&mut [0])).await;
            drop(far);
        }
        drop(master);
        // Refused, held and given back, passed, and stood in for.
        let directory = Fd::from(File::open("/").unwrap());
        assert!(held(&directory).check_pumpable().is_err());
        held(&directory).dup_for_passing().unwrap();
        let (near, far, _) = link();
        drop(Fd::from_remote(far).into_owned().unwrap());
        drop(near);
        no_tasks_left().await;
    };
    round().await;
    let before = open_descriptors();
    for _ in 0..20 {
        round().await;
    }
    // A call that runs on the blocking pool holds its descriptor until it returns, which may be after its task is
    // gone: so `before` may count one such, and they are waited for here. A leak would be twenty times as many.
    let closed = within(async {
        while open_descriptors() > before {
            tokio::task::yield_now().await;
        }
    });
    closed.await;
}
