//! Two machines and a bad link between them: virtual time, seeded chunk sizes and delays, a cut at any byte. And frames
//! written and read by hand, so that the tests do not trust the code that they test.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use libchan_proto::audit::Audit;
use libchan_proto::{
    Attach, Blocked, Body, Event, Flaw, Hello, Key, Limits, Machine, Metadata, Outgoing, Output, Payload,
    Reason, Role, SessionError,
};

/// xorshift64*: the same numbers for the same seed, everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            rng.next();
        }
        rng
    }

    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0..n; 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() >> 33) as usize % n }
    }

    pub fn range(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len())]) }
    }
}

pub const A: usize = 0;
pub const B: usize = 1;

pub fn hello(limits: Limits) -> Hello {
    Hello { limits, codecs: vec![1, 2], features: 0, metadata: Metadata::default() }
}

/// One machine, what is on the link to it, and what it has told.
pub struct Side {
    pub machine: Machine,
    pub events: VecDeque<Event>,
    /// On the link to this side.
    pub link: VecDeque<u8>,
    /// Read from the link, not consumed.
    pub buffer: BytesMut,
    /// Tokens of descriptors that were sent to this side, in order.
    pub descriptors: Vec<u32>,
    pub failed: Option<SessionError>,
}

/// Two machines with a link between them; [`A`] has dialed.
pub struct Pair {
    pub sides: [Side; 2],
    pub now: Duration,
    pub rng: Rng,
    /// The longest piece that the link hands over at once.
    pub chunk: usize,
}

impl Pair {
    pub fn new(a: Limits, b: Limits) -> Self {
        Self::seeded(a, b, 1)
    }

    pub fn seeded(a: Limits, b: Limits, seed: u64) -> Self {
        let side = |role, limits| Side {
            machine: Machine::new(role, hello(limits), Duration::ZERO),
            events: VecDeque::new(),
            link: VecDeque::new(),
            buffer: BytesMut::new(),
            descriptors: Vec::new(),
            failed: None,
        };
        Self {
            sides: [side(Role::Dialer, a), side(Role::Acceptor, b)],
            now: Duration::ZERO,
            rng: Rng::new(seed),
            chunk: usize::MAX,
        }
    }

    /// With the hellos exchanged.
    pub fn established(limits: Limits) -> Self {
        let mut pair = Self::new(limits.clone(), limits);
        pair.drive();
        assert_eq!(pair.events(A), [Event::Established]);
        assert_eq!(pair.events(B), [Event::Established]);
        pair
    }

    pub fn machine(&mut self, side: usize) -> &mut Machine {
        &mut self.sides[side].machine
    }

    /// All events that `side` has told and nobody has looked at.
    pub fn events(&mut self, side: usize) -> Vec<Event> {
        self.collect(side);
        self.sides[side].events.drain(..).collect()
    }

    pub fn collect(&mut self, side: usize) {
        let side = &mut self.sides[side];
        while let Some(event) = side.machine.poll_event() {
            side.events.push_back(event);
        }
    }

    /// Moves what `side` wants to write onto the link. False: nothing.
    pub fn pump(&mut self, side: usize) -> bool {
        if !self.sides[side].machine.is_urgent() {
            return false;
        }
        let mut out = Output::default();
        self.sides[side].machine.take_output(&mut out);
        self.collect(side);
        let bytes = flat(&out);
        assert_eq!(bytes.len(), out.len(), "an output says how long it is");
        let to = &mut self.sides[1 - side];
        to.link.extend(&bytes);
        to.descriptors.extend(out.descriptors.iter().map(|&(_, token)| token));
        !bytes.is_empty()
    }

