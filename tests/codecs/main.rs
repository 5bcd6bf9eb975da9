//! Every codec as a session's codec, the optional ones included: ends, streams and errors.

use libchan::codec::Proto;
use libchan_proto::Reason;
use libchan_tests::*;
use libchan_transports::{AcceptError, DialError, DialOptions, ListenOptions, dial_with, listen_with};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn speaking(codecs: &[AnyCodec]) -> SessionOptions {
    SessionOptions::new().codecs(codecs.iter().cloned())
}

async fn pair(on: On, codec: &AnyCodec) -> (Session, Session) {
    let options = speaking(std::slice::from_ref(codec));
    on.pair_with(options.clone(), options).await
}

/// Those that have a place for attachments.
fn structured() -> Vec<AnyCodec> {
    vec![
        AnyCodec::msgpack(),
        AnyCodec::json(),
        AnyCodec::cbor(),
        AnyCodec::postcard(),
        AnyCodec::xml(),
        positional(),
    ]
}

/// A codec of the user's in which an attachment is its bare index.
fn positional() -> AnyCodec {
    AnyCodec::custom(JsonPlugin { id: 240, placeholder: Placeholder::Index }).unwrap()
}

/// A codec of the user's that has no place for attachments.
fn flat() -> AnyCodec {
    AnyCodec::custom(JsonPlugin { id: 241, placeholder: Placeholder::None }).unwrap()
}

#[derive(Serialize, Deserialize)]
struct Call {
    text: String,
    number: i64,
    reply: Sender<u32>,
    numbers: Receiver<u32>,
    body: ByteStream,
    #[serde(default)]
    more: Vec<Sender<String>>,
}

