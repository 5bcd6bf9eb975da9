//! Rust and the ports at one relay, both ways. The other sides are `ports/python/tests/iris_peer.py`, run by the Python that
//! `tests/setup-peers.sh` has installed the port for, and `ports/javascript/test/iris-peer.js`.

#![allow(missing_docs)]

use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libchan::{Sender, pipe};
use libchan_iris::{
    Body, Connection, Error, Fault, Handler, Limits, Relay, Service, TopicLimits, Tunnel, Wait,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Ten times what a case may take.
const CASE: Duration = Duration::from_secs(120);
/// For a request that must not wait for its deadline.
const LONG: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize)]
struct Query {
    first: u32,
    rows: Sender<u32>,
}

/// A relay, and where it listens.
struct Place {
    relay: Relay,
    url: String,
}

impl Place {
    async fn new(url: &str) -> Self {
        let relay = Relay::new();
        let listener = libchan_transports::listen(url).await.expect("listen");
        let url = listener.url().to_owned();
        let serving = relay.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Self { relay, url }
    }

    async fn connect(&self) -> Connection {
        self.relay.connect().await.expect("attach")
    }
}

#[derive(Clone, Copy)]
enum Language {
    Python,
    JavaScript,
}

impl Language {
    fn interpreter(self) -> Command {
        match self {
            Self::Python => {
                let python =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/python/bin/python");
                assert!(python.is_file(), "{} is missing: run tests/setup-peers.sh", python.display());
                let mut command = Command::new(python);
                // Its lines come when they are said.
                command.arg("-u");
                command
            }
            Self::JavaScript => Command::new("node"),
        }
    }

    fn peer(self) -> &'static str {
        match self {
            Self::Python => "python/tests/iris_peer.py",
            Self::JavaScript => "javascript/test/iris-peer.js",
        }
    }
}

