//! Streams over a fake session: before, while and after binding; half-close; loss; relays; nothing left over.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::fake::{Tap, link};
use super::{ByteStream, InUse, pair::LANE};
use crate::cut::Cut;
use crate::error::RecvError;
use crate::sync::lock;

struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends `stream` over a fake session and gives what the receiver gets.
fn send(stream: ByteStream) -> (ByteStream, Tap) {
    let (near, far, tap) = link();
    let hold = stream.core().hold().unwrap();
    hold.bind(near);
    (ByteStream::from_remote(far), tap)
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes));
    read.await.expect("the stream hangs").expect("the stream fails");
    bytes
}

/// What arrives before the stream turns out to be cut short.
async fn read_cut(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let (bytes, kind) = read_error(stream).await;
    assert_eq!(kind, ErrorKind::ConnectionReset);
    bytes
}

async fn read_error(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, ErrorKind) {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes));
    let error = read.await.expect("the stream hangs").expect_err("the stream looks complete");
    (bytes, error.kind())
}

async fn write_error(stream: &mut (impl AsyncWrite + Unpin)) -> ErrorKind {
    let write = async {
        loop {
            if let Err(error) = stream.write_all(&[0; 4096]).await {
                return error.kind();
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), write).await.expect("writing goes on for ever")
}

/// Waits until no task but the test itself is left.
async fn no_tasks_left() {
    let gone = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("a task is left over");
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Both directions at once, then half-closed, then over.
async fn exchange(left: ByteStream, right: ByteStream, length: usize) {
    let one_side = |stream: ByteStream, length: usize| async move {
        let (mut reader, mut writer) = stream.split();
        let sent = pattern(length);
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let (got, ()) = tokio::join!(read_all(&mut reader), write);
        got
    };
    let (at_left, at_right) = tokio::join!(one_side(left, length), one_side(right, length / 2));
    assert!(at_left == pattern(length / 2) && at_right == pattern(length));
}

#[test]
fn types_are_what_their_docs_say() {
    fn is<T: Send + Sync + Unpin + std::fmt::Debug>() {}
    is::<ByteStream>();
    let (stream, _mate) = ByteStream::pair();
    assert_eq!(format!("{stream:?}"), r#"ByteStream { on: "pair", state: "open" }"#);
    let (reader, writer) = stream.split();
    assert_eq!(format!("{reader:?}"), r#"ReadHalf { on: "pair", state: "open" }"#);
    assert_eq!(format!("{writer:?}"), r#"WriteHalf { on: "pair", state: "open" }"#);
    assert!(InUse.to_string().contains("already in a message"));
}

// ---- a pair in one process

#[tokio::test]
async fn a_pair_carries_both_ways_with_half_close() {
    let (left, right) = ByteStream::pair();
    exchange(left, right, 1 << 20).await;
}

#[tokio::test]
async fn a_pair_holds_64_kib_a_direction() {
    let (mut left, mut right) = ByteStream::pair();
    left.write_all(&pattern(LANE)).await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut left).poll_write(&mut cx, b"x").is_pending());
    let mut byte = [0];
    right.read_exact(&mut byte).await.unwrap();
    assert_eq!(left.write(b"xy").await.unwrap(), 1);
}

#[tokio::test]
async fn a_dropped_end_leaves_its_bytes_and_then_an_error() {
    let (mut left, mut right) = ByteStream::pair();
    left.write_all(b"last words").await.unwrap();
    drop(left);
    assert_eq!(write_error(&mut right).await, ErrorKind::BrokenPipe);
    assert_eq!(read_cut(&mut right).await, b"last words");
}

/// Why the stream was cut short.
async fn cut(stream: &mut (impl AsyncRead + Unpin)) -> Option<Cut> {
    let error = timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await.expect("hangs");
    let error = error.expect_err("the stream looks complete");
    error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>()).and_then(RecvError::cut)
}

#[tokio::test]
async fn only_shutdown_ends_a_stream_cleanly() {
    let (left, mut right) = ByteStream::pair();
    drop(left);
    assert_eq!(cut(&mut right).await, Some(Cut::Abandoned));
    let (mut left, mut right) = ByteStream::pair();
    left.shutdown().await.unwrap();
    drop(left);
    assert_eq!(read_all(&mut right).await, b"");
    let (left, mut right) = ByteStream::pair();
    let panicked = tokio::spawn(async move {
        let _left = left;
        panic!("on purpose");
    });
    assert!(panicked.await.is_err());
    assert_eq!(cut(&mut right).await, Some(Cut::Panicked));
}

#[tokio::test]
async fn a_half_that_is_dropped_ends_its_direction() {
    let (left, mut right) = ByteStream::pair();
    let (mut reader, writer) = left.split();
    drop(writer);
    assert_eq!(cut(&mut right).await, Some(Cut::Abandoned));
    right.write_all(b"still open").await.unwrap();
    right.shutdown().await.unwrap();
    assert_eq!(read_all(&mut reader).await, b"still open");
    let (left, mut right) = ByteStream::pair();
    let (reader, mut writer) = left.split();
    drop(reader);
    assert_eq!(write_error(&mut right).await, ErrorKind::BrokenPipe);
    writer.write_all(b"still open").await.unwrap();
    writer.shutdown().await.unwrap();
    drop(writer);
    assert_eq!(read_all(&mut right).await, b"still open");
}

#[tokio::test]
async fn a_half_that_is_dropped_leaves_an_io_object_alone() {
    let (near, mut far) = duplex(64);
    let (mut reader, writer) = ByteStream::from_io(near).split();
    drop(writer);
    far.write_all(b"still open").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut reader).await, b"still open");
}

