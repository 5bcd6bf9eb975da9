//! An http server for one connection at a time: it tells HTTP/2 from HTTP/1.1 and lets nobody idle for ever.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep;

use super::problem::problem;
use super::service::{HttpPeer, LibchanService};
use crate::error::AcceptError;
use crate::places::Place;

/// Requests that one connection may have open. Proxies put many clients on one.
const STREAMS: u32 = 1024;

/// Requests that a connection's peer may break, over its life, before the connection is ended. A proxy puts many clients
/// on one connection, each of whom can break some and thereby end the sessions of all: so it is as many as a client that
/// is not a proxy has no use for, and not without a bound (RUSTSEC-2024-0003).
const LOCAL_ERRORS: usize = 64 * STREAMS as usize;

/// The same where the connection comes from a proxy that was declared as trusted, and may last for weeks.
const PROXY_ERRORS: usize = 1 << 24;

/// How long a request's headers may be.
const HEADERS: usize = 16 * 1024;

/// Which carriers a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carriers {
    http2: bool,
    websocket: bool,
}

impl Carriers {
    /// Those that are built in.
    pub fn all() -> Self {
        Self { http2: cfg!(feature = "http2"), websocket: cfg!(feature = "websocket") }
    }

    /// HTTP/2 alone.
    #[cfg(feature = "http2")]
    pub fn only_http2() -> Self {
        Self { http2: true, websocket: false }
    }

    /// WebSocket alone.
    #[cfg(feature = "websocket")]
    pub fn only_websocket() -> Self {
        Self { http2: false, websocket: true }
    }

    pub(super) fn http2(self) -> bool {
        self.http2
    }

    pub(super) fn websocket(self) -> bool {
        self.websocket
    }

    /// What a session is asked for with, for people.
    pub(super) fn spoken(self) -> &'static str {
        match (self.http2, self.websocket) {
            (true, false) => "a session is a POST over HTTP/2 here",
            (false, _) => "a session is a WebSocket here",
            (true, true) => "a session is a POST over HTTP/2 or a WebSocket here",
        }
    }

    /// The methods of such requests.
    pub(super) fn methods(self) -> &'static str {
        match (self.http2, self.websocket) {
            (true, false) => "POST",
            (false, _) => "GET",
            (true, true) => "GET, POST",
        }
    }
}

/// Serves connections that somebody else accepts, over clear text or tls.
///
/// ```no_run
/// # async fn doc(stream: tokio::net::TcpStream) -> std::io::Result<()> {
/// use libchan_transports::ListenOptions;
/// use libchan_transports::http::{Carriers, HttpPeer, Server, service};
///
/// let (service, listener) = service("http://example.com/libchan/v1", ListenOptions::default());
/// let server = Server::new(service, "/libchan/v1", Carriers::all());
/// let peer = HttpPeer::tcp("http", stream.peer_addr()?);
/// tokio::spawn(async move { server.serve(stream, peer).await });
/// let session = listener.accept().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Server {
    service: LibchanService,
    path: String,
    carriers: Carriers,
    builder: Builder<TokioExecutor>,
}

impl Server {
    /// A server that answers for `path` alone.
    pub fn new(service: LibchanService, path: impl Into<String>, carriers: Carriers) -> Self {
        let service = service.restricted(carriers);
        #[cfg_attr(not(feature = "websocket"), expect(unused_mut, reason = "nothing is announced"))]
        let mut builder = builder(service.session().limits.hello_timeout);
        #[cfg(feature = "websocket")]
        if carriers.websocket() && service.takes_extended_connect() {
            builder.http2().enable_connect_protocol();
        }
        Self { service, path: path.into(), carriers, builder }
    }

    /// Which carriers it speaks.
    pub fn carriers(&self) -> Carriers {
        self.carriers
    }

    pub(super) fn service(&self) -> &LibchanService {
        &self.service
    }

    /// Serves one connection to its end. One without a session is closed after the time that a hello may take.
    pub async fn serve<S>(&self, stream: S, peer: HttpPeer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (_never, stop) = watch::channel(false);
        self.serve_until(stream, peer, None, stop).await;
    }

    /// The same until told to stop: then sessions live on, and nothing new is begun. `place` is given back with the
    /// first session.
    pub(super) async fn serve_until<S>(
        &self,
        stream: S,
        peer: HttpPeer,
        place: Option<Arc<Place>>,
        mut stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sessions, mut count) = watch::channel(0);
        let counter = sessions.clone();
        let kept = move || -> Box<dyn Send> { Box::new(Counted::new(counter.clone())) };
        let (name, is_proxy) = (peer.info.peer.clone(), self.service.trusts(&peer));
        let service = self.service.for_peer(peer).keeping(Arc::new(kept), place.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let (service, found) = (service.clone(), request.uri().path() == self.path);
            let carriers = self.carriers;
            async move {
                Ok::<_, std::convert::Infallible>(match found {
                    true => service.handle(request).await,
                    false => problem(StatusCode::NOT_FOUND, "nothing is served at this path", carriers),
                })
            }
        });
        let patience = self.service.session().limits.hello_timeout;
        let mut builder = self.builder.clone();
        if is_proxy {
            builder.http2().max_local_error_reset_streams(PROXY_ERRORS);
        }
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), answer));
        let (mut had_session, mut stopping) = (false, false);
        loop {
            let live = *count.borrow_and_update();
            if live > 0 {
                had_session = true;
                if let Some(place) = &place {
                    place.give_back();
                }
            }
            tokio::select! {
                ended = connection.as_mut() => {
                    if let (Err(error), false) = (ended, had_session) {
                        self.service.report(AcceptError::NotHttp { peer: name, detail: error.to_string() });
                    }
                    return;
                }
                _ = count.changed() => {}
                () = sleep(patience), if live == 0 => {
                    if stopping {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    stopping = true;
                }
                Ok(_) = stop.wait_for(|stop| *stop), if !stopping => {
                    if live == 0 {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    stopping = true;
                }
            }
        }
    }
}

fn builder(patience: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(STREAMS as usize)
        .max_local_error_reset_streams(LOCAL_ERRORS)
        .max_header_list_size(HEADERS as u32);
    #[cfg(feature = "http2")]
    {
        use super::http2::{CONNECTION_WINDOW, MAX_FRAME, SEND_BUFFER, STREAM_WINDOW};
        builder
            .http2()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_send_buf_size(SEND_BUFFER);
    }
    builder
}

/// One session of a connection, for as long as its stream lives.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("path", &self.path)
            .field("carriers", &self.carriers)
            .finish_non_exhaustive()
    }
}
