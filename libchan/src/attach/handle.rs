//! Channel ends without their type, counted like the typed ones.

use std::sync::Arc;

use crate::session::{AnyChan, Leg};

/// A counted sender of some type.
pub(crate) struct AnySender(Arc<dyn AnyChan>);

impl AnySender {
    pub(crate) fn new(chan: Arc<dyn AnyChan>) -> Self {
        chan.count_sender();
        Self(chan)
    }

    pub(crate) fn chan(&self) -> &Arc<dyn AnyChan> {
        &self.0
    }
}

impl Clone for AnySender {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for AnySender {
    fn drop(&mut self) {
        self.0.clone().drop_sender();
    }
}

/// A counted receiver of some type.
pub(crate) struct AnyReceiver {
    chan: Arc<dyn AnyChan>,
    counted: bool,
}

impl AnyReceiver {
    pub(crate) fn new(chan: Arc<dyn AnyChan>) -> Self {
        chan.count_receiver();
        Self { chan, counted: true }
    }

    pub(crate) fn chan(&self) -> &Arc<dyn AnyChan> {
        &self.chan
    }

    /// The message that names it has gone out: what it was is at the other end of `leg` now.
    pub(crate) fn has_left(mut self, leg: &Leg) {
        self.counted = false;
        self.chan.clone().receiver_left(leg);
    }
}

impl Clone for AnyReceiver {
    fn clone(&self) -> Self {
        Self::new(self.chan.clone())
    }
}

impl Drop for AnyReceiver {
    fn drop(&mut self) {
        if self.counted {
            self.chan.clone().drop_receiver();
        }
    }
}
