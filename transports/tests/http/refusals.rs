//! Every answer that is no session has its error, and every peer that may not have one is told why.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use libchan_transports::http::{ContentType, HttpDialOptions, HttpError, HttpListenOptions};
use libchan_transports::{
    AcceptError, Candidate, DialError, DialOptions, ListenOptions, Listener, Refusal, dial, dial_with,
    listen_with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::support::*;

fn answer(error: DialError) -> HttpError {
    match error {
        DialError::Http { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

fn with_header(name: &'static str, value: &'static str) -> DialOptions {
    let http =
        HttpDialOptions::default().header(HeaderName::from_static(name), HeaderValue::from_static(value));
    DialOptions::default().http(http)
}

type Headers = &'static [(&'static str, &'static str)];

/// An h2 server that gives every request this answer.
async fn h2_saying(status: u16, headers: Headers, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut response = http::Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            stream.send_data(bytes::Bytes::from(body), true).unwrap();
        }
    });
    url
}

/// The same over HTTP/1.1, for the WebSocket carrier.
async fn h1_saying(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    format!("ws://{}", saying(text + "\r\n" + body).await)
}

#[tokio::test]
async fn answers_that_are_no_session() {
    const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");
    let reason = || "so it is".to_owned();
    let busy = |status, after: Option<u64>| HttpError::Busy {
        status,
        retry_after: after.map(Duration::from_secs),
        reason: reason(),
    };
    let cases: [(u16, Headers, HttpError); 9] = [
        (401, &[PROBLEM], HttpError::Unauthorized { reason: reason() }),
        (403, &[PROBLEM], HttpError::Forbidden { reason: reason() }),
        (404, &[("content-type", "text/html")], HttpError::NotFound),
        (429, &[PROBLEM, ("retry-after", "30")], busy(429, Some(30))),
        (503, &[PROBLEM, ("retry-after", "7")], busy(503, Some(7))),
        (503, &[PROBLEM], busy(503, None)),
        (
            302,
            &[("location", "https://login.example/")],
            HttpError::Redirect { status: 302, location: Some("https://login.example/".into()) },
        ),
        (
            200,
            &[("content-type", "text/html; charset=utf-8")],
            HttpError::NotLibchan {
                status: 200,
                content_type: Some("text/html; charset=utf-8".into()),
                reason: String::new(),
            },
        ),
        (
            415,
            &[PROBLEM],
            HttpError::NotLibchan {
                status: 415,
                content_type: Some("application/problem+json".into()),
                reason: reason(),
            },
        ),
    ];
    for (status, headers, expected) in cases {
        let body = r#"{"title":"Title","detail":"so it is"}"#;
        for url in [h2_saying(status, headers, body).await, h1_saying(status, headers, body).await] {
            let error = failure(&url).await;
            let text = error.to_string();
            assert!(text.contains(&status.to_string()) && text.starts_with(&url), "{text}");
            if let HttpError::NotLibchan { content_type: Some(kind), .. } = &expected {
                assert!(text.contains(kind), "{text}");
            }
            assert_eq!(answer(error), expected, "{url}");
        }
    }
}

#[tokio::test]
async fn servers_that_speak_something_else() {
    for scheme in ["ws", "h2c"] {
        // It answers HTTP/2 with an HTTP/1.1 error, or a WebSocket with garbage.
        let words =
            if scheme == "h2c" { "HTTP/1.1 400 Bad Request\r\n\r\n" } else { "SSH-2.0-OpenSSH_9.2\r\n" };
        let error = answer(failure(&format!("{scheme}://{}", saying(words).await)).await);
        assert!(matches!(error, HttpError::NotHttp { .. }), "{error:?}");
    }
    // Each listener speaks its own carrier only.
    let spoken = ["a session is a WebSocket here", "a session is a POST over HTTP/2 here"];
    for ((url, other), spoken) in
        [("ws://127.0.0.1:0", "h2c"), ("h2c://127.0.0.1:0", "ws")].into_iter().zip(spoken)
    {
        let listener = listen_with(url, ListenOptions::default()).await.unwrap();
        let url = format!("{other}:{}", listener.url().split_once(':').unwrap().1);
        tokio::select! {
            error = failure(&url) => match answer(error) {
                HttpError::NotLibchan { status: 405, reason, .. } => assert_eq!(reason, spoken),
                other => panic!("{other:?}"),
            },
            _ = listener.accept() => panic!("accepted over the wrong carrier"),
        }
    }
}

#[tokio::test]
#[expect(clippy::result_large_err, reason = "the library's type of callbacks")]
async fn a_server_that_selects_no_subprotocol() {
    for selected in [None, Some("chat")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = |request: &Request, mut response: Response| {
                assert_eq!(request.headers()["sec-websocket-protocol"], "libchan.v1");
                assert!(!request.headers().contains_key("sec-websocket-extensions"));
                if let Some(selected) = selected {
                    let value = HeaderValue::from_static(selected);
                    response.headers_mut().insert("sec-websocket-protocol", value);
                }
                Ok(response)
            };
            tokio_tungstenite::accept_hdr_async(stream, answer).await
        };
        let (error, _socket) = tokio::join!(failure(&url), serving);
        assert_eq!(answer(error), HttpError::WrongSubprotocol);
    }
}

