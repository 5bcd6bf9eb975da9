//! The unix transport: `unix:///run/build.sock`, `unix:relative.sock` and, on Linux, `unix:@name`.
//!
//! Here are dialing and accepting; [`link`] moves bytes and descriptors, [`bind`] minds the socket's file.

mod bind;
mod link;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use libchan::{Role, Session};
use tokio::net::{UnixListener, UnixStream};

pub use self::link::UnixLink;
use crate::authorize::Gate;
use crate::dial::DialOptions;
use crate::error::{AcceptError, DialError, ListenError};
use crate::listen::{Acceptor, Arrival, ListenOptions, Trouble};
use crate::url::UnixAddress;

/// The most bytes of a path: the kernel's `sun_path` less the zero at its end.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PATH_LIMIT: usize = 107;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const PATH_LIMIT: usize = 103;

/// How long to wait before knocking again at a server whose backlog is full.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

impl UnixAddress {
    /// The length of the path or name, if it does not fit.
    fn excess(&self) -> Option<usize> {
        let length = match self {
            Self::Path(path) => path.as_os_str().as_bytes().len(),
            Self::Abstract(name) => name.len(),
        };
        (length > PATH_LIMIT).then_some(length)
    }

    fn to_socket_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Path(path) => SocketAddr::from_pathname(path),
            Self::Abstract(name) => abstract_name(name),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(name: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_name: &str) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract socket names exist on Linux only: use a path"))
}

/// Dials what follows `unix:`.
pub(crate) async fn dial(rest: &str, options: DialOptions) -> Result<Session, DialError> {
    let address = UnixAddress::parse(rest)?;
    if let Some(length) = address.excess() {
        return Err(DialError::PathTooLong { length, limit: PATH_LIMIT });
    }
    let url = address.to_string();
    let connected = tokio::time::timeout(options.left(), connect(&address)).await;
    let stream = match connected {
        Err(_) => return Err(options.timed_out(&url)),
        Ok(Err(error)) => return Err(not_connected(&address, error)),
        Ok(Ok(stream)) => stream,
    };
    let link = UnixLink::new(stream, url.clone()).named_by_kernel();
    let started = Session::start(link, Role::Dialer, options.session_now()).await;
    started.map_err(|error| DialError::starting(url, error))
}

async fn connect(address: &UnixAddress) -> io::Result<UnixStream> {
    let address = address.to_socket_addr()?.into();
    loop {
        match UnixStream::connect_addr(&address).await {
            // Linux says so, rather than to queue us, when the backlog is full; there is no event to wait for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(BACKLOG_PAUSE).await
            }
            outcome => return outcome,
        }
    }
}

fn not_connected(address: &UnixAddress, error: io::Error) -> DialError {
    if let (UnixAddress::Path(path), io::ErrorKind::ConnectionRefused) = (address, error.kind()) {
        // The kernel refuses a plain file with the same words as a dead server.
        if std::fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return DialError::NotASocket { path: path.clone() };
        }
    }
    DialError::connecting(address.to_string(), error)
}

/// Listens on what follows `unix:`.
pub(crate) async fn listen(rest: &str, options: &ListenOptions) -> Result<Box<dyn Acceptor>, ListenError> {
    let address = UnixAddress::parse(rest)?;
    if let Some(length) = address.excess() {
        return Err(ListenError::PathTooLong { length, limit: PATH_LIMIT });
    }
    let url = address.to_string();
    if let Some(socket) = &options.socket {
        return Ok(Box::new(UnixAcceptor::new(socket.unix(&url)?, None, url, options)));
    }
    let (listener, file) = match &address {
        UnixAddress::Path(path) => {
            let (listener, file) = bind::bind(path, options, &url).await?;
            (listener, Some(file))
        }
        UnixAddress::Abstract(_) => {
            let bound = address.to_socket_addr().and_then(|address| bind::bind_name(&address, options));
            (bound.map_err(|error| ListenError::binding(url.clone(), error))?, None)
        }
    };
    Ok(Box::new(UnixAcceptor::new(listener, file, url, options)))
}

struct UnixAcceptor {
    /// Stands before the listener, so that it is dropped first: see [`bind::SocketFile`].
    _file: Option<bind::SocketFile>,
    listener: UnixListener,
    url: String,
    gate: Gate,
    trouble: Trouble,
}

impl UnixAcceptor {
    fn new(
        listener: UnixListener,
        file: Option<bind::SocketFile>,
        url: String,
        options: &ListenOptions,
    ) -> Self {
        Self { _file: file, listener, url, gate: Gate::of(options), trouble: Trouble::default() }
    }
}

#[async_trait]
impl Acceptor for UnixAcceptor {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> Result<Arrival, AcceptError> {
        // The peer's end has no name of its own, so it goes by ours.
        let (stream, _) = self.trouble.accept(|| self.listener.accept()).await?;
        let (peer, gate) = (self.url.clone(), self.gate.clone());
        Ok(Box::new(|place| Box::pin(async move { gate.begin(UnixLink::new(stream, peer), &place).await })))
    }
}

#[cfg(test)]
mod tests;