#[tokio::test]
async fn dropping_wakes_a_reader_and_a_writer() {
    let (left, right) = ByteStream::pair();
    let (mut reader, mut writer) = right.split();
    let read = tokio::spawn(async move { read_cut(&mut reader).await });
    let write = tokio::spawn(async move { writer.write_all(&[0; LANE + 1]).await.unwrap_err().kind() });
    while tasks() < 2 {
        tokio::task::yield_now().await;
    }
    drop(left);
    assert_eq!(read.await.unwrap(), b"");
    assert_eq!(write.await.unwrap(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn writing_after_shutdown_is_refused_and_reading_goes_on() {
    let (mut left, mut right) = ByteStream::pair();
    left.shutdown().await.unwrap();
    assert_eq!(left.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    right.write_all(b"still open").await.unwrap();
    drop(right);
    assert_eq!(read_cut(&mut left).await, b"still open");
}

// ---- the two phases

#[tokio::test]
async fn a_dropped_hold_gives_the_stream_back() {
    let (mut left, mut right) = ByteStream::pair();
    let hold = left.core().hold().unwrap();
    assert_eq!(left.core().hold().unwrap_err(), InUse);
    assert_eq!(left.write(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
    drop(hold);
    left.write_all(b"as before").await.unwrap();
    drop(left);
    assert_eq!(read_cut(&mut right).await, b"as before");
}

#[tokio::test]
async fn a_hold_keeps_the_stream_when_its_handle_is_gone() {
    let (left, mut right) = ByteStream::pair();
    let hold = left.core().hold().unwrap();
    drop(left);
    right.write_all(b"queued").await.unwrap();
    let mut back = hold.release();
    drop(right);
    assert_eq!(read_cut(&mut back).await, b"queued");
}

#[tokio::test]
async fn a_sent_stream_is_spent() {
    let (mut left, _right) = ByteStream::pair();
    left.core().hold().unwrap().bind(link().0);
    assert_eq!(left.core().hold().unwrap_err(), InUse);
    assert_eq!(left.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::NotConnected);
    assert!(format!("{left:?}").contains("sent"));
}

#[tokio::test]
async fn an_unconnected_stream_is_completed_later() {
    let (near, far, _) = link();
    let mut claimed = ByteStream::unconnected();
    assert_eq!(claimed.write(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
    claimed.core().connect(near);
    exchange(claimed, ByteStream::from_remote(far), 100_000).await;
}

// ---- half a pair, sent

#[tokio::test]
async fn written_before_while_and_after_binding_arrives_in_order_without_a_task() {
    let (mut kept, mut sent) = ByteStream::pair();
    kept.write_all(b"to far: before, ").await.unwrap();
    sent.write_all(b"to kept: before, ").await.unwrap();
    let hold = sent.core().hold().unwrap();
    kept.write_all(b"held, ").await.unwrap();
    let (near, far, tap) = link();
    hold.bind(near);
    drop(sent);
    let mut far = ByteStream::from_remote(far);
    kept.write_all(b"after").await.unwrap();
    far.write_all(b"after").await.unwrap();
    kept.shutdown().await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"to far: before, held, after");
    assert_eq!(read_all(&mut kept).await, b"to kept: before, after");
    assert_eq!((tasks(), tap.preloads(0)), (0, 1));
}

#[tokio::test]
async fn a_bound_pair_carries_a_mebibyte_both_ways() {
    let (kept, sent) = ByteStream::pair();
    let (far, _) = send(sent);
    exchange(kept, far, 1 << 20).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn those_who_wait_on_the_pair_go_on_with_the_session() {
    let (kept, sent) = ByteStream::pair();
    let (mut reader, mut writer) = kept.split();
    let read = tokio::spawn(async move { read_all(&mut reader).await });
    let write = tokio::spawn(async move {
        writer.write_all(&pattern(LANE + 100)).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!write.is_finished());
    let (mut far, _) = send(sent);
    far.write_all(b"hello").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, pattern(LANE + 100));
    write.await.unwrap();
    assert_eq!(read.await.unwrap(), b"hello");
}

/// The moment of binding, met by a writer and a reader on other threads, many times.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn binding_in_the_middle_keeps_the_order() {
    for round in 0..100 {
        let (kept, sent) = ByteStream::pair();
        let (mut reader, mut writer) = kept.split();
        let writing = tokio::spawn(async move {
            for chunk in pattern(150_000).chunks(977) {
                writer.write_all(chunk).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        });
        let reading = tokio::spawn(async move { read_all(&mut reader).await });
        for _ in 0..round % 40 {
            tokio::task::yield_now().await;
        }
        let (far, _) = send(sent);
        let (mut far_reader, mut far_writer) = far.split();
        let back = async {
            far_writer.write_all(&pattern(50_000)).await.unwrap();
            far_writer.shutdown().await.unwrap();
        };
        let (got, ()) = tokio::join!(read_all(&mut far_reader), back);
        assert!(got == pattern(150_000), "round {round}");
        writing.await.unwrap();
        assert!(reading.await.unwrap() == pattern(50_000), "round {round}");
    }
    no_tasks_left().await;
}

#[tokio::test]
async fn a_half_close_before_binding_is_repeated() {
    let (mut kept, sent) = ByteStream::pair();
    kept.write_all(b"all there is").await.unwrap();
    kept.shutdown().await.unwrap();
    let (mut far, tap) = send(sent);
    assert_eq!(tap.end(0), Some(Ok(())));
    assert_eq!(read_all(&mut far).await, b"all there is");
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut kept).await, b"answer");
}

#[tokio::test]
async fn an_end_closed_before_it_was_sent_stays_closed() {
    let (mut kept, mut sent) = ByteStream::pair();
    sent.write_all(b"closed").await.unwrap();
    sent.shutdown().await.unwrap();
    let (mut far, tap) = send(sent);
    assert_eq!(read_all(&mut kept).await, b"closed");
    assert!(tap.stopped(1).is_some());
    assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
    kept.write_all(b"still").await.unwrap();
    drop(kept);
    assert_eq!(read_cut(&mut far).await, b"still");
}

#[tokio::test]
async fn a_mate_dropped_before_binding_leaves_its_bytes() {
    let (mut kept, sent) = ByteStream::pair();
    kept.write_all(b"and gone").await.unwrap();
    drop(kept);
    let (mut far, _) = send(sent);
    assert_eq!(read_cut(&mut far).await, b"and gone");
    assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn a_mate_dropped_after_binding_ends_the_stream() {
    for used in [false, true] {
        let (mut kept, sent) = ByteStream::pair();
        let (mut far, tap) = send(sent);
        if used {
            kept.write_all(b"x").await.unwrap();
        }
        drop(kept);
        assert_eq!(read_cut(&mut far).await.len(), usize::from(used));
        assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
        assert!(matches!(tap.end(0), Some(Err(_))), "it was not shut down");
    }
}

#[tokio::test]
async fn a_handle_that_outlives_its_sending_holds_nothing_open() {
    let (kept, sent) = ByteStream::pair();
    let (mut far, _) = send(ByteStream::from_core(sent.core().clone()));
    drop(kept);
    assert_eq!(read_cut(&mut far).await, b"");
    drop(sent);
}

#[tokio::test]
async fn a_lost_session_is_an_error_after_what_arrived() {
    let (mut kept, sent) = ByteStream::pair();
    let (mut far, tap) = send(sent);
    far.write_all(b"half of i").await.unwrap();
    tap.lose();
    assert_eq!(read_error(&mut kept).await, (b"half of i".to_vec(), ErrorKind::ConnectionReset));
    assert_eq!(kept.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

// ---- relays

/// Two sessions in a row, the stream between them sent on as it arrived.
fn two_hops(stream: ByteStream) -> (ByteStream, Tap, Tap) {
    let (middle, first) = send(stream);
    let (far, second) = send(middle);
    (far, first, second)
}

#[tokio::test]
async fn a_received_stream_is_sent_on() {
    let (kept, sent) = ByteStream::pair();
    let (far, ..) = two_hops(sent);
    assert_eq!(tasks(), 1);
    exchange(kept, far, 1 << 20).await;
    no_tasks_left().await;
}

#[tokio::test]
async fn both_halves_of_a_pair_are_sent() {
    let (mut left, mut right) = ByteStream::pair();
    left.write_all(b"from left, ").await.unwrap();
    right.write_all(b"from right, ").await.unwrap();
    let (mut far_left, first) = send(left);
    let (mut far_right, second) = send(right);
    assert_eq!((first.preloads(0), second.preloads(0)), (1, 0));
    far_left.write_all(b"and far left").await.unwrap();
    far_right.write_all(b"and far right").await.unwrap();
    far_left.shutdown().await.unwrap();
    far_right.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far_left).await, b"from right, and far right");
    assert_eq!(read_all(&mut far_right).await, b"from left, and far left");
    no_tasks_left().await;
}

#[tokio::test]
async fn a_mate_that_used_the_session_is_sent_later() {
    let (mut kept, sent) = ByteStream::pair();
    let (mut far, _) = send(sent);
    kept.write_all(b"first, ").await.unwrap();
    far.write_all(b"x").await.unwrap();
    kept.read_exact(&mut [0]).await.unwrap();
    let (mut far_kept, _) = send(kept);
    far_kept.write_all(b"second").await.unwrap();
    far_kept.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"first, second");
    drop(far);
    assert_eq!(read_cut(&mut far_kept).await, b"");
    no_tasks_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn both_halves_sent_at_once_from_two_threads() {
    for _ in 0..200 {
        let (left, right) = ByteStream::pair();
        let one = tokio::spawn(async { send(left).0 });
        let two = tokio::spawn(async { send(right).0 });
        exchange(one.await.unwrap(), two.await.unwrap(), 20_000).await;
    }
    no_tasks_left().await;
}

#[tokio::test]
async fn an_io_object_is_copied_with_half_close() {
    let (near, far_io) = duplex(1000);
    let (far, _) = send(ByteStream::from_io(near));
    exchange(ByteStream::from_io(far_io), far, 1 << 20).await;
    no_tasks_left().await;
}

#[tokio::test]
async fn a_loss_on_one_side_of_a_relay_is_an_error_on_the_other() {
    for lose_first in [true, false] {
        let (mut kept, sent) = ByteStream::pair();
        let (mut far, first, second) = two_hops(sent);
        kept.write_all(b"part").await.unwrap();
        far.write_all(b"part").await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
        kept.read_exact(&mut [0; 4]).await.unwrap();
        if lose_first {
            first.lose()
        } else {
            second.lose()
        }
        let (near_kind, far_kind) = tokio::join!(read_error(&mut kept), read_error(&mut far));
        assert_eq!((near_kind.1, far_kind.1), (ErrorKind::ConnectionReset, ErrorKind::ConnectionReset));
        no_tasks_left().await;
    }
}

#[tokio::test]
async fn a_reset_goes_through_a_relay_with_its_text() {
    let (near, middle, _) = link();
    let (mut far, tap) = send(ByteStream::from_remote(middle));
    super::RemoteStream::reset(&*near, &crate::cut::Cause::disconnected("the disk is full"));
    let (_, kind) = read_error(&mut far).await;
    assert_eq!(kind, ErrorKind::ConnectionReset);
    assert!(tap.end(0).unwrap().unwrap_err().contains("the disk is full"));
    no_tasks_left().await;
}

#[tokio::test]
async fn a_receiver_that_leaves_ends_an_idle_relay() {
    let (near, io) = duplex(1000);
    let (far, _) = send(ByteStream::from_io(near));
    drop(far);
    no_tasks_left().await;
    let mut io = io;
    assert_eq!(read_all(&mut io).await, b"");
    assert_eq!(write_error(&mut io).await, ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_reader_that_stops_leaves_the_other_direction_alone() {
    let (kept, middle, tap) = link();
    let (far, end, _) = link();
    ByteStream::from_remote(middle).core().hold().unwrap().bind(far);
    super::RemoteStream::stop(&*end, &crate::cut::Cause::disconnected("enough"));
    let mut kept = ByteStream::from_remote(kept);
    assert_eq!(write_error(&mut kept).await, ErrorKind::BrokenPipe);
    assert!(tap.stopped(0).is_some());
    let mut end = ByteStream::from_remote(end);
    end.write_all(b"but still").await.unwrap();
    end.shutdown().await.unwrap();
    assert_eq!(read_all(&mut kept).await, b"but still");
    no_tasks_left().await;
}

#[test]
fn a_relay_whose_runtime_goes_away_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (io, _far_io) = duplex(1000);
    let (_far, tap) = runtime.block_on(async { send(ByteStream::from_io(io)) });
    drop(runtime);
    assert!(tap.end(0).unwrap().unwrap_err().contains("runtime"));
}

#[test]
fn without_a_runtime_a_relay_is_an_error_and_a_pair_works() {
    let (_far, tap) = send(ByteStream::from_io(duplex(1000).0));
    assert!(tap.end(0).unwrap().unwrap_err().contains("no tokio runtime"));
    let (mut kept, sent) = ByteStream::pair();
    let (mut far, _) = send(sent);
    crate::sync::block_on(async {
        kept.write_all(b"no runtime").await.unwrap();
        drop(kept);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(bytes, b"no runtime");
    });
}

// ---- one-way streams

#[tokio::test]
async fn a_reader_gives_and_refuses() {
    let mut stream = ByteStream::from_reader(&b"content"[..]);
    assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(read_all(&mut stream).await, b"content");

    let (mut far, tap) = send(ByteStream::from_reader(&b"content"[..]));
    assert_eq!(read_all(&mut far).await, b"content");
    assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
    assert!(tap.stopped(1).unwrap().contains("made from a reader"));
    no_tasks_left().await;
}

#[tokio::test]
async fn a_writer_takes_and_is_at_its_end() {
    let (writer, mut content) = duplex(100);
    let (mut far, _) = send(ByteStream::from_writer(writer));
    assert_eq!(read_all(&mut far).await, b"");
    far.write_all(b"into the log").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut content).await, b"into the log");
    no_tasks_left().await;
}

// ---- cancelling

#[tokio::test]
async fn a_dropped_read_loses_nothing() {
    let (mut kept, sent) = ByteStream::pair();
    let (mut far, _) = send(sent);
    let mut cancelled = 0;
    for byte in 0..100u8 {
        let waker = Arc::new(Counting(AtomicUsize::new(0)));
        let mut space = [0; 4];
        {
            let mut read = std::pin::pin!(kept.read(&mut space));
            let waker = Waker::from(waker.clone());
            assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            cancelled += 1;
        }
        far.write_all(&[byte]).await.unwrap();
        assert_eq!(waker.0.load(Ordering::Relaxed), 1);
        assert_eq!(kept.read(&mut space).await.unwrap(), 1);
        assert_eq!(space[0], byte);
    }
    assert_eq!(cancelled, 100);
}

// ---- the moment of binding, step by step

/// A session's stream that runs `hook` while a pair hands its bytes over.
struct Hooked {
    inner: Arc<super::fake::FakeRemote>,
    hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl super::RemoteStream for Hooked {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_read(cx, buf)
    }
    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, data)
    }
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }
    fn preload(&self, data: &[u8]) {
        if let Some(hook) = lock(&self.hook).take() {
            hook();
        }
        self.inner.preload(data);
    }
    fn reset(&self, why: &crate::cut::Cause) {
        self.inner.reset(why);
    }
}

/// Binds the mate of a stream that has written `before`, and lets `hook` use that stream meanwhile.
async fn while_leaving(hook: impl FnOnce(&Mutex<Option<ByteStream>>) + Send + 'static) -> (Kept, ByteStream) {
    let (mut kept, sent) = ByteStream::pair();
    kept.write_all(b"before, ").await.unwrap();
    let kept = Arc::new(Mutex::new(Some(kept)));
    let (near, far, _) = link();
    let hook = {
        let kept = kept.clone();
        Box::new(move || hook(&kept))
    };
    sent.core().hold().unwrap().bind(Arc::new(Hooked { inner: near, hook: Mutex::new(Some(hook)) }));
    (kept, ByteStream::from_remote(far))
}

type Kept = Arc<Mutex<Option<ByteStream>>>;

#[tokio::test]
async fn nothing_overtakes_what_is_being_handed_over() {
    let waker = Arc::new(Counting(AtomicUsize::new(0)));
    let in_hook = waker.clone();
    let (kept, mut far) = while_leaving(move |kept| {
        let mut kept = lock(kept);
        let mut kept = Pin::new(kept.as_mut().unwrap());
        let waker = Waker::from(in_hook);
        let mut cx = Context::from_waker(&waker);
        assert!(kept.as_mut().poll_write(&mut cx, b"after").is_pending());
        assert!(kept.as_mut().poll_flush(&mut cx).is_pending());
        assert!(kept.as_mut().poll_shutdown(&mut cx).is_pending());
        assert!(kept.as_mut().poll_read(&mut cx, &mut ReadBuf::new(&mut [0; 4])).is_pending());
    })
    .await;
    assert_eq!(waker.0.load(Ordering::Relaxed), 2, "a reader and a writer waited");
    let mut kept = lock(&kept).take().unwrap();
    kept.write_all(b"after").await.unwrap();
    kept.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"before, after");
}

#[tokio::test]
async fn a_mate_dropped_while_its_bytes_are_handed_over() {
    let (_, mut far) = while_leaving(|kept| drop(lock(kept).take())).await;
    assert_eq!(read_cut(&mut far).await, b"before, ");
    assert_eq!(write_error(&mut far).await, ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_mate_sent_while_its_bytes_are_handed_over() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let runtime = Handle::current();
    let (_, mut far) = while_leaving(move |kept| {
        let _context = runtime.enter();
        let kept = lock(kept).take().unwrap();
        sender.send(send(kept).0).unwrap();
    })
    .await;
    let mut far_kept = receiver.recv().unwrap();
    far_kept.write_all(b"after").await.unwrap();
    far_kept.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"before, after");
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far_kept).await, b"");
    no_tasks_left().await;
}
