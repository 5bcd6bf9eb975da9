//! Credit: who may send how much, and that nobody stands still while there is room.

mod support;

use libchan_proto::{Attach, Blocked, Event, Key, Kind, Limits, Reason, Scope, StreamRead, code};
use support::*;

fn limits() -> Limits {
    Limits::default()
}

/// A channel whose receiver is at B and served on demand.
fn on_demand(pair: &mut Pair, capacity: u32) -> (Key, Key) {
    let (carrier, at_b) = pair.open(A, "carrier", 4);
    let key = pair.machine(A).allocate(Kind::Receiver, capacity, true, 0).unwrap();
    pair.send_with(A, carrier, &[Attach::Channel(key)], b"here").unwrap();
    pair.run();
    let attachment = pair.take(B, at_b)[0].attachments[0];
    assert!(attachment.on_demand && attachment.capacity == capacity);
    (key, attachment.key)
}

// ---- messages

#[test]
fn a_receiver_that_takes_seven_of_sixteen_and_stops() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 16);
    for _ in 0..16 {
        pair.send(A, key, b"1").unwrap();
    }
    assert_eq!(pair.send(A, key, b"1"), Err(Blocked::Room));
    pair.run();
    let taken = pair.take_out(B, theirs);
    for message in &taken[..7] {
        pair.report(B, theirs, std::slice::from_ref(message));
    }
    pair.run();
    assert!(pair.events(A).contains(&Event::Writable(key)));
    let (n, why) = pair.fill(A, key, b"2");
    assert!((1..=7).contains(&n) && why == Blocked::Room, "{n} {why:?}");
    // The arrival of what could be sent makes the rest of the credit due.
    let mut sent = n;
    for _ in 0..16 {
        pair.run();
        sent += pair.fill(A, key, b"2").0;
    }
    assert_eq!(sent, 7, "sixteen are undelivered again");
}

#[test]
fn the_same_in_bytes() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 1000);
    // 2,048 bytes are thirty-two messages of 32 + 32.
    let (n, why) = pair.fill(A, key, &[1; 32]);
    assert_eq!((n, why), (32, Blocked::Credit));
    pair.run();
    let taken = pair.take_out(B, theirs);
    for message in &taken[..7] {
        pair.report(B, theirs, std::slice::from_ref(message));
    }
    let mut sent = 0;
    for _ in 0..16 {
        pair.run();
        sent += pair.fill(A, key, &[1; 32]).0;
    }
    assert_eq!(sent, 7);
}

#[test]
fn the_same_on_a_stream() {
    let mut pair = Pair::established(Limits { stream_window: 1024, ..limits() });
    let (carrier, at_b) = pair.open(A, "x", 4);
    let ours = pair.machine(A).allocate(Kind::Stream, 0, false, 0).unwrap();
    pair.send_with(A, carrier, &[Attach::Stream(ours)], b"s").unwrap();
    pair.run();
    let theirs = pair.take(B, at_b)[0].attachments[0].key;
    pair.machine(A).stream_send(ours, &[1; 700], false).unwrap();
    pair.run();
    assert_eq!(pair.machine(B).stream_recv(theirs, 400, &mut |_| ()), StreamRead::Data(400));
    // 400 are owed, less than half; the sender has 324 left. It uses them up, and then 400 must come.
    pair.machine(A).stream_send(ours, &[1; 2000], false).unwrap();
    pair.run();
    let audit = pair.machine(B).audit().streams[0];
    assert_eq!(audit.arrived, 1024, "the window is full again");
}

#[test]
fn capacity_one() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 1);
    for n in 0..100u8 {
        pair.send(A, key, &[n]).unwrap();
        assert_eq!(pair.send(A, key, &[n]), Err(Blocked::Room));
        pair.run();
        assert_eq!(pair.events(B), [Event::Readable(theirs)]);
        assert_eq!(pair.take(B, theirs)[0].payload, [n]);
        pair.run();
        assert_eq!(pair.events(A), [Event::Writable(key)]);
    }
    assert!(pair.take(B, theirs).is_empty());
}

