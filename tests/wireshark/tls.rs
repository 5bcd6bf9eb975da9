//! Sessions in TLS, whose keys tshark gets from the side that logs them: a client in Python.

use std::path::Path;
use std::process::Command;

use libchan_tests::*;
use libchan_transports::tls::{DevCertificate, TlsServer};
use libchan_transports::{ListenOptions, listen_with};

use crate::capture::Capture;
use crate::live::{CLOSE, FRAGMENT, GOODBYE, HELLO, MESSAGE, OPEN};
use crate::shown::{Frame, assert_sound, frames};

const CLIENT: &str = r#"
import asyncio, ssl, sys, libchan

async def main(url, certificate, keys):
    tls = ssl.create_default_context(cafile=certificate)
    tls.keylog_filename = keys
    session = await libchan.dial(url, tls=tls)
    jobs = session.open("jobs", capacity=1)
    await jobs.send(b"x" * 100000)
    jobs.close()
    await session.close()

asyncio.run(main(*sys.argv[1:]))
"#;

async fn captured(url: &str, file: &Path, keys: &Path, certificate: &DevCertificate, pem: &Path) {
    let server = TlsServer::new(certificate.server_options()).unwrap();
    let listener = listen_with(url, ListenOptions::default().tls(server)).await.unwrap();
    let port = listener.url().split_once("127.0.0.1:").unwrap().1.split('/').next().unwrap();
    let capture = Capture::begin(port.parse().unwrap(), file).await;
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/python/bin/python");
    let mut client = Command::new(python);
    client.args(["-c", CLIENT, listener.url()]).args([pem, keys]);
    let client = tokio::task::spawn_blocking(move || client.status());
    let serve = async {
        let session = soon(listener.accept()).await.unwrap();
        let jobs = soon(session.accept()).await.unwrap().unwrap().receive::<Blob>();
        assert_eq!(get(&jobs).await.len(), 100_000);
        end(&jobs).await;
        soon(session.close()).await.unwrap();
    };
    let (said, ()) = tokio::join!(client, serve);
    let said = said.unwrap().expect("python: run tests/setup-peers.sh");
    assert!(said.success(), "the client: {said}");
    capture.end().await;
}

#[test]
#[ignore = "needs tshark, python"]
fn with_the_keys_over_tls_and_websocket() {
    let scratch = Scratch::new();
    let (file, keys, pem) = (scratch.path("tls.pcap"), scratch.path("keys"), scratch.path("certificate.pem"));
    let certificate = DevCertificate::new(["localhost", "127.0.0.1"]).unwrap();
    std::fs::write(&pem, certificate.certificate_pem()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for url in ["tls://127.0.0.1:0", "wss://127.0.0.1:0"] {
        runtime.block_on(captured(url, &file, &keys, &certificate, &pem));
        let told = format!("tls.keylog_file:{}", keys.display());
        for passes in [&[][..], &["-2"]] {
            let shown: Vec<Frame> = frames(&file, &[&["-o", &told], passes].concat());
            let count = |kind: u8| shown.iter().filter(|frame| frame.kind() == kind).count();
            let counts = [HELLO, OPEN, MESSAGE, CLOSE, GOODBYE].map(count);
            assert_eq!(counts, [2, 1, 1, 1, 2], "{shown:#?}");
            let last = shown.iter().rfind(|frame| frame.kind() == FRAGMENT).expect("a fragment");
            assert_eq!(
                (last.get("libchan.channel"), last.get("libchan.sum")),
                ("jobs", last.get("libchan.of"))
            );
            assert!(!shown.iter().any(Frame::is_malformed));
        }
        assert_sound(&file, &["-o", &told]);
    }
}
