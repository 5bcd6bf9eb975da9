//! `https:` dials: HTTP/2, and a WebSocket where that does not get through.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libchan::Session;
use libchan_transports::http::{Carriers, HttpError, HttpPeer, Server, service};
use libchan_transports::tls::{DevCertificate, TlsClientOptions, TlsServer};
use libchan_transports::{DialError, DialOptions, ListenOptions, Listener, Refusal, dial_with, listen_with};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::support::*;

/// What a proxy does with HTTP/2.
#[derive(Clone, Copy)]
enum Http2 {
    /// Reads, and never says anything.
    Silent,
    /// Answers every request with this status and content type.
    Says(u16, &'static str),
    /// Closes the connection.
    Cuts,
    Passes,
}

/// What it does with HTTP/1.1.
#[derive(Clone, Copy)]
enum Http1 {
    Says(u16),
    Passes,
}

/// A proxy that does TLS, and a libchan endpoint behind it.
struct Proxy {
    url: String,
    options: DialOptions,
    listener: Listener,
    /// The http version of each connection so far.
    seen: Arc<Mutex<Vec<String>>>,
    does: Arc<Mutex<(Http2, Http1)>>,
}

impl Proxy {
    async fn new(http2: Http2, http1: Http1) -> Self {
        Self::with(http2, http1, ListenOptions::default()).await
    }

    async fn with(http2: Http2, http1: Http1, options: ListenOptions) -> Self {
        let certificate = DevCertificate::new(["127.0.0.1"]).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate.certificate_pem().as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", socket.local_addr().unwrap());
        let (service, listener) = service(&url, options);
        let server = Server::new(service, "/libchan/v1", Carriers::all());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let does = Arc::new(Mutex::new((http2, http1)));
        let (log, doing) = (seen.clone(), does.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let version =
                    String::from_utf8(stream.get_ref().1.alpn_protocol().unwrap().to_vec()).unwrap();
                log.lock().unwrap().push(version.clone());
                let does = *doing.lock().unwrap();
                tokio::spawn(serve(stream, version == "h2", does, server.clone()));
            }
        });
        let tls = TlsClientOptions::new().pin(certificate.fingerprint());
        Self { url, options: DialOptions::default().tls(tls), listener, seen, does }
    }

    async fn meet(&self) -> (Session, Session) {
        let dialing = dial_with(&self.url, self.options.clone());
        let (dialed, accepted) = soon(async { tokio::join!(dialing, self.listener.accept()) }).await;
        (dialed.unwrap(), accepted.unwrap())
    }

    async fn failure(&self) -> DialError {
        failure_with(&self.url, self.options.clone()).await
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn serve(stream: TlsStream<TcpStream>, is_http2: bool, (http2, http1): (Http2, Http1), server: Server) {
    let (status, content_type) = match (is_http2, http2, http1) {
        (true, Http2::Cuts, _) => return,
        (true, Http2::Silent, _) => {
            let (mut reader, _writer) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
            return;
        }
        (true, Http2::Says(status, content_type), _) => (status, content_type),
        (false, _, Http1::Says(status)) => (status, "text/html"),
        (true, Http2::Passes, _) | (false, _, Http1::Passes) => {
            let peer = HttpPeer::new(libchan::LinkInfo::new("behind a proxy"), None);
            return server.serve(stream, peer).await;
        }
    };
    let answer = hyper::service::service_fn(move |_| async move {
        let body = String::new();
        http::Response::builder().status(status).header("content-type", content_type).body(body)
    });
    let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), answer).await;
}

#[tokio::test]
async fn http2_comes_first() {
    let proxy = Proxy::new(Http2::Passes, Http1::Passes).await;
    proxy.meet().await;
    assert_eq!(proxy.seen(), ["h2"]);
}

#[tokio::test]
async fn a_websocket_where_http2_fails() {
    let html = "text/html";
    for http2 in [
        Http2::Cuts,
        Http2::Says(200, html),
        Http2::Says(302, html),
        Http2::Says(404, html),
        Http2::Says(502, html),
        Http2::Says(503, "application/problem+json"),
    ] {
        let proxy = Proxy::new(http2, Http1::Passes).await;
        let (dialed, accepted) = proxy.meet().await;
        assert_eq!(proxy.seen(), ["h2", "http/1.1"]);
        let (sender, receiver) = channel::<u32>(&accepted, &dialed).await;
        soon(sender.send(1)).await.unwrap();
        assert_eq!(soon(receiver.recv()).await.unwrap(), Some(1));
        // What worked is tried first the next time.
        proxy.meet().await;
        assert_eq!(proxy.seen(), ["http/1.1"]);
    }
}

