//! The inner loops, each alone: frames through two machines of libchan-proto, the queue in one process, the codec.
//! No socket and no runtime that switches tasks; one iteration of a batch is 64 messages.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use divan::counter::ItemsCount;
use libchan_proto::{Event, Flaw, Hello, Key, Limits, Machine, Metadata, Outgoing, Output, Payload, Role};
use serde::{Deserialize, Serialize};

fn main() {
    divan::main();
}

const BATCH: usize = 64;

/// As long as the item of the workloads is in msgpack.
const PAYLOAD: [u8; 86] = [7; 86];

#[derive(Serialize, Deserialize)]
struct Item {
    id: u64,
    kind: u32,
    body: Bytes,
}

fn item() -> Item {
    Item { id: 7, kind: 70_000, body: Bytes::from_static(&[7; 64]) }
}

// ---- frames

/// Two machines with one open channel.
struct Pair {
    sender: Machine,
    receiver: Machine,
    sending: Key,
    receiving: Key,
    output: Output,
    link: BytesMut,
}

impl Pair {
    fn new() -> Self {
        let machine = |role| {
            let limits = Limits { initial_window: 1 << 20, ..Limits::default() };
            let hello = Hello { limits, codecs: vec![1], features: 0, metadata: Metadata::default() };
            Machine::new(role, hello, Duration::ZERO)
        };
        let (mut sender, mut receiver) = (machine(Role::Dialer), machine(Role::Acceptor));
        let (mut output, mut link) = (Output::default(), BytesMut::new());
        carry(&mut sender, &mut receiver, &mut output, &mut link);
        carry(&mut receiver, &mut sender, &mut output, &mut link);
        let sending = sender.open("items", 4 * BATCH as u32, &Metadata::default()).expect("opens");
        write(&mut sender, &mut output, &mut link);
        receiver.handle_input(&mut link).expect("a good peer");
        let opened = std::iter::from_fn(|| receiver.poll_event()).find_map(|event| match event {
            Event::Opened(key) => Some(key),
            _ => None,
        });
        let receiving = opened.expect("is opened");
        receiver.accept(receiving).expect("waits to be accepted");
        carry(&mut receiver, &mut sender, &mut output, &mut link);
        Self { sender, receiver, sending, receiving, output, link }
    }

    /// Frames of a batch, in `link`.
    fn encode(&mut self) {
        for _ in 0..BATCH {
            let payload = Payload::Copy(&PAYLOAD);
            let message = Outgoing { codec: 1, flaw: Flaw::None, attachments: &[], headers: &[], payload };
            self.sender.try_send(self.sending, message).expect("has room");
        }
        write(&mut self.sender, &mut self.output, &mut self.link);
    }

    /// What is in `link` becomes messages, which are taken.
    fn decode(&mut self) {
        self.receiver.handle_input(&mut self.link).expect("a good peer");
        while self.receiver.poll_event().is_some() {}
        let mut inbox = self.receiver.take_inbox(self.receiving, None).expect("messages");
        let (mut messages, mut charge) = (0, 0);
        while let Some(message) = inbox.pop() {
            divan::black_box(&message.body);
            messages += 1;
            charge += message.charge;
        }
        assert_eq!(messages, BATCH as u32);
        self.receiver.taken(self.receiving, messages, charge);
        assert!(self.receiver.take_inbox(self.receiving, Some(inbox)).is_none());
    }

    /// The credit goes back.
    fn credit(&mut self) {
        carry(&mut self.receiver, &mut self.sender, &mut self.output, &mut self.link);
    }
}

fn write(from: &mut Machine, output: &mut Output, link: &mut BytesMut) {
    output.clear();
    from.take_output(output);
    assert!(output.splices.is_empty(), "small payloads are copied");
    link.extend_from_slice(&output.bytes);
}

fn carry(from: &mut Machine, to: &mut Machine, output: &mut Output, link: &mut BytesMut) {
    write(from, output, link);
    to.handle_input(link).expect("a good peer");
    while to.poll_event().is_some() {}
}

#[divan::bench]
fn frames_encode(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(BATCH)).with_inputs(Pair::new).bench_local_refs(Pair::encode);
}

#[divan::bench]
fn frames_decode(bencher: Bencher<'_, '_>) {
    let prepare = || {
        let mut pair = Pair::new();
        pair.encode();
        pair
    };
    bencher.counter(ItemsCount::new(BATCH)).with_inputs(prepare).bench_local_refs(Pair::decode);
}

#[divan::bench]
fn frames_there_and_credit_back(bencher: Bencher<'_, '_>) {
    let mut pair = Pair::new();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        pair.encode();
        pair.decode();
        pair.credit();
    });
}

// ---- the queue in one process

#[divan::bench(args = [64, 256])]
fn pipe_send_recv(bencher: Bencher<'_, '_>, capacity: usize) {
    let (sender, receiver) = libchan::pipe_with::<Item>(capacity);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            sender.try_send(item()).expect("has room");
        }
        for _ in 0..BATCH {
            divan::black_box(receiver.try_recv().expect("has messages"));
        }
    });
}

#[divan::bench]
fn pipe_open_and_close() {
    divan::black_box(libchan::pipe::<Item>());
}

// ---- the codec, as libchan calls it: structs as maps with names

#[divan::bench]
fn msgpack_encode(bencher: Bencher<'_, '_>) {
    let (item, mut out) = (item(), Vec::with_capacity(128));
    bencher.bench_local(|| {
        out.clear();
        item.serialize(&mut rmp_serde::Serializer::new(&mut out).with_struct_map()).expect("encodes");
        divan::black_box(&out);
    });
}

#[divan::bench]
fn msgpack_decode(bencher: Bencher<'_, '_>) {
    let bytes = rmp_serde::to_vec_named(&item()).expect("encodes");
    bencher.bench_local(|| rmp_serde::from_slice::<Item>(divan::black_box(&bytes)).expect("decodes"));
}