// ---- our own server's refusals

async fn raw(listener: &Listener, request: &str) -> String {
    let address = listener.url().split('/').nth(2).unwrap().to_owned();
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            let read = stream.read_buf(&mut answer).await.unwrap();
            let text = String::from_utf8_lossy(&answer).into_owned();
            let upgraded = text.starts_with("HTTP/1.1 101") && text.contains("\r\n\r\n");
            if read == 0 || text.ends_with('}') || upgraded {
                return text;
            }
        }
    };
    tokio::select! {
        answer = soon(asking) => answer,
        accepted = listener.accept() => panic!("{:?}", accepted.map(drop)),
    }
}

/// An upgrade with the lines of a case replaced: an empty value leaves the line out.
fn upgrade(changes: &[(&str, &str)]) -> String {
    let mut lines = vec![
        ("Host", "test"),
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", "chat, libchan.v1"),
    ];
    for (name, value) in changes {
        lines.retain(|line| line.0 != *name);
        lines.push((name, value));
    }
    let lines = lines.iter().filter(|line| !line.1.is_empty());
    let text: String = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET /libchan/v1 HTTP/1.1\r\n{text}\r\n")
}

#[tokio::test]
async fn what_the_websocket_listener_answers() {
    let http = HttpListenOptions::default().origin("https://app.example");
    let listener = listen_with("ws://127.0.0.1:0", ListenOptions::default().http(http)).await.unwrap();
    for (request, status) in [
        (upgrade(&[]).replace("/libchan/v1", "/elsewhere"), 404),
        (upgrade(&[("Upgrade", "")]), 426),
        (upgrade(&[("Sec-WebSocket-Version", "8")]), 426),
        (upgrade(&[("Sec-WebSocket-Protocol", "")]), 400),
        (upgrade(&[("Sec-WebSocket-Protocol", "libchan.v2")]), 400),
        (upgrade(&[("Origin", "https://evil.example")]), 403),
        (upgrade(&[("Origin", "https://app.example.evil")]), 403),
        (upgrade(&[("Origin", "null")]), 403),
        (upgrade(&[]).replace("GET", "POST"), 405),
        (upgrade(&[]).replace("GET", "PUT"), 405),
    ] {
        let answer = raw(&listener, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let answer = raw(&listener, &upgrade(&[("Origin", "https://app.example")])).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains("sec-websocket-protocol: libchan.v1"),
        "{answer}"
    );
    assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
    // A proxy that translates from HTTP/2 sends no key.
    let answer = raw(&listener, &upgrade(&[("Sec-WebSocket-Key", "")])).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains("sec-websocket-accept"), "{answer}");
}

