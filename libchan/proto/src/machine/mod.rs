//! The machine: what it holds, and which submodule decides what.

mod ahead;
mod begun;
mod channel;
pub(crate) mod close;
mod flow;
pub(crate) mod head;
mod inboxes;
mod input;
pub(crate) mod large;
mod message;
mod open;
mod ping;
mod session;
mod stream;
pub(crate) mod turns;
mod write;

use std::collections::VecDeque;
use std::time::Duration;

use self::ahead::Run;
use self::begun::Begun;
pub use self::begun::Rest;
pub use self::head::are_headers;
pub use self::inboxes::TakeLone;
use self::turns::Line;
use crate::credit::{Opened, Pool};
use crate::entries::Entries;
use crate::entry::{Cancel, Close};
use crate::error::{Reason, SessionError};
use crate::hello::{Established, Hello};
use crate::inbox::{Attachment, Flaw, Inbox, Payload};
use crate::limits::Limits;
use crate::memory::Spare;
use crate::output::Output;
use crate::{Key, Role};

/// An attachment of a message that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// An entry from [`Machine::allocate`].
    Channel(Key),
    /// A stream from [`Machine::allocate`].
    Stream(Key),
    /// The driver's token of a descriptor.
    Descriptor(u32),
    /// A sending entry of ours, whose receiving end is at the peer.
    SenderHome(Key),
}

/// A message that is to be sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The codec of the payload.
    pub codec: u8,
    /// Whether it is a message, or stands for one.
    pub flaw: Flaw,
    /// What it carries, in the order of the indexes in the payload.
    pub attachments: &'a [Attach],
    /// The block of headers, as [`are_headers`] wants it (what is not so is left out); empty: none.
    pub headers: &'a [u8],
    /// The encoded value.
    pub payload: Payload<'a>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Both hellos are in.
    Established,
    /// The peer has opened a named channel: see [`Machine::accept`].
    Opened(Key),
    /// The channel has messages, or was closed. Once until [`Machine::take_inbox`] has found nothing more.
    Readable(Key),
    /// A send that was refused may succeed now.
    Writable(Key),
    /// So many more messages were taken (only after [`Machine::track_taken`]).
    Taken(Key, u32),
    /// The receiver is gone, and was answered: see [`Machine::send_status`]. The key stays until
    /// [`Machine::close`].
    Cancelled(Key),
    /// The sender has nothing left, and messages are out of the inbox that were not reported as taken.
    Starved(Key),
    /// The stream has bytes or an end, after a read that found nothing.
    StreamReadable(Key),
    /// The stream takes bytes, or has failed, after a write that was not taken.
    StreamWritable(Key),
    /// The descriptor with this arrival number belongs to a message that was dropped: close it.
    DescriptorDropped(u32),
    /// The peer has said goodbye, and was answered: once the output is written the link may be closed.
    PeerGoodbye(Reason),
    /// The ping with this number was answered.
    Pong(u64),
}

/// How a sending entry stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendStatus {
    /// Messages that may start by the window rule.
    pub room: u32,
    /// Receivers that wait and have nothing on the way to them.
    pub demand: u32,
    /// Messages sent and not known to be taken.
    pub untaken: u32,
    /// Bytes granted: no frame may cost more.
    pub byte_credit: i64,
    /// The receiver is gone.
    pub cancelled: Option<Cancel>,
}

/// How a receiving entry stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecvStatus {
    /// Messages in the inbox.
    pub waiting: usize,
    /// No more will arrive. The inbox may still hold some.
    pub closed: Option<Close>,
}

/// What a stream had to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRead {
    /// So many bytes.
    Data(usize),
    /// The clean end.
    End,
    /// It ended with an error.
    Failed(Reason),
    /// Nothing now; [`Event::StreamReadable`] follows.
    Pending,
}

