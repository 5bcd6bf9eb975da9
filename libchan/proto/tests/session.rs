//! The session as a whole: hello, ping and silence, goodbye, lost links, limits, the life of ids.

mod support;

use std::time::Duration;

use libchan_proto::{
    Attach, Blocked, Close, Denial, Event, Key, Kind, Limits, Machine, Metadata, Misbehaviour, OpenError,
    Output, Reason, Role, Scope, SessionError, StreamError, StreamRead, code,
};
use support::*;

const MIB: usize = 1024 * 1024;

fn limits() -> Limits {
    Limits::default()
}

/// Allocates a stream at `side`, sends it on `on`, and takes it out at the other side.
fn stream(pair: &mut Pair, side: usize, on: Key, at: Key) -> (Key, Key) {
    let key = pair.machine(side).allocate(Kind::Stream, 0, false, 0).unwrap();
    pair.send_with(side, on, &[Attach::Stream(key)], b"stream").unwrap();
    pair.run();
    let taken = pair.take(1 - side, at);
    (key, taken[0].attachments[0].key)
}

fn read(pair: &mut Pair, side: usize, key: Key) -> (Vec<u8>, StreamRead) {
    let mut bytes = Vec::new();
    loop {
        match pair.machine(side).stream_recv(key, 1000, &mut |part| bytes.extend_from_slice(part)) {
            StreamRead::Data(_) => {}
            end => return (bytes, end),
        }
    }
}

// ---- hello

#[test]
fn the_smaller_limits_and_the_dialers_codecs_win() {
    let a = Limits { max_frame: 10_000, initial_window: 700, max_channels: 7, ..limits() };
    let b = Limits { max_message: 5000, stream_window: 900, session_memory: 1 << 20, ..limits() };
    let mut pair = Pair::new(a, b);
    pair.run();
    let both = [A, B].map(|side| pair.machine(side).established().unwrap().clone());
    let [a, b] = &both;
    for agreed in &both {
        let limits = &agreed.limits;
        assert_eq!((limits.max_frame, limits.initial_window, limits.max_channels), (10_000, 700, 7));
        assert_eq!((limits.max_message, limits.stream_window), (5000, 900));
        assert_eq!(limits.session_memory, 1 << 20);
        assert_eq!(agreed.codecs, [1, 2]);
    }
    assert_eq!(a.limits, b.limits, "here the local limits are the same too");
}

#[test]
fn the_dialers_order_of_codecs_wins_on_both_sides() {
    let mut dialer = Machine::new(
        Role::Dialer,
        libchan_proto::Hello { codecs: vec![4, 2, 1], ..hello(limits()) },
        Duration::ZERO,
    );
    let mut acceptor = Machine::new(
        Role::Acceptor,
        libchan_proto::Hello { codecs: vec![1, 2, 3], ..hello(limits()) },
        Duration::ZERO,
    );
    let (a, b) = (output(&mut dialer), output(&mut acceptor));
    dialer.handle_input(&b).unwrap();
    acceptor.handle_input(&a).unwrap();
    for machine in [dialer, acceptor] {
        assert_eq!(machine.established().unwrap().codecs, [2, 1]);
    }
}

#[test]
fn a_message_never_exceeds_what_could_be_reserved_for_it() {
    let mut pair = Pair::new(Limits { session_memory: 1 << 20, ..limits() }, limits());
    pair.run();
    for side in [A, B] {
        assert_eq!(pair.machine(side).limits().max_message, 1 << 18);
    }
}

#[test]
fn hello_must_come_in_time() {
    let mut machine = Machine::new(Role::Acceptor, hello(limits()), Duration::from_secs(100));
    machine.handle_tick(Duration::from_secs(109)).unwrap();
    assert_eq!(machine.handle_tick(Duration::from_secs(110)), Err(SessionError::HelloTimeout));
    let said = frames(&output(&mut machine));
    assert_eq!(said.last().map(|frame| (frame.kind, frame.body[1])), Some((GOODBYE, 11)));
    assert_eq!(machine.handle_tick(Duration::from_secs(111)), Err(SessionError::HelloTimeout));
}

#[test]
fn a_hello_is_answered_by_a_denial() {
    for (denial, code) in [(Denial::Unauthorized, 16), (Denial::Unavailable, 17), (Denial::Forbidden, 32)] {
        let mut dialer = Machine::new(Role::Dialer, hello(limits()), Duration::ZERO);
        let mut acceptor = Machine::new(Role::Acceptor, hello(limits()), Duration::ZERO);
        acceptor.handle_input(&output(&mut dialer)).unwrap();
        acceptor.deny(denial, "not you");
        let said = output(&mut acceptor);
        let goodbye = frames(&said);
        assert_eq!(goodbye.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [GOODBYE]);
        let error = dialer.handle_input(&said).unwrap_err();
        assert_eq!(error, SessionError::PeerClosed(Reason { code, text: "not you".to_owned() }));
        assert_eq!(error.denial(), Some((denial, "not you")));
        assert!(dialer.established().is_none() && output(&mut acceptor).is_empty());
    }
    assert_eq!(SessionError::PeerClosed(Reason::of(1)).denial(), None);
}

#[test]
fn nothing_is_opened_before_the_hello() {
    let mut machine = Machine::new(Role::Dialer, hello(limits()), Duration::ZERO);
    assert_eq!(machine.open("early", 1, &Metadata::default()), Err(OpenError::SessionOver));
    assert_eq!(machine.allocate(Kind::Sender, 1, false, 0), Err(OpenError::SessionOver));
    let said = frames(&output(&mut machine));
    assert_eq!(said.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [HELLO]);
}

