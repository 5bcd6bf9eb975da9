//! Bad addresses: each has an error of its own.

use libchan_tests::*;
use libchan_transports::{DialError, ListenError, ListenOptions, UrlError, dial, listen, listen_with};

async fn unknown_schemes_and_bad_urls() {
    for url in ["nope://x", "http3://x", "ftp:x"] {
        let error = dial(url).await.unwrap_err();
        assert!(matches!(error, DialError::Url(UrlError::UnknownScheme { .. })), "{url}: {error:?}");
        assert!(matches!(listen(url).await.unwrap_err(), ListenError::Url(UrlError::UnknownScheme { .. })));
    }
    for url in
        ["", "tcp", "tcp://", "unix:", "tcp://host", "tcp://127.0.0.1:99999", "tls:host:1", "tls://host"]
    {
        assert!(matches!(dial(url).await.unwrap_err(), DialError::Url(_)), "{url}");
    }
    assert!(matches!(dial("tcp://127.0.0.1:0").await.unwrap_err(), DialError::Url(UrlError::PortZero)));
}

async fn nobody_there() {
    let scratch = Scratch::new();
    let url = |name: &str| format!("unix://{}", scratch.path(name).display());
    assert!(matches!(dial(&url("none")).await.unwrap_err(), DialError::NoSuchSocket { .. }));
    std::fs::write(scratch.path("file"), "").unwrap();
    assert!(matches!(dial(&url("file")).await.unwrap_err(), DialError::NotASocket { .. }));
    let gone = std::os::unix::net::UnixListener::bind(scratch.path("gone")).unwrap();
    drop(gone);
    assert!(matches!(dial(&url("gone")).await.unwrap_err(), DialError::Refused { .. }));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["tcp", "tls"] {
        let error = dial(&format!("{scheme}://{free}")).await.unwrap_err();
        assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
    }
    assert!(matches!(dial(&url(&"x".repeat(200))).await.unwrap_err(), DialError::PathTooLong { .. }));
    assert!(matches!(listen(&url(&"x".repeat(200))).await.unwrap_err(), ListenError::PathTooLong { .. }));
}

async fn an_address_in_use() {
    let scratch = Scratch::new();
    let unix = format!("unix://{}", scratch.path("s").display());
    for url in ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", &unix] {
        let options = ListenOptions::default().tls(tls().0);
        let first = listen_with(url, options.clone()).await.unwrap();
        let error = listen_with(first.url(), options).await.unwrap_err();
        // A socket's path says more: somebody answers there.
        assert!(
            matches!(error, ListenError::AddressInUse { .. } | ListenError::LiveServer { .. }),
            "{error:?}"
        );
        drop(first);
    }
    // The path is free again.
    drop(listen(&unix).await.unwrap());
}

libchan_tests::in_process! { unknown_schemes_and_bad_urls, nobody_there, an_address_in_use }
