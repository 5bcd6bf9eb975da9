//! A peer that is written by hand and breaks the rules: each is answered with the error that names it, and nothing that
//! it sends costs more than what it was granted.

mod support;

use std::time::Duration;

use libchan_proto::{
    Attach, Event, Flaw, Hello, Kind, Limits, Machine, Misbehaviour, Outgoing, Payload, Reason, Role, Scope,
    SessionError, code,
};
use support::*;

/// As on a link that passes no descriptors.
fn limits() -> Limits {
    Limits { max_descriptors: 0, ..Limits::default() }
}

/// The peer says `bytes`, which break the rule `what`, and is told so.
#[track_caller]
fn breaks(peer: &mut Scripted, bytes: &[u8], what: Misbehaviour) {
    let error = SessionError::PeerMisbehaved(what);
    assert_eq!(peer.feed(bytes), Err(error.clone()));
    let said = peer.said();
    let last = said.last().expect("a goodbye");
    assert_eq!((last.kind, last.id), (GOODBYE, 0));
    assert_eq!(last.body[..2], what.code().to_be_bytes());
    assert_eq!(std::str::from_utf8(&last.body[2..]).unwrap(), error.to_string());
    assert_eq!(peer.feed(b"more"), Err(error.clone()), "it stays over");
    assert_eq!(peer.machine.handle_eof(), Err(error));
    assert_eq!(peer.said(), []);
}

/// What a test does to the fields of a hello.
type Change<'a> = &'a dyn Fn(&mut Vec<(u8, Vec<u8>)>);

/// A peer with channel 2 open (the machine receives) and one that the machine has opened.
struct Both {
    peer: Scripted,
    recv: libchan_proto::Key,
    send: libchan_proto::Key,
}

fn both(limits: Limits) -> Both {
    let mut peer = Scripted::new(limits);
    let recv = peer.opened(2, 4);
    let send = peer.machine.open("ours", 4, &libchan_proto::Metadata::default()).unwrap();
    peer.said();
    Both { peer, recv, send }
}

/// The wire id of the machine's own slot.
fn own(key: libchan_proto::Key) -> u32 {
    2 * key.slot + 1
}

fn message(flags: u8, table: &[Row], total: Option<u32>, payload: &[u8]) -> Vec<u8> {
    frame(MESSAGE, 2, &message_body(flags, table, total, payload))
}

// ---- before the hello

#[test]
fn what_is_not_libchan_is_seen_at_the_first_byte() {
    let mut peer = Scripted::silent(limits());
    let error = SessionError::NotLibchan { first_bytes: b"G".to_vec() };
    assert_eq!(peer.feed(b"G"), Err(error));
    let mut peer = Scripted::silent(limits());
    let error = SessionError::NotLibchan { first_bytes: b"GET / HT".to_vec() };
    assert_eq!(peer.feed(b"GET / HTTP/1.1\r\n"), Err(error.clone()));
    assert!(error.to_string().contains("GET / HT"));
    for n in 1..7 {
        let mut peer = Scripted::silent(limits());
        peer.feed(&PREFACE[..n]).unwrap();
        let wrong = SessionError::NotLibchan { first_bytes: [&PREFACE[..n], b"!"].concat() };
        assert_eq!(peer.feed(b"!"), Err(wrong));
    }
}

#[test]
fn another_version_is_named() {
    let mut peer = Scripted::silent(limits());
    assert_eq!(peer.feed(b"libchan\x02"), Err(SessionError::UnsupportedVersion(2)));
    let said = peer.said();
    assert_eq!(said.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [HELLO, GOODBYE]);
    assert_eq!(said[1].body[..2], code::UNSUPPORTED_VERSION.to_be_bytes());
}

#[test]
fn the_first_frame_is_a_hello() {
    for bytes in [
        frame(PING, 0, &[0; 8]),
        open_frame(2, 1, "x"),
        message_frame(2, b"x"),
        message_frame(2, &[0; 5000]),
        frame(0x85, 0, b"ignorable, but not yet"),
        reason_frame(GOODBYE, 0, 0, ""),
    ] {
        let mut peer = Scripted::silent(limits());
        peer.feed(PREFACE).unwrap();
        breaks(&mut peer, &bytes, Misbehaviour::Hello);
    }
    let mut peer = Scripted::silent(limits());
    peer.feed(PREFACE).unwrap();
    let why = Reason { code: 3, text: "no codec".into() };
    assert_eq!(peer.feed(&reason_frame(GOODBYE, 0, 3, "no codec")), Err(SessionError::PeerClosed(why)));
}