#[test]
fn wanted_is_a_level() {
    for capacity in [0, 4] {
        let mut pair = Pair::established(limits());
        let (key, theirs) = on_demand(&mut pair, capacity);
        assert_eq!(pair.send(A, key, b"nobody waits"), Err(Blocked::Room));
        for _ in 0..10 {
            pair.machine(B).want(theirs, 1);
            pair.run();
            pair.machine(B).want(theirs, 0);
            pair.run();
        }
        assert_eq!(pair.events(A), [Event::Writable(key)]);
        assert_eq!(pair.machine(A).send_status(key).demand, 1);
        let (n, why) = pair.fill(A, key, b"one");
        assert_eq!((n, why), (1, Blocked::Room));
        pair.run();
        // It has arrived and waits: a receive finds it, and orders no other.
        assert_eq!(pair.take(B, theirs).len(), 1);
        pair.run();
        assert_eq!(pair.fill(A, key, b"none").0, 0);
        pair.machine(B).want(theirs, 3);
        pair.run();
        assert_eq!(pair.fill(A, key, b"three").0, 3);
        pair.machine(B).want(theirs, 3);
        pair.run();
        assert_eq!(pair.take(B, theirs).len(), 3);
    }
}

#[test]
fn a_rendezvous_tells_what_was_taken() {
    let mut pair = Pair::established(limits());
    let (carrier, at_b) = pair.open(A, "carrier", 4);
    let reply = pair.machine(A).allocate(Kind::Sender, 0, false, 0).unwrap();
    // The level changes before the message that says it has left.
    pair.machine(A).want(reply, 2);
    pair.send_with(A, carrier, &[Attach::Channel(reply)], b"ask").unwrap();
    pair.run();
    let sender = pair.take(B, at_b)[0].attachments[0].key;
    assert_eq!(pair.machine(B).send_status(sender).demand, 2);
    pair.machine(B).track_taken(sender, true);
    pair.send(B, sender, b"one").unwrap();
    pair.send(B, sender, b"two").unwrap();
    assert_eq!(pair.send(B, sender, b"three"), Err(Blocked::Room));
    pair.run();
    pair.events(B);
    let out = pair.take_out(A, reply);
    pair.machine(A).want(reply, 0);
    pair.report(A, reply, &out[..1]);
    pair.run();
    assert_eq!(pair.events(B), [Event::Taken(sender, 1)]);
    assert_eq!(pair.machine(B).send_status(sender).untaken, 1);
    // The receiver leaves: what was taken meanwhile is told, the rest was not.
    pair.report(A, reply, &out[1..]);
    pair.machine(A).cancel(reply, Scope::End, Reason::none(), None);
    pair.run();
    assert_eq!(pair.events(B), [Event::Taken(sender, 1), Event::Cancelled(sender)]);
    assert_eq!(pair.machine(B).send_status(sender).untaken, 0);
}

#[test]
fn a_hundred_thousand_nested_messages_leak_nothing() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 16);
    let mut left = 100_000;
    while left > 0 {
        let mut replies = Vec::new();
        while left > 0 {
            let reply = pair.machine(A).allocate(Kind::Sender, 4, false, 0).unwrap();
            if pair.send_with(A, key, &[Attach::Channel(reply)], b"payload").is_err() {
                pair.machine(A).abandon(reply);
                break;
            }
            replies.push(reply);
            left -= 1;
        }
        assert!(!replies.is_empty(), "stands still with {left} to go");
        pair.run();
        for message in pair.take(B, theirs) {
            pair.machine(B).close(message.attachments[0].key, Scope::End, None);
        }
        pair.run();
        for reply in replies {
            assert!(pair.machine(A).recv_status(reply).closed.is_some());
            pair.machine(A).cancel(reply, Scope::End, Reason::none(), None);
        }
        for side in [A, B] {
            pair.sides[side].events.clear();
        }
    }
    pair.run();
    let audit = pair.machine(A).audit();
    assert_eq!((audit.recvs.len(), audit.sends.len(), audit.beyond), (0, 1, [0; 2]));
    let (sender, receiver) = (audit.sends[0], pair.machine(B).audit().recvs[0]);
    assert_eq!(sender.credit, receiver.left);
    assert!(receiver.size - receiver.left < receiver.size / 2, "nothing but what is not yet due is missing");
}

