//! libchan at a path of somebody else's http server, beside its ordinary routes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use libchan_transports::http::{HttpPeer, LibchanBody, LibchanService, service};
use libchan_transports::{ListenOptions, Listener, dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

/// The body of either kind of answer.
enum Either {
    Ours(LibchanBody),
    Text(Option<Bytes>),
}

impl Body for Either {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Ours(body) => std::pin::Pin::new(body).poll_frame(cx),
            Self::Text(text) => {
                std::task::Poll::Ready(text.take().map(|text| Ok(http_body::Frame::data(text))))
            }
        }
    }
}

/// A server with a route `/health` and libchan at `/api/chan`. Gives its address.
async fn server(service: LibchanService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = service.for_peer(HttpPeer::tcp("http", peer));
            let route = service_fn(move |request: Request<Incoming>| {
                let service = service.clone();
                async move {
                    let response = match request.uri().path() {
                        "/api/chan" => service.handle(request).await.map(Either::Ours),
                        "/health" => Response::new(Either::Text(Some(Bytes::from_static(b"fine")))),
                        _ => {
                            let mut response = Response::new(Either::Text(None));
                            *response.status_mut() = StatusCode::NOT_FOUND;
                            response
                        }
                    };
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), route).await;
            });
        }
    });
    address
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn beside_ordinary_routes() {
    let (service, listener) = service("http://example/api/chan", ListenOptions::default());
    assert_eq!(listener.url(), "http://example/api/chan");
    let address = server(service).await;
    let mut sessions = Vec::new();
    for scheme in ["ws", "h2c"] {
        let url = format!("{scheme}://{address}/api/chan");
        let (dialed, accepted) = soon(async { tokio::join!(dial(&url), listener.accept()) }).await;
        sessions.push((dialed.unwrap(), accepted.unwrap()));
        let answer = soon(get(address, "/health")).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nfine\r\n"), "{answer}");
        assert!(soon(get(address, "/nowhere")).await.starts_with("HTTP/1.1 404 "));
    }
    for (dialed, accepted) in &sessions {
        assert!(accepted.info().peer.starts_with("http://127.0.0.1:"));
        let (sender, receiver) = channel::<u32>(accepted, dialed).await;
        soon(sender.send(5)).await.unwrap();
        assert_eq!(soon(receiver.recv()).await.unwrap(), Some(5));
    }
    for (dialed, accepted) in sessions {
        let (closed, seen) = soon(async { tokio::join!(dialed.close(), accepted.closed()) }).await;
        assert_eq!((closed, seen), (Ok(()), Ok(())));
    }
}

fn request() -> http::request::Builder {
    Request::post("/libchan/v1")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/vnd.libchan.v1")
}

async fn call(service: &LibchanService, request: http::request::Builder) -> Response<LibchanBody> {
    let request = request.body(Either::Text(None)).unwrap();
    tower_service::Service::call(&mut service.clone(), request).await.unwrap()
}

/// Whoever does not accept is told so; nothing piles up.
#[tokio::test]
async fn a_full_queue_is_503() {
    let (service, listener) = service("x", ListenOptions::default().max_handshakes(2));
    for status in [200, 200, 503, 503] {
        let response = call(&service, request()).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get("retry-after").is_some(), status == 503);
    }
    drop(listener);
    assert_eq!(call(&service, request()).await.status(), 503);
}

/// A request's own extension says who it is from, for servers that clone one service for all connections.
#[tokio::test]
async fn the_peer_may_come_with_the_request() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let options = ListenOptions::default().authorize(move |candidate: &libchan_transports::Candidate<'_>| {
        assert_eq!(candidate.info().peer, "from the extension");
        seen.fetch_add(1, Ordering::Relaxed);
        Ok("somebody".to_owned())
    });
    let (service, listener) = service("x", options);
    let peer = HttpPeer::new(libchan::LinkInfo::new("from the extension"), None);
    let response = call(&service, request().extension(peer)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    drop::<Listener>(listener);
}

/// In axum the peer's address is known without a middleware of the user's.
#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_tells_the_peers_address() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", socket.local_addr().unwrap());
    let (service, listener) = service(&url, ListenOptions::default());
    let router = axum::Router::new().route_service("/libchan/v1", service);
    let app = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(socket, app).await });
    let dialed = soon(dial(&url)).await.unwrap();
    let accepted = soon(listener.accept()).await.unwrap();
    let peer = &accepted.info().peer;
    assert!(peer.starts_with("http://127.0.0.1:"), "{peer}");
    drop(dialed);
}