#[test]
fn hellos_that_are_not_right() {
    let good = hello_fields(&limits());
    let with = |change: Change<'_>| {
        let mut fields = good.clone();
        change(&mut fields);
        hello_frame(&fields)
    };
    let cases: Vec<(Vec<u8>, Misbehaviour)> = vec![
        (with(&|fields| fields.swap(0, 1)), Misbehaviour::HelloField),
        (with(&|fields| fields.insert(1, (1, vec![0; 4]))), Misbehaviour::HelloField),
        (with(&|fields| fields[3].1 = vec![0; 3]), Misbehaviour::FrameTooShort),
        (with(&|fields| fields[3].1 = vec![0; 5]), Misbehaviour::Field),
        (with(&|fields| fields[10].1 = vec![0; 5]), Misbehaviour::Field),
        (with(&|fields| fields[11].1 = vec![5, b'a']), Misbehaviour::FrameTooShort),
        (with(&|fields| fields[11].1 = vec![1, 0xff, 0, 0]), Misbehaviour::Text),
        (frame(HELLO, 0, &[1]), Misbehaviour::FrameTooShort),
        (frame(HELLO, 0, &[1, 0, 200]), Misbehaviour::FrameTooShort),
        (frame(HELLO, 0, &[]), Misbehaviour::HelloField),
        (frame(HELLO, 7, &[]), Misbehaviour::Hello),
    ];
    for (bytes, what) in cases {
        let mut peer = Scripted::silent(limits());
        peer.feed(PREFACE).unwrap();
        breaks(&mut peer, &bytes, what);
    }
    for missing in 0..12 {
        let mut peer = Scripted::silent(limits());
        peer.feed(PREFACE).unwrap();
        breaks(&mut peer, &with(&|fields| drop(fields.remove(missing))), Misbehaviour::HelloField);
    }
    // Fields that nobody knows are skipped.
    let mut peer = Scripted::silent(limits());
    peer.feed(PREFACE).unwrap();
    peer.feed(&with(&|fields| fields.push((200, b"news".to_vec())))).unwrap();
    assert!(peer.machine.established().is_some());
    breaks(&mut peer, &hello_frame(&good), Misbehaviour::Hello);
}

#[test]
fn no_codec_in_common() {
    let mut peer = Scripted::silent(limits());
    let mut fields = hello_fields(&limits());
    fields[9].1 = vec![77];
    peer.feed(PREFACE).unwrap();
    assert_eq!(peer.feed(&hello_frame(&fields)), Err(SessionError::NoCommonCodec));
    assert_eq!(peer.said().last().unwrap().body[..2], code::NO_COMMON_CODEC.to_be_bytes());
}

#[test]
fn absurd_limits_are_brought_into_range() {
    for number in [0, 1, 255, u32::MAX] {
        let mut peer = Scripted::silent(limits());
        let mut fields = hello_fields(&limits());
        for field in &mut fields[..9] {
            field.1 = number.to_be_bytes().to_vec();
        }
        peer.feed(PREFACE).unwrap();
        peer.feed(&hello_frame(&fields)).unwrap();
        let agreed = peer.machine.limits().clone();
        assert!(agreed.max_frame >= 4096 && agreed.initial_window >= 256 && agreed.stream_window >= 256);
        assert!(agreed.max_message <= agreed.session_memory / 4);
        let _ = peer.machine.open("x", 1, &libchan_proto::Metadata::default());
        let _ = peer.feed(&open_frame(2, 1, "x"));
        peer.said();
    }
}

#[test]
fn a_hello_without_end() {
    let mut peer = Scripted::silent(limits());
    peer.feed(PREFACE).unwrap();
    let header = &frame(HELLO, 0, &vec![0; 16 * 1024 + 1])[..8];
    breaks(&mut peer, header, Misbehaviour::FrameTooLarge);
}

// ---- frames