// ---- ping and silence

#[test]
fn quiet_sides_ping_and_stay_alive() {
    let mut pair = Pair::established(limits());
    let mut pings = [0; 2];
    for _ in 0..60 {
        pair.tick(5);
        for side in [A, B] {
            pair.pump(side);
            let waiting: Vec<u8> = pair.sides[1 - side].link.iter().copied().collect();
            pings[side] += frames(&waiting).iter().filter(|frame| frame.kind == PING).count();
        }
        pair.run();
    }
    // Three hundred seconds; a pong counts as something said, so not both need ping every time.
    assert!(pings.iter().sum::<usize>() >= 15, "{pings:?}");
    assert!(pings.iter().all(|&n| n <= 21), "{pings:?}");
}

#[test]
fn a_silent_peer_is_dead_after_45_seconds() {
    let mut pair = Pair::established(limits());
    let mut seconds = 0;
    while pair.sides[A].failed.is_none() {
        pair.tick(5);
        seconds += 5;
        pair.pump(A);
        assert!(seconds <= 55);
    }
    assert!(seconds >= 45);
    assert_eq!(pair.sides[A].failed, Some(SessionError::PeerSilent));
    let said: Vec<u8> = pair.sides[B].link.iter().copied().collect();
    let pings = frames(&said).iter().filter(|frame| frame.kind == PING).count();
    assert!((2..=3).contains(&pings), "{pings} pings in {seconds} s");
}

/// A process that stood still: what the peer has sent meanwhile waits on the link.
#[test]
fn a_tick_after_a_long_stop_is_preceded_by_a_look_at_the_link() {
    let mut pair = Pair::established(limits());
    let stop = Duration::from_secs(3600);
    assert!(!pair.machine(A).is_silent(stop), "the hello was heard since the last tick");
    pair.tick(0);
    assert!(!pair.machine(A).is_silent(Duration::from_secs(44)));
    assert!(pair.machine(A).is_silent(stop), "judged now it would be dead");
    pair.tick(20);
    pair.pump(B);
    pair.deliver(A, usize::MAX);
    assert!(!pair.machine(A).is_silent(stop), "it was heard, however late");
    assert_eq!(pair.machine(A).handle_tick(stop), Ok(()));
    assert!(pair.machine(A).is_silent(stop + stop));
    assert_eq!(pair.machine(A).handle_tick(stop + stop), Err(SessionError::PeerSilent));
}

#[test]
fn bytes_of_a_frame_that_is_not_whole_are_a_sign_of_life() {
    let mut peer = Scripted::new(limits());
    let frame = message_frame(2, &[7; 100]);
    peer.feed(&open_frame(2, 4, "slow")).unwrap();
    for (n, byte) in frame[..50].iter().enumerate() {
        peer.feed(&[*byte]).unwrap();
        peer.machine.handle_tick(Duration::from_secs(40 * n as u64)).unwrap();
        peer.said();
    }
}

#[test]
fn pings_are_answered_and_floods_are_not() {
    let mut peer = Scripted::new(limits());
    peer.feed(&frame(PING, 0, &[9; 8])).unwrap();
    assert_eq!(peer.said(), [Frame { kind: PONG, id: 0, body: vec![9; 8] }]);
    peer.feed(&frame(PONG, 0, &[1; 8])).unwrap();
    for _ in 1..100 {
        peer.feed(&frame(PING, 0, &[9; 8])).unwrap();
    }
    peer.machine.handle_tick(Duration::from_secs(5)).unwrap();
    for _ in 0..100 {
        peer.feed(&frame(PING, 0, &[9; 8])).unwrap();
    }
    let error = peer.feed(&frame(PING, 0, &[9; 8]));
    assert_eq!(error, Err(SessionError::PeerMisbehaved(Misbehaviour::PingFlood)));
}

// ---- goodbye

#[test]
fn a_goodbye_is_answered_at_once() {
    for first in [A, B] {
        let mut pair = Pair::established(limits());
        pair.goodbye(first);
        pair.run();
        for side in [A, B] {
            assert_eq!(pair.events(side), [Event::PeerGoodbye(Reason::none())]);
            assert!(pair.machine(side).is_over() && !pair.machine(side).has_cut());
            assert_eq!(pair.machine(side).handle_eof(), Ok(()));
        }
    }
    // They may cross.
    let mut pair = Pair::established(limits());
    pair.goodbye(A);
    pair.goodbye(B);
    pair.run();
    for side in [A, B] {
        assert_eq!(pair.machine(side).handle_eof(), Ok(()));
        assert_eq!(pair.machine(side).handle_eof(), Ok(()));
    }
}