#[tokio::test]
async fn what_the_http_listener_answers() {
    let listener = listen_with("http://127.0.0.1:0", ListenOptions::default()).await.unwrap();
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", 404),
        ("GET /libchan/v1 HTTP/1.1\r\nHost: test\r\n\r\n", 426),
        ("POST /libchan/v1 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n", 505),
        ("DELETE /libchan/v1 HTTP/1.1\r\nHost: test\r\n\r\n", 405),
    ] {
        let answer = raw(&listener, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{answer}");
    }
    let url = listener.url().replace("/libchan/v1", "/elsewhere");
    tokio::select! {
        error = failure(&url) => assert_eq!(answer(error), HttpError::NotFound),
        _ = listener.accept() => panic!("accepted at another path"),
    }
}

/// An h2 request that is not ours: the status and the content type of the answer.
async fn h2_asking(listener: &Listener, request: http::request::Builder) -> (u16, String) {
    let stream = TcpStream::connect(listener.url().split('/').nth(2).unwrap()).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let (response, _body) = send.send_request(request.body(()).unwrap(), false).unwrap();
    let response = tokio::select! {
        response = soon(response) => response.unwrap(),
        accepted = listener.accept() => panic!("{:?}", accepted.map(drop)),
    };
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), content_type)
}

#[tokio::test]
async fn what_the_http2_listener_answers() {
    let listener = listen_with("h2c://127.0.0.1:0", ListenOptions::default()).await.unwrap();
    let post = || http::Request::post("http://test/libchan/v1");
    for (request, status) in [
        (post().header("content-type", "application/json"), 415),
        (post(), 415),
        (post().header("content-type", "application/vnd.libchan.v2"), 415),
        (http::Request::get("http://test/libchan/v1"), 405),
        (http::Request::post("http://test/"), 404),
        (
            post().header("content-type", "application/vnd.libchan.v1").header("origin", "https://x.example"),
            403,
        ),
    ] {
        let (found, content_type) = h2_asking(&listener, request).await;
        assert_eq!((found, content_type.as_str()), (status, "application/problem+json"));
    }
}

#[tokio::test]
async fn the_grpc_alias() {
    let listener = listen_with("h2c://127.0.0.1:0", ListenOptions::default()).await.unwrap();
    let http = HttpDialOptions::default().content_type(ContentType::Grpc);
    let dialing = dial_with(listener.url(), DialOptions::default().http(http));
    let (dialed, accepted) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
    dialed.unwrap();
    accepted.unwrap();
}

// ---- the hook

fn by_token(candidate: &Candidate<'_>) -> Result<String, Refusal> {
    match candidate.headers().get("authorization").and_then(|value| value.to_str().ok()) {
        Some("Bearer alice") => Ok("alice".to_owned()),
        Some("Bearer mallory") => Err(Refusal::forbidden("not you")),
        Some("Bearer eager") => Err(Refusal::too_many("slow down", Duration::from_millis(1500))),
        Some("Bearer late") => Err(Refusal::unavailable("closing time", Duration::from_secs(60))),
        _ => Err(Refusal::unauthorized("a token, please")),
    }
}

