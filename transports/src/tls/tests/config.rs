//! Certificates, keys and settings of our own that are wrong.

use super::*;
use crate::test_support::Scratch;
use crate::{dial_with, listen};

fn failing(chain: TlsSource, key: TlsSource) -> TlsConfigError {
    TlsServer::new(TlsServerOptions::new(chain, key)).unwrap_err()
}

#[test]
fn files_and_texts() {
    let scratch = Scratch::new();
    let issued = Authority::new("root").issue();
    let path = scratch.path("none.pem");
    let error = failing(TlsSource::file(&path), issued.key());
    assert!(matches!(&error, TlsConfigError::Unreadable { path: named, .. } if *named == path), "{error:?}");
    assert!(error.to_string().contains("none.pem"), "{error}");
    let bad = |error: &TlsConfigError, what: &str, why: &str| {
        let named = matches!(error, TlsConfigError::BadPem { wanted, problem, .. }
            if *wanted == what && problem.contains(why));
        assert!(named, "{error:?}");
    };
    bad(&failing(TlsSource::pem("hello"), issued.key()), "certificate", "no such section");
    bad(&failing(issued.key(), issued.key()), "certificate", "no such section");
    bad(&failing(issued.chain(), issued.chain()), "private key", "no such section");
    let cut = &issued.certificate[..100];
    bad(&failing(TlsSource::pem(cut), issued.key()), "certificate", "no end");
    let garbled = issued.key.replace("MIG", "!!!");
    let error = failing(issued.chain(), TlsSource::pem(&garbled));
    bad(&error, "private key", "not base64");
    let encrypted = issued.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    bad(&failing(issued.chain(), TlsSource::pem(&encrypted)), "private key", "decrypt it first");
    // A file that is right, for once.
    let (chain, key) = (scratch.path("chain.pem"), scratch.path("key.pem"));
    std::fs::write(&chain, &issued.certificate).unwrap();
    std::fs::write(&key, &issued.key).unwrap();
    TlsServer::new(TlsServerOptions::new(TlsSource::file(chain), TlsSource::file(key))).unwrap();
}

#[test]
fn what_does_not_belong_together() {
    let (issued, other) = (Authority::new("root").issue(), Authority::new("root").issue());
    assert_eq!(failing(issued.chain(), other.key()), TlsConfigError::KeyMismatch);
    let garbage = TlsSource::der([7; 20]);
    assert!(matches!(failing(issued.chain(), garbage.clone()), TlsConfigError::BadKey(_)));
    assert!(matches!(failing(garbage.clone(), issued.key()), TlsConfigError::BadCertificate(_)));
    let error = TlsServer::new(issued.serves().client_root(garbage.clone())).unwrap_err();
    assert!(matches!(error, TlsConfigError::BadCertificate(_)), "{error:?}");
    let with_list = issued.serves().client_root(issued.chain()).revocation_list(garbage);
    assert!(matches!(TlsServer::new(with_list).unwrap_err(), TlsConfigError::BadRevocationList(_)));
    for options in [
        issued.serves().client_optional(),
        issued.serves().revocation_list(Authority::new("root").revoking(1, 3000)),
    ] {
        assert_eq!(TlsServer::new(options).unwrap_err(), TlsConfigError::NoClientRoots);
    }
}

