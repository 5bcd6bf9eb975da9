//! The tls transport: `tls://host:port`. Tcp, encrypted, with a server that proves who it is and, if asked
//! to, a client that does.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use libchan_transports::tls::{TlsClientOptions, TlsServer, TlsServerOptions, TlsSource};
//! use libchan_transports::{DialOptions, ListenOptions, dial_with, listen_with};
//!
//! let chain = TlsSource::file("/etc/build/chain.pem");
//! let server = TlsServer::new(TlsServerOptions::new(chain, TlsSource::file("/etc/build/key.pem")))?;
//! let options = ListenOptions::default().tls(server.clone());
//! let listener = listen_with("tls://[::]:7400", options).await?;
//! // When the files have been renewed:
//! server.reload()?;
//!
//! // The platform's roots are the default; this is for a private authority.
//! let client = TlsClientOptions::new().root(TlsSource::file("/etc/build/root.pem"));
//! let session = dial_with("tls://build.example:7400", DialOptions::default().tls(client)).await?;
//! # Ok(()) }
//! ```

mod client;
#[cfg(feature = "dev-certs")]
mod dev;
mod error;
mod fingerprint;
mod handshake;
mod link;
mod provider;
mod server;
mod source;
mod subject;
mod verify;

use std::sync::Arc;

use async_trait::async_trait;
use libchan::{LinkInfo, Role, Session};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsStream;

pub use self::client::TlsClientOptions;
#[cfg(feature = "dev-certs")]
pub use self::dev::{DevCertificate, DevCertificateError};
pub use self::error::{TlsConfigError, TlsError};
pub use self::fingerprint::{Fingerprint, FingerprintError};
pub(crate) use self::handshake::accept_tls;
use self::handshake::{ConnectError, connect_tls};
pub use self::link::TlsLink;
#[cfg(feature = "_http")]
pub(crate) use self::link::peer_info;
pub use self::server::{TlsServer, TlsServerOptions};
pub use self::source::TlsSource;
pub use self::subject::{Subject, SubjectError};
use crate::authorize::Gate;
use crate::dial::DialOptions;
use crate::error::{AcceptError, DialError, ListenError};
use crate::listen::{Acceptor, Arrival, ListenOptions, Trouble};
use crate::places::Place;
use crate::tcp;
use crate::url::{TcpAddress, UrlError};

/// Our protocol over TLS and nothing between (`spec/carriers/tls.md`).
pub(crate) const ALPN: &[u8] = b"libchan/1";

/// Dials what follows `tls:`.
pub(crate) async fn dial(rest: &str, options: DialOptions) -> Result<Session, DialError> {
    let address = TcpAddress::parse(rest)?;
    if address.port == 0 {
        return Err(UrlError::PortZero.into());
    }
    let url = format!("tls:{rest}");
    let connecting = async {
        let stream = tcp::connect(&address.host, address.port, &url, &options).await?;
        let failed = |error| DialError::connecting(url.clone(), error);
        stream.set_nodelay(true).map_err(failed)?;
        let peer = format!("tls://{}", stream.peer_addr().map_err(failed)?);
        let stream = over(stream, &address.host, &url, &options.tls, &[ALPN]).await?;
        let info = server_info(&stream, peer, &address.host, &options.tls);
        Ok::<_, DialError>(TlsLink::known(stream, info))
    };
    let connected = tokio::time::timeout(options.left(), connecting).await;
    let link = connected.map_err(|_| options.timed_out(&url))??;
    let fault = link.fault();
    match (Session::start(link, Role::Dialer, options.session_now()).await, fault.get()) {
        (Ok(session), _) => Ok(session),
        (Err(_), Some(source)) => Err(DialError::Tls { url, source: source.clone() }),
        (Err(error), None) => Err(DialError::starting(url, error)),
    }
}

/// A client's handshake over a connection to `url`. See [`connect_tls`].
pub(crate) async fn over(
    stream: TcpStream,
    host: &str,
    url: &str,
    options: &TlsClientOptions,
    alpn: &[&[u8]],
) -> Result<TlsStream<TcpStream>, DialError> {
    connect_tls(stream, host, options, alpn).await.map_err(|error| match error {
        ConnectError::Config(source) => DialError::TlsConfig(source),
        ConnectError::Handshake(source) => DialError::Tls { url: url.to_owned(), source },
    })
}

/// What is known of the server of a stream whose handshake is done.
pub(crate) fn server_info<S>(
    stream: &TlsStream<S>,
    peer: impl Into<String>,
    host: &str,
    options: &TlsClientOptions,
) -> LinkInfo {
    let info = peer_info(stream, peer);
    match options.proved(stream, host) {
        Some(name) => info.with_principal(name),
        None => info,
    }
}

/// Listens on what follows `tls:`.
pub(crate) async fn listen(rest: &str, options: &ListenOptions) -> Result<Box<dyn Acceptor>, ListenError> {
    let address = TcpAddress::parse(rest)?;
    let server = options.tls.clone().ok_or(ListenError::TlsConfig(TlsConfigError::NoServer))?;
    let (listener, local) = tcp::bind(&address.host, address.port, &format!("tls:{rest}"), options).await?;
    let url = format!("tls://{local}");
    let (gate, trouble) = (Gate::of(options), Trouble::default());
    Ok(Box::new(TlsAcceptor { listener, url, server, gate, trouble }))
}

struct TlsAcceptor {
    listener: TcpListener,
    url: String,
    server: TlsServer,
    gate: Gate,
    trouble: Trouble,
}

#[async_trait]
impl Acceptor for TlsAcceptor {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> Result<Arrival, AcceptError> {
        let (stream, peer) = self.trouble.accept(|| self.listener.accept()).await?;
        let (server, gate) = (self.server.clone(), self.gate.clone());
        Ok(Box::new(move |place| Box::pin(arrive(stream, format!("tls://{peer}"), server, gate, place))))
    }
}

/// The handshakes of one client: that of TLS, then ours, in the time of one hello.
async fn arrive(
    stream: TcpStream,
    peer: String,
    server: TlsServer,
    gate: Gate,
    place: Arc<Place>,
) -> Result<Session, AcceptError> {
    if let Err(error) = stream.set_nodelay(true) {
        return Err(AcceptError::PeerGone { peer, source: error.into() });
    }
    let (begun, limit) = (Instant::now(), gate.session.limits.hello_timeout);
    match accept_tls(stream, &server, &[ALPN], limit).await {
        Ok(stream) => begin(stream, peer, gate, begun, &place).await,
        Err(source) => Err(AcceptError::Tls { peer, source }),
    }
}

/// The rest after the handshake of TLS, which has `begun` at that time.
pub(crate) async fn begin(
    stream: TlsStream<TcpStream>,
    peer: String,
    mut gate: Gate,
    begun: Instant,
    place: &Place,
) -> Result<Session, AcceptError> {
    let limit = &mut gate.session.limits.hello_timeout;
    *limit = limit.saturating_sub(begun.elapsed());
    let link = TlsLink::new(stream, peer.clone());
    let fault = link.fault();
    match (gate.begin(link, place).await, fault.get()) {
        (Err(AcceptError::Handshake { .. }), Some(source)) => {
            Err(AcceptError::Tls { peer, source: source.clone() })
        }
        (begun, _) => begun,
    }
}

#[cfg(all(test, feature = "unix"))]
mod tests;
