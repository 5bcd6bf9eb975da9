//! What the tests check the books with: the counters of every entry, as plain numbers. No part of the API.

use crate::Key;
use crate::entry::{Entry, Last};
use crate::frame::Opening;
use crate::machine::Machine;
use crate::output::Output;

/// All counters of a machine at one moment.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Sending ends, by slot.
    pub sends: Vec<SendAudit>,
    /// Receiving ends, by slot.
    pub recvs: Vec<RecvAudit>,
    /// Streams, by slot.
    pub streams: Vec<StreamAudit>,
    /// What this side has opened: how many, and their first windows.
    pub here: [u64; 2],
    /// What the peer has opened.
    pub there: [u64; 2],
    /// What this side holds beyond first windows: growth, large messages.
    pub beyond: [u64; 2],
    /// What waits to be written, payloads included.
    pub unsent: Vec<u8>,
    /// The frame that has begun, as far as it has arrived.
    pub begun: Vec<u8>,
    /// Descriptors that may be sent, that are out, that arrived and were not given back, and that are to be given back.
    pub descriptors: [u32; 4],
    /// Named channels that wait to be accepted.
    pub pending_accepts: u32,
    /// Channels in line for memory, for their turn, for credit, invited to send, in line for descriptors.
    pub lines: [usize; 5],
}

/// A sending end.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct SendAudit {
    pub id: u32,
    pub announced: bool,
    pub closed: bool,
    pub cancelled: bool,
    /// CLOSE is sent.
    pub said: bool,
    /// Finished on the wire.
    pub over: bool,
    pub sent: u32,
    pub taken: u32,
    pub wanted: u32,
    pub credit: i32,
    /// A large message that has not begun to leave: it counts as sent.
    pub unstarted: bool,
    /// A large message is on its way out.
    pub large: bool,
    pub watched: bool,
}

/// A receiving end.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct RecvAudit {
    pub id: u32,
    pub announced: bool,
    pub closed: bool,
    pub cancelled: bool,
    /// Arrived and not told to be taken, and how many of these were taken.
    pub untold: u32,
    pub owed: u32,
    /// Receives that were announced, less what has arrived; and how many wait.
    pub asked: i32,
    pub waiting: u32,
    /// What the sender may still start by the window rule; `None`: it is served on demand.
    pub room_left: Option<u32>,
    pub size: i32,
    pub left: i32,
    pub held: i32,
    pub extra: i32,
    /// What the message is charged in all that is arriving.
    pub arriving: Option<u32>,
    /// Somebody waits for the next message.
    pub awaited: bool,
    /// It stands in line for memory.
    pub lined: bool,
    pub inbox: usize,
}

/// A byte stream.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct StreamAudit {
    pub id: u32,
    pub announced: bool,
    pub credit: i32,
    pub unsent: usize,
    pub end_sent: bool,
    pub ended: bool,
    pub stop_sent: bool,
    pub stopped: bool,
    pub size: i32,
    pub left: i32,
    pub held: i32,
    pub arrived: usize,
    /// Finished on the wire.
    pub over: bool,
}

impl Machine {
    /// All counters.
    #[doc(hidden)]
    pub fn audit(&self) -> Audit {
        let mut audit = Audit {
            here: self.opened_here.numbers(),
            there: self.opened_there.numbers(),
            beyond: self.beyond.numbers(),
            unsent: flat(&self.out),
            begun: self.begun_bytes(),
            descriptors: self.descriptor_numbers(),
            pending_accepts: self.pending_accepts,
            lines: [
                self.reservations.len(),
                self.line.len(),
                self.due.len(),
                self.guests,
                self.descriptor_waiters.len(),
            ],
            ..Audit::default()
        };
        for key in self.entries.keys() {
            match self.entries.get(key) {
                Entry::Free => {}
                Entry::Send(half) => {
                    let large = half.rare.as_ref().and_then(|rare| rare.large.as_ref());
                    audit.sends.push(SendAudit {
                        id: half.id,
                        announced: half.announced,
                        closed: half.closed,
                        cancelled: half.cancelled().is_some(),
                        said: half.last != Last::Unsaid,
                        over: half.last == Last::Over,
                        sent: half.sent,
                        taken: half.taken,
                        wanted: half.wanted,
                        credit: half.credit,
                        unstarted: large.is_some_and(|large| !large.started),
                        large: large.is_some(),
                        watched: half.watched,
                    });
                }
                Entry::Recv(half) => {
                    let [size, left, held, extra] = half.window.numbers();
                    let rare = half.rare.as_ref();
                    audit.recvs.push(RecvAudit {
                        id: half.id,
                        announced: half.announced,
                        closed: half.closed,
                        cancelled: half.cancelled,
                        untold: half.untold,
                        owed: half.owed,
                        asked: half.demand().asked,
                        waiting: half.demand().waiting,
                        room_left: (!half.serves_demand()).then(|| half.room_left()),
                        size,
                        left,
                        held,
                        extra,
                        arriving: rare.and_then(|rare| Some(rare.partial.as_ref()?.charge)),
                        awaited: half.awaited,
                        lined: rare.is_some_and(|rare| rare.lined),
                        inbox: half.inbox.as_ref().map_or(0, |inbox| inbox.len()),
                    });
                }
                Entry::Stream(stream) => {
                    let [size, left, held, _] = stream.window.numbers();
                    audit.streams.push(StreamAudit {
                        id: stream.id,
                        announced: stream.announced,
                        credit: stream.credit,
                        unsent: stream.unsent.len(),
                        end_sent: stream.end_sent,
                        ended: stream.ended.is_some(),
                        stop_sent: stream.stop_sent,
                        stopped: stream.stopped.is_some(),
                        size,
                        left,
                        held,
                        arrived: stream.arrived.len(),
                        over: stream.over,
                    });
                }
            }
        }
        audit
    }
}

impl Machine {
    /// The id on the wire of an entry; `None` if it is gone.
    #[doc(hidden)]
    pub fn wire_id(&self, key: Key) -> Option<u32> {
        match self.entries.get(key) {
            Entry::Free => None,
            Entry::Send(half) => Some(half.id),
            Entry::Recv(half) => Some(half.id),
            Entry::Stream(stream) => Some(stream.id),
        }
    }

    /// What the peer has opened under `key`, until it is accepted.
    #[doc(hidden)]
    pub fn opening(&self, key: Key) -> Option<&Opening> {
        match self.entries.get(key) {
            Entry::Recv(half) => half.rare.as_ref()?.opening.as_ref(),
            _ => None,
        }
    }
}

/// An output as the bytes that go on the link.
#[doc(hidden)]
pub fn flat(out: &Output) -> Vec<u8> {
    let mut flat = Vec::with_capacity(out.len());
    let mut at = 0;
    for (to, payload) in &out.splices {
        flat.extend_from_slice(&out.bytes[at..*to]);
        flat.extend_from_slice(payload);
        at = *to;
    }
    flat.extend_from_slice(&out.bytes[at..]);
    flat
}
