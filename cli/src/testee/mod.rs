//! The testee of the Rust implementation (spec/conformance/PROTOCOL.md): requests in, replies out. What is quick is answered
//! on the spot; what may wait has a task, so that nothing keeps the next request from being answered.

mod frames;
mod live;
mod machine;
mod ops;
mod values;

use std::fmt::Display;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use self::live::Live;
use self::machine::Machines;
use crate::json::{Fields, Json, json};

/// Why a request is answered with `err`.
#[derive(Debug)]
struct Fault {
    name: String,
    text: String,
    /// Further fields: `code`, where the peer has said one.
    code: Option<u16>,
}

impl Fault {
    fn new(name: impl Into<String>, text: impl Display) -> Self {
        Self { name: name.into(), text: text.to_string(), code: None }
    }

    fn not_supported(what: impl Display) -> Self {
        Self::new("NOT_SUPPORTED", what)
    }

    fn json(&self) -> Json {
        let mut err = json!({"name": self.name, "text": self.text});
        if let Some(code) = self.code {
            err["code"] = code.into();
        }
        err
    }
}

/// A request that does not say what it has to.
impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::new("BAD_REQUEST", text)
    }
}

type Reply = Result<Json, Fault>;

/// The level that this implementation claims.
const LEVEL: u8 = 3;
/// The codecs that a testee has values for, the preferred one first.
const CODECS: [&str; 4] = ["msgpack", "json", "cbor", "raw"];
const CARRIERS: [&str; 5] = ["tcp", "unix", "tls", "http2", "websocket"];

fn hello() -> Json {
    json!({
        "impl": "libchan-rust",
        "version": env!("CARGO_PKG_VERSION"),
        "level": LEVEL,
        "codecs": CODECS,
        "carriers": CARRIERS,
        "verbs": ["machine", "live"],
    })
}

/// Where replies go.
#[derive(Clone)]
struct Replies(mpsc::UnboundedSender<String>);

impl Replies {
    fn say(&self, n: &Json, reply: &Reply) {
        let line = match reply {
            Ok(ok) => json!({"n": n, "ok": ok}),
            Err(fault) => json!({"n": n, "err": fault.json()}),
        };
        // Nobody listens only once the testee ends.
        let _ = self.0.send(line.to_string());
    }
}

/// Answers requests until `input` ends.
pub(crate) async fn serve(input: impl AsyncRead + Unpin, mut output: impl AsyncWrite + Unpin) {
    let (say, mut lines) = mpsc::unbounded_channel::<String>();
    let writing = async move {
        while let Some(mut line) = lines.recv().await {
            line.push('\n');
            if output.write_all(line.as_bytes()).await.is_err() || output.flush().await.is_err() {
                return;
            }
        }
    };
    let reading = async move {
        let mut input = BufReader::new(input).lines();
        let (replies, mut machines, mut live) = (Replies(say), Machines::default(), Live::default());
        while let Ok(Some(line)) = input.next_line().await {
            answer(&line, &replies, &mut machines, &mut live);
        }
    };
    tokio::join!(reading, writing);
}

fn answer(line: &str, replies: &Replies, machines: &mut Machines, live: &mut Live) {
    let request: Json = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(error) => return replies.say(&Json::Null, &Err(Fault::new("BAD_REQUEST", error))),
    };
    let n = request.field("n").clone();
    let verb = request.field("do").as_str().unwrap_or_default().to_owned();
    let reply = match verb.as_str() {
        "hello" => Ok(hello()),
        "frame.decode" => frames::decode(&request),
        "frame.encode" => frames::encode(&request),
        "value.decode" => values::decode(&request),
        "value.encode" => values::encode(&request),
        _ if verb.starts_with("machine.") => machines.answer(&verb, &request),
        _ => return live.answer(&verb, request, n, replies),
    };
    replies.say(&n, &reply);
}