#[test]
fn frames_that_are_not_right() {
    let cases: Vec<(Vec<u8>, Misbehaviour)> = vec![
        (vec![0xff, 0xff, 0xff, MESSAGE, 0, 0, 0, 2], Misbehaviour::FrameTooLarge),
        (frame(0x20, 0, b""), Misbehaviour::UnknownType(0x20)),
        (frame(0, 0, b""), Misbehaviour::UnknownType(0)),
        (frame(PING, 0, &[0; 7]), Misbehaviour::FrameTooShort),
        (frame(PING, 0, &[0; 9]), Misbehaviour::FrameTooShort),
        (frame(PONG, 2, &[0; 8]), Misbehaviour::Field),
        (frame(OPEN, 4, &[0; 5]), Misbehaviour::FrameTooShort),
        (frame(OPEN, 4, &[0, 0, 0, 1, 0, 1, 0xff]), Misbehaviour::Text),
        (frame(OPEN, 4, &[0, 0, 0, 1, 0, 1, b'a', 1, b'k', 0, 1]), Misbehaviour::FrameTooShort),
        (open_frame(2, 1, "in use"), Misbehaviour::IdNotFree),
        (open_frame(0, 1, "zero"), Misbehaviour::IdNotFree),
        (open_frame(3, 1, "not its to give"), Misbehaviour::IdNotFree),
        (open_frame(0x7fff_fffe, 1, "not dense"), Misbehaviour::IdNotFree),
        (message_frame(4, b"unknown"), Misbehaviour::UnknownId),
        (message_frame(0, b"session"), Misbehaviour::UnknownId),
        (message_frame(99, b"unknown"), Misbehaviour::UnknownId),
        (frame(MESSAGE, 2, &[0]), Misbehaviour::FrameTooShort),
        (message(0x20, &[], None, b""), Misbehaviour::Field),
        (message(0x10, &[], None, b""), Misbehaviour::Field),
        (message(0x0c, &[], None, b""), Misbehaviour::Field),
        (frame(MESSAGE, 2, &[2, 1, 0]), Misbehaviour::TooManyAttachments),
        (frame(MESSAGE, 2, &[2, 1, 65]), Misbehaviour::TooManyAttachments),
        (frame(MESSAGE, 2, &[2, 1, 2, 1, 0, 0]), Misbehaviour::FrameTooShort),
        (message(0, &[(0, 4, 0, 0)], None, b""), Misbehaviour::AttachmentKind),
        (message(0, &[(6, 2, 0, 0)], None, b""), Misbehaviour::AttachmentKind),
        (message(0, &[(7, 2, 0, 0)], None, b""), Misbehaviour::AttachmentKind),
        (message(0, &[(1, 3, 1, 0)], None, b""), Misbehaviour::IdNotFree),
        (message(0, &[(1, 2, 1, 0)], None, b""), Misbehaviour::IdNotFree),
        (message(0, &[(1, 4, 1, 0), (1, 4, 1, 0)], None, b""), Misbehaviour::IdNotFree),
        (message(0, &[(2, 4, 1, 2)], None, b""), Misbehaviour::Field),
        (message(0, &[(2, 4, 0, 0)], None, b""), Misbehaviour::Field),
        (message(0, &[(3, 4, 1, 0)], None, b""), Misbehaviour::Field),
        (message(0, &[(3, 4, 0, 1)], None, b""), Misbehaviour::Field),
        (message(0, &[(5, 2, 1, 0)], None, b""), Misbehaviour::Field),
        (message(0, &[(5, 6, 0, 0)], None, b""), Misbehaviour::UnknownId),
        (message(0, &[(4, 0, 0, 0)], None, b""), Misbehaviour::DescriptorBudget),
        (message(0, &[(4, 1, 0, 0)], None, b""), Misbehaviour::AttachmentKind),
        (message(0, &[], Some(1 << 24 | 1), b""), Misbehaviour::MessageTooLarge),
        (message(0, &[], Some(u32::MAX), b""), Misbehaviour::MessageTooLarge),
        (message(0, &[], Some(3), b"123"), Misbehaviour::Fragment),
        (message(0x10, &[], Some(3), b"1234"), Misbehaviour::Fragment),
        (frame(FRAGMENT, 2, b""), Misbehaviour::FrameTooShort),
        (frame(FRAGMENT, 2, b"\x00"), Misbehaviour::Field),
        (frame(FRAGMENT, 2, b"\x02x"), Misbehaviour::Field),
        (fragment_frame(2, false, b"of nothing"), Misbehaviour::Fragment),
        (fragment_frame(8, false, b"of nothing"), Misbehaviour::UnknownId),
        (frame(CREDIT, 2, &[0; 11]), Misbehaviour::FrameTooShort),
        (frame(CREDIT, 2, &[0; 13]), Misbehaviour::WrongEnd),
        (credit_frame(2, 0, 0, 5), Misbehaviour::WrongEnd),
        (credit_frame(0, 0, 1, 0), Misbehaviour::Field),
        (credit_frame(0, 1, 0, 0), Misbehaviour::CreditOverflow),
        (frame(CLOSE, 2, &[2, 0, 0]), Misbehaviour::Field),
        (frame(CLOSE, 2, &[0, 0]), Misbehaviour::FrameTooShort),
        (reason_frame_scoped(CLOSE, 2, &[0], 0, "clean, but"), Misbehaviour::Field),
        (reason_frame_scoped(CLOSE, 2, &[0], 300, &"x".repeat(1025)), Misbehaviour::Text),
        (frame(CLOSE, 2, &[0, 1, 44, 0xff]), Misbehaviour::Text),
        (cancel_frame(2, 0), Misbehaviour::WrongEnd),
        (frame(CANCEL, 2, &[3, 0, 0, 0, 0, 0, 0]), Misbehaviour::Field),
        (frame(DATA, 2, b"x"), Misbehaviour::WrongEnd),
        (frame(DATA, 6, b"x"), Misbehaviour::UnknownId),
        (reason_frame(END, 2, 0, ""), Misbehaviour::WrongEnd),
        (reason_frame(STOP, 2, 0, ""), Misbehaviour::WrongEnd),
        (frame(STOP, 2, b"x"), Misbehaviour::FrameTooShort),
        (reason_frame(GOODBYE, 2, 0, ""), Misbehaviour::Field),
    ];
    for (bytes, what) in cases {
        if bytes[3] == CREDIT && what == Misbehaviour::WrongEnd && bytes[2] == 13 {
            // A body with something behind its last field.
            breaks(&mut both(limits()).peer, &bytes, Misbehaviour::Field);
            continue;
        }
        breaks(&mut both(limits()).peer, &bytes, what);
    }
}

