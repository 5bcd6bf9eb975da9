//! How a relay ends: a first signal in good order, a second one at once.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use libchan_iris::Relay;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

/// The two signals that end a relay.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// The signal that came.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) name: &'static str,
    /// From which the exit code of an end at once is made.
    number: u8,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told { name: "SIGTERM", number: 15 },
            _ = self.interrupt.recv() => Told { name: "SIGINT", number: 2 },
        }
    }
}

/// Ends the relay in good order, within the time, unless a further signal comes meanwhile.
pub(super) async fn end<T: 'static>(
    relay: Relay,
    serving: JoinSet<T>,
    within: Duration,
    signals: &mut Signals,
) -> ExitCode {
    tokio::select! {
        () = drain(relay, serving, within) => {
            tracing::info!("iris terminated");
            ExitCode::SUCCESS
        }
        Told { name, number } = signals.next() => {
            tracing::warn!(signal = name, "ending at once");
            ExitCode::from(128 + number)
        }
    }
}

/// Lets what is under way end, then lets go of everybody. The status page stays to the last.
async fn drain<T: 'static>(relay: Relay, mut serving: JoinSet<T>, within: Duration) {
    relay.drain(within).await;
    serving.shutdown().await;
}
