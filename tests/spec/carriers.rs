//! carriers.json against the carriers http2 and websocket over 127.0.0.1: what a dialer asks for, what an acceptor
//! answers, and what a dialer makes of an answer. The other kinds are for the tests of the carriers themselves.

use std::time::Duration;

use bytes::Bytes;
use h2::{client, server};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use libchan::Session;
use libchan_transports::http::HttpDialOptions;
use libchan_transports::{DialError, DialOptions, ListenOptions, dial_with, listen_with};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{json, word};

/// Nothing here takes long; a test that hangs fails.
const LONG: Duration = Duration::from_secs(20);

fn entries(carrier: &str, kind: &str) -> Vec<Value> {
    let all = json("vectors/carriers.json");
    let found: Vec<Value> = all
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| entry["carrier"] == carrier && entry["kind"] == kind)
        .cloned()
        .collect();
    assert!(!found.is_empty(), "no {kind} of {carrier}");
    found
}

/// A preface and a hello of default numbers.
fn greeting() -> Vec<u8> {
    let frames = json("vectors/frames.json");
    let hello = frames.as_array().and_then(|list| list.iter().find(|entry| entry["id"] == "fr.hello.002"));
    let hex = format!("6c69626368616e01{}", word(hello.expect("a hello"), "hex"));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// A head as it was seen: the status, or 0 for a request's, and the headers with the pseudo headers among them.
#[derive(Debug)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn of(status: u16, pseudo: &[(&str, &str)], headers: &HeaderMap) -> Self {
        let own =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()));
        let pseudo = pseudo.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { status, headers: pseudo.chain(own).collect() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }

    /// `headers`, `absent`, `present` and `random` of an entry.
    fn check(&self, entry: &Value) {
        let id = word(entry, "id");
        for (name, value) in object(&entry["headers"]) {
            if name == ":version" {
                continue;
            }
            assert_eq!(self.get(&name), value.as_str(), "{id}: {name} of {self:?}");
        }
        for name in entry["absent"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert_eq!(self.get(name), None, "{id}: {name}");
        }
        for name in entry["present"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(self.get(name).is_some(), "{id}: no {name}");
        }
        for (name, pattern) in object(&entry["random"]) {
            // Both patterns are 22 digits of base64, with or without its end.
            let end =
                if pattern.as_str().is_some_and(|pattern| pattern.ends_with("==$")) { "==" } else { "" };
            let value = self.get(&name).unwrap_or_else(|| panic!("{id}: no {name}"));
            let digits = value.strip_suffix(end).unwrap_or_else(|| panic!("{id}: {name} is {value}"));
            let good = |c: char| c.is_ascii_alphanumeric() || "-_+/".contains(c);
            assert!(digits.len() == 22 && digits.chars().all(good), "{id}: {name} is {value}");
        }
    }
}

fn is_status(entry: &Value, status: u16) -> bool {
    match &entry["status"] {
        Value::Array(any) => any.iter().any(|one| *one == status),
        one => *one == status,
    }
}

// ---- WebSocket, by hand

/// Reads a head of HTTP/1.1.
async fn read_head(stream: &mut TcpStream) -> Head {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.expect("a head"));
    }
    let text = String::from_utf8(text).expect("a head in ASCII");
    let mut lines = text.lines();
    let first: Vec<&str> = lines.next().expect("a first line").split(' ').collect();
    let mut headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    match first[0].starts_with("HTTP/") {
        true => Head { status: first[1].parse().expect("a status"), headers },
        false => {
            headers.push((":method".to_owned(), first[0].to_owned()));
            headers.push((":path".to_owned(), first[1].to_owned()));
            Head { status: 0, headers }
        }
    }
}

fn write_head(first: &str, headers: &Map<String, Value>) -> Vec<u8> {
    let mut out = format!("{first}\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        out += &format!("{name}: {}\r\n", value.as_str().expect("a header"));
    }
    (out + "\r\n").into_bytes()
}

async fn serve(url: &str) -> (String, JoinHandle<()>) {
    let listener = listen_with(url, ListenOptions::default()).await.expect("listen");
    let address =
        listener.url().split("://").nth(1).expect("a URL").split('/').next().expect("a host").to_owned();
    let task = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    (address, task)
}

#[tokio::test]
async fn an_acceptor_of_websocket_answers() {
    let (address, task) = serve("ws://127.0.0.1:0/libchan/v1").await;
    for entry in entries("websocket", "answer") {
        let request = object(&entry["request"]);
        let pseudo = |name: &str| request[name].as_str().expect("a text").to_owned();
        let mut stream = TcpStream::connect(&address).await.expect("connect");
        let first = format!("{} {} {}", pseudo(":method"), pseudo(":path"), pseudo(":version"));
        stream.write_all(&write_head(&first, &request)).await.expect("write");
        let head = timeout(LONG, read_head(&mut stream)).await.expect("an answer");
        assert!(is_status(&entry, head.status), "{}: {}", entry["id"], head.status);
        head.check(&entry);
    }
    task.abort();
}

/// Dials `url` with these options, in a task.
fn dialing(url: String, bearer: Option<&str>) -> JoinHandle<Result<Session, DialError>> {
    let mut options = DialOptions::default();
    if let Some(token) = bearer {
        let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
        options = options.http(HttpDialOptions::default().header(AUTHORIZATION, value));
    }
    tokio::spawn(async move { dial_with(&url, options).await })
}

/// Whether the dial has come to what the entry says.
async fn check_verdict(entry: &Value, dial: JoinHandle<Result<Session, DialError>>) {
    let result = timeout(LONG, dial).await.expect("a verdict").expect("no panic");
    // Anything but the answer as the reason, such as a hello that does not come, is no refusal.
    let verdict = match &result {
        Ok(_) => "session",
        Err(DialError::Http { .. }) => "refused",
        Err(_) => "neither",
    };
    assert_eq!(entry["verdict"], verdict, "{}: {:?}", entry["id"], result.err());
}

