//! Redials against listeners in this process. Over `mem:` time is virtual, so waits cost none and are exact.

mod addresses;
mod ends;
mod losses;
mod patterns;

use std::time::Duration;

use libchan::{Receiver, SessionError};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{DialError, DialOptions, ListenOptions, Listener, Refusal, listen, listen_with};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Awaits what must come; a hang becomes a failure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(600), future).await.expect("hangs")
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Tasks that are alive beside the test itself.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// A listener whose sessions encode, as over every link.
async fn linked(url: &str) -> Listener {
    listen_with(url, ListenOptions::default().as_a_link()).await.unwrap()
}

/// The channel that the peer of the next session opens.
async fn channel<T: Message>(listener: &Listener) -> (Session, Receiver<T>) {
    let session = soon(listener.accept()).await.unwrap();
    let incoming = soon(session.accept()).await.unwrap().expect("a channel is opened");
    (session, incoming.receive())
}

/// The next event that is none of dialing, failing and waiting.
async fn turn(events: &mut RedialEvents) -> Option<RedialEvent> {
    soon(async {
        loop {
            match events.next().await {
                Some(
                    RedialEvent::Dialing { .. } | RedialEvent::Failed { .. } | RedialEvent::Waiting { .. },
                ) => {}
                event => return event,
            }
        }
    })
    .await
}
