//! Sockets that listen already: bound by the program itself, or handed over by systemd.

use std::fmt;
use std::io;
use std::net;
use std::os::unix::net as unix_net;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::ListenError;

/// A socket that listens already, for [`ListenOptions::socket`](super::ListenOptions::socket). Clones are handles to the
/// same, and one listener can be made of it.
#[derive(Clone)]
pub struct ListenSocket(Arc<Mutex<Option<Kind>>>);

enum Kind {
    Tcp(net::TcpListener),
    Unix(unix_net::UnixListener),
}

impl From<net::TcpListener> for ListenSocket {
    fn from(socket: net::TcpListener) -> Self {
        Self(Arc::new(Mutex::new(Some(Kind::Tcp(socket)))))
    }
}

impl From<unix_net::UnixListener> for ListenSocket {
    fn from(socket: unix_net::UnixListener) -> Self {
        Self(Arc::new(Mutex::new(Some(Kind::Unix(socket)))))
    }
}

impl ListenSocket {
    /// The sockets that the process was started with, in their order: those of systemd's socket units, by `LISTEN_FDS`
    /// and `LISTEN_PID`. None if it was started otherwise. Call it once, at the start: the first call takes them.
    ///
    /// ```no_run
    /// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
    /// use libchan_transports::{ListenOptions, ListenSocket, listen_with};
    ///
    /// let mut options = ListenOptions::default();
    /// if let Some(socket) = ListenSocket::inherited()?.into_iter().next() {
    ///     options = options.socket(socket);
    /// }
    /// let listener = listen_with("tcp://0.0.0.0:7400", options).await?; // bound here if systemd has given nothing
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// One of them neither listens on tcp nor is a unix stream socket.
    #[cfg(feature = "systemd")]
    pub fn inherited() -> io::Result<Vec<Self>> {
        let mut found = listenfd::ListenFd::from_env();
        (0..found.len())
            .map(|at| match found.take_unix_listener(at) {
                Ok(Some(socket)) => Ok(socket.into()),
                _ => {
                    let socket = found.take_tcp_listener(at)?;
                    socket.map(Self::from).ok_or_else(|| io::ErrorKind::NotFound.into())
                }
            })
            .collect()
    }

    fn take(&self) -> Option<Kind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// As a socket of tcp, for a listener at `url`.
    #[cfg(feature = "tcp")]
    pub(crate) fn tcp(&self, url: &str) -> Result<tokio::net::TcpListener, ListenError> {
        match self.take() {
            Some(Kind::Tcp(socket)) => {
                let adopted =
                    socket.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(socket));
                adopted.map_err(|error| ListenError::binding(url.to_owned(), error))
            }
            other => Err(wrong(url, other.is_some())),
        }
    }

    /// As a unix socket, for a listener at `url`.
    #[cfg(feature = "unix")]
    pub(crate) fn unix(&self, url: &str) -> Result<tokio::net::UnixListener, ListenError> {
        match self.take() {
            Some(Kind::Unix(socket)) => {
                let adopted =
                    socket.set_nonblocking(true).and_then(|()| tokio::net::UnixListener::from_std(socket));
                adopted.map_err(|error| ListenError::binding(url.to_owned(), error))
            }
            other => Err(wrong(url, other.is_some())),
        }
    }
}

fn wrong(url: &str, is_other_kind: bool) -> ListenError {
    let text = match is_other_kind {
        true => "the given socket is of another kind than the URL's scheme",
        false => "the given socket has a listener already",
    };
    ListenError::binding(url.to_owned(), io::Error::new(io::ErrorKind::InvalidInput, text))
}

impl fmt::Debug for ListenSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListenSocket")
    }
}

#[cfg(all(test, feature = "unix", feature = "tcp"))]
mod tests {
    use super::*;
    use crate::test_support::{Scratch, soon};
    use crate::{ListenOptions, dial, listen_with};

    async fn meets(url: &str, socket: impl Into<ListenSocket>) -> String {
        let listener = listen_with(url, ListenOptions::default().socket(socket)).await.unwrap();
        let dialed = soon(dial(listener.url())).await.unwrap();
        soon(listener.accept()).await.unwrap();
        drop(dialed);
        listener.url().to_owned()
    }

    #[tokio::test]
    async fn a_socket_that_listens_already_is_used() {
        let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(meets("tcp://elsewhere.example:1", socket).await, format!("tcp://{address}"));
        #[cfg(feature = "http2")]
        {
            let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
            let expected = format!("h2c://{}/here", socket.local_addr().unwrap());
            assert_eq!(meets("h2c://x/here", socket).await, expected);
        }
        let scratch = Scratch::new();
        let path = scratch.path("s");
        let socket = unix_net::UnixListener::bind(&path).unwrap();
        let url = format!("unix://{}", path.display());
        assert_eq!(meets(&url, socket).await, url);
        assert!(path.exists(), "who has made the file removes it");
    }

    #[tokio::test]
    async fn one_listener_of_the_right_kind() {
        let scratch = Scratch::new();
        let unix = unix_net::UnixListener::bind(scratch.path("s")).unwrap();
        let error =
            listen_with("tcp://127.0.0.1:0", ListenOptions::default().socket(unix)).await.unwrap_err();
        assert!(format!("{error:?}").contains("another kind"), "{error:?}");
        let options = ListenOptions::default().socket(net::TcpListener::bind("127.0.0.1:0").unwrap());
        let _first = listen_with("tcp://x:1", options.clone()).await.unwrap();
        let error = listen_with("tcp://x:1", options).await.unwrap_err();
        assert!(format!("{error:?}").contains("already"), "{error:?}");
    }

    /// As systemd starts a service: the socket is descriptor 3, and the environment says so.
    #[cfg(feature = "systemd")]
    #[test]
    fn sockets_of_systemd_are_taken() {
        const NAME: &str = "listen::socket::tests::sockets_of_systemd_are_taken";
        if std::env::var_os("LISTEN_FDS").is_some() {
            let sockets = ListenSocket::inherited().unwrap();
            assert_eq!(sockets.len(), 1);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(meets("tcp://0.0.0.0:1", sockets.into_iter().next().unwrap()));
            return;
        }
        let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0"])
            .arg(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
            .stdin(std::os::fd::OwnedFd::from(socket))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let passed = output.status.success() && said.contains("1 passed");
        assert!(passed, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
