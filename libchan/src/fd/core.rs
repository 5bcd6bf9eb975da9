//! The counted part of an `Fd`: what carries it, and the two phases of sending it.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Fd, NotPumpable, kind, pump};
use crate::stream::{InUse, RemoteStream};
use crate::sync::{Mutex, lock};

/// What a descriptor is here.
pub(super) enum Carrier {
    /// The descriptor itself.
    Descriptor(OwnedFd),
    /// A stream that stands for it.
    Remote(Arc<dyn RemoteStream>),
}

#[derive(Default)]
enum State {
    Open(Carrier),
    /// A message being sent has the carrier.
    Held,
    /// It was sent, taken, or not connected yet.
    #[default]
    Empty,
}

/// The part of an [`Fd`] that its handle and a message being sent count.
#[derive(Default)]
pub(crate) struct FdCore {
    state: Mutex<State>,
}

impl FdCore {
    pub(super) fn new(carrier: Carrier) -> Self {
        Self { state: Mutex::new(State::Open(carrier)) }
    }

    /// Takes tentative hold of the descriptor for a message; dropping the hold gives it back.
    pub(crate) fn hold(self: &Arc<Self>) -> Result<FdHold, InUse> {
        let mut state = lock(&self.state);
        match mem::replace(&mut *state, State::Held) {
            State::Open(carrier) => Ok(FdHold { core: self.clone(), carrier: Some(carrier) }),
            other => {
                *state = other;
                Err(InUse)
            }
        }
    }

    /// Completes a descriptor made by [`Fd::unconnected`] with what `fd` stands on.
    pub(crate) fn connect(&self, fd: Fd) {
        let Ok(carrier) = fd.core.take() else { return };
        let mut carrier = Some(carrier);
        {
            let mut state = lock(&self.state);
            if matches!(*state, State::Empty)
                && let Some(carrier) = carrier.take()
            {
                *state = State::Open(carrier);
            }
        }
        // A second connection would be a bug of ours; what is not taken ends, outside the lock.
        drop(carrier);
    }

    pub(super) fn take(&self) -> Result<Carrier, InUse> {
        let mut state = lock(&self.state);
        match mem::take(&mut *state) {
            State::Open(carrier) => Ok(carrier),
            other => {
                *state = other;
                Err(InUse)
            }
        }
    }

    pub(super) fn is_descriptor(&self) -> bool {
        matches!(*lock(&self.state), State::Open(Carrier::Descriptor(_)))
    }

    pub(super) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct(name);
        match &*lock(&self.state) {
            State::Open(Carrier::Descriptor(fd)) => out.field("descriptor", fd),
            State::Open(Carrier::Remote(_)) => out.field("state", &"stream"),
            State::Held => out.field("state", &"held"),
            State::Empty => out.field("state", &"sent"),
        };
        out.finish()
    }
}

impl fmt::Debug for FdCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("FdCore", f)
    }
}

/// A descriptor that is in a message being sent. Dropping it gives the descriptor back.
pub(crate) struct FdHold {
    core: Arc<FdCore>,
    /// `None` once it has gone on; the hold's drop then has nothing to give back.
    carrier: Option<Carrier>,
}

impl FdHold {
    /// For links that pass no descriptors: whether its bytes can be carried instead.
    pub(crate) fn check_pumpable(&self) -> Result<(), NotPumpable> {
        match &self.carrier {
            Some(Carrier::Descriptor(fd)) => kind::classify(fd).map(drop),
            Some(Carrier::Remote(_)) | None => Ok(()),
        }
    }

    /// For links that pass no descriptors: carries its bytes over the session's stream. Cannot fail; what goes
    /// wrong the peer sees as an error of the stream. Not to be called under a lock of the session.
    pub(crate) fn bind_stream(mut self, remote: Arc<dyn RemoteStream>) {
        match self.spend() {
            Some(Carrier::Descriptor(fd)) => pump::carry(fd, remote),
            Some(Carrier::Remote(arrived)) => pump::relay(arrived, remote),
            None => {}
        }
    }

    /// Whether it is the descriptor itself, and not a stream that stands for one.
    pub(crate) fn is_descriptor(&self) -> bool {
        matches!(self.carrier, Some(Carrier::Descriptor(_)))
    }

    /// A duplicate, close-on-exec: for a message that may go to another receiver if the first leaves without taking it.
    pub(crate) fn dup_for_passing(&self) -> io::Result<OwnedFd> {
        match &self.carrier {
            Some(Carrier::Descriptor(fd)) => Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?),
            Some(Carrier::Remote(_)) | None => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "the descriptor is here as a stream only"))
            }
        }
    }

    /// For links that pass descriptors, without a duplicate: the original. A descriptor that is here as a
    /// stream gives the hold back, for [`FdHold::bind_stream`].
    pub(crate) fn into_descriptor(mut self) -> Result<OwnedFd, Self> {
        match self.carrier.take() {
            Some(Carrier::Descriptor(fd)) => {
                *lock(&self.core.state) = State::Empty;
                Ok(fd)
            }
            other => {
                self.carrier = other;
                Err(self)
            }
        }
    }

    /// Gives the descriptor back as a handle: the message never left this process.
    pub(crate) fn release(self) -> Fd {
        Fd::from_core(self.core.clone())
    }

    fn spend(&mut self) -> Option<Carrier> {
        *lock(&self.core.state) = State::Empty;
        self.carrier.take()
    }
}

impl Drop for FdHold {
    fn drop(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            *lock(&self.core.state) = State::Open(carrier);
        }
    }
}

impl fmt::Debug for FdHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.describe("FdHold", f)
    }
}