/// The peer is told why by a goodbye with a code, and what it had on its way is no mistake of its.
#[test]
fn an_admission_that_is_over_ends_the_session_by_a_code() {
    let mut pair = Pair::established(limits());
    let (key, at) = pair.open(A, "x", 4);
    pair.send(A, key, b"before").unwrap();
    pair.run();
    pair.send(A, key, b"on its way").unwrap();
    let on_its_way = output(pair.machine(A));
    pair.machine(B).end_admission("the token has run out");
    pair.machine(B).end_admission("twice");
    let over = SessionError::AdmissionOver("the token has run out".to_owned());
    assert_eq!(pair.machine(B).end(), Some(&over));
    assert_eq!(pair.machine(B).handle_input(&on_its_way), Ok(on_its_way.len()));
    assert_eq!(pair.machine(B).handle_tick(Duration::from_secs(3600)), Ok(()));
    assert_eq!(pair.machine(B).handle_eof(), Err(over));
    let said = frames(&output(pair.machine(B)));
    let goodbye = said.last().unwrap();
    assert_eq!((goodbye.kind, said.iter().filter(|frame| frame.kind == GOODBYE).count()), (GOODBYE, 1));
    let body = [&[0, 16][..], b"the token has run out"].concat();
    assert_eq!(goodbye.body, body);
    assert_eq!(pair.take(B, at).len(), 1, "what had arrived before");
    let reason = Reason { code: 16, text: "the token has run out".to_owned() };
    let bytes = frame(GOODBYE, 0, &body);
    let told = pair.machine(A).handle_input(&bytes).unwrap_err();
    assert_eq!(told, SessionError::PeerClosed(reason));
    assert_eq!(told.denial(), Some((Denial::Unauthorized, "the token has run out")));
    assert!(output(pair.machine(A)).is_empty(), "it is not answered");
}

#[test]
fn a_link_that_ends_without_both_goodbyes_is_lost() {
    let mut pair = Pair::established(limits());
    let (key, _) = pair.open(A, "x", 4);
    pair.goodbye(A);
    pair.pump(A);
    assert_eq!(pair.machine(A).handle_eof(), Err(SessionError::Lost));
    assert_eq!(pair.machine(B).handle_eof(), Err(SessionError::Lost));
    assert_eq!(pair.send(A, key, b"late"), Err(Blocked::Gone));
}

#[test]
fn what_was_sent_arrives_before_the_goodbye_and_then_the_end() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 4);
    let (open, still) = pair.open(A, "y", 4);
    let (ours, at_b) = stream(&mut pair, A, key, theirs);
    pair.machine(A).stream_send(ours, b"data", false).unwrap();
    pair.send(A, key, b"last words").unwrap();
    pair.send(A, open, b"cut off").unwrap();
    pair.machine(A).close(key, Scope::End, None);
    pair.goodbye(A);
    pair.run();
    assert_eq!(pair.take(B, theirs)[0].payload, b"last words");
    let closed = pair.machine(B).recv_status(theirs).closed;
    assert_eq!(closed, Some(Close { scope: Scope::End, reason: None }), "what its own side had ended");
    assert_eq!(pair.take(B, still)[0].payload, b"cut off");
    let closed = pair.machine(B).recv_status(still).closed.unwrap();
    assert_eq!(closed.reason.unwrap().code, code::SESSION_CLOSED);
    let end = StreamRead::Failed(Reason::of(code::SESSION_CLOSED));
    assert_eq!(read(&mut pair, B, at_b), (b"data".to_vec(), end.clone()));
    assert_eq!(read(&mut pair, A, ours), (vec![], end), "on both sides");
}

#[test]
fn senders_are_told_that_the_session_was_closed() {
    for first in [A, B] {
        let mut pair = Pair::established(limits());
        let (key, _) = pair.open(A, "x", 4);
        pair.events(A);
        pair.goodbye(first);
        pair.run();
        assert!(pair.events(A).contains(&Event::Cancelled(key)));
        let cancelled = pair.machine(A).send_status(key).cancelled.unwrap();
        assert_eq!(cancelled.reason.code, code::SESSION_CLOSED);
        assert_eq!(pair.send(A, key, b"late"), Err(Blocked::Gone));
        for side in [A, B] {
            assert_eq!(pair.machine(side).open("y", 1, &Metadata::default()), Err(OpenError::SessionOver));
        }
    }
}

#[test]
fn goodbye_waits_for_large_messages_that_wait_for_credit() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 4);
    let payload: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    pair.send(A, key, &payload).unwrap();
    // The first frame leaves and takes all credit with it.
    pair.pump(A);
    assert!(!pair.machine(A).has_output());
    pair.machine(A).close(key, Scope::End, None);
    pair.machine(A).goodbye(Reason { code: 0, text: "see you".into() });
    pair.run();
    assert!(!pair.machine(A).is_drained());
    pair.machine(B).set_awaited(theirs, true);
    pair.run();
    assert!(pair.machine(A).is_drained() && !pair.machine(A).has_cut());
    let goodbye = Event::PeerGoodbye(Reason { code: 0, text: "see you".into() });
    assert!(pair.events(B).contains(&goodbye));
    let taken = pair.take(B, theirs);
    assert_eq!(taken.len(), 1);
    assert!(taken[0].payload == payload);
    assert_eq!(pair.machine(B).recv_status(theirs).closed, Some(Close { scope: Scope::End, reason: None }));
}

#[test]
fn what_waits_for_credit_is_cut_by_the_peers_goodbye_and_by_goodbye_now() {
    for by_peer in [true, false] {
        let mut pair = Pair::established(limits());
        let (key, theirs) = pair.open(A, "x", 4);
        pair.send(A, key, &vec![1; 300_000]).unwrap();
        pair.run();
        pair.machine(A).close(key, Scope::End, None);
        if by_peer {
            pair.goodbye(B);
        } else {
            assert!(pair.machine(A).goodbye_now(Reason::none()), "something was lost");
        }
        pair.run();
        assert!(pair.machine(A).has_cut() && !pair.machine(B).has_cut());
        let status = pair.machine(B).recv_status(theirs);
        assert_eq!((status.waiting, status.closed.unwrap().reason.unwrap().code), (0, code::SESSION_CLOSED));
        for side in [A, B] {
            assert_eq!(pair.machine(side).handle_eof(), Ok(()));
        }
        pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
        for side in [A, B] {
            assert_eq!(charged(&pair.machine(side).audit()), [0; 6]);
        }
    }
}

