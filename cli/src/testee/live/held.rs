//! What the testee holds, by number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libchan::{ByteStream, Fd, Incoming, Receiver, Sender, Session};
use libchan_transports::Listener;

use super::super::Fault;
use super::super::values::{End, Value};
use crate::json::{Fields, Json, json};

pub(super) enum Held {
    Session(Session),
    Listener(Arc<Listener>),
    /// Not accepted yet: it is when something is done with it.
    Incoming(Incoming),
    Sender(Sender<Value>),
    Receiver(Receiver<Value>),
    Stream(Shared),
    Fd(Fd),
}

pub(super) type Shared = Arc<Stream>;

/// A stream that is read and written at a time.
#[derive(Default)]
pub(super) struct Stream {
    /// `None` once it was sent.
    pub(super) stream: Mutex<Option<ByteStream>>,
    /// It is a descriptor's, and goes by that name.
    is_fd: bool,
    /// Held in turn by those that write, and by those that read, in the order in which they came.
    pub(super) writing: tokio::sync::Mutex<()>,
    pub(super) reading: tokio::sync::Mutex<()>,
}

impl Stream {
    pub(super) fn held(stream: ByteStream) -> Held {
        Held::Stream(Arc::new(Self { stream: Mutex::new(Some(stream)), ..Self::default() }))
    }
}

