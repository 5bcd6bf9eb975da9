//! The libchan protocol as a state machine: bytes in, events out; commands in, bytes out.
//!
//! [`Machine`] holds no socket, clock, task, lock or randomness: time is an argument, and a driver moves the bytes.
//! That makes it what is simulated, fuzzed and ported. The wire is described in `spec/`.
//!
//! # The driver's contract
//!
//! **Whenever something was fed in, drain [`poll_event`](Machine::poll_event); whenever
//! [`is_urgent`](Machine::is_urgent) says so, take and write the output.** (What is not urgent may wait for the next write:
//! credit that its sender does not need yet. [`has_output`](Machine::has_output) sees that too.)
//!
//! 1. [`handle_input`](Machine::handle_input) with what was read, [`handle_eof`](Machine::handle_eof) at its end. The
//!    rest of a large frame may be read straight into its place: [`take_rest`](Machine::take_rest).
//! 2. [`handle_tick`](Machine::handle_tick) every few seconds.
//! 3. Commands of the layer above: `open`, `allocate`, `try_send`, `take_inbox`, `taken`, `close`, `cancel`, ...
//! 4. [`take_output`](Machine::take_output), whatever was done.
//!
//! A panic is a bug of this crate; nothing that a peer sends causes one.

#[doc(hidden)]
pub mod audit;
pub mod code;
#[doc(hidden)]
pub mod conform;
mod credit;
mod entries;
mod entry;
mod error;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod hello;
mod inbox;
mod limits;
mod machine;
mod memory;
mod output;
#[doc(hidden)]
pub mod registry;
mod table;
mod unread;

pub use self::entry::{Cancel, Close, Scope};
pub use self::error::{Blocked, Denial, Misbehaviour, OpenError, Reason, SessionError, StreamError};
pub use self::frame::{Metadata, Opening};
pub use self::hello::{Established, Hello};
pub use self::inbox::{Attachment, Body, Flaw, Inbox, Kind, Message, Payload, charge};
pub use self::limits::Limits;
pub use self::machine::{
    Attach, Event, Machine, Outgoing, RecvStatus, Rest, SendStatus, StreamRead, TakeLone, are_headers,
};
pub use self::output::Output;
#[doc(hidden)]
pub use self::table::Table;

/// Names a channel end or stream in a machine. Valid until the layer above has closed, cancelled or abandoned it; later it
/// finds nothing, even where the slot is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its place: dense, and reused. Of a descriptor its arrival number.
    pub slot: u32,
    /// How many were in the slot before.
    pub serial: u32,
}

impl Key {
    /// Names nothing.
    pub const NONE: Self = Self { slot: u32::MAX, serial: 0 };
}

/// Which side of the link a machine is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that connected. Its ids are even.
    Dialer,
    /// The side that listened. Its ids are odd.
    Acceptor,
}
