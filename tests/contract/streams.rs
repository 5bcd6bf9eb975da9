//! Byte streams inside messages: two ways, half-close, backpressure, and used before, while and after they travel.

use std::io::ErrorKind;
use std::pin::pin;

use libchan_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A stream whose one end has crossed.
async fn across(on: On) -> (Session, Session, ByteStream, ByteStream) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (here, there) = ByteStream::pair();
    put(&ship, there).await;
    let there = get(&shipped).await;
    (a, b, here, there)
}

/// Writes all and half-closes, in the background.
fn write(
    mut stream: impl AsyncWriteExt + Unpin + Send + 'static,
    bytes: Vec<u8>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        soon(stream.write_all(&bytes)).await.unwrap();
        soon(stream.shutdown()).await.unwrap();
    })
}

async fn read(mut stream: impl AsyncReadExt + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

async fn streams_go_both_ways_at_once(on: On) {
    let (_a, _b, here, there) = across(on).await;
    let (here_reads, here_writes) = here.split();
    let (there_reads, there_writes) = there.split();
    let one = write(here_writes, pattern(400_000, 1));
    let two = write(there_writes, pattern(300_000, 2));
    let reading = tokio::spawn(read(there_reads));
    assert!(read(here_reads).await == pattern(300_000, 2));
    assert!(soon(reading).await.unwrap() == pattern(400_000, 1));
    one.await.unwrap();
    two.await.unwrap();
}

async fn what_was_written_before_the_message_was_sent_arrives(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (mut here, there) = ByteStream::pair();
    soon(here.write_all(b"before, ")).await.unwrap();
    put(&ship, there).await;
    soon(here.write_all(b"while ")).await.unwrap();
    let mut there: ByteStream = get(&shipped).await;
    soon(here.write_all(b"and after")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(there.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "before, while and after");
}

async fn an_end_used_from_both_sides_before_it_travels(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (mut here, mut there) = ByteStream::pair();
    soon(there.write_all(b"from the traveller ")).await.unwrap();
    soon(here.write_all(b"0123456789")).await.unwrap();
    let mut digits = [0; 4];
    soon(there.read_exact(&mut digits)).await.unwrap();
    put(&ship, there).await;
    let mut there: ByteStream = get(&shipped).await;
    soon(there.write_all(b"and from afar")).await.unwrap();
    drop(there.shutdown().await);
    let mut digits = [0; 6];
    soon(there.read_exact(&mut digits)).await.unwrap();
    assert_eq!(&digits, b"456789");
    let mut got = String::new();
    soon(here.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "from the traveller and from afar");
}

async fn half_close_leaves_the_other_direction_open(on: On) {
    let (_a, _b, mut here, mut there) = across(on).await;
    soon(here.write_all(b"question")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(there.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "question");
    for _ in 0..10 {
        soon(there.write_all(&[b'a'; 10_000])).await.unwrap();
        let mut buffer = [0; 10_000];
        soon(here.read_exact(&mut buffer)).await.unwrap();
    }
    soon(there.shutdown()).await.unwrap();
    drop(there);
    assert_eq!(soon(here.read(&mut [0; 4])).await.unwrap(), 0);
}

async fn writing_after_ones_own_shutdown_fails(on: On) {
    let (_a, _b, mut here, there) = across(on).await;
    soon(here.shutdown()).await.unwrap();
    assert!(soon(here.write_all(b"late")).await.is_err());
    assert_eq!(read(there).await, b"");
}

async fn dropping_an_end_cuts_the_other_short(on: On) {
    let (_a, _b, mut here, mut there) = across(on).await;
    soon(there.write_all(b"last words")).await.unwrap();
    drop(there);
    let mut got = Vec::new();
    let error = soon(here.read_to_end(&mut got)).await.unwrap_err();
    assert_eq!(got, b"last words");
    let why = error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>());
    assert_eq!(why.and_then(RecvError::cut), Some(Cut::Abandoned));
    let error = loop {
        match soon(here.write_all(&[0; 1000])).await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

async fn a_writer_waits_for_its_reader(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
    let (mut here, there) = ByteStream::pair();
    put(&ship, there).await;
    let there = get(&shipped).await;
    let mut written = 0;
    loop {
        let mut writing = pin!(here.write(&[1; 8192]));
        let mut done = poll_once(writing.as_mut()).await;
        for _ in 0..3 {
            if done.is_none() {
                probe.settle().await;
                done = poll_once(writing.as_mut()).await;
            }
        }
        let Some(count) = done else { break };
        written += count.unwrap();
        assert!(written < 1_000_000, "a reader that does not read bounds nothing");
    }
    let writing = write(here, vec![1; 100_000]);
    assert_eq!(read(there).await.len(), written + 100_000);
    writing.await.unwrap();
}

async fn io_objects_of_the_users_travel(on: On) {
    let (a, b) = on.pair().await;
    tell([&a, &b]);
    let (ship, shipped) = channel::<Vec<ByteStream>>(&a, &b, 1).await;
    let (near, far) = tokio::io::duplex(100);
    let (mut near_reader, only_written) = tokio::io::duplex(100);
    let only_read = std::io::Cursor::new(pattern(50_000, 3));
    put(
        &ship,
        vec![
            ByteStream::from_io(far),
            ByteStream::from_reader(only_read),
            ByteStream::from_writer(only_written),
        ],
    )
    .await;
    let mut streams = get(&shipped).await.into_iter();
    let (both, reads, mut writes) =
        (streams.next().unwrap(), streams.next().unwrap(), streams.next().unwrap());
    let (near_reads, near_writes) = tokio::io::split(near);
    let (far_reads, far_writes) = both.split();
    let one = write(near_writes, pattern(20_000, 1));
    let two = write(far_writes, pattern(20_000, 2));
    let reading = tokio::spawn(read(near_reads));
    assert!(read(far_reads).await == pattern(20_000, 1));
    assert!(soon(reading).await.unwrap() == pattern(20_000, 2));
    one.await.unwrap();
    two.await.unwrap();
    assert!(read(reads).await == pattern(50_000, 3));
    soon(writes.write_all(b"only written")).await.unwrap();
    soon(writes.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(near_reader.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "only written");
}

async fn many_streams_at_once(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<(u64, Vec<ByteStream>)>(&a, &b, 4).await;
    let serving = tokio::spawn(async move {
        let mut tasks = Vec::new();
        while let Some((round, streams)) = shipped.recv().await.unwrap() {
            for (number, stream) in streams.into_iter().enumerate() {
                tasks.push(tokio::spawn(async move {
                    let (reads, writes) = stream.split();
                    let echoing = write(writes, pattern(3_000, round * 100 + number as u64));
                    assert!(read(reads).await == pattern(5_000, round * 100 + number as u64));
                    echoing.await.unwrap();
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let mut tasks = Vec::new();
    for round in 0..4 {
        let (heres, theres): (Vec<_>, Vec<_>) = (0..20).map(|_| ByteStream::pair()).unzip();
        put(&ship, (round, theres)).await;
        for (number, here) in heres.into_iter().enumerate() {
            tasks.push(tokio::spawn(async move {
                let (reads, writes) = here.split();
                let writing = write(writes, pattern(5_000, round * 100 + number as u64));
                assert!(read(reads).await == pattern(3_000, round * 100 + number as u64));
                writing.await.unwrap();
            }));
        }
    }
    drop(ship);
    for task in tasks {
        soon(task).await.unwrap();
    }
    soon(serving).await.unwrap();
    if on.encodes() {
        eventually(|| a.open_channels() == 0 && b.open_channels() == 0).await;
    }
}

async fn both_ends_of_a_stream_leave(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
    let (ship_other, arrived) = channel::<ByteStream>(&c, &d, 1).await;
    let (left, right) = ByteStream::pair();
    put(&ship, left).await;
    put(&ship_other, right).await;
    let (left, right) = (get(&shipped).await, get(&arrived).await);
    let (left_reads, left_writes) = left.split();
    let (right_reads, right_writes) = right.split();
    let one = write(left_writes, pattern(100_000, 1));
    let two = write(right_writes, pattern(100_000, 2));
    let reading = tokio::spawn(read(left_reads));
    assert!(read(right_reads).await == pattern(100_000, 1));
    assert!(soon(reading).await.unwrap() == pattern(100_000, 2));
    one.await.unwrap();
    two.await.unwrap();
}

async fn a_stream_goes_there_and_back(on: On) {
    let (a, b) = on.pair().await;
    let (there, at_b) = channel::<ByteStream>(&a, &b, 1).await;
    let (back, at_a) = channel::<ByteStream>(&b, &a, 1).await;
    let (mut here, mut traveller) = ByteStream::pair();
    for round in 0..5u8 {
        soon(here.write_all(&[round; 100])).await.unwrap();
        put(&there, traveller).await;
        let mut far = get(&at_b).await;
        let mut buffer = [0; 50];
        soon(far.read_exact(&mut buffer)).await.unwrap();
        assert_eq!(buffer, [round; 50]);
        put(&back, far).await;
        traveller = get(&at_a).await;
        soon(traveller.read_exact(&mut buffer)).await.unwrap();
        assert_eq!(buffer, [round; 50]);
    }
    soon(here.shutdown()).await.unwrap();
    assert_eq!(read(traveller).await, b"");
}

async fn a_reader_that_fails_is_an_error_not_an_end(on: On) {
    struct Fails;
    impl tokio::io::AsyncRead for Fails {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
            _buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::Error::other("the disk is gone")))
        }
    }
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
    put(&ship, ByteStream::from_reader(Fails)).await;
    let mut stream = get(&shipped).await;
    let error = soon(stream.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
}

libchan_tests::contract_and_https! {
    streams_go_both_ways_at_once,
    what_was_written_before_the_message_was_sent_arrives,
    an_end_used_from_both_sides_before_it_travels,
    half_close_leaves_the_other_direction_open,
    writing_after_ones_own_shutdown_fails,
    dropping_an_end_cuts_the_other_short,
    a_writer_waits_for_its_reader,
    io_objects_of_the_users_travel,
    many_streams_at_once,
    both_ends_of_a_stream_leave,
    a_stream_goes_there_and_back,
    a_reader_that_fails_is_an_error_not_an_end,
}
