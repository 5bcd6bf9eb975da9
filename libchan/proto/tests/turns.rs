//! Who sends next: with equal demand nobody gets more than twice another's share, and a message that comes alone has its
//! first byte on the link within one turn. Time is virtual: the link takes one output after the other.

mod support;

use std::collections::BTreeMap;

use libchan_proto::{Attach, Event, Key, Kind, Limits, Output, StreamRead};
use support::*;

const FILL: usize = 64 * 1024;

/// What a flood sends.
#[derive(Clone, Copy)]
enum Flood {
    /// Messages of these sizes, in turn.
    Messages(&'static [usize]),
    /// A byte stream, written in pieces of this size.
    Stream(usize),
}

struct Sender {
    flood: Flood,
    key: Key,
    theirs: Key,
    sent: usize,
    /// It was refused, and waits to be told.
    waits: bool,
}

struct World {
    pair: Pair,
    senders: Vec<Sender>,
    /// Bytes that left for each, by the id on the wire.
    shares: BTreeMap<u32, usize>,
}

impl World {
    fn new(limits: Limits, floods: &[Flood]) -> Self {
        let mut pair = Pair::established(limits);
        let mut senders = Vec::new();
        for flood in floods {
            let (key, theirs) = pair.open(A, "x", 100_000);
            let (key, theirs) = match flood {
                Flood::Messages(_) => (key, theirs),
                Flood::Stream(_) => {
                    let stream = pair.machine(A).allocate(Kind::Stream, 0, false, 0).unwrap();
                    pair.send_with(A, key, &[Attach::Stream(stream)], b"stream").unwrap();
                    pair.run();
                    (stream, pair.take(B, theirs)[0].attachments[0].key)
                }
            };
            senders.push(Sender { flood: *flood, key, theirs, sent: 0, waits: false });
        }
        pair.run();
        Self { pair, senders, shares: BTreeMap::new() }
    }

    /// Whoever may send does, until it is refused.
    fn send(&mut self, of: std::ops::Range<usize>) {
        for sender in &mut self.senders[of] {
            for _ in 0..100_000 {
                if sender.waits {
                    break;
                }
                sender.waits = match sender.flood {
                    Flood::Messages(sizes) => {
                        let size = sizes[sender.sent % sizes.len()];
                        self.pair.send(A, sender.key, &vec![1; size]).is_err()
                    }
                    Flood::Stream(size) => {
                        self.pair.machine(A).stream_send(sender.key, &vec![1; size], false) == Ok(0)
                    }
                };
                sender.sent += usize::from(!sender.waits);
            }
        }
    }

    /// One output leaves and arrives; the other side takes everything and grants.
    fn step(&mut self) -> usize {
        let mut out = Output::default();
        self.pair.machine(A).take_output(&mut out);
        let bytes = flat(&out);
        for frame in frames(&bytes) {
            *self.shares.entry(frame.id).or_default() += 8 + frame.body.len();
        }
        self.pair.sides[B].link.extend(&bytes);
        self.pair.deliver(B, usize::MAX);
        for sender in &self.senders {
            match sender.flood {
                Flood::Messages(_) => drop(self.pair.take(B, sender.theirs)),
                Flood::Stream(_) => {
                    let machine = &mut self.pair.sides[B].machine;
                    while let StreamRead::Data(_) = machine.stream_recv(sender.theirs, 1 << 20, &mut |_| ()) {
                    }
                }
            }
        }
        self.pair.pump(B);
        self.pair.deliver(A, usize::MAX);
        for event in self.pair.events(A) {
            if let Event::Writable(key) | Event::StreamWritable(key) = event {
                for sender in self.senders.iter_mut().filter(|sender| sender.key == key) {
                    sender.waits = false;
                }
            }
        }
        bytes.len()
    }

    fn shares(&self) -> Vec<usize> {
        let of = |sender: &Sender| {
            let id = self.pair.sides[A].machine.wire_id(sender.key).unwrap();
            self.shares.get(&id).copied().unwrap_or_default()
        };
        self.senders.iter().map(of).collect()
    }
}

const SIZES: [usize; 10] = [100, 1 << 20, 2000, 20_000, 500, 100_000, 15_000, 100, 60_000, 7000];

fn ten() -> Vec<Flood> {
    const EACH: [&[usize]; 10] = [
        &[SIZES[0]],
        &[SIZES[1]],
        &[SIZES[2]],
        &[SIZES[3]],
        &[SIZES[4]],
        &[SIZES[5]],
        &[SIZES[6]],
        &[SIZES[7]],
        &[SIZES[8]],
        &[SIZES[9]],
    ];
    EACH.into_iter().map(Flood::Messages).collect()
}

#[track_caller]
fn are_fair(shares: &[usize]) {
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(*most <= 2 * *least, "{shares:?}");
}

/// A window for each that is no limit, and windows that have to grow.
fn both_limits() -> [Limits; 2] {
    [Limits { initial_window: 4 << 20, ..Limits::default() }, Limits::default()]
}

#[test]
fn ten_equal_floods_of_which_one_began_earlier() {
    for limits in both_limits() {
        for early in 0..10 {
            let mut world = World::new(limits.clone(), &ten());
            for _ in 0..60 {
                world.send(early..early + 1);
                world.step();
            }
            // Windows grow to what they need.
            for _ in 0..200 {
                world.send(0..10);
                world.step();
            }
            world.shares.clear();
            for _ in 0..600 {
                world.send(0..10);
                assert!(world.step() < FILL + 20_000);
            }
            are_fair(&world.shares());
        }
    }
}

#[test]
fn mixed_sizes_and_streams() {
    let floods = [
        Flood::Messages(&SIZES),
        Flood::Messages(&[100]),
        Flood::Stream(1 << 16),
        Flood::Messages(&[1 << 20]),
        Flood::Stream(100),
        Flood::Messages(&[16_000]),
        Flood::Messages(&SIZES),
    ];
    for limits in both_limits() {
        let mut world = World::new(Limits { stream_window: 4 << 20, ..limits }, &floods);
        for round in 0..900 {
            if round == 300 {
                world.shares.clear();
            }
            world.send(0..floods.len());
            world.step();
        }
        are_fair(&world.shares());
    }
}

#[test]
fn a_lone_message_leaves_within_one_turn() {
    for limits in both_limits() {
        for floods in 1..10 {
            let mut all = ten()[..floods].to_vec();
            all.push(Flood::Messages(&[2000]));
            let mut world = World::new(limits.clone(), &all);
            for _ in 0..100 {
                world.send(0..floods);
                world.step();
            }
            for _ in 0..20 {
                world.send(0..floods);
                world.shares.clear();
                let lone = &world.senders[floods];
                let (key, id) = (lone.key, world.pair.sides[A].machine.wire_id(lone.key).unwrap());
                let mut sent = world.pair.send(A, key, &[2; 2000]).is_ok();
                let mut left = 0;
                while !world.shares.contains_key(&id) {
                    left += world.step();
                    // It was told, and sends before the floods or after them.
                    sent = sent || world.pair.send(A, key, &[2; 2000]).is_ok();
                    world.send(0..floods);
                    assert!(left < 3 * FILL, "{left} bytes before it");
                }
            }
        }
    }
}

#[test]
fn one_alone_goes_on() {
    let limits = Limits { initial_window: 8 << 20, ..Limits::default() };
    let mut world = World::new(limits, &[Flood::Messages(&[8 << 20])]);
    world.send(0..1);
    let lengths: Vec<usize> = (0..20).map(|_| world.step()).collect();
    assert!(lengths[..].iter().all(|length| *length > FILL), "{lengths:?}");
}
