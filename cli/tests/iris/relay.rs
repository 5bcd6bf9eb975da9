//! The relay: where it listens, what it logs, who may do what, how it ends, and what it says to wrong arguments.

use std::sync::Arc;
use std::time::Duration;

use libchan_iris::{Body, Connection, Error, Handler, Limits, Service};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Notify;

use crate::support::{Program, file, iris, iris_with, run, told};

const TCP: &str = "tcp://127.0.0.1:0";

pub(crate) struct Echo;

impl Handler for Echo {
    async fn request(&self, body: Body) -> Result<Body, libchan_iris::Fault> {
        Ok(body)
    }
}

/// A binding of the original says hello as a client, and hears that it is accepted.
async fn bind(address: (&str, u16)) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"\x00\x11iris-client-magic\x0bv1.0-draft2\x00").await.unwrap();
    let mut accepted = [0; 30];
    socket.read_exact(&mut accepted).await.unwrap();
    assert_eq!(&accepted[..], b"\x00\x10iris-relay-magic\x0bv1.0-draft2");
    socket
}

#[tokio::test]
async fn a_binding_attaches_and_the_log_is_that_of_the_original() {
    let mut relay = Program::relay(&[]);
    let port = relay.port().await;
    relay.logs(&format!(" INFO iris successfully booted relay_port={port}")).await;
    let mut socket = bind(("127.0.0.1", port)).await;
    relay.logs(&format!(" INFO connecting new client client=1 relay_port={port}")).await;
    relay.logs(" INFO client connection established client=1").await;
    socket.write_all(b"\x06\x04news").await.unwrap();
    relay.logs(" INFO subscribed client=1 topic=\"news\" subscription=2").await;
    // The binding says goodbye, and hears one.
    socket.write_all(b"\x02").await.unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x02\x00");
    relay.logs(" INFO detaching from relay client=1").await;
    relay.signal(Signal::TERM);
    let (status, out, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(" INFO ending signal=\"SIGTERM\"\n"), "{log}");
    assert!(log.ends_with(" INFO iris terminated\n"), "{log}");
    assert_eq!(out, format!("listening on port {port}\n"));
}

