//! Trouble of a listening socket, such as no descriptor being left: told once, tried again with pauses.

use std::future::Future;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::{AcceptError, OsError, is_descriptor_limit};

/// The pauses after failures of one socket: one such failure is likely to be followed by the same one.
#[derive(Default)]
pub(crate) struct Trouble(Mutex<State>);

#[derive(Default)]
struct State {
    /// Zero while all is well.
    pause: Duration,
    resume_at: Option<Instant>,
}

impl Trouble {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Accepts from the socket, with pauses while it fails. Gives the first failure of a row and not the others.
    /// Cancel-safe if `accept` is.
    pub(crate) async fn accept<T, F>(&self, accept: impl Fn() -> F) -> Result<T, AcceptError>
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            let resume_at = self.lock().resume_at;
            if let Some(instant) = resume_at {
                sleep_until(instant).await;
            }
            match accept().await {
                Ok(accepted) => {
                    *self.lock() = State::default();
                    return Ok(accepted);
                }
                Err(error) => {
                    if let Some(error) = self.lock().meet(error) {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes a failure; gives the error to report if it is the first of a row.
    fn meet(&mut self, error: io::Error) -> Option<AcceptError> {
        use io::ErrorKind as Kind;
        // Linux passes on what happened to the connection while it waited; the next one may be fine.
        if let Kind::ConnectionAborted
        | Kind::ConnectionReset
        | Kind::Interrupted
        | Kind::TimedOut
        | Kind::HostUnreachable
        | Kind::NetworkDown
        | Kind::NetworkUnreachable = error.kind()
        {
            return None;
        }
        let first = self.pause.is_zero();
        self.pause = (self.pause * 2).clamp(Trouble::FIRST, Trouble::LONGEST);
        self.resume_at = Some(Instant::now() + self.pause);
        first.then(|| match is_descriptor_limit(error.raw_os_error()) {
            true => AcceptError::DescriptorLimit,
            false => AcceptError::Os(OsError::from(error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let emfile = || io::Error::from_raw_os_error(24);
        let mut state = State::default();
        assert!(state.meet(io::ErrorKind::ConnectionAborted.into()).is_none());
        assert!(state.pause.is_zero());
        assert!(matches!(state.meet(emfile()), Some(AcceptError::DescriptorLimit)));
        assert_eq!(state.pause, Trouble::FIRST);
        for _ in 0..10 {
            assert!(state.meet(emfile()).is_none());
        }
        assert_eq!(state.pause, Trouble::LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_of_failures_is_told_once_and_ends_with_a_success() {
        let (trouble, tries) = (Trouble::default(), std::cell::Cell::new(0));
        let accept = || async {
            tries.set(tries.get() + 1);
            if tries.get() % 4 == 0 { Ok(tries.get()) } else { Err(io::Error::from_raw_os_error(22)) }
        };
        for round in 1..=2 {
            assert!(matches!(trouble.accept(accept).await, Err(AcceptError::Os(_))));
            assert_eq!(trouble.accept(accept).await.ok(), Some(4 * round));
        }
    }
}