    /// Hands `n` bytes of the link to `side`.
    pub fn deliver(&mut self, side: usize, n: usize) {
        let to = &mut self.sides[side];
        let n = n.min(to.link.len());
        // Every second piece of a large frame is read straight into its place.
        if n % 2 == 1
            && let Some(mut rest) = to.machine.take_rest()
        {
            let n = n.min(rest.room()).min(to.link.len());
            let mut left = n;
            rest.rooms(|room| {
                let n = left.min(room.len());
                left -= n;
                for (to, from) in room.iter_mut().zip(to.link.drain(..n)) {
                    *to = from;
                }
            });
            assert!(to.buffer.is_empty(), "what came before is in the frame");
            rest.advance(n, |bytes| to.buffer.extend_from_slice(bytes));
            let result = to.machine.handle_rest(rest).and_then(|()| match to.buffer.is_empty() {
                true => Ok(()),
                false => to.machine.handle_input(&to.buffer).map(|taken| to.buffer.advance(taken)),
            });
            if let Err(error) = result {
                to.failed.get_or_insert(error);
                to.link.clear();
                to.buffer.clear();
            }
            return self.collect(side);
        }
        let (first, second) = to.link.as_slices();
        let head = n.min(first.len());
        to.buffer.extend_from_slice(&first[..head]);
        to.buffer.extend_from_slice(&second[..n - head]);
        to.link.drain(..n);
        match to.machine.handle_input(&to.buffer) {
            Ok(taken) => to.buffer.advance(taken),
            Err(error) => {
                to.failed.get_or_insert(error);
                to.link.clear();
                to.buffer.clear();
            }
        }
        self.collect(side);
    }

    /// One thing that a link or a writer does, by chance.
    pub fn step(&mut self) {
        let side = self.rng.below(2);
        if self.rng.one_in(2) {
            self.pump(side);
        } else {
            let n = self.rng.range(1, self.chunk.min(4096));
            self.deliver(side, n);
        }
    }

