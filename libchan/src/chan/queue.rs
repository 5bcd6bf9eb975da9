//! The queue of one channel: messages that were accepted, and sends that wait for room.
//!
//! One structure covers every capacity. A waiting send leaves its value here, so that a receiver takes it without
//! a round trip through the sender's task; for a rendezvous (capacity 0) nothing is ever accepted before it is
//! taken, so a receiver takes straight from the waiting sends. Nothing here locks, wakes or encodes: the channel
//! does, and wakers are handed out for the caller to wake after it has unlocked.

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

use super::waiters::Wakes;
use crate::error::{Closed, SendFailure};
use crate::parcel::Parcel;

/// A message that waits: as it was sent, or as it is on the wire.
pub(crate) enum Slot<T> {
    Value(T),
    Wire(Box<Parcel>),
}

/// What a waiting send holds.
enum Offer<T> {
    /// The value waits to be accepted or taken.
    Value(T),
    /// No value yet: `reserve` waits for room.
    Reserve,
    /// The pump has borrowed the value to encode it.
    Encoding,
    /// The encoded value is with a remote receiver, which has not taken it.
    Out(T),
    /// It failed for good; the send collects its value. Boxed: a waiting send is moved often and fails rarely.
    Failed(Box<(T, SendFailure)>),
    /// Its send was dropped after the message had left.
    Abandoned,
}

struct Waiting<T> {
    id: u64,
    offer: Offer<T>,
    waker: Option<Waker>,
}

/// How a waiting send stands.
pub(crate) enum Standing<T> {
    /// Accepted (capacity 0: taken); for `reserve`: room is kept.
    Done,
    Waits,
    Failed(T, SendFailure),
}

pub(crate) struct Queue<T> {
    accepted: VecDeque<Slot<T>>,
    waiting: VecDeque<Waiting<T>>,
    next_id: u64,
    /// Room that permits hold.
    reserved: u32,
    /// How many of `accepted` came from remote senders: their room is counted where they were sent.
    absorbed: u32,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { accepted: VecDeque::new(), waiting: VecDeque::new(), next_id: 0, reserved: 0, absorbed: 0 }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn accepted_len(&self) -> usize {
        self.accepted.len()
    }

    pub(crate) fn reserved(&self) -> u32 {
        self.reserved
    }

    pub(crate) fn absorbed(&self) -> u32 {
        self.absorbed
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a send would be accepted now; `outside` messages of this channel are elsewhere and not taken.
    #[inline]
    pub(crate) fn has_room(&self, capacity: u32, outside: u32) -> bool {
        self.waiting.is_empty() && self.free(capacity, outside)
    }

    #[inline]
    fn free(&self, capacity: u32, outside: u32) -> bool {
        let here = self.accepted.len() as u64 - u64::from(self.absorbed) + u64::from(self.reserved);
        here + u64::from(outside) < u64::from(capacity)
    }

    pub(crate) fn accept(&mut self, slot: Slot<T>) {
        self.absorbed += u32::from(is_absorbed(&slot));
        self.accepted.push_back(slot);
    }

    /// Accepts the value that is in `place`.
    #[inline]
    pub(crate) fn accept_from(&mut self, place: &mut Option<T>) {
        if let Some(value) = place.take() {
            self.accepted.push_back(Slot::Value(value));
        }
    }

    /// Puts back what a receiver did not take.
    pub(crate) fn put_back(&mut self, slot: Slot<T>) {
        self.absorbed += u32::from(is_absorbed(&slot));
        self.accepted.push_front(slot);
    }

    /// A send that found no room leaves its value; the answer names it.
    pub(crate) fn offer(&mut self, value: T) -> u64 {
        self.enqueue(Offer::Value(value))
    }

    /// The same for a send whose value is in `place`, and that leaves its waker at once.
    #[inline]
    pub(crate) fn offer_from(&mut self, place: &mut Option<T>, waker: &Waker) -> u64 {
        let id = self.next_id;
        if let Some(value) = place.take() {
            self.next_id += 1;
            self.waiting.push_back(Waiting { id, offer: Offer::Value(value), waker: Some(waker.clone()) });
        }
        id
    }

    /// A `reserve` that found no room.
    pub(crate) fn wait_for_room(&mut self) -> u64 {
        self.enqueue(Offer::Reserve)
    }

    fn enqueue(&mut self, offer: Offer<T>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Waiting { id, offer, waker: None });
        id
    }

    pub(crate) fn reserve(&mut self) {
        self.reserved += 1;
    }

    pub(crate) fn unreserve(&mut self) {
        self.reserved -= 1;
    }

    /// Takes the next accepted message.
    pub(crate) fn pop(&mut self) -> Option<Slot<T>> {
        let slot = self.accepted.pop_front()?;
        self.absorbed -= u32::from(is_absorbed(&slot));
        Some(slot)
    }

