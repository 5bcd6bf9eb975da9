//! Sessions over tls: who is at the other end, a lot of bytes, a link that is cut.

use libchan::{ByteStream, RecvError, SessionError, SessionOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn both_sides_see_whom_they_talk_to() {
    let authority = Authority::new("root");
    let (issued, client) = (authority.issue(), authority.issue());
    let serving = server(issued.serves().client_root(authority.root()));
    let options = TlsClientOptions::new().root(authority.root()).identity(client.chain(), client.key());
    let (one, other) = united(serving, options).await;
    for (session, peer) in [(&one, &issued), (&other, &client)] {
        let info = session.info();
        assert!(info.secure && !info.passes_descriptors && info.peer.starts_with("tls://127.0.0.1:"));
        assert_eq!(info.certificates.as_deref(), Some(&[peer.der.clone()][..]));
    }
    assert_eq!(one.principal(), Some("127.0.0.1"), "the name that its certificate was verified for");
    assert_eq!(other.principal(), None, "no hook was asked");
    talk(&one, &other).await;
    talk(&other, &one).await;
    let (closed, _) = soon(async { tokio::join!(one.close(), other.closed()) }).await;
    closed.unwrap();
}

#[tokio::test]
async fn a_client_needs_no_certificate_unless_asked() {
    let issued = Authority::new("root").issue();
    let options = TlsClientOptions::new().pin(issued.fingerprint());
    let (one, other) = united(server(issued.serves()), options).await;
    assert_eq!(other.info().certificates, None);
    assert_eq!(one.principal(), Some(&*issued.fingerprint().to_string()), "nobody vouches for a name");
}

/// Bytes without a period that a shifted or repeated piece would fit.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend((state ^ (state >> 33)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// 20 MB each way at once over a byte stream.
async fn bulk(one: &Session, other: &Session) {
    const LENGTH: usize = 20_000_000;
    let streams = one.open::<ByteStream>("bulk").unwrap();
    let (here, there) = ByteStream::pair();
    streams.send(there).await.unwrap();
    let there = soon(other.accept()).await.unwrap().unwrap().receive::<ByteStream>();
    let there = soon(there.recv()).await.unwrap().unwrap();
    let mut tasks = Vec::new();
    for (stream, sent, expected) in [(here, 1, 2), (there, 2, 1)] {
        let (mut reader, mut writer) = tokio::io::split(stream);
        tasks.push(tokio::spawn(async move {
            writer.write_all(&pattern(LENGTH, sent)).await.unwrap();
            writer.shutdown().await.unwrap();
        }));
        tasks.push(tokio::spawn(async move {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            assert!(got == pattern(LENGTH, expected), "{} bytes arrived", got.len());
        }));
    }
    for task in tasks {
        tokio::time::timeout(std::time::Duration::from_secs(60), task).await.expect("hangs").unwrap();
    }
}

async fn bulk_over_tcp() {
    let issued = Authority::new("root").issue();
    let options = TlsClientOptions::new().pin(issued.fingerprint());
    let (one, other) = united(server(issued.serves()), options).await;
    bulk(&one, &other).await;
}

#[tokio::test]
async fn a_lot_of_bytes_both_ways_on_one_thread() {
    bulk_over_tcp().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lot_of_bytes_both_ways_on_two_threads() {
    bulk_over_tcp().await;
}

/// Two sessions through a wire that the task carries until it is aborted. The wire takes `room` bytes at a
/// time.
pub(super) async fn through_a_wire(room: usize) -> (Session, Session, tokio::task::JoinHandle<()>) {
    let (here, mut near) = tokio::io::duplex(room);
    let (mut far, there) = tokio::io::duplex(room);
    let wire = tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let issued = Authority::new("root").issue();
    let (serving, pin) = (server(issued.serves()), TlsClientOptions::new().pin(issued.fingerprint()));
    let connecting = async {
        let stream = connect_tls(here, "localhost", &pin, &[ALPN]).await.unwrap();
        Session::start(TlsLink::new(stream, ""), Role::Dialer, SessionOptions::new()).await.unwrap()
    };
    let accepting = async {
        let limit = std::time::Duration::from_secs(10);
        let stream = accept_tls(there, &serving, &[ALPN], limit).await.unwrap();
        Session::start(TlsLink::new(stream, ""), Role::Acceptor, SessionOptions::new()).await.unwrap()
    };
    let (one, other) = soon(async { tokio::join!(connecting, accepting) }).await;
    (one, other, wire)
}

#[tokio::test]
async fn a_narrow_wire_carries_everything() {
    for room in [20, 500, 5_000] {
        let (one, other, _wire) = through_a_wire(room).await;
        let sender = one.open::<Vec<u8>>("narrow").unwrap();
        let receiving = async {
            let words = other.accept().await.unwrap().unwrap().receive::<Vec<u8>>();
            for seed in 0..4 {
                assert!(words.recv().await.unwrap().unwrap() == pattern(20_000, seed));
            }
        };
        let sending = async {
            for seed in 0..4 {
                sender.send(pattern(20_000, seed)).await.unwrap();
            }
        };
        soon(async { tokio::join!(sending, receiving) }).await;
        let (one, other) = soon(async { tokio::join!(one.close(), other.closed()) }).await;
        assert_eq!((one, other), (Ok(()), Ok(())), "room for {room}");
    }
}

/// An end without TLS's own farewell, and without ours, is a lost link.
#[tokio::test]
async fn a_link_that_is_cut() {
    let (one, other, wire) = through_a_wire(4096).await;
    let sender = one.open::<Vec<u8>>("cut").unwrap();
    sender.send(vec![1; 100]).await.unwrap();
    let words = soon(other.accept()).await.unwrap().unwrap().receive::<Vec<u8>>();
    assert_eq!(soon(words.recv()).await.unwrap().unwrap().len(), 100);
    // In the middle of a message.
    let sending = tokio::spawn(async move { while sender.send(vec![2; 50_000]).await.is_ok() {} });
    soon(words.recv()).await.unwrap().unwrap();
    wire.abort();
    let error = loop {
        if let Err(error) = soon(words.recv()).await.map(|got| got.expect("no clean end")) {
            break error;
        }
    };
    assert!(matches!(error, RecvError::Disconnected(_)));
    soon(sending).await.unwrap();
    for session in [one, other] {
        let why = soon(session.closed()).await.unwrap_err();
        assert!(matches!(why, SessionError::Lost | SessionError::Link(_)), "{why:?}");
    }
}

#[tokio::test]
async fn silent_clients_delay_nobody_and_are_bounded() {
    let issued = Authority::new("root").issue();
    let listening_with = |max| ListenOptions::default().tls(server(issued.serves())).max_handshakes(max);
    let pin = issued.fingerprint();
    let options = move || DialOptions::default().tls(TlsClientOptions::new().pin(pin));
    let (listener, _failures) = listening("tls://127.0.0.1:0", listening_with(128)).await;
    let address = listener.url().strip_prefix("tls://").unwrap().to_owned();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let (dialed, accepted) =
        soon(async { tokio::join!(dial_with(listener.url(), options()), listener.accept()) }).await;
    dialed.unwrap();
    accepted.unwrap();

    let (listener, mut failures) = listening("tls://127.0.0.1:0", listening_with(2)).await;
    let address = listener.url().strip_prefix("tls://").unwrap().to_owned();
    let silent = (TcpStream::connect(&address).await.unwrap(), TcpStream::connect(&address).await.unwrap());
    let url = listener.url().to_owned();
    let mut dialing = tokio::spawn(async move { dial_with(&url, options()).await });
    let mut accepting = tokio::spawn(async move { listener.accept().await });
    let early = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(early, &mut dialing).await.is_err(), "beyond the bound");
    drop(silent);
    soon(failures.recv()).await.unwrap();
    soon(&mut accepting).await.unwrap().unwrap();
    soon(&mut dialing).await.unwrap().unwrap();
}