// ---- large messages

#[test]
fn large_messages_with_tiny_windows() {
    for (size, n) in [(1000, 0), (5000, 3), (70_000, 1), (1_000_000, 12)] {
        let limits = Limits { initial_window: 512, max_window: 512, max_frame: 4096, ..limits() };
        let mut pair = Pair::established(limits);
        let (key, theirs) = pair.open(A, "x", 4);
        pair.machine(B).set_awaited(theirs, true);
        for round in 0..5u8 {
            let keys: Vec<Key> =
                (0..n).map(|_| pair.machine(A).allocate(Kind::Receiver, 1, false, 0).unwrap()).collect();
            let attach: Vec<Attach> = keys.iter().map(|key| Attach::Channel(*key)).collect();
            pair.send_with(A, key, &attach, &vec![round; size]).unwrap();
            assert_eq!(pair.send(A, key, b"behind it"), Err(Blocked::Room));
            for key in &keys {
                pair.send(A, *key, b"inside").unwrap();
            }
            pair.run();
            let taken = pair.take(B, theirs);
            assert_eq!((taken.len(), taken[0].payload.len(), taken[0].attachments.len()), (1, size, n));
            assert!(taken[0].payload.iter().all(|byte| *byte == round));
            for attachment in &taken[0].attachments {
                assert_eq!(pair.take(B, attachment.key)[0].payload, b"inside");
                pair.machine(B).reject(*attachment, &Reason::of(code::UNCLAIMED));
            }
            pair.run();
            for key in keys {
                pair.machine(A).close(key, Scope::End, None);
            }
            pair.run();
            assert!(pair.events(A).contains(&Event::Writable(key)));
            assert_eq!(pair.machine(B).audit().beyond[1], 0, "what was set aside is free again");
        }
    }
}

#[test]
fn the_largest_message_passes_with_all_its_attachments() {
    // The fixed part of the first frame is charged too: the first window covers it, and a quarter of the memory the rest.
    let limits = Limits { session_memory: 256 * 1024, initial_window: 512, ..limits() };
    let mut pair = Pair::established(limits);
    let (key, theirs) = pair.open(A, "x", 4);
    // As little is left as a message may be started with.
    pair.send(A, key, b"").unwrap();
    let keys: Vec<Key> =
        (0..12).map(|_| pair.machine(A).allocate(Kind::Receiver, 1, false, 0).unwrap()).collect();
    let attach: Vec<Attach> = keys.iter().map(|key| Attach::Channel(*key)).collect();
    let largest = pair.machine(A).limits().max_message as usize;
    assert_eq!(largest, 64 * 1024);
    pair.run();
    assert_eq!(pair.take(B, theirs).len(), 1);
    assert_eq!(pair.machine(A).send_status(key).byte_credit, 480);
    pair.send_with(A, key, &attach, &vec![1; largest]).unwrap();
    pair.run();
    assert_eq!(pair.take(B, theirs).len(), 1);
}

#[test]
fn half_received_messages_cannot_lock_the_pool() {
    // Memory for two of ten; all begin, and all pass once the receiver takes what has come.
    let limits = Limits { session_memory: 1 << 20, ..limits() };
    let mut pair = Pair::established(limits);
    let ends: Vec<(Key, Key)> = (0..10).map(|_| pair.open(A, "x", 4)).collect();
    let small = pair.open(A, "small", 4);
    for (key, _) in &ends {
        pair.send(A, *key, &vec![7; 120_000]).unwrap();
    }
    pair.run();
    assert!(pair.machine(B).audit().beyond[1] <= 1 << 18);
    // Whatever fits a first window passes beside them.
    for _ in 0..20 {
        pair.send(A, small.0, &[1; 900]).unwrap();
        pair.run();
        assert_eq!(pair.take(B, small.1).len(), 1);
    }
    let mut whole = 0;
    for _ in 0..10 {
        for (_, theirs) in &ends {
            whole += pair.take(B, *theirs).iter().filter(|taken| taken.payload.len() == 120_000).count();
        }
        pair.run();
    }
    assert_eq!(whole, 10);
    assert_eq!(pair.machine(B).audit().beyond[1], 0);
}

