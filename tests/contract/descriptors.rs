//! Promise 12: a descriptor in a message is moved, passed or pumped, by the best means of the transport.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use libchan_tests::*;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Handover {
    note: String,
    fds: Vec<Fd>,
}

/// A regular file with this content, at its start.
fn file(scratch: &Scratch, name: &str, content: &[u8]) -> File {
    let mut file = File::options().read(true).write(true).create_new(true).open(scratch.path(name)).unwrap();
    file.write_all(content).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

async fn ship(on: On) -> (Session, Session, Sender<Handover>, Receiver<Handover>) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel(&a, &b, 4).await;
    (a, b, sender, receiver)
}

async fn hand_over(sender: &Sender<Handover>, receiver: &Receiver<Handover>, fds: Vec<Fd>) -> Vec<Fd> {
    put(sender, Handover { note: "here".to_owned(), fds }).await;
    let got = get(receiver).await;
    assert_eq!(got.note, "here");
    got.fds
}

async fn promise_12_a_file_arrives_as_a_stream(on: On) {
    let scratch = Scratch::new();
    let (_a, _b, sender, receiver) = ship(on).await;
    for size in [0, 1, 5_000, 300_000] {
        let content = pattern(size, 1);
        let file = file(&scratch, &size.to_string(), &content);
        let fd = hand_over(&sender, &receiver, vec![file.into()]).await.remove(0);
        assert_eq!(fd.is_passed(), on.passes_descriptors());
        let mut got = Vec::new();
        soon(fd.into_stream().unwrap().read_to_end(&mut got)).await.unwrap();
        assert!(got == content, "{size} bytes came as {}", got.len());
    }
}

async fn promise_12_an_owned_descriptor_is_there_everywhere(on: On) {
    let scratch = Scratch::new();
    let (_a, _b, sender, receiver) = ship(on).await;
    let content = pattern(100_000, 2);
    let file = file(&scratch, "f", &content);
    let fd = hand_over(&sender, &receiver, vec![file.into()]).await.remove(0);
    let owned: OwnedFd = fd.into_owned().unwrap();
    assert!(fcntl_getfd(&owned).unwrap().contains(FdFlags::CLOEXEC));
    let reading = tokio::task::spawn_blocking(move || {
        let mut got = Vec::new();
        File::from(owned).read_to_end(&mut got).map(|_| got)
    });
    assert!(soon(reading).await.unwrap().unwrap() == content);
}

async fn promise_12_passed_descriptors_are_the_very_same(on: On) {
    if !on.passes_descriptors() {
        return;
    }
    let scratch = Scratch::new();
    let (_a, _b, sender, receiver) = ship(on).await;
    let file = file(&scratch, "f", b"content");
    let before = rustix::fs::fstat(&file).unwrap();
    let fd = hand_over(&sender, &receiver, vec![file.into()]).await.remove(0).into_owned().unwrap();
    let after = rustix::fs::fstat(&fd).unwrap();
    assert_eq!((before.st_dev, before.st_ino), (after.st_dev, after.st_ino));
    assert!(fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC));
}

