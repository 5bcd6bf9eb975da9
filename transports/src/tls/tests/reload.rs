//! A server's certificates change while it runs.

use super::*;
use crate::test_support::Scratch;

fn shown(session: &Session) -> Fingerprint {
    Fingerprint::of(&session.info().certificates.as_ref().unwrap()[0])
}

#[tokio::test]
async fn new_sessions_see_the_new_certificate_and_old_ones_go_on() {
    let scratch = Scratch::new();
    let authority = Authority::new("root");
    let (first, second) = (authority.issue(), authority.issue());
    let (chain, key) = (scratch.path("chain.pem"), scratch.path("key.pem"));
    let write = |certificate: &str, secret: &str| {
        std::fs::write(&chain, certificate).unwrap();
        std::fs::write(&key, secret).unwrap();
    };
    write(&first.certificate, &first.key);
    let serving = server(TlsServerOptions::new(TlsSource::file(&chain), TlsSource::file(&key)));
    let trusting = TlsClientOptions::new().root(authority.root());
    let (old, old_peer) = united(serving.clone(), trusting.clone()).await;
    assert_eq!(shown(&old), first.fingerprint());

    // Files that are wrong leave everything as it was, and say so.
    write(&second.certificate, "no key");
    assert!(matches!(serving.reload().unwrap_err(), TlsConfigError::BadPem { .. }));
    write(&second.certificate, &first.key);
    assert_eq!(serving.reload().unwrap_err(), TlsConfigError::KeyMismatch);
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(serving.reload().unwrap_err(), TlsConfigError::Unreadable { .. }));
    let (same, _peer) = united(serving.clone(), trusting.clone()).await;
    assert_eq!(shown(&same), first.fingerprint());

    write(&second.certificate, &second.key);
    serving.reload().unwrap();
    let (new, _peer) = united(serving.clone(), trusting).await;
    assert_eq!(shown(&new), second.fingerprint());
    talk(&old, &old_peer).await;
    talk(&old_peer, &old).await;
}

#[tokio::test]
async fn a_root_that_is_gone_lets_nobody_in() {
    let (authority, old, new) = (Authority::new("root"), Authority::new("old"), Authority::new("new"));
    let (issued, client) = (authority.issue(), old.issue());
    let serving = server(issued.serves().client_root(old.root()).client_root(new.root()));
    let options = TlsClientOptions::new().root(authority.root()).identity(client.chain(), client.key());
    let (one, other) = united(serving.clone(), options.clone()).await;
    serving.replace(issued.serves().client_root(new.root())).unwrap();
    let (error, told) = refused(serving.clone(), options).await;
    assert!(matches!(error, TlsError::CertificateRefused { .. }), "{error:?}");
    assert!(matches!(told, TlsError::UnknownIssuer { .. }), "{told:?}");
    // Who is in stays in.
    talk(&one, &other).await;
    let client = new.issue();
    let options = TlsClientOptions::new().root(authority.root()).identity(client.chain(), client.key());
    united(serving, options).await;
}

#[tokio::test]
async fn a_running_listener_follows() {
    let authority = Authority::new("root");
    let (first, second) = (authority.issue(), authority.issue());
    let serving = server(first.serves());
    let (listener, _failures) =
        listening("tls://127.0.0.1:0", ListenOptions::default().tls(serving.clone())).await;
    let options = DialOptions::default().tls(TlsClientOptions::new().root(authority.root()));
    for issued in [&first, &second] {
        serving.replace(issued.serves()).unwrap();
        let dialing = dial_with(listener.url(), options.clone());
        let (dialed, accepted) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
        accepted.unwrap();
        assert_eq!(shown(&dialed.unwrap()), issued.fingerprint());
    }
}
