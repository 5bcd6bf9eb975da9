//! Two machines, random commands on both sides, a bad link, and an oracle that knows what was sent: order, at most once,
//! whole; and the books of both sides compared after every step.
//!
//! `LIBCHAN_SEEDS=100000` runs more seeds, `LIBCHAN_SEED=17` runs one again, with every step told.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use libchan_proto::audit::{Audit, RecvAudit};
use libchan_proto::{
    Attach, Attachment, Blocked, Event, Flaw, Inbox, Key, Kind, Limits, Message, Metadata, OpenError,
    Outgoing, Payload, Reason, Scope, SessionError, StreamError, StreamRead, code,
};
use support::*;

const STEPS: usize = 260;
/// Ends that a side may have open: what is closed and unread is still charged, and no session may end of it.
const MOST: usize = 20;
/// Receives of a channel that wait at the same time.
const MOST_WAITING: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_commands_on_a_bad_link() {
    if let Some(seed) = number("LIBCHAN_SEED") {
        return World::new(seed, true).live();
    }
    for seed in 0..number("LIBCHAN_SEEDS").unwrap_or(1000) {
        let run = std::panic::AssertUnwindSafe(|| World::new(seed, false).live());
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed} failed: LIBCHAN_SEED={seed} cargo test --test model -- --nocapture");
            std::panic::resume_unwind(panic);
        }
    }
}

/// What the oracle knows of a channel or stream.
#[derive(Clone, Debug, Default)]
struct Fact {
    sent: u32,
    received: u32,
    /// The sender ended it cleanly, after everything sent.
    closed: bool,
    /// Of a stream, by direction: bytes written, read, and whether its writer has finished.
    written: [usize; 2],
    read: [usize; 2],
    finished: [bool; 2],
    /// Sent home: its end is not the sender's any more.
    home: bool,
}

/// What a side does with a key.
enum End {
    Send {
        uid: u32,
        refused: Option<Blocked>,
        cancelled: bool,
        backlog: bool,
    },
    Recv {
        uid: u32,
        inbox: Option<Box<Inbox>>,
        /// Taken and not reported.
        owed: (u32, u32),
        demand: bool,
        notified: bool,
        opening: bool,
    },
    Stream {
        uid: u32,
        direction: usize,
        refused: bool,
        pending: bool,
        finished: bool,
        stopped: bool,
        ended: bool,
    },
}

struct World {
    pair: Pair,
    rng: Rng,
    ends: [BTreeMap<Key, End>; 2],
    facts: Vec<Fact>,
    token: u32,
    /// Descriptors that the application holds.
    held: [u32; 2],
    /// Keys with an event and no end yet.
    early: [BTreeSet<Key>; 2],
    said_goodbye: [bool; 2],
    over: bool,
    /// Most messages are large.
    heavy: bool,
    loud: bool,
}

fn byte(uid: u32, direction: usize, at: usize) -> u8 {
    (uid as usize * 31 + direction * 101 + at * 7 + at / 251) as u8
}

