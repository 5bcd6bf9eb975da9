//! What clients do to each other who share something: a proxy's connection, a listener whose hook is slow, a path with
//! delay.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use h2::Reason;
use http::Request;
use libchan::{LinkInfo, Role, Session, SessionOptions};
use libchan_transports::http::{
    Carriers, Http2Link, HttpDialOptions, HttpPeer, Server, WebSocketLink, service,
};
use libchan_transports::tls::{DevCertificate, TlsClientOptions, TlsServer};
use libchan_transports::{
    Authorize, Candidate, DialError, DialOptions, IoLink, ListenOptions, Refusal, bearer, dial_with,
    listen_with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use crate::support::*;

fn request() -> http::request::Builder {
    Request::post("http://test/libchan/v1").header("content-type", "application/vnd.libchan.v1")
}

/// One client of a proxy's connection resets requests in a burst, and breaks others one after the other. The session of
/// another client on the connection goes on.
#[tokio::test]
async fn a_client_that_misbehaves_does_not_end_the_sessions_beside_it() {
    let (service, listener) = service("http://test/libchan/v1", ListenOptions::default());
    let server = Server::new(service, "/libchan/v1", Carriers::all());
    let (near, far) = duplex(1 << 20);
    tokio::spawn(async move { server.serve(far, HttpPeer::new(LinkInfo::new("proxy"), None)).await });
    let (mut requests, connection) = h2::client::handshake(near).await.unwrap();
    let driving = tokio::spawn(connection);
    let (answer, mut body) = requests.send_request(request().body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from(hello().await), false).unwrap();
    let session = soon(listener.accept()).await.unwrap();
    let mut said = soon(answer).await.unwrap().into_body();
    assert!(soon(said.data()).await.unwrap().is_ok(), "the hello");

    // All before the server has seen one of them.
    let burst: Vec<_> = (0..100)
        .map(|_| {
            let (answer, mut body) = requests.send_request(request().body(()).unwrap(), false).unwrap();
            body.send_reset(Reason::CANCEL);
            answer
        })
        .collect();
    for answer in burst {
        let _ = soon(answer).await;
    }
    // Longer than it said: the library resets it, and counts.
    for _ in 0..1100 {
        let mut requests = soon(requests.clone().ready()).await.expect("the connection was ended");
        let wrong = request().header("content-length", "1").body(()).unwrap();
        let (answer, mut body) = requests.send_request(wrong, false).unwrap();
        let _ = body.send_data(Bytes::from_static(b"four"), true);
        let _ = soon(answer).await;
    }
    let channel = session.open::<u32>("still there").unwrap();
    channel.send(1).await.unwrap();
    assert!(soon(said.data()).await.unwrap().is_ok(), "the session was lost");
    assert!(!driving.is_finished());
}

/// A hook that says yes after this long.
struct Slow(Duration);

#[async_trait]
impl Authorize for Slow {
    async fn hello(&self, _peer: Candidate<'_>) -> Result<libchan::Admission, Refusal> {
        tokio::time::sleep(self.0).await;
        Ok("somebody".into())
    }
}

/// The hook thinks for longer than HTTP/2 is dialed alone. The WebSocket that is tried beside it does not win, so the
/// origin is dialed by HTTP/2 the next time too.
#[tokio::test]
async fn a_slow_hook_is_no_reason_to_prefer_the_websocket() {
    let certificate = DevCertificate::new(["127.0.0.1"]).unwrap();
    let server = TlsServer::new(certificate.server_options()).unwrap();
    let options = ListenOptions::default().tls(server).authorize(Slow(Duration::from_millis(3600)));
    let listener = listen_with("https://127.0.0.1:0", options).await.unwrap();
    let tls = TlsClientOptions::new().pin(certificate.fingerprint());
    let begun = Instant::now();
    let session = soon(dial_with(listener.url(), DialOptions::default().tls(tls))).await.unwrap();
    // One hook's time, and not that of two one after the other.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let accepted = soon(listener.accept()).await.unwrap();
    drop((session, accepted));
}

/// One total deadline: the hello of a silent peer is not waited for beyond it, and the error says what was missing.
#[tokio::test]
async fn the_connect_timeout_is_that_of_the_whole_dial() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    for scheme in ["tcp", "h2c", "ws", "tls"] {
        let options = DialOptions::default().connect_timeout(Duration::from_millis(300));
        let begun = Instant::now();
        let error = failure_with(&format!("{scheme}://{address}"), options).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{scheme}: {:?}", begun.elapsed());
        match scheme {
            "ws" | "tls" => assert!(matches!(error, DialError::TimedOut { .. }), "{error:?}"),
            _ => assert!(error.to_string().contains("did not say hello in time"), "{error}"),
        }
    }
}

/// A refusal says where a token goes.
#[tokio::test]
async fn a_missing_token_is_asked_for_by_its_place() {
    let hook = bearer(|_: &str| Ok("somebody".to_owned()));
    let listener = listen_with("tcp://127.0.0.1:0", ListenOptions::default().authorize(hook)).await.unwrap();
    let options = DialOptions::default().session(SessionOptions::new().metadata("token", "sesame"));
    let error = failure_with(listener.url(), options).await.to_string();
    assert!(error.contains("authorization") && error.contains("Bearer TOKEN"), "{error}");
}