    /// Everything that is on its way arrives, and what that leads to.
    pub fn drive(&mut self) {
        for _ in 0..1_000_000 {
            let mut busy = false;
            for side in [A, B] {
                busy |= self.pump(side);
            }
            for side in [A, B] {
                if !self.sides[side].link.is_empty() {
                    busy = true;
                    self.deliver(side, self.chunk);
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the two machines never come to rest");
    }

    /// [`drive`](Self::drive), and both sessions must be well.
    #[track_caller]
    pub fn run(&mut self) {
        self.drive();
        for side in [A, B] {
            assert_eq!(self.sides[side].failed, None, "side {side}");
        }
    }

    #[track_caller]
    pub fn tick(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        for side in [A, B] {
            let now = self.now;
            if let Err(error) = self.sides[side].machine.handle_tick(now) {
                self.sides[side].failed.get_or_insert(error);
            }
            self.collect(side);
        }
    }

    // ---- commands that tests use often

    #[track_caller]
    pub fn open(&mut self, side: usize, name: &str, capacity: u32) -> (Key, Key) {
        let key = self.machine(side).open(name, capacity, &Metadata::default()).unwrap();
        self.run();
        let opened = self.events(1 - side).into_iter().find_map(|event| match event {
            Event::Opened(key) => Some(key),
            _ => None,
        });
        let theirs = opened.expect("the peer is told of the opened channel");
        let opening = self.machine(1 - side).accept(theirs).unwrap();
        assert_eq!((&*opening.name, opening.capacity), (name, capacity));
        (key, theirs)
    }

    pub fn send(&mut self, side: usize, key: Key, payload: &[u8]) -> Result<(), Blocked> {
        self.send_with(side, key, &[], payload)
    }

    pub fn send_with(
        &mut self,
        side: usize,
        key: Key,
        attachments: &[Attach],
        payload: &[u8],
    ) -> Result<(), Blocked> {
        let payload = Payload::Copy(payload);
        let message = Outgoing { codec: 1, flaw: Flaw::None, attachments, headers: &[], payload };
        self.machine(side).try_send(key, message)
    }

    /// Sends until it is refused; how many, and why no more.
    pub fn fill(&mut self, side: usize, key: Key, payload: &[u8]) -> (u32, Blocked) {
        for n in 0..1_000_000 {
            if let Err(why) = self.send(side, key, payload) {
                return (n, why);
            }
        }
        panic!("nothing stops the sender");
    }

    /// Takes all that waits and reports it.
    pub fn take(&mut self, side: usize, key: Key) -> Vec<Taken> {
        let taken = self.take_out(side, key);
        let charge = taken.iter().map(|message| message.charge).sum();
        self.machine(side).taken(key, taken.len() as u32, charge);
        taken
    }

    /// Takes all that waits and says nothing.
    pub fn take_out(&mut self, side: usize, key: Key) -> Vec<Taken> {
        let mut taken = Vec::new();
        let mut spare = None;
        while let Some(mut inbox) = self.machine(side).take_inbox(key, spare.take()) {
            while let Some(message) = inbox.pop() {
                taken.push(Taken::of(message));
            }
            spare = Some(inbox);
        }
        self.machine(side).set_awaited(key, true);
        taken
    }

    /// Takes one message and reports it; the others stay out with the test.
    pub fn report(&mut self, side: usize, key: Key, messages: &[Taken]) -> bool {
        let charge = messages.iter().map(|message| message.charge).sum();
        self.machine(side).taken(key, messages.len() as u32, charge)
    }

    pub fn goodbye(&mut self, side: usize) {
        self.machine(side).goodbye(Reason::none());
    }
}

/// A message as it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub payload: Vec<u8>,
    pub attachments: Vec<libchan_proto::Attachment>,
    pub flaw: Flaw,
    pub charge: u32,
}

impl Taken {
    pub fn of(message: libchan_proto::Message<'_>) -> Self {
        let payload = match message.body {
            Body::Slice(bytes) => bytes.to_vec(),
            Body::Shared(bytes) => bytes.to_vec(),
        };
        let attachments = message.attachments.to_vec();
        Self { payload, attachments, flaw: message.flaw, charge: message.charge }
    }
}

/// An output as the bytes that go on the link.
pub fn flat(out: &Output) -> Vec<u8> {
    let mut flat = Vec::with_capacity(out.len());
    let mut at = 0;
    for (to, payload) in &out.splices {
        flat.extend_from_slice(&out.bytes[at..*to]);
        flat.extend_from_slice(payload);
        at = *to;
    }
    flat.extend_from_slice(&out.bytes[at..]);
    flat
}

/// Everything that `machine` has to say, and what it tells meanwhile.
pub fn output(machine: &mut Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    while machine.has_output() {
        let mut out = Output::default();
        machine.take_output(&mut out);
        if out.is_empty() {
            break;
        }
        bytes.extend(flat(&out));
    }
    bytes
}

pub fn events(machine: &mut Machine) -> Vec<Event> {
    std::iter::from_fn(|| machine.poll_event()).collect()
}

/// What both sides have opened, and what is held beyond that.
pub fn charged(audit: &Audit) -> [u64; 6] {
    let [[a, b], [c, d], [e, f]] = [audit.here, audit.there, audit.beyond];
    [a, b, c, d, e, f]
}

// ---- frames by hand

pub const HELLO: u8 = 1;
pub const OPEN: u8 = 2;
pub const MESSAGE: u8 = 3;
pub const FRAGMENT: u8 = 4;
pub const CREDIT: u8 = 5;
pub const CLOSE: u8 = 6;
pub const CANCEL: u8 = 7;
pub const DATA: u8 = 8;
pub const END: u8 = 9;
pub const STOP: u8 = 10;
pub const PING: u8 = 11;
pub const PONG: u8 = 12;
pub const GOODBYE: u8 = 13;

pub const PREFACE: &[u8; 8] = b"libchan\x01";

pub fn frame(kind: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32).to_be_bytes()[1..].to_vec();
    out.push(kind);
    out.extend(id.to_be_bytes());
    out.extend(body);
    out
}

/// A frame as it was on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub id: u32,
    pub body: Vec<u8>,
}

/// The whole frames at the front of `bytes`, which begin with a frame or the preface.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut frames = Vec::new();
    while rest.len() >= 8 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        if rest.len() < 8 + length {
            break;
        }
        let id = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]);
        frames.push(Frame { kind: rest[3], id, body: rest[8..8 + length].to_vec() });
        rest = &rest[8 + length..];
    }
    frames
}

pub fn hello_fields(limits: &Limits) -> Vec<(u8, Vec<u8>)> {
    let numbers = [
        limits.max_frame,
        limits.max_message,
        limits.max_attachments,
        limits.max_channels,
        limits.max_pending_accepts,
        limits.initial_window,
        limits.stream_window,
        limits.session_memory,
        limits.max_descriptors,
    ];
    let mut fields: Vec<(u8, Vec<u8>)> =
        (1..).zip(numbers).map(|(tag, number)| (tag, number.to_be_bytes().to_vec())).collect();
    fields.push((10, vec![1]));
    fields.push((11, vec![0; 4]));
    fields.push((12, Vec::new()));
    fields
}