fn reason_frame_scoped(kind: u8, id: u32, head: &[u8], code: u16, text: &str) -> Vec<u8> {
    frame(kind, id, &[head, &code.to_be_bytes(), text.as_bytes()].concat())
}

#[test]
fn frames_for_the_end_that_sends() {
    for make in [
        |id| message_frame(id, b"x"),
        |id| close_frame(id),
        |id| fragment_frame(id, false, b"x"),
        |id| frame(DATA, id, b"x"),
        |id| reason_frame(END, id, 0, ""),
        |id| reason_frame(STOP, id, 0, ""),
        |id| message(0, &[(5, id, 0, 0)], None, b"not its to send home"),
    ] {
        let Both { mut peer, send, .. } = both(limits());
        breaks(&mut peer, &make(own(send)), Misbehaviour::WrongEnd);
    }
    let Both { mut peer, send, .. } = both(limits());
    breaks(&mut peer, &credit_frame(own(send), 1, 0, 0), Misbehaviour::CreditOverflow);
    let Both { mut peer, send, .. } = both(limits());
    breaks(&mut peer, &credit_frame(own(send), 0, 0, 0x8000_0000), Misbehaviour::CreditOverflow);
    let Both { mut peer, send, .. } = both(limits());
    breaks(&mut peer, &credit_frame(own(send), 0, 0, 0x7fff_ffff), Misbehaviour::CreditOverflow);
    let Both { mut peer, send, .. } = both(limits());
    breaks(&mut peer, &cancel_frame(own(send), 1), Misbehaviour::CreditOverflow);
    let Both { mut peer, send, .. } = both(limits());
    peer.feed(&cancel_frame(own(send), 0)).unwrap();
    breaks(&mut peer, &cancel_frame(own(send), 0), Misbehaviour::AfterEnd);
}

#[test]
fn an_id_of_ours_that_was_never_announced() {
    let mut peer = Scripted::new(limits());
    let key = peer.machine.allocate(Kind::Receiver, 1, false, 0).unwrap();
    breaks(&mut peer, &credit_frame(own(key), 0, 0, 1), Misbehaviour::UnknownId);
}

#[test]
fn more_messages_than_the_capacity() {
    let mut peer = both(limits()).peer;
    for _ in 0..4 {
        peer.feed(&message_frame(2, b"x")).unwrap();
    }
    breaks(&mut peer, &message_frame(2, b"x"), Misbehaviour::MessageCredit);
    // On demand: none that nobody waits for.
    let mut peer = both(limits()).peer;
    peer.feed(&message(0, &[(2, 4, 0, 1)], None, b"")).unwrap();
    breaks(&mut peer, &message_frame(4, b"x"), Misbehaviour::MessageCredit);
}

