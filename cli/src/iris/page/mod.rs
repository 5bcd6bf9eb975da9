//! The status page of a relay, over HTTP: `/` for people, live by the JavaScript port; `/status.json`, `/metrics` and `/healthz`
//! for programs.

mod access;
mod assets;
mod live;
mod metrics;
mod snapshot;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use libchan_iris::Relay;
use libchan_transports::http::{HttpPeer, LibchanBody, LibchanService, service};
use libchan_transports::{ListenOptions, Refusal};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(super) use self::access::Access;
pub(super) use self::live::{STATUS, Watch};
use self::snapshot::Camera;
pub(super) use self::snapshot::Snapshot;

/// Where viewers open their sessions.
pub(super) const LIVE: &str = "/live";
/// Connections at the same time: a browser has up to six.
const CONNECTIONS: usize = 256;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long accepting pauses where the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
/// Nothing from elsewhere, and no script that stands in the page: names in it cannot become one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What all connections share.
struct Server {
    camera: Camera,
    access: Access,
    live: LibchanService,
}

/// Serves the page until it is dropped.
pub(super) async fn serve(relay: Relay, socket: TcpListener, access: Access) {
    let camera = Camera::new(relay);
    let options = ListenOptions::default().authorize(access.clone());
    let (live, viewers) = service(format!("ws://status{LIVE}"), options);
    let server = Arc::new(Server { camera: camera.clone(), access, live });
    tokio::join!(accept(server, socket), live::serve(viewers, camera));
}

async fn accept(server: Arc<Server>, socket: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            Some(_gone) = connections.join_next() => continue,
        };
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    let server = server.clone();
                    let serving = async move {
                        let answering = service_fn(move |request| {
                            let server = server.clone();
                            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
                        });
                        let mut http = http1::Builder::new();
                        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
                        let served = http.serve_connection(TokioIo::new(stream), answering).with_upgrades().await;
                        if let Err(error) = served {
                            tracing::debug!(%error, %peer, "a connection to the status page ended early");
                        }
                        drop(place);
                    };
                    connections.spawn(serving);
                }
                Err(error) => {
                    tracing::warn!(%error, "the status page could not be asked for");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_gone) = connections.join_next() => {}
        }
    }
}

impl Server {
    async fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Response<Answer> {
        let path = request.uri().path().to_owned();
        if path == "/healthz" {
            // Says no more than that a tcp connection gets an answer.
            return whole(StatusCode::OK, "text/plain; charset=utf-8", "ok\n");
        }
        if let Err(refusal) = self.access.is_ours(request.headers()) {
            return refused(&refusal);
        }
        if path == LIVE {
            // That the page is ours has been looked at.
            request.headers_mut().remove(ORIGIN);
            let live = self.live.for_peer(HttpPeer::tcp("ws", peer));
            return live.handle(request).await.map(Answer::Live);
        }
        if let Err(refusal) = self.access.check(request.headers()) {
            return refused(&refusal);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = whole(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path.as_str() {
            "/" => {
                let page = assets::PAGE.replace(assets::SNAPSHOT, &self.camera.look().json());
                whole(StatusCode::OK, assets::HTML, page)
            }
            "/status.json" => whole(StatusCode::OK, "application/json", self.camera.look().json()),
            "/metrics" => {
                let text = metrics::text(&self.camera.look());
                whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
            }
            path => match assets::at(path) {
                Some(asset) => whole(StatusCode::OK, asset.kind, asset.text),
                None => whole(StatusCode::NOT_FOUND, "text/plain", "/, /status.json, /metrics, /healthz\n"),
            },
        }
    }
}

fn whole(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    response
}

fn refused(refusal: &Refusal) -> Response<Answer> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = whole(status, "text/plain; charset=utf-8", format!("{}\n", refusal.reason()));
    if status == StatusCode::UNAUTHORIZED {
        // A browser asks its user for the password, which is the token.
        let challenge = HeaderValue::from_static("Basic realm=\"iris\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The body of an answer.
enum Answer {
    Whole(Bytes),
    Live(LibchanBody),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Live(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Live(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Live(body) => body.size_hint(),
        }
    }
}