#[test]
fn no_stream_data_follows_a_goodbye() {
    let mut pair = Pair::established(Limits { stream_window: 256, ..limits() });
    let (key, theirs) = pair.open(A, "x", 4);
    let (ours, at_b) = stream(&mut pair, A, key, theirs);
    assert_eq!(pair.machine(A).stream_send(ours, &[1; 1000], true), Ok(1000));
    pair.run();
    pair.goodbye(A);
    assert_eq!(pair.machine(A).stream_send(ours, &[1; 10], false), Err(StreamError::Lost));
    // B's credit comes after A's goodbye.
    let (bytes, _) = read(&mut pair, B, at_b);
    assert_eq!(bytes.len(), 256);
    pair.run();
    let (bytes, end) = read(&mut pair, B, at_b);
    assert_eq!((bytes.len(), end), (0, StreamRead::Failed(Reason::of(code::SESSION_CLOSED))));
}

#[test]
fn a_goodbye_with_a_code_ends_the_session_at_once() {
    let mut peer = Scripted::new(limits());
    let key = peer.opened(2, 4);
    let error = peer.feed(&reason_frame(GOODBYE, 0, 300, "enough"));
    let why = SessionError::PeerClosed(Reason { code: 300, text: "enough".into() });
    assert_eq!(error, Err(why.clone()));
    assert_eq!(peer.feed(b"more"), Err(why));
    assert!(peer.events().contains(&Event::Readable(key)));
    assert_eq!(peer.said(), []);
}

#[test]
fn a_lost_link_leaves_what_had_arrived() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 8);
    let (ours, at_b) = stream(&mut pair, A, key, theirs);
    pair.send(A, key, b"one").unwrap();
    pair.machine(A).stream_send(ours, b"data", false).unwrap();
    pair.run();
    for side in [A, B] {
        assert_eq!(pair.machine(side).handle_eof(), Err(SessionError::Lost));
    }
    assert_eq!(pair.send(A, key, b"two"), Err(Blocked::Gone));
    assert_eq!(pair.take(B, theirs)[0].payload, b"one");
    let closed = pair.machine(B).recv_status(theirs).closed.unwrap();
    assert_eq!(closed.reason.unwrap().code, code::DISCONNECTED);
    let (bytes, end) = read(&mut pair, B, at_b);
    assert_eq!((&bytes[..], end), (&b"data"[..], StreamRead::Failed(Reason::of(code::DISCONNECTED))));
    assert_eq!(pair.machine(A).stream_send(ours, b"x", false), Err(StreamError::Lost));
    pair.machine(A).close(key, Scope::End, None);
    pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
    for (side, key) in [(A, ours), (B, at_b)] {
        pair.machine(side).stream_finish(key, Reason::none());
        pair.machine(side).stream_stop(key, Reason::none());
    }
    for side in [A, B] {
        let audit = pair.machine(side).audit();
        assert_eq!(pair.machine(side).open_channels(), 0);
        assert_eq!(charged(&audit), [0; 6]);
    }
}

// ---- a peer that does not read

#[test]
fn a_peer_that_asks_and_never_reads_ends_its_session() {
    let mut peer = Scripted::new(Limits { max_control_bytes: 10_000, max_pings: 1_000_000, ..limits() });
    let mut pings = 0;
    let error = loop {
        match peer.feed(&frame(PING, 0, &[1; 8])) {
            Ok(()) => pings += 1,
            Err(error) => break error,
        }
        assert!(pings < 1000);
    };
    assert_eq!(error, SessionError::PeerNotReading);
    assert_eq!(pings, 10_000 / 16);
}

#[test]
fn our_own_control_frames_count_too() {
    let limits = Limits { max_control_bytes: 4096, ..limits() };
    let mut pair = Pair::established(limits);
    for n in 0..400 {
        pair.machine(A).open(&format!("{n}"), 1, &Metadata::default()).unwrap();
    }
    pair.tick(5);
    assert_eq!(pair.sides[A].failed, None, "a burst is not the peer's fault");
    pair.tick(10);
    assert_eq!(pair.sides[A].failed, Some(SessionError::PeerNotReading));
}

#[test]
fn reading_never_waits_for_writing() {
    // Both sides write and neither link takes anything: what arrives is still consumed, and memory stays bounded.
    let mut pair = Pair::established(limits());
    let ends = [pair.open(A, "x", 1_000_000), pair.open(B, "y", 1_000_000)];
    for _ in 0..40 {
        for (side, (key, _)) in [(A, ends[0]), (B, ends[1])] {
            let _ = pair.fill(side, key, &[1; 200]);
        }
        for side in [A, B] {
            // One of them writes; the other reads it while its own output waits.
            pair.pump(side);
            pair.deliver(1 - side, usize::MAX);
            assert!(pair.machine(1 - side).output_len() < 2 * MIB);
            let theirs = ends[side].1;
            pair.take(1 - side, theirs);
        }
    }
    for side in [A, B] {
        assert_eq!(pair.sides[side].failed, None);
        assert!(pair.machine(side).audit().sends[0].sent > 500);
    }
}

// ---- ids

