//! Descriptors and wake-ups on real sockets.

use std::fs::File;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::task::Waker;

use super::*;
use crate::test_support::{in_own_process, leave_descriptors, soon};

type Halves = (Box<dyn LinkReader>, Box<dyn LinkWriter>);

fn pair() -> (Halves, Halves) {
    let (one, other) = UnixLink::pair().unwrap();
    (Box::new(one).split(), Box::new(other).split())
}

async fn read(
    reader: &mut Box<dyn LinkReader>,
    buf: &mut [u8],
    fds: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    soon(poll_fn(|cx| reader.poll_read(cx, buf, fds))).await
}

async fn write(
    writer: &mut Box<dyn LinkWriter>,
    bytes: &[u8],
    fds: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    soon(poll_fn(|cx| writer.poll_write(cx, &[IoSlice::new(bytes)], fds))).await
}

/// A descriptor that can be told from others: a file that contains `text`.
fn holding(text: &str) -> OwnedFd {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader.into()
}

fn text(descriptor: OwnedFd) -> String {
    let mut text = String::new();
    File::from(descriptor).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn two_thousand_descriptors_one_a_message() {
    let ((_r, mut writer), (mut reader, _w)) = pair();
    let sending = tokio::spawn(async move {
        for i in 0..2000 {
            let mut fds = VecDeque::from([holding(&i.to_string())]);
            assert_eq!(write(&mut writer, b"x", &mut fds).await.unwrap(), 1);
            assert!(fds.is_empty());
        }
        writer
    });
    let (mut bytes, mut count) = (0, 0);
    let (mut buf, mut fds) = ([0; 4096], VecDeque::new());
    while bytes < 2000 {
        bytes += read(&mut reader, &mut buf, &mut fds).await.unwrap();
        for descriptor in fds.drain(..) {
            assert_eq!(text(descriptor), count.to_string());
            count += 1;
        }
    }
    assert_eq!(count, 2000);
    drop(sending.await.unwrap());
    assert_eq!(read(&mut reader, &mut buf, &mut fds).await.unwrap(), 0);
}

#[tokio::test]
async fn at_most_253_descriptors_and_one_byte_at_least() {
    let ((_r, mut writer), (mut reader, _w)) = pair();
    let mut fds: VecDeque<_> = (0..254).map(|i| holding(&i.to_string())).collect();
    let error = write(&mut writer, b"x", &mut fds).await.unwrap_err();
    assert_eq!((error.kind(), fds.len()), (io::ErrorKind::InvalidInput, 254));
    let last = fds.pop_back();
    let error = write(&mut writer, b"", &mut fds).await.unwrap_err();
    assert_eq!((error.kind(), fds.len()), (io::ErrorKind::InvalidInput, 253));
    assert_eq!(write(&mut writer, b"x", &mut fds).await.unwrap(), 1);
    assert!(fds.is_empty());
    drop(last);
    let mut arrived = VecDeque::new();
    assert_eq!(read(&mut reader, &mut [0; 16], &mut arrived).await.unwrap(), 1);
    let texts: Vec<_> = arrived.into_iter().map(text).collect();
    assert_eq!(texts, (0..253).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn descriptors_arrive_close_on_exec() {
    let ((_r, mut writer), (mut reader, _w)) = pair();
    let sent = holding("");
    rustix::io::fcntl_setfd(&sent, rustix::io::FdFlags::empty()).unwrap();
    write(&mut writer, b"x", &mut VecDeque::from([sent])).await.unwrap();
    let mut fds = VecDeque::new();
    read(&mut reader, &mut [0; 16], &mut fds).await.unwrap();
    assert_eq!(rustix::io::fcntl_getfd(&fds[0]).unwrap(), rustix::io::FdFlags::CLOEXEC);
}

#[tokio::test]
async fn a_partial_write_sends_its_descriptors_once() {
    let ((_r, mut writer), (mut reader, _w)) = pair();
    const SIZE: usize = 8 << 20;
    let sending = tokio::spawn(async move {
        let body = vec![7; SIZE];
        let (mut sent, mut partial, mut fds) = (0, 0, VecDeque::from([holding("a"), holding("b")]));
        while sent < SIZE {
            sent += write(&mut writer, &body[sent..], &mut fds).await.unwrap();
            assert!(fds.is_empty());
            partial += usize::from(sent < SIZE);
        }
        assert!(partial > 0, "the kernel took 8 MiB at once");
        writer
    });
    let (mut got, mut buf, mut fds) = (0, vec![0; 1 << 16], VecDeque::new());
    while got < SIZE {
        got += read(&mut reader, &mut buf, &mut fds).await.unwrap();
    }
    assert_eq!(fds.into_iter().map(text).collect::<Vec<_>>(), ["a", "b"]);
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn a_write_that_would_block_keeps_its_descriptors() {
    let ((_r, mut writer), (mut reader, _w)) = pair();
    let body = vec![7; 1 << 16];
    let mut sent = 0;
    write(&mut writer, b"x", &mut VecDeque::new()).await.unwrap();
    let error = loop {
        match writer.try_write(&[IoSlice::new(&body)], &mut VecDeque::new()) {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let mut fds = VecDeque::from([holding("kept")]);
    let error = writer.try_write(&[IoSlice::new(b"y")], &mut fds).unwrap_err();
    assert_eq!((error.kind(), fds.len()), (io::ErrorKind::WouldBlock, 1));
    let (mut buf, mut arrived) = (vec![0; 1 << 16], VecDeque::new());
    let mut got = 0;
    while got < sent + 1 {
        got += read(&mut reader, &mut buf, &mut arrived).await.unwrap();
    }
    assert!(arrived.is_empty());
    write(&mut writer, b"y", &mut fds).await.unwrap();
    read(&mut reader, &mut buf, &mut arrived).await.unwrap();
    assert_eq!(text(arrived.pop_front().unwrap()), "kept");
}

/// A read stops behind descriptors although more waits, and nobody writes again: taking every short read for
/// "empty" would hang here.
#[tokio::test]
async fn bytes_behind_descriptors_are_not_forgotten() {
    for size in [1, 2, 3, 64, 4096] {
        let ((_r, mut writer), (mut reader, _w)) = pair();
        for i in 0..50 {
            let mut fds: VecDeque<_> = (0..i % 3).map(|j| holding(&format!("{i}.{j}"))).collect();
            write(&mut writer, &vec![i; 1 + i as usize % 4], &mut fds).await.unwrap();
        }
        let expected: Vec<u8> = (0..50).flat_map(|i| vec![i; 1 + i as usize % 4]).collect();
        let names: Vec<_> = (0..50).flat_map(|i| (0..i % 3).map(move |j| format!("{i}.{j}"))).collect();
        let (mut got, mut buf, mut fds) = (Vec::new(), vec![0; size], VecDeque::new());
        while got.len() < expected.len() {
            let n = read(&mut reader, &mut buf, &mut fds).await.unwrap();
            got.extend_from_slice(&buf[..n]);
        }
        assert_eq!(got, expected);
        assert_eq!(fds.into_iter().map(text).collect::<Vec<_>>(), names);
    }
}

/// The closed end of a pipe is seen when the last copy of its other end is closed, wherever that copy is.
#[tokio::test]
async fn unread_descriptors_are_closed_with_the_reader() {
    let ((_r, mut writer), other) = pair();
    let (mut witness, watched) = io::pipe().unwrap();
    let mut fds = VecDeque::from([watched.into()]);
    write(&mut writer, b"x", &mut fds).await.unwrap();
    drop(other);
    assert_eq!(witness.read(&mut [0]).unwrap(), 0);
}

/// Short reads, full reads and descriptors in both directions at once: a lost wake-up hangs this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost() {
    let ((mut r1, mut w1), (mut r2, mut w2)) = pair();
    let echo = tokio::spawn(async move {
        let (mut buf, mut fds) = ([0; 7], VecDeque::new());
        loop {
            match read(&mut r2, &mut buf, &mut fds).await.unwrap() {
                0 => return,
                n => assert_eq!(write(&mut w2, &buf[..n], &mut fds).await.unwrap(), n),
            }
        }
    });
    let (mut buf, mut fds) = ([0; 5], VecDeque::new());
    for i in 0..20_000usize {
        let size = 1 + i % 13;
        let mut sent = VecDeque::new();
        if i % 16 == 0 {
            sent.push_back(holding("x"));
        }
        assert_eq!(write(&mut w1, &[1; 13][..size], &mut sent).await.unwrap(), size);
        let mut got = 0;
        while got < size {
            got += read(&mut r1, &mut buf, &mut fds).await.unwrap();
        }
        assert_eq!(fds.drain(..).count(), usize::from(i % 16 == 0), "{i}");
    }
    soon(poll_fn(|cx| w1.poll_close(cx))).await.unwrap();
    soon(echo).await.unwrap();
    assert_eq!(read(&mut r1, &mut buf, &mut fds).await.unwrap(), 0);
}

#[tokio::test]
async fn a_descriptor_that_finds_no_room_is_fatal() {
    if !in_own_process("unix::link::tests::a_descriptor_that_finds_no_room_is_fatal", false) {
        return;
    }
    let ((_r, mut writer), (mut reader, _w)) = pair();
    let mut fds = VecDeque::from([holding("a"), holding("b"), holding("c")]);
    write(&mut writer, b"x", &mut fds).await.unwrap();
    // Three just became free: fill up so that only two fit.
    let old = leave_descriptors(2);
    let mut arrived = VecDeque::new();
    let error = read(&mut reader, &mut [0; 16], &mut arrived).await.unwrap_err();
    assert_eq!((error.kind(), arrived.len()), (io::ErrorKind::InvalidData, 0), "{error}");
    // The two that did arrive were closed again.
    let free: Vec<_> = (0..2).map(|_| File::open("/dev/null")).collect();
    assert!(free.iter().all(Result::is_ok));
    crate::test_support::restore_descriptors(old);
}

#[tokio::test]
async fn a_killed_peer_is_an_end_and_a_broken_pipe() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut child =
        Command::new("sleep").arg("1000").stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    let link = UnixLink::new(UnixStream::from_std(ours).unwrap(), "child");
    let (mut reader, mut writer) = Box::new(link).split();
    let (mut buf, mut fds) = ([0; 16], VecDeque::new());
    let waiting = poll_fn(|cx| Poll::Ready(reader.poll_read(cx, &mut buf, &mut fds))).await;
    assert!(waiting.is_pending());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(read(&mut reader, &mut buf, &mut fds).await.unwrap(), 0);
    let mut fds = VecDeque::from([holding("x")]);
    let error = write(&mut writer, b"x", &mut fds).await.unwrap_err();
    assert_eq!((error.kind(), fds.len()), (io::ErrorKind::BrokenPipe, 1));
}

#[tokio::test]
async fn more_slices_than_the_kernel_takes() {
    let ((_r, mut writer), (mut reader, _w)) = pair();
    write(&mut writer, b"x", &mut VecDeque::new()).await.unwrap();
    let slices = vec![IoSlice::new(b"y"); 2000];
    assert_eq!(writer.try_write(&slices, &mut VecDeque::new()).unwrap(), 1024);
    assert_eq!(read(&mut reader, &mut [0; 4096], &mut VecDeque::new()).await.unwrap(), 1025);
}

#[tokio::test]
async fn info_says_what_the_link_can_do() {
    let (one, _other) = UnixLink::pair().unwrap();
    let info = one.info();
    assert!(info.passes_descriptors && info.secure);
    let peer = info.credentials.unwrap();
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    assert_eq!(peer.pid, Some(std::process::id() as i32));
}

/// `try_write` must leave no waker behind; a noop context would lose a wake-up if it did the waiting.
#[tokio::test]
async fn try_write_waits_for_nothing() {
    let ((_r, mut writer), _other) = pair();
    write(&mut writer, b"x", &mut VecDeque::new()).await.unwrap();
    let body = vec![0; 1 << 20];
    while writer.try_write(&[IoSlice::new(&body)], &mut VecDeque::new()).is_ok() {}
    let mut cx = Context::from_waker(Waker::noop());
    assert!(writer.poll_write(&mut cx, &[IoSlice::new(&body)], &mut VecDeque::new()).is_pending());
}

#[tokio::test]
async fn a_write_that_fills_the_socket_is_known_to_have() {
    let ((_r, mut writer), (mut reader, _w)) = pair();
    let (mut buf, mut fds) = (vec![0; 4 << 20], VecDeque::new());
    // From here on the reader is known to be readable.
    write(&mut writer, b"x", &mut fds).await.unwrap();
    assert_eq!(read(&mut reader, &mut buf[..1], &mut fds).await.unwrap(), 1);
    let filled = write(&mut writer, &vec![7; 4 << 20], &mut fds).await.unwrap();
    assert!(filled < 4 << 20);
    // There is room again, of which the runtime has not heard: so the kernel was not asked.
    let drained = reader.poll_read(&mut Context::from_waker(Waker::noop()), &mut buf, &mut fds);
    assert!(matches!(drained, Poll::Ready(Ok(n)) if n == filled), "{drained:?}");
    let error = writer.try_write(&[IoSlice::new(b"x")], &mut fds).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(write(&mut writer, b"y", &mut fds).await.unwrap(), 1);
    assert_eq!(read(&mut reader, &mut buf, &mut fds).await.unwrap(), 1);
}
