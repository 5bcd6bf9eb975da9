//! Sessions that never come about.

use std::time::Duration;

use libchan::Denial;
use libchan_tests::*;
use libchan_transports::UnixLink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn starting(
    stream: UnixStream,
    role: Role,
    options: SessionOptions,
) -> impl Future<Output = Result<Session, SessionError>> {
    Session::start(UnixLink::new(stream, "unix:test"), role, options)
}

/// What comes of a peer for an acceptor: with and without a look at its hello before the answer.
async fn accepting(
    stream: UnixStream,
    options: SessionOptions,
    looks: bool,
) -> Result<Session, SessionError> {
    match looks {
        false => starting(stream, Role::Acceptor, options).await,
        true => PendingSession::accept(UnixLink::new(stream, "unix:test"), options).await?.admit(None).await,
    }
}

async fn a_peer_that_speaks_something_else() {
    for said in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0; 64],
        &[0x16, 3, 1, 2, 0, 1, 0, 1],
    ] {
        for role in [Role::Dialer, Role::Acceptor] {
            let (left, mut right) = UnixStream::pair().unwrap();
            right.write_all(said).await.unwrap();
            let error = soon(starting(left, role, SessionOptions::new())).await.unwrap_err();
            assert_eq!(error, SessionError::NotLibchan { first_bytes: said[..8].to_vec() });
        }
        let (left, mut right) = UnixStream::pair().unwrap();
        right.write_all(said).await.unwrap();
        let error = soon(accepting(left, SessionOptions::new(), true)).await.unwrap_err();
        assert_eq!(error, SessionError::NotLibchan { first_bytes: said[..8].to_vec() });
    }
}

async fn a_peer_of_another_version() {
    let (left, mut right) = UnixStream::pair().unwrap();
    right.write_all(b"libchan\x02\0\0\0\0\0\0\0\0").await.unwrap();
    let error = soon(starting(left, Role::Dialer, SessionOptions::new())).await.unwrap_err();
    assert_eq!(error, SessionError::UnsupportedVersion(2));
}

async fn no_codec_in_common() {
    let (left, right) = UnixStream::pair().unwrap();
    let with = |codec| SessionOptions::new().codecs([codec]);
    let (one, two) = soon(async {
        tokio::join!(
            starting(left, Role::Dialer, with(AnyCodec::json())),
            starting(right, Role::Acceptor, with(AnyCodec::cbor())),
        )
    })
    .await;
    // Both know it from both hellos, unless the other's goodbye came first.
    for error in [one.unwrap_err(), two.unwrap_err()] {
        let told = matches!(&error, SessionError::PeerClosed(why) if why.code == libchan_proto::code::NO_COMMON_CODEC);
        assert!(error == SessionError::NoCommonCodec || told, "{error:?}");
    }
}

async fn a_peer_that_goes_before_its_hello() {
    for said in [&b""[..], b"libc", b"libchan\x01", b"libchan\x01\0\0\x20\x01\0\0\0\0\0"] {
        for looks in [false, true] {
            let (left, mut right) = UnixStream::pair().unwrap();
            right.write_all(said).await.unwrap();
            drop(right);
            let error = soon(accepting(left, SessionOptions::new(), looks)).await.unwrap_err();
            assert!(matches!(error, SessionError::Lost | SessionError::Link(_)), "{error:?} after {said:?}");
        }
    }
}

async fn a_hello_that_is_too_long() {
    for looks in [false, true] {
        let (left, mut right) = UnixStream::pair().unwrap();
        // A hello of 1 MiB is announced.
        right.write_all(b"libchan\x01\x10\0\0\x01\0\0\0\0").await.unwrap();
        let error = soon(accepting(left, SessionOptions::new(), looks)).await.unwrap_err();
        assert!(matches!(error, SessionError::PeerMisbehaved(_)), "{error:?}");
    }
}

async fn a_hello_that_never_comes() {
    let limits = Limits { hello_timeout: Duration::from_millis(200), ..Limits::default() };
    for (said, looks) in [(&b""[..], false), (b"libchan\x01", false), (b"", true), (b"libchan\x01", true)] {
        let (left, mut right) = UnixStream::pair().unwrap();
        right.write_all(said).await.unwrap();
        let options = SessionOptions::new().limits(limits.clone());
        let error = soon(accepting(left, options, looks)).await.unwrap_err();
        assert_eq!(error, SessionError::HelloTimeout);
        // The connection is gone: what it said is read, and then the end.
        let mut rest = Vec::new();
        let _ = soon(right.read_to_end(&mut rest)).await;
    }
}

/// What comes behind the hello before it is answered is read when the session is there, cut anywhere.
async fn what_comes_with_the_hello_is_kept() {
    let hello = crate::rude::hello().await;
    let opening = crate::rude::frame(0x02, 2, &[0, 0, 0, 4, 0, 1, b'x']);
    let message = crate::rude::frame(0x03, 2, &[0, 1, 5]);
    let said = [&hello[..], &opening, &message].concat();
    for cut in hello.len()..=said.len() {
        let (left, mut right) = UnixStream::pair().unwrap();
        right.write_all(&said[..cut]).await.unwrap();
        let link = UnixLink::new(left, "unix:test");
        let pending = soon(PendingSession::accept(link, SessionOptions::new())).await.unwrap();
        assert_eq!((pending.info().peer.as_str(), pending.metadata().is_empty()), ("unix:test", true));
        let session = soon(pending.admit(Some("ann".into()))).await.unwrap();
        assert_eq!(session.principal(), Some("ann"));
        right.write_all(&said[cut..]).await.unwrap();
        let incoming = soon(session.accept()).await.unwrap().unwrap();
        assert_eq!((incoming.name(), incoming.principal()), ("x", Some("ann")));
        assert_eq!(get(&incoming.receive::<u32>()).await, 5);
    }
}

/// A peer that is turned away and does not go, or sends on, holds its place for as long as a close may take.
async fn a_denied_peer_that_stays() {
    for sends in [false, true] {
        let (left, mut right) = UnixStream::pair().unwrap();
        right.write_all(&crate::rude::hello().await).await.unwrap();
        let options = SessionOptions::new().close_timeout(Duration::from_millis(100));
        let pending = soon(PendingSession::accept(UnixLink::new(left, ""), options)).await.unwrap();
        let staying = async {
            let mut said = vec![0; 1024];
            let read = right.read(&mut said).await.unwrap();
            assert_eq!(&said[8..read], crate::rude::frame(0x0d, 0, b"\0\x20no"));
            while sends && right.write_all(&[0; 4096]).await.is_ok() {}
            while right.read(&mut said).await.is_ok_and(|read| read > 0) {}
        };
        soon(async { tokio::join!(pending.deny(Denial::Forbidden, "no"), staying) }).await;
    }
}

async fn a_start_that_is_dropped_drops_the_link() {
    let (left, mut right) = UnixStream::pair().unwrap();
    {
        let mut start = Box::pin(starting(left, Role::Dialer, SessionOptions::new()));
        assert!(poll_once(start.as_mut()).await.is_none());
        yields().await;
    }
    let mut rest = Vec::new();
    let _ = soon(right.read_to_end(&mut rest)).await;
}

libchan_tests::in_process! {
    a_peer_that_speaks_something_else,
    a_peer_of_another_version,
    no_codec_in_common,
    a_peer_that_goes_before_its_hello,
    a_hello_that_is_too_long,
    a_hello_that_never_comes,
    what_comes_with_the_hello_is_kept,
    a_denied_peer_that_stays,
    a_start_that_is_dropped_drops_the_link,
}
