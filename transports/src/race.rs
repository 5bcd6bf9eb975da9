//! Which of a host's addresses answers first ("happy eyeballs", RFC 8305): a dead one costs a quarter of a second and not
//! the patience of the whole dial.
//!
//! The system's resolver gives all addresses at once, in its order of preference, so what the RFC says about names that
//! resolve in two steps does not apply.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::dial::DialOptions;
use crate::error::{DialError, FailedAddress};

/// How long an attempt goes on alone before the next one begins beside it (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The addresses in the order in which they are tried: the resolver's, with the two families in turn.
pub(crate) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let first_is_ipv4 = addresses.peek().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv4() == first_is_ipv4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        mixed.extend(first.next());
        mixed.extend(second.next());
    }
    mixed
}

/// Connects to whichever address answers first. Attempts begin in order: the next one [`ATTEMPT_DELAY`] after the one before,
/// or at once when an attempt fails. What has not won is dropped.
///
/// # Errors
/// What each address has said, when all have failed or the deadline is over.
pub(crate) async fn first<T, F>(
    addresses: &[SocketAddr],
    deadline: Instant,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<FailedAddress>>
where
    F: Future<Output = io::Result<T>>,
{
    let silent = |&address| FailedAddress { address, error: None };
    let mut said: Vec<_> = addresses.iter().map(silent).collect();
    let mut waiting = addresses.iter().copied().enumerate();
    let mut running = Vec::new();
    loop {
        if let Some((at, address)) = waiting.next() {
            running.push((at, Box::pin(connect(address))));
        }
        if running.is_empty() {
            return Err(said);
        }
        let due = match waiting.len() {
            0 => deadline,
            _ => deadline.min(Instant::now() + ATTEMPT_DELAY),
        };
        match timeout_at(due, settled(&mut running)).await {
            Ok((_, Ok(connected))) => return Ok(connected),
            // The kernel's own time is over: it has heard nothing.
            Ok((_, Err(error))) if error.kind() == io::ErrorKind::TimedOut => {}
            Ok((at, Err(error))) => said[at].error = Some(error.into()),
            Err(_) if Instant::now() >= deadline => return Err(said),
            Err(_) => {}
        }
    }
}

/// The next attempt that is over, whose number it gives.
async fn settled<T, F>(running: &mut Vec<(usize, Pin<Box<F>>)>) -> (usize, io::Result<T>)
where
    F: Future<Output = io::Result<T>>,
{
    poll_fn(|cx| {
        let over =
            running.iter_mut().enumerate().find_map(|(i, (at, attempt))| match attempt.as_mut().poll(cx) {
                Poll::Ready(outcome) => Some((i, *at, outcome)),
                Poll::Pending => None,
            });
        let Some((i, at, outcome)) = over else { return Poll::Pending };
        drop(running.remove(i));
        Poll::Ready((at, outcome))
    })
    .await
}

/// The error of a dial of `url` that no address has taken. Where all have said the same, that is the error.
pub(crate) fn failure(url: &str, options: &DialOptions, failed: Vec<FailedAddress>) -> DialError {
    let mut errors = failed.iter().map(|address| match &address.error {
        Some(error) => DialError::connecting(url.to_owned(), error.clone()),
        None => options.timed_out(url),
    });
    match errors.next() {
        Some(first) if errors.all(|error| error == first) => first,
        _ => DialError::NoAddress { url: url.to_owned(), failed },
    }
}

#[cfg(test)]
mod tests;
