//! What both carriers promise: bytes arrive, a goodbye is a clean end, and everything else is a loss.

use std::time::Duration;

use libchan::{LinkInfo, Role, Session, SessionError, SessionOptions};
use libchan_transports::http::{
    Carriers, Http2Link, HttpDialOptions, HttpPeer, Server, WebSocketLink, service,
};
use libchan_transports::{Address, DialOptions, HttpAddress, ListenOptions, dial, listen, listen_with};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};

use crate::support::*;

#[tokio::test]
async fn the_url_of_a_listener_can_be_dialed() {
    for url in ["ws://127.0.0.1:0", "h2c://127.0.0.1:0/some/path", "http://localhost:0"] {
        let (dialed, accepted, listener) = pair(url).await;
        assert!(!listener.url().contains(":0/"), "{}", listener.url());
        assert_eq!(dialed.info().peer, listener.url());
        let scheme = url.split_once(':').unwrap().0;
        assert!(accepted.info().peer.starts_with(&format!("{scheme}://")), "{}", accepted.info().peer);
        assert!(!dialed.info().passes_descriptors && !dialed.info().secure);
    }
}

#[tokio::test]
async fn one_port_for_both() {
    let listener = listen("http://127.0.0.1:0").await.unwrap();
    for scheme in ["ws", "h2c", "http"] {
        let url = listener.url().replace("http:", &format!("{scheme}:"));
        let (dialed, accepted) = soon(async { tokio::join!(dial(&url), listener.accept()) }).await;
        dialed.unwrap();
        accepted.unwrap();
    }
}

#[tokio::test]
async fn sessions_outlive_their_listener() {
    for url in BOTH {
        let (dialed, accepted, listener) = pair(url).await;
        let url = listener.url().to_owned();
        listener.close().await;
        listen(&url).await.unwrap();
        let (sender, receiver) = channel::<u32>(&dialed, &accepted).await;
        soon(sender.send(7)).await.unwrap();
        assert_eq!(soon(receiver.recv()).await.unwrap(), Some(7));
    }
}

/// The listener's connection tells the client to go away; the session does not care.
#[tokio::test]
async fn goaway_leaves_the_running_session_alone() {
    let (dialed, accepted, listener) = pair("h2c://127.0.0.1:0").await;
    drop(listener);
    for _ in 0..20 {
        let (sender, receiver) = channel::<u32>(&accepted, &dialed).await;
        soon(sender.send(1)).await.unwrap();
        assert_eq!(soon(receiver.recv()).await.unwrap(), Some(1));
    }
    soon(dialed.close()).await.unwrap();
    soon(accepted.closed()).await.unwrap();
}

#[tokio::test]
async fn close_is_clean_on_both_sides() {
    for url in BOTH {
        for dialer_closes in [true, false] {
            let (dialed, accepted, _listener) = pair(url).await;
            let (closing, other) = if dialer_closes { (dialed, accepted) } else { (accepted, dialed) };
            let (closed, seen) = soon(async { tokio::join!(closing.close(), other.closed()) }).await;
            assert_eq!((closed, seen), (Ok(()), Ok(())), "{url}, dialer closes: {dialer_closes}");
        }
    }
}

#[tokio::test]
async fn abort_is_a_loss() {
    for url in BOTH {
        for dialer_aborts in [true, false] {
            let (dialed, accepted, _listener) = pair(url).await;
            let (aborting, other) = if dialer_aborts { (dialed, accepted) } else { (accepted, dialed) };
            aborting.abort();
            assert_lost(soon(other.closed()).await);
        }
    }
}

async fn carry(from: Session, to: Session) {
    let (sender, receiver) = channel::<ByteBuf>(&from, &to).await;
    let data = pattern(20_000_000);
    let sent = data.clone();
    let sending = tokio::spawn(async move {
        // Sizes around those of frames and messages on the way.
        for (at, part) in sent.chunks(65_521).enumerate() {
            sender.send(ByteBuf::from(part)).await.unwrap();
            assert!(at < 1000);
        }
    });
    let mut got = Vec::with_capacity(data.len());
    while let Some(part) = receiver.recv().await.unwrap() {
        got.extend_from_slice(&part);
    }
    sending.await.unwrap();
    assert!(got == data, "the bytes differ");
}