pub fn hello_frame(fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (tag, value) in fields {
        body.push(*tag);
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(value);
    }
    frame(HELLO, 0, &body)
}

pub fn open_frame(id: u32, capacity: u32, name: &str) -> Vec<u8> {
    let mut body = capacity.to_be_bytes().to_vec();
    body.extend((name.len() as u16).to_be_bytes());
    body.extend(name.as_bytes());
    frame(OPEN, id, &body)
}

/// `kind, id, capacity, wanted`
pub type Row = (u8, u32, u32, u32);

pub fn message_body(flags: u8, table: &[Row], total: Option<u32>, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![flags | if table.is_empty() { 0 } else { 2 } | u8::from(total.is_some()), 1];
    if !table.is_empty() {
        body.push(table.len() as u8);
    }
    for (kind, id, capacity, wanted) in table {
        body.push(*kind);
        for number in [id, capacity, wanted] {
            body.extend(number.to_be_bytes());
        }
    }
    if let Some(total) = total {
        body.extend(total.to_be_bytes());
    }
    body.extend(payload);
    body
}

pub fn message_frame(id: u32, payload: &[u8]) -> Vec<u8> {
    frame(MESSAGE, id, &message_body(0, &[], None, payload))
}

pub fn fragment_frame(id: u32, more: bool, payload: &[u8]) -> Vec<u8> {
    frame(FRAGMENT, id, &[&[u8::from(more)], payload].concat())
}

pub fn credit_frame(id: u32, taken: u32, wanted: u32, bytes: u32) -> Vec<u8> {
    let body = [taken, wanted, bytes].map(u32::to_be_bytes).concat();
    frame(CREDIT, id, &body)
}

pub fn close_frame(id: u32) -> Vec<u8> {
    frame(CLOSE, id, &[0, 0, 0])
}

pub fn cancel_frame(id: u32, taken: u32) -> Vec<u8> {
    frame(CANCEL, id, &[&[0][..], &taken.to_be_bytes(), &[0, 0]].concat())
}

pub fn reason_frame(kind: u8, id: u32, code: u16, text: &str) -> Vec<u8> {
    frame(kind, id, &[&code.to_be_bytes()[..], text.as_bytes()].concat())
}

/// A machine with a peer that is written by hand; the peer's ids are even.
pub struct Scripted {
    pub machine: Machine,
    pub buffer: BytesMut,
}

impl Scripted {
    /// Both hellos are exchanged.
    pub fn new(limits: Limits) -> Self {
        let mut this = Self::silent(limits.clone());
        let mut bytes = PREFACE.to_vec();
        bytes.extend(hello_frame(&hello_fields(&limits)));
        this.feed(&bytes).unwrap();
        assert_eq!(this.events(), [Event::Established]);
        this.said();
        this
    }

    /// The peer has said nothing.
    pub fn silent(limits: Limits) -> Self {
        let machine = Machine::new(Role::Acceptor, hello(limits), Duration::ZERO);
        Self { machine, buffer: BytesMut::new() }
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.buffer.extend_from_slice(bytes);
        let taken = self.machine.handle_input(&self.buffer)?;
        self.buffer.advance(taken);
        Ok(())
    }

    pub fn feed_all(&mut self, frames: &[Vec<u8>]) -> Result<(), SessionError> {
        self.feed(&frames.concat())
    }

    pub fn events(&mut self) -> Vec<Event> {
        events(&mut self.machine)
    }

    /// The frames that the machine has written since the last look.
    pub fn said(&mut self) -> Vec<Frame> {
        frames(&output(&mut self.machine))
    }

    #[track_caller]
    pub fn opened(&mut self, id: u32, capacity: u32) -> Key {
        self.feed(&open_frame(id, capacity, "channel")).unwrap();
        let events = self.events();
        let [Event::Opened(key)] = events[..] else { panic!("{events:?}") };
        self.machine.accept(key).unwrap();
        key
    }
}

pub fn share(payload: Vec<u8>) -> Payload<'static> {
    Payload::Share(Bytes::from(payload))
}
