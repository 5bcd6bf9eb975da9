//! A peer that is written by hand and breaks the rules: each is answered with the error that names it, and nothing that
//! it sends costs more than what it was granted.

mod support;

use std::time::Duration;

use libchan_proto::{
    Attach, Event, Flaw, Hello, Kind, Limits, Machine, Misbehaviour, Outgoing, Payload, Reason, Role, Scope,
    SessionError, StreamRead, code,
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

/// The first id that the machine gives.
const OURS: u32 = 1;

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
        assert!(agreed.max_frame >= 4096 && agreed.initial_window >= 512 && agreed.stream_window >= 256);
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
        (message(0x80, &[], None, b""), Misbehaviour::Field),
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
        (message(0, &[], Some(3), b"1234"), Misbehaviour::Fragment),
        (open_frame(4, 1 << 31, "too many"), Misbehaviour::Field),
        (message(0, &[(1, 4, 1 << 31, 0)], None, b""), Misbehaviour::Field),
        (message(0, &[(2, 4, 1 << 31, 0)], None, b""), Misbehaviour::Field),
        (message(0, &[(1, 4, 0, 1 << 31)], None, b""), Misbehaviour::Field),
        (message(0, &[(1, 4, 1, 1)], None, b""), Misbehaviour::Field),
        (frame(FRAGMENT, 2, b""), Misbehaviour::FrameTooShort),
        (frame(FRAGMENT, 2, b"\x00"), Misbehaviour::Field),
        (frame(FRAGMENT, 2, b"\x02x"), Misbehaviour::Field),
        (fragment_frame(2, false, b"of nothing"), Misbehaviour::Fragment),
        (fragment_frame(8, false, b"of nothing"), Misbehaviour::UnknownId),
        (close_frame(8), Misbehaviour::UnknownId),
        (close_frame(0), Misbehaviour::UnknownId),
        (reason_frame(END, 8, 0, ""), Misbehaviour::UnknownId),
        (reason_frame(STOP, 8, 0, ""), Misbehaviour::UnknownId),
        (credit_frame(99, 0, 0, 1), Misbehaviour::UnknownId),
        (cancel_frame(99, 0), Misbehaviour::UnknownId),
        (cancel_frame(0, 0), Misbehaviour::UnknownId),
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
        let Both { mut peer, .. } = both(limits());
        breaks(&mut peer, &make(OURS), Misbehaviour::WrongEnd);
    }
    let Both { mut peer, .. } = both(limits());
    breaks(&mut peer, &credit_frame(OURS, 1, 0, 0), Misbehaviour::CreditOverflow);
    let Both { mut peer, .. } = both(limits());
    breaks(&mut peer, &credit_frame(OURS, 0, 0, 0x8000_0000), Misbehaviour::CreditOverflow);
    let Both { mut peer, .. } = both(limits());
    breaks(&mut peer, &credit_frame(OURS, 0, 0, 0x7fff_ffff), Misbehaviour::CreditOverflow);
    let Both { mut peer, .. } = both(limits());
    breaks(&mut peer, &cancel_frame(OURS, 1), Misbehaviour::CreditOverflow);
    let Both { mut peer, .. } = both(limits());
    peer.feed(&cancel_frame(OURS, 0)).unwrap();
    breaks(&mut peer, &cancel_frame(OURS, 0), Misbehaviour::UnknownId);
}

#[test]
fn an_id_of_ours_that_was_never_announced() {
    let mut peer = Scripted::new(limits());
    peer.machine.allocate(Kind::Receiver, 1, false, 0).unwrap();
    breaks(&mut peer, &credit_frame(OURS, 0, 0, 1), Misbehaviour::UnknownId);
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
    // A first window is 2,048 bytes, and no frame may cost more than what is left of it.
    let mut peer = both(limits()).peer;
    peer.feed(&message_frame(2, &[0; 2016])).unwrap();
    breaks(&mut peer, &message_frame(2, b""), Misbehaviour::ByteCredit);
    let mut peer = both(limits()).peer;
    breaks(&mut peer, &message_frame(2, &[0; 2017]), Misbehaviour::ByteCredit);
    let mut peer = both(limits()).peer;
    peer.feed(&message_frame(2, &[0; 1000])).unwrap();
    breaks(&mut peer, &message_frame(2, &[0; 985]), Misbehaviour::ByteCredit);
    // What it carries is charged too.
    let table: Vec<Row> = (0..64).map(|n| (2, 4 + 2 * n, 1, 0)).collect();
    let mut peer = both(limits()).peer;
    peer.feed(&message(0, &table, None, &[0; 992])).unwrap();
    let mut peer = both(limits()).peer;
    breaks(&mut peer, &message(0, &table, None, &[0; 993]), Misbehaviour::ByteCredit);
}