async fn twenty_megabytes(url: &str) {
    let (dialed, accepted, _listener) = pair(url).await;
    carry(dialed.clone(), accepted.clone()).await;
    carry(accepted.clone(), dialed.clone()).await;
    // Both ways at once.
    let (sender, receiver) = channel::<ByteBuf>(&dialed, &accepted).await;
    let (back, returned) = channel::<ByteBuf>(&accepted, &dialed).await;
    let echo = tokio::spawn(async move {
        while let Some(part) = receiver.recv().await.unwrap() {
            back.send(part).await.unwrap();
        }
    });
    let data = pattern(20_000_000);
    let sent = data.clone();
    let sending = tokio::spawn(async move {
        for part in sent.chunks(100_003) {
            sender.send(ByteBuf::from(part)).await.unwrap();
        }
    });
    let mut got = Vec::with_capacity(data.len());
    while let Some(part) = returned.recv().await.unwrap() {
        got.extend_from_slice(&part);
    }
    assert!(got == data, "the bytes differ");
    sending.await.unwrap();
    echo.await.unwrap();
}

#[tokio::test]
async fn twenty_megabytes_over_websocket() {
    twenty_megabytes(BOTH[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_megabytes_over_http2() {
    twenty_megabytes(BOTH[1]).await;
}

/// A peer that breaks a rule is told so, and what it is told is not thrown away with the stream.
#[tokio::test]
async fn the_last_words_of_a_session_leave() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let dialing = tokio::spawn(async move { dial(&url).await });
    let (stream, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, mut respond) = soon(connection.accept()).await.unwrap().unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    assert!(!request.headers().contains_key("content-length"));
    assert_eq!(request.headers()["libchan-session"].len(), 22);
    let mut from_client = request.into_body();
    let answer =
        http::Response::builder().header("content-type", "application/vnd.libchan.v1").body(()).unwrap();
    let mut to_client = respond.send_response(answer, false).unwrap();
    to_client.send_data(hello().await.into(), false).unwrap();
    let session = soon(dialing).await.unwrap().unwrap();
    to_client.send_data(vec![0xff; 64].into(), false).unwrap();
    assert!(matches!(soon(session.closed()).await, Err(SessionError::PeerMisbehaved(_))));
    let mut words = Vec::new();
    // An end, and no reset.
    while let Some(data) = soon(from_client.data()).await {
        words.extend_from_slice(&data.unwrap());
    }
    let text = String::from_utf8_lossy(&words).into_owned();
    assert!(text.contains("broke a rule"), "{text}");
}

// ---- cut links

fn address(url: &str) -> HttpAddress {
    HttpAddress::parse(&Address::parse(url).unwrap()).unwrap()
}

async fn dial_over<S>(scheme: &str, stream: S) -> Session
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = address(&format!("{scheme}://test"));
    let (info, options) = (LinkInfo::new("test"), HttpDialOptions::default());
    let session = SessionOptions::default();
    let started = match scheme {
        "ws" => {
            let link = WebSocketLink::connect(stream, &address, &options, info).await.unwrap();
            Session::start(link, Role::Dialer, session).await
        }
        _ => {
            let link = Http2Link::connect(stream, &address, &options, info).await.unwrap();
            Session::start(link, Role::Dialer, session).await
        }
    };
    started.unwrap()
}

/// Two sessions with a wire between that can be cut.
async fn cuttable(scheme: &str) -> (Session, Session, tokio::task::JoinHandle<()>) {
    let (service, listener) = service("test", ListenOptions::default());
    let server = Server::new(service, "/libchan/v1", Carriers::all());
    let (ours, mut near) = duplex(8192);
    let (mut far, theirs): (DuplexStream, DuplexStream) = duplex(8192);
    tokio::spawn(async move { server.serve(theirs, HttpPeer::new(LinkInfo::new("test"), None)).await });
    let wire = tokio::spawn(async move {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    });
    let (dialed, accepted) = soon(async { tokio::join!(dial_over(scheme, ours), listener.accept()) }).await;
    (dialed, accepted.unwrap(), wire)
}

#[tokio::test]
async fn a_cut_link_is_never_a_clean_end() {
    for scheme in ["ws", "h2c"] {
        let (dialed, accepted, wire) = cuttable(scheme).await;
        let (there, at_acceptor) = channel::<ByteBuf>(&dialed, &accepted).await;
        let (back, at_dialer) = channel::<ByteBuf>(&accepted, &dialed).await;
        let busy: Vec<_> = [there, back]
            .into_iter()
            .map(|sender| {
                tokio::spawn(
                    async move { while sender.send(ByteBuf::from(vec![7; 30_000])).await.is_ok() {} },
                )
            })
            .collect();
        for receiver in [&at_acceptor, &at_dialer] {
            for _ in 0..20 {
                soon(receiver.recv()).await.unwrap().unwrap();
            }
        }
        wire.abort();
        for receiver in [at_acceptor, at_dialer] {
            let error = loop {
                match soon(receiver.recv()).await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{scheme}: a cut link looked like a clean end"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, libchan::RecvError::Disconnected(_)), "{scheme}: {error:?}");
        }
        for task in busy {
            soon(task).await.unwrap();
        }
        assert_lost(soon(dialed.closed()).await);
        assert_lost(soon(accepted.closed()).await);
    }
}

// ---- peers that ask for nothing

/// A connection that brings no session is closed after the time that a hello may take, and one with a session is not.
#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed() {
    let (service, listener) = service("test", ListenOptions::default());
    let server = Server::new(service, "/libchan/v1", Carriers::all());
    let peer = || HttpPeer::new(LinkInfo::new("test"), None);
    for words in ["", "GET", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let (mut ours, theirs) = duplex(8192);
        ours.write_all(words.as_bytes()).await.unwrap();
        let begun = tokio::time::Instant::now();
        server.serve(theirs, peer()).await;
        assert!(begun.elapsed() < Duration::from_secs(25), "{words:?}: {:?}", begun.elapsed());
    }
    let (ours, theirs) = duplex(8192);
    let serving = server.serve(theirs, peer());
    let using = async {
        let (dialed, accepted) = tokio::join!(dial_over("h2c", ours), listener.accept());
        tokio::time::sleep(Duration::from_secs(600)).await;
        dialed.close().await.unwrap();
        accepted.unwrap().closed().await.unwrap();
    };
    tokio::join!(serving, using);
}

/// Connections that say nothing take the places of handshakes, and give them back.
#[tokio::test]
async fn silent_connections_are_bounded() {
    for url in BOTH {
        let listener = listen_with(url, ListenOptions::default().max_handshakes(2)).await.unwrap();
        let address = listener.url().split('/').nth(2).unwrap().to_owned();
        let silent = [
            tokio::net::TcpStream::connect(&address).await.unwrap(),
            tokio::net::TcpStream::connect(&address).await.unwrap(),
        ];
        let dialing = dial(listener.url());
        tokio::pin!(dialing);
        tokio::select! {
            _ = listener.accept() => panic!("accepted beyond the bound"),
            _ = &mut dialing => panic!("dialed beyond the bound"),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        drop(silent);
        let (dialed, accepted) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
        dialed.unwrap();
        accepted.unwrap();
    }
}

/// While all places are taken, silence is not waited for as long as the hello deadline.
#[tokio::test]
async fn a_silent_connection_makes_room_for_others() {
    for url in BOTH {
        let listener = listen_with(url, ListenOptions::default().max_handshakes(1)).await.unwrap();
        let address = listener.url().split('/').nth(2).unwrap().to_owned();
        let _silent = tokio::net::TcpStream::connect(&address).await.unwrap();
        let (dialed, accepted) = soon(async { tokio::join!(dial(listener.url()), listener.accept()) }).await;
        dialed.unwrap();
        accepted.unwrap();
    }
}

/// A server that is gone between the tcp connection and its answer.
#[tokio::test]
async fn a_server_that_hangs_up() {
    for scheme in ["ws", "h2c"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (error, _) = tokio::join!(failure(&url), async { drop(listener.accept().await.unwrap()) });
        let text = error.to_string();
        assert!(!matches!(error, libchan_transports::DialError::TimedOut { .. }), "{text}");
    }
}

/// The other side takes the request and never answers.
#[tokio::test(start_paused = true)]
async fn silence_is_a_timeout() {
    let (h2c, ws) = (address("h2c://test"), address("ws://test"));
    let (stream, _kept) = duplex(8192);
    let dialing =
        libchan_transports::http::dial_http2(stream, &h2c, LinkInfo::new("test"), DialOptions::default());
    let error = dialing.await.unwrap_err();
    let expected = SessionError::HelloTimeout;
    assert!(
        matches!(&error, libchan_transports::DialError::Session(error) if *error == expected),
        "{error:?}"
    );
    let (stream, _kept) = duplex(8192);
    let dialing =
        libchan_transports::http::dial_websocket(stream, &ws, LinkInfo::new("test"), DialOptions::default());
    let error = dialing.await.unwrap_err();
    assert!(matches!(error, libchan_transports::DialError::TimedOut { .. }), "{error:?}");
}
