//! `AnyChan`: all that a session knows of a channel. Whoever stands on an entry of its machine implements it.

use std::any::Any;
use std::sync::Arc;

use libchan_proto::{Attach, Key};

use super::{Leg, Shared};
use crate::cut::Cause;
use crate::error::{Closed, SendFailure};

/// A channel without its type: what sessions and messages hold.
pub(crate) trait AnyChan: Send + Sync {
    fn count_sender(&self);
    fn count_receiver(&self);
    fn drop_sender(self: Arc<Self>);
    fn drop_receiver(self: Arc<Self>);
    /// A counted receiver is at the other end of the leg now, and no longer here.
    fn receiver_left(self: Arc<Self>, leg: &Leg);
    /// How many handles of this end are alive in this process.
    fn senders(&self) -> u32;
    fn receivers(&self) -> u32;
    fn capacity(&self) -> u32;
    /// Prepares the channel so that the peer of `session` gets a sender of it, under the key in the answer.
    fn bind_sender(self: Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure>;
    /// The same for a receiver. The caller's handle is the one that leaves.
    fn bind_receiver(self: Arc<Self>, session: &Arc<Shared>) -> Result<Attach, SendFailure>;
    /// The message that names a bound end has been sent.
    fn announced(self: Arc<Self>, leg: &Leg);
    /// The bound end will not be sent after all.
    fn unbind(self: Arc<Self>, leg: &Leg);
    /// A sender of it that was at a peer is here again, and counted.
    fn come_home(self: Arc<Self>);
    /// A claimed sender whose value has decoded: its messages go to `leg` from now on.
    fn adopt_sink(self: Arc<Self>, leg: Leg);
    /// A claimed receiver whose value has decoded.
    fn adopt_source(self: Arc<Self>, leg: Leg, on_demand: bool);
    /// The session has news of one of the channel's legs.
    fn ready(self: Arc<Self>, key: Key, session: &Arc<Shared>);
    /// `messages` of one of its legs were taken at the other side.
    fn taken(self: Arc<Self>, key: Key, session: &Arc<Shared>, messages: u32);
    /// The session closes: the leg ends cleanly once what was accepted has gone out.
    fn leave(self: Arc<Self>, key: Key, session: &Arc<Shared>);
    /// Nothing more is taken by the leg, which messages come in from: what was not taken comes back to its sender, who is told
    /// why. One whose sender has ended is left alone.
    fn give_up(self: Arc<Self>, key: Key, session: &Arc<Shared>, why: Cause);
    /// Whether messages that were accepted wait here to be sent.
    fn has_unsent(&self) -> bool;
    /// The session is over, and with it the leg.
    fn session_over(self: Arc<Self>, key: Key, session: &Arc<Shared>);
    /// Nobody takes anything from the channel any more.
    fn refuse_all(self: Arc<Self>, why: Closed);
    /// The channel ends with the session it was opened on.
    fn end(self: Arc<Self>, why: Cause);
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