#[tokio::test]
async fn the_hook_decides() {
    let reason = |text: &str| text.to_owned();
    for url in BOTH {
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = told.clone();
        let options = ListenOptions::default().authorize(by_token).on_failed_handshake(move |error| {
            if let AcceptError::Refused { refusal, .. } = error {
                log.lock().unwrap().push(refusal.status());
            }
        });
        let listener = listen_with(url, options).await.unwrap();
        for (token, expected) in [
            ("Bearer mallory", HttpError::Forbidden { reason: reason("not you") }),
            (
                "Bearer eager",
                HttpError::Busy {
                    status: 429,
                    retry_after: Some(Duration::from_secs(2)),
                    reason: reason("slow down"),
                },
            ),
            (
                "Bearer late",
                HttpError::Busy {
                    status: 503,
                    retry_after: Some(Duration::from_secs(60)),
                    reason: reason("closing time"),
                },
            ),
            ("Basic x", HttpError::Unauthorized { reason: reason("a token, please") }),
        ] {
            tokio::select! {
                error = failure_with(listener.url(), with_header("authorization", token)) => {
                    assert_eq!(answer(error), expected);
                }
                _ = listener.accept() => panic!("accepted"),
            }
        }
        let dialing = dial_with(listener.url(), with_header("authorization", "Bearer alice"));
        let (dialed, accepted) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
        dialed.unwrap();
        assert_eq!(accepted.unwrap().info().principal.as_deref(), Some("alice"));
        assert_eq!(*told.lock().unwrap(), [403, 429, 503, 401]);
    }
}

#[tokio::test]
async fn a_401_says_how_to_authorize() {
    let options = ListenOptions::default().authorize(by_token);
    let listener = listen_with("ws://127.0.0.1:0", options).await.unwrap();
    let answer = raw(&listener, &upgrade(&[])).await;
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer\r\n"),
        "{answer}"
    );
}

/// The hook is the same over tcp and unix, where there are no headers.
#[tokio::test]
async fn the_hook_on_other_transports() {
    let hook = |candidate: &Candidate<'_>| match candidate.info().peer.starts_with("tcp://127.") {
        true if candidate.headers().is_empty() => Ok("local".to_owned()),
        _ => Err(Refusal::forbidden("no")),
    };
    let (_dialed, accepted, _listener) =
        pair_with("tcp://127.0.0.1:0", ListenOptions::default().authorize(hook)).await;
    assert_eq!(accepted.info().principal.as_deref(), Some("local"));
    let never = |_: &Candidate<'_>| Err::<&str, _>(Refusal::forbidden("no"));
    let path = std::env::temp_dir().join(format!("libchan-authorize-{}", std::process::id()));
    let url = format!("unix://{}", path.display());
    let listener = listen_with(&url, ListenOptions::default().authorize(never)).await.unwrap();
    tokio::select! {
        refused = dial(&url) => drop(refused.unwrap_err()),
        _ = listener.accept() => panic!("accepted"),
    }
}

#[tokio::test]
async fn identity_is_believed_from_trusted_proxies_only() {
    let hook = |candidate: &Candidate<'_>| {
        let header =
            |name: &str| candidate.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        match (header("x-client-dn"), header("x-our-user")) {
            (Some(name), Some(_)) => Ok(name),
            (None, None) => Ok("nobody".to_owned()),
            mixed => panic!("{mixed:?}"),
        }
    };
    for (proxy, principal) in [("127.0.0.0/8", "CN=cli"), ("10.0.0.0/8", "nobody")] {
        for url in BOTH {
            let http = HttpListenOptions::default()
                .trusted_proxy(proxy.parse::<libchan_transports::http::IpPrefix>().unwrap())
                .identity_header(HeaderName::from_static("x-our-user"));
            let options = ListenOptions::default().authorize(hook).http(http);
            let listener = listen_with(url, options).await.unwrap();
            let http = HttpDialOptions::default()
                .header(HeaderName::from_static("x-client-dn"), HeaderValue::from_static("CN=cli"))
                .header(HeaderName::from_static("x-our-user"), HeaderValue::from_static("cli"));
            let dialing = dial_with(listener.url(), DialOptions::default().http(http));
            let (dialed, accepted) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
            dialed.unwrap();
            assert_eq!(accepted.unwrap().info().principal.as_deref(), Some(principal), "{url} {proxy}");
        }
    }
}

#[test]
fn options_do_not_print_tokens() {
    let options = with_header("authorization", "Bearer pa55word");
    let text = format!("{options:?} {:?}", options.http);
    assert!(!text.contains("pa55word") && text.contains("authorization"), "{text}");
}
