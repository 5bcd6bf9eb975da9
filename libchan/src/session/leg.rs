//! `Leg`: one entry of a session's machine, as the channel that stands on it sees it.

use std::sync::Arc;
use std::task::Waker;

use libchan_proto::{Blocked, Inbox, Key, Outgoing, Reason, RecvStatus, Scope, SendStatus, TakeLone, code};

use super::any_chan::AnyChan;
use super::port::{LentPort, Parked, Port};
use super::shared::{Refill, Shared, State};
use super::stream::SessionStream;
use crate::cut::Cause;
use crate::error::Closed;
use crate::fd::Fd;
use crate::spare;
use crate::stream::RemoteStream;

/// An entry in a session.
#[derive(Clone)]
pub(crate) struct Leg {
    pub(crate) session: Arc<Shared>,
    pub(crate) key: Key,
}

impl Leg {
    pub(crate) fn is(&self, other: &Self) -> bool {
        #[cfg(test)]
        steps::one();
        self.key == other.key && Arc::ptr_eq(&self.session, &other.session)
    }

    /// The channel `port` stands on the entry from now on. True: its receiver is gone already.
    pub(crate) fn adopt(&self, port: Arc<dyn AnyChan>) -> bool {
        let mut state = self.session.lock();
        state.ports.set_chan(self.key, port);
        state.machine.is_cancelled(self.key)
    }

    // ---- sending

    /// Sends past the queue, on the caller's thread if that is right.
    pub(crate) fn send(&self, message: Outgoing<'_>) -> Result<(), Blocked> {
        let mut state = self.session.lock();
        state.lend_buffer();
        state.machine.try_send(self.key, message)?;
        self.session.after_send(state, Some(self.key));
        Ok(())
    }

    /// The same for a small message that carries nothing.
    pub(crate) fn send_plain(&self, codec: u8, payload: &[u8]) -> Result<(), Blocked> {
        let mut state = self.session.lock();
        state.lend_buffer();
        state.machine.try_send_plain(self.key, codec, payload)?;
        self.session.after_send(state, Some(self.key));
        Ok(())
    }

    /// The same for the pump, which holds the backlog.
    pub(crate) fn send_backlog(&self, message: Outgoing<'_>) -> Result<(), Blocked> {
        let mut state = self.session.lock();
        state.machine.send_backlog(self.key, message)?;
        self.session.after_send(state, None);
        Ok(())
    }

    pub(crate) fn set_backlog(&self, on: bool) {
        self.session.lock().machine.set_backlog(self.key, on);
    }

    pub(crate) fn set_sole(&self, sole: bool) {
        self.session.lock().machine.set_sole(self.key, sole);
    }

    /// From here on every message is told when it is taken, and none is sent past the queue. Returns how many are on
    /// their way untaken: in one turn of the lock, or the count would part from what is told.
    pub(crate) fn track_taken(&self) -> u32 {
        let mut state = self.session.lock();
        state.machine.set_backlog(self.key, true);
        state.machine.track_taken(self.key, true);
        state.machine.send_status(self.key).untaken
    }

    /// Asks for news when more may be sent.
    pub(crate) fn watch(&self) {
        self.session.lock().machine.watch(self.key);
    }

    pub(crate) fn send_status(&self) -> SendStatus {
        self.session.lock().machine.send_status(self.key)
    }

    pub(crate) fn untaken(&self) -> u32 {
        self.send_status().untaken
    }

    /// Keeps the entry until a message that names it has gone out. False: it is gone, or the peer does not know it.
    pub(crate) fn pin(&self) -> bool {
        self.session.lock().machine.pin(self.key)
    }

    /// The sending end says its last.
    pub(crate) fn close(&self, scope: Scope, reason: Option<Reason>) {
        let port = self.session.quiet(|state| {
            state.machine.close(self.key, scope, reason);
            state.forget(self.key)
        });
        drop(port);
    }

    // ---- receiving

