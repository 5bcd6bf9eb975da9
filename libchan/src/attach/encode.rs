//! The encoding side: a scope open on this thread collects the ends that serde meets.

use std::cell::RefCell;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::{AnyReceiver, AnySender, Attached, Ends};
use crate::codec::{Placeholder, serialize_index};
use crate::error::SendFailure;
use crate::fd::FdCore;
use crate::stream::StreamCore;
use crate::sync::thread_local;

thread_local! {
    /// Scopes nest: user code may send on another channel while it is being serialised. The borrow is never held
    /// while user code runs.
    static SCOPES: RefCell<Vec<Scope>> = const { RefCell::new(Vec::new()) };
}

struct Scope {
    form: Placeholder,
    ends: Ends,
    failed: Option<SendFailure>,
}

/// An open scope; dropping it (a panic in `Serialize`) gives everything back.
pub(crate) struct EncodeScope(());

impl EncodeScope {
    pub(crate) fn enter(form: Placeholder) -> Self {
        SCOPES.with_borrow_mut(|scopes| scopes.push(Scope { form, ends: Ends::new(), failed: None }));
        Self(())
    }

    /// What was collected, in the order of the indexes in the payload.
    pub(crate) fn finish(self) -> Result<Ends, SendFailure> {
        let scope = pop();
        std::mem::forget(self);
        match scope {
            Some(Scope { failed: Some(why), .. }) => Err(why),
            Some(scope) => Ok(scope.ends),
            None => Ok(Ends::new()),
        }
    }
}

impl Drop for EncodeScope {
    fn drop(&mut self) {
        drop(pop());
    }
}

fn pop() -> Option<Scope> {
    SCOPES.with_borrow_mut(Vec::pop)
}

/// Identity makes an entry, not occurrence: the same end twice is one attachment, and a serialisation that is
/// retried attaches nothing twice.
fn collect(
    is_same: impl Fn(&Attached) -> bool,
    attach: impl FnOnce() -> Result<Attached, SendFailure>,
) -> Result<(Placeholder, u32), String> {
    let known = SCOPES.with_borrow(|scopes| {
        let scope = scopes.last()?;
        let index = scope.ends.iter().position(is_same);
        Some((scope.form, index, scope.ends.len()))
    });
    let Some((form, index, len)) = known else {
        return Err("a libchan end can be serialised only by sending it in a message (Sender::send); \
                    found no send in progress on this thread"
            .to_owned());
    };
    if let Some(index) = index {
        return Ok((form, index as u32));
    }
    let attached = attach();
    SCOPES.with_borrow_mut(|scopes| {
        let Some(scope) = scopes.last_mut() else { return Err("no send in progress".to_owned()) };
        match attached {
            Ok(attached) => {
                scope.ends.push(attached);
                Ok((form, len as u32))
            }
            Err(why) => {
                let text = why.to_string();
                scope.failed = Some(why);
                Err(text)
            }
        }
    })
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

    /// Any attachment of a `Raw` that is itself part of a message.
    pub(crate) fn of<E: serde::ser::Error>(end: &mut Attached) -> Result<Self, E> {
        end.share();
        match end {
            Attached::Sender(sender) => Self::sender(sender.clone()),
            Attached::Receiver(receiver) => Self::receiver(receiver.clone()),
            // The hold of the Raw gives way to that of the message.
            Attached::Stream(core, hold) => {
                drop(hold.take());
                Self::stream(core)
            }
            Attached::Descriptor(core, hold) => {
                drop(hold.take());
                Self::descriptor(core)
            }
            Attached::Unclaimed(_) => Err(E::custom("an end in the message is in use")),
        }
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