    /// Takes the next value if that concerns nobody but the send it completes, whose waker comes with it.
    #[inline]
    pub(crate) fn pop_value(&mut self, capacity: u32) -> Option<(T, Option<Waker>)> {
        let Some(first) = self.waiting.front() else {
            return self.pop_accepted().map(|value| (value, None));
        };
        if !matches!(first.offer, Offer::Value(_)) {
            return None;
        }
        if !self.accepted.is_empty() {
            let value = self.pop_accepted()?;
            return Some((value, self.admit_first(capacity)));
        }
        if capacity > 0 {
            return None;
        }
        let waiting = self.waiting.pop_front()?;
        match waiting.offer {
            Offer::Value(value) => Some((value, waiting.waker)),
            _ => None,
        }
    }

    /// Takes the next accepted message if it is a value.
    #[inline]
    fn pop_accepted(&mut self) -> Option<T> {
        if !matches!(self.accepted.front(), Some(Slot::Value(_))) {
            return None;
        }
        match self.accepted.pop_front()? {
            Slot::Value(value) => Some(value),
            Slot::Wire(_) => None,
        }
    }

    /// Accepts the first waiting send, which has a value, if there is room: what one taken message can give.
    fn admit_first(&mut self, capacity: u32) -> Option<Waker> {
        if !self.free(capacity, 0) {
            return None;
        }
        let waiting = self.waiting.pop_front()?;
        if let Offer::Value(value) = waiting.offer {
            self.accepted.push_back(Slot::Value(value));
        }
        waiting.waker
    }

    /// Takes the value of the first waiting send and completes that send: capacity 0 only.
    pub(crate) fn take_offered(&mut self, wakes: &mut Wakes) -> Option<T> {
        let at = self.waiting.iter().position(|waiting| matches!(waiting.offer, Offer::Value(_)))?;
        let waiting = self.waiting.remove(at)?;
        wakes.push(waiting.waker);
        match waiting.offer {
            Offer::Value(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn has_offered(&self) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting.offer, Offer::Value(_)))
    }

    /// Accepts waiting sends while there is room.
    pub(crate) fn admit(&mut self, capacity: u32, outside: u32, wakes: &mut Wakes) {
        while !self.waiting.is_empty() && self.free(capacity, outside) {
            let Some(waiting) = self.waiting.pop_front() else { return };
            wakes.push(waiting.waker);
            match waiting.offer {
                Offer::Value(value) => self.accepted.push_back(Slot::Value(value)),
                Offer::Reserve => self.reserved += 1,
                _ => {}
            }
        }
    }

    /// Capacity 0: a receiver waits, so the first `reserve`, if nothing was offered before it, gets its permit.
    pub(crate) fn admit_reserve(&mut self, wakes: &mut Wakes) -> bool {
        let first = self.waiting.iter().position(|w| matches!(w.offer, Offer::Value(_) | Offer::Reserve));
        let Some(at) = first.filter(|&at| matches!(self.waiting[at].offer, Offer::Reserve)) else {
            return false;
        };
        if let Some(waiting) = self.waiting.remove(at) {
            wakes.push(waiting.waker);
        }
        self.reserved += 1;
        true
    }

    // ---- a rendezvous with a remote receiver: the value stays here until it was taken

    /// Borrows the first offered value for encoding.
    pub(crate) fn lend(&mut self) -> Option<(u64, T)> {
        let waiting = self.waiting.iter_mut().find(|waiting| matches!(waiting.offer, Offer::Value(_)))?;
        match mem::replace(&mut waiting.offer, Offer::Encoding) {
            Offer::Value(value) => Some((waiting.id, value)),
            other => {
                waiting.offer = other;
                None
            }
        }
    }

    /// Gives a lent value back: it has left (`sent`), or it waits as before. Returns it if its send was dropped.
    pub(crate) fn give_back(&mut self, id: u64, value: T, sent: bool) -> Option<T> {
        let Some(waiting) = self.find(id) else { return Some(value) };
        match waiting.offer {
            Offer::Abandoned if !sent => {
                self.remove(id);
                Some(value)
            }
            Offer::Abandoned => Some(value),
            _ => {
                waiting.offer = if sent { Offer::Out(value) } else { Offer::Value(value) };
                None
            }
        }
    }

    /// The lent value cannot be sent at all. Returns whom to wake, and the value if its send was dropped.
    pub(crate) fn fail(&mut self, id: u64, value: T, why: SendFailure) -> (Option<Waker>, Option<T>) {
        let Some(waiting) = self.find(id) else { return (None, Some(value)) };
        if matches!(waiting.offer, Offer::Abandoned) {
            self.remove(id);
            return (None, Some(value));
        }
        waiting.offer = Offer::Failed(Box::new((value, why)));
        (waiting.waker.take(), None)
    }

    /// A remote receiver has taken the message: its send is complete. Returns whom to wake, and the retained value, to
    /// be dropped.
    pub(crate) fn complete(&mut self, id: u64) -> (Option<Waker>, Option<T>) {
        let Some(waiting) = self.remove(id) else { return (None, None) };
        match waiting.offer {
            Offer::Out(value) => (waiting.waker, Some(value)),
            _ => (waiting.waker, None),
        }
    }

