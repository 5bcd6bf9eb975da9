//! `Raw` as patterns use it: made from bytes, told to many, its ends listed and taken by index.

use libchan::EndKind;
use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    topic: String,
    number: u32,
}

#[derive(Serialize, Deserialize)]
struct Loaded {
    reply: Sender<u32>,
    inbox: Receiver<String>,
    stream: ByteStream,
    number: u32,
}

async fn a_raw_of_bytes_is_a_message(on: On) {
    let (a, b) = on.pair().await;
    let events = a.open::<Raw>("events").unwrap();
    let got = soon(b.accept()).await.unwrap().unwrap().receive::<Event>();
    put(&events, Raw::from_parts(CodecId::JSON, r#"{"topic":"rain","number":7}"#)).await;
    put(&events, Raw::from_parts(AnyCodec::json(), "no json")).await;
    let encoded = {
        let mut out = Vec::new();
        AnyCodec::cbor().encode(&Event { topic: "sun".to_owned(), number: 8 }, &mut out).unwrap();
        out
    };
    put(&events, Raw::from_parts(CodecId::CBOR, encoded)).await;
    assert_eq!(get(&got).await, Event { topic: "rain".to_owned(), number: 7 });
    assert!(matches!(fail(&got).await, RecvError::Decode(_)));
    assert_eq!(get(&got).await, Event { topic: "sun".to_owned(), number: 8 });
}

async fn one_raw_goes_to_many_without_a_copy(on: On) {
    let (a, b) = on.pair().await;
    let big = Event { topic: "x".repeat(100_000), number: 1 };
    let raw = Raw::encode(&big, AnyCodec::msgpack()).unwrap();
    for _ in 0..5 {
        let (subscriber, heard) = channel::<Raw>(&a, &b, 4).await;
        let copy = raw.try_clone().unwrap();
        assert_eq!(copy.payload().as_ptr(), raw.payload().as_ptr());
        put(&subscriber, copy).await;
        assert_eq!(get(&heard).await.decode::<Event>().unwrap(), big);
    }
}

/// Clones of a message with ends in it carry clones of the ends, before and after it has crossed a session.
async fn a_cloned_raw_carries_cloned_ends(on: On) {
    let (a, b) = on.pair().await;
    let (requests, at_b) = channel::<Raw>(&a, &b, 4).await;
    let (reply, answers) = pipe_with::<u32>(8);
    let raw = Raw::encode(&(1_u32, &reply), AnyCodec::msgpack()).unwrap();
    drop(reply);
    put(&requests, raw.try_clone().unwrap()).await;
    drop(raw);
    let arrived = get(&at_b).await;
    let again = arrived.try_clone().unwrap();
    for (raw, number) in [(arrived, 10), (again, 20)] {
        let (_, reply) = raw.decode::<(u32, Sender<u32>)>().unwrap();
        put(&reply, number).await;
        drop(reply);
        assert_eq!(get(&answers).await, number);
    }
    end(&answers).await;
}

async fn loaded(a: &Session, b: &Session) -> (Raw, Receiver<u32>, Sender<String>, ByteStream) {
    let (requests, at_b) = channel::<Raw>(a, b, 4).await;
    let (reply, answers) = pipe();
    let (words, inbox) = pipe();
    let (here, stream) = ByteStream::pair();
    let value = Loaded { reply, inbox, stream, number: 7 };
    put(&requests, Raw::encode(&value, AnyCodec::msgpack()).unwrap()).await;
    drop(value);
    (get(&at_b).await, answers, words, here)
}

async fn ends_are_listed_and_taken_by_index(on: On) {
    let (a, b) = on.pair().await;
    let (mut raw, answers, words, mut here) = loaded(&a, &b).await;
    assert_eq!(raw.ends(), [EndKind::Sender, EndKind::Receiver, EndKind::Stream]);
    assert!(raw.try_clone().is_none(), "there is one stream");
    for (why, wanted) in [
        (raw.take_sender::<u32>(1).map(drop), "a Receiver"),
        (raw.take_receiver::<u32>(2).map(drop), "a ByteStream"),
        (raw.take_stream(0).map(drop), "a Sender"),
        (raw.take_fd(3).map(drop), "which has 3"),
    ] {
        assert!(why.as_ref().unwrap_err().to_string().contains(wanted), "{why:?}");
    }
    let reply = raw.take_sender::<u32>(0).unwrap();
    let inbox = raw.take_receiver::<String>(1).unwrap();
    let mut stream = raw.take_stream(2).unwrap();
    assert_eq!(raw.ends(), [EndKind::Taken; 3]);
    assert!(raw.take_sender::<u32>(0).unwrap_err().to_string().contains("already"));
    put(&reply, 5).await;
    assert_eq!(get(&answers).await, 5);
    put(&words, "word".to_owned()).await;
    assert_eq!(get(&inbox).await, "word");
    soon(here.write_all(b"bytes")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    drop((here, words, reply));
    let mut read = String::new();
    soon(stream.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read, "bytes");
    end(&inbox).await;
    end(&answers).await;
}

/// What is left in a message of which something was taken can be decoded, but the message cannot be sent.
async fn a_raw_without_one_of_its_ends(on: On) {
    #[derive(Serialize, Deserialize)]
    struct Rest {
        inbox: Receiver<String>,
        number: u32,
    }
    let (a, b) = on.pair().await;
    let (onward, _at_a) = channel::<Raw>(&b, &a, 4).await;
    let (mut raw, _answers, words, _here) = loaded(&a, &b).await;
    drop(raw.take_sender::<u32>(0).unwrap());
    let error = refused(&onward, raw).await;
    assert_eq!(error.reason, SendFailure::AttachmentInUse);
    let rest: Rest = error.value.decode().unwrap();
    put(&words, "left".to_owned()).await;
    assert_eq!((get(&rest.inbox).await.as_str(), rest.number), ("left", 7));
}

/// A large `Raw` in a field keeps its memory: what arrives is a part of the message.
async fn a_nested_raw_is_not_copied(on: On) {
    let (a, b) = on.pair().await;
    let (envelopes, at_b) = channel::<(String, Raw)>(&a, &b, 4).await;
    let body = Raw::encode(&Event { topic: "y".repeat(200_000), number: 3 }, AnyCodec::json()).unwrap();
    put(&envelopes, ("topic".to_owned(), body)).await;
    let (topic, body) = get(&at_b).await;
    assert_eq!(topic, "topic");
    assert_eq!(body.codec(), CodecId::JSON);
    assert_eq!(body.decode::<Event>().unwrap().topic.len(), 200_000);
}

libchan_tests::contract! {
    a_raw_of_bytes_is_a_message,
    one_raw_goes_to_many_without_a_copy,
    a_cloned_raw_carries_cloned_ends,
    ends_are_listed_and_taken_by_index,
    a_nested_raw_is_not_copied,
}

mod remote {
    // Over `mem:` a `Raw` moves as it is.
    use super::a_raw_without_one_of_its_ends;
    libchan_tests::contract_links! { a_raw_without_one_of_its_ends }
}
