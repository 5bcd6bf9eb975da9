//! WebSockets inside HTTP/2 requests (RFC 8441), put there by a proxy that takes them over HTTP/1.1.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use libchan::{LinkInfo, Session};
use libchan_transports::http::{HttpListenOptions, dial_websocket};
use libchan_transports::{Address, DialOptions, HttpAddress, ListenOptions, Listener, bearer, listen_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::*;

async fn listener(options: HttpListenOptions) -> Listener {
    let options = ListenOptions::default().http(options).authorize(bearer(|name: &str| Ok(name.to_owned())));
    listen_with("http://127.0.0.1:0", options).await.unwrap()
}

/// The proxy's connection to the listener, for any number of WebSockets. It has seen the listener's settings.
async fn upstream(listener: &Listener) -> (SendRequest<Bytes>, tokio::task::JoinHandle<()>) {
    let stream = TcpStream::connect(listener.url().split('/').nth(2).unwrap()).await.unwrap();
    let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut ping = connection.ping_pong().unwrap();
    let driving = tokio::spawn(async move { drop(connection.await) });
    tokio::select! {
        ponged = ping.ping(h2::Ping::opaque()) => drop(ponged.unwrap()),
        _ = listener.accept() => panic!("accepted"),
    }
    send = send.ready().await.unwrap();
    (send, driving)
}

fn connect(headers: &HeaderMap, protocol: &'static str) -> Request<()> {
    let mut request =
        Request::builder().method(Method::CONNECT).uri("http://test/libchan/v1").body(()).unwrap();
    request.headers_mut().extend(headers.clone());
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

/// Takes the client's upgrade over HTTP/1.1, asks for the same inside HTTP/2, and passes bytes on.
async fn translate(mut client: DuplexStream, mut upstream: SendRequest<Bytes>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        client.read_buf(&mut head).await.unwrap();
    }
    let mut headers = HeaderMap::new();
    let mut key = String::new();
    for line in String::from_utf8(head).unwrap().lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        match name.to_ascii_lowercase().as_str() {
            "host" | "connection" | "upgrade" => {}
            "sec-websocket-key" => key = value.to_owned(),
            name => {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.append(name, value.parse().unwrap());
            }
        }
    }
    let (response, to_server) = upstream.send_request(connect(&headers, "websocket"), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["sec-websocket-protocol"], "libchan.v1");
    assert!(!response.headers().contains_key("connection") && !response.headers().contains_key("upgrade"));
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Protocol: libchan.v1\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    client.write_all(answer.as_bytes()).await.unwrap();
    let (from_client, to_client) = tokio::io::split(client);
    tokio::join!(up(from_client, to_server), down(response.into_body(), to_client));
}

async fn up(mut from: impl AsyncReadExt + Unpin, mut to: SendStream<Bytes>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let mut data = Bytes::copy_from_slice(&bytes[..read]);
        while !data.is_empty() {
            to.reserve_capacity(data.len());
            let Some(Ok(_)) = poll_fn(|cx| to.poll_capacity(cx)).await else { return };
            let part = data.split_to(data.len().min(to.capacity()));
            if to.send_data(part, false).is_err() {
                return;
            }
        }
    }
    let _ = to.send_data(Bytes::new(), true);
}

async fn down(mut from: RecvStream, mut to: impl AsyncWriteExt + Unpin) {
    while let Some(Ok(data)) = from.data().await {
        let _ = from.flow_control().release_capacity(data.len());
        if to.write_all(&data).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

async fn meet(listener: &Listener, upstream: &SendRequest<Bytes>, name: &str) -> (Session, Session) {
    let (client, theirs) = duplex(16 * 1024);
    tokio::spawn(translate(theirs, upstream.clone()));
    let address = HttpAddress::parse(&Address::parse("ws://test").unwrap()).unwrap();
    let options = DialOptions::default().session(libchan::SessionOptions::new().bearer(name));
    let dialing = dial_websocket(client, &address, LinkInfo::new("test"), options);
    let (dialed, accepted) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
    let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
    assert_eq!(accepted.principal(), Some(name));
    (dialed, accepted)
}

async fn talk(one: &Session, other: &Session) {
    for (from, to) in [(one, other), (other, one)] {
        let (sender, receiver) = channel::<serde_bytes::ByteBuf>(from, to).await;
        for _ in 0..4 {
            let bytes = serde_bytes::ByteBuf::from(pattern(100_000));
            soon(sender.send(bytes.clone())).await.unwrap();
            assert!(soon(receiver.recv()).await.unwrap() == Some(bytes));
        }
    }
}

#[tokio::test]
async fn many_websockets_on_one_connection() {
    let listener = listener(HttpListenOptions::default().extended_connect()).await;
    let (upstream, driving) = upstream(&listener).await;
    assert!(upstream.is_extended_connect_protocol_enabled());
    let (ann, to_ann) = meet(&listener, &upstream, "ann").await;
    let (bob, to_bob) = meet(&listener, &upstream, "bob").await;
    talk(&ann, &to_ann).await;
    talk(&bob, &to_bob).await;
    // One ends well, and the other does not notice.
    let (closed, seen) = soon(async { tokio::join!(ann.close(), to_ann.closed()) }).await;
    assert_eq!((closed, seen), (Ok(()), Ok(())));
    talk(&bob, &to_bob).await;
    driving.abort();
    assert_lost(soon(to_bob.closed()).await);
    assert_lost(soon(bob.closed()).await);
}

/// A connection is served for as long as a session is on it, and no longer.
#[tokio::test]
async fn a_connection_lives_as_long_as_its_sessions() {
    let mut options = ListenOptions::default().http(HttpListenOptions::default().extended_connect());
    options.session.limits.hello_timeout = Duration::from_millis(200);
    let options = options.authorize(bearer(|name: &str| Ok(name.to_owned())));
    let listener = listen_with("ws://127.0.0.1:0", options).await.unwrap();
    let (upstream, mut driving) = upstream(&listener).await;
    let (ann, to_ann) = meet(&listener, &upstream, "ann").await;
    let early = tokio::time::timeout(Duration::from_millis(800), &mut driving).await;
    assert!(early.is_err(), "the connection has ended under its session");
    talk(&ann, &to_ann).await;
    drop((ann, to_ann));
    drop(upstream);
    soon(driving).await.unwrap();
}

#[tokio::test]
async fn off_by_default_and_for_nothing_else() {
    let plain = listener(HttpListenOptions::default()).await;
    let (upstream_of_plain, _driving) = upstream(&plain).await;
    assert!(!upstream_of_plain.is_extended_connect_protocol_enabled());
    let listener =
        listener(HttpListenOptions::default().extended_connect().origin("https://app.example")).await;
    let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
        let pairs =
            [("sec-websocket-version", "13"), ("sec-websocket-protocol", "libchan.v1")].iter().chain(pairs);
        pairs.map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    };
    for (headers, protocol, status) in [
        (headers(&[("origin", "https://evil.example")]), "websocket", 403),
        (headers(&[]), "connect-udp", 405),
        (HeaderMap::new(), "websocket", 426),
    ] {
        let (mut upstream, _driving) = upstream(&listener).await;
        let (response, _body) = upstream.send_request(connect(&headers, protocol), false).unwrap();
        let response = tokio::select! {
            response = soon(response) => response.unwrap(),
            _ = listener.accept() => panic!("accepted"),
        };
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
