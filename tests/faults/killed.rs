//! A peer process that is killed in the middle of a message.

use std::process::{Child, Command};

use libchan_tests::*;
use libchan_transports::tls::TlsClientOptions;
use libchan_transports::{DialOptions, ListenOptions, dial_with, listen_with};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Gift {
    numbers: Receiver<u32>,
    answer: Sender<u32>,
    stream: ByteStream,
    fd: Fd,
}

const URL: &str = "LIBCHAN_FAULTS_URL";
const PIN: &str = "LIBCHAN_FAULTS_PIN";

/// Not a test of its own: what the killed process does. It dials and sends without end.
#[test]
fn the_process_that_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let pin = std::env::var(PIN).unwrap().parse().unwrap();
        let options = DialOptions::default().tls(TlsClientOptions::new().pin(pin));
        let session = dial_with(&url, options).await.unwrap();
        let gifts = session.open::<Gift>("gifts").unwrap();
        let (feed, numbers) = pipe();
        let (answer, _answers) = pipe();
        let (mut here, stream) = ByteStream::pair();
        let (reader, _writer) = std::io::pipe().unwrap();
        let gift = Gift { numbers, answer, stream, fd: reader.into() };
        assert!(gifts.send(gift).await.is_ok());
        feed.send(1).await.unwrap();
        here.write_all(b"half").await.unwrap();
        let large = session.open_with::<Blob>("large", OpenOptions::new().capacity(4)).unwrap();
        let mut seed = 0;
        loop {
            // Large enough that a kill meets it half sent.
            large.send(blob(150_000, seed)).await.unwrap();
            seed += 1;
        }
    });
}

fn start(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["killed::the_process_that_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(URL, url)
        .env(PIN, tls().1.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

async fn killed_over(url: &str) {
    for round in 0..3u64 {
        let listener = listen_with(url, ListenOptions::default().tls(tls().0)).await.unwrap();
        let mut child = start(listener.url());
        let session = soon(listener.accept()).await.unwrap();
        let gifts = soon(session.accept()).await.unwrap().unwrap().receive::<Gift>();
        let large = soon(session.accept()).await.unwrap().unwrap().receive::<Blob>();
        let mut gift = get(&gifts).await;
        assert_eq!(get(&gift.numbers).await, 1);
        for seed in 0..=round {
            assert!(get(&large).await == blob(150_000, seed));
        }
        // Waiting calls of every kind.
        let waiting = tokio::spawn(async move { gift.numbers.recv().await });
        let closed = tokio::spawn(async move { gift.answer.closed().await });
        let reading = tokio::spawn(async move {
            let mut rest = Vec::new();
            gift.stream.read_to_end(&mut rest).await
        });
        yields().await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(soon(waiting).await.unwrap(), Err(RecvError::Disconnected(_))));
        assert!(matches!(soon(closed).await.unwrap(), Closed::Disconnected(_)));
        let error = soon(reading).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let mut seed = round + 1;
        loop {
            match soon(large.recv()).await {
                Ok(Some(body)) => assert!(body == blob(150_000, seed), "message {seed} is not whole"),
                Ok(None) => panic!("a clean end"),
                Err(error) => {
                    assert!(matches!(error, RecvError::Disconnected(_)));
                    break;
                }
            }
            seed += 1;
        }
        assert!(matches!(soon(session.closed()).await, Err(SessionError::Lost | SessionError::Link(_))));
        drop(gift.fd);
    }
}

async fn a_killed_peer_over_tcp() {
    killed_over("tcp://127.0.0.1:0").await;
}

async fn a_killed_peer_over_tls() {
    killed_over("tls://127.0.0.1:0").await;
}

async fn a_killed_peer_over_http2() {
    killed_over("h2c://127.0.0.1:0").await;
}

async fn a_killed_peer_over_websocket() {
    killed_over("ws://127.0.0.1:0").await;
}

async fn a_killed_peer_over_https() {
    killed_over("https://127.0.0.1:0").await;
}

async fn a_killed_peer_over_unix() {
    let scratch = Scratch::new();
    killed_over(&format!("unix://{}", scratch.path("s").display())).await;
}

libchan_tests::in_process! {
    a_killed_peer_over_tcp,
    a_killed_peer_over_tls,
    a_killed_peer_over_http2,
    a_killed_peer_over_websocket,
    a_killed_peer_over_https,
    a_killed_peer_over_unix,
}
