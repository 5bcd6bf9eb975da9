//! `libchan dial` and `libchan certificate` as a user calls them: who is believed, what is shown, what the errors say.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libchan::SessionOptions;
use libchan_transports::tls::{TlsServer, TlsServerOptions, TlsSource};
use libchan_transports::{ListenOptions, Refusal, bearer, listen_with};

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// Runs the tool beside the listener of a test.
async fn libchan(arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_libchan"));
    command.args(arguments).env_remove("LIBCHAN_TOKEN").envs(token.map(|token| ("LIBCHAN_TOKEN", token)));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Accepts until the test ends. Gives the URL to dial.
async fn serve(url: &str, options: ListenOptions) -> String {
    let listener = listen_with(url, options).await.unwrap();
    let url = listener.url().to_owned();
    tokio::spawn(async move {
        loop {
            if let Ok(session) = listener.accept().await {
                tokio::spawn(async move { while let Ok(Some(_)) = session.accept().await {} });
            }
        }
    });
    url
}

#[tokio::test]
async fn a_certificate_that_was_made_is_believed_by_its_pin_alone() {
    let out = folder("pin");
    let made = libchan(&["certificate", "--out", out.to_str().unwrap()], None).await;
    assert!(made.status.success(), "{}", text(&made));
    let pin = String::from_utf8(made.stdout.clone()).unwrap().trim().to_owned();
    let source = |name: &str| TlsSource::file(out.join(name));
    let tls = TlsServer::new(TlsServerOptions::new(source("certificate.pem"), source("key.pem"))).unwrap();
    let url = serve("tls://127.0.0.1:0", ListenOptions::default().tls(tls)).await;

    let dialed = libchan(&["dial", &url, "--pin", &pin], None).await;
    assert!(dialed.status.success(), "{}", text(&dialed));
    for fact in [&format!("certificate  {pin}"), "secure       yes", "descriptors  as byte streams"] {
        assert!(text(&dialed).contains(fact), "no {fact} in {}", text(&dialed));
    }
    let root = out.join("certificate.pem");
    let by_root = libchan(&["dial", &url, "--root", root.to_str().unwrap()], None).await;
    assert!(by_root.status.success(), "{}", text(&by_root));

    let other = format!("sha256:{}", "0".repeat(64));
    for arguments in [vec!["dial", &url], vec!["dial", &url, "--pin", &other]] {
        let refused = libchan(&arguments, None).await;
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(text(&refused).contains(&url), "{}", text(&refused));
    }
    let wrong = libchan(&["dial", &url, "--pin", "sha256:12"], None).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong));
    assert!(text(&wrong).contains("64 hexadecimal digits"), "{}", text(&wrong));

    let again = libchan(&["certificate", "--out", out.to_str().unwrap()], None).await;
    assert_eq!(again.status.code(), Some(1), "a key is not overwritten: {}", text(&again));
    assert!(text(&again).contains("key.pem"), "{}", text(&again));
}

#[tokio::test]
async fn a_client_certificate_lets_in() {
    let out = folder("identity");
    let made =
        libchan(&["certificate", "--out", out.to_str().unwrap(), "127.0.0.1", "client.example"], None).await;
    assert!(made.status.success(), "{}", text(&made));
    let pin = String::from_utf8(made.stdout.clone()).unwrap().trim().to_owned();
    let source = |name: &str| TlsSource::file(out.join(name));
    let server = TlsServerOptions::new(source("certificate.pem"), source("key.pem"));
    let tls = TlsServer::new(server.client_root(source("certificate.pem"))).unwrap();
    let named = |peer: &libchan_transports::Candidate<'_>| match peer.subject() {
        Some(subject) if subject.dns_names == ["client.example"] => Ok("client".to_owned()),
        other => Err(Refusal::forbidden(format!("{other:?}"))),
    };
    let url = serve("tls://127.0.0.1:0", ListenOptions::default().tls(tls).authorize(named)).await;
    let without = libchan(&["dial", &url, "--pin", &pin], None).await;
    assert!(text(&without).contains("--identity"), "{}", text(&without));
    let (chain, key) = (out.join("certificate.pem"), out.join("key.pem"));
    let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
    let dialed = libchan(&["dial", &url, "--pin", &pin, "--identity", chain, "--key", key], None).await;
    assert!(dialed.status.success(), "{}", text(&dialed));
}

#[tokio::test]
async fn a_token_lets_in_and_a_wrong_one_says_so() {
    let known = |token: &str| match token {
        "sesame" => Ok("alice".to_owned()),
        _ => Err(Refusal::unauthorized("an unknown token")),
    };
    let session = SessionOptions::new().metadata("name", "build\u{1b}[31m");
    let url =
        serve("tcp://127.0.0.1:0", ListenOptions::default().session(session).authorize(bearer(known))).await;
    let dialed = libchan(&["dial", &url], Some("sesame")).await;
    assert!(dialed.status.success(), "{}", text(&dialed));
    assert!(text(&dialed).contains(r#"metadata     "name" = "build\u{1b}[31m""#), "{}", text(&dialed));
    for token in [None, Some("wrong")] {
        let refused = libchan(&["dial", &url], token).await;
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(text(&refused).contains("401"), "{}", text(&refused));
    }
}

#[tokio::test]
async fn a_url_that_leads_nowhere_says_why() {
    for (url, why) in [
        ("unix:///no/such/socket", "/no/such/socket: no such socket"),
        ("tcp://127.0.0.1:1", "127.0.0.1:1: connection refused"),
        ("nonsense", "no scheme"),
    ] {
        let failed = libchan(&["dial", url], None).await;
        assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
        assert!(text(&failed).starts_with("libchan: ") && text(&failed).contains(why), "{}", text(&failed));
    }
}