#[tokio::test]
async fn a_dialer_of_websocket_asks_and_judges() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}", server.local_addr().expect("an address"));
    for entry in entries("websocket", "request") {
        let dial = dialing(url.clone(), None);
        let (mut stream, _) = server.accept().await.expect("accept");
        timeout(LONG, read_head(&mut stream)).await.expect("a request").check(&entry);
        dial.abort();
    }
    for entry in entries("websocket", "verdict") {
        let dial = dialing(url.clone(), None);
        let (mut stream, _) = server.accept().await.expect("accept");
        let request = timeout(LONG, read_head(&mut stream)).await.expect("a request");
        let mut headers = object(&entry["answer"]["headers"]);
        if headers.contains_key("sec-websocket-accept") {
            let key = request.get("sec-websocket-key").expect("a key");
            headers.insert("sec-websocket-accept".to_owned(), derive_accept_key(key.as_bytes()).into());
        }
        headers.entry("content-length").or_insert("0".into());
        if entry["answer"]["status"] == 101 {
            headers.remove("content-length");
        }
        let first = format!("HTTP/1.1 {} -", entry["answer"]["status"]);
        stream.write_all(&write_head(&first, &headers)).await.expect("write");
        if entry["verdict"] == "session" {
            let bytes = greeting();
            let length = u8::try_from(bytes.len()).expect("short");
            stream.write_all(&[&[0x82, length], &bytes[..]].concat()).await.expect("write");
        }
        check_verdict(&entry, dial).await;
    }
}

/// What the example of RFC 6455 comes to: the vectors are made with it.
#[test]
fn the_key_of_the_vectors() {
    let entry = entries("websocket", "answer").swap_remove(0);
    let key = word(&entry["request"], "sec-websocket-key").to_owned();
    assert_eq!(entry["headers"]["sec-websocket-accept"], derive_accept_key(key.as_bytes()));
}

// ---- HTTP/2

#[tokio::test]
async fn an_acceptor_of_http2_answers() {
    let (address, task) = serve("h2c://127.0.0.1:0/libchan/v1").await;
    for entry in entries("http2", "answer") {
        // Who is let in at all is the hook's to say: tests of the transport show it.
        if !entry["wants"].is_null() {
            continue;
        }
        let request = object(&entry["request"]);
        let pseudo = |name: &str| request[name].as_str().expect("a text");
        let mut builder =
            Request::builder().method(pseudo(":method")).uri(format!("http://{address}{}", pseudo(":path")));
        for (name, value) in request.iter().filter(|(name, _)| !name.starts_with(':')) {
            builder = builder.header(name, value.as_str().expect("a header"));
        }
        let stream = TcpStream::connect(&address).await.expect("connect");
        let (mut sender, connection) = client::handshake(stream).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        let (answer, _body) = sender.send_request(builder.body(()).expect("a request"), false).expect("send");
        let (head, _) = timeout(LONG, answer).await.expect("an answer").expect("a response").into_parts();
        assert!(is_status(&entry, head.status.as_u16()), "{}: {}", entry["id"], head.status);
        Head::of(head.status.as_u16(), &[], &head.headers).check(&entry);
        driver.abort();
    }
    task.abort();
}

#[tokio::test]
async fn a_dialer_of_http2_asks_and_judges() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    for entry in entries("http2", "request") {
        let url = word(&entry, "url");
        // What needs a certificate is asked of the same dialer in clear text.
        let path = url.split("://").nth(1).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
        let slash = if path.is_empty() { "" } else { "/" };
        let dial = dialing(format!("h2c://{address}{slash}{path}"), entry["bearer"].as_str());
        let (stream, _) = listener.accept().await.expect("accept");
        let mut connection = server::handshake(stream).await.expect("HTTP/2");
        let (request, _) =
            timeout(LONG, connection.accept()).await.expect("a request").expect("one").expect("good");
        let mut wanted = entry.clone();
        wanted["headers"][":scheme"] = "http".into();
        let (head, mut body) = request.into_parts();
        let pseudo = [(":method", head.method.as_str()), (":path", head.uri.path()), (":scheme", "http")];
        Head::of(0, &pseudo, &head.headers).check(&wanted);
        // The preface is there before any answer (HT-02).
        let first = tokio::select! {
            data = body.data() => data.expect("data").expect("good"),
            _ = connection.accept() => panic!("{}: a second request", entry["id"]),
        };
        assert!(first.starts_with(b"libchan\x01"), "{}: {first:?}", entry["id"]);
        dial.abort();
    }
    for entry in entries("http2", "verdict") {
        let dial = dialing(format!("h2c://{address}"), None);
        let (stream, _) = listener.accept().await.expect("accept");
        let mut connection = server::handshake(stream).await.expect("HTTP/2");
        let (_, mut respond) =
            timeout(LONG, connection.accept()).await.expect("a request").expect("one").expect("good");
        let mut response = Response::builder()
            .status(u16::try_from(entry["answer"]["status"].as_u64().unwrap_or(0)).expect("a status"));
        for (name, value) in object(&entry["answer"]["headers"]) {
            response = response.header(name, value.as_str().expect("a header"));
        }
        let session = entry["verdict"] == "session";
        let mut body = respond.send_response(response.body(()).expect("a response"), !session).expect("send");
        if session {
            body.send_data(Bytes::from(greeting()), false).expect("send");
        }
        // The dialer may end the connection with its verdict.
        let driver = tokio::spawn(async move { while connection.accept().await.is_some() {} });
        check_verdict(&entry, dial).await;
        driver.abort();
    }
}