impl Held {
    fn kind(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Listener(_) => "listener",
            Self::Incoming(_) | Self::Receiver(_) => "receiver",
            Self::Sender(_) => "sender",
            Self::Stream(stream) if !stream.is_fd => "stream",
            Self::Stream(_) | Self::Fd(_) => "fd",
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Table(Arc<Mutex<Numbered>>);

#[derive(Default)]
struct Numbered {
    last: u64,
    held: HashMap<u64, Held>,
    sending: HashMap<u64, Turn>,
}

/// Held in turn by the sends of one sender, in the order in which they came: the library promises none for those of several
/// tasks.
pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;

fn no_such(kind: &str, number: &Json) -> Fault {
    Fault::new("NO_SUCH_HANDLE", format!("{kind} {number}"))
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, held: Held) -> u64 {
        let mut table = self.lock();
        table.last += 1;
        let number = table.last;
        table.held.insert(number, held);
        number
    }

    /// Takes a handle out; `kind` is the name of the field that has its number.
    pub(super) fn take(&self, request: &Json, kind: &str) -> Result<Held, Fault> {
        let number = request.field(kind);
        let mut table = self.lock();
        let known =
            number.as_u64().filter(|number| table.held.get(number).is_some_and(|it| it.kind() == kind));
        let known = known.inspect(|number| drop(table.sending.remove(number)));
        known.and_then(|number| table.held.remove(&number)).ok_or_else(|| no_such(kind, number))
    }

    fn find<T>(&self, request: &Json, kind: &str, get: impl FnOnce(&Held) -> Option<T>) -> Result<T, Fault> {
        let number = request.field(kind);
        let table = self.lock();
        let held = number.as_u64().and_then(|number| table.held.get(&number));
        held.and_then(get).ok_or_else(|| no_such(kind, number))
    }

    pub(super) fn session(&self, request: &Json) -> Result<Session, Fault> {
        self.find(request, "session", |held| match held {
            Held::Session(session) => Some(session.clone()),
            _ => None,
        })
    }

    pub(super) fn listener(&self, request: &Json) -> Result<Arc<Listener>, Fault> {
        self.find(request, "listener", |held| match held {
            Held::Listener(listener) => Some(listener.clone()),
            _ => None,
        })
    }

    pub(super) fn sender(&self, request: &Json) -> Result<Sender<Value>, Fault> {
        self.find(request, "sender", |held| match held {
            Held::Sender(sender) => Some(sender.clone()),
            _ => None,
        })
    }

    pub(super) fn turn(&self, request: &Json) -> Turn {
        let number = request.field("sender").as_u64().unwrap_or_default();
        self.lock().sending.entry(number).or_default().clone()
    }

    /// A receiver; a channel that waits to be accepted is accepted.
    pub(super) fn receiver(&self, request: &Json) -> Result<Receiver<Value>, Fault> {
        self.accept(request.field("receiver").as_u64());
        self.find(request, "receiver", |held| match held {
            Held::Receiver(receiver) => Some(receiver.clone()),
            _ => None,
        })
    }

    fn accept(&self, number: Option<u64>) {
        let mut table = self.lock();
        let Some(number) = number else { return };
        if let Some(Held::Incoming(_)) = table.held.get(&number)
            && let Some(Held::Incoming(incoming)) = table.held.remove(&number)
        {
            table.held.insert(number, Held::Receiver(incoming.receive()));
        }
    }

    /// A stream, or a descriptor that is to be read as one from now on.
    pub(super) fn stream(&self, request: &Json) -> Result<Shared, Fault> {
        let kind = if request.field("fd").is_null() { "stream" } else { "fd" };
        let number = request.field(kind);
        let mut table = self.lock();
        let at = number.as_u64().ok_or_else(|| no_such(kind, number))?;
        if let Some(Held::Fd(_)) = table.held.get(&at)
            && let Some(Held::Fd(fd)) = table.held.remove(&at)
        {
            let stream = fd.into_stream().map_err(|error| Fault::new("IO", error))?;
            let stream = Stream { stream: Mutex::new(Some(stream)), is_fd: true, ..Stream::default() };
            table.held.insert(at, Held::Stream(Arc::new(stream)));
        }
        match table.held.get(&at) {
            Some(Held::Stream(stream)) => Ok(stream.clone()),
            _ => Err(no_such(kind, number)),
        }
    }

    pub(super) fn each(&self, mut look: impl FnMut(&Held)) {
        self.lock().held.values().for_each(&mut look);
    }

    // ---- values

    /// Holds what came in a value, and says how it is named.
    pub(super) fn hold(&self, end: End) -> Json {
        let held = match end {
            End::Sender(sender) => Held::Sender(sender),
            End::Receiver(receiver) => Held::Receiver(receiver),
            End::Stream(stream) => Stream::held(stream),
            // Where descriptors are not passed, a stream stands for one.
            End::Fd(fd) if fd.is_passed() => Held::Fd(fd),
            End::Fd(fd) => match fd.into_stream() {
                Ok(stream) => Stream::held(stream),
                Err(error) => return json!({"lost": error.to_string()}),
            },
        };
        let kind = held.kind();
        json!({kind: self.put(held)})
    }

    /// Takes what a value names out of the table, and remembers its number. The same channel end twice is two handles of one
    /// end.
    pub(super) fn take_end(&self, named: &Json, taken: &mut Vec<(u64, Again)>) -> Result<End, Fault> {
        let Some((kind, number)) = named.as_object().and_then(|object| object.iter().next()) else {
            return Err(no_such("end", named));
        };
        let at = number.as_u64().unwrap_or_default();
        if let Some(again) = taken.iter().find(|(known, _)| *known == at).map(|(_, again)| again) {
            return again.end().ok_or_else(|| Fault::new("IN_USE", named));
        }
        self.accept(Some(at));
        let held = self.take(named, kind)?;
        let end = match held {
            Held::Sender(sender) => End::Sender(sender),
            Held::Receiver(receiver) => End::Receiver(receiver),
            Held::Fd(fd) => End::Fd(fd),
            Held::Stream(shared) => {
                let stream = shared.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                End::Stream(stream.ok_or_else(|| Fault::new("IN_USE", named))?)
            }
            other => {
                self.lock().held.insert(at, other);
                return Err(no_such("end", named));
            }
        };
        taken.push((at, Again::of(&end)));
        Ok(end)
    }

    /// The value was not sent: what it names is held as before.
    pub(super) fn give_back(&self, value: Value, numbers: &[u64]) {
        let mut ends = Vec::new();
        value.into_ends(&mut ends);
        let mut numbers = numbers.iter().copied();
        let mut seen: Vec<Again> = Vec::new();
        for end in ends {
            if seen.iter().any(|known| known.is(&end)) {
                continue;
            }
            seen.push(Again::of(&end));
            let Some(number) = numbers.next() else { return };
            let held = match end {
                End::Sender(sender) => Held::Sender(sender),
                End::Receiver(receiver) => Held::Receiver(receiver),
                End::Stream(stream) => Stream::held(stream),
                End::Fd(fd) => Held::Fd(fd),
            };
            self.lock().held.insert(number, held);
        }
    }
}

/// An end that is named more than once in a value.
pub(super) enum Again {
    Sender(Sender<Value>),
    Receiver(Receiver<Value>),
    Once,
}

impl Again {
    fn of(end: &End) -> Self {
        match end {
            End::Sender(sender) => Self::Sender(sender.clone()),
            End::Receiver(receiver) => Self::Receiver(receiver.clone()),
            _ => Self::Once,
        }
    }

    fn end(&self) -> Option<End> {
        match self {
            Self::Sender(sender) => Some(End::Sender(sender.clone())),
            Self::Receiver(receiver) => Some(End::Receiver(receiver.clone())),
            Self::Once => None,
        }
    }

    fn is(&self, end: &End) -> bool {
        match (self, end) {
            (Self::Sender(one), End::Sender(other)) => one.same_channel(other),
            (Self::Receiver(one), End::Receiver(other)) => one.same_channel(other),
            _ => false,
        }
    }
}