/// What a plain http client gets for this request.
async fn answer(head: &str) -> String {
    let (service, listener) = service("http://test/libchan/v1", ListenOptions::default());
    let server = Server::new(service, "/libchan/v1", Carriers::all());
    let (mut near, far) = duplex(1 << 16);
    tokio::spawn(async move { server.serve(far, HttpPeer::new(LinkInfo::new("test"), None)).await });
    near.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        assert!(soon(near.read_buf(&mut read)).await.unwrap() > 0, "no answer");
    }
    drop(listener);
    String::from_utf8_lossy(&read).to_ascii_lowercase()
}

#[tokio::test]
async fn requests_that_are_not_right_are_refused() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: libchan.v1\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (headers, status) in [
        (format!("Host: x\r\n{upgrade}{key}"), "101"),
        (format!("Host: x\r\nHost: y\r\n{upgrade}{key}"), "400"),
        (format!("{upgrade}{key}"), "400"),
        (format!("Host: x\r\n{upgrade}Sec-WebSocket-Key: abc\r\n"), "400"),
        ("Host: x\r\n".to_owned(), "426"),
    ] {
        let said = answer(&format!("GET /libchan/v1 HTTP/1.1\r\n{headers}\r\n")).await;
        assert!(said.starts_with(&format!("http/1.1 {status}")), "{headers}: {said}");
        assert!(status != "426" || said.contains("upgrade: websocket"), "{said}");
    }
}

/// Each way of a pipe takes half a round trip.
const HALF: Duration = Duration::from_millis(100);

/// A pipe as wide as one likes, with a delay; the time is virtual.
fn delayed() -> (DuplexStream, DuplexStream) {
    let ((near, ours), (theirs, far)) = (duplex(64 << 20), duplex(64 << 20));
    let (near_reader, near_writer) = tokio::io::split(ours);
    let (far_reader, far_writer) = tokio::io::split(theirs);
    for (mut reader, mut writer) in [(near_reader, far_writer), (far_reader, near_writer)] {
        let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        tokio::spawn(async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read @ 1..) = reader.read(&mut bytes).await {
                let _ = queue.send((Instant::now() + HALF, bytes[..read].to_vec()));
            }
        });
        tokio::spawn(async move {
            while let Some((at, bytes)) = queued.recv().await {
                tokio::time::sleep_until(at).await;
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
    }
    (near, far)
}

async fn dialed(carrier: &str, stream: DuplexStream) -> Session {
    let address = libchan_transports::HttpAddress::parse(&format!("{carrier}://test").parse().unwrap());
    let (info, options) = (LinkInfo::new("test"), HttpDialOptions::default());
    let session = SessionOptions::default();
    match carrier {
        "h2c" => {
            let link = Http2Link::connect(stream, &address.unwrap(), &options, info).await.unwrap();
            Session::start(link, Role::Dialer, session).await
        }
        "ws" => {
            let link = WebSocketLink::connect(stream, &address.unwrap(), &options, info).await.unwrap();
            Session::start(link, Role::Dialer, session).await
        }
        _ => Session::start(IoLink::with_info(stream, info), Role::Dialer, session).await,
    }
    .unwrap()
}

/// How many round trips 32 MiB take from the acceptor to the dialer.
async fn round_trips(carrier: &'static str) -> u32 {
    let (service, listener) = service("http://test/libchan/v1", ListenOptions::default());
    let server = Server::new(service, "/libchan/v1", Carriers::all());
    let (near, far) = delayed();
    let accepting = async {
        if carrier == "tcp" {
            let link = IoLink::new(far, "test");
            return Session::start(link, Role::Acceptor, SessionOptions::default()).await.unwrap();
        }
        tokio::spawn(async move { server.serve(far, HttpPeer::new(LinkInfo::new("test"), None)).await });
        listener.accept().await.unwrap()
    };
    let (dialed, accepted) = tokio::join!(dialed(carrier, near), accepting);
    let (sender, receiver) = channel::<serde_bytes::ByteBuf>(&accepted, &dialed).await;
    let begun = Instant::now();
    let sending = async {
        for _ in 0..32 {
            sender.send(serde_bytes::ByteBuf::from(vec![7; 1 << 20])).await.unwrap();
        }
    };
    let receiving = async {
        for _ in 0..32 {
            receiver.recv().await.unwrap().unwrap();
        }
    };
    tokio::join!(sending, receiving);
    (begun.elapsed().as_millis() / (2 * HALF).as_millis()) as u32
}

/// The carrier that `https:` prefers costs no more round trips than the others.
#[tokio::test(start_paused = true)]
async fn delay_costs_all_carriers_the_same() {
    let (plain, http2, ws) = (round_trips("tcp").await, round_trips("h2c").await, round_trips("ws").await);
    println!("round trips for 32 MiB: a plain stream {plain}, HTTP/2 {http2}, WebSocket {ws}");
    assert!(http2 <= plain + 2 && ws <= plain + 2, "plain {plain}, HTTP/2 {http2}, WebSocket {ws}");
}