#[tokio::test]
async fn a_websocket_where_http2_is_held_back() {
    let proxy = Proxy::new(Http2::Silent, Http1::Passes).await;
    let begun = Instant::now();
    proxy.meet().await;
    assert!((Duration::from_secs(3)..Duration::from_secs(6)).contains(&begun.elapsed()));
    assert_eq!(proxy.seen(), ["h2", "http/1.1"]);
}

/// A server that has never heard of HTTP/2 ends the handshake.
#[tokio::test]
async fn a_websocket_where_nobody_speaks_http2() {
    let certificate = DevCertificate::new(["127.0.0.1"]).unwrap();
    let server = TlsServer::new(certificate.server_options()).unwrap();
    let listener = listen_with("wss://127.0.0.1:0", ListenOptions::default().tls(server)).await.unwrap();
    let url = listener.url().replace("wss:", "https:");
    let options = DialOptions::default().tls(TlsClientOptions::new().pin(certificate.fingerprint()));
    let (dialed, accepted) = soon(async { tokio::join!(dial_with(&url, options), listener.accept()) }).await;
    dialed.unwrap();
    accepted.unwrap();
}

/// What is meant for the client and not for its carrier is the end of the dial.
#[tokio::test]
async fn a_refusal_is_final() {
    let refusals = [
        Refusal::unauthorized("no token"),
        Refusal::forbidden("not you"),
        Refusal::too_many("slower", Duration::from_secs(9)),
    ];
    for refusal in refusals {
        let status = refusal.status();
        let options = ListenOptions::default()
            .authorize(move |_: &libchan_transports::Candidate<'_>| Err::<&str, _>(refusal.clone()));
        let proxy = Proxy::with(Http2::Passes, Http1::Passes, options).await;
        let error = proxy.failure().await;
        let DialError::Http { source, .. } = error else { panic!("{error:?}") };
        let same = match source {
            HttpError::Unauthorized { .. } => status == 401,
            HttpError::Forbidden { .. } => status == 403,
            HttpError::Busy { status: said, retry_after, .. } => {
                said == status && retry_after == Some(Duration::from_secs(9))
            }
            _ => false,
        };
        assert!(same, "{source:?}");
        assert_eq!(proxy.seen(), ["h2"]);
    }
}

#[tokio::test]
async fn both_fail() {
    let proxy = Proxy::new(Http2::Says(404, "text/html"), Http1::Says(404)).await;
    let error = proxy.failure().await;
    assert!(matches!(error, DialError::Http { source: HttpError::NotFound, .. }), "{error:?}");
    assert_eq!(proxy.seen(), ["h2", "http/1.1"]);
    let proxy = Proxy::new(Http2::Says(502, "text/html"), Http1::Says(404)).await;
    let error = proxy.failure().await;
    assert!(matches!(error, DialError::NoCarrier { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("status 502") && text.contains("(404)"), "{text}");
    // The last word is the server's where it has one.
    let proxy = Proxy::new(Http2::Says(502, "text/html"), Http1::Says(403)).await;
    let error = proxy.failure().await;
    assert!(matches!(error, DialError::Http { source: HttpError::Forbidden { .. }, .. }), "{error:?}");
}

/// When what is remembered does not work any more, the other way is tried.
#[tokio::test]
async fn a_memory_that_has_grown_old() {
    let proxy = Proxy::new(Http2::Cuts, Http1::Passes).await;
    proxy.meet().await;
    assert_eq!(proxy.seen(), ["h2", "http/1.1"]);
    *proxy.does.lock().unwrap() = (Http2::Passes, Http1::Says(404));
    proxy.meet().await;
    assert_eq!(proxy.seen(), ["http/1.1", "h2"]);
    proxy.meet().await;
    assert_eq!(proxy.seen(), ["h2"]);
}
