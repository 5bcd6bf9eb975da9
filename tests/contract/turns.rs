//! Promise 7 on one thread: who moves much lets the others have their turn in between.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_sink::Sink;
use libchan_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LARGE: usize = 1024 * 1024;

/// A task that wants nothing but its turns, and counts them.
fn ticks(each: impl Fn() + Send + 'static) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    tokio::spawn(async move {
        loop {
            counting.fetch_add(1, Relaxed);
            each();
            tokio::task::yield_now().await;
        }
    });
    count
}

fn assert_rises(seen: &[usize], what: &str) {
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{what}: {seen:?}");
}

async fn sessions() -> (Session, Session) {
    On::Unix.pair().await
}

/// Always ready, and small: as with tokio's own channels the task has its turn taken away now and then.
#[tokio::test]
async fn promise_07_others_run_between_small_messages() {
    const MANY: u32 = 10_000;
    let (a, b) = sessions().await;
    let turns = ticks(|| ());
    for capacity in [4, 64] {
        for (sender, receiver) in [pipe_with::<u32>(capacity), channel(&a, &b, capacity).await] {
            let before = turns.load(Relaxed);
            for number in 0..MANY {
                sender.send(number).await.unwrap();
                assert_eq!(receiver.recv().await, Ok(Some(number)));
            }
            let between = turns.load(Relaxed);
            assert!(between > before + 5, "{before} to {between}");
        }
        let (sender, receiver) = pipe_with::<u32>(capacity);
        let before = turns.load(Relaxed);
        for number in 0..MANY {
            sender.reserve().await.unwrap().send(number).unwrap();
            assert_eq!(receiver.try_recv(), Ok(number));
        }
        let between = turns.load(Relaxed);
        assert!(between > before + 5, "{before} to {between}");
        let (mut sink, mut stream) = (sender.into_sink(), receiver.into_stream());
        for number in 0..MANY {
            poll_fn(|cx| Pin::new(&mut sink).poll_ready(cx)).await.unwrap();
            Pin::new(&mut sink).start_send(number).unwrap();
            let got = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await;
            assert_eq!(got, Some(Ok(number)));
        }
        assert!(turns.load(Relaxed) > between + 5, "{between} to {}", turns.load(Relaxed));
    }
}