/// The other side: it does what its first argument says, tells us in lines, and goes on at lines of ours.
struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Peer {
    /// A part of the language's `iris_peer`.
    fn new(place: &Place, language: Language, part: &str) -> Self {
        Self::running(language, language.peer(), &[part, &place.url])
    }

    /// A program of the port.
    fn running(language: Language, program: &str, arguments: &[&str]) -> Self {
        let ports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ports");
        let mut child = language
            .interpreter()
            .arg(ports.join(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("its language is installed");
        let output = child.stdout.take().expect("a pipe");
        let (line, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for said in BufReader::new(output).lines().map_while(Result::ok) {
                if line.send(said).is_err() {
                    return;
                }
            }
        });
        Self { input: child.stdin.take(), child, lines }
    }

    /// The next line; none when it has ended.
    async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    async fn says(&mut self, wanted: &str) {
        assert_eq!(self.line().await.as_deref(), Some(wanted));
    }

    fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it was not told to end");
        writeln!(input, "{line}").expect("it reads");
    }

    /// Waits for its end, which must be a good one.
    async fn ends(mut self) {
        drop(self.input.take());
        while let Some(line) = self.line().await {
            println!("it says: {line}");
        }
        // Its output is closed: it is about to end.
        let status = self.child.wait().expect("it was started");
        assert!(status.success(), "the other side ended with {status}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a case over each carrier.
fn everywhere<F: Future<Output = ()>>(case: impl Fn(Place) -> F) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Node has no abstract addresses.
    let socket = std::env::temp_dir().join(format!("iris-ports-{}-{count}.sock", std::process::id()));
    for url in [format!("unix://{}", socket.display()), "tcp://127.0.0.1:0".to_owned()] {
        println!("over {url}");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let ended =
            runtime.block_on(async { tokio::time::timeout(CASE, case(Place::new(&url).await)).await });
        assert!(ended.is_ok(), "over {url}: nothing came of it within {CASE:?}");
        runtime.shutdown_background();
    }
    // The listener may have removed it.
    drop(std::fs::remove_file(socket));
}

/// What a Rust service does for the others.
struct Rust {
    iris: Connection,
}

impl Handler for Rust {
    async fn request(&self, body: Body) -> Result<Body, Fault> {
        let (what, query): (String, Option<Query>) = body.read()?;
        match (&*what, query) {
            ("rows", Some(query)) => {
                for row in query.first..query.first + 3 {
                    query.rows.send(row).await?;
                }
                Ok(Body::of(&"sent")?)
            }
            ("publish", _) => {
                for number in 0..10_u32 {
                    self.iris.publish("from-rust", &number).await?;
                }
                Ok(Body::of(&10)?)
            }
            ("bytes", _) => Ok(Body::bytes("plain")),
            ("hang", _) => std::future::pending().await,
            _ => Err(Fault::new("there is no such thing")),
        }
    }

    async fn tunnel(&self, mut tunnel: Tunnel) {
        while let Ok(Some(message)) = tunnel.recv().await {
            if tunnel.send(message).await.is_err() {
                return;
            }
        }
        tunnel.close();
    }
}

#[test]
#[ignore = "needs python"]
fn python_asks_rust() {
    asks_rust(Language::Python);
}

#[test]
#[ignore = "needs node"]
fn javascript_asks_rust() {
    asks_rust(Language::JavaScript);
}

fn asks_rust(language: Language) {
    everywhere(async |place| {
        let iris = place.connect().await;
        let rust = Rust { iris: iris.clone() };
        let service = Service::join(iris.clone(), "rust", rust, Limits::default()).await.expect("register");
        let adder = Service::builder("adder").on_request(|(a, b): (u64, u64)| async move { Ok(a + b) });
        let adder = adder.register(iris.clone(), Limits::default()).await.expect("register");
        let mut events = iris.subscribe("from-port").await.expect("subscribe");
        let mut peer = Peer::new(&place, language, "ask");
        peer.says("asked").await;
        for number in 0..3_u32 {
            assert_eq!(events.next::<u32>().await.expect("an event"), Some(number));
        }
        peer.ends().await;
        adder.unregister().await.expect("unregister");
        service.unregister().await.expect("unregister");
    });
}

async fn ask(iris: &Connection, value: &impl Serialize) -> Result<Body, Error> {
    iris.request_raw("python", Body::of(value)?, LONG, Wait::No).await
}

#[test]
#[ignore = "needs python"]
fn rust_asks_python() {
    everywhere(async |place| {
        let iris = place.connect().await;
        let mut peer = Peer::new(&place, Language::Python, "serve");
        peer.says("registered").await;

        let sum = ask(&iris, &("sum", vec![1_u64, 2, 3])).await.expect("a sum");
        assert_eq!(sum.read::<u64>().expect("a number"), 6);
        let plain = ask(&iris, &("bytes", ())).await.expect("bytes");
        assert_eq!(plain.as_bytes(), b"plain");
        let fault = ask(&iris, &("fault", ())).await.expect_err("a fault");
        assert_eq!(fault, Error::Remote("there is no such thing".to_owned()));
        let raised = ask(&iris, &("raise", ())).await.expect_err("a fault");
        assert_eq!(raised, Error::Remote("the handler was left by an exception: KeyError".to_owned()));

        let (rows, found) = pipe();
        ask(&iris, &("rows", Query { first: 7, rows })).await.expect("rows");
        for row in 7..10 {
            assert_eq!(found.recv().await.expect("a row"), Some(row));
        }
        assert_eq!(found.recv().await.expect("a clean end"), None);

        // Dropped, it is cancelled in the handler too.
        {
            let hanging = ask(&iris, &("hang", ()));
            tokio::pin!(hanging);
            tokio::select! {
                ended = &mut hanging => panic!("it hangs: {ended:?}"),
                said = peer.line() => assert_eq!(said.as_deref(), Some("hanging")),
            }
        }
        peer.says("cancelled").await;

        for number in 0..5_u32 {
            iris.broadcast("python", &number).await.expect("a broadcast");
        }
        for number in 0..5_u32 {
            peer.says(&format!("told {number}")).await;
        }

        let mut tunnel = iris.tunnel("python", LONG).await.expect("a tunnel");
        let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        tunnel.send("small").await.expect("sent");
        tunnel.send(large.clone()).await.expect("sent");
        tunnel.close();
        assert_eq!(tunnel.recv().await.expect("echoed").as_deref(), Some(&b"small"[..]));
        assert_eq!(tunnel.recv().await.expect("echoed").as_deref(), Some(&large[..]));
        assert_eq!(tunnel.recv().await.expect("a clean end"), None);

        peer.tell("leave");
        peer.says("left").await;
        assert_eq!(ask(&iris, &("sum", ())).await.expect_err("it has left"), Error::NoMember);
        peer.ends().await;
    });
}

#[test]
#[ignore = "needs python"]
fn a_member_that_is_killed_is_lost_at_once() {
    everywhere(async |place| {
        let iris = place.connect().await;
        let mut peer = Peer::new(&place, Language::Python, "serve");
        peer.says("registered").await;
        let asking = iris.clone();
        let asked = tokio::spawn(async move { ask(&asking, &("hang", ())).await.map(drop) });
        peer.says("hanging").await;
        drop(peer);
        assert_eq!(asked.await.expect("no panic"), Err(Error::Lost));
        assert_eq!(ask(&iris, &("sum", ())).await.expect_err("it is gone"), Error::NoMember);
    });
}

#[test]
#[ignore = "needs python"]
fn a_slow_python_subscriber_loses_and_counts() {
    loses_and_counts(Language::Python);
}

#[test]
#[ignore = "needs node"]
fn a_slow_javascript_subscriber_loses_and_counts() {
    loses_and_counts(Language::JavaScript);
}

fn loses_and_counts(language: Language) {
    everywhere(async |place| {
        let iris = place.connect().await;
        let mut quick = iris.subscribe("flood").await.expect("subscribe");
        // Subscribes with room for four events, and does not read before it is told to.
        let mut peer = Peer::new(&place, language, "slow");
        peer.says("subscribed").await;
        let mut number = 0_u32;
        for _ in 0..500 {
            iris.publish("flood", &number).await.expect("published");
            assert_eq!(quick.next::<u32>().await.expect("an event"), Some(number), "nobody else is delayed");
            number += 1;
        }
        // The last one may not be counted yet.
        let dropped = place.relay.status().dropped;
        assert!((495..=496).contains(&dropped), "{dropped}");
        // It checks for each event that its number is what it has read and lost before.
        peer.tell("read");
        peer.says("read 4, lost 0").await;
        let said = loop {
            iris.publish("flood", &number).await.expect("published");
            assert_eq!(quick.next::<u32>().await.expect("an event"), Some(number));
            number += 1;
            tokio::select! {
                said = peer.line() => break said.expect("it has read one more"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        };
        let lost: u32 = said.strip_prefix("read 5, lost ").and_then(|lost| lost.parse().ok()).expect(&said);
        assert!((495..number).contains(&lost), "{said} of {number}");
        peer.ends().await;
    });
}

#[test]
#[ignore = "needs python"]
fn a_slow_rust_subscriber_of_a_python_publisher() {
    everywhere(async |place| {
        let iris = place.connect().await;
        let limits = TopicLimits::new().events(4);
        let mut slow = iris.subscribe_with("from-port", limits).await.expect("subscribe");
        let mut peer = Peer::new(&place, Language::Python, "publish");
        // It subscribes too, and has heard its own last event.
        peer.says("published 300").await;
        for number in 0..4_u32 {
            assert_eq!(slow.next::<u32>().await.expect("an event"), Some(number));
        }
        iris.publish("from-port", &300_u32).await.expect("published");
        assert_eq!(slow.next::<u32>().await.expect("an event"), Some(300));
        assert_eq!(slow.lost(), 296);
        peer.ends().await;
    });
}

#[test]
#[ignore = "needs python"]
fn the_example_of_the_port() {
    everywhere(async |place| {
        let mut peer = Peer::running(Language::Python, "python/examples/iris.py", &[&place.url]);
        peer.says("three rows [7, 8, 9]").await;
        peer.says("the handler has answered with an error: there are no rows before 0").await;
        // The broadcast goes its own way.
        let mut said = [peer.line().await, peer.line().await];
        said.sort();
        let wanted = ["all members are told: good evening", "{'tea': 3} and 0 lost"];
        assert_eq!(said.map(Option::unwrap_or_default), wanted);
        peer.says("the cluster has no member").await;
        peer.ends().await;
    });
}