#[test]
fn who_leaves_the_line_for_memory_lets_the_others_pass() {
    let limits = Limits { session_memory: 400_000, ..limits() };
    let mut pair = Pair::established(limits);
    let ends: Vec<(Key, Key)> = (0..3).map(|_| pair.open(A, "x", 4)).collect();
    for ((key, theirs), size) in ends.iter().zip([60_000, 90_000, 20_000]) {
        pair.machine(B).set_awaited(*theirs, true);
        pair.send(A, *key, &vec![7; size]).unwrap();
    }
    pair.run();
    let waiting = |pair: &mut Pair, n: usize| pair.machine(B).recv_status(ends[n].1).waiting;
    assert_eq!([0, 1, 2].map(|n| waiting(&mut pair, n)), [1, 0, 0], "the second is the first in line");
    pair.machine(B).cancel(ends[1].1, Scope::End, Reason::none(), None);
    pair.run();
    assert_eq!([0, 2].map(|n| waiting(&mut pair, n)), [1, 1]);
}

/// What is left of a first window when everything was taken: a sender that waits for half of it never waits for ever.
#[test]
fn half_of_a_first_window_always_comes_back() {
    let mut least = i64::MAX;
    for size in 0..900 {
        let mut pair = Pair::established(Limits { max_window: 0, max_attachments: 0, ..limits() });
        let (key, theirs) = pair.open(A, "x", 100_000);
        for n in 0..12 {
            while pair.send(A, key, &vec![1; size + n]).is_err() {
                pair.run();
                assert!(!pair.take(B, theirs).is_empty(), "nobody stands still");
                pair.run();
            }
        }
        pair.run();
        pair.take(B, theirs);
        pair.run();
        least = least.min(pair.machine(A).send_status(key).byte_credit);
    }
    assert!((1024..1100).contains(&least), "{least}");
}

/// A message that is not to be cut waits for its credit; a larger one is begun with what there is.
#[test]
fn small_messages_wait_whole_and_others_are_cut() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100);
    pair.send(A, key, &[1; 600]).unwrap();
    // 1,416 bytes are left: more than is waited for at the most, 1,312.
    pair.send(A, key, &[2; 3000]).unwrap();
    pair.run();
    let audit = pair.machine(B).audit().recvs[0];
    assert_eq!((audit.left, audit.arriving), (0, Some(3032)));
    pair.take(B, theirs);
    pair.run();
    assert_eq!(pair.take(B, theirs)[0].payload, [2; 3000]);
    pair.run();
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100);
    pair.send(A, key, &[1; 1100]).unwrap();
    for size in [993, 3000] {
        // 916 are left.
        assert_eq!(pair.send(A, key, &vec![2; size]), Err(Blocked::Credit));
    }
    assert_eq!(pair.send(A, key, &[2; 885]), Err(Blocked::Credit));
    pair.send(A, key, &[2; 884]).unwrap();
    pair.run();
    assert_eq!(pair.take(B, theirs).len(), 2);
    pair.run();
    assert!(pair.events(A).contains(&Event::Writable(key)));
}

/// One receive given up, the others never made: what is read comes all the same.
#[test]
fn given_up_receives_do_not_lock_large_messages() {
    let limits = Limits { session_memory: 400_000, max_message: 50_000, ..limits() };
    for given_up in 0..12 {
        let mut pair = Pair::established(limits.clone());
        let ends: Vec<(Key, Key)> = (0..30).map(|_| pair.open(A, "x", 4)).collect();
        for (key, _) in &ends {
            pair.send(A, *key, &vec![7; 40_000]).unwrap();
        }
        pair.run();
        pair.machine(B).set_awaited(ends[given_up].1, true);
        pair.run();
        pair.machine(B).set_awaited(ends[given_up].1, false);
        for (_, theirs) in ends[20..].iter() {
            pair.machine(B).set_awaited(*theirs, true);
            pair.run();
            assert_eq!(pair.take(B, *theirs).len(), 1);
            pair.run();
        }
        assert!(pair.machine(B).audit().beyond[1] <= 100_000);
    }
}

