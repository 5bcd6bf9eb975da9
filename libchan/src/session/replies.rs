//! Replies that wait because the peer has granted no bytes for them: a `oneshot::Sender` does not wait itself, so what it leaves
//! here is counted. Without a limit a peer that calls and does not read would fill the memory of who answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::Shared;
use crate::error::SendFailure;

/// So many bytes of replies wait for the peer.
#[derive(Default)]
pub(super) struct Replies(AtomicU64);

/// One that waits. Dropped when it leaves, or is dropped itself.
pub(crate) struct HeldReply {
    session: Arc<Shared>,
    bytes: u64,
}

impl Drop for HeldReply {
    fn drop(&mut self) {
        self.session.replies.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Shared {
    /// Whether one more reply may wait.
    pub(crate) fn check_replies(&self) -> Result<(), SendFailure> {
        let (waiting, limit) =
            (self.replies.0.load(Ordering::Relaxed), u64::from(self.limits().session_memory));
        if waiting < limit {
            return Ok(());
        }
        Err(SendFailure::Limit(format!(
            "{waiting} bytes of replies wait for the peer, which does not read them; the session allows {limit} \
             (Limits::session_memory)"
        )))
    }

    pub(crate) fn hold_reply(self: &Arc<Self>, bytes: usize) -> HeldReply {
        let bytes = bytes as u64;
        self.replies.0.fetch_add(bytes, Ordering::Relaxed);
        HeldReply { session: self.clone(), bytes }
    }
}