#[test]
fn more_bytes_than_the_window() {
    // Small messages while nothing is left.
    let mut peer = both(limits()).peer;
    peer.feed(&message_frame(2, &[0; 992])).unwrap();
    breaks(&mut peer, &message_frame(2, b""), Misbehaviour::ByteCredit);
    // One that is too large for a window and was not announced.
    let mut peer = both(limits()).peer;
    breaks(&mut peer, &message_frame(2, &[0; 993]), Misbehaviour::ByteCredit);
    let mut peer = both(limits()).peer;
    breaks(&mut peer, &message(0, &[], Some(5000), b"first"), Misbehaviour::ByteCredit);
    // One that may overshoot by less than a window.
    let mut peer = both(limits()).peer;
    peer.feed(&message_frame(2, &[0; 991])).unwrap();
    peer.feed(&message_frame(2, &[0; 992])).unwrap();
    breaks(&mut peer, &message_frame(2, b""), Misbehaviour::ByteCredit);
}

#[test]
fn an_announced_message_with_more_than_there_is_credit_for() {
    // In the first frame: only its fixed part may pass the end.
    let mut peer = both(limits()).peer;
    peer.feed(&message(0x10, &[], Some(60_000), &[0; 992])).unwrap();
    let mut peer = both(limits()).peer;
    breaks(&mut peer, &message(0x10, &[], Some(60_000), &[0; 993]), Misbehaviour::ByteCredit);
    let mut peer = both(limits()).peer;
    peer.feed(&message_frame(2, &[0; 991])).unwrap();
    breaks(&mut peer, &message(0x10, &[], Some(60_000), &[0; 1]), Misbehaviour::ByteCredit);
    let mut peer = both(limits()).peer;
    peer.feed(&message_frame(2, &[0; 991])).unwrap();
    let table: Vec<Row> = (0..8).map(|n| (2, 4 + 2 * n, 1, 0)).collect();
    peer.feed(&message(0x10, &table, Some(60_000), b"")).unwrap();
    // In a fragment.
    let mut peer = both(limits()).peer;
    peer.feed(&message(0x10, &[], Some(60_000), &[0; 992])).unwrap();
    let said = peer.said();
    assert_eq!(said, frames(&credit_frame(2, 0, 0, 59_008)));
    peer.feed(&fragment_frame(2, true, &[0; 59_000])).unwrap();
    peer.feed(&fragment_frame(2, false, &[0; 8])).unwrap();
    breaks(&mut peer, &message_frame(2, b""), Misbehaviour::ByteCredit);
}

#[test]
fn fragments_that_do_not_add_up() {
    let begin = message(0, &[], Some(100), &[0; 50]);
    let cases = [
        fragment_frame(2, true, &[0; 50]),
        fragment_frame(2, false, &[0; 49]),
        fragment_frame(2, false, &[0; 51]),
        message_frame(2, b"between"),
    ];
    for bytes in cases {
        let mut peer = both(limits()).peer;
        peer.feed(&begin).unwrap();
        breaks(&mut peer, &bytes, Misbehaviour::Fragment);
    }
    let mut peer = both(limits()).peer;
    peer.feed(&begin).unwrap();
    breaks(&mut peer, &close_frame(2), Misbehaviour::AfterEnd);
    let mut peer = both(limits()).peer;
    peer.feed(&begin).unwrap();
    peer.feed(&fragment_frame(2, true, &[0; 49])).unwrap();
    peer.feed(&fragment_frame(2, false, &[0; 1])).unwrap();
    breaks(&mut peer, &fragment_frame(2, false, &[0; 1]), Misbehaviour::Fragment);
}