#[test]
fn an_id_is_given_again_when_its_last_use_was_read() {
    // S gives the id and closes with messages unread at R, which holds and counts them until they were taken.
    let mut pair = Pair::established(limits());
    let (first, unread) = pair.open(A, "first", 4);
    pair.send(A, first, b"unread").unwrap();
    pair.machine(A).close(first, Scope::End, None);
    pair.run();
    assert_eq!(pair.machine(A).open_channels(), 1, "it counts");
    assert!(!pair.machine(A).is_used(), "nothing is to come of it from here");
    let (second, theirs) = pair.open(A, "second", 4);
    assert_ne!(first.slot, second.slot);
    assert_ne!(unread, theirs);
    pair.send(A, second, b"new").unwrap();
    pair.run();
    assert_eq!(pair.take(B, unread)[0].payload, b"unread");
    assert_eq!(pair.take(B, theirs)[0].payload, b"new");
    pair.machine(B).cancel(unread, Scope::End, Reason::none(), None);
    pair.run();
    let (third, again) = pair.open(A, "third", 4);
    assert_eq!(first.slot, third.slot, "R has answered with CANCEL");
    pair.send(A, third, b"newer").unwrap();
    pair.run();
    assert_eq!(pair.take(B, again)[0].payload, b"newer");
    for (key, at_b) in [(second, theirs), (third, again)] {
        pair.machine(A).close(key, Scope::End, None);
        pair.run();
        pair.machine(B).cancel(at_b, Scope::End, Reason::none(), None);
        pair.run();
    }
    assert_eq!([A, B].map(|side| pair.machine(side).open_channels()), [0, 0]);
}

#[test]
fn what_was_closed_unread_counts_until_it_is_read() {
    // Channels that are opened, written to and closed, and that nobody reads: a limit stops their opener, not the session.
    let mut pair = Pair::established(Limits { max_channels: 8, ..limits() });
    for _ in 0..8 {
        let (key, _) = pair.open(A, "log", 4);
        pair.send(A, key, b"line").unwrap();
        pair.machine(A).close(key, Scope::End, None);
        pair.run();
    }
    assert_eq!(pair.machine(A).open("log", 4, &Metadata::default()), Err(OpenError::TooManyChannels));
    pair.run();
    assert_eq!([A, B].map(|side| pair.sides[side].failed.clone()), [None, None]);
}

#[test]
fn an_id_of_a_receiver_is_given_again() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100);
    let mut slots = Vec::new();
    for n in 0..20u8 {
        let reply = pair.machine(A).allocate(Kind::Sender, 4, false, 0).unwrap();
        slots.push(reply);
        pair.send_with(A, key, &[Attach::Channel(reply)], b"ask").unwrap();
        pair.run();
        let sender = pair.take(B, theirs)[0].attachments[0].key;
        pair.send(B, sender, &[n]).unwrap();
        pair.machine(B).close(sender, Scope::End, None);
        pair.run();
        assert_eq!(pair.machine(B).open_channels(), 1, "S forgets the id with its CLOSE");
        assert_eq!(pair.take(A, reply)[0].payload, [n]);
        assert!(pair.machine(A).recv_status(reply).closed.is_some());
        pair.machine(A).cancel(reply, Scope::End, Reason::none(), None);
        assert_eq!(pair.machine(A).open_channels(), 1);
    }
    assert!(slots.iter().all(|slot| slot.slot == slots[0].slot));
}

#[test]
fn an_id_of_a_stream_is_given_again_when_its_bytes_were_read() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100);
    let (ours, unread) = stream(&mut pair, A, key, theirs);
    let id = pair.machine(A).wire_id(ours);
    pair.machine(A).stream_send(ours, b"unread", false).unwrap();
    pair.machine(A).stream_finish(ours, Reason::none());
    pair.machine(A).stream_stop(ours, Reason::none());
    pair.run();
    pair.machine(B).stream_finish(unread, Reason::none());
    pair.run();
    let (other, at_b) = stream(&mut pair, A, key, theirs);
    assert_ne!(pair.machine(A).wire_id(other), id, "B holds what was not read");
    assert_eq!(read(&mut pair, B, unread), (b"unread".to_vec(), StreamRead::End));
    pair.run();
    let (again, new) = stream(&mut pair, A, key, theirs);
    assert_eq!(pair.machine(A).wire_id(again), id);
    pair.machine(A).stream_send(again, b"new", false).unwrap();
    pair.machine(A).stream_send(other, b"other", false).unwrap();
    pair.run();
    assert_eq!(read(&mut pair, B, new), (b"new".to_vec(), StreamRead::Pending));
    assert_eq!(read(&mut pair, B, at_b), (b"other".to_vec(), StreamRead::Pending));
    // Who still holds the old one reads its end again.
    assert_eq!(read(&mut pair, B, unread), (vec![], StreamRead::End));
}

#[test]
fn streams_that_are_over_and_held_count_for_nothing() {
    for read_all in [true, false] {
        let limits = Limits { max_channels: 8, ..limits() };
        let mut pair = Pair::established(limits);
        let (key, theirs) = pair.open(A, "x", 100);
        let mut held = Vec::new();
        for _ in 0..40 {
            let (ours, at_b) = stream(&mut pair, A, key, theirs);
            pair.machine(A).stream_send(ours, &[7; 100], false).unwrap();
            pair.machine(A).stream_finish(ours, Reason::none());
            pair.machine(A).stream_stop(ours, Reason::none());
            pair.run();
            if read_all {
                assert_eq!(read(&mut pair, B, at_b), (vec![7; 100], StreamRead::End));
            } else {
                pair.machine(B).stream_stop(at_b, Reason::none());
            }
            pair.run();
            // The other direction is ended by A's STOP, which is answered; B lets go of neither half.
            held.push(at_b);
            assert_eq!(pair.machine(A).audit().here[0], 1);
            assert_eq!(pair.machine(B).audit().there[0], 1);
        }
        for key in held {
            pair.machine(B).stream_finish(key, Reason::none());
            pair.machine(B).stream_stop(key, Reason::none());
        }
        assert_eq!(pair.machine(B).audit().streams.len(), 0);
    }
}

