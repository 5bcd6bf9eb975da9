//! The queue of one channel: messages that were accepted, and sends that wait for room.
//!
//! One structure covers every capacity. A waiting send leaves its value here. When there is room it is *granted*: the room is
//! kept for it, and its value is accepted when the send is polled, for one that is dropped before that has sent nothing. For a
//! rendezvous (capacity 0) nothing is ever accepted before it is taken: a receiver takes straight from the waiting sends,
//! without a round trip through the sender's task. Nothing here locks, wakes or encodes: the channel does, and wakers are
//! handed out for the caller to wake after it has unlocked.

use std::mem;
use std::task::Waker;

use super::ring::{Place, Ring};
pub(crate) use super::slot::Slot;
use super::slot::{Held, fill};
use crate::cut::Cause;
use crate::error::{Closed, SendFailure};
use crate::parcel::Parcel;
use crate::session::Leg;
use crate::waiters::Wakes;

/// How far a waiting send is.
enum Stage {
    /// The value waits to be accepted or taken.
    Offered,
    /// The same, and it has been encoded: that is done once, however long there is no room.
    Encoded(Box<Parcel>),
    /// No value yet: `reserve` waits for room.
    Reserve,
    /// The pump has borrowed the value to encode it.
    Encoding,
    /// The encoded value is with a remote receiver, which has not taken it.
    Out,
    /// It failed for good; the send collects its value. Boxed, because it is rare.
    Failed(Box<SendFailure>),
    /// Its send was dropped after the message had left.
    Abandoned,
}

