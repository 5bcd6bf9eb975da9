//! Emptied inboxes of this thread, for whatever channel of whatever session is served next: neither keeps one while it is
//! idle, and the same few are used again and again.

use std::cell::RefCell;
use std::mem;

use libchan_proto::{Inbox, Machine};

use crate::sync::thread_local;

/// How many are kept.
const KEEP: usize = 1024;

thread_local! {
    #[allow(clippy::vec_box, reason = "they are moved in and out as boxes")]
    static SPARE: RefCell<Vec<Box<Inbox>>> = const { RefCell::new(Vec::new()) };
}

/// One that was emptied here, if there is one.
#[inline]
pub(crate) fn take() -> Option<Box<Inbox>> {
    SPARE.with_borrow_mut(Vec::pop)
}

/// Keeps the inbox, unless it is too large or there are enough.
#[inline]
pub(crate) fn put(mut inbox: Box<Inbox>) {
    if inbox.recycle() {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEEP {
                spare.push(inbox);
            }
        });
    }
}

/// Lets `machine` use them while it reads, in `read`. What it had kept itself joins them.
#[inline]
pub(crate) fn lend<R>(machine: &mut Machine, read: impl FnOnce(&mut Machine) -> R) -> R {
    machine.lend_spare(SPARE.with_borrow_mut(mem::take));
    let result = read(machine);
    let spare = machine.take_spare();
    SPARE.with_borrow_mut(|kept| *kept = spare);
    result
}