#[test]
fn a_stream_that_both_sides_have_stopped_is_the_writers_until_it_finishes() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100);
    let (ours, at_b) = stream(&mut pair, A, key, theirs);
    pair.machine(A).stream_stop(ours, Reason::none());
    pair.machine(B).stream_stop(at_b, Reason::of(300));
    pair.machine(B).stream_finish(at_b, Reason::none());
    pair.run();
    // A's writer has not let go: its key must not lead to another stream, though the id may.
    let (other, _) = stream(&mut pair, A, key, theirs);
    assert_ne!(ours.slot, other.slot);
    let error = pair.machine(A).stream_send(ours, b"into the void", false);
    assert_eq!(error, Err(StreamError::Stopped(Reason::of(300))));
    pair.machine(A).stream_finish(ours, Reason::none());
    let (third, _) = stream(&mut pair, A, key, theirs);
    assert_eq!(ours.slot, third.slot);
}

#[test]
fn close_and_cancel_may_cross() {
    for side in [A, B] {
        let mut pair = Pair::established(limits());
        let (key, theirs) = pair.open(A, "x", 4);
        let reply = pair.machine(side).allocate(Kind::Sender, 4, false, 0).unwrap();
        // Both cases: the id is S's (the opened channel), and R's (the reply).
        if side == A {
            pair.send_with(A, key, &[Attach::Channel(reply)], b"ask").unwrap();
            pair.run();
            let sender = pair.take(B, theirs)[0].attachments[0].key;
            pair.machine(B).close(sender, Scope::End, None);
            pair.machine(A).cancel(reply, Scope::End, Reason::none(), None);
        } else {
            pair.machine(B).abandon(reply);
        }
        pair.machine(A).close(key, Scope::Channel, Some(Reason::of(34)));
        pair.machine(B).cancel(theirs, Scope::Channel, Reason::of(34), None);
        pair.run();
        for side in [A, B] {
            let audit = pair.machine(side).audit();
            assert_eq!(pair.machine(side).open_channels(), 0);
            assert_eq!(charged(&audit), [0; 6]);
        }
        let again = pair.open(A, "again", 4);
        pair.send(A, again.0, b"works").unwrap();
        pair.run();
        assert_eq!(pair.take(B, again.1).len(), 1);
    }
}

#[test]
fn a_receiver_may_leave_in_the_middle_of_a_large_message() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 4);
    let nested = pair.machine(A).allocate(Kind::Receiver, 4, false, 0).unwrap();
    pair.send_with(A, key, &[Attach::Channel(nested)], &vec![1; 300_000]).unwrap();
    pair.send(A, nested, b"inside").unwrap();
    pair.pump(A);
    pair.deliver(B, usize::MAX);
    pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
    pair.run();
    let events = pair.events(A);
    assert!(events.contains(&Event::Cancelled(key)) && events.contains(&Event::Cancelled(nested)));
    pair.machine(A).close(key, Scope::End, None);
    pair.machine(A).close(nested, Scope::End, None);
    pair.run();
    for side in [A, B] {
        let audit = pair.machine(side).audit();
        assert_eq!(pair.machine(side).open_channels(), 0);
        assert_eq!(charged(&audit), [0; 6]);
    }
}

#[test]
fn a_close_behind_a_large_message_leaves_when_the_receiver_does() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 4);
    pair.send(A, key, &vec![1; 300_000]).unwrap();
    pair.machine(A).close(key, Scope::End, None);
    pair.pump(A);
    pair.deliver(B, usize::MAX);
    pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
    pair.run();
    assert_eq!([A, B].map(|side| pair.machine(side).open_channels()), [0, 0]);
}

// ---- channels

#[test]
fn a_thousand_channels() {
    let mut pair = Pair::established(Limits { max_pending_accepts: 1000, ..limits() });
    let keys: Vec<Key> =
        (0..1000).map(|n| pair.machine(A).open(&format!("{n}"), 2, &Metadata::default()).unwrap()).collect();
    for (n, key) in keys.iter().enumerate() {
        pair.send(A, *key, format!("message {n}").as_bytes()).unwrap();
    }
    pair.chunk = 777;
    pair.run();
    let opened: Vec<Key> = pair
        .events(B)
        .into_iter()
        .filter_map(|event| if let Event::Opened(key) = event { Some(key) } else { None })
        .collect();
    assert_eq!(opened.len(), 1000);
    for (n, key) in opened.iter().enumerate() {
        assert_eq!(pair.machine(B).accept(*key).unwrap().name, format!("{n}"));
        assert_eq!(pair.take(B, *key)[0].payload, format!("message {n}").as_bytes());
        pair.machine(B).cancel(*key, Scope::End, Reason::none(), None);
    }
    pair.run();
    for key in keys {
        pair.machine(A).close(key, Scope::End, None);
    }
    pair.run();
    assert_eq!([A, B].map(|side| pair.machine(side).open_channels()), [0, 0]);
}