#[test]
fn frames_after_the_end() {
    // Where the machine gave the id, the sender's CLOSE is the last.
    let ask = |peer: &mut Scripted| {
        peer.opened(2, 4);
        let carrier = peer.machine.open("ours", 4, &libchan_proto::Metadata::default()).unwrap();
        let reply = peer.machine.allocate(Kind::Sender, 4, false, 0).unwrap();
        let attachments = &[Attach::Channel(reply)];
        let payload = Payload::Copy(b"ask");
        let outgoing = Outgoing { codec: 1, flaw: Flaw::None, attachments, payload };
        peer.machine.try_send(carrier, outgoing).unwrap();
        peer.said();
        own(reply)
    };
    let mut peer = Scripted::new(limits());
    let id = ask(&mut peer);
    peer.feed(&close_frame(id)).unwrap();
    breaks(&mut peer, &close_frame(id), Misbehaviour::AfterEnd);
    let mut peer = Scripted::new(limits());
    let id = ask(&mut peer);
    peer.feed(&close_frame(id)).unwrap();
    breaks(&mut peer, &message_frame(id, b"x"), Misbehaviour::AfterEnd);
    // A stream.
    let with_stream = || {
        let mut peer = both(limits()).peer;
        peer.feed(&message(0, &[(3, 4, 0, 0)], None, b"")).unwrap();
        peer
    };
    let mut peer = with_stream();
    peer.feed(&reason_frame(END, 4, 0, "")).unwrap();
    breaks(&mut peer, &frame(DATA, 4, b"x"), Misbehaviour::AfterEnd);
    let mut peer = with_stream();
    peer.feed(&reason_frame(END, 4, 0, "")).unwrap();
    breaks(&mut peer, &reason_frame(END, 4, 0, ""), Misbehaviour::AfterEnd);
    let mut peer = with_stream();
    peer.feed(&reason_frame(STOP, 4, 0, "")).unwrap();
    breaks(&mut peer, &reason_frame(STOP, 4, 0, ""), Misbehaviour::AfterEnd);
    let mut peer = with_stream();
    breaks(&mut peer, &frame(DATA, 4, b""), Misbehaviour::FrameTooShort);
    let mut peer = with_stream();
    peer.feed(&frame(DATA, 4, &[0; 16 * 1024])).unwrap();
    breaks(&mut peer, &frame(DATA, 4, b"x"), Misbehaviour::ByteCredit);
    let mut peer = with_stream();
    breaks(&mut peer, &credit_frame(4, 0, 0, i32::MAX as u32), Misbehaviour::CreditOverflow);
    let mut peer = with_stream();
    breaks(&mut peer, &credit_frame(4, 1, 0, 0), Misbehaviour::WrongEnd);
    let mut peer = with_stream();
    breaks(&mut peer, &message_frame(4, b""), Misbehaviour::WrongEnd);
    // The session.
    let mut peer = with_stream();
    peer.feed(&reason_frame(GOODBYE, 0, 0, "")).unwrap();
    let error = SessionError::PeerMisbehaved(Misbehaviour::FrameAfterGoodbye);
    assert_eq!(peer.feed(&frame(PING, 0, &[0; 8])), Err(error));
}

#[test]
fn more_descriptors_than_granted() {
    let mut peer = both(Limits { max_descriptors: 3, ..limits() }).peer;
    peer.feed(&message(0, &[(4, 0, 0, 0), (4, 0, 0, 0)], None, b"")).unwrap();
    assert!(peer.machine.descriptors_released(1));
    assert_eq!(peer.said(), frames(&credit_frame(0, 1, 0, 0)));
    peer.feed(&message(0, &[(4, 0, 0, 0), (4, 0, 0, 0)], None, b"")).unwrap();
    breaks(&mut peer, &message(0, &[(4, 0, 0, 0)], None, b""), Misbehaviour::DescriptorBudget);
}

#[test]
fn more_channels_and_memory_than_agreed() {
    let mut peer = Scripted::new(Limits { max_channels: 3, ..limits() });
    for n in 0..6 {
        peer.feed(&open_frame(2 + 2 * n, 1, "x")).unwrap();
    }
    breaks(&mut peer, &open_frame(14, 1, "x"), Misbehaviour::TooManyChannels);
    let mut peer = Scripted::new(Limits { session_memory: 10 * 1024, ..limits() });
    for n in 0..5 {
        peer.feed(&open_frame(2 + 2 * n, 1, "x")).unwrap();
    }
    breaks(&mut peer, &open_frame(12, 1, "x"), Misbehaviour::Memory);
}

#[test]
fn ping_floods_and_answers_that_nobody_reads() {
    let mut peer = both(limits()).peer;
    for _ in 0..100 {
        peer.feed(&frame(PING, 0, &[0; 8])).unwrap();
    }
    let error = SessionError::PeerMisbehaved(Misbehaviour::PingFlood);
    assert_eq!(peer.feed(&frame(PING, 0, &[0; 8])), Err(error));
    // Channels that are refused, streams that are ended: each asks for an answer.
    let limits = Limits { max_pending_accepts: 0, max_control_bytes: 1000, ..limits() };
    let mut peer = Scripted::new(limits);
    let opens: Vec<Vec<u8>> = (0..200).map(|n| open_frame(2 + 2 * n, 1, "x")).collect();
    assert_eq!(peer.feed_all(&opens), Err(SessionError::PeerNotReading));
    assert!(peer.machine.output_len() < 2000);
}