/// One side of a session.
///
/// In memory as it is written here: what every message needs comes first and close together, because with many sessions each
/// message finds its session outside the processor's caches, and every line of these costs a wait.
#[derive(Debug)]
#[repr(C)]
pub struct Machine {
    clock: Clock,
    role: Role,
    preface_read: bool,
    peer_goodbye: bool,
    said_goodbye: Option<GoodbyeState>,
    rejecting: bool,
    /// Messages that were accepted could not leave.
    cut: bool,
    /// What is written now answers the peer.
    answering: bool,
    /// The answers were too much at the last tick already.
    stuck: bool,
    /// Somebody cannot send before it has credit of these.
    pub(crate) urgent: bool,
    /// Somebody waits for its turn: see `turns.rs`.
    shared: bool,
    /// Those who were invited were so before the last output.
    invited_before: bool,
    round: u16,
    descriptors_owed: u32,
    pub(crate) out: Output,
    /// Control bytes in `out`.
    unsent_control: usize,
    /// How much of that the peer has asked for.
    answers: usize,
    /// Large messages that are not out yet, those that wait for credit included.
    large_open: usize,
    pub(crate) entries: Entries,
    /// Entries that owe credit.
    pub(crate) due: Vec<Key>,
    /// Those that have something to send and wait for their turn, and how many were invited to send.
    pub(crate) line: Line,
    pub(crate) guests: usize,
    events: VecDeque<Event>,
    /// Emptied inboxes, for the next channel that needs one. Boxed, because entries hold them boxed.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Inbox>>,
    established: Option<Box<Established>>,
    /// With less credit than this a sender may stand still: see [`Limits::floor`].
    pub(crate) floor: i32,
    /// What came last, and so is expected.
    run: Run,
    /// The limits in force: the agreed ones, ours before.
    limits: Limits,
    over: Option<SessionError>,
    /// A large frame of which not all has arrived.
    begun: Option<Begun>,

    descriptors_arrived: u32,
    goodbye_reason: Reason,
    pub(crate) pending_accepts: u32,
    /// What each side has opened.
    pub(crate) opened_here: Opened,
    pub(crate) opened_there: Opened,
    /// What we hold beyond first windows.
    pub(crate) beyond: Pool,
    /// Large messages that wait for memory, of those that a receive waits for, first come first served.
    pub(crate) reservations: VecDeque<Key>,
    /// Memory for large payloads.
    memory: Spare,
    /// The attachments of the message that is being read, kept for its memory.
    table: Vec<Attachment>,
    /// Attachments that nobody will claim, while they are being closed.
    rejected: VecDeque<Attachment>,
    descriptor_credit: u32,
    descriptors_returned: u32,
    descriptors_out: u32,
    /// Channels that wait for descriptor credit.
    pub(crate) descriptor_waiters: Vec<Key>,
    hello: Hello,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GoodbyeState {
    /// It follows what is queued.
    Queued,
    Sent,
}

/// Ping and silence, by ticks: the hot path only sets flags.
#[derive(Debug)]
#[repr(C)]
struct Clock {
    started: Duration,
    last_heard: Duration,
    last_said: Duration,
    pings: u32,
    pings_since: Duration,
    next_ping: u64,
    heard: bool,
    said: bool,
}

impl Machine {
    /// A side of a new session; its preface and hello are ready to be written. `now` is any monotonic time.
    pub fn new(role: Role, mut hello: Hello, now: Duration) -> Self {
        hello.limits = hello.limits.sane();
        let limits = hello.limits.clone();
        let mut machine = Self {
            role,
            established: None,
            preface_read: false,
            over: None,
            said_goodbye: None,
            goodbye_reason: Reason::none(),
            peer_goodbye: false,
            entries: Entries::new(role),
            events: VecDeque::new(),
            pending_accepts: 0,
            opened_here: Opened::default(),
            opened_there: Opened::default(),
            beyond: Pool::new(limits.session_memory),
            floor: limits.floor() as i32,
            reservations: VecDeque::new(),
            begun: None,
            run: Run::default(),
            memory: Spare::default(),
            table: Vec::new(),
            rejected: VecDeque::new(),
            rejecting: false,
            cut: false,
            spare: Vec::new(),
            out: Output::default(),
            unsent_control: 0,
            answers: 0,
            stuck: false,
            shared: false,
            invited_before: false,
            round: 0,
            answering: false,
            due: Vec::new(),
            urgent: false,
            line: Line::default(),
            guests: 0,
            large_open: 0,
            descriptors_arrived: 0,
            descriptor_credit: 0,
            descriptors_owed: 0,
            descriptors_returned: 0,
            descriptors_out: 0,
            descriptor_waiters: Vec::new(),
            clock: Clock {
                started: now,
                last_heard: now,
                last_said: now,
                heard: false,
                said: false,
                pings: 0,
                pings_since: now,
                next_ping: 0,
            },
            limits,
            hello,
        };
        machine.say_hello();
        machine
    }

    /// What both sides came to; `None` before the peer's hello.
    pub fn established(&self) -> Option<&Established> {
        self.established.as_deref()
    }

    /// The limits in force: the agreed ones, this side's before they are.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What has happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether something has happened.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Channels and streams that are not finished. A stream that is over and still held here does not count.
    pub fn open_channels(&self) -> usize {
        self.entries.live()
    }

    /// Whether something is still to come from here on any of them, or to be received.
    pub fn is_used(&self) -> bool {
        self.entries.in_use() > 0
    }
}