#[test]
fn a_full_accept_queue_refuses() {
    let mut pair = Pair::established(Limits { max_pending_accepts: 2, ..limits() });
    let keys: Vec<Key> =
        (0..3).map(|_| pair.machine(A).open("x", 2, &Metadata::default()).unwrap()).collect();
    pair.run();
    let cancelled = pair.machine(A).send_status(keys[2]).cancelled.unwrap();
    assert_eq!((cancelled.scope, cancelled.reason.code), (Scope::Channel, code::ACCEPT_QUEUE_FULL));
    let events = pair.events(B);
    let [Event::Opened(first), Event::Opened(second)] = events[..] else { panic!("{events:?}") };
    pair.machine(B).accept(first).unwrap();
    assert_eq!(pair.machine(B).accept(first), None);
    pair.machine(B).cancel(second, Scope::Channel, Reason::of(code::REFUSED), None);
    assert_eq!(pair.machine(B).audit().pending_accepts, 0);
    // A closed the channel before it was accepted: it can still be accepted, and its end is seen.
    let fourth = pair.machine(A).open("y", 2, &Metadata::default()).unwrap();
    pair.send(A, fourth, b"early").unwrap();
    pair.machine(A).close(fourth, Scope::End, None);
    pair.run();
    let opened = pair.events(B).into_iter().find_map(|event| match event {
        Event::Opened(key) => Some(key),
        _ => None,
    });
    let key = opened.unwrap();
    assert_eq!(pair.machine(B).accept(key).unwrap().name, "y");
    assert_eq!(pair.take(B, key).len(), 1);
    pair.machine(B).cancel(key, Scope::End, Reason::none(), None);
    assert_eq!(pair.machine(B).audit().pending_accepts, 0);
}

#[test]
fn opens_beyond_the_limits_fail_here() {
    let mut pair = Pair::established(Limits { max_channels: 3, ..limits() });
    // Each side has a budget of its own.
    for side in [A, B] {
        for _ in 0..3 {
            pair.machine(side).open("x", 2, &Metadata::default()).unwrap();
        }
        assert_eq!(pair.machine(side).open("x", 2, &Metadata::default()), Err(OpenError::TooManyChannels));
    }
    pair.run();

    let mut pair = Pair::established(Limits { session_memory: 32 * 1024, ..limits() });
    for side in [A, B] {
        for _ in 0..4 {
            pair.machine(side).open("x", 2, &Metadata::default()).unwrap();
        }
        assert_eq!(pair.machine(side).open("x", 2, &Metadata::default()), Err(OpenError::Memory));
        assert_eq!(pair.machine(side).allocate(Kind::Stream, 0, false, 0), Err(OpenError::Memory));
        // Wherever the receiving end is.
        assert_eq!(pair.machine(side).allocate(Kind::Sender, 2, false, 0), Err(OpenError::Memory));
    }
    pair.run();
    let mut pair = Pair::established(limits());

    let long = "n".repeat(70_000);
    assert_eq!(pair.machine(B).open(&long, 2, &Metadata::default()), Err(OpenError::NameTooLong));
    assert_eq!(pair.machine(B).open(&long[..64_000], 2, &Metadata::default()).map(|_| ()), Ok(()));
    pair.run();
}

#[test]
fn crossing_opens_at_the_limit_are_no_error() {
    let mut pair = Pair::established(Limits { max_channels: 5, session_memory: 1 << 20, ..limits() });
    let keys = [A, B].map(|side| {
        (0..5).map(|_| pair.machine(side).open("x", 2, &Metadata::default()).unwrap()).collect::<Vec<_>>()
    });
    pair.run();
    for side in [A, B] {
        assert_eq!(pair.machine(side).open_channels(), 10);
        for key in &keys[side] {
            pair.machine(side).close(*key, Scope::End, None);
        }
        let theirs: Vec<Key> = pair
            .events(side)
            .into_iter()
            .filter_map(|event| if let Event::Opened(key) = event { Some(key) } else { None })
            .collect();
        for key in theirs {
            pair.machine(side).cancel(key, Scope::End, Reason::none(), None);
        }
    }
    pair.run();
    assert_eq!([A, B].map(|side| pair.machine(side).open_channels()), [0, 0]);

    // As many streams as fit a quarter of the memory, of each side.
    let limits = Limits { session_memory: 160 * 1024, stream_window: 8192, ..limits() };
    let mut pair = Pair::established(limits);
    let (on_a, at_b) = pair.open(A, "x", 100);
    let (on_b, at_a) = pair.open(B, "y", 100);
    for (side, on) in [(A, on_a), (B, on_b)] {
        for _ in 0..4 {
            let key = pair.machine(side).allocate(Kind::Stream, 0, false, 0).unwrap();
            pair.send_with(side, on, &[Attach::Stream(key)], b"s").unwrap();
        }
        assert_eq!(pair.machine(side).allocate(Kind::Stream, 0, false, 0), Err(OpenError::Memory));
    }
    pair.run();
    assert_eq!((pair.take(B, at_b).len(), pair.take(A, at_a).len()), (4, 4));
}

#[test]
fn a_refused_send_hears_when_its_channel_is_announced() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 4);
    let nested = pair.machine(A).allocate(Kind::Receiver, 4, false, 0).unwrap();
    assert_eq!(pair.send(A, nested, b"early"), Err(Blocked::Unannounced));
    pair.send_with(A, key, &[Attach::Channel(nested)], b"here").unwrap();
    assert!(pair.events(A).contains(&Event::Writable(nested)));
    pair.send(A, nested, b"now").unwrap();
    pair.run();
    let at_b = pair.take(B, theirs)[0].attachments[0].key;
    assert_eq!(pair.take(B, at_b)[0].payload, b"now");
}

