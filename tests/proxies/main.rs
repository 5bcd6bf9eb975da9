//! Sessions through the proxies that people run. `tests/setup-peers.sh` installs them; then
//! `cargo test -p libchan-tests --test proxies -- --ignored`

mod proxy;

use libchan_tests::*;
use libchan_transports::http::{HttpDialOptions, HttpError};
use libchan_transports::tls::TlsClientOptions;
use libchan_transports::{
    Candidate, DialError, DialOptions, ListenOptions, Listener, Refusal, dial_with, listen_with,
};
use proxy::{Kind, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The schemes to dial, and what the backend has to see.
const CARRIERS: [(&str, &str); 2] = [("https", "http2"), ("wss", "websocket")];

/// A proxy and the libchan listener behind it.
struct Path {
    proxy: Proxy,
    listener: Listener,
    _scratch: Scratch,
}

impl Path {
    async fn new(kind: Kind) -> Self {
        let hook = |candidate: &Candidate<'_>| {
            let headers = candidate.headers();
            if headers.get("authorization").is_none_or(|token| token != "Bearer good") {
                return Err(Refusal::unauthorized("a token is missing"));
            }
            let websocket = headers.contains_key("sec-websocket-version");
            Ok(if websocket { "websocket" } else { "http2" }.to_owned())
        };
        let options = ListenOptions::default().authorize(hook);
        let listener = listen_with("http://127.0.0.1:0", options).await.unwrap();
        let port =
            listener.url().trim_end_matches("/libchan/v1").rsplit_once(':').unwrap().1.parse().unwrap();
        let scratch = Scratch::new();
        let proxy = Proxy::start(kind, scratch.directory(), port, authenticator().await).await;
        Self { proxy, listener, _scratch: scratch }
    }

    fn options(&self, token: &str) -> DialOptions {
        let value = format!("Bearer {token}").parse().unwrap();
        let http = HttpDialOptions::default().header(http::header::AUTHORIZATION, value);
        DialOptions::default().http(http).tls(TlsClientOptions::new().pin(self.proxy.pin))
    }

    async fn meet(&self, scheme: &str) -> (Session, Session) {
        let url = self.proxy.url(scheme);
        let dialing = dial_with(&url, self.options("good"));
        let (dialed, accepted) = soon(async { tokio::join!(dialing, self.listener.accept()) }).await;
        (dialed.unwrap(), accepted.unwrap())
    }

    async fn refused(&self, scheme: &str) -> DialError {
        let url = self.proxy.url(scheme);
        tokio::select! {
            dialed = soon(dial_with(&url, self.options("bad"))) => dialed.unwrap_err(),
            accepted = self.listener.accept() => panic!("{accepted:?}"),
        }
    }
}

/// What nginx asks about each request: 200 for the good token, 401 for any other. Gives its port.
async fn authenticator() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let status = if head.contains("authorization: bearer good\r\n") { 200 } else { 401 };
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

/// Messages cross in channels that either side opened.
async fn talk(a: &Session, b: &Session) {
    for (from, to) in [(a, b), (b, a)] {
        let (sender, receiver) = channel::<Blob>(from, to, 4).await;
        for seed in 0..8 {
            put(&sender, blob(50_000, seed)).await;
            assert!(get(&receiver).await == blob(50_000, seed));
        }
    }
}

/// Both carriers pass, a wrong token does not, and a goodbye is a clean end.
async fn passes(kind: Kind) {
    let path = Path::new(kind).await;
    for (scheme, carrier) in CARRIERS {
        let (dialed, accepted) = path.meet(scheme).await;
        assert_eq!(accepted.info().principal.as_deref(), Some(carrier));
        talk(&dialed, &accepted).await;
        let (closed, seen) = soon(async { tokio::join!(dialed.close(), accepted.closed()) }).await;
        assert_eq!((closed, seen), (Ok(()), Ok(())), "{kind:?} {carrier}");
        let error = path.refused(scheme).await;
        let unauthorized = matches!(error, DialError::Http { source: HttpError::Unauthorized { .. }, .. });
        assert!(unauthorized, "{kind:?} {carrier}: {error:?}");
    }
}

