//! What a link promises, seen without a session.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::Poll;

use libchan::{Link, LinkReader, LinkWriter};
use tokio::io::DuplexStream;

use super::*;

type Halves = (Box<dyn LinkReader>, Box<dyn LinkWriter>);

/// Two links over a pipe that holds so many bytes.
async fn links(room: usize) -> (Halves, Halves) {
    let (one, other) = streams(room).await;
    let split = |stream| Link::split(Box::new(TlsLink::new(stream, "")));
    (split(one), split(other))
}

async fn streams(room: usize) -> (TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
    let (here, there) = tokio::io::duplex(room);
    let issued = Authority::new("root").issue();
    let (serving, pin) = (server(issued.serves()), TlsClientOptions::new().pin(issued.fingerprint()));
    let limit = std::time::Duration::from_secs(10);
    let connecting = connect_tls(here, "localhost", &pin, &[ALPN]);
    let accepting = accept_tls(there, &serving, &[ALPN], limit);
    let (one, other) = soon(async { tokio::join!(connecting, accepting) }).await;
    (one.unwrap(), other.unwrap())
}

async fn read(reader: &mut Box<dyn LinkReader>, buf: &mut [u8]) -> io::Result<usize> {
    soon(poll_fn(|cx| reader.poll_read(cx, buf, &mut VecDeque::new()))).await
}

async fn write(writer: &mut Box<dyn LinkWriter>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    soon(poll_fn(|cx| writer.poll_write(cx, bufs, &mut VecDeque::new()))).await
}

#[tokio::test]
async fn slices_arrive_joined_and_the_end_is_told() {
    let ((mut reader, mut writer), (mut far_reader, mut far_writer)) = links(4096).await;
    assert!(writer.driver_only());
    let slices = [IoSlice::new(b"a"), IoSlice::new(b""), IoSlice::new(b"bc")];
    assert_eq!(write(&mut writer, &slices).await.unwrap(), 3);
    let mut buf = [0; 16];
    assert_eq!(read(&mut far_reader, &mut buf).await.unwrap(), 3);
    assert_eq!(&buf[..3], b"abc");
    assert_eq!(far_writer.try_write(&[IoSlice::new(b"back")], &mut VecDeque::new()).unwrap(), 4);
    assert_eq!(read(&mut reader, &mut buf[..3]).await.unwrap(), 3);
    assert_eq!(read(&mut reader, &mut buf).await.unwrap(), 1);
    soon(poll_fn(|cx| writer.poll_close(cx))).await.unwrap();
    for _ in 0..2 {
        assert_eq!(read(&mut far_reader, &mut buf).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn descriptors_are_refused_and_kept() {
    let ((_reader, mut writer), _far) = links(4096).await;
    let mut descriptors = VecDeque::from([OwnedFd::from(std::fs::File::open("/dev/null").unwrap())]);
    let error = writer.try_write(&[IoSlice::new(b"x")], &mut descriptors).unwrap_err();
    assert_eq!((error.kind(), descriptors.len()), (io::ErrorKind::InvalidInput, 1));
}

/// The wire takes little at a time. What is accepted arrives although nobody flushes: polling the reading
/// half is enough. And a peer that does not read stops the writer.
#[tokio::test]
async fn what_is_accepted_leaves_without_a_flush() {
    let ((mut reader, mut writer), (mut far_reader, _far_writer)) = links(100).await;
    let data = vec![7; 1_000_000];
    let accepted = write(&mut writer, &[IoSlice::new(&data)]).await.unwrap();
    assert!(accepted > 0 && accepted < data.len(), "{accepted}");
    let waits = poll_fn(|cx| {
        Poll::Ready(writer.poll_write(cx, &[IoSlice::new(b"more")], &mut VecDeque::new()).is_pending())
    });
    assert!(waits.await);
    let full = writer.try_write(&[IoSlice::new(b"more")], &mut VecDeque::new());
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let turning = tokio::spawn(async move { read(&mut reader, &mut [0; 16]).await });
    let mut got = 0;
    let mut buf = vec![0; 5_000];
    while got < accepted {
        got += read(&mut far_reader, &mut buf).await.unwrap();
    }
    assert_eq!(got, accepted);
    turning.abort();
}

/// An end without close_notify is an end: whether a session was lost, its goodbye says.
#[tokio::test]
async fn an_end_without_a_farewell_is_an_end() {
    let ((mut reader, mut writer), far) = links(4096).await;
    drop(far);
    assert_eq!(read(&mut reader, &mut [0; 16]).await.unwrap(), 0);
    // The peer was never heard, so a failure to write is left to reading; now it has been told.
    let _ = writer.try_write(&[IoSlice::new(b"x")], &mut VecDeque::new());
}

/// What came before the damage is delivered, then the error, as often as it is asked for.
#[tokio::test]
async fn damaged_bytes_are_an_error_after_what_was_good() {
    let (one, other) = streams(4096).await;
    let mut reader = Link::split(Box::new(TlsLink::new(one, ""))).0;
    let TlsStream::Server(other) = other else { panic!("no server") };
    let (mut io, mut connection) = other.into_inner();
    io::Write::write_all(&mut connection.writer(), b"good").unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes.extend([0x17, 3, 3, 0, 20]);
    bytes.extend([9; 20]);
    tokio::io::AsyncWriteExt::write_all(&mut io, &bytes).await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(read(&mut reader, &mut buf).await.unwrap(), 4);
    for _ in 0..2 {
        let error = read(&mut reader, &mut buf).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
}
