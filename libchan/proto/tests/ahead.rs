//! Fragments that are read into their places before their headers are known: whatever comes instead of what was expected,
//! and wherever a read ends, the messages are the same.

mod support;

use libchan_proto::{Key, Limits, Machine, Reason, Rest, Scope};
use support::*;

/// The longest frame.
const MAX: usize = 9000;
/// What a fragment that fills its frame has of the payload.
const FULL: usize = MAX - 1;
/// What the first frame has.
const FIRST: usize = MAX - 6;
const ID: u32 = 2;
const OTHER: u32 = 4;

fn pair() -> (Pair, Key, Key) {
    let limits = Limits { max_frame: MAX as u32, initial_window: 4 << 20, ..Limits::default() };
    let mut pair = Pair::established(limits);
    let (_, key) = pair.open(A, "large", 64);
    let (_, other) = pair.open(A, "other", 64);
    (pair, key, other)
}

fn payload(fill: u8, frames: usize) -> Vec<u8> {
    (0..FIRST + FULL * frames - FULL / 2).map(|at| fill.wrapping_add((at / 7) as u8)).collect()
}

/// The frames of a message, whose fragments have at most `size` bytes of its payload each.
fn message(id: u32, payload: &[u8], size: impl Fn(usize) -> usize) -> Vec<Vec<u8>> {
    let (first, rest) = payload.split_at(FIRST);
    let mut frames = vec![frame(MESSAGE, id, &message_body(0, &[], Some(payload.len() as u32), first))];
    let mut at = 0;
    while at < rest.len() {
        let n = size(frames.len()).min(rest.len() - at);
        frames.push(fragment_frame(id, at + n < rest.len(), &rest[at..at + n]));
        at += n;
    }
    frames
}

/// Reads `bytes` into the places that there are; what did not belong there goes to `stray`.
fn read(rest: &mut Rest, bytes: &[u8], stray: &mut Vec<u8>) {
    let mut input = bytes;
    rest.rooms(|room| {
        let (now, later) = input.split_at(input.len().min(room.len()));
        room[..now.len()].copy_from_slice(now);
        input = later;
    });
    assert!(input.is_empty());
    rest.advance(bytes.len(), |bytes| stray.extend_from_slice(bytes));
}

/// Hands `bytes` to the machine in pieces, as a driver does. Says how many bytes a read had places for, at the most.
fn feed(machine: &mut Machine, bytes: &[u8], mut piece: impl FnMut() -> usize) -> usize {
    let (mut buffer, mut at, mut most) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let mut n = piece().min(bytes.len() - at);
        if let Some(mut rest) = machine.take_rest() {
            most = most.max(rest.room());
            n = n.min(rest.room());
            assert!(buffer.is_empty());
            read(&mut rest, &bytes[at..at + n], &mut buffer);
            machine.handle_rest(rest).unwrap();
        } else {
            buffer.extend_from_slice(&bytes[at..at + n]);
        }
        at += n;
        if !buffer.is_empty() {
            let taken = machine.handle_input(&buffer).unwrap();
            buffer.drain(..taken);
        }
    }
    assert!(buffer.is_empty(), "all frames are whole");
    most
}

fn taken(pair: &mut Pair, key: Key) -> Vec<Vec<u8>> {
    pair.take(B, key).into_iter().map(|taken| taken.payload).collect()
}

/// A message, after which fragments are expected.
fn warm(pair: &mut Pair) -> Vec<u8> {
    let warm = payload(1, 9);
    let frames = message(ID, &warm, |_| FULL);
    feed(pair.machine(B), &frames.concat(), || 5000);
    warm
}

const PIECES: [usize; 9] = [usize::MAX, 1, 8, 9, 4096, MAX - 1, MAX + 8, MAX + 9, 3 * MAX];

#[test]
fn frames_that_come_as_expected_need_one_read() {
    let (mut pair, key, _) = pair();
    let first = warm(&mut pair);
    let second = payload(2, 7);
    let frames = message(ID, &second, |_| FULL).concat();
    let mut pieces = [100, usize::MAX].into_iter();
    let most = feed(pair.machine(B), &frames, || pieces.next().expect("two reads are enough"));
    assert_eq!(most, frames.len() - 100);
    assert_eq!(taken(&mut pair, key), [first, second]);
}