    /// A remote receiver left without taking the message. `lost`: nobody knows whether it was taken. Returns whom to
    /// wake.
    pub(crate) fn returned(&mut self, id: u64, lost: bool) -> Option<Waker> {
        let waiting = self.find(id)?;
        match mem::replace(&mut waiting.offer, Offer::Abandoned) {
            Offer::Out(value) if lost => {
                let why = SendFailure::Disconnected { outcome_unknown: true };
                waiting.offer = Offer::Failed(Box::new((value, why)));
                return waiting.waker.take();
            }
            Offer::Out(value) => waiting.offer = Offer::Value(value),
            Offer::Abandoned => {
                self.remove(id);
            }
            other => waiting.offer = other,
        }
        None
    }

    // ---- the sends themselves

    /// Whether the send `id` still waits, or has yet to collect what became of it.
    #[inline]
    pub(crate) fn has(&mut self, id: u64) -> bool {
        self.find(id).is_some()
    }

    /// How the waiting send `id` stands; leaves its waker if it waits on. `refused` ends it.
    pub(crate) fn poll(&mut self, id: u64, waker: &Waker, refused: Option<SendFailure>) -> Standing<T> {
        let Some(waiting) = self.find(id) else { return Standing::Done };
        // A message that has left before the channel was closed may yet be taken: only a refusal decides it here.
        let closed = matches!(refused, Some(SendFailure::Closed(Closed::BySender)));
        let undecided = closed && matches!(waiting.offer, Offer::Out(_));
        let refused = refused.filter(|_| !undecided);
        if matches!(waiting.offer, Offer::Failed(_)) || (refused.is_some() && has_value(&waiting.offer)) {
            let Some(waiting) = self.remove(id) else { return Standing::Done };
            return match (waiting.offer, refused) {
                (Offer::Failed(failed), _) => Standing::Failed(failed.0, failed.1),
                (Offer::Value(value) | Offer::Out(value), Some(why)) => Standing::Failed(value, why),
                _ => Standing::Done,
            };
        }
        match &mut waiting.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Standing::Waits
    }

    /// How a waiting `reserve` stands: `None` if it waits, else whether its room is kept.
    pub(crate) fn poll_reserve(&mut self, id: u64, waker: &Waker, refused: bool) -> Option<bool> {
        let Some(waiting) = self.find(id) else { return Some(true) };
        if refused {
            self.remove(id);
            return Some(false);
        }
        waiting.waker = Some(waker.clone());
        None
    }

    /// The send or reserve `id` is dropped. `Err`: it had been completed already.
    pub(crate) fn withdraw(&mut self, id: u64) -> Result<Option<T>, ()> {
        let waiting = self.find(id).ok_or(())?;
        match mem::replace(&mut waiting.offer, Offer::Abandoned) {
            // The message has left, or is about to: what becomes of it is decided elsewhere.
            Offer::Encoding | Offer::Abandoned => Ok(None),
            Offer::Out(value) => {
                waiting.waker = None;
                Ok(Some(value))
            }
            Offer::Value(value) => {
                self.remove(id);
                Ok(Some(value))
            }
            Offer::Failed(failed) => {
                self.remove(id);
                Ok(Some(failed.0))
            }
            Offer::Reserve => {
                self.remove(id);
                Ok(None)
            }
        }
    }

    /// Wakes every waiting send, because the channel is refused: each collects its own value.
    pub(crate) fn wake_all(&mut self, wakes: &mut Wakes) {
        for waiting in &mut self.waiting {
            wakes.push(waiting.waker.take());
        }
    }

    /// Empties the queue of accepted messages, for the caller to drop outside its lock.
    pub(crate) fn drain(&mut self) -> VecDeque<Slot<T>> {
        self.absorbed = 0;
        mem::take(&mut self.accepted)
    }

    #[inline]
    fn find(&mut self, id: u64) -> Option<&mut Waiting<T>> {
        // Ids ascend. Nearly always the first is asked for, or one before it, which is done.
        let at = match self.waiting.front()?.id {
            first if first > id => return None,
            first if first == id => 0,
            _ => self.waiting.binary_search_by_key(&id, |waiting| waiting.id).ok()?,
        };
        self.waiting.get_mut(at)
    }

    fn remove(&mut self, id: u64) -> Option<Waiting<T>> {
        let at = self.waiting.binary_search_by_key(&id, |waiting| waiting.id).ok()?;
        self.waiting.remove(at)
    }
}

fn is_absorbed<T>(slot: &Slot<T>) -> bool {
    matches!(slot, Slot::Wire(parcel) if parcel.from.is_some())
}

fn has_value<T>(offer: &Offer<T>) -> bool {
    matches!(offer, Offer::Value(_) | Offer::Out(_))
}
