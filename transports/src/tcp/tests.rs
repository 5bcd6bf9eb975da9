//! Dialing and listening by host and port.

use std::future::poll_fn;
use std::io::Read;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::{dial, dial_with, listen};

#[tokio::test]
async fn port_zero_becomes_the_port_that_was_free() {
    let listener = listen("tcp://127.0.0.1:0").await.unwrap();
    let url = listener.url().to_owned();
    let address = TcpAddress::parse(url.strip_prefix("tcp:").unwrap()).unwrap();
    assert!(address.host == "127.0.0.1" && address.port != 0);
    let (accepted, dialed) = tokio::join!(listener.accept(), dial(&url));
    accepted.unwrap();
    dialed.unwrap();
    let error = listen(&url).await.unwrap_err();
    assert_eq!(error, ListenError::AddressInUse { url: url.clone() });
    drop(listener);
    let error = dial(&url).await.unwrap_err();
    assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
    listen(&url).await.unwrap();
}

#[tokio::test]
async fn ipv6_and_names() {
    let listener = listen("tcp://localhost:0").await.unwrap();
    let port = listener.url().rsplit_once(':').unwrap().1.to_owned();
    let target = format!("tcp://localhost:{port}");
    let (accepted, dialed) = tokio::join!(listener.accept(), dial(&target));
    accepted.unwrap();
    dialed.unwrap();
    match listen("tcp://[::1]:0").await {
        Ok(listener) => {
            assert!(listener.url().starts_with("tcp://[::1]:"), "{}", listener.url());
            let (accepted, dialed) = tokio::join!(listener.accept(), dial(listener.url()));
            accepted.unwrap();
            dialed.unwrap();
        }
        Err(error) => eprintln!("skipped: no IPv6 here: {error}"),
    }
}

#[tokio::test]
async fn what_can_go_wrong() {
    let error = dial("tcp://nobody.invalid:1").await.unwrap_err();
    assert!(matches!(&error, DialError::HostNotFound { host, .. } if host == "nobody.invalid"), "{error:?}");
    assert!(matches!(listen("tcp://nobody.invalid:1").await, Err(ListenError::HostNotFound { .. })));
    assert!(matches!(dial("tcp://localhost:0").await, Err(DialError::Url(UrlError::PortZero))));
    if cfg!(not(feature = "websocket")) {
        let ws = || UrlError::NotBuiltIn { scheme: "ws".into(), feature: "websocket" };
        assert!(matches!(dial("ws://host:1").await, Err(DialError::Url(error)) if error == ws()));
        assert_eq!(listen("ws://host:1").await.unwrap_err(), ListenError::Url(ws()));
    }
    let url = "tcp://192.0.2.1:1"; // Reserved for documentation: nobody's address.
    assert_eq!(listen(url).await.unwrap_err(), ListenError::AddressNotAvailable { url: url.into() });
}

/// The kernel ignores whoever knocks at a full backlog, as a firewall would.
#[tokio::test]
async fn silence_is_a_timeout() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let after = Duration::from_millis(50);
    let options = DialOptions::default().connect_timeout(after);
    let error = dial_with(&format!("tcp://{address}"), options).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { after: said, .. } if said == after), "{error:?}");
}

#[tokio::test]
async fn the_link_passes_bytes_but_no_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (ours, peer) = (TcpLink::new(ours.unwrap()).unwrap(), theirs.unwrap());
    let theirs = TcpLink::new(peer.0).unwrap();
    assert_eq!(theirs.info().peer, format!("tcp://{}", peer.1));
    assert!(!ours.info().passes_descriptors && !ours.info().secure);
    let (_reader, mut writer) = Box::new(ours).split();
    let (mut reader, _writer) = Box::new(theirs).split();
    let mut descriptors = VecDeque::from([OwnedFd::from(std::fs::File::open("/dev/null").unwrap())]);
    let error = writer.try_write(&[IoSlice::new(b"x")], &mut descriptors).unwrap_err();
    assert_eq!((error.kind(), descriptors.len()), (io::ErrorKind::InvalidInput, 1));
    descriptors.clear();
    let slices = [IoSlice::new(b"a"), IoSlice::new(b"bc")];
    assert_eq!(poll_fn(|cx| writer.poll_write(cx, &slices, &mut descriptors)).await.unwrap(), 3);
    let mut buf = [0; 16];
    assert_eq!(poll_fn(|cx| reader.poll_read(cx, &mut buf, &mut descriptors)).await.unwrap(), 3);
    assert_eq!(&buf[..3], b"abc");
    poll_fn(|cx| writer.poll_close(cx)).await.unwrap();
    assert_eq!(poll_fn(|cx| reader.poll_read(cx, &mut buf, &mut descriptors)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_write_that_fills_the_socket_is_known_to_have() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (_reader, mut writer) = Box::new(TcpLink::new(ours.unwrap()).unwrap()).split();
    let mut theirs = theirs.unwrap().0.into_std().unwrap();
    let (much, mut none) = (vec![7; 16 << 20], VecDeque::new());
    let slices = [(); 8].map(|()| IoSlice::new(&much));
    let filled = poll_fn(|cx| writer.poll_write(cx, &slices, &mut none)).await.unwrap();
    assert!(filled < 8 * much.len());
    // There is room again, of which the runtime has not heard: so the kernel was not asked.
    theirs.set_nonblocking(false).unwrap();
    theirs.read_exact(&mut vec![0; filled]).unwrap();
    let error = writer.try_write(&slices, &mut none).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(poll_fn(|cx| writer.poll_write(cx, &slices, &mut none)).await.unwrap() > 0);
}

/// The kernel holds as many connections as the system allows, unless fewer are asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_is_the_systems_unless_one_is_set() {
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .map_or(128, |text| text.trim().parse().unwrap());
    let wanted: usize = 200.min(allowed);
    for (backlog, most) in [(None, usize::MAX), (Some(4), 20)] {
        let mut options = ListenOptions::default().max_waiting(1).max_handshakes(1);
        options.backlog = backlog;
        let listener = crate::listen_with("tcp://127.0.0.1:0", options).await.unwrap();
        // One waits to be accepted, so no further connection is taken out of the backlog but one at the most.
        let _dialed = dial(listener.url()).await.unwrap();
        let address: SocketAddr = listener.url().strip_prefix("tcp://").unwrap().parse().unwrap();
        let connecting: Vec<_> = (0..wanted)
            .map(|_| tokio::spawn(timeout(Duration::from_millis(700), TcpStream::connect(address))))
            .collect();
        let mut held = Vec::new();
        for one in connecting {
            held.extend(one.await.unwrap().ok().and_then(Result::ok));
        }
        assert!(held.len() == wanted || backlog.is_some(), "{} of {wanted}", held.len());
        assert!(held.len() <= most, "{} with a backlog of {backlog:?}", held.len());
    }
}