struct Waiting<T> {
    id: u64,
    stage: Stage,
    /// With `Offered`, `Encoded`, `Out` and `Failed`. Not in the stage, so that it need not be moved to get a tag.
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Place for Waiting<T> {
    const EMPTY: Self = Self { id: 0, stage: Stage::Reserve, value: None, waker: None };
}

impl<T> Waiting<T> {
    #[inline]
    fn is(&self, stage: &Stage) -> bool {
        mem::discriminant(&self.stage) == mem::discriminant(stage)
    }
}

/// How a waiting send stands.
pub(crate) enum Standing<T> {
    /// Accepted before (capacity 0: taken).
    Done,
    /// Accepted now. The value, if it went on in its encoded form, is to be dropped after unlocking.
    Accepted(Option<T>),
    Waits,
    Failed(T, SendFailure),
}

pub(crate) struct Queue<T> {
    accepted: Ring<Held<T>>,
    waiting: Ring<Waiting<T>>,
    next_id: u64,
    /// Room that permits hold, and granted sends.
    reserved: u32,
    /// How many of `waiting`, from the first on, are sends that room is kept for.
    granted: u32,
    /// How many of `accepted` came from remote senders: their room is counted where they were sent.
    absorbed: u32,
    /// What those of `accepted` take that are encoded, and from how much on nothing more is accepted.
    bytes: usize,
    byte_limit: usize,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            accepted: Ring::new(),
            waiting: Ring::new(),
            next_id: 0,
            reserved: 0,
            granted: 0,
            absorbed: 0,
            bytes: 0,
            byte_limit: usize::MAX,
        }
    }

    /// Nothing was accepted and nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.waiting.is_empty()
    }

    /// Whether a receiver may find something: a send that only has room kept for it is not yet there.
    #[inline]
    pub(crate) fn may_be_taken(&self, capacity: u32) -> bool {
        !self.accepted.is_empty() || (capacity == 0 && !self.waiting.is_empty())
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

    /// Whether sends or reserves wait for room.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.len() > self.granted as usize
    }

    /// Whether calls wait for anything, be it only to be polled.
    pub(crate) fn has_calls(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a send would be accepted now; `outside` messages of this channel are elsewhere and not taken.
    #[inline]
    pub(crate) fn has_room(&self, capacity: u32, outside: u32) -> bool {
        !self.has_waiting() && self.free(capacity, outside)
    }

    /// What waits is within the limit by bytes.
    #[inline]
    pub(crate) fn has_byte_room(&self) -> bool {
        self.bytes < self.byte_limit
    }

    /// What the accepted messages take that are encoded.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn set_byte_limit(&mut self, bytes: usize) {
        self.byte_limit = bytes;
    }

    #[inline]
    fn free(&self, capacity: u32, outside: u32) -> bool {
        let here = self.accepted.len() as u64 - u64::from(self.absorbed) + u64::from(self.reserved);
        here + u64::from(outside) < u64::from(capacity) && self.has_byte_room()
    }

    pub(crate) fn accept(&mut self, slot: Slot<T>) {
        self.absorbed += u32::from(slot.is_absorbed());
        self.bytes += slot.bytes();
        self.accepted.push().put(slot);
    }

    /// Accepts the value that is in `place`.
    #[inline]
    pub(crate) fn accept_from(&mut self, place: &mut Option<T>) {
        fill(&mut self.accepted.push().value, place);
    }

    /// The message that was accepted last, if it is encoded.
    pub(crate) fn last_parcel(&mut self) -> Option<&mut Parcel> {
        self.accepted.iter_mut().last()?.wire.as_deref_mut()
    }

    /// Puts back what a receiver did not take.
    pub(crate) fn put_back(&mut self, slot: Slot<T>) {
        self.absorbed += u32::from(slot.is_absorbed());
        self.bytes += slot.bytes();
        self.accepted.push_first().put(slot);
    }

    /// A send that found no room leaves its value; the answer names it.
    pub(crate) fn offer(&mut self, value: T) -> u64 {
        self.enqueue(Stage::Offered, &mut Some(value), None)
    }

    /// The same for a send whose value is in `place`, and that leaves its waker at once.
    #[inline]
    pub(crate) fn offer_from(&mut self, place: &mut Option<T>, waker: &Waker) -> u64 {
        self.enqueue(Stage::Offered, place, Some(waker.clone()))
    }

    /// The same with the value's encoding, which carries nothing: channel ends and streams would be held by it.
    pub(crate) fn offer_encoded(&mut self, value: T, parcel: Box<Parcel>) -> u64 {
        self.enqueue(Stage::Encoded(parcel), &mut Some(value), None)
    }

    /// A `reserve` that found no room.
    pub(crate) fn wait_for_room(&mut self) -> u64 {
        self.enqueue(Stage::Reserve, &mut None, None)
    }

    #[inline]
    fn enqueue(&mut self, stage: Stage, place: &mut Option<T>, waker: Option<Waker>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let waiting = self.waiting.push();
        waiting.id = id;
        waiting.stage = stage;
        fill(&mut waiting.value, place);
        waiting.waker = waker;
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
        let slot = self.accepted.first_mut()?.take()?;
        self.accepted.pop_emptied();
        self.absorbed -= u32::from(slot.is_absorbed());
        self.bytes -= slot.bytes();
        Some(slot)
    }

    /// Takes the next value into `to` if that concerns nobody but the send it completes, whose waker is the answer.
    #[inline]
    pub(crate) fn pop_value(&mut self, capacity: u32, to: &mut Option<T>) -> Option<Waker> {
        if capacity > 0 || !self.accepted.is_empty() {
            return if self.pop_held(to) && self.has_waiting() { self.grant_next(capacity, 0) } else { None };
        }
        let first = self.waiting.first_mut()?;
        if !matches!(first.stage, Stage::Offered) {
            return None;
        }
        fill(to, &mut first.value);
        let waker = first.waker.take();
        self.waiting.pop_emptied();
        waker
    }

    /// Takes the first accepted message into `to` if it is a value.
    #[inline]
    fn pop_held(&mut self, to: &mut Option<T>) -> bool {
        match self.accepted.first_place() {
            Some(held) if held.value.is_some() => fill(to, &mut held.value),
            _ => return false,
        }
        self.accepted.pop_emptied();
        true
    }

    /// Keeps room for the first call that waits for it, if there is any.
    fn grant_next(&mut self, capacity: u32, outside: u32) -> Option<Waker> {
        if !self.free(capacity, outside) {
            return None;
        }
        let at = self.granted as usize;
        let waiting = self.waiting.get_mut(at)?;
        self.reserved += 1;
        let waker = waiting.waker.take();
        if waiting.is(&Stage::Reserve) {
            // It has no value: the room is all it wanted.
            self.waiting.remove(at);
        } else {
            self.granted += 1;
        }
        waker
    }

    /// Accepts the send at `at`, which room is kept for. The value, if it goes on in its encoded form, is the answer.
    fn accept_granted(&mut self, at: usize) -> Option<T> {
        let mut waiting = self.remove_at(at)?;
        match waiting.stage {
            Stage::Encoded(parcel) => {
                self.accept(Slot::Wire(parcel));
                waiting.value
            }
            _ => {
                fill(&mut self.accepted.push().value, &mut waiting.value);
                None
            }
        }
    }

    /// Accepts the send `id` if room is kept for it and its value is here as it is.
    #[inline]
    pub(crate) fn accept_if_granted(&mut self, id: u64) -> bool {
        match self.waiting.first() {
            Some(first) if first.id == id && self.granted > 0 && first.is(&Stage::Offered) => {
                self.accept_granted(0);
                true
            }
            _ => false,
        }
    }

    /// Takes the value of the first waiting send and completes that send: capacity 0 only.
    pub(crate) fn take_offered(&mut self, wakes: &mut Wakes) -> Option<T> {
        let at = self.waiting.iter().position(|waiting| waiting.is(&Stage::Offered))?;
        let waiting = self.waiting.remove(at)?;
        wakes.push(waiting.waker);
        waiting.value
    }

    pub(crate) fn has_offered(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.is(&Stage::Offered))
    }

    /// Keeps room for waiting calls while there is any.
    pub(crate) fn grant(&mut self, capacity: u32, outside: u32, wakes: &mut Wakes) {
        while self.has_waiting() && self.free(capacity, outside) {
            wakes.push(self.grant_next(capacity, outside));
        }
    }

    /// Capacity 0: a receiver waits, so the first `reserve`, if nothing was offered before it, gets its permit.
    pub(crate) fn admit_reserve(&mut self, wakes: &mut Wakes) -> bool {
        let first = self.waiting.iter().position(|w| matches!(w.stage, Stage::Offered | Stage::Reserve));
        let Some(at) = first else { return false };
        if !self.waiting.get_mut(at).is_some_and(|waiting| waiting.is(&Stage::Reserve)) {
            return false;
        }
        if let Some(waiting) = self.waiting.remove(at) {
            wakes.push(waiting.waker);
        }
        self.reserved += 1;
        true
    }

    // ---- a rendezvous with a remote receiver: the value stays here until it was taken

    /// Borrows the first offered value for encoding.
    pub(crate) fn lend(&mut self) -> Option<(u64, T)> {
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.is(&Stage::Offered))?;
        let value = waiting.value.take()?;
        waiting.stage = Stage::Encoding;
        Some((waiting.id, value))
    }

    /// Gives a lent value back: it has left (`sent`), or it waits as before. Returns it if its send was dropped.
    pub(crate) fn give_back(&mut self, id: u64, value: T, sent: bool) -> Option<T> {
        let Some(waiting) = self.find(id) else { return Some(value) };
        if waiting.is(&Stage::Abandoned) {
            if !sent {
                self.remove(id);
            }
            return Some(value);
        }
        waiting.stage = if sent { Stage::Out } else { Stage::Offered };
        waiting.value = Some(value);
        None
    }

    /// The lent value cannot be sent at all. Returns whom to wake, and the value if its send was dropped.
    pub(crate) fn fail(&mut self, id: u64, value: T, why: SendFailure) -> (Option<Waker>, Option<T>) {
        let Some(waiting) = self.find(id) else { return (None, Some(value)) };
        if waiting.is(&Stage::Abandoned) {
            self.remove(id);
            return (None, Some(value));
        }
        waiting.stage = Stage::Failed(Box::new(why));
        waiting.value = Some(value);
        (waiting.waker.take(), None)
    }

    /// A remote receiver has taken the message: its send is complete. Returns whom to wake, and the retained value, to
    /// be dropped.
    pub(crate) fn complete(&mut self, id: u64) -> (Option<Waker>, Option<T>) {
        self.remove(id).map_or((None, None), |waiting| (waiting.waker, waiting.value))
    }

    /// A remote receiver left without taking the message. `lost`: nobody knows whether it was taken. Returns whom to
    /// wake.
    pub(crate) fn returned(&mut self, id: u64, lost: Option<Cause>) -> Option<Waker> {
        let waiting = self.find(id)?;
        match waiting.stage {
            Stage::Out => match lost {
                Some(cause) => {
                    let why = SendFailure::Disconnected { outcome_unknown: true, loss: cause.into_loss() };
                    waiting.stage = Stage::Failed(Box::new(why));
                    return waiting.waker.take();
                }
                None => waiting.stage = Stage::Offered,
            },
            Stage::Abandoned => {
                self.remove(id);
            }
            _ => {}
        }
        None
    }

    // ---- the sends themselves

    /// Every send with a lower number than this is done.
    #[inline]
    pub(crate) fn done_below(&self) -> u64 {
        self.waiting.first().map_or(self.next_id, |first| first.id)
    }

    /// How the waiting send `id` stands; leaves its waker if it waits on. `refused` ends it.
    pub(crate) fn poll(&mut self, id: u64, waker: &Waker, refused: Option<SendFailure>) -> Standing<T> {
        let Some(waiting) = self.find(id) else { return Standing::Done };
        // A message that has left before the channel was closed may yet be taken: only a refusal decides it here.
        let closed = matches!(refused, Some(SendFailure::Closed(Closed::BySender)));
        let undecided = closed && waiting.is(&Stage::Out);
        let refused = refused.filter(|_| !undecided);
        let failed = matches!(waiting.stage, Stage::Failed(_));
        if refused.is_none() && !failed && self.is_granted(id) {
            let at = self.waiting.find(&id, |waiting| waiting.id);
            return Standing::Accepted(at.and_then(|at| self.accept_granted(at)));
        }
        let Some(waiting) = self.find(id) else { return Standing::Done };
        if failed || (refused.is_some() && waiting.value.is_some()) {
            let Some(Waiting { stage, value: Some(value), .. }) = self.remove(id) else {
                return Standing::Done;
            };
            return match (stage, refused) {
                (Stage::Failed(why), _) => Standing::Failed(value, *why),
                (_, Some(why)) => Standing::Failed(value, why),
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
        match waiting.stage {
            // The message has left, or is about to: what becomes of it is decided elsewhere.
            Stage::Encoding | Stage::Abandoned => {
                waiting.stage = Stage::Abandoned;
                Ok(None)
            }
            Stage::Out => {
                waiting.stage = Stage::Abandoned;
                waiting.waker = None;
                Ok(waiting.value.take())
            }
            Stage::Offered | Stage::Encoded(_) | Stage::Failed(_) | Stage::Reserve => {
                Ok(self.remove(id).and_then(|waiting| waiting.value))
            }
        }
    }

    /// Wakes every waiting send, because the channel is refused: each collects its own value.
    pub(crate) fn wake_all(&mut self, wakes: &mut Wakes) {
        for waiting in self.waiting.iter_mut() {
            wakes.push(waiting.waker.take());
        }
    }

    /// Takes out what came by `leg` and was not taken, for the caller to drop outside its lock.
    pub(crate) fn take_from(&mut self, leg: &Leg) -> Vec<Slot<T>> {
        let came = |slot: &Slot<T>| matches!(slot, Slot::Wire(parcel) if parcel.from.as_ref().is_some_and(|from| from.leg.is(leg)));
        let (taken, kept): (Vec<_>, Vec<_>) = self.drain().into_iter().partition(came);
        kept.into_iter().for_each(|slot| self.accept(slot));
        taken
    }

    /// Empties the queue of accepted messages, for the caller to drop outside its lock.
    pub(crate) fn drain(&mut self) -> Vec<Slot<T>> {
        (self.absorbed, self.bytes) = (0, 0);
        let mut accepted = mem::replace(&mut self.accepted, Ring::new());
        accepted.iter_mut().filter_map(Held::take).collect()
    }

    #[inline]
    fn find(&mut self, id: u64) -> Option<&mut Waiting<T>> {
        // Ids ascend. Nearly always the first is asked for, or one before it, which is done.
        let at = match self.waiting.first()?.id {
            first if first > id => return None,
            first if first == id => 0,
            _ => self.waiting.find(&id, |waiting| waiting.id)?,
        };
        self.waiting.get_mut(at)
    }

    /// Whether room is kept for the send `id`.
    fn is_granted(&self, id: u64) -> bool {
        let Some(last) = self.granted.checked_sub(1) else { return false };
        self.waiting.get(last as usize).is_some_and(|last| id <= last.id)
    }

    fn remove(&mut self, id: u64) -> Option<Waiting<T>> {
        let at = self.waiting.find(&id, |waiting| waiting.id)?;
        self.remove_at(at)
    }

    /// Takes a call out; room that was kept for it is free.
    fn remove_at(&mut self, at: usize) -> Option<Waiting<T>> {
        if at < self.granted as usize {
            self.granted -= 1;
            self.reserved -= 1;
        }
        self.waiting.remove(at)
    }
}
