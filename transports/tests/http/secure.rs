//! The same over TLS: one port for every carrier, and a client's certificate before the hook.

use libchan::Session;
use libchan_transports::tls::{
    DevCertificate, Fingerprint, TlsClientOptions, TlsError, TlsServer, TlsServerOptions, TlsSource,
};
use libchan_transports::{
    AcceptError, Candidate, DialError, DialOptions, ListenError, ListenOptions, Listener, dial_with, listen,
    listen_with,
};

use crate::support::*;

/// The encrypted schemes.
const BOTH: [&str; 2] = ["wss", "https"];

fn certificate() -> DevCertificate {
    DevCertificate::new(["localhost", "127.0.0.1"]).unwrap()
}

fn pinning(pin: Fingerprint) -> DialOptions {
    DialOptions::default().tls(TlsClientOptions::new().pin(pin))
}

fn serving(options: TlsServerOptions) -> ListenOptions {
    ListenOptions::default().tls(TlsServer::new(options).unwrap())
}

async fn meet(url: &str, listener: &Listener, options: DialOptions) -> (Session, Session) {
    let (dialed, accepted) = soon(async { tokio::join!(dial_with(url, options), listener.accept()) }).await;
    (dialed.unwrap(), accepted.unwrap())
}

#[tokio::test]
async fn a_session_over_tls() {
    for scheme in BOTH {
        let certificate = certificate();
        let url = format!("{scheme}://localhost:0/some/path");
        let listener = listen_with(&url, serving(certificate.server_options())).await.unwrap();
        let url = listener.url().to_owned();
        assert!(url.starts_with(&format!("{scheme}://127.0.0.1:")) && url.ends_with("/some/path"), "{url}");
        let (dialed, accepted) = meet(&url, &listener, pinning(certificate.fingerprint())).await;
        assert_eq!(dialed.info().peer, url);
        assert!(dialed.info().secure && accepted.info().secure);
        assert!(dialed.info().certificates.is_some() && accepted.info().certificates.is_none());
        assert!(accepted.info().peer.starts_with(&format!("{scheme}://127.0.0.1:")));
        for (from, to) in [(&dialed, &accepted), (&accepted, &dialed)] {
            let (sender, receiver) = channel::<u32>(from, to).await;
            soon(sender.send(7)).await.unwrap();
            assert_eq!(soon(receiver.recv()).await.unwrap(), Some(7));
        }
        let (closed, seen) = soon(async { tokio::join!(dialed.close(), accepted.closed()) }).await;
        assert_eq!((closed, seen), (Ok(()), Ok(())));
    }
}

#[tokio::test]
async fn one_port_for_all() {
    let certificate = certificate();
    let listener = listen_with("https://127.0.0.1:0", serving(certificate.server_options())).await.unwrap();
    for scheme in ["https", "wss", "tls"] {
        let url = listener.url().replace("https:", &format!("{scheme}:"));
        let url = if scheme == "tls" { url.trim_end_matches("/libchan/v1").to_owned() } else { url };
        let (dialed, accepted) = meet(&url, &listener, pinning(certificate.fingerprint())).await;
        let (sender, receiver) = channel::<u32>(&accepted, &dialed).await;
        soon(sender.send(1)).await.unwrap();
        assert_eq!(soon(receiver.recv()).await.unwrap(), Some(1));
    }
}

#[tokio::test]
async fn a_certificate_is_needed_and_checked() {
    for scheme in BOTH {
        let url = format!("{scheme}://127.0.0.1:0");
        assert!(matches!(listen(&url).await, Err(ListenError::TlsConfig(_))));
        let (report, mut failures) = tokio::sync::mpsc::unbounded_channel();
        let options = serving(certificate().server_options()).on_failed_handshake(move |error| {
            let _ = report.send(matches!(error, AcceptError::Tls { .. }));
        });
        let listener = listen_with(&url, options).await.unwrap();
        let url = listener.url().to_owned();
        tokio::spawn(async move { listener.accept().await });
        let other = certificate().fingerprint();
        let error = failure_with(&url, pinning(other)).await;
        assert!(matches!(error, DialError::Tls { source: TlsError::BadPin { .. }, .. }), "{error:?}");
        assert_eq!(soon(failures.recv()).await, Some(true));
    }
}

/// The hook sees who the client is by its certificate, and one without a certificate learns why it is refused.
#[tokio::test]
async fn client_certificates() {
    for scheme in ["wss", "https", "tls"] {
        let (ours, theirs) = (certificate(), certificate());
        let root = TlsSource::pem(theirs.certificate_pem());
        let pin = theirs.fingerprint();
        let hook = move |candidate: &Candidate<'_>| {
            let chain = candidate.info().certificates.clone().expect("a certificate");
            assert_eq!(Fingerprint::of(&chain[0]), pin);
            Ok("known".to_owned())
        };
        let options = serving(ours.server_options().client_root(root)).authorize(hook);
        let listener = listen_with(&format!("{scheme}://127.0.0.1:0"), options).await.unwrap();
        let url = listener.url().to_owned();
        let client = TlsClientOptions::new().pin(ours.fingerprint());
        let known = client
            .clone()
            .identity(TlsSource::pem(theirs.certificate_pem()), TlsSource::pem(theirs.key_pem()));
        let (dialed, accepted) = meet(&url, &listener, DialOptions::default().tls(known)).await;
        assert_eq!(dialed.principal(), Some(&*ours.fingerprint().to_string()));
        assert_eq!(accepted.info().principal.as_deref(), Some("known"));
        assert!(accepted.info().certificates.is_some());
        tokio::spawn(async move { listener.accept().await });
        let error = failure_with(&url, DialOptions::default().tls(client)).await;
        let DialError::Tls { source, .. } = error else { panic!("{error:?}") };
        assert_eq!(source, TlsError::ClientCertificateRequired);
    }
}

/// A port that waits for TLS is not held by clear text, nor the other way round.
#[tokio::test]
async fn tls_and_clear_text_do_not_meet() {
    let certificate = certificate();
    let secure = listen_with("https://127.0.0.1:0", serving(certificate.server_options())).await.unwrap();
    let clear = listen("http://127.0.0.1:0").await.unwrap();
    let (secure_url, clear_url) = (secure.url().to_owned(), clear.url().to_owned());
    tokio::spawn(async move { tokio::join!(secure.accept(), clear.accept()).0.map(drop) });
    for scheme in ["ws", "h2c"] {
        let error = failure(&secure_url.replace("https:", &format!("{scheme}:"))).await;
        assert!(matches!(error, DialError::Http { .. } | DialError::Session(_)), "{error:?}");
    }
    for scheme in BOTH {
        let url = clear_url.replace("http:", &format!("{scheme}:"));
        let error = failure_with(&url, pinning(certificate.fingerprint())).await;
        assert!(matches!(error, DialError::Tls { .. }), "{error:?}");
    }
}