#[tokio::test]
async fn dialing_and_listening() {
    let error = listen("tls://127.0.0.1:0").await.unwrap_err();
    assert_eq!(error, ListenError::TlsConfig(TlsConfigError::NoServer));
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tls://localhost:{}", peer.local_addr().unwrap().port());
    let issued = Authority::new("root").issue();
    let pin = || TlsClientOptions::new().pin(issued.fingerprint());
    for (options, expected) in [
        (pin().root(issued.chain()), TlsConfigError::PinAndRoots),
        (pin().platform_roots(), TlsConfigError::PinAndRoots),
        (pin().server_name("two words"), TlsConfigError::BadServerName("two words".to_owned())),
        (pin().identity(issued.chain(), Authority::new("x").issue().key()), TlsConfigError::KeyMismatch),
    ] {
        let error = soon(dial_with(&url, DialOptions::default().tls(options))).await.unwrap_err();
        assert!(matches!(&error, DialError::TlsConfig(found) if *found == expected), "{error:?}");
    }
    assert!(matches!(crate::dial("tls://localhost:0").await, Err(DialError::Url(UrlError::PortZero))));
    drop(peer);
    let error = crate::dial(&url).await.unwrap_err();
    assert!(matches!(&error, DialError::Refused { url: named } if *named == url), "{error:?}");
}

#[test]
fn fingerprints_as_text() {
    let fingerprint = Fingerprint::of(b"");
    let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!((fingerprint.to_string().as_str(), text.parse()), (text, Ok(fingerprint)));
    let digits = &text[7..];
    let pairs: Vec<&str> = (0..32).map(|i| &digits[2 * i..2 * i + 2]).collect();
    let openssl = format!("sha256:{}", pairs.join(":").to_uppercase());
    assert_eq!(openssl.parse(), Ok(fingerprint));
    let bad: [(&str, FingerprintError); 6] = [
        (digits, FingerprintError::NoPrefix),
        ("sha1:00", FingerprintError::NoPrefix),
        ("sha256:", FingerprintError::BadDigits),
        (&text[..text.len() - 1], FingerprintError::BadDigits),
        (&format!("{text}0"), FingerprintError::BadDigits),
        (&text.replace("e3", "+3"), FingerprintError::BadDigits),
    ];
    for (text, error) in bad {
        assert_eq!(text.parse::<Fingerprint>(), Err(error), "{text}");
    }
    assert_eq!("sha256:é".parse::<Fingerprint>(), Err(FingerprintError::BadDigits));
}

/// No key and no text of one stands in what is printed.
#[test]
fn nothing_secret_is_shown() {
    let issued = Authority::new("root").issue();
    let serving = server(issued.serves());
    let client = TlsClientOptions::new().identity(issued.chain(), issued.key());
    client.prepare().ok();
    let shown = format!("{serving:?} {client:?} {:?}", DialOptions::default().tls(client.clone()));
    let secret = issued.key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret) && !shown.contains("BEGIN"), "{shown}");
}

#[cfg(feature = "dev-certs")]
#[tokio::test]
async fn development_certificates() {
    let made = DevCertificate::new(["localhost", "127.0.0.1"]).unwrap();
    assert!(!format!("{made:?}").contains("BEGIN"));
    let serving = server(made.server_options());
    let (one, other) = united(serving.clone(), TlsClientOptions::new().pin(made.fingerprint())).await;
    talk(&one, &other).await;
    // It can be a root, too: it is for these names.
    let as_root = TlsClientOptions::new().root(TlsSource::pem(made.certificate_pem()));
    united(serving.clone(), as_root.clone()).await;
    let (error, _) = refused(serving, as_root.server_name("elsewhere")).await;
    assert!(matches!(error, TlsError::WrongName { .. }), "{error:?}");
    assert!(DevCertificate::new(["snow☃"]).is_err());
}

/// A file may be DER as well as PEM: certificates, keys and lists as they come out of other tools.
#[tokio::test]
async fn files_may_be_der() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let scratch = Scratch::new();
    let authority = Authority::new("root");
    let issued = authority.issue();
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(scratch.path(name), bytes).unwrap();
        TlsSource::file(scratch.path(name))
    };
    let options =
        TlsServerOptions::new(write("certificate.der", &certificate), write("key.der", key.secret_der()));
    let client = TlsClientOptions::new().root(authority.root()).server_name("localhost");
    let (one, other) = united(TlsServer::new(options).unwrap(), client).await;
    talk(&one, &other).await;
}