// ---- what must be borne

#[test]
fn unknown_types_that_may_be_skipped_are() {
    let Both { mut peer, recv, .. } = both(limits());
    peer.feed_all(&[
        frame(0x80, 0, b""),
        frame(0xff, 12345, &[1; 60_000]),
        message_frame(2, b"after"),
        frame(0x83, 2, b"not a message"),
    ])
    .unwrap();
    assert_eq!(peer.events(), [Event::Readable(recv)]);
    assert_eq!(peer.machine.recv_status(recv).waiting, 1);
}

#[test]
fn late_frames_for_finished_ids_are_ignored_and_what_they_carry_is_closed() {
    let Both { mut peer, recv, send } = both(Limits { max_descriptors: 4, ..limits() });
    peer.feed(&close_frame(2)).unwrap();
    assert_eq!(peer.said(), [], "it may hold what was not read");
    peer.machine.cancel(recv, Scope::End, Reason::none(), None);
    assert_eq!(peer.said(), frames(&cancel_frame(2, 0)));
    peer.feed(&cancel_frame(own(send), 0)).unwrap();
    peer.machine.close(send, Scope::End, None);
    peer.said();
    peer.events();
    assert_eq!(peer.machine.open_channels(), 0);
    let id = own(send);
    peer.feed_all(&[
        credit_frame(id, 7, 7, 7),
        cancel_frame(id, 9),
        close_frame(2),
        fragment_frame(2, false, b"x"),
        frame(DATA, 2, b"x"),
        reason_frame(END, 2, 0, ""),
        reason_frame(STOP, id, 0, ""),
        message(0, &[(1, 4, 4, 0), (2, 6, 4, 0), (3, 8, 0, 0), (4, 0, 0, 0)], None, b"late"),
        message(0x10, &[(2, 10, 4, 0)], Some(100_000), b"late"),
        fragment_frame(2, true, &[0; 50_000]),
    ])
    .unwrap();
    assert!(peer.events().contains(&Event::DescriptorDropped(0)));
    let said = peer.said();
    for (kind, id) in [(CLOSE, 4), (CANCEL, 6), (END, 8), (STOP, 8), (CANCEL, 10), (CREDIT, 0)] {
        assert!(said.iter().any(|frame| (frame.kind, frame.id) == (kind, id)), "{kind} {id}: {said:?}");
    }
    assert_eq!(said.len(), 6);
    peer.feed_all(&[
        close_frame(6),
        close_frame(10),
        reason_frame(END, 8, 0, ""),
        reason_frame(STOP, 8, 0, ""),
    ])
    .unwrap();
    assert_eq!(peer.machine.open_channels(), 0);
    let audit = peer.machine.audit();
    assert_eq!((audit.ours, audit.theirs), ([0; 3], [0; 3]));
}

#[test]
fn messages_after_our_cancel_are_dropped_within_their_credit() {
    let Both { mut peer, recv, .. } = both(limits());
    peer.machine.cancel(recv, Scope::Channel, Reason::of(300), None);
    assert_eq!(peer.said().len(), 1);
    peer.feed(&message(0, &[(2, 4, 4, 0)], None, b"dropped")).unwrap();
    assert_eq!(peer.said(), frames(&cancel_frame(4, 0)));
    peer.feed(&message(0x10, &[], Some(1_000_000), &[0; 100])).unwrap();
    assert_eq!(peer.machine.audit().ours[2], 0, "nothing is set aside for what is dropped");
    peer.feed(&fragment_frame(2, true, &[0; 100])).unwrap();
    assert_eq!(peer.said(), []);
    // It may give up in the middle.
    peer.feed(&close_frame(2)).unwrap();
    peer.feed(&close_frame(4)).unwrap();
    assert_eq!(peer.machine.audit().recvs.len(), 0);
    assert_eq!(peer.events(), []);
}

