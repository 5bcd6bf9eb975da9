//! What a channel's lock protects, and the guard that wakes nobody before the lock is released.

use std::ops::{Deref, DerefMut};

use super::in_hand::{Dormant, Starts};
use super::legs::{Legs, Pumping, Sink, Source};
use super::queue::Queue;
pub(super) use super::standing::End;
use super::standing::{Refused, Standing};
use crate::cut::{Cause, Cut};
use crate::error::{Closed, SendFailure};
use crate::parcel::Origin;
use crate::session::Leg;
use crate::sync::MutexGuard;
use crate::waiters::{Waiters, Wakes};

pub(super) struct State<T> {
    local: Option<Box<Local<T>>>,
    pub(super) legs: Legs,
}

/// Why the channel ended or is to end, where there is more to say than one word.
#[derive(Default)]
struct Causes {
    /// Of [`End::Error`]; before the end, the first fault of a sender.
    fault: Option<Cause>,
    refusal: Option<Closed>,
    /// What the receiver behind a leg said that left before the handle that was sent to it was gone from here.
    left: Option<(Leg, Closed)>,
}

/// What waits in this process.
pub(super) struct Local<T> {
    pub(super) queue: Queue<T>,
    /// `recv` calls that wait.
    pub(super) receivers: Waiters,
    /// Calls of `closed` that wait.
    pub(super) watchers: Waiters,
    /// A receiver that has left after it took the message that the pump is about to note.
    pub(super) early: Option<Leg>,
    causes: Option<Box<Causes>>,
}

impl<T> Local<T> {
    /// Out of line: once a channel.
    #[cold]
    #[inline(never)]
    fn boxed() -> Box<Self> {
        Box::new(Self {
            queue: Queue::new(),
            receivers: Waiters::new(),
            watchers: Waiters::new(),
            early: None,
            causes: None,
        })
    }
}

impl<T> State<T> {
    pub(super) fn new(end: End) -> Self {
        let mut state = Self { local: None, legs: Legs::default() };
        state.set_end(end);
        state
    }

    #[inline]
    pub(super) fn local(&mut self) -> &mut Local<T> {
        self.local.get_or_insert_with(Local::boxed)
    }

    pub(super) fn local_ref(&self) -> Option<&Local<T>> {
        self.local.as_deref()
    }

    pub(super) fn local_mut(&mut self) -> Option<&mut Local<T>> {
        self.local.as_deref_mut()
    }

    pub(super) fn has_queued(&self) -> bool {
        self.local.as_ref().is_some_and(|local| !local.queue.is_empty())
    }

    pub(super) fn has_offered(&self) -> bool {
        self.local.as_ref().is_some_and(|local| local.queue.has_offered())
    }

    /// Whether sends or reserves wait for room.
    pub(super) fn has_waiting(&self) -> bool {
        self.local.as_ref().is_some_and(|local| local.queue.has_waiting())
    }

    /// Whether a receiver may find something in the queue.
    pub(super) fn may_be_taken(&self, capacity: u32) -> bool {
        self.local.as_ref().is_some_and(|local| local.queue.may_be_taken(capacity))
    }

    pub(super) fn accepted_len(&self) -> usize {
        self.local.as_ref().map_or(0, |local| local.queue.accepted_len())
    }

    pub(super) fn reserved(&self) -> u32 {
        self.local.as_ref().map_or(0, |local| local.queue.reserved())
    }

    /// How many accepted messages came from remote senders, where their room is counted.
    pub(super) fn absorbed(&self) -> u32 {
        self.local.as_ref().map_or(0, |local| local.queue.absorbed())
    }

    /// How many `recv` calls wait in the channel's line.
    pub(super) fn waiting_receivers(&self) -> usize {
        self.local.as_ref().map_or(0, |local| local.receivers.len())
    }

    /// One source, which has not ended, and nothing and nobody that waits here.
    pub(super) fn is_plain(&self) -> bool {
        let idle = |local: &Local<T>| local.queue.is_empty() && local.receivers.len() == 0;
        self.legs.has_sole_source()
            && self.end() == End::Open
            && !self.is_refused()
            && self.local.as_deref().is_none_or(idle)
    }

    /// The usual end of the last sender: with one receiver, which is elsewhere, and nothing that waits. The leg to it is to be
    /// closed.
    pub(super) fn end_plain_sink(&mut self) -> Option<Sink> {
        let usual = self.legs.standing.is_sound() && self.is_idle() && self.is_quiet();
        let sink = if usual { self.legs.take_plain_sink()? } else { return None };
        self.set_end(End::Clean);
        Some(sink)
    }

