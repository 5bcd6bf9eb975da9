//! Buffers of this thread, for whatever session reads or writes next: a session that does neither holds none.
//!
//! So an idle session is small, and of many sessions that say little each works in memory that the processor has at hand,
//! where buffers of their own would be as cold as they are many.

use std::cell::RefCell;

use libchan_proto::Output;

/// How many of a kind are kept: sessions of one thread hardly ever have more in hand at the same time.
const KEEP: usize = 8;
/// The largest that is kept, in bytes.
const LARGEST: usize = 128 * 1024;
/// What an output begins with, in bytes.
const FIRST: usize = 1024;

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { reads: Vec::new(), outputs: Vec::new() }) };
}

struct Spare {
    reads: Vec<Vec<u8>>,
    outputs: Vec<Output>,
}

/// A buffer to read into; all of it is initialised, with what was read before.
pub(super) fn take_read() -> Vec<u8> {
    SPARE.with_borrow_mut(|spare| spare.reads.pop()).unwrap_or_default()
}

/// Keeps a buffer that was read into. Its length has to be what is initialised.
pub(super) fn keep_read(buffer: Vec<u8>) {
    SPARE.with_borrow_mut(|spare| keep(&mut spare.reads, buffer.capacity(), buffer));
}

/// An empty output with a buffer.
pub(super) fn take_output() -> Output {
    let kept = SPARE.with_borrow_mut(|spare| spare.outputs.pop());
    kept.unwrap_or_else(|| {
        let mut output = Output::default();
        output.bytes.reserve(FIRST);
        output
    })
}

/// Keeps the buffers of an output that has been written.
pub(super) fn keep_output(mut output: Output) {
    output.clear();
    SPARE.with_borrow_mut(|spare| keep(&mut spare.outputs, output.bytes.capacity(), output));
}

fn keep<T>(kept: &mut Vec<T>, size: usize, buffer: T) {
    if (1..=LARGEST).contains(&size) && kept.len() < KEEP {
        kept.push(buffer);
    }
}
