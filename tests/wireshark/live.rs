//! Real sessions on the loopback interface, captured: names, ids, what travels, and how it ends.

use std::path::Path;

use libchan_tests::*;
use libchan_transports::Listener;
use libchan_transports::{DialOptions, ListenOptions, dial_with, listen_with};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::capture::Capture;
use crate::shown::{Frame, assert_sound, frames};

/// Long enough for several frames, and for a larger one than any window: it is announced.
const LARGE: usize = 200_000;

pub(crate) const HELLO: u8 = 1;
pub(crate) const OPEN: u8 = 2;
pub(crate) const MESSAGE: u8 = 3;
pub(crate) const FRAGMENT: u8 = 4;
pub(crate) const CLOSE: u8 = 6;
const CANCEL: u8 = 7;
const DATA: u8 = 8;
const END: u8 = 9;
const STOP: u8 = 10;
pub(crate) const GOODBYE: u8 = 13;

#[derive(Serialize, Deserialize)]
struct Job {
    title: String,
    result: ByteStream,
    done: Sender<String>,
}

/// What a server does with everything that is opened.
async fn serve(session: Session) {
    while let Some(incoming) = soon(session.accept()).await.unwrap() {
        match incoming.name() {
            "jobs" => {
                let jobs = incoming.receive::<Job>();
                let mut job = get(&jobs).await;
                soon(job.result.write_all(job.title.to_uppercase().as_bytes())).await.unwrap();
                soon(job.result.shutdown()).await.unwrap();
                put(&job.done, "done".to_owned()).await;
                drop(job.done);
                end(&jobs).await;
            }
            "bulk" => {
                let bulk = incoming.receive::<Blob>();
                assert_eq!(get(&bulk).await.len(), LARGE);
                end(&bulk).await;
            }
            _ => incoming.refuse(RemoteError::new(7, "not here")),
        }
    }
    soon(session.close()).await.unwrap();
}

/// What a client asks of it.
async fn ask(session: Session) {
    let jobs = session.open_with::<Job>("jobs", OpenOptions::new().capacity(4).metadata("priority", "high"));
    let jobs = jobs.unwrap();
    let (mut answer, result) = ByteStream::pair();
    let (done, report) = pipe::<String>();
    put(&jobs, Job { title: "shout".to_owned(), result, done }).await;
    let mut text = String::new();
    soon(answer.read_to_string(&mut text)).await.unwrap();
    assert_eq!((text.as_str(), get(&report).await.as_str()), ("SHOUT", "done"));
    end(&report).await;
    drop(jobs);

    let forbidden = session.open::<u32>("forbidden").unwrap();
    assert!(matches!(soon(forbidden.closed()).await, Closed::Refused(_)));
    let bulk = session.open_with::<Blob>("bulk", OpenOptions::new().capacity(1)).unwrap();
    put(&bulk, blob(LARGE, 1)).await;
    drop(bulk);
    soon(session.close()).await.unwrap();
}

/// Captures a session between the two at this URL. Gives the port.
async fn captured(url: &str, codec: AnyCodec, file: &Path) -> u16 {
    let acceptor = SessionOptions::new().metadata("name", "worker").codecs([codec.clone()]);
    let listener: Listener = listen_with(url, ListenOptions::default().session(acceptor)).await.unwrap();
    let port = listener.url().split_once("127.0.0.1:").unwrap().1.split('/').next().unwrap();
    let port = port.parse().unwrap();
    let capture = Capture::begin(port, file).await;
    let dialer = DialOptions::default().session(SessionOptions::new().codecs([codec]));
    let dialing = async { ask(dial_with(listener.url(), dialer).await.unwrap()).await };
    let accepting = async { serve(listener.accept().await.unwrap()).await };
    tokio::join!(dialing, accepting);
    drop(listener);
    capture.end().await;
    port
}

/// The frames of a type on the channel or stream of this name.
fn of<'a>(frames: &'a [Frame], kind: u8, name: &str) -> Vec<&'a Frame> {
    let is = |frame: &&Frame| {
        frame.kind() == kind && (frame.get("libchan.channel") == name || frame.get("libchan.stream") == name)
    };
    frames.iter().filter(is).collect()
}

fn one<'a>(frames: &'a [Frame], kind: u8, name: &str) -> &'a Frame {
    let found = of(frames, kind, name);
    assert_eq!(found.len(), 1, "type {kind:#04x} of {name:?}: {found:#?}");
    found[0]
}

