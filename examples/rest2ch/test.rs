//! Drives the server of the example from both sides at once.

mod client;
mod notes;
mod server;

use std::time::Duration;

use libchan_transports::DialError;
use libchan_transports::http::HttpError;
use notes::Note;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One REST request; gives the status and the body.
async fn rest(address: &str, method: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("{method} /notes HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{bearer}");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn both_ways() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(server::serve(socket));
    let alice = client::connect(&format!("h2c://{address}"), "token-of-alice").await.unwrap();
    let bob = client::connect(&format!("ws://{address}"), "token-of-bob").await.unwrap();
    let news = client::watch(&bob).await.unwrap();
    let note = |author: &str, text: &str| Note { author: author.to_owned(), text: text.to_owned() };
    // The watch has begun when its first note comes; until then notes may pass it by.
    let first = loop {
        client::add(&alice, "by libchan").await.unwrap();
        if let Ok(first) = tokio::time::timeout(Duration::from_millis(200), news.recv()).await {
            break first.unwrap().unwrap();
        }
    };
    assert_eq!(first, note("alice", "by libchan"));

    // What one writes by REST, the other sees by libchan, and the other way round.
    let (status, body) = rest(&address, "POST", Some("token-of-alice"), "by REST").await;
    assert_eq!((status, body.as_str()), (200, r#"{"author":"alice","text":"by REST"}"#));
    let next = loop {
        let next = news.recv().await.unwrap().unwrap();
        if next != first {
            break next;
        }
    };
    assert_eq!(next, note("alice", "by REST"));
    client::add(&bob, "and back").await.unwrap();
    let (status, body) = rest(&address, "GET", Some("token-of-bob"), "").await;
    assert_eq!(status, 200);
    assert!(body.ends_with(r#"{"author":"bob","text":"and back"}]"#), "{body}");

    // The same tokens.
    assert_eq!(rest(&address, "GET", None, "").await.0, 401);
    assert_eq!(rest(&address, "GET", Some("wrong"), "").await.0, 401);
    for scheme in ["h2c", "ws"] {
        let error = client::connect(&format!("{scheme}://{address}"), "wrong").await.unwrap_err();
        let error = error.downcast::<DialError>().unwrap();
        assert!(matches!(*error, DialError::Http { source: HttpError::Unauthorized { .. }, .. }), "{error}");
    }
    alice.close().await.unwrap();
    drop(news);
    bob.close().await.unwrap();
}

#[tokio::test]
async fn rest_and_libchan_at_one_port() {
    tokio::time::timeout(Duration::from_secs(30), both_ways()).await.expect("hangs");
}