/// Whoever leaves the line serves the next: by a take, a CANCEL, a CLOSE that cuts, a receive that is given up.
#[test]
fn the_line_for_memory_moves_on() {
    let limits = Limits { session_memory: 400_000, ..limits() };
    for leaves in 0..4 {
        let mut pair = Pair::established(limits.clone());
        let ends: Vec<(Key, Key)> = (0..3).map(|_| pair.open(A, "x", 4)).collect();
        for (key, theirs) in &ends {
            pair.machine(B).set_awaited(*theirs, true);
            pair.send(A, *key, &vec![7; 90_000]).unwrap();
        }
        pair.run();
        let waiting = |pair: &mut Pair, n: usize| pair.machine(B).recv_status(ends[n].1).waiting;
        assert_eq!([0, 1, 2].map(|n| waiting(&mut pair, n)), [1, 0, 0]);
        assert_eq!(pair.machine(B).audit().lines[0], 2);
        let gone = ends[1].1;
        match leaves {
            0 => drop(pair.take(B, ends[0].1)),
            1 => pair.machine(B).cancel(gone, Scope::End, Reason::none(), None),
            2 => pair.machine(B).set_awaited(gone, false),
            _ => pair.machine(A).goodbye_now(Reason::none()).then_some(()).unwrap(),
        }
        pair.run();
        if leaves == 3 {
            assert_eq!(pair.machine(B).audit().lines[0], 0);
            continue;
        }
        if leaves > 0 {
            // It is the third one's turn now, once the first was taken.
            assert_eq!(pair.machine(B).audit().lines[0], 1);
            pair.take(B, ends[0].1);
            pair.run();
        }
        let next = if leaves == 0 { 1 } else { 2 };
        assert_eq!(waiting(&mut pair, next), 1);
    }
}

#[test]
fn what_nobody_reads_leaves_memory_for_what_somebody_does() {
    // A quarter is memory for two messages of the largest size.
    let limits = Limits { session_memory: 1 << 20, max_message: 120_000, ..limits() };
    for awaited_first in [false, true] {
        let mut pair = Pair::established(limits.clone());
        let ends: Vec<(Key, Key)> = (0..6).map(|_| pair.open(A, "x", 4)).collect();
        let (wanted, theirs) = pair.open(A, "wanted", 4);
        if awaited_first {
            pair.machine(B).set_awaited(theirs, true);
        }
        for (key, _) in &ends {
            pair.send(A, *key, &vec![7; 120_000]).unwrap();
        }
        pair.run();
        // A receive that is given up has its memory until the message is taken.
        pair.machine(B).set_awaited(ends[3].1, true);
        pair.machine(B).set_awaited(ends[3].1, false);
        pair.run();
        for _ in 0..5 {
            pair.send(A, wanted, &vec![8; 120_000]).unwrap();
            pair.run();
            pair.machine(B).set_awaited(theirs, true);
            pair.run();
            assert!(pair.machine(B).audit().beyond[1] <= 1 << 18);
            assert_eq!(pair.take(B, theirs).len(), 1);
            pair.run();
        }
        let unread = ends.iter().filter(|(_, key)| pair.machine(B).recv_status(*key).waiting > 0).count();
        assert_eq!(unread, 1);
    }
}

// ---- windows

#[test]
fn a_window_grows_with_a_reader_that_keeps_up() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100_000);
    let mut most = 0;
    for _ in 0..20 {
        let mut sent = 0;
        loop {
            let (n, why) = pair.fill(A, key, &[1; 100]);
            sent += n;
            if why != Blocked::Congested {
                break;
            }
            pair.pump(A);
        }
        most = most.max(sent);
        pair.run();
        assert_eq!(pair.take(B, theirs).len() as u32, sent);
        pair.run();
    }
    assert!(most > 5000, "{most}");
    let audit = pair.machine(B).audit();
    assert_eq!(audit.beyond[0], audit.recvs[0].size as u64 - 2048);
    pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
    pair.run();
    pair.machine(A).close(key, Scope::End, None);
    pair.run();
    assert_eq!(pair.machine(B).audit().beyond, [0; 2]);
}

