//! What one side asks of the other, and what may come of it.

use libchan_tests::*;
use serde::{Deserialize, Serialize};

/// How the other side is to go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Manner {
    /// Does it all and answers.
    Answer,
    /// Drops everything after so many steps.
    Drop(u32),
    /// Ends the answer's channel with this error after so many steps.
    Error(u32, u16),
}

impl Manner {
    pub(crate) fn any(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::Drop(rng.below(20) as u32),
            1 => Self::Error(rng.below(20) as u32, rng.below(1_000) as u16),
            _ => Self::Answer,
        }
    }

    /// After how many steps it stops.
    pub(crate) fn steps(self) -> u32 {
        match self {
            Self::Answer => u32::MAX,
            Self::Drop(steps) | Self::Error(steps, _) => steps,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Work {
    /// Add up what the message holds.
    Sum { blob: Blob, manner: Manner, reply: Sender<u64> },
    /// Add up what comes on the channel.
    Numbers { numbers: Receiver<u32>, manner: Manner, reply: Sender<u64> },
    /// Send numbers from 0 on, below this one.
    Count { below: u32, manner: Manner, to: Sender<u32> },
    /// Send back what comes on the stream, or cut it off.
    Echo { body: ByteStream, manner: Manner },
    /// Add up what can be read from the descriptor.
    File { fd: Fd, manner: Manner, reply: Sender<u64> },
    /// Send the sender back.
    Home { sender: Sender<u32>, home: Sender<Sender<u32>> },
    /// Take numbers beside others who take them, and tell what was taken.
    Share { jobs: Receiver<u32>, done: Sender<u32> },
    /// Serve what comes on the channel, too.
    More { works: Receiver<Self> },
}

/// The link was lost.
#[derive(Debug)]
pub(crate) struct Gone;

pub(crate) type Outcome = Result<(), Gone>;

pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// Sends. False: the receiver takes no more.
#[track_caller]
pub(crate) fn send<T>(sender: &Sender<T>, value: T) -> impl Future<Output = Result<bool, Gone>> {
    let place = std::panic::Location::caller();
    let sending = soon(sender.send(value));
    async move {
        match sending.await.map_err(|error| error.reason) {
            Ok(()) => Ok(true),
            Err(SendFailure::Disconnected { .. } | SendFailure::Closed(Closed::Disconnected(_))) => Err(Gone),
            Err(SendFailure::Closed(Closed::Dropped)) => Ok(false),
            Err(reason) => panic!("{reason:?} at {place}"),
        }
    }
}

/// Receives. `None`: the clean end.
#[track_caller]
pub(crate) fn receive<T>(receiver: &Receiver<T>) -> impl Future<Output = Result<Option<T>, Gone>> {
    let place = std::panic::Location::caller();
    let receiving = soon(receiver.recv());
    async move {
        match receiving.await {
            Ok(value) => Ok(value),
            Err(RecvError::Disconnected(_)) => Err(Gone),
            Err(error) => panic!("{error:?} at {place}"),
        }
    }
}

/// The answer must be this, or what the manner says.
#[track_caller]
pub(crate) fn answered<T: PartialEq + std::fmt::Debug>(
    replies: &Receiver<T>,
    manner: Manner,
    expected: T,
) -> impl Future<Output = Outcome> {
    let place = std::panic::Location::caller();
    let receiving = soon(replies.recv());
    async move {
        let answer = receiving.await;
        match (&answer, manner) {
            (Err(RecvError::Disconnected(_)), _) => return Err(Gone),
            (Ok(Some(value)), Manner::Answer) if *value == expected => {}
            (Ok(None), Manner::Drop(_)) => {}
            (Err(RecvError::Remote(error)), Manner::Error(_, code))
                if error.wire_code() == RemoteError::new(code, "").wire_code() => {}
            _ => panic!("{answer:?} instead of {expected:?} by {manner:?} at {place}"),
        }
        Ok(())
    }
}

/// What an i/o operation said: the link was lost, or it must have succeeded.
#[track_caller]
pub(crate) fn done<T>(result: std::io::Result<T>) -> Result<T, Gone> {
    match result {
        Ok(value) => Ok(value),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Err(Gone),
        Err(error) => panic!("{error:?}"),
    }
}