/// A graceful reload leaves the session alone, and the next one begins as before.
async fn reloads(kind: Kind, scheme: &str) {
    let path = Path::new(kind).await;
    let (dialed, accepted) = path.meet(scheme).await;
    talk(&dialed, &accepted).await;
    path.proxy.reload().await;
    talk(&dialed, &accepted).await;
    let (again, there) = path.meet(scheme).await;
    talk(&again, &there).await;
    talk(&dialed, &accepted).await;
}

/// A proxy that ends WebSockets when it reloads: the session is lost, not half alive, and the next one begins as before.
async fn ends_at_a_reload(kind: Kind, scheme: &str) {
    let path = Path::new(kind).await;
    let (dialed, accepted) = path.meet(scheme).await;
    talk(&dialed, &accepted).await;
    path.proxy.reload().await;
    for session in [&dialed, &accepted] {
        let ended = soon(session.closed()).await;
        assert!(matches!(ended, Err(SessionError::Lost | SessionError::Link(_))), "{ended:?}");
    }
    let (dialed, accepted) = path.meet(scheme).await;
    talk(&dialed, &accepted).await;
}

/// A killed proxy is a lost session on both sides, and a new dial works once it is back.
async fn dies(kind: Kind) {
    let mut path = Path::new(kind).await;
    for (scheme, _) in CARRIERS {
        let (dialed, accepted) = path.meet(scheme).await;
        let (sender, receiver) = channel::<u32>(&dialed, &accepted, 4).await;
        put(&sender, 1).await;
        assert_eq!(get(&receiver).await, 1);
        path.proxy.kill();
        assert_eq!(fail(&receiver).await, RecvError::Disconnected);
        for session in [&dialed, &accepted] {
            let ended = soon(session.closed()).await;
            assert!(matches!(ended, Err(SessionError::Lost | SessionError::Link(_))), "{ended:?}");
        }
        path.proxy.restart().await;
        let (dialed, accepted) = path.meet(scheme).await;
        talk(&dialed, &accepted).await;
    }
}

macro_rules! proxies {
    ($($name:ident, $reason:literal: $case:expr;)*) => {
        $(
            #[test]
            #[ignore = $reason]
            fn $name() {
                run(Flavor::Multi, || Box::pin($case));
            }
        )*
    };
}

proxies! {
    nginx_passes_both, "needs nginx": passes(Kind::Nginx);
    nginx_reloads_under_http2, "needs nginx": reloads(Kind::Nginx, "https");
    nginx_reloads_under_websocket, "needs nginx": reloads(Kind::Nginx, "wss");
    nginx_dies, "needs nginx": dies(Kind::Nginx);
    haproxy_passes_both, "needs haproxy": passes(Kind::HaProxy);
    haproxy_reloads_under_http2, "needs haproxy": reloads(Kind::HaProxy, "https");
    haproxy_reloads_under_websocket, "needs haproxy": reloads(Kind::HaProxy, "wss");
    haproxy_dies, "needs haproxy": dies(Kind::HaProxy);
    caddy_passes_both, "needs caddy": passes(Kind::Caddy);
    caddy_reloads_under_http2, "needs caddy": reloads(Kind::Caddy, "https");
    caddy_ends_a_websocket_at_a_reload, "needs caddy": ends_at_a_reload(Kind::Caddy, "wss");
    caddy_dies, "needs caddy": dies(Kind::Caddy);
    apache_passes_both, "needs apache2": passes(Kind::Apache);
    apache_reloads_under_http2, "needs apache2": reloads(Kind::Apache, "https");
    apache_reloads_under_websocket, "needs apache2": reloads(Kind::Apache, "wss");
    apache_dies, "needs apache2": dies(Kind::Apache);
}
