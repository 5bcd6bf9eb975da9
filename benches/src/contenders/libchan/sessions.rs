//! The sessions that the contenders run on: over links that count reads and writes, over a pipe in memory, or without
//! any bytes.

use std::sync::atomic::{AtomicU32, Ordering};

use libchan::{Link, Role, Session, SessionOptions};
use libchan_transports::{TcpLink, UnixLink};

use super::carriers;
use super::counted::Counted;
use super::duplex::DuplexLink;
use crate::net::{Transport, memory_pair, tcp_pair, unix_pair};

/// How a message gets to the other side.
#[derive(Clone, Copy)]
pub enum Way {
    /// Encoded, as bytes.
    Link(Transport),
    /// As the value that it is, by `mem:`.
    Value,
}

/// The contenders on a transport: name and way.
pub fn ways(on: Transport) -> Vec<(&'static str, Way)> {
    match on {
        Transport::Memory => vec![("libchan", Way::Value), ("libchan encoded", Way::Link(on))],
        Transport::Tcp | Transport::Unix => vec![("libchan", Way::Link(on))],
    }
}

/// A client's session and a server's.
pub(super) async fn sessions(way: Way) -> (Session, Session) {
    match way {
        Way::Link(transport) => sessions_with(transport, SessionOptions::default()).await,
        Way::Value => {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            // A name has one listener at a time.
            carriers::sessions(&format!("mem:bench-{}", NEXT.fetch_add(1, Ordering::Relaxed))).await
        }
    }
}

pub(super) async fn sessions_with(transport: Transport, options: SessionOptions) -> (Session, Session) {
    match transport {
        Transport::Memory => {
            let (client, server) = memory_pair();
            start(DuplexLink(client), DuplexLink(server), options).await
        }
        Transport::Tcp => {
            let (client, server) = tcp_pair().await.expect("tcp connects");
            let link = |socket| Counted(TcpLink::new(socket).expect("a link"));
            start(link(client), link(server), options).await
        }
        Transport::Unix => {
            let (client, server) = unix_pair().await.expect("unix connects");
            let link = |socket, peer: &str| Counted(UnixLink::new(socket, peer));
            start(link(client, "unix:client"), link(server, "unix:server"), options).await
        }
    }
}

async fn start(client: impl Link, server: impl Link, options: SessionOptions) -> (Session, Session) {
    let (client, server) = tokio::join!(
        Session::start(client, Role::Dialer, options.clone()),
        Session::start(server, Role::Acceptor, options),
    );
    (client.expect("a session"), server.expect("a session"))
}