#[tokio::test]
async fn applications_attach_by_any_url_and_names_stay_on_their_line_of_the_log() {
    let socket = format!("unix://{}/{}-relay.sock", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let mut relay = Program::relay(&["--no-draft2", "--listen", TCP, "--listen", &socket, "--log", "debug"]);
    let url = relay.listens().await;
    let name = "a\nINFO forged\u{1b}[31m";
    let service = Service::register(&socket, name, Echo, Limits::default()).await.unwrap();
    let client = Connection::connect(&url).await.unwrap();
    let said: String = client.request(name, "hello", Duration::from_secs(10)).await.unwrap();
    assert_eq!(said, "hello");
    relay.logs(r#" number=0 cluster="a\nINFO forged\u{1b}[31m""#).await;
    service.unregister().await.unwrap();
    relay.signal(Signal::INT);
    let (status, out, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(out, format!("listening on {url}\nlistening on {socket}\n"));
    assert!(!log.lines().any(|line| line.starts_with("INFO forged")), "{log}");
    // The relay is gone, and says so to who was attached.
    let left = client.request::<_, String>(name, "hello", Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(left, Error::Closed | Error::Lost), "{left:?}");
}

#[tokio::test]
async fn a_request_in_hand_ends_before_the_relay_does() {
    let mut relay = Program::relay(&["--no-draft2", "--listen", TCP, "--drain", "10m"]);
    let url = relay.listens().await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let tells = (begun.clone(), go_on.clone());
    let slow = Service::builder("slow").on_request(move |(): ()| {
        let (begun, go_on) = tells.clone();
        async move {
            begun.notify_one();
            go_on.notified().await;
            Ok("done")
        }
    });
    let slow = slow.register(Connection::connect(&url).await.unwrap(), Limits::default()).await.unwrap();
    let client = Connection::connect(&url).await.unwrap();
    let asking = {
        let client = client.clone();
        tokio::spawn(async move { client.request::<_, String>("slow", &(), Duration::from_secs(600)).await })
    };
    begun.notified().await;
    relay.signal(Signal::TERM);
    relay.logs(" INFO the relay leaves within=600s").await;
    go_on.notify_one();
    assert_eq!(asking.await.unwrap().as_deref(), Ok("done"));
    let (status, _, log) = relay.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(" INFO the relay has left\n"), "{log}");
    drop(slow);
}

#[tokio::test]
async fn the_program_iris_has_the_flags_of_the_original() {
    let program = env!("CARGO_BIN_EXE_iris");
    let mut relay = Program::start(program, &["-dev", "-port", "0"]);
    let port = relay.port().await;
    drop(bind(("127.0.0.1", port)).await);
    relay.logs(" INFO detaching from relay client=1").await;
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await.0.code(), Some(0));

    for (arguments, why) in [
        (vec!["-net", "home", "-rsa", "key.pem"], "there is no network of relays yet. Start with --dev"),
        (vec!["-port", "0"], "--dev is missing"),
        (vec!["-dev", "-port", "65536"], "65536 is not in 0..=65535"),
        (vec!["-dev", "-port=x"], "invalid digit"),
        (vec!["-dev", "-cpuprof", "x"], "unexpected argument '--cpuprof'"),
    ] {
        let mut command = Command::new(program);
        command.args(&arguments);
        let (code, out, err) = told(&run(command, b"").await);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(why), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn tokens_let_in_and_rights_say_what_may_be_done() {
    let tokens = file("tokens", "# name token\nalice sesame\nbob \"open\"\n");
    let rights = file("rights", "alice request,register echo*\n+ subscribe,publish news\n* tunnel echo\n");
    let options = ["--no-draft2", "--listen", TCP, "--tokens", &tokens, "--rights", &rights];
    let mut relay = Program::relay(&options);
    let url = relay.listens().await;
    for token in [None, Some("wrong")] {
        let (code, _, err) = told(&iris_with(&["request", &url, "echo", "x"], b"", token).await);
        assert_eq!(code, 7, "{err}");
        assert!(err.contains("token"), "{err}");
    }
    let request = ["request", &url, "echo", "x", "--no-wait"];
    let (code, _, err) = told(&iris_with(&request, b"", Some("sesame")).await);
    assert_eq!(code, 4, "alice may ask, and nobody is there: {err}");
    let (code, _, err) = told(&iris_with(&request, b"", Some("open")).await);
    assert_eq!((code, err.contains(r#"bob may not ask cluster "echo" at this relay"#)), (7, true), "{err}");
    relay.logs(r#"why="bob may not ask cluster \"echo\" at this relay""#).await;
    let subscribe = ["subscribe", &url, "secrets"];
    let (code, _, err) = told(&iris_with(&subscribe, b"", Some("open")).await);
    assert_eq!((code, err.contains("may not subscribe")), (7, true), "{err}");
    let tunnel = ["tunnel", &url, "other"];
    let (code, _, err) = told(&iris_with(&tunnel, b"", Some("open")).await);
    assert_eq!((code, err.contains("may not open a tunnel")), (7, true), "{err}");
}

#[tokio::test]
async fn draft2_beside_tokens_is_warned_of_and_has_no_name() {
    let tokens = file("tokens2", "alice sesame\n");
    let rights = file("rights2", "+ subscribe news\n");
    let mut relay = Program::relay(&["--tokens", &tokens, "--rights", &rights]);
    let port = relay.port().await;
    let mut socket = bind(("127.0.0.1", port)).await;
    socket.write_all(b"\x06\x04news").await.unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("an application without a name may not subscribe"), "{text}");
    relay.signal(Signal::TERM);
    let (_, _, log) = relay.ended().await;
    assert!(log.contains(" WARN bindings of the original have no credentials"), "{log}");
}

#[tokio::test]
async fn certificates_of_both_sides() {
    let out = format!("{}/{}-certs", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let mut command = Command::new(env!("CARGO_BIN_EXE_libchan"));
    command.args(["certificate", "--out", &out, "127.0.0.1", "client.example"]);
    let (code, pin, err) = told(&run(command, b"").await);
    assert_eq!(code, 0, "{err}");
    let (chain, key) = (format!("{out}/certificate.pem"), format!("{out}/key.pem"));
    let rights = file("rights3", "127.0.0.1 publish news\n\"client.example\" request echo\n");
    let mut relay = Program::relay(&[
        "--no-draft2",
        "--listen",
        "tls://127.0.0.1:0",
        "--certificate",
        &chain,
        "--key",
        &key,
        "--client-root",
        &chain,
        "--rights",
        &rights,
    ]);
    let url = relay.listens().await;
    let request = ["request", &url, "echo", "x", "--no-wait", "--pin", pin.trim()];
    let (code, _, err) = told(&iris(&request).await);
    assert_eq!(code, 1, "no client certificate: {err}");
    let with = [&request[..], &["--identity", &chain, "--key", &key]].concat();
    let (code, _, err) = told(&iris(&with).await);
    assert_eq!(code, 4, "the name in the certificate has the right to ask: {err}");
}

#[tokio::test]
async fn wrong_arguments_are_told() {
    let (tokens, rights) = (file("bad-tokens", "\nalice\n"), file("bad-rights", "a b c\n"));
    let nobody = file("no-tokens", "# nobody\n");
    let certificate = file("bad-certificate", "no certificate");
    let tls = ["--listen", "tls://127.0.0.1:0"];
    for (code, arguments, why) in [
        (2, vec!["--no-draft2"], "takes a --listen URL"),
        (1, vec!["--no-draft2", "--listen", "nonsense"], "no scheme"),
        (1, vec!["--no-draft2", "--listen", "ftp://x"], "ftp"),
        (1, vec!["--no-draft2", "--listen", "mem:x"], "mem:x stays in this process"),
        (1, vec!["--no-draft2", "--listen", "unix:///no/such/folder/x.sock"], "/no/such/folder"),
        (2, vec!["--no-draft2", tls[0], tls[1]], "takes a --certificate"),
        (2, vec!["--certificate", "x"], "no --listen URL is one"),
        (1, vec!["--no-draft2", tls[0], tls[1], "--certificate", "/no/such"], "/no/such"),
        (1, vec!["--no-draft2", tls[0], tls[1], "--certificate", &certificate], "bad-certificate"),
        (2, vec!["--key", "x"], "--certificate"),
        (2, vec!["--client-root", "x"], "--certificate"),
        (2, vec!["--tokens", "/no/such"], "/no/such: No such file"),
        (2, vec!["--tokens", &tokens], "bad-tokens:2: a line is NAME TOKEN"),
        (2, vec!["--tokens", &nobody], "no token, so nobody could attach"),
        (2, vec!["--rights", "/no/such"], "/no/such: No such file"),
        (2, vec!["--rights", &rights], "bad-rights:1: \"b\" is no act"),
        (2, vec!["--log", "loud"], "--log"),
        (2, vec!["--threads", "0"], "--threads"),
        (2, vec!["--max-requests", "5000"], "5000 is not in 1..=4096"),
        (2, vec!["--max-waiting", "64X"], "a number of bytes"),
        (2, vec!["--max-cluster", "0"], "would admit nothing"),
        (2, vec!["--max-member", "-1"], "unexpected argument '-1'"),
        (2, vec!["--max-replies", "x"], "a number of bytes"),
        (2, vec!["--max-events", ""], "--max-events"),
        (2, vec!["--max-name", "1.5K"], "a number of bytes"),
        (2, vec!["--max-attachments", "0"], "--max-attachments"),
    ] {
        let all = [&["relay", "--dev", "--port", "0"], &arguments[..]].concat();
        let (got, out, err) = told(&iris(&all).await);
        assert_eq!((got, out.as_str()), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(why), "{arguments:?}: {err}");
    }
    let (code, _, err) = told(&iris(&["relay"]).await);
    assert_eq!((code, err.contains("--dev is missing")), (2, true), "{err}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let mut relay = Program::relay(&[]);
    let port = relay.port().await.to_string();
    let (code, _, err) = told(&iris(&["relay", "--dev", "--port", &port]).await);
    assert_eq!((code, err.contains(&format!("port {port} is taken"))), (1, true), "{err}");
}

#[tokio::test]
async fn limits_are_in_force() {
    let mut relay =
        Program::relay(&["--no-draft2", "--listen", TCP, "--max-name", "4", "--max-waiting", "1K"]);
    let url = relay.listens().await;
    let (code, _, err) = told(&iris(&["request", &url, "long name", "x"]).await);
    assert_eq!((code, err.contains("at most 4 bytes")), (7, true), "{err}");
    let (code, _, err) = told(&iris_with(&["request", &url, "echo"], &[b'x'; 2048], None).await);
    assert_eq!(code, 5, "{err}");
}
