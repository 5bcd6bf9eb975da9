//! Listening by URL: `h2c:`, `ws:`, and `http:` for both on one port; `wss:` and `https:` the same over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};

use super::server::{Carriers, Server};
use super::service::{HttpPeer, LibchanService};
use super::stream::Stream;
use crate::error::{AcceptError, ListenError};
use crate::listen::{Acceptor, Arrival, ListenOptions, Trouble, Waiting};
use crate::places::{Place, Places};
use crate::url::{Address, HttpAddress};

/// Listens at an address of one of the http schemes.
pub(crate) async fn listen(
    address: &Address,
    options: &ListenOptions,
) -> Result<Box<dyn Acceptor>, ListenError> {
    let mut address = HttpAddress::parse(address)?;
    let carriers = match address.scheme.as_str() {
        #[cfg(feature = "http2")]
        "h2c" => Carriers::only_http2(),
        #[cfg(feature = "websocket")]
        "ws" | "wss" => Carriers::only_websocket(),
        _ => Carriers::all(),
    };
    #[cfg(feature = "_tls")]
    let tls = address.is_encrypted().then(|| tls::Tls::new(options, carriers)).transpose()?;
    let (listener, bound) =
        crate::tcp::bind(&address.host, address.port, &address.to_string(), options).await?;
    (address.host, address.port) = (bound.ip().to_string(), bound.port());
    // Room for as many failures as sessions: what is told of the one must not keep the other out.
    let (queue, arrivals) = mpsc::channel(2 * options.max_handshakes.max(1));
    let service = LibchanService::new(options, queue);
    Ok(Box::new(HttpAcceptor {
        url: address.to_string(),
        listener,
        door: Door {
            #[cfg(feature = "_tls")]
            tls,
            server: Server::new(service, address.path, carriers),
            scheme: address.scheme,
        },
        arrivals: Mutex::new(arrivals),
        // Requests that wait for the hook are counted by the service.
        places: Places::new(options.max_handshakes, Waiting::new(usize::MAX)),
        trouble: Trouble::default(),
        stop: watch::Sender::new(false),
    }))
}

/// A tcp listener whose connections are served by tasks of their own: one connection may carry many sessions, and
/// lives on with them when the listener is closed.
struct HttpAcceptor {
    url: String,
    listener: TcpListener,
    door: Door,
    arrivals: Mutex<mpsc::Receiver<Arrival>>,
    /// For connections that have had no session yet.
    places: Arc<Places>,
    trouble: Trouble,
    stop: watch::Sender<bool>,
}

impl HttpAcceptor {
    /// The next connection, when there is a place for it.
    async fn connection(&self) -> Result<(TcpStream, SocketAddr, Place), AcceptError> {
        let place = self.places.take().await;
        let (stream, peer) = self.trouble.accept(|| self.listener.accept()).await?;
        place.begin();
        Ok((stream, peer, place))
    }
}

/// What a connection of the listener meets.
#[derive(Clone)]
struct Door {
    #[cfg(feature = "_tls")]
    tls: Option<tls::Tls>,
    server: Server,
    scheme: String,
}

impl Door {
    /// Serves a connection to its end, or until it has lost its place: with its first session it needs none.
    async fn serve(self, stream: TcpStream, peer: SocketAddr, place: Place, stop: watch::Receiver<bool>) {
        let (service, lost) = (self.server.service().clone(), place.lost());
        // The session does its own gathering. A peer that is gone already shows in reading.
        let _ = stream.set_nodelay(true);
        let place = Arc::new(place);
        tokio::select! {
            () = self.serve_placed(stream, peer, place, stop) => {}
            () = lost => service.report(AcceptError::NoRoom),
        }
    }

    async fn serve_placed(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Arc<Place>,
        stop: watch::Receiver<bool>,
    ) {
        #[cfg(feature = "_tls")]
        if let Some(tls) = self.tls {
            let name = format!("{}://{peer}", self.scheme);
            return tls.serve(self.server, stream, (name, peer), place, stop).await;
        }
        let peer = HttpPeer::tcp(&self.scheme, peer);
        self.server.serve_until(Stream::Clear(stream), peer, Some(place), stop).await;
    }
}

#[async_trait]
impl Acceptor for HttpAcceptor {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> Result<Arrival, AcceptError> {
        let mut arrivals = self.arrivals.lock().await;
        loop {
            tokio::select! {
                Some(arrival) = arrivals.recv() => return Ok(arrival),
                connection = self.connection() => {
                    let (stream, peer, place) = connection?;
                    tokio::spawn(self.door.clone().serve(stream, peer, place, self.stop.subscribe()));
                }
            }
        }
    }
}

impl Drop for HttpAcceptor {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

#[cfg(feature = "_tls")]
mod tls {
    //! The same over TLS: what the client asks for by ALPN is what it gets.

    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::net::TcpStream;
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::super::server::{Carriers, Server};
    use super::super::service::HttpPeer;
    use super::super::stream::Stream;
    use super::super::{ALPN_HTTP1, ALPN_HTTP2};
    use crate::error::{AcceptError, ListenError};
    use crate::listen::ListenOptions;
    use crate::places::Place;
    use crate::tls::{ALPN, TlsConfigError, TlsServer, accept_tls, begin, peer_info};

    #[derive(Clone)]
    pub(super) struct Tls {
        server: TlsServer,
        /// What is spoken, the best first.
        alpn: Vec<&'static [u8]>,
    }

    impl Tls {
        pub(super) fn new(options: &ListenOptions, carriers: Carriers) -> Result<Self, ListenError> {
            let server = options.tls.clone().ok_or(ListenError::TlsConfig(TlsConfigError::NoServer))?;
            let mut alpn = Vec::new();
            if carriers.http2() {
                // Whoever speaks our protocol without http around it may have it at the same port.
                alpn.extend([ALPN, ALPN_HTTP2]);
            }
            if carriers.websocket() {
                alpn.push(ALPN_HTTP1);
            }
            Ok(Self { server, alpn })
        }

        /// Serves one connection, whose peer goes by this name and address.
        pub(super) async fn serve(
            self,
            server: Server,
            stream: TcpStream,
            (name, address): (String, SocketAddr),
            place: Arc<Place>,
            mut stop: watch::Receiver<bool>,
        ) {
            let service = server.service();
            let (begun, limit) = (Instant::now(), service.session().limits.hello_timeout);
            let shaken = tokio::select! {
                shaken = accept_tls(stream, &self.server, &self.alpn, limit) => shaken,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let stream = match shaken {
                Ok(stream) => stream,
                Err(source) => return service.report(AcceptError::Tls { peer: name, source }),
            };
            if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
                let gate = service.gate().clone();
                // Its handshake has a place of its own from here on.
                return service.hand(Box::new(move |place| {
                    Box::pin(async move { begin(stream, name, gate, begun, &place).await })
                }));
            }
            let peer = HttpPeer::new(peer_info(&stream, name), Some(address.ip()));
            server.serve_until(Stream::tls(stream), peer, Some(place), stop).await;
        }
    }
}