async fn promise_12_half_close_is_kept(on: On) {
    let (_a, _b, sender, receiver) = ship(on).await;
    let (here, there) = UnixStream::pair().unwrap();
    let fd = hand_over(&sender, &receiver, vec![there.into()]).await.remove(0);
    here.set_nonblocking(true).unwrap();
    let mut here = tokio::net::UnixStream::from_std(here).unwrap();
    let mut there = fd.into_stream().unwrap();
    soon(here.write_all(b"question")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(there.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "question");
    soon(there.write_all(b"answer")).await.unwrap();
    soon(there.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(here.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "answer");
}

async fn promise_12_a_pipes_both_ends_can_leave(on: On) {
    let (_a, _b, sender, receiver) = ship(on).await;
    let (reader, writer) = std::io::pipe().unwrap();
    let (near_reader, near_writer) = std::io::pipe().unwrap();
    let mut fds = hand_over(&sender, &receiver, vec![reader.into(), near_writer.into()]).await.into_iter();
    // What we write arrives there, and what is written there arrives here, with the ends.
    let mut writer = File::from(OwnedFd::from(writer));
    let writing = tokio::task::spawn_blocking(move || writer.write_all(&pattern(200_000, 3)));
    let mut got = Vec::new();
    soon(fds.next().unwrap().into_stream().unwrap().read_to_end(&mut got)).await.unwrap();
    assert!(got == pattern(200_000, 3));
    soon(writing).await.unwrap().unwrap();
    let mut there = fds.next().unwrap().into_stream().unwrap();
    let mut near_reader = File::from(OwnedFd::from(near_reader));
    let reading = tokio::task::spawn_blocking(move || {
        let mut got = Vec::new();
        near_reader.read_to_end(&mut got).map(|_| got)
    });
    soon(there.write_all(&pattern(200_000, 4))).await.unwrap();
    soon(there.shutdown()).await.unwrap();
    drop(there);
    assert!(soon(reading).await.unwrap().unwrap() == pattern(200_000, 4));
}

async fn promise_12_a_file_is_written_from_far(on: On) {
    let scratch = Scratch::new();
    let (_a, _b, sender, receiver) = ship(on).await;
    let output = File::create_new(scratch.path("out")).unwrap();
    let fd = hand_over(&sender, &receiver, vec![output.into()]).await.remove(0);
    let mut stream = fd.into_stream().unwrap();
    soon(stream.write_all(&pattern(100_000, 5))).await.unwrap();
    soon(stream.shutdown()).await.unwrap();
    drop(stream);
    let path = scratch.path("out");
    eventually(|| std::fs::metadata(&path).unwrap().len() == 100_000).await;
    assert!(std::fs::read(&path).unwrap() == pattern(100_000, 5));
}

async fn promise_12_what_is_no_byte_stream_fails_where_it_must_be_pumped(on: On) {
    let (_a, _b, sender, receiver) = ship(on).await;
    let directory = || File::open("/").unwrap();
    let listener = || OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let things: Vec<OwnedFd> = vec![directory().into(), listener()];
    for thing in things {
        let handover = Handover { note: "here".to_owned(), fds: vec![Fd::new(thing)] };
        if on.passes_descriptors() {
            put(&sender, handover).await;
            assert!(get(&receiver).await.fds[0].is_passed());
        } else {
            let error = refused(&sender, handover).await;
            assert!(matches!(&error.reason, SendFailure::NotPumpable(_)), "{error:?}");
            assert_eq!((error.value.note.as_str(), error.value.fds.len()), ("here", 1));
            // It is whole and ours.
            let fd = error.value.fds.into_iter().next().unwrap().into_owned().unwrap();
            fcntl_getfd(&fd).unwrap();
        }
    }
    put(&sender, Handover { note: "usable".to_owned(), fds: Vec::new() }).await;
    assert_eq!(get(&receiver).await.note, "usable");
}

async fn promise_12_the_callers_flags_are_never_changed(on: On) {
    let scratch = Scratch::new();
    let (_a, _b, sender, receiver) = ship(on).await;
    let (near, far) = UnixStream::pair().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let file = file(&scratch, "f", b"content");
    // Copies of the descriptors share their file status flags.
    let kept: Vec<OwnedFd> = vec![
        far.as_fd().try_clone_to_owned().unwrap(),
        reader.as_fd().try_clone_to_owned().unwrap(),
        file.as_fd().try_clone_to_owned().unwrap(),
    ];
    let before: Vec<OFlags> = kept.iter().map(|fd| fcntl_getfl(fd).unwrap()).collect();
    let fds = vec![Fd::new(far), Fd::new(reader), Fd::new(file)];
    let fds = hand_over(&sender, &receiver, fds).await;
    let mut streams: Vec<_> = fds.into_iter().map(|fd| fd.into_stream().unwrap()).collect();
    (&near).write_all(b"x").unwrap();
    File::from(OwnedFd::from(writer)).write_all(b"y").unwrap();
    for (stream, first) in streams.iter_mut().zip(*b"xyc") {
        assert_eq!(soon(stream.read_u8()).await.unwrap(), first);
    }
    let after: Vec<OFlags> = kept.iter().map(|fd| fcntl_getfl(fd).unwrap()).collect();
    assert_eq!(before, after);
}

async fn promise_12_many_descriptors_in_one_message_keep_their_order(on: On) {
    let scratch = Scratch::new();
    let (_a, _b, sender, receiver) = ship(on).await;
    for count in [2usize, 60] {
        let fds = (0..count)
            .map(|number| file(&scratch, &format!("{count}-{number}"), number.to_string().as_bytes()).into());
        let fds = hand_over(&sender, &receiver, fds.collect()).await;
        assert_eq!(fds.len(), count);
        for (number, fd) in fds.into_iter().enumerate() {
            let mut got = String::new();
            soon(fd.into_stream().unwrap().read_to_string(&mut got)).await.unwrap();
            assert_eq!(got, number.to_string());
        }
    }
}

async fn promise_12_more_descriptors_than_the_budget_all_arrive(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Handover>(&a, &b, 64).await;
    let (plain, plains) = channel::<u32>(&a, &b, 4).await;
    let sending = tokio::spawn(async move {
        for number in 0..100 {
            let fds = (0..6).map(|_| Fd::from(std::io::pipe().unwrap().0)).collect();
            put(&sender, Handover { note: number.to_string(), fds }).await;
        }
    });
    yields().await;
    // Promise 7: only messages that carry descriptors wait for them.
    for number in 0..50 {
        put(&plain, number).await;
        assert_eq!(get(&plains).await, number);
    }
    for number in 0..100 {
        let got = get(&receiver).await;
        assert_eq!((got.note, got.fds.len()), (number.to_string(), 6));
    }
    end(&receiver).await;
    sending.await.unwrap();
}

async fn promise_12_descriptors_beside_plain_messages_stay_with_their_own(on: On) {
    let scratch = Scratch::new();
    let (_a, _b, sender, receiver) = ship(on).await;
    let content = |number: u32| format!("file {number}");
    let path = |number: u32| scratch.path(&number.to_string());
    for number in 0..60 {
        std::fs::write(path(number), content(number)).unwrap();
    }
    let files: Vec<_> =
        (0..60).map(|number| (number % 3 == 1).then(|| File::open(path(number)).unwrap())).collect();
    let sending = tokio::spawn(async move {
        for (number, file) in files.into_iter().enumerate() {
            put(
                &sender,
                Handover { note: number.to_string(), fds: file.into_iter().map(Fd::from).collect() },
            )
            .await;
        }
    });
    for number in 0..60 {
        let got = get(&receiver).await;
        assert_eq!(got.note, number.to_string());
        assert_eq!(got.fds.len(), usize::from(number % 3 == 1));
        for fd in got.fds {
            let mut text = String::new();
            soon(fd.into_stream().unwrap().read_to_string(&mut text)).await.unwrap();
            assert_eq!(text, content(number));
        }
    }
    sending.await.unwrap();
}

async fn promise_12_a_descriptor_goes_on_through_another_session(on: On) {
    let scratch = Scratch::new();
    for next in [On::Unix, On::Tcp, On::Tls, On::Wire] {
        let (_a, _b, sender, receiver) = ship(on).await;
        let (_c, _d, sender_on, receiver_on) = ship(next).await;
        let content = pattern(50_000, 6);
        let file = file(&scratch, &format!("{next:?}"), &content);
        let fds = hand_over(&sender, &receiver, vec![file.into()]).await;
        let fd = hand_over(&sender_on, &receiver_on, fds).await.remove(0);
        let mut got = Vec::new();
        soon(fd.into_stream().unwrap().read_to_end(&mut got)).await.unwrap();
        assert!(got == content, "over {next:?}");
    }
}

async fn promise_12_a_descriptor_that_nobody_takes_is_closed(on: On) {
    for claimed in [true, false] {
        let (_a, _b, sender, receiver) = ship(on).await;
        let (mut reader, writer) = std::io::pipe().unwrap();
        put(&sender, Handover { note: String::new(), fds: vec![writer.into()] }).await;
        if claimed {
            drop(get(&receiver).await);
        }
        drop(receiver);
        // The writing end is gone everywhere: the pipe is at its end.
        let reading = tokio::task::spawn_blocking(move || reader.read(&mut [0]).unwrap());
        assert_eq!(soon(reading).await.unwrap(), 0);
    }
}

async fn promise_12_an_end_that_stays_open_ends_with_the_session(on: On) {
    let (a, b, sender, receiver) = ship(on).await;
    let (near, far) = UnixStream::pair().unwrap();
    let fd = hand_over(&sender, &receiver, vec![far.into()]).await.remove(0);
    let mut stream = fd.into_stream().unwrap();
    if on.passes_descriptors() {
        // The descriptor itself is here: it outlives the session.
        a.abort();
        soon(b.closed()).await.unwrap_err();
        (&near).write_all(b"alive").unwrap();
        let mut buffer = [0; 5];
        soon(stream.read_exact(&mut buffer)).await.unwrap();
        assert_eq!(&buffer, b"alive");
    } else {
        a.abort();
        let mut rest = Vec::new();
        let error = soon(stream.read_to_end(&mut rest)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let mut near = near;
        let reading = tokio::task::spawn_blocking(move || near.read(&mut [0]));
        assert!(!matches!(soon(reading).await.unwrap(), Ok(count) if count > 0));
    }
}

async fn promise_10_a_descriptor_in_use_fails_at_send(on: On) {
    #[derive(Clone)]
    struct Shared(std::sync::Arc<Fd>);
    impl Serialize for Shared {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }
    impl<'de> Deserialize<'de> for Shared {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Fd::deserialize(deserializer).map(|fd| Self(std::sync::Arc::new(fd)))
        }
    }
    let scratch = Scratch::new();
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Shared>(&a, &b, 4).await;
    let shared = Shared(std::sync::Arc::new(file(&scratch, "f", b"mine").into()));
    put(&sender, shared.clone()).await;
    let error = refused(&sender, shared).await;
    assert_eq!(error.reason, SendFailure::AttachmentInUse);
    let fd = std::sync::Arc::into_inner(get(&receiver).await.0).unwrap();
    let mut text = String::new();
    soon(fd.into_stream().unwrap().read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "mine");
}

libchan_tests::contract! {
    promise_12_a_file_arrives_as_a_stream,
    promise_12_an_owned_descriptor_is_there_everywhere,
    promise_12_passed_descriptors_are_the_very_same,
    promise_12_half_close_is_kept,
    promise_12_a_pipes_both_ends_can_leave,
    promise_12_a_file_is_written_from_far,
    promise_12_what_is_no_byte_stream_fails_where_it_must_be_pumped,
    promise_12_the_callers_flags_are_never_changed,
    promise_12_many_descriptors_in_one_message_keep_their_order,
    promise_12_more_descriptors_than_the_budget_all_arrive,
    promise_12_descriptors_beside_plain_messages_stay_with_their_own,
    promise_12_a_descriptor_goes_on_through_another_session,
    promise_12_a_descriptor_that_nobody_takes_is_closed,
    promise_12_an_end_that_stays_open_ends_with_the_session,
}

mod remote {
    use super::promise_10_a_descriptor_in_use_fails_at_send;
    libchan_tests::contract_links! { promise_10_a_descriptor_in_use_fails_at_send }
}
