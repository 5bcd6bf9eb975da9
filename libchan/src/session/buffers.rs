//! Buffers of this thread, for whatever session reads or writes next: a session that does neither holds none.
//!
//! So an idle session is small, and of many sessions that say little each works in memory that the processor has at hand,
//! where buffers of their own would be as cold as they are many.

use std::cell::{Cell, RefCell};

use libchan_proto::Output;

/// How many outputs are kept beside the first: so many sessions of one thread may be writing at the same time.
const KEEP: usize = 8;
/// The largest that is kept, in bytes.
const LARGEST: usize = 128 * 1024;
/// What an output begins with, in bytes.
const FIRST: usize = 1024;

thread_local! {
    /// One is enough: it is in use only while a driver has its turn.
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OUTPUT: Cell<Option<Output>> = const { Cell::new(None) };
    static MORE: RefCell<Vec<Output>> = const { RefCell::new(Vec::new()) };
}

/// A buffer to read into; all of it is initialised, with what was read before.
#[inline]
pub(super) fn take_read() -> Vec<u8> {
    READ.take()
}

/// Keeps a buffer that was read into. Its length has to be what is initialised.
#[inline]
pub(super) fn keep_read(buffer: Vec<u8>) {
    if (1..=LARGEST).contains(&buffer.capacity()) {
        READ.set(buffer);
    }
}

/// An empty output with a buffer.
#[inline]
pub(super) fn take_output() -> Output {
    OUTPUT.take().unwrap_or_else(another_output)
}

#[cold]
fn another_output() -> Output {
    MORE.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
        let mut output = Output::default();
        output.bytes.reserve(FIRST);
        output
    })
}

/// Keeps the buffers of an output that has been written.
#[inline]
pub(super) fn keep_output(mut output: Output) {
    output.clear();
    if (1..=LARGEST).contains(&output.bytes.capacity())
        && let Some(another) = OUTPUT.replace(Some(output))
    {
        keep_another(another);
    }
}

#[cold]
fn keep_another(output: Output) {
    MORE.with_borrow_mut(|more| {
        if more.len() < KEEP {
            more.push(output);
        }
    });
}