    /// Whether the sender at the other end has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.lock().machine.recv_status(self.key).closed.is_some()
    }

    /// The receiving end says its last; what waits is dropped. What was taken and is `owed` is reported first: messages, and
    /// their charge. Returns the receive that waited at the port, for the caller to wake under no lock.
    pub(crate) fn cancel(
        &self,
        scope: Scope,
        why: Closed,
        owed: (u32, u32),
        spare: Option<Box<Inbox>>,
    ) -> Option<Waker> {
        let (port, descriptors) = self.session.quiet(|state| {
            if owed != (0, 0) {
                state.machine.taken(self.key, owed.0, owed.1);
            }
            let mut descriptors = Vec::new();
            let unread = state.machine.take_inbox(self.key, None);
            let unread =
                [spare, unread].map(|inbox| inbox.map(|inbox| state.discard(inbox, &why, &mut descriptors)));
            let [spare, unread] = unread;
            if let Some(inbox) = unread {
                state.machine.discard(self.key, inbox);
            }
            state.machine.cancel(self.key, scope, Cause::from(why).into_reason(), spare);
            (state.forget(self.key), descriptors)
        });
        drop(descriptors);
        match port {
            Port::Chan { parked, .. } => parked,
            _ => None,
        }
    }

    /// Reports what was taken and asks for more, in one turn of the lock. With `wait`, a caller that finds nothing has the
    /// port from then on, and waits there under the name that is left. `rendezvous`: what nobody has taken when the link is
    /// lost is discarded.
    pub(crate) fn refill(
        &self,
        inbox: &mut Option<Box<Inbox>>,
        owed: &mut (u32, u32),
        rendezvous: bool,
        wait: Option<(&Waker, &mut Option<Parked>)>,
    ) -> Refill {
        #[cfg(test)]
        steps::one();
        let mut spare = inbox.take().or_else(spare::take);
        self.session.quiet(|state| {
            if *owed != (0, 0) {
                state.machine.taken(self.key, owed.0, owed.1);
                *owed = (0, 0);
            }
            if rendezvous && lost(&state.machine.recv_status(self.key)) {
                if let Some(inbox) = state.machine.take_inbox(self.key, spare.take()) {
                    state.machine.discard(self.key, inbox);
                }
            } else {
                *inbox = state.machine.take_inbox(self.key, spare.take());
            }
            let waiting = inbox.as_ref().map_or(0, |inbox| inbox.len());
            state.came_back(self.key, waiting > 1);
            if waiting > 0 {
                return Refill::Messages { starved: state.machine.sender_starved(self.key) };
            }
            if let Some(close) = state.machine.recv_status(self.key).closed {
                return Refill::Closed(close);
            }
            if let Some((waker, name)) = wait {
                state.machine.set_awaited(self.key, true);
                state.ports.lend(self.key);
                if let Some(port) = state.ports.lent(self.key, None) {
                    let (parked, was_active) = port.park(waker);
                    *name = Some(parked);
                    state.active -= u32::from(was_active);
                }
            }
            Refill::Empty
        })
    }

    /// Takes at the port if that is lent: the message that waits alone, reported as taken. Where nothing waits, the caller
    /// does, under the name that is left.
    #[inline]
    pub(crate) fn take_lent(&self, waker: &Waker, name: &mut Option<Parked>) -> TakeLone {
        let mut state = self.session.lock();
        let (found, said) = state.take_lone(self.key, waker, name);
        if said {
            self.session.after_command(state);
        }
        found
    }

    /// The same before it is lent, and lends it if the caller has a message or waits. What is `owed`, messages and their
    /// charge, is reported first.
    pub(crate) fn lend(&self, owed: (u32, u32), waker: &Waker, name: &mut Option<Parked>) -> TakeLone {
        self.session.quiet(|state| {
            if owed != (0, 0) {
                state.machine.taken(self.key, owed.0, owed.1);
            }
            state.ports.lend(self.key);
            let (found, _) = state.take_lone(self.key, waker, name);
            if matches!(found, TakeLone::Other) {
                state.ports.recall(self.key);
            }
            found
        })
    }

    /// How many messages have arrived and wait in the session.
    pub(crate) fn waiting(&self) -> usize {
        self.session.lock().machine.recv_status(self.key).waiting
    }

    /// Receivers take at the port no longer. Returns the one that waits there, to be woken: it goes to the channel.
    pub(crate) fn recall(&self) -> Option<Waker> {
        self.session.lock().ports.recall(self.key)
    }

    /// A receive that waits at the port is given up.
    pub(crate) fn unpark(&self, name: Parked) {
        self.session.quiet(|state| {
            if state.ports.lent(self.key, Some(name)).is_some_and(LentPort::leave) {
                state.machine.set_awaited(self.key, false);
            }
        });
    }

    pub(crate) fn taken(&self, messages: u32, charge: u32) {
        self.session.quiet(|state| state.machine.taken(self.key, messages, charge));
    }

    /// So many receivers wait.
    pub(crate) fn want(&self, waiting: u32) {
        self.session.quiet(|state| state.machine.want(self.key, waiting));
    }

    /// Whether somebody waits for the next message.
    pub(crate) fn set_awaited(&self, on: bool) {
        #[cfg(test)]
        steps::one();
        self.session.quiet(|state| state.machine.set_awaited(self.key, on));
    }

    // ---- streams and descriptors

    pub(crate) fn stream(&self) -> Arc<dyn RemoteStream> {
        SessionStream::attach(self.clone())
    }

    pub(crate) fn descriptor(&self) -> Fd {
        self.session.take_descriptor(self.key.slot).unwrap_or_else(Fd::unconnected)
    }
}

