//! `cargo test --release speed -- --ignored --nocapture`: what the default codec costs.

use std::hint::black_box;
use std::time::Instant;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    id: u64,
    kind: u32,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

/// The best of several rounds, in nanoseconds a call.
fn best(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 200_000;
    (0..20)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let message = Message { id: 1 << 40, kind: 7, body: vec![9; 64] };
    for codec in those([1, 2, 3, 4]) {
        let mut out = Vec::with_capacity(1024);
        let encode = best(|| {
            out.clear();
            codec.encode(black_box(&message), &mut out).unwrap();
        });
        let decode = best(|| {
            black_box(codec.decode::<Message>(black_box(&out)).unwrap());
        });
        println!("{codec:?}: {} bytes, encode {encode:.0} ns, decode {decode:.0} ns", out.len());
    }
    let payload = encode(&AnyCodec::msgpack(), &message).unwrap();
    let plain = best(|| {
        black_box(rmp_serde::from_slice::<Message>(black_box(&payload)).unwrap());
    });
    println!("rmp_serde::from_slice: {plain:.0} ns");
    let mut out = Vec::with_capacity(1024);
    let plain = best(|| {
        out.clear();
        rmp_serde::encode::write_named(&mut out, black_box(&message)).unwrap();
    });
    println!("rmp_serde write_named: {plain:.0} ns");
    let numbers = encode(&AnyCodec::msgpack(), &vec![1000_u64; 10_000]).unwrap();
    let ours =
        best_of_few(|| drop(black_box(AnyCodec::msgpack().decode::<Vec<u64>>(black_box(&numbers)).unwrap())));
    let plain =
        best_of_few(|| drop(black_box(rmp_serde::from_slice::<Vec<u64>>(black_box(&numbers)).unwrap())));
    println!("10000 numbers: {ours:.0} us, rmp_serde alone {plain:.0} us");
}

fn best_of_few(mut call: impl FnMut()) -> f64 {
    (0..200)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_nanos() as f64 / 1000.0
        })
        .fold(f64::INFINITY, f64::min)
}