#[test]
fn what_a_stream_has_kept_follows_the_message_that_names_it() {
    for size in [10, 300_000] {
        let mut pair = Pair::established(limits());
        let (key, theirs) = pair.open(A, "x", 4);
        let [one, two] = [(); 2].map(|()| pair.machine(A).allocate(Kind::Stream, 0, false, 0).unwrap());
        pair.machine(A).stream_send(one, b"kept", true).unwrap();
        pair.machine(A).stream_send(two, b"kept too", true).unwrap();
        pair.machine(A).stream_finish(two, Reason::none());
        pair.send(A, key, b"before").unwrap();
        pair.send_with(A, key, &[Attach::Stream(one), Attach::Stream(two)], &vec![1; size]).unwrap();
        pair.run();
        let mut taken = pair.take(B, theirs);
        pair.run();
        taken.extend(pair.take(B, theirs));
        let [first, second] = taken[1].attachments[..] else { panic!() };
        assert_eq!(read(&mut pair, B, first.key), (b"kept".to_vec(), StreamRead::Pending));
        assert_eq!(read(&mut pair, B, second.key), (b"kept too".to_vec(), StreamRead::End));
    }
}

#[test]
fn a_stream_that_nobody_reads_says_so_once_it_is_announced() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 4);
    let ours = pair.machine(A).allocate(Kind::Stream, 0, false, 0).unwrap();
    pair.machine(A).stream_stop(ours, Reason::none());
    pair.send_with(A, key, &[Attach::Stream(ours)], b"write only").unwrap();
    pair.run();
    let at_b = pair.take(B, theirs)[0].attachments[0].key;
    assert!(pair.machine(B).stream_stopped(at_b));
    pair.machine(B).stream_finish(at_b, Reason::none());
    pair.machine(B).stream_stop(at_b, Reason::none());
    pair.machine(A).stream_finish(ours, Reason::none());
    pair.run();
    assert_eq!([A, B].map(|side| pair.machine(side).open_channels()), [1, 1]);
}

#[test]
fn a_long_chain_of_nested_channels_is_dropped_without_recursion() {
    // Each channel's only message carries the next channel.
    let depth = 30_000;
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    let run = move || {
        let mut pair = Pair::established(limits());
        let (first, theirs) = pair.open(A, "x", 4);
        let mut key = first;
        let mut chain = vec![first];
        for _ in 0..depth {
            let next = pair.machine(A).allocate(Kind::Receiver, 4, false, 0).unwrap();
            pair.send_with(A, key, &[Attach::Channel(next)], b"deeper").unwrap();
            chain.push(next);
            key = next;
            if chain.len() % 1000 == 0 {
                pair.run();
            }
        }
        pair.run();
        pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
        pair.run();
        for key in chain {
            assert!(pair.machine(A).send_status(key).cancelled.is_some());
            pair.machine(A).close(key, Scope::End, None);
        }
        pair.run();
        [A, B].map(|side| pair.machine(side).open_channels())
    };
    #[allow(clippy::disallowed_methods)]
    let open = small.spawn(run).unwrap().join().unwrap();
    assert_eq!(open, [0, 0]);
}

#[test]
fn a_sender_that_came_home_holds_its_channel_and_its_slot() {
    let mut pair = Pair::established(limits());
    let (carrier, at_b) = pair.open(A, "carrier", 100);
    let (key, theirs) = pair.open(A, "home", 4);
    pair.send_with(A, carrier, &[Attach::SenderHome(key)], b"take it").unwrap();
    pair.machine(A).close(key, Scope::End, None);
    pair.run();
    assert_eq!(pair.machine(B).recv_status(theirs).closed, None, "the sender is on its way home");
    let taken = pair.take(B, at_b);
    assert_eq!((taken[0].attachments[0].kind, taken[0].attachments[0].key), (Kind::SenderHome, theirs));
    pair.events(B);
    pair.machine(B).release_hold(theirs);
    assert_eq!(pair.events(B), [Event::Readable(theirs)]);
    assert!(pair.machine(B).recv_status(theirs).closed.is_some());
    pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);

    // Its answer to CLOSE waits for the sender too, and the peer counts the channel as long as we do.
    let (key, theirs) = pair.open(A, "home", 4);
    pair.send_with(A, carrier, &[Attach::SenderHome(key)], b"take it").unwrap();
    pair.machine(A).close(key, Scope::End, None);
    pair.run();
    assert_eq!((pair.machine(A).audit().here, pair.machine(B).audit().there), ([2, 4096], [2, 4096]));
    // The receiver leaves while the message that brings the sender is unread: the attachment's key leads nowhere.
    pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
    pair.run();
    assert_eq!((pair.machine(A).audit().here, pair.machine(B).audit().there), ([1, 2048], [1, 2048]));
    let (_, other) = pair.open(A, "other", 4);
    assert_ne!(other, theirs, "a key leads to no other channel");
    let taken = pair.take(B, at_b);
    assert_eq!(taken[0].attachments[0].key, theirs);
    pair.machine(B).reject(taken[0].attachments[0], &Reason::of(code::UNCLAIMED));
    assert_eq!(pair.machine(B).recv_status(other).closed, None);
    assert_eq!([A, B].map(|side| pair.machine(side).open_channels()), [2, 2]);
}

#[test]
fn output_is_taken_in_exchange_for_buffers() {
    let mut pair = Pair::established(limits());
    let (key, _) = pair.open(A, "x", 4);
    let mut out = Output::default();
    pair.send(A, key, b"one").unwrap();
    pair.machine(A).take_output(&mut out);
    assert_eq!(frames(&flat(&out)).len(), 1);
    out.clear();
    assert!(out.is_empty());
    pair.machine(A).take_output(&mut out);
    assert!(out.is_empty());
}
