//! The legs that messages come in by, found by their leg without a search where there are many.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use libchan_proto::Key;

use super::legs::Source;
use crate::session::Leg;

/// From so many on they are found by a table.
const MANY: usize = 16;

/// Names a leg: its session and its entry there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name {
    session: usize,
    key: (u32, u32),
}

impl Name {
    fn of(leg: &Leg) -> Self {
        let Key { slot, serial } = leg.key;
        Self { session: Arc::as_ptr(&leg.session).addr(), key: (slot, serial) }
    }
}

/// The sources of a channel that has several legs, in no order that matters but for the first.
#[derive(Default)]
pub(super) struct Sources {
    list: Vec<Source>,
    /// Where each of them is in the list, once there are many.
    places: Option<HashMap<Name, usize>>,
    /// All that had arrived was moved into the queue, and what arrives is news.
    pub(super) absorbed: bool,
    /// All were told that the next message is waited for.
    pub(super) awaited: bool,
}

impl Sources {
    pub(super) fn as_slice(&self) -> &[Source] {
        &self.list
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Source> {
        self.list.first_mut()
    }

    pub(super) fn push(&mut self, source: Source) {
        (self.absorbed, self.awaited) = (false, false);
        if let Some(places) = &mut self.places {
            places.insert(Name::of(&source.leg), self.list.len());
        }
        self.list.push(source);
        if self.places.is_none() && self.list.len() >= MANY {
            let names = self.list.iter().map(|source| Name::of(&source.leg));
            self.places = Some(names.zip(0..).collect());
        }
    }

    pub(super) fn at(&self, leg: &Leg) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&Name::of(leg)).copied(),
            None => self.list.iter().position(|source| source.leg.is(leg)),
        }
    }

    pub(super) fn remove(&mut self, leg: &Leg) -> Option<Source> {
        let at = self.at(leg)?;
        let removed = self.list.swap_remove(at);
        if let Some(places) = &mut self.places {
            places.remove(&Name::of(leg));
            if let Some(moved) = self.list.get(at) {
                places.insert(Name::of(&moved.leg), at);
            }
        }
        self.give_back();
        Some(removed)
    }

    pub(super) fn take(&mut self) -> Vec<Source> {
        mem::take(self).list
    }

    /// Many may have been there and are gone: so is what they took.
    fn give_back(&mut self) {
        if self.list.len() < MANY / 2 {
            self.places = None;
        }
        if self.list.len() < self.list.capacity() / 4 && self.list.capacity() > MANY {
            self.list.shrink_to(self.list.len() * 2);
            if let Some(places) = &mut self.places {
                places.shrink_to(self.list.len() * 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use libchan_proto::Attach;

    use super::*;
    use crate::chan::Chan;
    use crate::session::{loopback, steps};

    /// `count` senders go to a peer; each has news, a receive looks, and each of them leaves.
    fn work(count: usize) -> u64 {
        let (session, chan) = (loopback::with_silent_peer(), Chan::<u32>::new(64));
        chan.count_sender();
        chan.count_receiver();
        let mut keys = Vec::new();
        for _ in 0..count {
            match chan.bind_sender(&session) {
                Ok(Attach::Channel(key)) => keys.push(key),
                other => panic!("{other:?} instead of a channel"),
            }
        }
        steps::take();
        for key in &keys {
            chan.ready(*key, &session);
            assert!(chan.try_recv().is_err());
        }
        for key in keys {
            chan.session_over(key, &session);
            chan.unbind(&Leg { session: session.clone(), key });
        }
        assert!(chan.lock().legs.is_none() || chan.lock().legs.sources().is_empty());
        steps::take()
    }

    #[tokio::test]
    async fn many_sources_are_no_more_work_each_than_few() {
        let (few, many) = (work(500), work(5_000));
        assert!(many <= 11 * few, "{few} steps for 500, {many} for 5,000");
    }
}
