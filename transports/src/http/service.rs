//! The service that turns requests into sessions: mounted in our own listener, or at a path of somebody's server.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
#[cfg(feature = "http2")]
use libchan::Link;
use libchan::{Admission, LinkInfo, SessionOptions};
use tokio::sync::{Mutex, mpsc};

use super::body::LibchanBody;
use super::options::HttpListenOptions;
use super::problem::{problem, refused};
use super::proxies::remove_identity;
use super::server::Carriers;
use crate::authorize::{Candidate, Gate, Refusal};
use crate::error::AcceptError;
use crate::listen::{Acceptor, Arrival, ListenOptions, Listener, Waiting};
use crate::places::Place;

/// When a peer that found no room may come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// A libchan endpoint for an http server that exists already, and the listener that gives its sessions.
///
/// `url` is what [`Listener::url`] says: the address under which clients reach the endpoint. The listener must be
/// accepted from: as many requests as [`ListenOptions::max_handshakes`] wait for it, further ones are answered with
/// status 503.
pub fn service(url: impl Into<String>, options: ListenOptions) -> (LibchanService, Listener) {
    let (queue, arrivals) = mpsc::channel(options.max_handshakes.max(1));
    let acceptor = ServiceAcceptor { url: url.into(), arrivals: Mutex::new(arrivals) };
    let service = LibchanService::new(&options, queue);
    (service, Listener::new(Box::new(acceptor), options))
}

/// The requests of a mounted service.
struct ServiceAcceptor {
    url: String,
    arrivals: Mutex<mpsc::Receiver<Arrival>>,
}

#[async_trait]
impl Acceptor for ServiceAcceptor {
    fn url(&self) -> &str {
        &self.url
    }

    async fn accept(&self) -> Result<Arrival, AcceptError> {
        match self.arrivals.lock().await.recv().await {
            Some(arrival) => Ok(arrival),
            // The service is gone and nobody will come: only `close` ends the listener.
            None => std::future::pending().await,
        }
    }
}

/// Who has sent a request: for a server of one's own, as an extension of the request or by
/// [`LibchanService::for_peer`]. In axum neither is needed: with this crate's feature `axum`, a router that is served by
/// `into_make_service_with_connect_info::<SocketAddr>()` tells the peer's address by itself.
#[derive(Clone, Debug)]
pub struct HttpPeer {
    pub(super) info: LinkInfo,
    pub(super) address: Option<IpAddr>,
}

impl HttpPeer {
    /// A peer by its connection's address, over clear text.
    pub fn tcp(scheme: &str, address: SocketAddr) -> Self {
        Self::new(LinkInfo::new(format!("{scheme}://{address}")), Some(address.ip()))
    }

    /// A peer with whatever its connection is known to be. The address decides whether it is a trusted proxy.
    pub fn new(info: LinkInfo, address: Option<IpAddr>) -> Self {
        Self { info, address }
    }
}

/// Answers the requests for sessions: a `tower` and a `hyper` service.
///
/// An HTTP/2 POST and a WebSocket upgrade both become sessions; anything else is refused with a problem report. It
/// looks at no path: the server it is mounted in does. That server has to support upgrades for WebSocket to work.
///
/// ```no_run
/// # async fn doc(stream: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use hyper_util::rt::{TokioExecutor, TokioIo};
/// use hyper_util::server::conn::auto::Builder;
/// use libchan_transports::{ListenOptions, http};
///
/// let (service, listener) = http::service("https://example.com/libchan/v1", ListenOptions::default());
/// tokio::spawn(async move { while let Ok(session) = listener.accept().await { drop(session) } });
/// let builder = Builder::new(TokioExecutor::new());
/// builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await
/// # }
/// ```
#[derive(Clone)]
pub struct LibchanService {
    shared: Arc<Shared>,
    peer: HttpPeer,
    carriers: Carriers,
    kept: Option<Keeper>,
    /// That of the connection, while it has had no session.
    place: Option<Arc<Place>>,
}

/// Makes what lives as long as a session of the connection does.
pub(super) type Keeper = Arc<dyn Fn() -> Box<dyn Send> + Send + Sync>;

struct Shared {
    gate: Gate,
    http: HttpListenOptions,
    queue: mpsc::Sender<Arrival>,
    /// Requests that wait for the hook.
    asking: Arc<Waiting>,
}

impl LibchanService {
    pub(super) fn new(options: &ListenOptions, queue: mpsc::Sender<Arrival>) -> Self {
        let asking = Waiting::new(options.max_waiting);
        let shared = Shared { gate: Gate::of(options), http: options.http.clone(), queue, asking };
        let peer = HttpPeer::new(LinkInfo::new("http"), None);
        Self { shared: Arc::new(shared), peer, carriers: Carriers::all(), kept: None, place: None }
    }

    /// The service for the requests of one connection.
    #[must_use]
    pub fn for_peer(&self, peer: HttpPeer) -> Self {
        Self { peer, ..self.clone() }
    }

