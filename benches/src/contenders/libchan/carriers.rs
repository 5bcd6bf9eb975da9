//! The same over every carrier, dialed by URL on this machine.

use libchan::Session;
use libchan_transports::tls::{DevCertificate, TlsClientOptions, TlsServer};
use libchan_transports::{DialOptions, ListenOptions, dial_with, listen_with};

use super::bytes::{BytesDrain, BytesFeed, bytes_on};
use super::{ChanDrain, ChanFeed, PairCaller, pairs_on, stream_on};
use crate::payload::Item;

/// The name of a contender, and where it listens.
pub const CARRIERS: [(&str, &str); 6] = [
    ("libchan tcp", "tcp://127.0.0.1:0"),
    ("libchan tls", "tls://127.0.0.1:0"),
    ("libchan h2c", "h2c://127.0.0.1:0/libchan"),
    ("libchan https", "https://127.0.0.1:0/libchan"),
    ("libchan ws", "ws://127.0.0.1:0/libchan"),
    ("libchan wss", "wss://127.0.0.1:0/libchan"),
];

pub(super) async fn sessions(url: &str) -> (Session, Session) {
    let (mut listening, mut dialing) = (ListenOptions::default(), DialOptions::default());
    if ["tls:", "https:", "wss:"].iter().any(|scheme| url.starts_with(scheme)) {
        let certificate = DevCertificate::new(["127.0.0.1"]).expect("a certificate");
        let server = TlsServer::new(certificate.server_options()).expect("a server");
        listening = listening.tls(server);
        dialing = dialing.tls(TlsClientOptions::new().pin(certificate.fingerprint()));
    }
    let listener = listen_with(url, listening).await.expect("listens");
    let url = listener.url().to_owned();
    let (client, server) = tokio::join!(dial_with(&url, dialing), listener.accept());
    // A listener of http serves the connection that the session is in.
    tokio::spawn(async move {
        let _listener = listener;
        std::future::pending::<()>().await;
    });
    (client.expect("a session"), server.expect("a session"))
}

pub async fn pairs_by(url: &str, count: usize) -> Vec<PairCaller> {
    pairs_on(&sessions(url).await, count).await
}

pub async fn stream_by(url: &str, capacity: usize) -> (ChanFeed, ChanDrain) {
    stream_on(sessions(url).await, capacity, Item::small()).await
}

pub async fn bulk_by(url: &str, size: usize) -> (ChanFeed, ChanDrain) {
    stream_on(sessions(url).await, 64, Item::bulk(size)).await
}

pub async fn bytes_by(url: &str, size: usize) -> (BytesFeed, BytesDrain) {
    bytes_on(sessions(url).await, size).await
}
