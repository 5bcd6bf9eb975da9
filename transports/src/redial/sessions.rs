//! The sessions of a redial one by one, for what has to be established on each.

use std::fmt;
use std::sync::Arc;

use libchan::Session;

use super::Inner;
use super::error::RedialError;

/// The sessions of a [`Redial`](super::Redial), one after the other: what [`Redial::sessions`](super::Redial::sessions) gives.
/// It keeps the redial alive.
///
/// ```
/// # async fn doc(redial: libchan_transports::Redial) -> Result<(), Box<dyn std::error::Error>> {
/// let mut sessions = redial.sessions();
/// loop {
///     let session = sessions.next().await?;
///     // On each session anew. Senders of the redial do not wait for it.
///     session.open::<String>("subscribe")?.send("prices".to_owned()).await?;
/// }
/// # }
/// ```
pub struct RedialSessions {
    inner: Arc<Inner>,
    /// The number of the last one that was given.
    given: u64,
}

impl RedialSessions {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, given: 0 }
    }

    /// The session that is there, unless this has given it before; else the next one. Each is given once. One that came and went
    /// between two calls is passed over.
    ///
    /// # Cancel safety
    /// No session is passed over by dropping the future.
    ///
    /// # Errors
    /// The redial is over.
    ///
    /// # Panics
    /// If it is the first use of the redial, outside a tokio runtime with its time and I/O drivers.
    pub async fn next(&mut self) -> Result<Session, RedialError> {
        let current = self.inner.session_after(self.given).await?;
        self.given = current.number;
        Ok(current.session)
    }
}

impl fmt::Debug for RedialSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedialSessions").field("given", &self.given).finish_non_exhaustive()
    }
}
