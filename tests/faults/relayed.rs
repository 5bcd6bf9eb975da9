//! Descriptors that a link loses or was never granted: a byte relay under a unix socket (`ssh -L`, `socat`), and a peer
//! that breaks the descriptor rules.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use libchan_proto::Misbehaviour;
use libchan_tests::*;
use libchan_transports::{DialOptions, ListenOptions, dial_with, listen_with};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::rude::{self, frame};

/// Code of the registry, and the goodbye frame that carries it.
const GOODBYE_DESCRIPTORS: [u8; 7] = [0x0d, 0, 0, 0, 0, 0, 15];

/// A pipe whose reading end can be sent and whose writing end has said `text`.
fn pipe_that_says(text: &str) -> Fd {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader.into()
}

/// Two sessions through a relay that passes bytes and nothing else, with this many descriptors allowed by the dialer.
async fn through_a_byte_relay(scratch: &Scratch, dialers: Option<u32>) -> (Session, Session) {
    let url = |name: &str| format!("unix://{}", scratch.path(name).display());
    let listener = listen_with(&url("behind"), ListenOptions::default()).await.unwrap();
    let front = UnixListener::bind(scratch.path("front")).unwrap();
    let behind = scratch.path("behind");
    tokio::spawn(async move {
        let (mut near, _) = front.accept().await.unwrap();
        let mut far = UnixStream::connect(behind).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let mut session = SessionOptions::new();
    if let Some(most) = dialers {
        session.limits.max_descriptors = most;
    }
    let options = DialOptions::default().session(session);
    let front = url("front");
    let (dialed, accepted) =
        soon(async { tokio::join!(dial_with(&front, options), listener.accept()) }).await;
    (dialed.unwrap(), accepted.unwrap())
}

/// The descriptor is dropped on the way, which nobody could know before. Both sides are told what happened, and what to
/// set.
async fn a_descriptor_that_a_relay_drops_ends_the_session_with_its_reason() {
    let scratch = Scratch::new();
    let (dialed, accepted) = through_a_byte_relay(&scratch, None).await;
    let files = dialed.open::<Fd>("files").unwrap();
    put(&files, pipe_that_says("hello")).await;
    let received = soon(accepted.closed()).await.unwrap_err();
    assert_eq!(received, SessionError::PeerMisbehaved(Misbehaviour::DescriptorMissing));
    let told = soon(dialed.closed()).await.unwrap_err();
    let SessionError::PeerClosed(reason) = &told else { panic!("{told:?}") };
    assert_eq!(reason.code, 15, "{reason:?}");
    for error in [received.to_string(), told.to_string()] {
        assert!(error.contains("max_descriptors"), "{error}");
    }
}

/// 0 is 0: what could have been a descriptor becomes a stream, which passes the relay.
async fn without_descriptors_a_file_passes_a_relay_as_a_stream() {
    let scratch = Scratch::new();
    let (dialed, accepted) = through_a_byte_relay(&scratch, Some(0)).await;
    assert_eq!((dialed.limits().max_descriptors, accepted.limits().max_descriptors), (0, 0));
    let files = dialed.open::<Fd>("files").unwrap();
    put(&files, pipe_that_says("hello")).await;
    let incoming = soon(accepted.accept()).await.unwrap().unwrap().receive::<Fd>();
    let fd = soon(incoming.recv()).await.unwrap().unwrap();
    assert!(!fd.is_passed());
    let mut got = String::new();
    soon(fd.into_stream().unwrap().read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "hello");
}

/// Nobody has said anything of descriptors: then they pass.
async fn by_default_descriptors_pass_where_the_link_passes_them() {
    let scratch = Scratch::new();
    let url = format!("unix://{}", scratch.path("s").display());
    let listener = listen_with(&url, ListenOptions::default()).await.unwrap();
    let (dialed, accepted) =
        soon(async { tokio::join!(dial_with(&url, DialOptions::default()), listener.accept()) }).await;
    assert_eq!(dialed.unwrap().limits().max_descriptors, 253);
    drop(accepted);
}

/// AT-17: a message names a descriptor that has not come.
async fn a_message_without_its_descriptor_is_answered_with_a_goodbye() {
    let (session, mut rude, _) = rude::session_with_rude_peer(On::Unix, SessionOptions::new()).await;
    rude.write_all(&frame(0x02, 1, &[0, 0, 0, 4, 0, 1, b'x'])).await.unwrap();
    rude.write_all(&named_descriptors(1)).await.unwrap();
    let error = soon(session.closed()).await.unwrap_err();
    assert_eq!(error, SessionError::PeerMisbehaved(Misbehaviour::DescriptorMissing));
    said_goodbye(rude).await;
}

/// UN-06: more descriptors than were granted, and no message names them.
async fn descriptors_that_nothing_names_are_answered_with_a_goodbye() {
    let (left, right) = UnixStream::pair().unwrap();
    let mut options = SessionOptions::new();
    options.limits.max_descriptors = 2;
    let mut right = right;
    right.write_all(&rude::hello().await).await.unwrap();
    let link = libchan_transports::UnixLink::new(left, "unix:a");
    let session = soon(Session::start(link, Role::Dialer, options)).await.unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    send_with(&right, &frame(0x80, 0, b"ignored"), &[null.as_fd(); 3]);
    let error = soon(session.closed()).await.unwrap_err();
    assert_eq!(error, SessionError::PeerMisbehaved(Misbehaviour::DescriptorBudget));
    said_goodbye(Box::pin(right)).await;
}

/// A message of one byte (flags, codec, table, payload) that carries this many descriptors.
fn named_descriptors(count: u8) -> Vec<u8> {
    let mut body = vec![0x02, 1, count];
    for _ in 0..count {
        body.extend([4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    body.push(0xc0);
    frame(0x03, 1, &body)
}

fn send_with(socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    let slices = [std::io::IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &slices, &mut control, SendFlags::empty()).unwrap();
}

async fn said_goodbye(mut rude: rude::Rude) {
    let mut said = Vec::new();
    let _ = soon(rude.read_to_end(&mut said)).await;
    assert!(said.windows(7).any(|window| window == GOODBYE_DESCRIPTORS), "no goodbye: {said:02x?}");
}

libchan_tests::in_process! {
    a_descriptor_that_a_relay_drops_ends_the_session_with_its_reason,
    without_descriptors_a_file_passes_a_relay_as_a_stream,
    by_default_descriptors_pass_where_the_link_passes_them,
    a_message_without_its_descriptor_is_answered_with_a_goodbye,
    descriptors_that_nothing_names_are_answered_with_a_goodbye,
}