#[test]
fn a_claim_of_sizes_sets_nothing_aside() {
    // Each channel announces the largest message and sends a byte of it.
    let mut peer = Scripted::new(Limits { max_pending_accepts: 5000, ..limits() });
    let mut bytes = Vec::new();
    for n in 0..5000 {
        let id = 2 + 2 * n;
        bytes.extend(open_frame(id, 4, "x"));
        bytes.extend(frame(MESSAGE, id, &message_body(0x10, &[], Some(16 << 20), b"x")));
    }
    peer.feed(&bytes).unwrap();
    // Four fit the quarter of 256 MiB, and room for one is left, because nobody waits for any; the others are in line.
    let audit = peer.machine.audit();
    assert!(audit.ours[2] <= 64 << 20);
    assert_eq!(audit.lines[0], 4997);
    let granted = peer.said().iter().filter(|frame| frame.kind == CREDIT).count();
    assert_eq!(granted, 3);
    // A frame that claims to be long is not waited for.
    let mut peer = both(limits()).peer;
    breaks(
        &mut peer,
        &[0, 0xff, 0xff, 0xff, MESSAGE][1..].to_vec().as_slice().repeat(2),
        Misbehaviour::FrameTooLarge,
    );
}

// ---- how the bytes arrive means nothing

/// A session of every kind of frame, as the dialer wrote it.
fn transcript() -> (Vec<u8>, Vec<Event>) {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(hello_frame(&hello_fields(&Limits { max_descriptors: 4, ..limits() })));
    let frames = [
        open_frame(2, 4, "jobs"),
        message_frame(2, b"small"),
        message(0, &[(1, 4, 4, 0), (2, 6, 4, 0), (3, 8, 0, 0), (4, 0, 0, 0)], None, b"nested"),
        message_frame(6, b"inside"),
        frame(DATA, 8, b"bytes"),
        frame(PING, 0, &[3; 8]),
        frame(0x99, 5, b"skipped"),
        message(0, &[], Some(200), &[1; 100]),
        close_frame(6),
        fragment_frame(2, true, &[1; 60]),
        cancel_frame(4, 0),
        fragment_frame(2, false, &[1; 40]),
        reason_frame(END, 8, 0, ""),
        reason_frame(STOP, 8, 0, ""),
        close_frame(2),
        reason_frame(GOODBYE, 0, 0, ""),
    ];
    bytes.extend(frames.concat());
    let mut machine = acceptor();
    machine.handle_input(&bytes).unwrap();
    let told = events(&mut machine);
    assert!(told.contains(&Event::PeerGoodbye(Reason::none())));
    (bytes, told)
}

fn acceptor() -> Machine {
    let hello = Hello { codecs: vec![1], ..hello(Limits { max_descriptors: 4, ..limits() }) };
    Machine::new(Role::Acceptor, hello, Duration::ZERO)
}

#[test]
fn byte_by_byte() {
    let (bytes, whole) = transcript();
    for chunk in [1, 2, 3, 7, 64] {
        let mut machine = acceptor();
        let mut buffer = Vec::new();
        let mut told = Vec::new();
        for part in bytes.chunks(chunk) {
            buffer.extend_from_slice(part);
            let taken = machine.handle_input(&buffer).unwrap();
            buffer.drain(..taken);
            told.extend(events(&mut machine));
        }
        assert!(buffer.is_empty());
        assert_eq!(told, whole, "in pieces of {chunk}");
    }
}

#[test]
fn cut_at_every_position() {
    let (bytes, _) = transcript();
    for at in 0..bytes.len() {
        let mut machine = acceptor();
        machine.handle_input(&bytes[..at]).unwrap();
        events(&mut machine);
        let before = machine.audit();
        assert_eq!(machine.handle_eof(), Err(SessionError::Lost));
        for event in events(&mut machine) {
            match event {
                Event::Readable(key) => assert!(machine.recv_status(key).closed.is_some()),
                Event::Cancelled(key) => assert!(machine.send_status(key).cancelled.is_some()),
                _ => {}
            }
        }
        assert!(machine.audit().recvs.len() <= before.recvs.len());
        // Everything can be let go of.
        for slot in 0..10 {
            let key = libchan_proto::Key { slot, serial: 0 };
            machine.cancel(key, Scope::End, Reason::none(), None);
            machine.close(key, Scope::End, None);
            machine.stream_finish(key, Reason::none());
            machine.stream_stop(key, Reason::none());
        }
        let audit = machine.audit();
        assert_eq!((machine.open_channels(), audit.ours, audit.theirs), (0, [0; 3], [0; 3]), "cut at {at}");
    }
}