    /// The usual end of the last receiver: with one sender, which is elsewhere, and nothing that waits here. The leg to it is to
    /// be cancelled.
    pub(super) fn refuse_plain_source(&mut self) -> Option<Source> {
        let usual = self.legs.standing.is_sound() && self.is_idle() && self.is_quiet();
        let source = if usual { self.legs.take_sole_source()? } else { return None };
        self.legs.standing.refuse(Refused::Dropped);
        Some(source)
    }

    /// Nobody waits here for anything.
    fn is_quiet(&self) -> bool {
        self.local.as_deref().is_none_or(|local| {
            !local.queue.has_calls() && local.receivers.len() == 0 && local.watchers.len() == 0
        })
    }

    /// Nothing waits here, and nothing is being moved.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_queued() && self.reserved() == 0 && self.legs.pumping == Pumping::No
    }

    pub(super) fn has_sinks(&self) -> bool {
        !self.legs.sinks().is_empty()
    }

    pub(super) fn has_sources(&self) -> bool {
        !self.legs.sources().is_empty()
    }

    /// Whether messages come only for receivers that wait: the channel's receivers compete with some elsewhere.
    pub(super) fn is_served_on_demand(&self) -> bool {
        // Several sources are of one kind: with capacity 0 all are, else a sole one may be.
        self.legs.sources().first().is_some_and(|source| source.on_demand)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_refused() && matches!(self.end(), End::Open | End::Tentative)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.legs.standing.refused().is_some()
    }

    /// How the sending side stands.
    #[inline]
    pub(super) fn end(&self) -> End {
        self.legs.standing.end()
    }

    pub(super) fn set_end(&mut self, end: End) {
        self.legs.standing.set_end(end);
    }

    /// A sender did not end cleanly: said when the other senders have ended. The first fault stands.
    pub(super) fn note_fault(&mut self, fault: Cause) {
        if matches!(self.end(), End::Open | End::Tentative) && !self.has_fault() {
            self.legs.standing.set(Standing::FAULT);
            self.causes().fault = Some(fault);
        }
    }

    fn has_fault(&self) -> bool {
        self.legs.standing.has(Standing::FAULT)
    }

    /// The last sender is gone.
    pub(super) fn end_senders(&mut self) {
        self.set_end(if self.has_fault() { End::Error } else { End::Clean });
    }

    /// The receiver behind `leg` has left because of `why`, and receivers are here yet: it may be that one of them is the handle
    /// that was sent to it.
    pub(super) fn note_left(&mut self, leg: Leg, why: Closed) {
        if why != Closed::Dropped {
            self.causes().left = Some((leg, why));
        }
    }

    /// Why the receiver behind `leg` has left, if it has done so already.
    pub(super) fn take_left(&mut self, leg: &Leg) -> Option<Closed> {
        self.causes_ref()?.left.as_ref().filter(|(left, _)| left.is(leg))?;
        self.causes().left.take().map(|(_, why)| why)
    }

    /// A receiver was lost with its link: said when the other receivers have gone.
    pub(super) fn lose_receiver(&mut self) {
        self.legs.standing.lose_receiver();
    }

    pub(super) fn has_lost_receiver(&self) -> bool {
        self.legs.standing.has_lost_receiver()
    }

    /// The channel as a whole is closed, not merely its last sender gone.
    pub(super) fn close_whole(&mut self) {
        self.legs.standing.set(Standing::WHOLE);
    }

    pub(super) fn is_closed_whole(&self) -> bool {
        self.legs.standing.has(Standing::WHOLE)
    }

    fn causes(&mut self) -> &mut Causes {
        self.local().causes.get_or_insert_default()
    }

    fn causes_ref(&self) -> Option<&Causes> {
        self.local.as_ref()?.causes.as_deref()
    }

    /// Why the channel ended, of [`End::Error`].
    pub(super) fn error(&self) -> Option<&Cause> {
        self.causes_ref()?.fault.as_ref()
    }

    /// The channel has ended because of `error`.
    pub(super) fn set_error(&mut self, error: Cause) {
        self.set_end(End::Error);
        self.causes().fault = Some(error);
    }

    /// Why nothing more is taken, if so.
    pub(super) fn refusal(&self) -> Option<Closed> {
        Some(match self.legs.standing.refused()? {
            Refused::Dropped => Closed::Dropped,
            Refused::BySender => Closed::BySender,
            Refused::Lost | Refused::Because => {
                let said = self.causes_ref().and_then(|causes| causes.refusal.clone());
                said.unwrap_or(Closed::Dropped)
            }
        })
    }

    /// Nothing more is taken. The first reason stands.
    pub(super) fn refuse(&mut self, why: Closed) {
        if self.is_refused() {
            return;
        }
        let refused = match why {
            Closed::Dropped => Refused::Dropped,
            Closed::BySender => Refused::BySender,
            Closed::Disconnected(_) | Closed::SessionClosed(_) => {
                self.causes().refusal = Some(why);
                Refused::Lost
            }
            Closed::Refused(_) => {
                self.causes().refusal = Some(why);
                Refused::Because
            }
        };
        self.legs.standing.refuse(refused);
    }

    /// What is to be said of the ends in messages that nobody takes, now that the channel is refused.
    pub(super) fn undelivered(&self) -> Cause {
        self.refusal().map_or_else(|| Cut::NotDelivered.cause(), |why| Cause::undelivered(&why))
    }

    pub(super) fn check_open(&self) -> Result<(), Closed> {
        match (self.refusal(), self.end()) {
            (Some(closed), _) => Err(closed),
            (None, End::Open | End::Tentative) => Ok(()),
            (None, End::Clean | End::Error) => Err(match self.error() {
                Some(loss) if loss.is_loss() => loss.clone().into_closed(),
                _ => Closed::BySender,
            }),
        }
    }

    /// Why a send fails, if it does.
    pub(super) fn send_failure(&self) -> Option<SendFailure> {
        self.check_open().err().map(SendFailure::from)
    }

    /// How many messages count against the room here that are not in the queue: those of a sole remote receiver, and the one
    /// that the pump has in its hand. (Until it notes that it has sent it, that one counts twice: no more is let in for that.)
    pub(super) fn outside(&self) -> u32 {
        let untaken = match self.legs.sinks().first() {
            Some(sink) if sink.sole => sink.leg.untaken(),
            _ => 0,
        };
        untaken + u32::from(self.legs.pumping == Pumping::Carrying)
    }

    /// Gives credit back where a message came from, unless that source is gone.
    pub(super) fn report(&self, from: &Origin, messages: u32, charge: u32) {
        if self.legs.source_at(&from.leg).is_some() {
            from.leg.taken(messages, charge);
        }
    }
}

