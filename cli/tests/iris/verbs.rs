//! The verbs: what they print, and how they tell errors apart.

use std::time::Duration;

use bytes::Bytes;
use libchan_iris::{Body, Connection, Fault, Handler, Limits, Service, Tunnel};
use tokio::sync::mpsc;

use crate::relay::Echo;
use crate::support::{Program, iris, iris_with, told};

const TCP: &str = "tcp://127.0.0.1:0";

async fn relay() -> (Program, String) {
    let mut relay = Program::relay(&["--no-draft2", "--listen", TCP]);
    let url = relay.listens().await;
    (relay, url)
}

#[tokio::test]
async fn a_request_prints_its_reply_as_it_is() {
    let (_relay, url) = relay().await;
    let _echo = Service::register(&url, "echo", Echo, Limits::default()).await.unwrap();
    let iris_at = Connection::connect(&url).await.unwrap();
    let adder = Service::builder("adder").on_request(|(a, b): (i64, i64)| async move { Ok((a + b, "sum")) });
    let _adder = adder.register(iris_at, Limits::default()).await.unwrap();

    let bytes: Vec<u8> = (0..=255).collect();
    let output = iris_with(&["request", &url, "echo"], &bytes, None).await;
    assert_eq!((output.status.code(), &output.stdout), (Some(0), &bytes), "{output:?}");
    let (code, out, err) = told(&iris(&["request", &url, "echo", "hello", "--json"]).await);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "hello", ""));
    let (code, out, err) = told(&iris(&["request", &url, "adder", "[2,3]", "--value", "--json"]).await);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "[5,\"sum\"]\n", ""));
    let output = iris_with(&["request", &url, "adder", "--value"], b"[2, 3]", None).await;
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"\x92\x05\xa3sum"[..]), "{output:?}");
    // A large body, both ways.
    let large = vec![b'x'; 5 << 20];
    let output = iris_with(&["request", &url, "echo"], &large, None).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), large.len()));
}

/// Fails, hangs and ends its process's connection, as it is asked.
struct Trouble(mpsc::Sender<()>);