/// Makes a call, answers it, and uses everything that was in it.
async fn call(calls: &Sender<Call>, called: &Receiver<Call>, text: &str) {
    let (reply, replies) = pipe();
    let (feed, numbers) = pipe();
    let (mut here, body) = ByteStream::pair();
    let (mut more, mut lines) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (sender, receiver) = pipe();
        more.push(sender);
        lines.push(receiver);
    }
    put(&feed, 1).await;
    soon(here.write_all(b"before")).await.unwrap();
    put(calls, Call { text: text.to_owned(), number: i64::MIN, reply, numbers, body, more }).await;
    put(&feed, 2).await;
    drop(feed);
    let mut got = get(called).await;
    assert_eq!((got.text.as_str(), got.number, got.more.len()), (text, i64::MIN, 3));
    assert_eq!((get(&got.numbers).await, get(&got.numbers).await), (1, 2));
    end(&got.numbers).await;
    put(&got.reply, 3).await;
    assert_eq!(get(&replies).await, 3);
    for (sender, line) in got.more.iter().zip(&lines) {
        put(sender, text.to_owned()).await;
        assert_eq!(get(line).await, text);
    }
    soon(here.write_all(b" and after")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    let mut bytes = Vec::new();
    soon(got.body.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(bytes, b"before and after");
    soon(got.body.write_all(b"back")).await.unwrap();
    soon(got.body.shutdown()).await.unwrap();
    drop(got);
    let mut bytes = Vec::new();
    soon(here.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(bytes, b"back");
    end(&replies).await;
}

async fn ends_and_streams_pass_in_every_codec(on: On) {
    for codec in structured() {
        let (a, b) = pair(on, &codec).await;
        let looks = a.open::<String>("look").unwrap();
        let looked = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
        put(&looks, "<&> \u{1f980}".to_owned()).await;
        let raw = get(&looked).await;
        assert_eq!(raw.codec(), codec.id());
        assert_eq!(raw.decode::<String>().unwrap(), "<&> \u{1f980}");
        for (from, to) in [(&a, &b), (&b, &a)] {
            let (calls, called) = channel::<Call>(from, to, 1).await;
            call(&calls, &called, "some text").await;
            // Longer than a frame.
            call(&calls, &called, &"x".repeat(100_000)).await;
        }
        drop((looks, looked));
        eventually(|| a.open_channels() == 0 && b.open_channels() == 0).await;
    }
}

#[derive(Serialize, Deserialize)]
struct Sent {
    reply: Sender<u32>,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Expected {
    reply: u64,
    text: u8,
}

async fn what_does_not_decode_closes_what_it_carries_and_harms_nothing(on: On) {
    for codec in structured() {
        let (a, b) = pair(on, &codec).await;
        let sender = a.open_with::<Sent>("x", OpenOptions::new().capacity(4)).unwrap();
        let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<Expected>();
        for _ in 0..2 {
            let (reply, replies) = pipe();
            put(&sender, Sent { reply, text: "a text, and no number".to_owned() }).await;
            let RecvError::Decode(text) = fail(&receiver).await else { panic!("not a decode error") };
            assert!(!text.is_empty());
            cut(&replies, Cut::NotDecoded).await;
        }
        // The session and its other channels are unharmed.
        let (calls, called) = channel::<Call>(&a, &b, 1).await;
        call(&calls, &called, "after").await;
    }
}

async fn messages_go_on_through_sessions_of_other_codecs(on: On) {
    // Each session forwards what it did not encode, ends included.
    let mut sessions = Vec::new();
    let (ship, shipped) = pipe::<Call>();
    let mut receiver = shipped;
    for codec in [AnyCodec::postcard(), AnyCodec::xml(), AnyCodec::json()] {
        let (a, b) = pair(on, &codec).await;
        let (carry, carried) = channel::<Receiver<Call>>(&a, &b, 1).await;
        put(&carry, receiver).await;
        receiver = get(&carried).await;
        sessions.push((a, b));
    }
    for number in 0..5 {
        call(&ship, &receiver, &format!("number {number}")).await;
    }
}

async fn raw_sessions_tell_what_is_no_bytes(on: On) {
    let (a, b) = pair(on, &AnyCodec::raw()).await;
    let sender = a.open_with::<ByteBuf>("x", OpenOptions::new().capacity(4)).unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<String>();
    put(&sender, ByteBuf::from(&b"\xff\xfe"[..])).await;
    assert!(matches!(fail(&receiver).await, RecvError::Decode(_)));
    put(&sender, ByteBuf::from(&b"text"[..])).await;
    assert_eq!(get(&receiver).await, "text");
    let (numbers, _numbers) = channel::<(u32, u32)>(&a, &b, 4).await;
    let error = refused(&numbers, (1, 2)).await;
    assert!(matches!(error.reason, SendFailure::Encode(_)), "{error:?}");
    assert_eq!(error.value, (1, 2));
    let (streams, _streams) = channel::<ByteStream>(&a, &b, 4).await;
    let (mut here, stream) = ByteStream::pair();
    let error = refused(&streams, stream).await;
    assert!(matches!(error.reason, SendFailure::Encode(_)), "{error:?}");
    // The stream came back whole.
    let mut back = error.value;
    soon(back.write_all(b"whole")).await.unwrap();
    let mut got = [0; 5];
    soon(here.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"whole");
}

#[derive(Clone, PartialEq, prost::Message)]
struct Person {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    photo: Vec<u8>,
}

async fn protobuf_messages_pass_in_every_codec(on: On) {
    #[derive(Serialize, Deserialize)]
    struct Envelope {
        person: Proto<Person>,
        reply: Sender<Proto<Person>>,
    }
    let person = || Proto(Person { name: "Ada".to_owned(), photo: pattern(70_000, 9) });
    // As the codec of the session it carries nothing else.
    let (a, b) = pair(on, &AnyCodec::protobuf()).await;
    let (sender, receiver) = channel::<Proto<Person>>(&a, &b, 4).await;
    put(&sender, person()).await;
    assert_eq!(get(&receiver).await, person());
    let (others, _others) = channel::<u32>(&a, &b, 4).await;
    let error = refused(&others, 5).await;
    assert!(matches!(error.reason, SendFailure::Encode(_)), "{error:?}");
    let (ends, _ends) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (end, kept) = pipe();
    let error = refused(&ends, end).await;
    assert!(matches!(error.reason, SendFailure::Encode(_)), "{error:?}");
    put(&error.value, 1).await;
    assert_eq!(get(&kept).await, 1);
    // What is no protobuf is one decode error.
    let raws = a.open_with::<Raw>("raw", OpenOptions::new().capacity(4)).unwrap();
    let people = soon(b.accept()).await.unwrap().unwrap().receive::<Proto<Person>>();
    for payload in [&b"\x0a\xff"[..], b"\x0a\x03Ada"] {
        put(&raws, Raw::encode(&ByteBuf::from(payload), AnyCodec::raw()).unwrap()).await;
    }
    assert!(matches!(fail(&people).await, RecvError::Decode(_)));
    assert_eq!(get(&people).await.name, "Ada");
    // As a value it passes in every codec that has byte strings.
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor(), AnyCodec::postcard()] {
        let (a, b) = pair(on, &codec).await;
        let (sender, receiver) = channel::<Envelope>(&a, &b, 4).await;
        let (reply, replies) = pipe();
        put(&sender, Envelope { person: person(), reply }).await;
        let envelope = get(&receiver).await;
        assert_eq!(envelope.person, person());
        put(&envelope.reply, envelope.person).await;
        assert_eq!(get(&replies).await, person());
    }
}

async fn a_codec_without_a_place_for_ends_refuses_them(on: On) {
    let (a, b) = pair(on, &flat()).await;
    let (sender, receiver) = channel::<Option<Sender<u32>>>(&a, &b, 4).await;
    put(&sender, None).await;
    assert!(get(&receiver).await.is_none());
    let (end, kept) = pipe();
    let error = refused(&sender, Some(end)).await;
    assert!(matches!(error.reason, SendFailure::Encode(_)), "{error:?}");
    put(&error.value.unwrap(), 1).await;
    assert_eq!(get(&kept).await, 1);
}

/// Who is slower may read the other's goodbye before its hello counts.
fn is_no_common_codec(error: &SessionError) -> bool {
    let told = |reason: &Reason| reason.code == libchan_proto::code::NO_COMMON_CODEC;
    *error == SessionError::NoCommonCodec || matches!(error, SessionError::PeerClosed(reason) if told(reason))
}

async fn lists_without_a_common_codec_are_an_error_of_both_sides(on: On) {
    let lists: [(&[AnyCodec], &[AnyCodec]); 3] = [
        (&[AnyCodec::postcard()], &[AnyCodec::xml()]),
        (&[AnyCodec::protobuf(), AnyCodec::raw()], &[AnyCodec::msgpack(), AnyCodec::json()]),
        (&[positional()], &[flat(), AnyCodec::cbor()]),
    ];
    for (dialer, acceptor) in lists {
        let scratch = Scratch::new();
        let url = format!("unix://{}", scratch.path("s").display());
        let (failed, mut failures) = tokio::sync::mpsc::unbounded_channel();
        let listening =
            ListenOptions::default().session(speaking(acceptor)).on_failed_handshake(move |error| {
                let _ = failed.send(
                    matches!(error, AcceptError::Handshake { source, .. } if is_no_common_codec(source)),
                );
            });
        let listener = listen_with(&url, listening).await.unwrap();
        let dialing = dial_with(&url, DialOptions::default().session(speaking(dialer)));
        let error = tokio::select! {
            accepted = listener.accept() => panic!("accepted {accepted:?}"),
            error = async {
                let error = soon(dialing).await.expect_err("no session");
                assert_eq!(soon(failures.recv()).await, Some(true), "the acceptor's error");
                error
            } => error,
        };
        assert!(matches!(&error, DialError::Session(error) if is_no_common_codec(error)), "{error:?}");
    }
    // One in common is enough, wherever it stands.
    let dialer = [AnyCodec::postcard(), positional(), AnyCodec::xml()];
    let acceptor = [AnyCodec::protobuf(), AnyCodec::xml()];
    let (a, b) = on.pair_with(speaking(&dialer), speaking(&acceptor)).await;
    let (calls, called) = channel::<Call>(&a, &b, 1).await;
    call(&calls, &called, "in xml").await;
}

macro_rules! codecs {
    ($($case:ident),* $(,)?) => {
        libchan_tests::contract_on!(unix, Unix, [$($case),*]);
        libchan_tests::contract_on!(wire, Wire, [$($case),*]);
    };
}

codecs! {
    ends_and_streams_pass_in_every_codec,
    what_does_not_decode_closes_what_it_carries_and_harms_nothing,
    messages_go_on_through_sessions_of_other_codecs,
    raw_sessions_tell_what_is_no_bytes,
    protobuf_messages_pass_in_every_codec,
    a_codec_without_a_place_for_ends_refuses_them,
    lists_without_a_common_codec_are_an_error_of_both_sides,
}