#[test]
fn a_message_in_pieces_with_more_than_there_is_credit_for() {
    // In the first frame.
    let mut peer = both(limits()).peer;
    peer.feed(&message(0, &[], Some(60_000), &[0; 2016])).unwrap();
    let mut peer = both(limits()).peer;
    breaks(&mut peer, &message(0, &[], Some(60_000), &[0; 2017]), Misbehaviour::ByteCredit);
    // In a fragment, before and after all of it was granted.
    let mut peer = both(limits()).peer;
    peer.feed(&message(0, &[], Some(60_000), &[0; 2000])).unwrap();
    peer.feed(&fragment_frame(2, true, &[0; 16])).unwrap();
    breaks(&mut peer, &fragment_frame(2, true, b"x"), Misbehaviour::ByteCredit);
    let Both { mut peer, recv, .. } = both(limits());
    peer.feed(&message(0, &[], Some(60_000), &[0; 2016])).unwrap();
    assert_eq!(peer.said(), [], "nobody waits for it");
    peer.machine.set_awaited(recv, true);
    assert_eq!(peer.said(), frames(&credit_frame(2, 0, 0, 57_984)));
    peer.feed(&fragment_frame(2, true, &[0; 57_900])).unwrap();
    peer.feed(&fragment_frame(2, false, &[0; 84])).unwrap();
    breaks(&mut peer, &message_frame(2, b""), Misbehaviour::ByteCredit);
}

/// A message on channel 2 with this block of headers.
fn with_headers(block: &[u8], payload: &[u8]) -> Vec<u8> {
    frame(MESSAGE, 2, &[&[0x10, 1, block.len() as u8], block, payload].concat())
}

#[test]
fn headers_that_are_not_right() {
    let cases: [&[u8]; 6] = [b"", b"\x01", b"\x01\x01", b"\x01\x02a", b"\x01\x00\x02", b"\x01\x01ab"];
    for block in cases {
        breaks(&mut both(limits()).peer, &with_headers(block, b""), Misbehaviour::Field);
    }
    let short = frame(MESSAGE, 2, &[0x10, 1, 200, 1, 0]);
    breaks(&mut both(limits()).peer, &short, Misbehaviour::FrameTooShort);
}