/// A channel's state under its lock, and whom to wake once that is released.
pub(super) struct Locked<'a, T> {
    // Dropped in this order: nobody is woken under the lock.
    state: MutexGuard<'a, State<T>>,
    wakes: Wakes,
    starts: Starts,
}

impl<'a, T> Locked<'a, T> {
    pub(super) fn wake(&mut self, waker: Option<std::task::Waker>) {
        self.wakes.push(waker);
    }

    /// Streams and descriptors of a message that was taken are begun once the lock is released.
    pub(super) fn start(&mut self, dormant: Option<Box<Dormant>>) {
        self.starts.push(dormant);
    }

    /// What waits here, if anything ever did, and where to note whom to wake.
    pub(super) fn parts(&mut self) -> Option<(&mut Local<T>, &mut Wakes)> {
        self.state.local.as_deref_mut().map(|local| (local, &mut self.wakes))
    }

    /// Wakes the first receiver in line.
    pub(super) fn wake_receiver(&mut self) {
        let first = self.state.local.as_mut().and_then(|local| local.receivers.notify_one());
        self.wakes.push(first);
    }

    /// Wakes every receiver in this process: the shape of the channel has changed.
    pub(super) fn wake_receivers(&mut self) {
        if let Some(local) = &mut self.state.local {
            local.receivers.notify_all(&mut self.wakes);
        }
    }

    /// Nobody moves messages to the sinks any more. The end may have waited for that.
    pub(super) fn stop_pumping(&mut self) {
        self.state.legs.pumping = Pumping::No;
        if self.state.end() != End::Open {
            self.wake_receivers();
        }
    }

    /// Wakes every call that waits for the channel to take more, or no more.
    pub(super) fn wake_senders(&mut self) {
        if let Some(local) = &mut self.state.local {
            local.queue.wake_all(&mut self.wakes);
            local.watchers.notify_all(&mut self.wakes);
        }
    }

    /// Keeps room for waiting calls while there is any.
    pub(super) fn grant(&mut self, capacity: u32) {
        if self.state.has_waiting() && self.state.is_open() {
            let outside = self.state.outside();
            if let Some(local) = self.state.local.as_deref_mut() {
                local.queue.grant(capacity, outside, &mut self.wakes);
            }
        }
    }
}

impl<'a, T> From<MutexGuard<'a, State<T>>> for Locked<'a, T> {
    #[inline]
    fn from(state: MutexGuard<'a, State<T>>) -> Self {
        Self { state, wakes: Wakes::default(), starts: Starts::default() }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = State<T>;

    fn deref(&self) -> &State<T> {
        &self.state
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut State<T> {
        &mut self.state
    }
}