#[test]
fn and_not_with_one_that_does_not() {
    // It takes one of a full window at a time: most of the window is held whenever it does.
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100_000);
    let mut out = std::collections::VecDeque::new();
    for _ in 0..200 {
        pair.fill(A, key, &[1; 100]);
        pair.run();
        out.extend(pair.take_out(B, theirs));
        let one = out.pop_front().unwrap();
        pair.report(B, theirs, &[one]);
        pair.run();
        let receiver = pair.machine(B).audit().recvs[0];
        assert_eq!(receiver.size, 2048);
    }
    // With a sender that never runs out it leaves the smallest sizes, and no more.
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100_000);
    for _ in 0..200 {
        pair.send(A, key, &[1; 100]).unwrap();
        pair.run();
        assert_eq!(pair.take(B, theirs).len(), 1);
        pair.run();
    }
    assert_eq!(pair.machine(B).audit().recvs[0].size, 32 * 1024);
}

/// Sends as much as there is credit for on each of these channels, and takes it, a few times.
fn flood(pair: &mut Pair, keys: &[(Key, Key)], rounds: usize) {
    for _ in 0..rounds {
        for (from, to) in keys {
            while pair.fill(A, *from, &[0; 500]).1 == Blocked::Congested {
                pair.run();
            }
            pair.run();
            pair.take(B, *to);
            pair.run();
        }
    }
}

/// Those who came first have all the memory that windows may grow by: they are granted less once others want it, and those have
/// a window of that order soon. When the others are gone they have it back.
#[test]
fn the_largest_is_granted_less_when_the_memory_for_growth_is_used_up() {
    let memory = Limits { session_memory: 1 << 20, max_message: 64 * 1024, max_window: 1 << 20, ..limits() };
    let mut pair = Pair::established(memory);
    let quarter = 1 << 18;
    let first = pair.open(A, "first", 100_000);
    flood(&mut pair, &[first], 40);
    let grown = pair.machine(B).audit().beyond[0];
    assert!(grown > quarter * 9 / 10, "it has nearly all: {grown}");
    let second = pair.open(A, "second", 100_000);
    let third = pair.open(A, "third", 100_000);
    flood(&mut pair, &[first, second, third], 40);
    let sizes: Vec<i32> = pair.machine(B).audit().recvs.iter().map(|recv| recv.size).collect();
    assert_eq!(sizes.len(), 3);
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(most / least <= 4, "{sizes:?}");
    assert!(pair.machine(B).audit().beyond[0] <= quarter);
    // The others leave, or only stop: after a tick they ask for nothing.
    for (key, _) in [second, third] {
        pair.machine(A).close(key, Scope::End, None);
    }
    pair.run();
    pair.tick(5);
    flood(&mut pair, &[first], 40);
    let grown = pair.machine(B).audit().beyond[0];
    assert!(grown > quarter * 9 / 10, "it has nearly all again: {grown}");
}

#[test]
fn growth_stays_within_its_quarter() {
    let limits = Limits { session_memory: 1 << 20, ..limits() };
    let mut pair = Pair::established(limits);
    let ends: Vec<(Key, Key)> = (0..20).map(|_| pair.open(A, "x", 100_000)).collect();
    for _ in 0..20 {
        for (key, theirs) in &ends {
            pair.fill(A, *key, &[1; 100]);
            pair.run();
            pair.take(B, *theirs);
        }
        pair.run();
        let grown = pair.machine(B).audit().beyond[0];
        assert!(grown <= 1 << 18, "{grown}");
    }
    assert!(pair.machine(B).audit().beyond[0] > 1 << 17);
}

// ---- messages that are out and not reported