    pub(super) fn restricted(&self, carriers: Carriers) -> Self {
        Self { carriers, ..self.clone() }
    }

    /// The service for a connection that counts its sessions, and has this place until the first.
    pub(super) fn keeping(&self, kept: Keeper, place: Option<Arc<Place>>) -> Self {
        Self { kept: Some(kept), place, ..self.clone() }
    }

    pub(super) fn session(&self) -> &SessionOptions {
        &self.shared.gate.session
    }

    #[cfg(feature = "_tls")]
    pub(super) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Tells the listener of a failure, if it has the room to hear it.
    pub(super) fn report(&self, error: AcceptError) {
        self.hand(Box::new(|_| Box::pin(std::future::ready(Err(error)))));
    }

    /// Hands the listener a session to be. If it has no room, the peer's connection is dropped.
    pub(super) fn hand(&self, arrival: Arrival) {
        let _ = self.shared.queue.try_send(arrival);
    }

    /// Answers one request. A session that it asks for begins when the answer is on its way.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<LibchanBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        match self.try_handle(request).await {
            Ok(response) | Err(response) => response,
        }
    }

    async fn try_handle<B>(&self, request: Request<B>) -> Result<Response<LibchanBody>, Response<LibchanBody>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, ());
        let carrier =
            self.carrier(&request).map_err(|(status, detail)| problem(status, detail, self.carriers))?;
        let peer = self.sender_of(&request);
        let asked =
            self.ask(peer, request.headers()).await.map_err(|refusal| refused(&refusal, self.carriers))?;
        let no_room = || {
            refused(&Refusal::unavailable("too many peers wait to be accepted", COME_AGAIN), self.carriers)
        };
        let place = self.shared.queue.try_reserve().map_err(|_| no_room())?;
        let (response, arrival) = match carrier {
            #[cfg(feature = "http2")]
            Carrier::Http2 => self.http2(&request, body, asked),
            #[cfg(feature = "websocket")]
            Carrier::WebSocket(response) => {
                drop(body);
                (response, self.websocket(request, asked))
            }
        };
        place.send(arrival);
        Ok(response)
    }

    /// Whether the peer is a proxy that may say who its clients are.
    pub(super) fn trusts(&self, peer: &HttpPeer) -> bool {
        let trusted = &self.shared.http.trusted_proxies;
        peer.address.is_some_and(|address| trusted.iter().any(|proxy| proxy.contains(address)))
    }

    /// Who has sent a request: as an extension says, or the connection.
    fn sender_of(&self, request: &Request<()>) -> HttpPeer {
        if let Some(peer) = request.extensions().get::<HttpPeer>() {
            return peer.clone();
        }
        #[cfg(feature = "axum")]
        if let Some(axum::extract::ConnectInfo(address)) =
            request.extensions().get::<axum::extract::ConnectInfo<SocketAddr>>()
        {
            return HttpPeer::tcp("http", *address);
        }
        self.peer.clone()
    }

    #[cfg(feature = "websocket")]
    pub(super) fn takes_extended_connect(&self) -> bool {
        self.shared.http.extended_connect
    }

    /// What a request asks for.
    fn carrier(&self, request: &Request<()>) -> Result<Carrier, (StatusCode, &'static str)> {
        if let Some(origin) = request.headers().get(ORIGIN)
            && !self.shared.http.origins.iter().any(|allowed| origin == allowed.as_str())
        {
            return Err((StatusCode::FORBIDDEN, "pages of this origin may not connect"));
        }
        // RFC 9112, 3.2. With two, a proxy and we might not agree on which of them counts.
        if request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1 {
            return Err((StatusCode::BAD_REQUEST, "a request of HTTP/1.1 has exactly one Host"));
        }
        match (request.method(), request.version()) {
            #[cfg(feature = "http2")]
            (&Method::POST, Version::HTTP_2) if self.carriers.http2() => {
                match super::options::ContentType::named(request.headers().get(http::header::CONTENT_TYPE)) {
                    Some(_) => Ok(Carrier::Http2),
                    None => {
                        Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/vnd.libchan.v1 is spoken here"))
                    }
                }
            }
            #[cfg(feature = "websocket")]
            (&Method::GET, Version::HTTP_11)
                if self.carriers.websocket() && super::websocket::is_upgrade(request) =>
            {
                super::websocket::answer(request).map(Carrier::WebSocket)
            }
            #[cfg(feature = "websocket")]
            (&Method::CONNECT, Version::HTTP_2)
                if self.carriers.websocket()
                    && self.takes_extended_connect()
                    && super::websocket::is_extended_connect(request) =>
            {
                super::websocket::answer(request).map(Carrier::WebSocket)
            }
            (&Method::GET, _) if self.carriers.websocket() => {
                Err((StatusCode::UPGRADE_REQUIRED, "a WebSocket is spoken here"))
            }
            (&Method::POST, _) if self.carriers.http2() => {
                Err((StatusCode::HTTP_VERSION_NOT_SUPPORTED, "a POST has to come over HTTP/2"))
            }
            _ => Err((StatusCode::METHOD_NOT_ALLOWED, self.carriers.spoken())),
        }
    }

    /// Asks the hook, which sees what a proxy says of its client only if the proxy is a trusted one.
    async fn ask(&self, peer: HttpPeer, headers: &HeaderMap) -> Result<Asked, Refusal> {
        let trusted = self.trusts(&peer);
        let info = peer.info;
        if !self.shared.gate.asks() {
            return Ok(Asked { info, headers: HeaderMap::new(), admission: None });
        }
        // Further ones are told, because each holds a request in memory, and one connection may send a thousand.
        if self.shared.asking.is_full() {
            return Err(Refusal::unavailable("too many peers wait to be let in", COME_AGAIN));
        }
        let _asking = (self.shared.asking.count(), self.place.as_deref().map(Place::asking));
        let mut headers = headers.clone();
        if !trusted {
            remove_identity(&mut headers, &self.shared.http.identity_headers);
        }
        match self.shared.gate.link(Candidate::with_headers(&info, &headers)).await {
            Ok(admission) => Ok(Asked { info, headers, admission }),
            Err(refusal) => {
                self.report(AcceptError::Refused { peer: info.peer, refusal: refusal.clone() });
                Err(refusal)
            }
        }
    }

    #[cfg(feature = "http2")]
    fn http2<B>(&self, request: &Request<()>, body: B, asked: Asked) -> (Response<LibchanBody>, Arrival)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        use super::options::NO_CACHE;
        use http::header::{CACHE_CONTROL, CONTENT_TYPE};

        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let (link, stream) = super::http2::accept(body, asked.info.clone(), self.keep());
        let mut response = Response::new(LibchanBody::stream(stream));
        let headers = response.headers_mut();
        headers.extend(content_type.map(|content_type| (CONTENT_TYPE, content_type)));
        headers.insert(CACHE_CONTROL, NO_CACHE);
        // nginx buffers what it is not told to pass on.
        headers.insert("x-accel-buffering", http::HeaderValue::from_static("no"));
        (response, self.begin(link, asked))
    }

    #[cfg(feature = "websocket")]
    fn websocket(&self, mut request: Request<()>, asked: Asked) -> Arrival {
        use hyper_util::rt::TokioIo;
        use tokio::time::timeout;

        let is_shared = request.version() == Version::HTTP_2;
        let upgrading = hyper::upgrade::on(&mut request);
        let (service, limit) = (self.clone(), self.session().limits.hello_timeout);
        let kept = self.keep();
        let shake = move |place: Arc<Place>| async move {
            let not_upgraded =
                |detail: String| AcceptError::NotHttp { peer: asked.info.peer.clone(), detail };
            let upgraded = timeout(limit, upgrading).await;
            let upgraded = upgraded.map_err(|_| not_upgraded("the upgrade took too long".to_owned()))?;
            let stream = TokioIo::new(upgraded.map_err(|error| not_upgraded(error.to_string()))?);
            let link = super::WebSocketLink::accept(stream, asked.info.clone()).await;
            // Inside HTTP/2 the connection has to be served on; after an upgrade of HTTP/1.1 nothing is left of it.
            let link = if is_shared { link.keeping(kept) } else { link };
            let Asked { headers, admission, .. } = asked;
            service.shared.gate.begin_request(link, &headers, admission, &place).await
        };
        Box::new(move |place| Box::pin(shake(place)))
    }

    fn keep(&self) -> Box<dyn Send> {
        self.kept.as_ref().map_or_else(|| Box::new(()) as Box<dyn Send>, |kept| kept())
    }

    #[cfg(feature = "http2")]
    fn begin(&self, link: impl Link, asked: Asked) -> Arrival {
        let shared = self.shared.clone();
        let Asked { headers, admission, .. } = asked;
        Box::new(move |place| {
            Box::pin(async move { shared.gate.begin_request(link, &headers, admission, &place).await })
        })
    }
}

/// A request that the hook has let pass.
struct Asked {
    info: LinkInfo,
    /// What the hook has seen, and sees again with the hello.
    headers: HeaderMap,
    /// Who sends it, if that is known already.
    admission: Option<Admission>,
}

/// What a request asks for, and the answer where it is known already.
enum Carrier {
    #[cfg(feature = "http2")]
    Http2,
    #[cfg(feature = "websocket")]
    WebSocket(Response<LibchanBody>),
}

impl fmt::Debug for LibchanService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LibchanService").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The answer on its way.
type Answering = Pin<Box<dyn Future<Output = Result<Response<LibchanBody>, Infallible>> + Send>>;

impl<B> hyper::service::Service<Request<B>> for LibchanService
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    type Response = Response<LibchanBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<B>) -> Answering {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

impl<B> tower_service::Service<Request<B>> for LibchanService
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    type Response = Response<LibchanBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}
