//! What the relay knows of those who are attached, whatever face they came by. No method waits.

use std::time::Duration;

use crate::body::Body;
use crate::core::{CallId, Failed, Outcome};
use crate::wire::Line;

/// The member is gone, or does not keep to its slots: the relay puts it out.
#[derive(Debug)]
pub(crate) struct Gone;

/// A member of a cluster.
pub(crate) trait Member: Send + Sync {
    fn call(&self, call: CallId, body: Body, left: Duration) -> Result<(), Gone>;
    /// Nobody waits for the call any more. True: the member cannot be told, and its slot is free from now on.
    fn cancel(&self, call: CallId) -> bool;
    /// False: it had no room, and has lost it.
    fn broadcast(&self, body: Body) -> bool;
    fn tunnel(&self, line: Line) -> Result<(), Box<Line>>;
}

/// An application that waits for answers.
pub(crate) trait Caller: Send + Sync {
    fn answer(&self, number: u64, result: Result<Body, Outcome<Body>>) -> Result<(), Gone>;
    /// The request is not taken at all.
    fn refuse(&self, number: u64, why: String) -> Result<(), Gone>;
}

/// A subscription.
pub(crate) trait Subscriber: Send + Sync {
    /// False: it had no room, and has lost it.
    fn event(&self, body: Body) -> bool;
}

impl Failed {
    pub(crate) fn verdict(self) -> crate::wire::Verdict {
        use crate::wire::Verdict;
        match self {
            Self::Timeout => Verdict::Timeout,
            Self::NoMember => Verdict::NoMember,
            Self::Busy => Verdict::Busy,
            Self::Lost => Verdict::Lost,
            Self::Going => Verdict::Going,
        }
    }
}