/// What any carrier shows of such a session.
fn judge(frames: &[Frame]) {
    for frame in frames {
        for mark in
            ["libchan.malformed", "libchan.rule", "libchan.note", "libchan.fault", "libchan.undecoded"]
        {
            assert!(frame.all(mark).is_empty(), "{mark}: {frame:#?}");
        }
    }
    let hellos: Vec<&Frame> = frames.iter().filter(|frame| frame.kind() == HELLO).collect();
    assert_eq!(hellos.len(), 2);
    let named = |hello: &&&Frame| hello.all("libchan.metadata.key") == ["name"];
    assert_eq!(hellos.iter().find(named).expect("a name").get("libchan.metadata.value"), "worker");

    let open = one(frames, OPEN, "jobs");
    assert_eq!((open.get("libchan.id"), open.get("libchan.capacity")), ("2", "4"));
    assert_eq!((open.get("libchan.metadata.key"), open.get("libchan.metadata.value")), ("priority", "high"));
    let job = one(frames, MESSAGE, "jobs");
    assert_eq!(
        job.all("libchan.attachment.kind"),
        ["3", "1"],
        "the receiver gets a stream and a sending end"
    );
    let ids = job.all("libchan.attachment.id");
    let (stream, done) = (format!("jobs > {}", ids[0]), format!("jobs > {}", ids[1]));
    assert_eq!(one(frames, DATA, &stream).get("libchan.data"), "53:48:4f:55:54");
    assert_eq!((of(frames, END, &stream).len(), of(frames, STOP, &stream).len()), (2, 2));
    let report = one(frames, MESSAGE, &done);
    assert_eq!(report.get("libchan.id"), ids[1]);
    assert_eq!(one(frames, CLOSE, &done).get("libchan.code"), "0");
    assert_eq!((one(frames, CLOSE, "jobs").get("libchan.scope"), of(frames, CANCEL, "jobs").len()), ("0", 1));

    let refusal = one(frames, CANCEL, "forbidden");
    assert_eq!((refusal.get("libchan.code"), refusal.get("libchan.text")), ("263", "not here"));

    let large = one(frames, MESSAGE, "bulk");
    assert_eq!(large.get("libchan.flags.more"), "1");
    let total: usize = large.get("libchan.total").parse().unwrap();
    let fragments = of(frames, FRAGMENT, "bulk");
    let last = fragments.last().expect("fragments");
    assert!(total >= LARGE && fragments.len() > 1);
    assert_eq!(last.get("libchan.fragment"), fragments.len().to_string());
    assert_eq!(last.get("libchan.sum"), total.to_string());
    assert!(fragments.iter().all(|one| one.get("libchan.begun_in") == last.get("libchan.begun_in")));

    assert_eq!(frames.iter().filter(|frame| frame.kind() == GOODBYE).count(), 2);
}

/// Such a session; tshark is told what the port is for, where it does not see that by itself.
fn session(url: &str, codec: AnyCodec, decode_as: Option<&str>) {
    let scratch = Scratch::new();
    let file = scratch.path("session.pcap");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let port = runtime.block_on(captured(url, codec, &file));
    let decode_as = decode_as.map(|protocol| format!("tcp.port=={port},{protocol}"));
    let told: Vec<&str> = decode_as.iter().flat_map(|told| ["-d", told]).collect();
    judge(&frames(&file, &told));
    judge(&frames(&file, &[&["-2"], &told[..]].concat()));
    assert_sound(&file, &told);
}

#[test]
#[ignore = "needs tshark"]
fn a_session_over_tcp() {
    session("tcp://127.0.0.1:0", AnyCodec::msgpack(), None);
}

#[test]
#[ignore = "needs tshark"]
fn a_session_over_tcp_at_a_port_that_is_named() {
    session("tcp://127.0.0.1:0", AnyCodec::cbor(), Some("libchan"));
}

#[test]
#[ignore = "needs tshark"]
fn a_session_over_websocket() {
    session("ws://127.0.0.1:0", AnyCodec::cbor(), None);
}

#[test]
#[ignore = "needs tshark"]
fn a_session_over_http2() {
    session("h2c://127.0.0.1:0", AnyCodec::msgpack(), Some("http2"));
}
