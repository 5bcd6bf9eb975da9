//! `https:` dials HTTP/2, and where that does not get through, a WebSocket over HTTP/1.1. What worked is remembered
//! for a while, so that the next dial does not try in vain again.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libchan::{Session, SessionError};
use tokio::time::{Instant, sleep};

use super::dial::{over_http2, over_websocket};
use super::error::HttpError;
use crate::dial::DialOptions;
use crate::error::DialError;
use crate::tls::TlsError;
use crate::url::HttpAddress;

/// How long the first carrier is dialed alone.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long an origin is dialed by WebSocket first; then HTTP/2 gets another chance.
const MEMORY: Duration = Duration::from_secs(600);

/// As many origins are remembered; the one not dialed for longest is forgotten.
const ORIGINS: usize = 64;

/// Where only WebSocket worked.
static BY_WEBSOCKET: Mutex<Origins> = Mutex::new(Origins(VecDeque::new()));

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Http2,
    WebSocket,
}

/// Dials by one carrier, and by the other too if the first fails or has no session in time: a proxy that holds a stream
/// back says nothing. The first goes on meanwhile, because it may be an authorize hook that takes its time. Whichever has
/// its session first wins.
pub(super) async fn dial(address: &HttpAddress, options: DialOptions) -> Result<Session, DialError> {
    let origin = address.authority();
    let (first, second) = match origins().remembers(&origin, Instant::now()) {
        false => (Carrier::Http2, Carrier::WebSocket),
        true => (Carrier::WebSocket, Carrier::Http2),
    };
    let mut one = pin!(first.dial(address, options.clone()));
    let mut failed = None;
    tokio::select! {
        dialed = &mut one => match dialed {
            Err(error) if another_may_do(&error) => failed = Some(error),
            dialed => return dialed,
        },
        () = sleep(PATIENCE) => {}
    }
    let mut other = pin!(second.dial(address, options));
    let after = loop {
        tokio::select! {
            dialed = &mut one, if failed.is_none() => match dialed {
                Err(error) if another_may_do(&error) => failed = Some(error),
                dialed => return dialed,
            },
            dialed = &mut other => match dialed {
                Ok(session) => {
                    origins().note(origin, second, Instant::now());
                    return Ok(session);
                }
                Err(error) if another_may_do(&error) => break error,
                Err(error) => return Err(error),
            },
        }
    };
    let before = match failed {
        Some(error) => error,
        None => match one.await {
            Err(error) if another_may_do(&error) => error,
            dialed => return dialed,
        },
    };
    Err(neither(before, after))
}

/// The error of a dial that both carriers have failed.
fn neither(before: DialError, after: DialError) -> DialError {
    match (before, after) {
        (DialError::Http { source: same, .. }, DialError::Http { url, source }) if source == same => {
            DialError::Http { url, source }
        }
        (before, after) => DialError::NoCarrier { first: before.into(), second: after.into() },
    }
}

impl Carrier {
    async fn dial(self, address: &HttpAddress, options: DialOptions) -> Result<Session, DialError> {
        match self {
            Self::Http2 => over_http2(address, options).await,
            Self::WebSocket => over_websocket(address, options).await,
        }
    }
}

/// Whether what stopped one carrier may let the other pass. Wrong credentials, certificates and addresses stop both.
fn another_may_do(error: &DialError) -> bool {
    match error {
        DialError::Http { source, .. } => !matches!(
            source,
            HttpError::Unauthorized { .. }
                | HttpError::Forbidden { .. }
                | HttpError::Busy { status: 429, .. }
                | HttpError::BadRequest { .. }
        ),
        DialError::Session(error) => matches!(
            error,
            SessionError::HelloTimeout
                | SessionError::Link(_)
                | SessionError::Lost
                | SessionError::NotLibchan { .. }
        ),
        DialError::Tls { source, .. } => {
            matches!(source, TlsError::NoCommonProtocol | TlsError::Ended | TlsError::Io(_))
        }
        _ => false,
    }
}

fn origins() -> MutexGuard<'static, Origins> {
    BY_WEBSOCKET.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Origins and when they are forgotten, the one dialed last at the back.
struct Origins(VecDeque<(String, Instant)>);

impl Origins {
    fn remembers(&mut self, origin: &str, now: Instant) -> bool {
        self.0.retain(|(_, until)| *until > now);
        let Some(at) = self.0.iter().position(|(known, _)| known == origin) else { return false };
        let found = self.0.remove(at);
        self.0.extend(found);
        true
    }

    /// What worked in the end.
    fn note(&mut self, origin: String, worked: Carrier, now: Instant) {
        self.0.retain(|(known, _)| *known != origin);
        if worked == Carrier::WebSocket {
            if self.0.len() >= ORIGINS {
                self.0.pop_front();
            }
            self.0.push_back((origin, now + MEMORY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_is_remembered_for_a_while() {
        let (mut origins, now) = (Origins(VecDeque::new()), Instant::now());
        origins.note("a:443".to_owned(), Carrier::WebSocket, now);
        assert!(origins.remembers("a:443", now) && !origins.remembers("a:444", now));
        assert!(!origins.remembers("a:443", now + MEMORY));
        origins.note("a:443".to_owned(), Carrier::WebSocket, now);
        origins.note("a:443".to_owned(), Carrier::Http2, now);
        assert!(!origins.remembers("a:443", now));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut origins, now) = (Origins(VecDeque::new()), Instant::now());
        for i in 0..ORIGINS {
            origins.note(i.to_string(), Carrier::WebSocket, now);
        }
        assert!(origins.remembers("0", now));
        origins.note("new".to_owned(), Carrier::WebSocket, now);
        assert_eq!(origins.0.len(), ORIGINS);
        assert!(origins.remembers("0", now) && !origins.remembers("1", now));
    }
}