/// It never ends, so it must give way.
#[tokio::test]
async fn promise_07_others_run_while_a_channel_is_copied_into_itself() {
    let turns = ticks(|| ());
    let (sender, receiver) = pipe_with::<u32>(4);
    put(&sender, 1).await;
    let copying = tokio::spawn(copy(receiver, sender));
    let before = turns.load(Relaxed);
    yields().await;
    assert!(turns.load(Relaxed) > before + 20);
    copying.abort();
    assert!(soon(copying).await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn promise_07_others_run_between_large_messages() {
    let (a, b) = sessions().await;
    let (sender, receiver) = channel::<Blob>(&a, &b, 16).await;
    let turns = ticks(|| ());
    for _ in 0..3 {
        let (mut sent, mut taken) = (Vec::new(), Vec::new());
        // There is room for all of them.
        for _ in 0..8 {
            put(&sender, Blob(vec![7; LARGE])).await;
            sent.push(turns.load(Relaxed));
        }
        // All have come, or as many as are let in before one was taken.
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        for _ in 0..8 {
            assert_eq!(get(&receiver).await.len(), LARGE);
            taken.push(turns.load(Relaxed));
        }
        assert_rises(&sent, "sent");
        assert_rises(&taken, "taken");
    }
}

#[tokio::test]
async fn promise_01_sends_that_give_way_keep_their_order() {
    let (a, b) = sessions().await;
    let (sender, receiver) = channel::<(u32, Blob)>(&a, &b, 64).await;
    let sending = (0..40).map(|number| {
        let sender = sender.clone();
        tokio::spawn(async move { put(&sender, (number, Blob(vec![7; LARGE / 10]))).await })
    });
    let sending: Vec<_> = sending.collect();
    for expected in 0..40 {
        assert_eq!(get(&receiver).await.0, expected);
    }
    for sent in sending {
        soon(sent).await.unwrap();
    }
}

#[tokio::test]
async fn promise_07_others_run_between_reads_of_a_stream() {
    let (a, b) = sessions().await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
    let (mut here, there) = ByteStream::pair();
    put(&ship, there).await;
    let mut there = get(&shipped).await;
    let turns = ticks(|| ());
    let mut read = Vec::new();
    let (piece, mut place) = (vec![7; LARGE / 4], vec![0; LARGE / 4]);
    // The window grows with a reader that keeps up.
    for _ in 0..40 {
        let (wrote, got) = tokio::join!(here.write_all(&piece), there.read_exact(&mut place));
        wrote.unwrap();
        got.unwrap();
    }
    for _ in 0..4 {
        here.write_all(&piece).await.unwrap();
    }
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
    // Of what has arrived: nothing is waited for.
    for _ in 0..3 {
        there.read_exact(&mut place).await.unwrap();
        read.push(turns.load(Relaxed));
    }
    assert_rises(&read, "read");
}

/// Neither a `try_send` nor a blocking call gives way: the one never waits, the other has nobody to give way to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_07_who_does_not_wait_gives_no_way() {
    let (a, b) = sessions().await;
    let (sender, receiver) = channel::<Blob>(&a, &b, 64).await;
    for _ in 0..8 {
        sender.try_send(Blob(vec![7; LARGE])).unwrap();
    }
    // On a thread of the runtime, which nobody else drives meanwhile.
    tokio::task::spawn_blocking(move || {
        for _ in 0..8 {
            sender.send_blocking(Blob(vec![7; LARGE])).unwrap();
        }
    });
    let taken = tokio::task::spawn_blocking(move || {
        std::iter::from_fn(|| receiver.recv_blocking().unwrap()).map(|blob| blob.len()).sum::<usize>()
    });
    assert_eq!(soon(taken).await.unwrap(), 16 * LARGE);
}

/// A link that takes all that is written, and says how much.
struct Deep {
    pipes: [Arc<Mutex<Pipe>>; 2],
    written: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    reader: Option<Waker>,
    closed: bool,
}

struct DeepReader(Arc<Mutex<Pipe>>);

struct DeepWriter(Arc<Mutex<Pipe>>, Arc<AtomicUsize>);

impl Link for Deep {
    fn info(&self) -> LinkInfo {
        LinkInfo::new("deep")
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let Self { pipes: [reads, writes], written } = *self;
        (Box::new(DeepReader(reads)), Box::new(DeepWriter(writes, written)))
    }
}

impl LinkReader for DeepReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock().unwrap();
        if pipe.bytes.is_empty() && !pipe.closed {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut pipe.bytes, buf))
    }
}

impl LinkWriter for DeepWriter {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], _: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        let mut pipe = self.0.lock().unwrap();
        let count = io::Write::write_vectored(&mut pipe.bytes, bufs)?;
        self.1.fetch_add(count, Relaxed);
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Ok(count)
    }

    fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.try_write(bufs, descriptors))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock().unwrap();
        pipe.closed = true;
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

/// However much the link would take, the driver lets others run after some of it.
#[tokio::test]
async fn promise_07_a_driver_writes_in_turns() {
    let (there, back) = (Arc::<Mutex<Pipe>>::default(), Arc::<Mutex<Pipe>>::default());
    let written = Arc::new(AtomicUsize::new(0));
    let a = Deep { pipes: [back.clone(), there.clone()], written: written.clone() };
    let b = Deep { pipes: [there, back], written: Arc::default() };
    let options = SessionOptions::default();
    let (a, b) = tokio::join!(
        Session::start(a, Role::Dialer, options.clone()),
        Session::start(b, Role::Acceptor, options),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    let (sender, receiver) = channel::<Blob>(&a, &b, 4).await;
    let most = Arc::new(AtomicUsize::new(0));
    let most_seen = most.clone();
    let _turns = ticks(move || {
        most_seen.fetch_max(written.swap(0, Relaxed), Relaxed);
    });
    for _ in 0..3 {
        put(&sender, Blob(vec![7; 8 * LARGE])).await;
        assert_eq!(get(&receiver).await.len(), 8 * LARGE);
    }
    let most = most.load(Relaxed);
    // Two outputs: a sender's and the driver's.
    assert!((64 * 1024..=400 * 1024).contains(&most), "{most} bytes in a turn");
}
