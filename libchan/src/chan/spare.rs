//! Emptied inboxes of this thread, for whatever channel is served next: an idle channel keeps none.

use std::cell::RefCell;

use libchan_proto::Inbox;

use crate::sync::thread_local;

/// How many are kept.
const KEEP: usize = 64;

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
pub(super) fn put(mut inbox: Box<Inbox>) {
    if inbox.recycle() {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEEP {
                spare.push(inbox);
            }
        });
    }
}