#[test]
fn what_comes_between_is_not_lost_and_nothing_waits_for_it() {
    for piece in PIECES {
        for position in 1..8 {
            let (mut pair, key, other) = pair();
            let first = warm(&mut pair);
            let second = payload(2, 7);
            let mut frames = message(ID, &second, |_| FULL);
            frames.insert(position, [message_frame(OTHER, b"between"), frame(PING, 0, &[7; 8])].concat());
            let (now, later) = frames.split_at(position + 1);
            feed(pair.machine(B), &now.concat(), || piece);
            assert_eq!(taken(&mut pair, other), [b"between"]);
            feed(pair.machine(B), &later.concat(), || piece);
            assert_eq!(taken(&mut pair, key), [first, second], "at {position} in pieces of {piece}");
        }
    }
}

#[test]
fn fragments_may_have_any_length() {
    for piece in PIECES {
        for short in 1..8 {
            for length in [1, 8, 4000, FULL - 9, FULL - 1] {
                let (mut pair, key, _) = pair();
                let first = warm(&mut pair);
                let second = payload(2, 7);
                let frames = message(ID, &second, |at| if at == short { length } else { FULL });
                feed(pair.machine(B), &frames.concat(), || piece.max(length / 100));
                assert_eq!(taken(&mut pair, key), [first, second], "{short}, {length}, {piece}");
            }
        }
    }
}

#[test]
fn a_read_may_end_anywhere() {
    let second = payload(2, 3);
    let frames = message(ID, &second, |_| FULL).concat();
    // Around each header, and some within.
    let near = (0..frames.len()).filter(|at| at % 997 == 0 || (at + 12) % (MAX + 8) < 24);
    for cut in near {
        let (mut pair, key, _) = pair();
        let first = warm(&mut pair);
        let mut pieces = [20, cut, usize::MAX].into_iter();
        feed(pair.machine(B), &frames, || pieces.next().unwrap_or(usize::MAX).max(1));
        assert_eq!(taken(&mut pair, key), [first, second.clone()], "cut at {cut}");
    }
}

#[test]
fn messages_that_take_turns_are_read_as_ever() {
    let (mut pair, key, other) = pair();
    let first = warm(&mut pair);
    let (one, two) = (payload(2, 7), payload(3, 7));
    let turns = message(ID, &one, |_| FULL).into_iter().zip(message(OTHER, &two, |_| FULL));
    let bytes = turns.flat_map(|(one, two)| [one, two]).collect::<Vec<_>>().concat();
    // Up to within the first fragment of the second message.
    let (start, rest) = bytes.split_at(4 * MAX);
    feed(pair.machine(B), start, || 1000);
    let most = feed(pair.machine(B), rest, || 1000);
    assert!(most <= MAX, "nothing is expected any more");
    assert_eq!((taken(&mut pair, key), taken(&mut pair, other)), (vec![first, one], vec![two]));
}

#[test]
fn a_receiver_may_leave_while_its_frames_are_read() {
    for piece in [1000, MAX, 3 * MAX + 5, usize::MAX] {
        let (mut pair, key, other) = pair();
        warm(&mut pair);
        let mut frames = message(ID, &payload(2, 7), |_| FULL);
        frames.push(message_frame(OTHER, b"behind"));
        let bytes = frames.concat();
        let machine = pair.machine(B);
        assert_eq!(machine.handle_input(&bytes[..100]), Ok(100));
        let mut rest = machine.take_rest().unwrap();
        machine.cancel(key, Scope::End, Reason::none(), None);
        let n = piece.min(rest.room());
        let mut stray = Vec::new();
        read(&mut rest, &bytes[100..100 + n], &mut stray);
        machine.handle_rest(rest).unwrap();
        stray.extend_from_slice(&bytes[100 + n..]);
        feed(machine, &stray, || 4096);
        assert_eq!(taken(&mut pair, other), [b"behind"]);
    }
}

#[test]
fn an_announcement_alone_takes_no_memory_for_what_it_announces() {
    let (mut pair, _, other) = pair();
    warm(&mut pair);
    let total = 8 << 20;
    let head = frame(MESSAGE, OTHER, &message_body(0x10, &[], Some(total), &[0; FIRST]));
    let machine = pair.machine(B);
    machine.handle_input(&head[..500]).unwrap();
    assert!(machine.take_rest().is_none_or(|rest| rest.room() <= MAX));
    assert_eq!(taken(&mut pair, other), Vec::<Vec<u8>>::new());
}
