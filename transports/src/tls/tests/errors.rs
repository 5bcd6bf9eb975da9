//! Each cause has an error of its own, on both sides.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::dial;

fn refusal(alert: &str) -> TlsError {
    TlsError::CertificateRefused { alert: alert.to_owned() }
}

#[tokio::test]
async fn a_certificate_out_of_its_time() {
    let authority = Authority::new("root");
    let trusting = || TlsClientOptions::new().root(authority.root());
    let old = authority.issue_with(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let (error, told) = refused(server(old.serves()), trusting()).await;
    assert!(matches!(error, TlsError::Expired { ago } if ago > Duration::from_secs(86_400)), "{error:?}");
    assert!(error.to_string().contains(" days ago"), "{error}");
    assert_eq!(told, refusal("CertificateExpired"));
    let new = authority.issue_with(|params| params.not_before = date_time_ymd(2999, 1, 1));
    let (error, told) = refused(server(new.serves()), trusting()).await;
    assert!(
        matches!(error, TlsError::NotYetValid { after } if after > Duration::from_secs(86_400)),
        "{error:?}"
    );
    assert!(matches!(told, TlsError::CertificateRefused { .. }), "{told:?}");
}

#[tokio::test]
async fn another_name() {
    let authority = Authority::new("root");
    let issued = authority.issue();
    let trusting = TlsClientOptions::new().root(authority.root());
    let (error, _) = refused(server(issued.serves()), trusting.clone().server_name("build.example")).await;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    assert_eq!(error, TlsError::WrongName { expected: "build.example".to_owned(), names });
    assert!(
        error.to_string().contains("is for `localhost`, `127.0.0.1` and not for `build.example`"),
        "{error}"
    );
    united(server(issued.serves()), trusting.server_name("localhost")).await;
}

#[tokio::test]
async fn an_unknown_issuer() {
    let (authority, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let issued = stranger.issue();
    let (error, told) =
        refused(server(issued.serves()), TlsClientOptions::new().root(authority.root())).await;
    assert_eq!(error, TlsError::UnknownIssuer { fingerprint: Some(issued.fingerprint()) });
    assert_eq!(told, refusal("UnknownCA"));
    // The text shows what was seen, to be compared: it does not advise to pin whatever was shown.
    let text = error.to_string();
    assert!(text.contains("operator") && !text.contains("pin sha256:"), "{text}");
    let pin: Fingerprint = text[text.find("sha256:").unwrap()..][..71].parse().unwrap();
    let (one, other) = united(server(issued.serves()), TlsClientOptions::new().pin(pin)).await;
    talk(&one, &other).await;
}

#[tokio::test]
async fn the_platform_does_not_know_us() {
    let issued = Authority::new("root").issue();
    let (listener, _failures) =
        listening("tls://127.0.0.1:0", ListenOptions::default().tls(server(issued.serves()))).await;
    let (dialed, _) = soon(async {
        tokio::join!(dial(listener.url()), async {
            tokio::time::timeout(Duration::from_millis(100), listener.accept()).await
        })
    })
    .await;
    match dialed.unwrap_err() {
        DialError::Tls { source: TlsError::UnknownIssuer { .. }, .. } => {}
        // A machine without any.
        DialError::TlsConfig(TlsConfigError::NoPlatformRoots(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_authority_as_a_server() {
    let authority = Authority::new("root");
    let own = authority.issue_with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let (error, _) = refused(server(own.serves()), TlsClientOptions::new().root(authority.root())).await;
    assert_eq!(error, TlsError::AuthorityAsPeer { fingerprint: Some(own.fingerprint()) });
    united(server(own.serves()), TlsClientOptions::new().pin(own.fingerprint())).await;
}

#[tokio::test]
async fn another_purpose() {
    let authority = Authority::new("root");
    let client = authority.issue_with(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (error, _) = refused(server(client.serves()), TlsClientOptions::new().root(authority.root())).await;
    assert_eq!(error, TlsError::WrongPurpose);
}

#[tokio::test]
async fn revocation() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let issued = authority.issue();
    let trusting = |list| TlsClientOptions::new().root(authority.root()).revocation_list(list);
    let serving = || server(issued.serves());
    let (error, told) = refused(serving(), trusting(authority.revoking(SERIAL, 3000))).await;
    assert_eq!((error, told), (TlsError::Revoked, refusal("CertificateRevoked")));
    let (error, _) = refused(serving(), trusting(other.revoking(SERIAL, 3000))).await;
    assert_eq!(error, TlsError::RevocationUnknown);
    let (error, _) = refused(serving(), trusting(authority.revoking(SERIAL + 1, 2021))).await;
    assert!(matches!(error, TlsError::RevocationListExpired { .. }), "{error:?}");
    united(serving(), trusting(authority.revoking(SERIAL + 1, 3000))).await;
    // The server's side of the same.
    let client = || TlsClientOptions::new().root(authority.root()).identity(issued.chain(), issued.key());
    let careful = |list| server(issued.serves().client_root(authority.root()).revocation_list(list));
    let (error, told) = refused(careful(authority.revoking(SERIAL, 3000)), client()).await;
    assert_eq!((error, told), (refusal("CertificateRevoked"), TlsError::Revoked));
    united(careful(authority.revoking(SERIAL + 1, 3000)), client()).await;
}

#[tokio::test]
async fn a_bad_pin() {
    let (issued, other) = (Authority::new("root").issue(), Authority::new("root").issue());
    let pinning = TlsClientOptions::new().pin(other.fingerprint());
    let (error, told) = refused(server(issued.serves()), pinning.clone()).await;
    let (expected, found) = (vec![other.fingerprint()], issued.fingerprint());
    assert_eq!(error, TlsError::BadPin { expected, found });
    assert!(
        error.to_string().contains(&format!("expected {}, found {found}", other.fingerprint())),
        "{error}"
    );
    assert!(matches!(told, TlsError::CertificateRefused { .. }), "{told:?}");
    // One of several is enough.
    united(server(issued.serves()), pinning.pin(found)).await;
}

/// A server that shows a pinned certificate and does not hold its key is not believed.
#[tokio::test]
async fn a_pin_does_not_stand_for_the_key() {
    let (issued, thief) = (Authority::new("root").issue(), Authority::new("root").issue());
    // rustls itself would refuse this pair, so the certificate is passed by a resolver, with the thief's key.
    #[derive(Debug)]
    struct Stolen(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Stolen {
        fn resolve(
            &self,
            _hello: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let provider = provider::provider();
    let key = provider.key_provider.load_private_key(thief.key().key().unwrap()).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(issued.chain().certificates().unwrap(), key);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Stolen(stolen.into())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let (here, there) = tokio::io::duplex(4096);
    let accepting = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(there);
    let options = TlsClientOptions::new().pin(issued.fingerprint());
    let (connected, _) =
        soon(async { tokio::join!(connect_tls(here, "localhost", &options, &[ALPN]), accepting) }).await;
    let error = connected.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(TlsError::BadSignature)), "{error:?}");
}

#[tokio::test]
async fn clients_without_a_good_certificate() {
    let (authority, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let issued = authority.issue();
    let careful = || server(issued.serves().client_root(authority.root()));
    let trusting = || TlsClientOptions::new().root(authority.root());
    for _ in 0..20 {
        let (error, told) = refused(careful(), trusting()).await;
        assert_eq!((error, told), (TlsError::ClientCertificateRequired, TlsError::NoClientCertificate));
    }
    let (strange, old) =
        (stranger.issue(), authority.issue_with(|params| params.not_after = date_time_ymd(2020, 1, 1)));
    let (error, told) = refused(careful(), trusting().identity(strange.chain(), strange.key())).await;
    assert_eq!((error, told), (refusal("UnknownCA"), TlsError::UnknownIssuer { fingerprint: None }));
    let (error, told) = refused(careful(), trusting().identity(old.chain(), old.key())).await;
    assert_eq!(error, refusal("CertificateExpired"));
    assert!(matches!(told, TlsError::Expired { .. }), "{told:?}");
    // Where none is needed, one that is shown has to be good all the same.
    let lenient = || server(issued.serves().client_root(authority.root()).client_optional());
    let (error, _) = refused(lenient(), trusting().identity(strange.chain(), strange.key())).await;
    assert_eq!(error, refusal("UnknownCA"));
    let (one, _other) = united(lenient(), trusting()).await;
    assert_eq!(one.info().certificates.as_deref(), Some(&[issued.der.clone()][..]));
}

/// What a server that is none of ours answers, and what dialing it says.
async fn dialing_what_says(said: &'static [u8]) -> TlsError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tls://{}", listener.local_addr().unwrap());
    let answering = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut hello = [0; 16];
        peer.read_exact(&mut hello).await.unwrap();
        peer.write_all(said).await.unwrap();
        // Until the dialer gives up.
        let _ = peer.shutdown().await;
        let _ = peer.read_to_end(&mut Vec::new()).await;
    };
    let pin = TlsClientOptions::new().pin([0; 32].into());
    let dialing = dial_with(&url, DialOptions::default().tls(pin));
    tls_error(soon(async { tokio::join!(dialing, answering) }).await.0)
}

#[tokio::test]
async fn servers_that_do_not_speak_tls() {
    for said in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"libchan\x01\0\0\0\0", b"SSH-2.0-OpenSSH_9.6\r\n"]
    {
        assert_eq!(dialing_what_says(said).await, TlsError::NotTls);
    }
    assert_eq!(dialing_what_says(b"").await, TlsError::Ended);
    let alert = dialing_what_says(&[0x15, 3, 3, 0, 2, 2, 40]).await;
    assert!(matches!(alert, TlsError::Incompatible(_)), "{alert:?}");
}

#[tokio::test]
async fn clients_that_do_not_speak_tls() {
    let issued = Authority::new("root").issue();
    let (listener, mut failures) =
        listening("tls://127.0.0.1:0", ListenOptions::default().tls(server(issued.serves()))).await;
    let address = listener.url().strip_prefix("tls://").unwrap().to_owned();
    let accepting = tokio::spawn(async move { listener.accept().await });
    let mut rude = TcpStream::connect(&address).await.unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n").await.unwrap();
    assert_eq!(soon(failures.recv()).await.unwrap().tls, Some(TlsError::NotTls));
    drop(TcpStream::connect(&address).await.unwrap());
    let gone = soon(failures.recv()).await.unwrap().tls.unwrap();
    assert!(matches!(gone, TlsError::Ended | TlsError::Io(_)), "{gone:?}");
    // A libchan peer without TLS learns what to do.
    let error = soon(dial(&format!("tcp://{address}"))).await.unwrap_err();
    assert!(matches!(error, DialError::SpeaksTls { .. }), "{error:?}");
    assert!(error.to_string().contains("tls://"), "{error}");
    accepting.abort();
}

#[tokio::test]
async fn tls_at_a_plain_port() {
    let (listener, mut failures) = listening("tcp://127.0.0.1:0", ListenOptions::default()).await;
    let url = listener.url().replace("tcp:", "tls:");
    let accepting = tokio::spawn(async move { listener.accept().await });
    let pin = TlsClientOptions::new().pin([0; 32].into());
    let dialed = soon(dial_with(&url, DialOptions::default().tls(pin))).await;
    assert_eq!(tls_error(dialed), TlsError::NotTls);
    let failure = soon(failures.recv()).await.unwrap();
    assert!(failure.text.contains("spoke TLS to a plain listener"), "{failure:?}");
    accepting.abort();
}

#[tokio::test]
async fn no_protocol_in_common() {
    let issued = Authority::new("root").issue();
    let serving = server(issued.serves());
    let client = TlsClientOptions::new().pin(issued.fingerprint());
    let limit = Duration::from_secs(10);
    for (offered, known) in [(&[&b"h2"[..]][..], &[ALPN][..]), (&[][..], &[ALPN]), (&[ALPN], &[])] {
        let (here, there) = tokio::io::duplex(4096);
        let connecting = connect_tls(here, "localhost", &client, offered);
        let (one, other) =
            soon(async { tokio::join!(connecting, accept_tls(there, &serving, known, limit)) }).await;
        let error = one.unwrap_err();
        assert!(matches!(error, ConnectError::Handshake(TlsError::NoCommonProtocol)), "{error:?}");
        assert_eq!(other.unwrap_err(), TlsError::NoCommonProtocol);
    }
    // What is agreed on is the first of the server's that the client offers.
    let (here, there) = tokio::io::duplex(4096);
    let connecting = connect_tls(here, "localhost", &client, &[b"http/1.1", b"h2"]);
    let accepting = accept_tls(there, &serving, &[b"h2", b"http/1.1"], limit);
    let (one, other) = soon(async { tokio::join!(connecting, accepting) }).await;
    for stream in [one.unwrap().get_ref().1.alpn_protocol(), other.unwrap().get_ref().1.alpn_protocol()] {
        assert_eq!(stream, Some(&b"h2"[..]));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_has_an_end() {
    let issued = Authority::new("root").issue();
    // A server that never answers: bounded by the connect timeout.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tls://{}", listener.local_addr().unwrap());
    let pin = TlsClientOptions::new().pin(issued.fingerprint());
    let error = dial_with(&url, DialOptions::default().tls(pin)).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { after, .. } if after.as_secs() == 10), "{error:?}");
    // A client that never speaks: bounded by the hello deadline.
    let options = ListenOptions::default().tls(server(issued.serves()));
    let after = options.session.limits.hello_timeout;
    let (listener, mut failures) = listening("tls://127.0.0.1:0", options).await;
    let _silent = TcpStream::connect(listener.url().strip_prefix("tls://").unwrap()).await.unwrap();
    let accepting = tokio::spawn(async move { listener.accept().await });
    assert_eq!(failures.recv().await.unwrap().tls, Some(TlsError::TimedOut { after }));
    accepting.abort();
}