impl World {
    fn new(seed: u64, loud: bool) -> Self {
        let mut rng = Rng::new(seed);
        let limits = |rng: &mut Rng| Limits {
            max_frame: rng.pick(&[4096, 5000, 65_536]).unwrap(),
            max_message: rng.pick(&[9000, 40_000, 1 << 24]).unwrap(),
            max_attachments: 5,
            max_channels: 200,
            max_pending_accepts: rng.pick(&[1, 3, 256]).unwrap(),
            initial_window: rng.pick(&[512, 600, 2048]).unwrap(),
            stream_window: rng.pick(&[256, 1000, 16_384]).unwrap(),
            session_memory: rng.pick(&[1 << 17, 3 << 18, 1 << 20, 1 << 24]).unwrap(),
            max_descriptors: rng.pick(&[0, 1, 2, 5]).unwrap(),
            max_window: rng.pick(&[0, 4096, 1 << 23]).unwrap(),
            ..Limits::default()
        };
        let mut pair = Pair::seeded(limits(&mut rng), limits(&mut rng), seed);
        pair.chunk = rng.pick(&[3, 50, 700, 5000]).unwrap();
        let heavy = rng.one_in(4);
        Self {
            pair,
            rng,
            ends: [BTreeMap::new(), BTreeMap::new()],
            facts: Vec::new(),
            token: 0,
            held: [0; 2],
            early: [BTreeSet::new(), BTreeSet::new()],
            said_goodbye: [false; 2],
            over: false,
            heavy,
            loud,
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.loud {
            println!("{}", what());
        }
    }

    // ---- a life

    fn live(mut self) {
        self.pair.drive();
        self.listen();
        let end = self.rng.below(4);
        let mut settle_at = self.rng.range(40, 200);
        for step in 0..STEPS {
            self.step();
            self.listen();
            self.check();
            if step == settle_at {
                self.settle();
                self.nobody_stands_still();
                settle_at += 100;
            }
        }
        match end {
            0 => self.cut(),
            1 => self.goodbye(),
            _ => {
                self.settle();
                self.nobody_stands_still();
                self.let_go(true);
            }
        }
        self.nothing_is_left();
    }

    fn step(&mut self) {
        let side = self.rng.below(2);
        match self.rng.below(34) {
            0 => self.open(side),
            1..=6 => self.send(side),
            7..=10 => self.take(side),
            11 => self.report(side),
            12 => self.want(side),
            13 if self.rng.one_in(3) => self.close(side),
            14 if self.rng.one_in(3) => self.cancel(side),
            15..=16 => self.stream_write(side),
            17..=18 => self.stream_read(side),
            19 if self.rng.one_in(3) => self.stream_end(side),
            20 => self.backlog(side),
            21 => self.accept(side),
            22 if self.rng.one_in(10) => self.pair.tick(3),
            23 => self.release(side),
            24..=27 => {
                self.pair.pump(side);
            }
            _ => {
                let n = self.rng.range(1, self.pair.chunk);
                self.pair.deliver(side, n);
            }
        }
    }

    /// What the machines have told.
    fn listen(&mut self) {
        for side in [A, B] {
            let failed = &self.pair.sides[side].failed;
            assert!(self.over || failed.is_none(), "session of side {side}: {failed:?}");
            for event in self.pair.events(side) {
                self.tell(|| format!("{side} <- {event:?}"));
                self.hear(side, event);
            }
        }
    }

    fn hear(&mut self, side: usize, event: Event) {
        match event {
            Event::Established | Event::PeerGoodbye(_) | Event::Taken(..) => {}
            Event::Opened(key) => {
                let uid = u32::MAX;
                let end = End::Recv {
                    uid,
                    inbox: None,
                    owed: (0, 0),
                    demand: false,
                    notified: false,
                    opening: true,
                };
                let before = self.ends[side].insert(key, end);
                assert!(before.is_none(), "a key is given while it is in use");
            }
            Event::Readable(key) => match self.ends[side].get_mut(&key) {
                Some(End::Recv { notified, .. }) => *notified = true,
                Some(_) => panic!("readable, but no receiver"),
                None => {
                    self.early[side].insert(key);
                }
            },
            Event::Writable(key) => {
                if let Some(End::Send { refused, .. }) = self.ends[side].get_mut(&key) {
                    *refused = None;
                }
            }
            Event::Cancelled(key) => match self.ends[side].get_mut(&key) {
                Some(End::Send { cancelled, refused, .. }) => {
                    *cancelled = true;
                    *refused = None;
                }
                Some(_) => panic!("cancelled, but no sender"),
                None => {}
            },
            Event::Starved(key) => self.pay(side, key),
            Event::StreamReadable(key) => {
                if let Some(End::Stream { pending, .. }) = self.ends[side].get_mut(&key) {
                    *pending = false;
                }
            }
            Event::StreamWritable(key) => {
                if let Some(End::Stream { refused, .. }) = self.ends[side].get_mut(&key) {
                    *refused = false;
                }
            }
            Event::DescriptorDropped(number) => {
                assert!((number as usize) < self.token as usize);
            }
            other => panic!("{other:?}"),
        }
    }

    // ---- picking

    fn pick(&mut self, side: usize, fits: impl Fn(&End) -> bool) -> Option<Key> {
        let keys: Vec<Key> =
            self.ends[side].iter().filter(|(_, end)| fits(end)).map(|(key, _)| *key).collect();
        self.rng.pick(&keys)
    }

    fn a_receiver(&mut self, side: usize) -> Option<Key> {
        self.pick(side, |end| matches!(end, End::Recv { opening: false, .. }))
    }

    fn a_stream(&mut self, side: usize) -> Option<Key> {
        self.pick(side, |end| matches!(end, End::Stream { .. }))
    }

    fn fact(&mut self) -> u32 {
        self.facts.push(Fact::default());
        self.facts.len() as u32 - 1
    }

    fn has_room(&self) -> bool {
        self.ends.iter().all(|ends| ends.len() < MOST)
            && [A, B].iter().all(|side| self.pair.sides[*side].machine.open_channels() < 3 * MOST)
    }

    // ---- commands

    fn open(&mut self, side: usize) {
        if !self.has_room() || self.said_goodbye[side] {
            return;
        }
        let uid = self.fact();
        let capacity = self.rng.pick(&[0, 1, 2, 5, 16, 1000]).unwrap();
        match self.pair.machine(side).open(&uid.to_string(), capacity, &Metadata::default()) {
            Ok(key) => {
                self.tell(|| format!("{side} opens {uid} as {key:?}, capacity {capacity}"));
                let end = End::Send { uid, refused: None, cancelled: false, backlog: false };
                assert!(self.ends[side].insert(key, end).is_none());
            }
            Err(OpenError::Memory | OpenError::TooManyChannels | OpenError::SessionOver) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn send(&mut self, side: usize) {
        let Some(key) = self.pick(side, |end| matches!(end, End::Send { .. })) else { return };
        let limits = self.pair.machine(side).limits().clone();
        let mut attach: Vec<(Attach, Kind, u32, Option<End>)> = Vec::new();
        if self.rng.one_in(3) && self.has_room() {
            for _ in 0..self.rng.range(1, 3) {
                let descriptors = attach.iter().filter(|(_, kind, ..)| *kind == Kind::Descriptor).count();
                let may = descriptors < limits.max_descriptors as usize;
                let added = self.attachment(side, key, may);
                attach.extend(added);
            }
        }
        let Some(End::Send { uid, backlog, .. }) = self.ends[side].get(&key) else { return };
        let (uid, backlog) = (*uid, *backlog);
        let seq = self.facts[uid as usize].sent;
        let most = (limits.max_message as usize).min(60_000);
        let size = match self.rng.below(8) {
            0..=4 if !self.heavy => self.rng.range(0, 60),
            5 => self.rng.range(0, 2 * limits.initial_window as usize),
            6 => self.rng.range(0, 6000),
            _ => self.rng.range(0, most),
        };
        let payload = payload(uid, seq, &attach, size.min(most));
        let headers = headers_of(uid, seq);
        let attachments: Vec<Attach> = attach.iter().map(|(attach, ..)| *attach).collect();
        let message = Outgoing {
            codec: 1,
            flaw: Flaw::None,
            attachments: &attachments,
            headers: &headers,
            payload: if self.rng.one_in(2) { Payload::Copy(&payload) } else { share(payload.clone()) },
        };
        let machine = self.pair.machine(side);
        let through = backlog && seq.is_multiple_of(2);
        let result =
            if through { machine.send_backlog(key, message) } else { machine.try_send(key, message) };
        self.tell(|| {
            format!("{side} sends {uid}.{seq} ({} bytes, {attachments:?}): {result:?}", payload.len())
        });
        match result {
            Ok(()) => {
                self.facts[uid as usize].sent += 1;
                for (what, _, uid, end) in attach {
                    match what {
                        Attach::Channel(key) | Attach::Stream(key) => {
                            let end = end.expect("an end of ours");
                            assert!(self.ends[side].insert(key, end).is_none());
                        }
                        Attach::SenderHome(key) => {
                            self.facts[uid as usize].home = true;
                            self.ends[side].remove(&key);
                            self.pair.machine(side).close(key, Scope::End, None);
                        }
                        Attach::Descriptor(_) => {}
                    }
                }
            }
            Err(why) => {
                for (what, ..) in attach {
                    match what {
                        Attach::Channel(key) => self.pair.machine(side).abandon(key),
                        Attach::Stream(key) => {
                            // It fails for who holds it, and is freed after them.
                            self.pair.machine(side).abandon(key);
                            self.pair.machine(side).stream_finish(key, Reason::none());
                            self.pair.machine(side).stream_stop(key, Reason::none());
                        }
                        Attach::SenderHome(key) => self.pair.machine(side).unpin(key),
                        Attach::Descriptor(_) => {}
                    }
                }
                let gone = self.said_goodbye[side] || self.over;
                match self.ends[side].get_mut(&key) {
                    Some(End::Send { refused, cancelled, .. }) => match why {
                        Blocked::Gone => {
                            // The event of it comes before the refusal, or both at once.
                            let told = *cancelled || gone || self.pair.machine(side).has_events();
                            assert!(
                                told || self.pair.sides[side].machine.send_status(key).cancelled.is_some()
                            );
                        }
                        Blocked::Backlog => assert!(backlog && !through),
                        why => *refused = Some(why),
                    },
                    _ => unreachable!(),
                }
            }
        }
    }

    fn attachment(
        &mut self,
        side: usize,
        on: Key,
        descriptor: bool,
    ) -> Option<(Attach, Kind, u32, Option<End>)> {
        let capacity = self.rng.pick(&[0, 1, 2, 16, 1000]).unwrap();
        match self.rng.below(10) {
            0..=2 => {
                let on_demand = capacity == 0 || self.rng.one_in(3);
                let key = self.pair.machine(side).allocate(Kind::Receiver, capacity, on_demand, 0).ok()?;
                let uid = self.fact();
                let end = End::Send { uid, refused: None, cancelled: false, backlog: false };
                Some((Attach::Channel(key), Kind::Receiver, uid, Some(end)))
            }
            3..=5 => {
                let waiting = self.rng.range(0, 2) as u32;
                let key = self.pair.machine(side).allocate(Kind::Sender, capacity, false, waiting).ok()?;
                let uid = self.fact();
                let demand = capacity == 0;
                let end =
                    End::Recv { uid, inbox: None, owed: (0, 0), demand, notified: false, opening: false };
                Some((Attach::Channel(key), Kind::Sender, uid, Some(end)))
            }
            6..=7 => {
                let key = self.pair.machine(side).allocate(Kind::Stream, 0, false, 0).ok()?;
                let uid = self.fact();
                let mut end = End::Stream {
                    uid,
                    direction: 0,
                    refused: false,
                    pending: false,
                    finished: false,
                    stopped: false,
                    ended: false,
                };
                if self.rng.one_in(2) {
                    // Buffered before it is attached.
                    let n = self.rng.range(1, 2000);
                    let data: Vec<u8> = (0..n).map(|at| byte(uid, 0, at)).collect();
                    assert_eq!(self.pair.machine(side).stream_send(key, &data, true), Ok(n));
                    self.facts[uid as usize].written[0] = n;
                    if self.rng.one_in(3) {
                        self.pair.machine(side).stream_finish(key, Reason::none());
                        self.facts[uid as usize].finished[0] = true;
                        if let End::Stream { finished, .. } = &mut end {
                            *finished = true;
                        }
                    }
                }
                Some((Attach::Stream(key), Kind::Stream, uid, Some(end)))
            }
            8 if descriptor => {
                self.token += 1;
                Some((Attach::Descriptor(self.token), Kind::Descriptor, self.token, None))
            }
            _ => {
                let key = self.pick(side, |end| matches!(end, End::Send { refused: None, .. }))?;
                if key == on || !self.pair.machine(side).pin(key) {
                    return None;
                }
                match self.ends[side].get(&key) {
                    Some(End::Send { uid, .. }) => {
                        Some((Attach::SenderHome(key), Kind::SenderHome, *uid, None))
                    }
                    _ => None,
                }
            }
        }
    }

    /// Takes some messages of a receiver.
    fn take(&mut self, side: usize) {
        let Some(key) = self.a_receiver(side) else { return };
        for _ in 0..self.rng.range(1, 4) {
            self.pop(side, key);
        }
        if self.rng.one_in(2) {
            self.pay(side, key);
        }
    }

    /// One message out of the inbox, or a new inbox. False: nothing waits.
    fn pop(&mut self, side: usize, key: Key) -> bool {
        let Some(End::Recv { uid, inbox, owed, notified, .. }) = self.ends[side].get_mut(&key) else {
            return false;
        };
        let uid = *uid;
        if inbox.as_ref().is_none_or(|inbox| inbox.is_empty()) {
            let machine = &mut self.pair.sides[side].machine;
            if *owed != (0, 0) {
                machine.taken(key, owed.0, owed.1);
                *owed = (0, 0);
            }
            *notified = false;
            *inbox = machine.take_inbox(key, inbox.take());
            if inbox.is_none() {
                machine.set_awaited(key, true);
                return false;
            }
        }
        let Some(message) = inbox.as_mut().and_then(|inbox| inbox.pop()) else { return false };
        owed.0 += 1;
        owed.1 += message.charge;
        let fact = &mut self.facts[uid as usize];
        let (named, attachments) = check_payload(&message, uid, fact.received);
        fact.received += 1;
        assert!(fact.received <= fact.sent, "more received than sent");
        let seq = fact.received - 1;
        self.tell(|| format!("{side} takes {uid}.{seq} with {attachments:?}"));
        if self.pair.machine(side).sender_starved(key) {
            self.pay(side, key);
        }
        for ((kind, uid), attachment) in named.into_iter().zip(attachments) {
            assert_eq!(kind, attachment.kind as u8);
            self.claim(side, uid, attachment);
        }
        true
    }

    fn claim(&mut self, side: usize, uid: u32, attachment: Attachment) {
        let key = attachment.key;
        let notified = self.early[side].remove(&key);
        let take = self.ends[side].len() < MOST + 5 && !self.rng.one_in(6);
        let end = match attachment.kind {
            Kind::Descriptor => {
                let sent = self.pair.sides[side].descriptors[key.slot as usize];
                assert_eq!(sent, uid, "descriptors are bound in order");
                self.held[side] += 1;
                return;
            }
            Kind::SenderHome => {
                if key != Key::NONE
                    && let Some(End::Recv { uid: here, .. }) = self.ends[side].get(&key)
                {
                    assert!(*here == uid || *here == u32::MAX, "it came to its own home");
                }
                return self.pair.machine(side).reject(attachment, &Reason::of(code::UNCLAIMED));
            }
            _ if !take => return self.pair.machine(side).reject(attachment, &Reason::of(code::UNCLAIMED)),
            Kind::Sender => {
                let cancelled = self.pair.machine(side).send_status(key).cancelled.is_some();
                End::Send { uid, refused: None, cancelled, backlog: false }
            }
            Kind::Receiver => End::Recv {
                uid,
                inbox: None,
                owed: (0, 0),
                demand: attachment.on_demand || attachment.capacity == 0,
                notified: notified || self.pair.machine(side).recv_status(key).waiting > 0,
                opening: false,
            },
            Kind::Stream => End::Stream {
                uid,
                direction: 1,
                refused: false,
                pending: false,
                finished: false,
                stopped: false,
                ended: false,
            },
        };
        assert!(self.ends[side].insert(key, end).is_none(), "a key is given while it is in use");
    }

    /// Reports what was taken.
    fn pay(&mut self, side: usize, key: Key) {
        if let Some(End::Recv { owed, .. }) = self.ends[side].get_mut(&key)
            && *owed != (0, 0)
        {
            let (messages, charge) = std::mem::take(owed);
            self.pair.machine(side).taken(key, messages, charge);
        }
    }

    fn report(&mut self, side: usize) {
        if let Some(key) = self.a_receiver(side) {
            self.pay(side, key);
        }
    }

    fn want(&mut self, side: usize) {
        let lined = self.in_line(side);
        let Some(key) = self.rng.pick(&lined).or_else(|| self.a_receiver(side)) else { return };
        let waiting = self.rng.below(MOST_WAITING + 1) as u32;
        self.pair.machine(side).want(key, waiting);
        if waiting == 0 {
            // The receive is given up.
            self.pair.machine(side).set_awaited(key, false);
        }
    }

    /// Receivers whose large message waits for memory.
    fn in_line(&self, side: usize) -> Vec<Key> {
        let machine = &self.pair.sides[side].machine;
        let ids: Vec<_> =
            machine.audit().recvs.iter().filter(|recv| recv.lined).map(|recv| Some(recv.id)).collect();
        self.ends[side].keys().copied().filter(|key| ids.contains(&machine.wire_id(*key))).collect()
    }

    fn close(&mut self, side: usize) {
        let Some(key) = self.pick(side, |end| matches!(end, End::Send { .. })) else { return };
        let (scope, reason) = match self.rng.below(3) {
            0 => (Scope::End, None),
            1 => (Scope::Channel, None),
            _ => (Scope::Channel, Some(Reason { code: 300, text: "enough".into() })),
        };
        self.close_key(side, key, scope, reason);
    }

    fn close_key(&mut self, side: usize, key: Key, scope: Scope, reason: Option<Reason>) {
        let Some(End::Send { uid, .. }) = self.ends[side].remove(&key) else { unreachable!() };
        self.tell(|| format!("{side} closes {uid}, {key:?}"));
        self.facts[uid as usize].closed = true;
        self.pair.machine(side).close(key, scope, reason);
    }

    fn cancel(&mut self, side: usize) {
        let Some(key) = self.pick(side, |end| matches!(end, End::Recv { .. })) else { return };
        let reason = if self.rng.one_in(2) { Reason::none() } else { Reason::of(301) };
        let scope = if self.rng.one_in(2) { Scope::End } else { Scope::Channel };
        self.cancel_key(side, key, scope, reason);
    }

    fn cancel_key(&mut self, side: usize, key: Key, scope: Scope, reason: Reason) {
        self.pay(side, key);
        let Some(End::Recv { uid, inbox, .. }) = self.ends[side].remove(&key) else { unreachable!() };
        self.tell(|| format!("{side} cancels {uid}, {key:?}"));
        self.pair.machine(side).cancel(key, scope, reason, inbox);
    }

    fn accept(&mut self, side: usize) {
        let Some(key) = self.pick(side, |end| matches!(end, End::Recv { opening: true, .. })) else { return };
        self.accept_key(side, key);
    }

    fn accept_key(&mut self, side: usize, key: Key) {
        let opened = self.pair.machine(side).accept(key).expect("it waits");
        if let Some(End::Recv { uid, demand, opening, notified, .. }) = self.ends[side].get_mut(&key) {
            *uid = opened.name.parse().unwrap();
            *demand = opened.capacity == 0;
            *opening = false;
            *notified = true;
        }
    }

    fn backlog(&mut self, side: usize) {
        let Some(key) = self.pick(side, |end| matches!(end, End::Send { .. })) else { return };
        if let Some(End::Send { backlog, .. }) = self.ends[side].get_mut(&key) {
            *backlog = !*backlog;
            let on = *backlog;
            self.pair.machine(side).set_backlog(key, on);
        }
    }

    fn release(&mut self, side: usize) {
        let n = std::mem::take(&mut self.held[side]);
        if n > 0 {
            self.pair.machine(side).descriptors_released(n);
        }
    }

    // ---- streams

    fn stream_write(&mut self, side: usize) {
        let Some(key) = self.a_stream(side) else { return };
        let Some(End::Stream { uid, direction, refused, finished, .. }) = self.ends[side].get_mut(&key)
        else {
            return;
        };
        let at = self.facts[*uid as usize].written[*direction];
        let n = self.rng.range(1, 3000);
        let data: Vec<u8> = (at..at + n).map(|at| byte(*uid, *direction, at)).collect();
        match self.pair.sides[side].machine.stream_send(key, &data, false) {
            Ok(n) => {
                assert!(!*finished);
                *refused = n == 0;
                self.facts[*uid as usize].written[*direction] += n;
            }
            Err(StreamError::Finished) => assert!(*finished),
            Err(StreamError::Stopped(_)) => {}
            Err(StreamError::Lost) => assert!(self.over || self.said_goodbye != [false; 2]),
        }
    }

    fn stream_read(&mut self, side: usize) {
        if let Some(key) = self.a_stream(side) {
            let most = self.rng.range(1, 3000);
            self.read(side, key, most);
        }
    }

    /// False: nothing was read.
    fn read(&mut self, side: usize, key: Key, most: usize) -> bool {
        let Some(End::Stream { uid, direction, pending, stopped, ended, .. }) = self.ends[side].get_mut(&key)
        else {
            return false;
        };
        if *stopped {
            return false;
        }
        let (uid, direction) = (*uid, 1 - *direction);
        let fact = &mut self.facts[uid as usize];
        let mut at = fact.read[direction];
        let result = self.pair.sides[side].machine.stream_recv(key, most, &mut |bytes| {
            for got in bytes {
                assert_eq!(*got, byte(uid, direction, at), "byte {at} of stream {uid}");
                at += 1;
            }
        });
        let n = at - fact.read[direction];
        fact.read[direction] = at;
        assert!(at <= fact.written[direction]);
        match result {
            StreamRead::Data(told) => {
                assert!(told == n && n > 0 && n <= most && !*ended);
                true
            }
            StreamRead::End => {
                // The writer has finished it, or what it wrote was stopped by who reads here.
                assert!(fact.finished[direction], "a cut looks complete");
                assert_eq!(at, fact.written[direction], "all bytes come before the end");
                *ended = true;
                false
            }
            StreamRead::Failed(reason) => {
                let dropped = [302, code::NOT_DELIVERED, code::UNCLAIMED].contains(&reason.code);
                assert!(dropped || self.over || self.said_goodbye != [false; 2], "{reason:?}");
                *ended = true;
                false
            }
            StreamRead::Pending => {
                *pending = true;
                false
            }
        }
    }

    fn stream_end(&mut self, side: usize) {
        let Some(key) = self.a_stream(side) else { return };
        match self.rng.below(3) {
            0 => self.finish(side, key, Reason::none()),
            1 => self.finish(side, key, Reason::of(302)),
            _ => self.stop(side, key),
        }
    }

    fn finish(&mut self, side: usize, key: Key, reason: Reason) {
        let Some(End::Stream { uid, direction, finished, stopped, .. }) = self.ends[side].get_mut(&key)
        else {
            return;
        };
        if *finished {
            return;
        }
        *finished = true;
        self.facts[*uid as usize].finished[*direction] = reason.code == code::NONE;
        let done = *stopped;
        self.pair.machine(side).stream_finish(key, reason);
        if done {
            self.ends[side].remove(&key);
        }
    }

    fn stop(&mut self, side: usize, key: Key) {
        let Some(End::Stream { finished, stopped, .. }) = self.ends[side].get_mut(&key) else { return };
        if *stopped {
            return;
        }
        *stopped = true;
        let done = *finished;
        self.pair.machine(side).stream_stop(key, Reason::of(303));
        if done {
            self.ends[side].remove(&key);
        }
    }

    // ---- the books

    fn check(&mut self) {
        if self.over {
            return self.check_pools();
        }
        let audits = [A, B].map(|side| self.pair.sides[side].machine.audit());
        let on_link = [A, B].map(|side| {
            let to = &self.pair.sides[side];
            let mut bytes = audits[side].begun.clone();
            bytes.extend(&to.buffer);
            bytes.extend(&to.link);
            bytes.extend(&audits[1 - side].unsent);
            bytes
        });
        let limits = self.pair.sides[A].machine.limits().clone();
        for from in [A, B] {
            let (ours, theirs) = (&audits[from], &audits[1 - from]);
            pools(ours, &limits);
            channels(ours, theirs, &on_link[1 - from], &on_link[from]);
            let [credit, ..] = ours.descriptors;
            let [_, _, held, _] = theirs.descriptors;
            let (mut going, mut back) = (0, 0);
            each(&on_link[1 - from], |kind, _, body| {
                if kind == MESSAGE {
                    going += rows(body).filter(|row| row[0] == 4).count() as u32;
                }
            });
            each(&on_link[from], |kind, id, body| {
                if kind == CREDIT && id == 0 {
                    back += word(body, 0);
                }
            });
            if self.said_goodbye == [false; 2] {
                assert_eq!(credit + going + held + back, limits.max_descriptors, "descriptors");
            }
        }
        let floor = 33 + 255 + 16 * limits.max_attachments as i32;
        // A message that is not cut is waited for with half of a first window at the most.
        let waited = floor.max(limits.initial_window as i32 / 2);
        self.line_moves_on(&audits, &limits);
        for audit in &audits {
            finished_hold_nothing(audit, &limits);
            no_more_is_ordered_than_waits(audit);
        }
        // Nobody who has nothing left waits for the next write.
        for (_, audit) in self.pair.sides.iter().zip(&audits).filter(|(side, _)| !side.machine.is_urgent()) {
            let open = |recv: &&RecvAudit| recv.announced && !recv.closed && !recv.cancelled;
            for recv in audit.recvs.iter().filter(open) {
                assert!(recv.owed == 0 || recv.room_left.is_some_and(|room| room > 0), "{recv:?}");
                let owed = recv.size + recv.extra - recv.left - recv.held;
                let due = owed > 0 && (recv.left < floor || owed >= recv.size / 2);
                assert!(!due || recv.left >= waited, "{recv:?}");
            }
        }
        // Who has nothing left is granted at once what is owed.
        for (_, audit) in self.pair.sides.iter().zip(&audits).filter(|(side, _)| !side.machine.has_output()) {
            let open = |recv: &&RecvAudit| recv.announced && !recv.closed && !recv.cancelled;
            for recv in audit.recvs.iter().filter(open) {
                assert!(recv.owed == 0 || recv.room_left.is_some_and(|room| room > 0), "{recv:?}");
                let owed = recv.size + recv.extra - recv.left - recv.held;
                assert!(owed <= 0 || (recv.left >= floor && owed < recv.size / 2), "{recv:?}");
            }
            for stream in audit.streams.iter().filter(|stream| !stream.ended && !stream.stop_sent) {
                let owed = stream.size - stream.left - stream.held;
                assert!(owed == 0 || (stream.left > 0 && owed < stream.size / 2), "{stream:?}");
            }
        }
        // No event is lost: what waits was told.
        for side in [A, B] {
            for (key, end) in &self.ends[side] {
                if let End::Recv { notified, opening: false, .. } = end {
                    let status = self.pair.sides[side].machine.recv_status(*key);
                    assert!(
                        *notified || status.waiting == 0,
                        "{key:?} of side {side} has messages and no event"
                    );
                }
            }
        }
    }

    // ---- coming to rest

    /// Everything arrives, everybody takes what there is, until nothing changes.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let busy = self.pair.sides.iter().any(|side| side.machine.is_urgent() || !side.link.is_empty());
            self.pair.chunk = self.rng.range(1, 3000);
            self.pair.drive();
            self.listen();
            self.check();
            let mut changed = busy;
            for side in [A, B] {
                self.release(side);
                let keys: Vec<Key> = self.ends[side].keys().copied().collect();
                for key in keys {
                    match self.ends[side].get(&key) {
                        Some(End::Recv { opening: true, .. }) => {
                            self.accept_key(side, key);
                            changed = true;
                        }
                        Some(End::Recv { demand, .. }) => {
                            let demand = *demand;
                            while self.pop(side, key) {
                                changed = true;
                            }
                            self.pay(side, key);
                            if demand {
                                self.pair.machine(side).want(key, 1);
                            }
                        }
                        Some(End::Stream { .. }) => {
                            while self.read(side, key, 1000) {
                                changed = true;
                            }
                        }
                        _ => {}
                    }
                }
            }
            if !changed && !self.pair.sides.iter().any(|side| side.machine.is_urgent()) {
                return;
            }
        }
        panic!("they never come to rest");
    }

    /// After everybody has taken everything, nobody may be waiting for room.
    fn nobody_stands_still(&mut self) {
        for side in [A, B] {
            for (key, end) in &self.ends[side] {
                let machine = &self.pair.sides[side].machine;
                match end {
                    End::Send { uid, refused, cancelled, .. } => {
                        let status = machine.send_status(*key);
                        assert_eq!(
                            *cancelled,
                            status.cancelled.is_some(),
                            "{uid} heard of its receiver's end"
                        );
                        assert_eq!(*refused, None, "{uid} waits: {status:?}");
                        let fact = &self.facts[*uid as usize];
                        if !*cancelled {
                            assert_eq!(fact.sent, fact.received, "all of {uid} has arrived");
                            // A message that is not cut waits for half of a first window at the most.
                            let half = i64::from(machine.limits().initial_window) / 2;
                            assert!(
                                status.byte_credit >= half && status.room + status.demand > 0,
                                "{uid}: {status:?}"
                            );
                        }
                    }
                    End::Recv { uid, .. } => {
                        let closed = machine.recv_status(*key).closed.is_some();
                        let fact = &self.facts[*uid as usize];
                        // Senders in messages that were dropped close too.
                        assert!(closed || !(fact.closed || fact.home), "{uid} is closed");
                        assert_eq!(fact.sent, fact.received, "all of {uid} has arrived");
                    }
                    End::Stream { uid, refused, .. } => {
                        assert!(!*refused || machine.stream_stopped(*key), "stream {uid} waits");
                    }
                }
            }
            let audit = self.pair.sides[side].machine.audit();
            // The third is of credit that is owed: some may wait for the next write. The fourth are hints.
            let [memory, turns, _, _, descriptors] = audit.lines;
            assert_eq!([memory, turns, descriptors], [0; 3], "nobody stands in line");
        }
    }

    /// Every end is let go of. With `clean`, every receiver sees all messages and then the end.
    fn let_go(&mut self, clean: bool) {
        for round in 0..50 {
            let mut left = 0;
            for side in [A, B] {
                let keys: Vec<Key> = self.ends[side].keys().copied().collect();
                for key in keys {
                    left += 1;
                    match self.ends[side].get(&key) {
                        Some(End::Send { .. }) => self.close_key(side, key, Scope::End, None),
                        Some(End::Recv { opening: true, .. }) => self.accept_key(side, key),
                        Some(End::Recv { uid, .. }) => {
                            let uid = *uid;
                            while self.pop(side, key) {}
                            let closed = self.pair.machine(side).recv_status(key).closed;
                            if clean && round < 40 && closed.is_none() {
                                continue;
                            }
                            let fact = &self.facts[uid as usize];
                            if clean {
                                let close = closed.expect("its sender was closed");
                                let known = [300, code::NOT_DELIVERED, code::UNCLAIMED];
                                assert!(close.reason.is_none_or(|reason| known.contains(&reason.code)));
                                assert_eq!(fact.sent, fact.received);
                            }
                            self.cancel_key(side, key, Scope::End, Reason::none());
                        }
                        Some(End::Stream { .. }) => {
                            while self.read(side, key, 1000) {}
                            self.finish(side, key, Reason::none());
                            self.stop(side, key);
                        }
                        None => {}
                    }
                }
                self.release(side);
            }
            self.pair.drive();
            self.listen();
            self.check();
            if left == 0 {
                return;
            }
        }
        panic!("ends are left");
    }

    /// The link is cut at any byte.
    fn cut(&mut self) {
        for side in [A, B] {
            let n = self.rng.range(0, self.pair.sides[side].link.len());
            self.pair.deliver(side, n);
        }
        self.listen();
        self.over = true;
        for side in [A, B] {
            self.pair.sides[side].link.clear();
            assert_eq!(self.pair.machine(side).handle_eof(), Err(SessionError::Lost));
        }
        self.listen();
        for side in [A, B] {
            self.ended_as(side, code::DISCONNECTED);
            for (key, end) in &self.ends[side] {
                let machine = &self.pair.sides[side].machine;
                match end {
                    End::Send { cancelled, .. } => assert!(*cancelled),
                    End::Recv { notified, opening, .. } => assert!(*notified || *opening),
                    End::Stream { refused, .. } => assert!(!*refused && machine.stream_stopped(*key)),
                }
            }
        }
        self.let_go(false);
    }

    /// One side leaves and the other answers, or both leave at once.
    fn goodbye(&mut self) {
        let first = self.rng.below(2);
        let both = self.rng.one_in(3);
        for side in [first, 1 - first] {
            if side == first || both {
                self.tell(|| format!("{side} says goodbye"));
                self.pair.goodbye(side);
                self.said_goodbye[side] = true;
            }
            for _ in 0..60 {
                self.step();
                self.listen();
                self.check_pools();
            }
        }
        // Large messages go before the goodbye; their receivers take what comes until it is there.
        for _ in 0..200 {
            self.pair.drive();
            self.listen();
            for side in [A, B] {
                let keys: Vec<Key> = self.ends[side].keys().copied().collect();
                for key in keys {
                    if matches!(self.ends[side].get(&key), Some(End::Recv { opening: true, .. })) {
                        self.accept_key(side, key);
                    }
                    while self.pop(side, key) {}
                    self.pay(side, key);
                }
            }
        }
        self.over = true;
        for side in [A, B] {
            let machine = self.pair.machine(side);
            assert!(machine.peer_said_goodbye() && machine.is_over(), "side {side} heard the goodbye");
            assert!(machine.is_drained());
            assert_eq!(machine.handle_eof(), Ok(()));
            self.ended_as(side, code::SESSION_CLOSED);
        }
        self.listen();
        self.let_go(false);
    }

    /// What its own side had not ended ends with `code`.
    fn ended_as(&mut self, side: usize, code: u16) {
        let machine = &self.pair.sides[side].machine;
        let audit = machine.audit();
        for send in &audit.sends {
            assert!(send.cancelled, "{send:?}");
        }
        for (key, end) in &self.ends[side] {
            let End::Recv { uid, .. } = end else { continue };
            // A sender that came home and waits in a message that nobody has taken keeps it open.
            let Some(closed) = machine.recv_status(*key).closed else { continue };
            let finished = self.facts.get(*uid as usize).is_none_or(|fact| fact.closed || fact.home);
            let said = closed.reason.map_or(0, |reason| reason.code);
            assert!(finished || said != 0, "a cut of {uid} looks complete");
            assert!([0, 300, code, code::NOT_DELIVERED, code::UNCLAIMED].contains(&said), "{said}");
        }
    }

    /// Large messages that a receive waits for stand in line, and the first of them only while its memory is in use.
    fn line_moves_on(&self, audits: &[Audit; 2], limits: &Limits) {
        for audit in audits {
            let lined = audit.recvs.iter().filter(|recv| recv.lined).count();
            assert_eq!(lined, audit.lines[0], "who is in line knows it");
            let quarter = u64::from(limits.session_memory) / 4;
            assert!(audit.beyond[0] <= quarter && audit.beyond[1] <= quarter);
            let mut most = 0;
            for recv in audit.recvs.iter().filter(|recv| recv.announced) {
                let lacks = recv.arriving.map_or(0, |charge| charge as i32 - recv.size - recv.extra);
                let open = !recv.cancelled && !recv.closed;
                let stands = lacks > 0 && open && recv.inbox == 0;
                let waits = recv.waiting > 0 || recv.awaited;
                assert_eq!(recv.lined, stands && waits, "in line while a receive waits for it: {recv:?}");
                most = most.max(if recv.lined { lacks as u64 } else { 0 });
            }
            let free = quarter - audit.beyond[1];
            assert!(lined == 0 || most > free, "there is memory for the head of the line: {audit:?}");
        }
    }

    fn check_pools(&mut self) {
        let limits = self.pair.sides[A].machine.limits().clone();
        for side in [A, B] {
            pools(&self.pair.sides[side].machine.audit(), &limits);
        }
    }

    fn nothing_is_left(&mut self) {
        for side in [A, B] {
            let machine = &self.pair.sides[side].machine;
            let audit = machine.audit();
            assert_eq!(machine.open_channels(), 0, "slab of side {side}: {audit:#?}");
            assert_eq!(charged(&audit), [0; 6], "pools of side {side}");
            assert_eq!(audit.pending_accepts, 0);
            if !self.over {
                let [memory, turns, due, _, descriptors] = audit.lines;
                assert_eq!([memory, turns, due, descriptors], [0; 4]);
                let most = machine.limits().max_descriptors;
                assert_eq!(audit.descriptors, [most, 0, 0, 0]);
            }
        }
    }
}

// ---- payloads

fn payload(uid: u32, seq: u32, attach: &[(Attach, Kind, u32, Option<End>)], size: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(size);
    payload.extend(uid.to_be_bytes());
    payload.extend(seq.to_be_bytes());
    payload.push(attach.len() as u8);
    for (_, kind, uid, _) in attach {
        payload.push(*kind as u8);
        payload.extend(uid.to_be_bytes());
    }
    let from = payload.len();
    payload.extend((from..size).map(|at| byte(uid ^ seq, 0, at)));
    payload
}

/// Every fifth message has some.
fn headers_of(uid: u32, seq: u32) -> Vec<u8> {
    match (uid + seq) % 5 {
        0 => [&[1, 3][..], b"abc", &[200, (seq % 200) as u8], &vec![7; (seq % 200) as usize]].concat(),
        _ => Vec::new(),
    }
}

fn check_payload(message: &Message<'_>, uid: u32, seq: u32) -> (Vec<(u8, u32)>, Vec<Attachment>) {
    let bytes: &[u8] = match &message.body {
        libchan_proto::Body::Slice(bytes) => bytes,
        libchan_proto::Body::Shared(bytes) => bytes,
    };
    assert_eq!((word(bytes, 0), word(bytes, 4)), (uid, seq), "channel and number of the message");
    let n = usize::from(bytes[8]);
    assert_eq!(n, message.attachments.len());
    let headers = headers_of(uid, seq);
    assert_eq!(message.headers.as_deref().unwrap_or_default(), headers);
    assert_eq!(message.charge as usize, bytes.len() + headers.len() + 16 * n + 32);
    let named = (0..n).map(|at| (bytes[9 + 5 * at], word(bytes, 10 + 5 * at))).collect();
    for (at, got) in bytes.iter().enumerate().skip(9 + 5 * n) {
        assert_eq!(*got, byte(uid ^ seq, 0, at), "the message is whole");
    }
    (named, message.attachments.to_vec())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

// ---- frames on the link

fn each(bytes: &[u8], mut see: impl FnMut(u8, u32, &[u8])) {
    let mut rest = bytes;
    while rest.len() >= 8 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let Some(body) = rest.get(8..8 + length) else { panic!("a machine has written half a frame") };
        see(rest[3], word(rest, 4), body);
        rest = &rest[8 + length..];
    }
}

fn rows(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let n = if body[0] & 2 != 0 { usize::from(body[2]) } else { 0 };
    body[if n > 0 { 3 } else { 2 }..].chunks(13).take(n)
}

#[derive(Default)]
struct Flow {
    messages: u32,
    charge: i64,
    data: i64,
}

#[derive(Default)]
struct Back {
    taken: u32,
    wanted: u32,
    bytes: i64,
    gone: bool,
}

fn channels(ours: &Audit, theirs: &Audit, going: &[u8], coming: &[u8]) {
    let mut flows: BTreeMap<u32, Flow> = BTreeMap::new();
    each(going, |kind, id, body| {
        let flow = flows.entry(id).or_default();
        match kind {
            MESSAGE => {
                flow.messages += 1;
                let n = rows(body).count();
                let head = if n > 0 { 3 + 13 * n } else { 2 };
                let more = body[0] & 1 != 0;
                // Of headers the length byte is not charged.
                let before = head + if more { 4 } else { 0 } + usize::from(body[0] & 0x10 != 0);
                let payload = body.len() - before;
                flow.charge += (payload + 16 * n + 32) as i64;
            }
            FRAGMENT => flow.charge += body.len() as i64 - 1,
            DATA => flow.data += body.len() as i64,
            _ => {}
        }
    });
    let mut backs: BTreeMap<u32, Back> = BTreeMap::new();
    each(coming, |kind, id, body| {
        let back = backs.entry(id).or_default();
        match kind {
            CREDIT => {
                back.taken += word(body, 0);
                back.wanted += word(body, 4);
                back.bytes += i64::from(word(body, 8));
            }
            CANCEL | GOODBYE => back.gone = true,
            _ => {}
        }
    });
    let gone = backs.get(&0).is_some_and(|back| back.gone);
    for send in ours.sends.iter().filter(|send| send.announced && !send.cancelled && !gone) {
        let mine = |recv: &&RecvAudit| recv.id == send.id && !recv.closed && !recv.cancelled;
        let Some(recv) = theirs.recvs.iter().find(mine) else { continue };
        let (none, nothing) = (Flow::default(), Back::default());
        let flow = flows.get(&send.id).unwrap_or(&none);
        let back = backs.get(&send.id).unwrap_or(&nothing);
        let unstarted = u32::from(send.unstarted);
        let coming = flow.messages + unstarted;
        assert_eq!(send.sent - send.taken - back.taken, recv.untold + coming, "messages of id {}", send.id);
        if recv.room_left.is_none() {
            let wanted = i64::from(send.wanted + back.wanted) - i64::from(send.sent - coming);
            assert_eq!(wanted, i64::from(recv.asked), "wanted of id {}", send.id);
        }
        let sum = i64::from(send.credit) + flow.charge + back.bytes;
        assert_eq!(sum, i64::from(recv.left), "bytes of id {}: {send:?} {recv:?}", send.id);
        assert!(recv.left + recv.held <= recv.size + recv.extra, "window of id {}: {recv:?}", send.id);
        assert!(recv.inbox as u32 <= recv.untold - recv.owed);
    }
    for stream in
        ours.streams.iter().filter(|stream| stream.announced && !stream.stopped && !stream.end_sent && !gone)
    {
        let theirs =
            theirs.streams.iter().find(|other| other.id == stream.id && !other.ended && !other.stop_sent);
        let Some(other) = theirs else { continue };
        let data = flows.get(&stream.id).map_or(0, |flow| flow.data);
        let back = backs.get(&stream.id).map_or(0, |back| back.bytes);
        let sum = i64::from(stream.credit) + data + back;
        assert_eq!(sum, i64::from(other.left), "stream {}: {stream:?} {other:?}", stream.id);
        assert_eq!(other.held as usize, other.arrived, "stream: {other:?}");
        assert!(other.left + other.held <= other.size);
    }
}

fn pools(audit: &Audit, limits: &Limits) {
    let (channel, stream) = (u64::from(limits.initial_window), u64::from(limits.stream_window));
    let sends = audit.sends.iter().filter(|send| !send.over).count() as u64;
    let streams = audit.streams.iter().filter(|stream| !stream.over).count() as u64;
    let channels = sends + audit.recvs.len() as u64;
    assert_eq!(audit.here[0] + audit.there[0], channels + streams, "what is open");
    assert_eq!(audit.here[1] + audit.there[1], channels * channel + streams * stream, "first windows");
    let quarter = u64::from(limits.session_memory) / 4;
    for opened in [audit.here, audit.there] {
        assert!(opened[0] <= u64::from(limits.max_channels) && opened[1] <= quarter, "budget: {opened:?}");
    }
    let growth: u64 = audit.recvs.iter().map(|recv| recv.size as u64 - channel).sum::<u64>()
        + audit.streams.iter().map(|other| other.size as u64 - stream).sum::<u64>();
    let extra: u64 = audit.recvs.iter().map(|recv| recv.extra as u64).sum();
    assert_eq!(audit.beyond, [growth, extra], "our memory");
}

/// What is finished, and what is left of a receiving end that has said its last, holds no memory but what it is charged.
fn finished_hold_nothing(audit: &Audit, limits: &Limits) {
    for recv in audit.recvs.iter().filter(|recv| recv.cancelled && recv.announced) {
        assert_eq!((recv.inbox, recv.extra, recv.arriving, recv.lined), (0, 0, None, false), "{recv:?}");
        assert_eq!(recv.size as u32, limits.initial_window, "{recv:?}");
    }
    for stream in audit.streams.iter().filter(|stream| stream.over || stream.stop_sent) {
        assert_eq!((stream.arrived, stream.size as u32), (0, limits.stream_window), "{stream:?}");
    }
    for send in audit.sends.iter().filter(|send| send.over || send.cancelled) {
        assert!(!send.large, "{send:?}");
    }
}

/// What was asked for and what of it is here, an incomplete message too, is for receives that waited at one time.
fn no_more_is_ordered_than_waits(audit: &Audit) {
    for recv in audit.recvs.iter().filter(|recv| recv.room_left.is_none() && !recv.cancelled) {
        let here = recv.inbox + usize::from(recv.arriving.is_some());
        assert!(recv.asked.max(0) as usize + here <= MOST_WAITING, "more was ordered: {recv:?}");
    }
}
