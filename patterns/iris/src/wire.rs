//! What applications and a relay say to each other: named channels and the values in them. Specified in `spec/iris.md`.
//!
//! | channel | the application opens it to |
//! |---|---|
//! | `iris/1/requests` | ask clusters: one [`Requests`], then everything on the channels in it |
//! | `iris/1/posts` | broadcast and publish: a [`Post`] each |
//! | `iris/1/subscribe` | subscribe: a [`Subscribe`] each |
//! | `iris/1/register` | become a member of a cluster: a [`Register`] each |
//! | `iris/1/tunnels` | open tunnels: a [`Line`] each |
//!
//! Durations are milliseconds. Structs that travel with each request are tuples: names would cost a tenth of the relay.

use libchan::{Receiver, Sender};
use serde::{Deserialize, Serialize};

use crate::body::Body;

pub(crate) const REQUESTS: &str = "iris/1/requests";
pub(crate) const POSTS: &str = "iris/1/posts";
pub(crate) const SUBSCRIBE: &str = "iris/1/subscribe";
pub(crate) const REGISTER: &str = "iris/1/register";
pub(crate) const TUNNELS: &str = "iris/1/tunnels";

/// Opens an application's requests. Needs no answer: asks may follow at once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) asks: Receiver<Ask>,
    pub(crate) answers: Sender<Answer>,
}

/// A cancel stands in the channel of its request, so that it cannot overtake it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Number (free since its answer), cluster, milliseconds left, whether to wait for a member, body.
    Request(u64, String, u64, bool, Body),
    Cancel(u64),
}

/// The answer to the request of this number.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer(pub(crate) u64, pub(crate) Verdict);

#[derive(Serialize, Deserialize)]
pub(crate) enum Verdict {
    Ok(Body),
    /// The handler failed, with its text.
    Fault(Body),
    Timeout,
    NoMember,
    Busy,
    Lost,
    /// The relay refuses the request, and says why.
    Refused(String),
    /// The relay leaves, and has not taken the request.
    Going,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Post {
    /// To every member of the cluster.
    Broadcast(String, Body),
    /// To every subscription of the topic.
    Publish(String, Body),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Subscribe {
    pub(crate) topic: String,
    /// Bytes of events that wait in the relay before further ones are lost.
    pub(crate) bytes: u64,
    pub(crate) events: Sender<Event>,
    /// One value: in force, or why not.
    pub(crate) ready: Sender<Result<(), String>>,
}

/// What was lost of this subscription so far because it did not read in time, and the event.
#[derive(Serialize, Deserialize)]
pub(crate) struct Event(pub(crate) u64, pub(crate) Body);

#[derive(Serialize, Deserialize)]
pub(crate) struct Register {
    pub(crate) cluster: String,
    /// Requests that it takes at the same time.
    pub(crate) slots: u32,
    /// Bytes of requests that it takes: it gets a further one as long as it has fewer in hand.
    pub(crate) bytes: u64,
    /// Bytes of broadcasts that wait in the relay before further ones are lost.
    pub(crate) broadcast_bytes: u64,
    pub(crate) calls: Sender<Call>,
    pub(crate) reports: Receiver<Report>,
    pub(crate) broadcasts: Sender<Event>,
    pub(crate) tunnels: Sender<Line>,
    pub(crate) ready: Sender<Result<(), String>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Call {
    /// The relay's number, milliseconds left, body.
    Request(u64, u64, Body),
    Cancel(u64),
}

/// What a member says of its calls. Each call has exactly one `Ok`, `Fault`, `Shed` or `Expired`.
#[derive(Serialize, Deserialize)]
pub(crate) enum Report {
    Ok(u64, Body),
    Fault(u64, Body),
    /// Not begun: no room.
    Shed(u64),
    /// Its time was up.
    Expired(u64),
    /// How many calls it takes at the same time from now on; 0 before it leaves.
    Slots(u32),
}

/// A tunnel, as its opener asks for it and as its member gets it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) cluster: String,
    pub(crate) left_ms: u64,
    /// What the opener sends, and what it gets.
    pub(crate) to_member: Receiver<Piece>,
    pub(crate) to_opener: Sender<Piece>,
    pub(crate) ready: Sender<Result<(), TunnelRefused>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TunnelRefused {
    NoMember,
    Busy,
    Refused(String),
}

/// A part of a tunnel's message: in the first part the length of the whole, then bytes. A new first part before the message is
/// whole drops what was begun.
#[derive(Serialize, Deserialize)]
pub(crate) struct Piece(pub(crate) Option<u64>, #[serde(with = "libchan::uncopied")] pub(crate) bytes::Bytes);

#[cfg(test)]
mod tests;
