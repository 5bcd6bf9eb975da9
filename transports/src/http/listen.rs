//! Listening by URL: `h2c:`, `ws:`, and `http:` for both on one port.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::server::{Carriers, Server};
use super::service::{HttpPeer, LibchanService};
use crate::error::ListenError;
use crate::listen::{Acceptor, Arrival, ListenOptions};
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
        "ws" => Carriers::only_websocket(),
        _ => Carriers::all(),
    };
    let (listener, bound) = crate::tcp::bind(&address.host, address.port, &address.to_string()).await?;
    (address.host, address.port) = (bound.ip().to_string(), bound.port());
    let (queue, arrivals) = mpsc::channel(options.max_handshakes.max(1));
    let server = Server::new(LibchanService::new(options, queue), address.path.clone(), carriers);
    Ok(Box::new(HttpAcceptor {
        url: address.to_string(),
        scheme: address.scheme,
        listener,
        server,
        arrivals: Mutex::new(arrivals),
        places: Arc::new(Semaphore::new(options.max_handshakes.max(1))),
        stop: watch::Sender::new(false),
    }))
}

/// A tcp listener whose connections are served by tasks of their own: one connection may carry many sessions, and
/// lives on with them when the listener is closed.
struct HttpAcceptor {
    url: String,
    scheme: String,
    listener: TcpListener,
    server: Server,
    arrivals: Mutex<mpsc::Receiver<Arrival>>,
    /// For connections that have had no session yet.
    places: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

impl HttpAcceptor {
    /// The next connection, when there is a place for it.
    async fn connection(&self) -> io::Result<(TcpStream, HttpPeer, Option<OwnedSemaphorePermit>)> {
        // The semaphore is never closed.
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, peer) = self.listener.accept().await?;
        // The session does its own gathering.
        stream.set_nodelay(true)?;
        Ok((stream, HttpPeer::tcp(&self.scheme, peer), place))
    }
}

#[async_trait]
impl Acceptor for HttpAcceptor {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> io::Result<Arrival> {
        let mut arrivals = self.arrivals.lock().await;
        loop {
            tokio::select! {
                Some(arrival) = arrivals.recv() => return Ok(arrival),
                connection = self.connection() => {
                    let (stream, peer, place) = connection?;
                    let (server, stop) = (self.server.clone(), self.stop.subscribe());
                    tokio::spawn(async move { server.serve_until(stream, peer, place, stop).await });
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
