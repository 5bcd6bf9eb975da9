//! Each message as `spec/vectors/iris.json` has it: what it decodes from is what it encodes to, and what is none is refused.

use libchan::{AnyCodec, ByteStream, Message, Raw, Receiver, Sender, pipe};
use serde::Serialize;
use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../../../spec/vectors/iris.json");

/// An end for a message of the vectors. Of what its channel is, the message says.
#[derive(Serialize)]
#[serde(untagged)]
enum End {
    Sender(Sender<Raw>),
    Receiver(Receiver<Raw>),
    Stream(ByteStream),
}

impl End {
    fn new(kind: &Value) -> Self {
        match kind.as_str() {
            Some("sender") => Self::Sender(pipe().0),
            Some("receiver") => Self::Receiver(pipe().1),
            Some("stream") => Self::Stream(ByteStream::pair().0),
            _ => panic!("an end {kind}"),
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Decodes the vector as a `T` and encodes it again.
fn again<T: Message + Serialize>(vector: &Value) -> Result<Vec<u8>, String> {
    let ends: Vec<End> = vector["ends"].as_array().unwrap().iter().map(End::new).collect();
    let carrier = Raw::encode(&ends, AnyCodec::msgpack()).unwrap();
    let arrived = carrier.with_payload(AnyCodec::msgpack(), bytes(vector["hex"].as_str().unwrap()).into());
    let value: T = arrived.decode().map_err(|error| error.to_string())?;
    let encoded = Raw::encode(&value, AnyCodec::msgpack()).map_err(|failure| failure.to_string())?;
    assert_eq!(encoded.attachments(), ends.len(), "the ends of {}", vector["id"]);
    Ok(encoded.payload().to_vec())
}

fn by_message(vector: &Value) -> Result<Vec<u8>, String> {
    match vector["message"].as_str().unwrap() {
        "body" => again::<Body>(vector),
        "requests" => again::<Requests>(vector),
        "ask" => again::<Ask>(vector),
        "answer" => again::<Answer>(vector),
        "post" => again::<Post>(vector),
        "subscribe" => again::<Subscribe>(vector),
        "event" => again::<Event>(vector),
        "ready" => again::<Result<(), String>>(vector),
        "register" => again::<Register>(vector),
        "call" => again::<Call>(vector),
        "report" => again::<Report>(vector),
        "line" => again::<Line>(vector),
        "opened" => again::<Result<(), TunnelRefused>>(vector),
        "piece" => again::<Piece>(vector),
        other => panic!("a message {other}"),
    }
}

#[tokio::test]
async fn messages_are_those_of_the_vectors() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() > 50, "{} vectors", vectors.len());
    for vector in &vectors {
        let id = &vector["id"];
        match (by_message(vector), vector.get("error")) {
            (Ok(encoded), None) => {
                assert_eq!(encoded, bytes(vector["hex"].as_str().unwrap()), "{id}: encoded again");
            }
            (Err(_), Some(_)) => {}
            (Ok(_), Some(_)) => panic!("{id}: it is to be refused"),
            (Err(error), None) => panic!("{id}: {error}"),
        }
    }
}
