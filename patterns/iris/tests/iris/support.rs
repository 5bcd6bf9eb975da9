//! Relays to attach to, over each transport, and a limit for what hangs.

use std::future::Future;
use std::time::Duration;

use libchan_iris::{Connection, Relay};
use tokio::runtime::Builder;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Ten times what a case may take.
const CASE: Duration = Duration::from_secs(60);

/// Where the relay is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Memory,
    Unix,
    Tcp,
}

/// A relay, and how to attach to it.
pub(crate) struct Place {
    pub(crate) relay: Relay,
    url: Option<String>,
}

impl Place {
    pub(crate) async fn new(on: On) -> Self {
        Self::of(on, Relay::new()).await
    }

    pub(crate) async fn of(on: On, relay: Relay) -> Self {
        let url = match on {
            On::Memory => None,
            On::Unix => Some(format!("unix:@iris-test-{}-{}", std::process::id(), unique())),
            On::Tcp => Some("tcp://127.0.0.1:0".to_owned()),
        };
        let Some(url) = url else { return Self { relay, url: None } };
        let listener = libchan_transports::listen(&url).await.expect("listen");
        let url = listener.url().to_owned();
        let serving = relay.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Self { relay, url: Some(url) }
    }

    pub(crate) async fn connect(&self) -> Connection {
        match &self.url {
            Some(url) => Connection::connect(url).await.expect("connect"),
            None => self.relay.connect().await.expect("attach"),
        }
    }
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Runs a case over every transport, on both runtimes.
pub(crate) fn everywhere<F: Future<Output = ()> + Send + 'static>(case: impl Fn(On) -> F) {
    for on in [On::Memory, On::Unix, On::Tcp] {
        for threads in [1, 2] {
            let runtime = match threads {
                1 => Builder::new_current_thread().enable_all().build(),
                _ => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
            };
            let runtime = runtime.expect("a runtime");
            // Shown where the case fails.
            println!("over {on:?} on {threads} threads");
            let ended = runtime.block_on(async { tokio::time::timeout(CASE, case(on)).await });
            assert!(ended.is_ok(), "over {on:?} on {threads} threads: nothing came of it within {CASE:?}");
            runtime.shutdown_background();
        }
    }
}