#[test]
fn headers_are_charged_and_handed_over_unread() {
    let Both { mut peer, recv, .. } = both(limits());
    // A trace, and one of a tag that nobody knows.
    let block = b"\x01\x03abc\xc8\x02??";
    peer.feed(&with_headers(block, b"payload")).unwrap();
    let mut inbox = peer.machine.take_inbox(recv, None).unwrap();
    let message = inbox.pop().unwrap();
    assert_eq!(message.headers.as_deref(), Some(&block[..]));
    assert_eq!(message.charge as usize, 32 + block.len() + 7);
    // The credit is what is left of 2,048.
    let charge = message.charge;
    peer.feed(&with_headers(block, &vec![0; 2016 - charge as usize - block.len()])).unwrap();
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
        let outgoing = Outgoing { codec: 1, flaw: Flaw::None, attachments, headers: &[], payload };
        peer.machine.try_send(carrier, outgoing).unwrap();
        peer.said();
        peer.machine.wire_id(reply).unwrap()
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
    assert_eq!(peer.said(), frames(&reason_frame(GOODBYE, 0, 0, "")), "it is answered at once");
    peer.feed(&message_frame(999, b"what follows is not read")).unwrap();
    assert_eq!((peer.said(), peer.machine.handle_eof()), (vec![], Ok(())));
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
    for n in 0..3 {
        peer.feed(&open_frame(2 + 2 * n, 1, "x")).unwrap();
    }
    breaks(&mut peer, &open_frame(8, 1, "x"), Misbehaviour::TooManyChannels);
    // Its ids are slots of a table that has no more than these.
    let mut peer = Scripted::new(Limits { max_channels: 3, ..limits() });
    breaks(&mut peer, &open_frame(8, 1, "x"), Misbehaviour::IdNotFree);
    // A quarter of the memory is for what it opens, and what we open does not count.
    let mut peer = Scripted::new(Limits { session_memory: 40 * 1024, ..limits() });
    for _ in 0..5 {
        peer.machine.open("ours", 1, &libchan_proto::Metadata::default()).unwrap();
    }
    let error = peer.machine.open("ours", 1, &libchan_proto::Metadata::default());
    assert_eq!(error, Err(libchan_proto::OpenError::Memory));
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
fn only_credit_and_cancel_come_late() {
    // An id of the peer's, finished: its CREDIT and CANCEL may have crossed our CLOSE.
    let finished = || {
        let mut peer = both(limits()).peer;
        peer.feed(&message(0, &[(1, 4, 4, 0)], None, b"a sender")).unwrap();
        let key = peer.events().into_iter().find_map(|event| match event {
            Event::Readable(key) => peer.machine.take_inbox(key, None)?.pop().map(|it| it.attachments[0].key),
            _ => None,
        });
        peer.machine.close(key.unwrap(), Scope::End, None);
        assert_eq!(peer.said(), frames(&close_frame(4)));
        peer
    };
    let mut peer = finished();
    peer.feed_all(&[credit_frame(4, 7, 7, 7), cancel_frame(4, 9), credit_frame(4, 0, 0, 1)]).unwrap();
    // One that never was cannot be told from it.
    peer.feed_all(&[credit_frame(400, 7, 7, 7), cancel_frame(400, 9)]).unwrap();
    // The id may be given again.
    peer.feed(&message(0, &[(2, 4, 4, 0)], None, b"a receiver")).unwrap();
    for late in [
        message_frame(4, b"x"),
        message_frame(4, &[0; 60_000]),
        fragment_frame(4, false, b"x"),
        close_frame(4),
        frame(DATA, 4, b"x"),
        reason_frame(END, 4, 0, ""),
        reason_frame(STOP, 4, 0, ""),
        message(0, &[(5, 4, 0, 0)], None, b"home"),
    ] {
        breaks(&mut finished(), &late, Misbehaviour::UnknownId);
    }
    // An id of ours, finished: nothing comes late, because the peer's answer was its last word.
    for late in [credit_frame as fn(u32, u32, u32, u32) -> Vec<u8>, |id, taken, _, _| cancel_frame(id, taken)]
    {
        let Both { mut peer, send, .. } = both(limits());
        peer.machine.close(send, Scope::End, None);
        let id = OURS;
        peer.said();
        peer.feed_all(&[credit_frame(id, 0, 0, 5), cancel_frame(id, 0)]).unwrap();
        breaks(&mut peer, &late(id, 0, 0, 1), Misbehaviour::UnknownId);
    }
}

#[test]
fn cancel_is_answered_at_once() {
    let Both { mut peer, send, .. } = both(limits());
    peer.feed(&cancel_frame(OURS, 0)).unwrap();
    assert_eq!(peer.said(), frames(&close_frame(OURS)));
    assert_eq!(peer.machine.open_channels(), 1, "the id is free");
    assert!(peer.machine.send_status(send).cancelled.is_some(), "who holds the end here can still ask");
    let again = peer.machine.open("again", 4, &libchan_proto::Metadata::default()).unwrap();
    assert_eq!(peer.machine.wire_id(again), Some(OURS));
    peer.machine.close(send, Scope::End, None);
    assert!(peer.machine.send_status(again).cancelled.is_none());
    assert_eq!(peer.said().len(), 1, "the new channel is opened, and the old one says nothing more");
}

#[test]
fn what_comes_after_our_cancel_counts_for_nothing() {
    let Both { mut peer, recv, .. } = both(Limits { max_descriptors: 4, ..limits() });
    peer.machine.cancel(recv, Scope::Channel, Reason::of(300), None);
    assert_eq!(peer.said().len(), 1);
    peer.feed(&message(0, &[(1, 4, 4, 0), (2, 6, 4, 0), (3, 8, 0, 0), (4, 0, 0, 0)], None, b"dropped"))
        .unwrap();
    assert!(peer.events().contains(&Event::DescriptorDropped(0)));
    let said = peer.said();
    for (kind, id) in [(CLOSE, 4), (CANCEL, 6), (END, 8), (STOP, 8), (CREDIT, 0)] {
        let frame = said.iter().find(|frame| (frame.kind, frame.id) == (kind, id)).expect("it is closed");
        let code = [0, code::NOT_DELIVERED as u8];
        assert!(kind == CREDIT || frame.body.ends_with(&code), "{frame:?}");
    }
    assert_eq!(said.len(), 5);
    // Neither credit nor order nor sizes matter.
    peer.feed(&message(0, &[], Some(1_000_000), &[0; 60_000])).unwrap();
    peer.feed(&message_frame(2, &[0; 60_000])).unwrap();
    peer.feed(&fragment_frame(2, true, &[0; 60_000])).unwrap();
    let audit = peer.machine.audit();
    assert_eq!((audit.beyond, audit.recvs[0].held, audit.recvs[0].arriving), ([0; 2], 0, None));
    assert_eq!(peer.said(), []);
    peer.feed_all(&[
        close_frame(2),
        close_frame(6),
        reason_frame(END, 8, 0, ""),
        reason_frame(STOP, 8, 0, ""),
    ])
    .unwrap();
    assert_eq!(peer.machine.audit().recvs.len(), 0);
    breaks(&mut peer, &close_frame(2), Misbehaviour::UnknownId);
}

#[test]
fn close_with_a_code_cuts_a_message() {
    let Both { mut peer, recv, .. } = both(limits());
    peer.feed(&message(0, &[(2, 4, 4, 0)], Some(60_000), &[0; 100])).unwrap();
    peer.machine.set_awaited(recv, true);
    peer.said();
    peer.feed(&reason_frame_scoped(CLOSE, 2, &[0], 300, "enough")).unwrap();
    let closed = peer.machine.recv_status(recv);
    assert_eq!((closed.waiting, closed.closed.unwrap().reason.unwrap().code), (0, 300));
    let said = peer.said();
    assert_eq!(said.iter().map(|frame| (frame.kind, frame.id)).collect::<Vec<_>>(), [(CANCEL, 4)]);
    peer.machine.cancel(recv, Scope::End, Reason::none(), None);
    peer.feed(&close_frame(4)).unwrap();
    let audit = peer.machine.audit();
    assert_eq!((audit.beyond, audit.recvs.len(), audit.lines[0]), ([0; 2], 0, 0));
}

#[test]
fn stop_answers_end_when_all_was_read() {
    let mut peer = both(limits()).peer;
    peer.feed(&message(0, &[(3, 4, 0, 0)], None, b"")).unwrap();
    let key = peer.machine.audit().streams.len();
    assert_eq!(key, 1);
    let stream = libchan_proto::Key { slot: 2, serial: 0 };
    peer.feed_all(&[frame(DATA, 4, b"unread"), reason_frame(END, 4, 0, "")]).unwrap();
    assert_eq!(peer.said(), [], "it may hold what was not read");
    assert_eq!(peer.machine.stream_recv(stream, 3, &mut |_| ()), StreamRead::Data(3));
    assert_eq!(peer.said(), []);
    assert_eq!(peer.machine.stream_recv(stream, 30, &mut |_| ()), StreamRead::Data(3));
    assert_eq!(peer.said(), frames(&reason_frame(STOP, 4, 0, "")));
    assert_eq!(peer.machine.stream_recv(stream, 30, &mut |_| ()), StreamRead::End);
    peer.feed(&reason_frame(STOP, 4, 0, "")).unwrap();
    assert_eq!(peer.said(), frames(&reason_frame(END, 4, 0, "")));
    // Over on the wire: the id may be given again, though both halves are still held here.
    peer.feed(&message(0, &[(3, 4, 0, 0)], None, b"")).unwrap();
    assert_eq!(peer.machine.stream_recv(stream, 30, &mut |_| ()), StreamRead::End);
    assert_eq!(peer.machine.audit().streams.len(), 2);
}

#[test]
fn a_claim_of_sizes_sets_nothing_aside() {
    // Each channel begins the largest message and sends a byte of it.
    let mut peer = Scripted::new(Limits { max_pending_accepts: 5000, ..limits() });
    let mut bytes = Vec::new();
    for n in 0..5000 {
        let id = 2 + 2 * n;
        bytes.extend(open_frame(id, 4, "x"));
        bytes.extend(frame(MESSAGE, id, &message_body(0, &[], Some(16 << 20), b"x")));
    }
    peer.feed(&bytes).unwrap();
    assert_eq!((peer.machine.audit().beyond, peer.said()), ([0; 2], vec![]), "nobody waits for any of them");
    // Where somebody does, eight at a time have memory: a quarter of 512 MiB. The others stand in line.
    let keys: Vec<_> = peer
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Opened(key) = event { Some(key) } else { None })
        .collect();
    for key in keys {
        peer.machine.set_awaited(key, true);
    }
    let audit = peer.machine.audit();
    assert!(audit.beyond[1] <= 128 << 20);
    assert_eq!(audit.lines[0], 4992);
    assert_eq!(peer.said().iter().filter(|frame| frame.kind == CREDIT).count(), 8);
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
        assert_eq!((machine.open_channels(), charged(&audit)), (0, [0; 6]), "cut at {at}");
    }
}
