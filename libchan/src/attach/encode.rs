//! The encoding side: a scope open on this thread collects the ends that serde meets.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::{AnyReceiver, AnySender, Attached, Ends};
use crate::codec::{Placeholder, serialize_index};
use crate::cut;
use crate::error::SendFailure;
use crate::fd::FdCore;
use crate::stream::StreamCore;
use crate::sync::thread_local;

thread_local! {
    /// The innermost scope that is open on this thread.
    static OPEN: Cell<Open> = const { Cell::new(Open { form: None, start: 0, len: 0, failed: false }) };
}

thread_local! {
    /// What all scopes of this thread have collected. The borrow is never held while user code runs.
    static COLLECTION: RefCell<Collection> =
        const { RefCell::new(Collection { ends: Vec::new(), failures: Vec::new() }) };
}

/// Where a scope stands. Scopes nest: user code may send on another channel while it is being serialised. Most messages
/// carry nothing, and then this is all that is touched.
#[derive(Clone, Copy)]
struct Open {
    /// `None`: no scope is open.
    form: Option<Placeholder>,
    /// Its ends in the collection.
    start: u32,
    len: u32,
    /// Its failure is the last of the collection's.
    failed: bool,
}

struct Collection {
    ends: Vec<Attached>,
    failures: Vec<SendFailure>,
}

/// An open scope; dropping it (a panic in `Serialize`) gives everything back.
pub(crate) struct EncodeScope {
    /// The scope around it.
    outer: Open,
}

impl EncodeScope {
    #[inline]
    pub(crate) fn enter(form: Placeholder) -> Self {
        let outer = OPEN.get();
        OPEN.set(Open { form: Some(form), start: outer.start + outer.len, len: 0, failed: false });
        Self { outer }
    }

    /// Whether nothing was collected, and nothing failed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let open = OPEN.get();
        open.len == 0 && !open.failed
    }

    /// The end of a scope that is empty.
    #[inline]
    pub(crate) fn close(self) {
        self.leave();
        std::mem::forget(self);
    }

    /// What was collected, in the order of the indexes in the payload.
    pub(crate) fn finish(self) -> Result<Ends, SendFailure> {
        let open = self.leave();
        std::mem::forget(self);
        collected(open)
    }

    /// Back to the scope around it.
    #[inline]
    fn leave(&self) -> Open {
        let open = OPEN.get();
        OPEN.set(self.outer);
        open
    }
}

impl Drop for EncodeScope {
    fn drop(&mut self) {
        let collected = collected(self.leave());
        // They are ours: what becomes of the value is not said by them.
        cut::spending(|| drop(collected));
    }
}

/// What the scope has collected. Dropping it is user code, for the caller to run under no borrow.
fn collected(scope: Open) -> Result<Ends, SendFailure> {
    let (ends, failure) = COLLECTION.with_borrow_mut(|collection| {
        let mut ends = Ends::new();
        // One is the usual number, and an iterator costs more than it does.
        match scope.len {
            1 => {
                if let Some(end) = collection.ends.pop() {
                    ends.push(end)
                }
            }
            _ => ends.extend(collection.ends.drain(scope.start as usize..)),
        }
        (ends, if scope.failed { collection.failures.pop() } else { None })
    });
    match failure {
        Some(why) => Err(why),
        None => Ok(ends),
    }
}

/// Identity makes an entry, not occurrence: the same end twice is one attachment, and a serialisation that is
/// retried attaches nothing twice.
fn collect(
    is_same: impl Fn(&Attached) -> bool,
    attach: impl FnOnce() -> Result<Attached, SendFailure>,
) -> Result<(Placeholder, u32), String> {
    let mut open = OPEN.get();
    let Some(form) = open.form else {
        return Err("a libchan end can be serialised only by sending it in a message (Sender::send); \
                    found no send in progress on this thread"
            .to_owned());
    };
    let known = |collection: &Collection| collection.ends[open.start as usize..].iter().position(is_same);
    if let Some(index) = COLLECTION.with_borrow(known) {
        return Ok((form, index as u32));
    }
    match attach() {
        Ok(attached) => {
            COLLECTION.with_borrow_mut(|collection| collection.ends.push(attached));
            open.len += 1;
            OPEN.set(open);
            Ok((form, open.len - 1))
        }
        Err(why) => {
            let text = why.to_string();
            COLLECTION.with_borrow_mut(|collection| {
                if open.failed {
                    collection.failures.pop();
                }
                collection.failures.push(why);
            });
            OPEN.set(Open { failed: true, ..open });
            Err(text)
        }
    }
}

/// An end that has its place in the message; serialises as its placeholder.
pub(crate) struct Collected {
    form: Placeholder,
    index: u32,
}

impl Collected {
    pub(crate) fn sender<E: serde::ser::Error>(sender: AnySender) -> Result<Self, E> {
        let same = sender.chan().clone();
        Self::from(collect(
            |end| matches!(end, Attached::Sender(known) if Arc::ptr_eq(known.chan(), &same)),
            || Ok(Attached::Sender(sender)),
        ))
    }

    pub(crate) fn receiver<E: serde::ser::Error>(receiver: AnyReceiver) -> Result<Self, E> {
        let same = receiver.chan().clone();
        Self::from(collect(
            |end| matches!(end, Attached::Receiver(known) if Arc::ptr_eq(known.chan(), &same)),
            || Ok(Attached::Receiver(receiver)),
        ))
    }

    pub(crate) fn stream<E: serde::ser::Error>(core: &Arc<StreamCore>) -> Result<Self, E> {
        Self::from(collect(
            |end| matches!(end, Attached::Stream(known, _) if Arc::ptr_eq(known, core)),
            || Attached::held_stream(core),
        ))
    }

    pub(crate) fn descriptor<E: serde::ser::Error>(core: &Arc<FdCore>) -> Result<Self, E> {
        Self::from(collect(
            |end| matches!(end, Attached::Descriptor(known, _) if Arc::ptr_eq(known, core)),
            || Attached::held_descriptor(core),
        ))
    }

    fn from<E: serde::ser::Error>(result: Result<(Placeholder, u32), String>) -> Result<Self, E> {
        result.map(|(form, index)| Self { form, index }).map_err(E::custom)
    }
}

impl Serialize for Collected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_index(self.form, self.index, serializer)
    }
}