#[test]
fn starved_tells_when_messages_are_out_and_the_sender_has_nothing_left() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 4);
    pair.send(A, key, b"1").unwrap();
    pair.send(A, key, b"2").unwrap();
    pair.run();
    pair.events(B);
    let out = pair.take_out(B, theirs);
    assert!(!pair.machine(B).sender_starved(theirs), "two are left");
    pair.send(A, key, b"3").unwrap();
    pair.run();
    assert_eq!(pair.events(B), [Event::Readable(theirs)]);
    pair.send(A, key, b"4").unwrap();
    assert_eq!(pair.send(A, key, b"5"), Err(Blocked::Room));
    pair.run();
    assert_eq!(pair.events(B), [Event::Starved(theirs)]);
    assert!(pair.machine(B).sender_starved(theirs));
    assert!(pair.report(B, theirs, &out[..1]), "credit is due");
    pair.run();
    assert_eq!(pair.events(A), [Event::Writable(key)]);
    pair.send(A, key, b"5").unwrap();
    pair.run();
    assert_eq!(pair.events(B), [Event::Starved(theirs)], "again, for the second that is out");
}

#[test]
fn starved_for_bytes() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 100);
    pair.send(A, key, &[1; 400]).unwrap();
    pair.run();
    pair.events(B);
    let out = pair.take_out(B, theirs);
    assert_eq!(pair.fill(A, key, &[2; 800]), (1, Blocked::Credit));
    pair.run();
    assert_eq!(pair.events(B), [Event::Starved(theirs), Event::Readable(theirs)]);
    assert!(pair.report(B, theirs, &out));
    pair.run();
    assert_eq!(pair.events(A), [Event::Writable(key)]);
}

// ---- descriptors

#[test]
fn descriptors_have_a_budget() {
    let mut pair = Pair::established(Limits { max_descriptors: 8, ..limits() });
    let (key, theirs) = pair.open(A, "x", 100);
    let (other, at_b) = pair.open(A, "y", 100);
    let three: Vec<Attach> = (0..3).map(Attach::Descriptor).collect();
    let six: Vec<Attach> = (10..16).map(Attach::Descriptor).collect();
    pair.send_with(A, key, &three, b"three").unwrap();
    assert_eq!(pair.send_with(A, key, &six, b"six"), Err(Blocked::Descriptors));
    assert_eq!(pair.send_with(A, key, &six, b"six"), Err(Blocked::Descriptors));
    assert_eq!(pair.machine(A).audit().lines[4], 1, "who asks twice stands in line once");
    pair.send(A, other, b"passes").unwrap();
    pair.run();
    assert_eq!(pair.take(B, at_b).len(), 1);
    let taken = pair.take(B, theirs);
    let numbers: Vec<u32> = taken[0].attachments.iter().map(|attachment| attachment.key.slot).collect();
    assert_eq!((&numbers[..], &pair.sides[B].descriptors[..]), (&[0, 1, 2][..], &[0, 1, 2][..]));
    // The application has taken all three: the message of six must get its chance.
    assert!(pair.machine(B).descriptors_released(3));
    pair.run();
    assert!(pair.events(A).contains(&Event::Writable(key)));
    pair.send_with(A, key, &six, b"six").unwrap();
    pair.machine(B).cancel(theirs, Scope::End, Reason::none(), None);
    pair.run();
    let dropped: Vec<Event> = (3..9).map(Event::DescriptorDropped).collect();
    assert!(pair.events(B).ends_with(&dropped));
    let [credit, out, ..] = pair.machine(A).audit().descriptors;
    assert_eq!((credit, out), (8, 0));
}

#[test]
fn a_congested_sender_hears_when_output_was_taken() {
    let mut pair = Pair::established(limits());
    let (key, theirs) = pair.open(A, "x", 1_000_000);
    for _ in 0..10 {
        pair.fill(A, key, &[1; 1000]);
        pair.run();
        pair.take(B, theirs);
        pair.run();
    }
    pair.events(A);
    let (n, why) = pair.fill(A, key, &[1; 1000]);
    assert_eq!(why, Blocked::Congested, "{n}");
    assert_eq!(pair.send(A, key, b"again"), Err(Blocked::Congested));
    assert_eq!(pair.machine(A).audit().lines[1], 1);
    pair.pump(A);
    assert_eq!(pair.events(A), [Event::Writable(key)]);
}
