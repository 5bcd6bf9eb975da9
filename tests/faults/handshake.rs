//! Sessions that never come about.

use std::time::Duration;

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
        let (left, mut right) = UnixStream::pair().unwrap();
        right.write_all(said).await.unwrap();
        drop(right);
        let error = soon(starting(left, Role::Acceptor, SessionOptions::new())).await.unwrap_err();
        assert!(matches!(error, SessionError::Lost | SessionError::Link(_)), "{error:?} after {said:?}");
    }
}

async fn a_hello_that_is_too_long() {
    let (left, mut right) = UnixStream::pair().unwrap();
    // A hello of 1 MiB is announced.
    right.write_all(b"libchan\x01\x10\0\0\x01\0\0\0\0").await.unwrap();
    let error = soon(starting(left, Role::Acceptor, SessionOptions::new())).await.unwrap_err();
    assert!(matches!(error, SessionError::PeerMisbehaved(_)), "{error:?}");
}

async fn a_hello_that_never_comes() {
    let limits = Limits { hello_timeout: Duration::from_millis(200), ..Limits::default() };
    for said in [&b""[..], b"libchan\x01"] {
        let (left, mut right) = UnixStream::pair().unwrap();
        right.write_all(said).await.unwrap();
        let options = SessionOptions::new().limits(limits.clone());
        let error = soon(starting(left, Role::Acceptor, options)).await.unwrap_err();
        assert_eq!(error, SessionError::HelloTimeout);
        // The connection is gone: what it said is read, and then the end.
        let mut rest = Vec::new();
        let _ = soon(right.read_to_end(&mut rest)).await;
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
    a_start_that_is_dropped_drops_the_link,
}
