//! Where a case runs: the transport that gives its sessions, and the runtime that drives them.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use libchan::{Message, OpenOptions, Receiver, Role, Sender, Session, SessionOptions};
use libchan_transports::tls::{DevCertificate, Fingerprint, TlsClientOptions, TlsServer};
use libchan_transports::{DialError, DialOptions, ListenOptions, Listener, dial_with, listen_with};
use tokio::runtime::{Builder, Runtime};

use crate::help::{Rng, Scratch, soon};
use crate::wire::{Switch, wire};

/// How long a case may take in all.
const CASE: Duration = Duration::from_secs(30);

/// The transport of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Values move in this process.
    Memory,
    /// The same name, and a link within this process: values are encoded.
    Linked,
    /// A unix socket at a temporary path.
    Unix,
    /// Tcp over the loopback interface, at a free port.
    Tcp,
    /// Tcp over TLS, with a pinned certificate.
    Tls,
    /// An HTTP/2 stream in clear text, over the loopback interface.
    Http2,
    /// A WebSocket in clear text, over the loopback interface.
    WebSocket,
    /// An HTTP/2 stream over TLS, with a pinned certificate.
    Https,
    /// A WebSocket over TLS, with a pinned certificate.
    Wss,
    /// Our own in-memory link, which cuts bytes at seeded places and can be broken.
    Wire,
}

impl On {
    /// Two connected sessions: the dialer's and the acceptor's.
    pub async fn pair(self) -> (Session, Session) {
        self.pair_with(SessionOptions::default(), SessionOptions::default()).await
    }

    /// The same with options.
    pub async fn pair_with(self, dialer: SessionOptions, acceptor: SessionOptions) -> (Session, Session) {
        if self == Self::Wire {
            let (a, b, _) = self.switched_with(dialer, acceptor).await;
            return (a, b);
        }
        let place = self.listen(ListenOptions::default().session(acceptor)).await;
        let (dialed, accepted) = place.meet(dialer).await;
        (dialed.expect("dial"), accepted)
    }

    /// A listener, and how it is dialed. Our own link has none.
    pub async fn listen(self, mut options: ListenOptions) -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut scratch = None;
        let url = match self {
            Self::Wire => panic!("there is no URL for it"),
            Self::Memory | Self::Linked => {
                format!("mem:contract-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
            }
            Self::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Self::Tls => "tls://127.0.0.1:0".to_owned(),
            Self::Http2 => "h2c://127.0.0.1:0".to_owned(),
            Self::WebSocket => "ws://127.0.0.1:0".to_owned(),
            Self::Https => "https://127.0.0.1:0".to_owned(),
            Self::Wss => "wss://127.0.0.1:0".to_owned(),
            Self::Unix => {
                let path = scratch.insert(Scratch::new()).path("s");
                format!("unix://{}", path.display())
            }
        };
        let mut dialing = DialOptions::default();
        if matches!(self, Self::Tls | Self::Https | Self::Wss) {
            let (server, pin) = tls();
            (options, dialing) = (options.tls(server), dialing.tls(TlsClientOptions::new().pin(pin)));
        }
        if self == Self::Linked {
            options = options.as_a_link();
        }
        let listener = listen_with(&url, options).await.expect("listen");
        Place { listener, dialing, _scratch: scratch }
    }

    /// Two sessions over our own link, and the switch that breaks it.
    pub async fn switched(self) -> (Session, Session, Switch) {
        self.switched_with(SessionOptions::default(), SessionOptions::default()).await
    }

    /// The same with options.
    pub async fn switched_with(
        self,
        dialer: SessionOptions,
        acceptor: SessionOptions,
    ) -> (Session, Session, Switch) {
        let (left, right, switch) = wire(Rng::new("wire").next());
        let dialing = Session::start(left, Role::Dialer, dialer);
        let accepting = Session::start(right, Role::Acceptor, acceptor);
        let (dialed, accepted) = soon(async { tokio::join!(dialing, accepting) }).await;
        (dialed.expect("dialer's session"), accepted.expect("acceptor's session"), switch)
    }

    /// Whether values are encoded when they cross: the memory transport moves them.
    pub fn encodes(self) -> bool {
        self != Self::Memory
    }