fn lost(status: &RecvStatus) -> bool {
    let reason = status.closed.as_ref().and_then(|close| close.reason.as_ref());
    reason.is_some_and(|reason| link_is_gone(reason.code))
}

/// Whether this is the end of an end whose session is over.
fn link_is_gone(code: u16) -> bool {
    matches!(code, code::DISCONNECTED | code::SESSION_CLOSED)
}

impl State {
    /// Empties an inbox that nobody reads any more: what is in its messages was not delivered. Descriptors are the caller's to
    /// close, under no lock.
    fn discard(&mut self, mut inbox: Box<Inbox>, why: &Closed, descriptors: &mut Vec<Fd>) -> Box<Inbox> {
        let mut reason = None;
        while let Some(message) = inbox.pop() {
            for &attachment in message.attachments {
                let reason = reason.get_or_insert_with(|| Cause::undelivered(why).into_reason());
                descriptors.extend(self.reject(attachment, reason.clone()));
            }
        }
        inbox
    }

    /// Takes the message that waits alone at a port that is lent, or leaves a waker under a name. True beside it: something
    /// may have to be written.
    #[inline]
    fn take_lone(&mut self, key: Key, waker: &Waker, name: &mut Option<Parked>) -> (TakeLone, bool) {
        let Some(port) = self.ports.lent(key, *name) else { return (TakeLone::Other, false) };
        let (found, said) = self.machine.take_lone(key);
        let was_active = match found {
            TakeLone::Taken(_) => {
                *name = None;
                port.took()
            }
            TakeLone::Nothing => {
                let (parked, was_active) = port.park(waker);
                *name = Some(parked);
                was_active
            }
            TakeLone::Other => false,
        };
        self.active -= u32::from(was_active);
        (found, said)
    }

    /// A receiver is back for more: its channel counts as drained unless it takes several messages with it.
    fn came_back(&mut self, key: Key, busy: bool) {
        if !busy && self.ports.came_back(key) {
            self.active -= 1;
        }
    }

    fn forget(&mut self, key: Key) -> Port {
        let port = self.ports.take(key);
        if matches!(port, Port::Chan { active: true, .. }) {
            self.active -= 1;
        }
        port
    }
}

/// How often legs are looked at one by one: what a channel with many of them must not do for each message.
#[cfg(test)]
pub(crate) mod steps {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn one() {
        COUNT.set(COUNT.get() + 1);
    }

    pub(crate) fn take() -> u64 {
        COUNT.take()
    }
}
