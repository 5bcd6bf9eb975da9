//! Replays `tests/corpus` through the fuzz targets, and then seeded mutations of it. `LIBCHAN_FUZZ=1000000` runs more of
//! them; `LIBCHAN_CORPUS=1` writes the corpus anew.

mod support;

use std::path::PathBuf;

use libchan_proto::{Attach, Event, Kind, Limits, Reason, Scope, StreamRead, fuzz};
use support::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Name and content: the first byte is the shape (bit 0: the peer has said hello; the rest: how long the pieces are).
fn made() -> Vec<(&'static str, Vec<u8>)> {
    let shaped = |shape: u8, parts: &[Vec<u8>]| [&[shape][..], &parts.concat()].concat();
    let table: &[Row] = &[(1, 4, 4, 0), (2, 6, 4, 0), (3, 8, 0, 0)];
    let message = |flags, table: &[Row], total, payload: &[u8]| {
        frame(MESSAGE, 2, &message_body(flags, table, total, payload))
    };
    vec![
        ("hello", shaped(254, &[PREFACE.to_vec(), hello_frame(&hello_fields(&Limits::default()))])),
        ("not-libchan", shaped(2, &[b"GET / HTTP/1.1\r\n".to_vec()])),
        (
            "flat",
            shaped(
                255,
                &[
                    open_frame(2, 4, "jobs"),
                    message_frame(2, b"one"),
                    message_frame(2, &[7; 900]),
                    close_frame(2),
                ],
            ),
        ),
        (
            "nested",
            shaped(
                31,
                &[
                    open_frame(2, 4, "jobs"),
                    message(0, table, None, b"nested"),
                    message_frame(6, b"inside"),
                    frame(DATA, 8, b"bytes"),
                    credit_frame(8, 0, 0, 99),
                    cancel_frame(4, 0),
                    close_frame(6),
                    reason_frame(END, 8, 0, ""),
                    reason_frame(STOP, 8, 300, "enough"),
                ],
            ),
        ),
        (
            "announced",
            shaped(
                201,
                &[
                    open_frame(2, 4, "jobs"),
                    message(0x10, &[], Some(3000), &[1; 992]),
                    fragment_frame(2, true, &[1; 2000]),
                    fragment_frame(2, false, &[1; 8]),
                ],
            ),
        ),
        (
            "session",
            shaped(
                7,
                &[frame(PING, 0, &[1; 8]), frame(0x90, 3, b"skipped"), reason_frame(GOODBYE, 0, 0, "")],
            ),
        ),
        (
            "late",
            shaped(
                255,
                &[
                    open_frame(2, 1, "x"),
                    close_frame(2),
                    message(0, table, None, b"late"),
                    close_frame(2),
                    open_frame(2, 1, "again"),
                ],
            ),
        ),
        ("wrong-end", shaped(255, &[open_frame(2, 1, "x"), credit_frame(2, 1, 1, 1)])),
        ("transcript-a", transcript(A)),
        ("transcript-b", transcript(B)),
    ]
}

/// What one side of a real session wrote after its hello.
fn transcript(of: usize) -> Vec<u8> {
    let mut pair = Pair::established(Limits::default());
    let mut bytes = vec![255];
    let mut move_on = |pair: &mut Pair| {
        for _ in 0..4 {
            for side in [A, B] {
                pair.pump(side);
            }
            bytes.extend(pair.sides[1 - of].link.iter());
            for side in [A, B] {
                pair.deliver(side, usize::MAX);
            }
        }
    };
    let key = pair.machine(A).open("jobs", 4, &libchan_proto::Metadata::default()).unwrap();
    let reply = pair.machine(A).allocate(Kind::Sender, 0, false, 1).unwrap();
    let stream = pair.machine(A).allocate(Kind::Stream, 0, false, 0).unwrap();
    pair.machine(A).stream_send(stream, b"kept", true).unwrap();
    pair.send_with(A, key, &[Attach::Channel(reply), Attach::Stream(stream)], b"job").unwrap();
    pair.send(A, key, &[5; 5000]).unwrap();
    move_on(&mut pair);
    let opened = pair.events(B).into_iter().find_map(|event| match event {
        Event::Opened(key) => Some(key),
        _ => None,
    });
    let theirs = opened.unwrap();
    pair.machine(B).accept(theirs).unwrap();
    let job = pair.take(B, theirs);
    let [sender, at_b] = job[0].attachments[..] else { panic!() };
    pair.send(B, sender.key, b"done").unwrap();
    pair.machine(B).close(sender.key, Scope::End, None);
    assert_eq!(pair.machine(B).stream_recv(at_b.key, 100, &mut |_| ()), StreamRead::Data(4));
    pair.machine(B).reject(at_b, &Reason::of(libchan_proto::code::UNCLAIMED));
    move_on(&mut pair);
    pair.machine(A).close(key, Scope::Channel, Some(Reason { code: 300, text: "enough".into() }));
    pair.machine(A).goodbye(Reason::none());
    move_on(&mut pair);
    pair.machine(B).goodbye(Reason::none());
    move_on(&mut pair);
    bytes
}

fn corpus() -> Vec<Vec<u8>> {
    if std::env::var_os("LIBCHAN_CORPUS").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        let mut rng = Rng::new(1);
        for (name, bytes) in made() {
            std::fs::write(folder().join(name), &bytes).unwrap();
            std::fs::write(folder().join(format!("{name}-mutated")), mutated(&bytes, &[], &mut rng)).unwrap();
        }
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn run(data: &[u8]) {
    fuzz::machine(data);
    if let Some((_, rest)) = data.split_first() {
        fuzz::frames(rest.strip_prefix(PREFACE).unwrap_or(rest));
    }
}

fn mutated(from: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = from.to_vec();
    for _ in 0..rng.range(1, 6) {
        let at = rng.below(bytes.len());
        match rng.below(7) {
            0 if !bytes.is_empty() => bytes[at] = rng.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.pick(&[0, 1, 2, 0x7f, 0x80, 0xff]).unwrap()),
            4 if bytes.len() > 8 => {
                // A part of it again, elsewhere: frames twice, and out of order.
                let from = rng.below(bytes.len() - 8);
                let part = bytes[from..(from + rng.range(1, 40)).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            5 if other.len() > 1 => {
                let from = rng.range(1, other.len() - 1);
                bytes.extend(&other[from..]);
            }
            _ if bytes.len() > 1 => {
                let to = (at + rng.range(1, 12)).min(bytes.len());
                bytes.drain(at..to);
            }
            _ => {}
        }
    }
    bytes
}

#[test]
fn the_corpus_and_its_mutations() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "tests/corpus is there");
    for data in &corpus {
        run(data);
    }
    let rounds = std::env::var("LIBCHAN_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let (from, other) = (rng.below(corpus.len()), rng.below(corpus.len()));
        let data = mutated(&corpus[from], &corpus[other], &mut rng);
        if let Err(panic) = std::panic::catch_unwind(|| run(&data)) {
            eprintln!("mutation {seed}: {data:02x?}");
            std::panic::resume_unwind(panic);
        }
    }
}