impl Handler for Trouble {
    async fn request(&self, body: Body) -> Result<Body, Fault> {
        match body.as_bytes() {
            b"fault" => Err(Fault::new("no \u{1b}[31mpaper")),
            b"lose" => {
                let _ = self.0.send(()).await;
                std::future::pending().await
            }
            _ => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn errors_have_exit_codes_of_their_own() {
    let (relay, url) = relay().await;
    let (lose, mut lost) = mpsc::channel(1);
    let connection = Connection::connect(&url).await.unwrap();
    let service =
        Service::join(connection, "trouble", Trouble(lose), Limits::new().requests(1)).await.unwrap();

    let (code, _, err) = told(&iris(&["request", &url, "trouble", "fault"]).await);
    assert_eq!((code, err.as_str()), (8, "libchan: the handler failed: no \\x1b[31mpaper\n"));
    let (code, _, err) = told(&iris(&["request", &url, "trouble", "hang", "--timeout", "50ms"]).await);
    assert_eq!((code, err.contains("no answer came in time")), (3, true), "{err}");
    let (code, _, err) = told(&iris(&["request", &url, "nobody", "x", "--no-wait"]).await);
    assert_eq!((code, err.as_str()), (4, "libchan: the cluster has no member\n"));
    let (code, _, err) = told(&iris(&["request", &url, "nobody", "x", "--timeout", "50ms"]).await);
    assert_eq!(code, 3, "{err}");
    let (code, _, err) = told(&iris(&["tunnel", &url, "nobody"]).await);
    assert_eq!(code, 4, "{err}");
    let (code, _, err) = told(&iris(&["request", &url, "", "x"]).await);
    assert_eq!((code, err.contains("the name is empty")), (7, true), "{err}");
    let losing = ["request", &url, "trouble", "lose"];
    let request = iris(&losing);
    let (output, ()) = tokio::join!(request, async {
        lost.recv().await.unwrap();
        drop(service);
    });
    let (code, _, err) = told(&output);
    assert_eq!(code, 6, "{err}");

    for (arguments, why) in [
        (vec!["request", &url], "<CLUSTER>"),
        (vec!["request", &url, "c", "{", "--value"], "the body is no JSON"),
        (vec!["request", &url, "c", "x", "--timeout", "5x"], "no unit of time"),
        (vec!["request", &url, "c", "x", "--timeout", "0"], "at least 1ms"),
        (vec!["subscribe", &url, "t", "--count", "0"], "--count"),
        (vec!["subscribe", &url, "t", "--bytes", "x"], "a number of bytes"),
        (vec!["publish", &url, "t", "x", "y"], "unexpected argument 'y'"),
        (vec!["tunnel", &url, "c", "--timeout", "soon"], "no unit of time"),
        (vec!["request", &url, "c", "x", "--pin", "1"], "begins with `sha256:`"),
    ] {
        let (code, out, err) = told(&iris(&arguments).await);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(why), "{arguments:?}: {err}");
    }
    drop(relay);
    for verb in ["request", "publish", "broadcast", "subscribe", "tunnel"] {
        let arguments = ["tcp://127.0.0.1:1", "name"];
        let (code, _, err) = told(&iris(&[&[verb], &arguments[..]].concat()).await);
        assert_eq!((code, err.contains("127.0.0.1:1: connection refused")), (1, true), "{verb}: {err}");
    }
}

/// Passes broadcasts and tunnels on to the test.
struct Heard(mpsc::Sender<String>);

impl Handler for Heard {
    async fn broadcast(&self, body: Body) {
        drop(self.0.send(String::from_utf8_lossy(body.as_bytes()).into_owned()).await);
    }

    async fn tunnel(&self, mut tunnel: Tunnel) {
        while let Ok(Some(message)) = tunnel.recv().await {
            if tunnel.send(message).await.is_err() {
                return;
            }
        }
        drop(tunnel.send(Bytes::from_static(b"bye")).await);
        tunnel.close();
        // Until the other side has closed, too.
        drop(tunnel.recv().await);
    }
}

#[tokio::test]
async fn what_is_told_to_many_arrives() {
    let (_relay, url) = relay().await;
    let (heard, mut hears) = mpsc::channel(64);
    let _service = Service::register(&url, "workers", Heard(heard), Limits::default()).await.unwrap();
    let iris_at = Connection::connect(&url).await.unwrap();
    let mut news = iris_at.subscribe("news").await.unwrap();
    // A program that ends at once does not take with it what it said.
    for i in 0..20 {
        let text = i.to_string();
        let (broadcast, publish) = (["broadcast", &url, "workers", &text], ["publish", &url, "news", &text]);
        let (told_all, told_topic) = tokio::join!(iris(&broadcast), iris(&publish));
        assert_eq!(told(&told_all), (0, String::new(), String::new()));
        assert_eq!(told(&told_topic), (0, String::new(), String::new()));
        assert_eq!(hears.recv().await.unwrap(), text);
        let event = tokio::time::timeout(Duration::from_secs(60), news.next_body()).await.unwrap();
        assert_eq!(event.unwrap().unwrap().as_bytes(), text.as_bytes());
    }
}

#[tokio::test]
async fn events_are_lines_or_frames() {
    let (_relay, url) = relay().await;
    let iris_at = Connection::connect(&url).await.unwrap();
    let program = env!("CARGO_BIN_EXE_libchan");
    let mut lines = Program::start(program, &["iris", "subscribe", &url, "news", "--count", "3"]);
    let mut frames = Program::start(program, &["iris", "subscribe", &url, "news", "--count", "3", "--raw"]);
    lines.logs("subscribed to \"news\"").await;
    frames.logs("subscribed to \"news\"").await;
    iris_at.publish_raw("news", Body::bytes("tea\n\\3")).await.unwrap();
    iris_at.publish("news", &("tea", 3)).await.unwrap();
    iris_at.publish_raw("news", Body::bytes("\u{1b}[2J")).await.unwrap();
    let (status, out, _) = lines.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(out, "tea\\n\\\\3\n[\"tea\",3]\n\\x1b[2J\n");
    let (status, out, _) = frames.ended().await;
    assert_eq!(status.code(), Some(0));
    // The first byte of the value, and the length of its text, are no UTF-8.
    assert_eq!(out, "\0\0\0\u{6}tea\n\\3\0\0\0\u{6}\u{fffd}\u{fffd}tea\u{3}\0\0\0\u{4}\u{1b}[2J");
}

/// The reader of the output waits until the test says so; what does not fit meanwhile is lost, and said.
#[tokio::test]
async fn losses_are_said() {
    const READER: &str = "exec 3<&0; \"$0\" iris subscribe \"$1\" news --events 1 --bytes 1 </dev/null | \
                          { head -c 1 <&3 >/dev/null; cat >/dev/null; }";
    let (_relay, url) = relay().await;
    let iris_at = Connection::connect(&url).await.unwrap();
    let mut reader = Program::start("sh", &["-c", READER, env!("CARGO_BIN_EXE_libchan"), &url]);
    reader.logs("subscribed to \"news\"").await;
    let mut seen = iris_at.subscribe("news").await.unwrap();
    for _ in 0..40 {
        iris_at.publish_raw("news", Body::bytes(vec![b'x'; 200 << 10])).await.unwrap();
    }
    for _ in 0..40 {
        seen.next_body().await.unwrap().unwrap();
    }
    reader.write(b"x").await;
    // The count comes with the next event that has room.
    let more = async {
        loop {
            iris_at.publish_raw("news", Body::bytes("x")).await.unwrap();
            seen.next_body().await.unwrap().unwrap();
        }
    };
    tokio::select! {
        line = reader.logs(" events were lost: they are not read fast enough") => {
            assert!(line.starts_with("libchan: "), "{line}");
        }
        () = more => {}
    }
}

#[tokio::test]
async fn a_tunnel_joins_input_and_output() {
    let (_relay, url) = relay().await;
    let (heard, _hears) = mpsc::channel(1);
    let _service = Service::register(&url, "back", Heard(heard), Limits::default()).await.unwrap();
    // More than fits on the way: both sides have to read while they write.
    let much: Vec<u8> = (0..24_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let output = iris_with(&["tunnel", &url, "back"], &much, None).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        output.stdout.strip_suffix(b"bye").is_some_and(|echo| echo == much),
        "{} bytes",
        output.stdout.len()
    );

    // What is written arrives at once, not at the end of the input.
    let mut talk = Program::start(env!("CARGO_BIN_EXE_libchan"), &["iris", "tunnel", &url, "back"]);
    talk.write(b"one\n").await;
    talk.says("one").await;
    talk.write(b"two\n").await;
    talk.says("two").await;
    talk.end_input();
    let (status, out, _) = talk.ended().await;
    assert_eq!((status.code(), out.as_str()), (Some(0), "one\ntwo\nbye"));
}
