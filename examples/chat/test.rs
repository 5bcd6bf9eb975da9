//! The room from outside: two Rust clients, and two tabs of a real browser.

mod room;
mod server;

use std::process::Stdio;
use std::time::Duration;

use libchan::{Receiver, Sender, Session, pipe};
use libchan_transports::dial;
use room::{Join, Line};
use tokio::net::TcpListener;
use tokio::process::Command;

/// A server at a free port, for as long as the test runs; gives its address.
async fn start() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(server::serve(socket));
    address
}

struct Visitor {
    session: Session,
    lines: Receiver<Line>,
    say: Sender<String>,
}

impl Visitor {
    async fn enter(address: &str, name: &str) -> Self {
        let session = dial(&format!("ws://{address}/chat")).await.unwrap();
        let (messages, lines) = pipe();
        let (say, says) = pipe();
        let joins = session.open::<Join>("join").unwrap();
        joins.send(Join { name: name.to_owned(), messages, says }).await.unwrap();
        Self { session, lines, say }
    }

    async fn expect(&self, author: Option<&str>, text: &str) {
        let line = self.lines.recv().await.unwrap().expect("the room has closed");
        assert_eq!((line.author.as_deref(), line.text.as_str()), (author, text));
    }
}

async fn two_clients() {
    let address = start().await;
    let ann = Visitor::enter(&address, "ann").await;
    ann.expect(None, "ann has come in. Here are: ann").await;
    let bob = Visitor::enter(&address, "bob").await;
    ann.expect(None, "bob has come in. Here are: ann, bob").await;
    bob.expect(None, "bob has come in. Here are: ann, bob").await;
    ann.say.send("hello".to_owned()).await.unwrap();
    ann.expect(Some("ann"), "hello").await;
    bob.expect(Some("ann"), "hello").await;
    bob.session.close().await.unwrap();
    ann.expect(None, "bob has left").await;

    let nameless = Visitor::enter(&address, "  ").await;
    assert!(nameless.lines.recv().await.unwrap_err().to_string().contains("a name has 1 to 24 characters"));
}

#[tokio::test]
async fn lines_reach_everybody() {
    tokio::time::timeout(Duration::from_secs(30), two_clients()).await.expect("hangs");
}

/// The tabs are driven by a program of the JavaScript port. The picture that it takes stays in the target folder.
#[tokio::test]
#[ignore = "needs chromium, node"]
async fn two_tabs_talk() {
    let address = start().await;
    let port = concat!(env!("CARGO_MANIFEST_DIR"), "/../ports/javascript");
    let picture = concat!(env!("CARGO_TARGET_TMPDIR"), "/chat.png");
    let mut driver = Command::new("node");
    driver.arg(format!("{port}/test/browser/chat.js")).arg(format!("http://{address}/")).arg(picture);
    let running = driver.stdin(Stdio::null()).kill_on_drop(true).status();
    let status = tokio::time::timeout(Duration::from_secs(120), running).await.expect("hangs").unwrap();
    assert!(status.success(), "the browser's side failed: see above");
    println!("the picture is at {picture}");
}
