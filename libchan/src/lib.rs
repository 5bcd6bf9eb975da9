//! Go channels over any transport: typed channels, byte streams and descriptors inside messages.
//!
//! [`pipe`] makes a channel in this process. Its [`Sender`] and [`Receiver`] are what every other channel has too: over
//! a unix socket, over TCP, across the Internet. A message may carry channel ends, [`ByteStream`]s and [`Fd`]s, to any
//! depth. A [`Session`] is a connection that carries many channels; `libchan-transports` makes sessions from URLs.
//!
//! ```
//! use libchan::{oneshot, pipe};
//!
//! struct Job { text: String, reply: oneshot::Sender<usize> }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (jobs, inbox) = pipe::<Job>();
//! let worker = async {
//!     while let Some(job) = inbox.recv().await? {
//!         job.reply.send(job.text.len()).ok();
//!     }
//!     Ok::<(), libchan::RecvError>(())
//! };
//! let client = async {
//!     let length = jobs.call(|reply| Job { text: "four".to_owned(), reply }).await;
//!     assert_eq!(length.unwrap(), 4);
//!     drop(jobs);
//! };
//! let (worked, ()) = tokio::join!(worker, client);
//! worked
//! # }).unwrap();
//! ```
//!
//! Derive `Serialize` and `Deserialize` on `Job`, and the same program works behind a URL.
//!
//! # Questions
//!
//! - **When does a channel end?** When its last sender is gone, anywhere. Keep no clone that you do not need.
//! - **What does a lost link look like?** `Err(RecvError::Disconnected)`, never a clean end. A session that was closed under a
//!   sender is `RecvError::SessionClosed`, and every other way to be cut short is a [`Cut`].
//! - **How do I wait for an answer?** [`Sender::call`]: one error for every way that it can fail.
//! - **Does a dropped sender look finished?** Yes, as in Go. [`Sender::must_finish`] gives one that does not, and a
//!   [`ByteStream`] never does without `shutdown`.
//! - **May `main` return after a send?** Only after [`Session::close`] or [`Session::flush`]: what was accepted last may still be
//!   in this process.
//! - **Is `select!` safe?** [`Receiver::recv`] and [`Sender::reserve`] are cancel-safe; `send` drops its value.
//! - **Does it need a runtime?** `pipe` does not; sessions need tokio with its time driver. Threads have blocking twins.
//! - **Do I need a bound on `T`?** Only where the channel crosses a session: [`Message`].
//! - **How do I send bytes?** Annotate a `Vec<u8>` with `#[serde(with = "serde_bytes")]`: to serde it is a sequence of numbers,
//!   which is up to twice as long and slow. A large one is best a `Bytes` with [`uncopied`]; a flow of bytes a [`ByteStream`].
//! - **What if I know no type?** [`Raw`] is a message that nobody has decoded, [`codec::Value`] a tree of any codec.
//! - **How do two libraries share a session?** Each takes its own names: [`Session::accept_under`].

mod attach;
mod call;
mod chan;
mod claim;
pub mod codec;
mod copy;
mod cut;
mod error;
mod fd;
mod give_way;
mod link;
mod local_link;
mod message;
pub mod oneshot;
mod parcel;
mod pipe;
mod raw;
mod receiver;
mod scratch;
mod sender;
mod session;
mod spare;
mod stream;
mod sync;
mod transport;
pub mod uncopied;
mod waiters;

pub use libchan_proto::{Denial, Limits, Metadata, Misbehaviour, Reason};
/// Foreign crates that are part of this API: [`Codec`] names `erased_serde`, and [`Raw`] and [`uncopied`] name `bytes`.
pub use {bytes, erased_serde};

pub use self::call::{Call, CallError};
pub use self::codec::{AnyCodec, Codec, CodecId};
pub use self::copy::{CopyError, copy};
pub use self::cut::{Cut, SessionLoss};
pub use self::error::{
    CloseError, Closed, OpenError, RecvError, RemoteError, SendError, SendFailure, SessionError,
    TryRecvError, TrySendError,
};
pub use self::fd::Fd;
pub use self::link::{Link, LinkInfo, LinkReader, LinkWriter, PeerCredentials};
pub use self::local_link::{LocalLink, link_pair};
pub use self::message::Message;
pub use self::pipe::{MAX_CAPACITY, pipe, pipe_with};
pub use self::raw::{EndKind, Raw};
pub use self::receiver::{Receiver, ReceiverStream};
pub use self::sender::{MustFinish, Permit, Sender, SenderSink};
pub use self::session::{
    Acceptor, Admission, Incoming, OpenOptions, PendingSession, Role, Session, SessionOptions,
};
pub use self::stream::ByteStream;
pub use self::transport::{End, EndWatch, Shipped, Transport};
