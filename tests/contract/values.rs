//! `codec::Value`: a message of any self-describing codec as a tree with its ends in it.

use libchan::codec::Value;
use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Call {
    method: String,
    arguments: Vec<Option<f64>>,
    reply: Sender<u32>,
    inbox: Receiver<String>,
    body: ByteStream,
}

fn self_describing() -> [AnyCodec; 3] {
    [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()]
}

/// A gateway that knows no type reads a call of one codec and writes it in another.
async fn a_gateway_changes_the_codec_of_a_call_with_ends(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    for from in self_describing() {
        for to in self_describing() {
            let (calls, at_gateway) = channel::<Raw>(&a, &b, 4).await;
            let (onward, at_server) = channel::<Raw>(&c, &d, 4).await;
            let (reply, answers) = pipe();
            let (words, inbox) = pipe();
            let (mut here, body) = ByteStream::pair();
            let arguments = vec![Some(1.5), None];
            let call = Call { method: "sum".to_owned(), arguments, reply, inbox, body };
            put(&calls, Raw::encode(&call, from.clone()).unwrap()).await;
            drop(call);

            let value: Value = get(&at_gateway).await.decode().unwrap();
            assert_eq!(value.get("method").and_then(Value::as_str), Some("sum"));
            assert!(matches!(value.get("reply"), Some(Value::Sender(_))), "{value:?}");
            assert!(matches!(value.get("inbox"), Some(Value::Receiver(_))), "{value:?}");
            assert!(matches!(value.get("body"), Some(Value::Stream(_))), "{value:?}");
            put(&onward, Raw::encode(&value, to.clone()).unwrap()).await;
            drop(value);

            let raw = get(&at_server).await;
            assert_eq!(raw.codec(), to.id());
            let mut call: Call = raw.decode().unwrap();
            assert_eq!((call.method.as_str(), &call.arguments[..]), ("sum", &[Some(1.5), None][..]));
            put(&call.reply, 9).await;
            put(&words, "word".to_owned()).await;
            soon(here.write_all(b"body")).await.unwrap();
            soon(here.shutdown()).await.unwrap();
            drop((here, words));
            assert_eq!(get(&answers).await, 9);
            assert_eq!(get(&call.inbox).await, "word");
            let mut read = String::new();
            soon(call.body.read_to_string(&mut read)).await.unwrap();
            assert_eq!(read, "body");
            end(&call.inbox).await;
            drop(call);
            end(&answers).await;
        }
    }
}

/// Data that looks like an end is an end only where the message has one, and is never sent as data.
async fn a_map_that_looks_like_an_end() {
    let raw = Raw::from_parts(CodecId::JSON, r#"{"$libchan":0}"#);
    assert!(raw.decode::<Value>().unwrap_err().to_string().contains("not in the message"));
    let raw = Raw::from_parts(CodecId::JSON, r#"{"$libchan":0,"more":1}"#);
    assert!(matches!(raw.decode::<Value>(), Ok(Value::Map(entries)) if entries.len() == 2));
    // An extension value of somebody else's.
    let raw = Raw::from_parts(CodecId::MSGPACK, vec![0xd4, 9, 0]);
    assert!(raw.decode::<Value>().unwrap_err().to_string().contains("extension type 9"));
    let forged = Value::Map(vec![(Value::Text("$libchan".to_owned()), Value::Int(0))]);
    assert!(matches!(Raw::encode(&forged, AnyCodec::json()), Err(SendFailure::Encode(_))));
}

/// What every codec can say stays what it is.
async fn plain_values_keep_their_kind() {
    let text = r#"{"a":[1,-2,1.5,true,null,"t",18446744073709551615],"b":{}}"#;
    for codec in self_describing() {
        let value: Value = Raw::from_parts(CodecId::JSON, text).decode().unwrap();
        let value: Value = Raw::encode(&value, codec).unwrap().decode().unwrap();
        let back = Raw::encode(&value, AnyCodec::json()).unwrap();
        assert_eq!(&back.payload()[..], text.as_bytes());
    }
}

libchan_tests::contract! { a_gateway_changes_the_codec_of_a_call_with_ends }

mod alone {
    use super::{a_map_that_looks_like_an_end, plain_values_keep_their_kind};
    libchan_tests::in_process! { a_map_that_looks_like_an_end, plain_values_keep_their_kind }
}