    /// Whether the dialer knows who the listener is.
    pub fn proves_the_server(self) -> bool {
        matches!(self, Self::Unix | Self::Tls | Self::Https | Self::Wss)
    }

    /// Whether descriptors themselves cross, rather than their bytes.
    pub fn passes_descriptors(self) -> bool {
        matches!(self, Self::Memory | Self::Linked | Self::Unix)
    }
}

/// A listener, and how it is dialed.
#[derive(Debug)]
pub struct Place {
    /// Where to accept.
    pub listener: Listener,
    dialing: DialOptions,
    _scratch: Option<Scratch>,
}

impl Place {
    /// Dials, with these options of the session.
    pub async fn dial(&self, session: SessionOptions) -> Result<Session, DialError> {
        let options = self.dialing.clone().session(session);
        soon(dial_with(self.listener.url(), options)).await
    }

    /// Dials and accepts. The dial may fail, and somebody must be accepted.
    pub async fn meet(&self, session: SessionOptions) -> (Result<Session, DialError>, Session) {
        let (dialed, accepted) = tokio::join!(self.dial(session), soon(self.listener.accept()));
        (dialed, accepted.expect("accept"))
    }

    /// Dials in vain: nobody must be accepted. The listener goes on meanwhile.
    pub async fn turned_away(&self, session: SessionOptions) -> DialError {
        tokio::select! {
            dialed = self.dial(session) => dialed.expect_err("a session for somebody who may not"),
            accepted = self.listener.accept() => panic!("accepted {accepted:?}"),
        }
    }
}

/// A server with a certificate made for this process, and what its clients pin.
pub fn tls() -> (TlsServer, Fingerprint) {
    static CERTIFICATE: LazyLock<DevCertificate> =
        LazyLock::new(|| DevCertificate::new(["localhost", "127.0.0.1"]).expect("a certificate"));
    let server = TlsServer::new(CERTIFICATE.server_options()).expect("a server");
    (server, CERTIFICATE.fingerprint())
}

/// A named channel from one session to the other.
#[track_caller]
pub fn channel<T: Message>(
    from: &Session,
    to: &Session,
    capacity: usize,
) -> impl Future<Output = (Sender<T>, Receiver<T>)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("channel {}", COUNT.fetch_add(1, Ordering::Relaxed));
    let sender = from.open_with(&name, OpenOptions::new().capacity(capacity)).expect("open");
    let accepting = soon(to.accept());
    async move {
        let incoming = accepting.await.expect("accept").expect("a channel");
        assert_eq!(incoming.name(), name);
        (sender, incoming.receive())
    }
}

/// The runtime of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Everything on one thread.
    Current,
    /// Two threads, besides the one of the case itself.
    Multi,
}

impl Flavor {
    fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::Current => Builder::new_current_thread(),
            Self::Multi => Builder::new_multi_thread(),
        };
        builder.worker_threads(2).enable_all().build().expect("runtime")
    }
}

/// A case on its way: boxed, so that the harness is compiled once and not for every case.
pub type Case = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a case to its end, or fails with its name: also if it spins without ever giving way.
#[track_caller]
pub fn run(flavor: Flavor, case: fn() -> Case) {
    watched(Box::new(move || {
        let runtime = flavor.runtime();
        let done = runtime.block_on(async { tokio::time::timeout(CASE, case()).await });
        runtime.shutdown_background();
        assert!(done.is_ok(), "hangs");
    }));
}

/// Runs a case on one thread with paused time: it passes only when everybody waits.
#[track_caller]
pub fn run_paused(case: fn() -> Case) {
    watched(Box::new(move || {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime");
        runtime.block_on(case());
    }));
}

/// A thread that does not come to its end is left behind, and the test fails.
#[track_caller]
fn watched(case: Box<dyn FnOnce() + Send>) {
    let (done, waiting) = mpsc::channel::<()>();
    let name = std::thread::current().name().unwrap_or("case").to_owned();
    let thread = std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            let _done = done;
            case();
        })
        .expect("thread");
    // Nothing is sent: the sender is dropped when the case is over.
    if let Err(mpsc::RecvTimeoutError::Timeout) = waiting.recv_timeout(CASE + Duration::from_secs(10)) {
        panic!("spins, or blocks its thread");
    }
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}
