//! Promises 11 and 15: a message that does not decode is one error, the next is unharmed, and what it carried is
//! closed. A type mismatch names the outermost shapes.

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Full {
    number: u32,
    answer: Sender<u32>,
    numbers: Receiver<u32>,
    stream: ByteStream,
}

#[derive(Serialize, Deserialize)]
struct Bare {
    number: u32,
}

#[derive(Serialize, Deserialize)]
struct Wrong {
    number: String,
    answer: Sender<u32>,
    numbers: Receiver<u32>,
    stream: ByteStream,
}

#[derive(Serialize, Deserialize)]
struct Job {
    input: String,
    done: Option<Sender<u32>>,
}

/// A channel whose two sides disagree about its type.
async fn mismatched<T: Message, U: Message>(a: &Session, b: &Session) -> (Sender<T>, Receiver<U>) {
    let sender = a.open::<T>("mismatched").unwrap();
    (sender, soon(b.accept()).await.unwrap().unwrap().receive::<U>())
}

fn decode_text(error: RecvError) -> String {
    let RecvError::Decode(text) = &error else { panic!("{error:?}") };
    assert!(!error.is_end());
    text.clone()
}

async fn promise_11_a_message_of_another_type_is_one_error(on: On) {
    let (a, b) = on.pair().await;
    // Both decode as text, one of them as a number besides.
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Text(String),
    }
    let (sender, receiver) = mismatched::<Either, u32>(&a, &b).await;
    for round in 0..20 {
        put(&sender, Either::Number(round)).await;
        put(&sender, Either::Text("no number".to_owned())).await;
        assert_eq!(get(&receiver).await, round);
        decode_text(fail(&receiver).await);
    }
    put(&sender, Either::Text("no number".to_owned())).await;
    put(&sender, Either::Number(99)).await;
    drop(sender);
    decode_text(fail(&receiver).await);
    assert_eq!(get(&receiver).await, 99);
    end(&receiver).await;
}

async fn promise_11_a_decode_error_still_frees_the_room(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = mismatched::<String, u32>(&a, &b).await;
    let sending = tokio::spawn(async move {
        for _ in 0..300 {
            put(&sender, "x".repeat(100)).await;
        }
    });
    for _ in 0..300 {
        decode_text(fail(&receiver).await);
    }
    end(&receiver).await;
    sending.await.unwrap();
}

async fn promise_15_a_mismatch_names_both_outermost_shapes(on: On) {
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let options = || SessionOptions::new().codecs([codec.clone()]);
        let (a, b) = on.pair_with(options(), options()).await;
        let (sender, receiver) = mismatched::<String, Job>(&a, &b).await;
        put(&sender, "hello".to_owned()).await;
        let text = decode_text(fail(&receiver).await);
        assert!(text.contains("expected Job { input, done }"), "{}: {text}", codec.name());
        assert!(text.contains("got a string"), "{}: {text}", codec.name());
        let (sender, receiver) = mismatched::<Bare, Job>(&a, &b).await;
        put(&sender, Bare { number: 1 }).await;
        let text = decode_text(fail(&receiver).await);
        assert!(text.contains("expected Job { input, done }"), "{}: {text}", codec.name());
        assert!(text.contains("number"), "{}: {text}", codec.name());
    }
}

/// The ends that stayed here when `Full` was sent.
struct Stayed {
    answers: Receiver<u32>,
    feed: Sender<u32>,
    here: ByteStream,
}

fn full(number: u32) -> (Full, Stayed) {
    let (answer, answers) = pipe();
    let (feed, numbers) = pipe();
    let (here, stream) = ByteStream::pair();
    (Full { number, answer, numbers, stream }, Stayed { answers, feed, here })
}

impl Stayed {
    /// Everything that travelled is closed on this side.
    async fn are_closed(mut self) {
        assert!(!matches!(soon(self.answers.recv()).await, Ok(Some(_))));
        soon(self.feed.closed()).await;
        let mut rest = Vec::new();
        let _ = soon(self.here.read_to_end(&mut rest)).await;
        assert_eq!(rest, b"");
        soon(async { while self.here.write_all(&[0; 1024]).await.is_ok() {} }).await;
    }
}

async fn promise_11_what_is_left_unclaimed_is_closed(on: On) {
    let (a, b) = on.pair().await;
    // The receiver's struct lacks the fields.
    let (sender, receiver) = mismatched::<Full, Bare>(&a, &b).await;
    for number in 0..5 {
        let (message, stayed) = full(number);
        put(&sender, message).await;
        assert_eq!(get(&receiver).await.number, number);
        stayed.are_closed().await;
    }
    if on.encodes() {
        eventually(|| a.open_channels() == 1 && b.open_channels() == 1).await;
    }
}

async fn promise_11_what_was_claimed_before_the_failure_is_closed(on: On) {
    let (a, b) = on.pair().await;
    for _ in 0..3 {
        let (sender, receiver) = mismatched::<Full, Wrong>(&a, &b).await;
        let (message, stayed) = full(1);
        put(&sender, message).await;
        decode_text(fail(&receiver).await);
        stayed.are_closed().await;
        let (_message, _) = full(2);
        drop((sender, receiver));
        if on.encodes() {
            eventually(|| a.open_channels() == 0 && b.open_channels() == 0).await;
        }
    }
}

async fn promise_11_a_claim_is_tentative_while_a_message_decodes(on: On) {
    // The pitfall: untagged tries the first variant, which claims the ends and fails on its last field.
    #[derive(Serialize, Deserialize)]
    struct Sent {
        stream: ByteStream,
        answer: Sender<u32>,
        numbers: Receiver<u32>,
        last: String,
    }
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Tried {
        First { stream: ByteStream, answer: Sender<String>, numbers: Receiver<u32>, last: u32 },
        Second { stream: ByteStream, answer: Sender<u32>, numbers: Receiver<u32>, last: String },
    }
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let options = || SessionOptions::new().codecs([codec.clone()]);
        let (a, b) = on.pair_with(options(), options()).await;
        let (sender, receiver) = mismatched::<Sent, Tried>(&a, &b).await;
        let (answer, answers) = pipe();
        let (feed, numbers) = pipe();
        let (mut here, stream) = ByteStream::pair();
        put(&sender, Sent { stream, answer, numbers, last: "text".to_owned() }).await;
        put(&feed, 4).await;
        soon(here.write_all(b"!")).await.unwrap();
        let Tried::Second { mut stream, answer, numbers, last } = get(&receiver).await else {
            panic!("the first variant")
        };
        assert_eq!(last, "text");
        assert_eq!(soon(stream.read_u8()).await.unwrap(), b'!');
        put(&answer, get(&numbers).await).await;
        assert_eq!(get(&answers).await, 4);
    }
}

async fn promise_11_an_end_of_another_kind_is_an_error(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = mismatched::<Sender<u32>, Receiver<u32>>(&a, &b).await;
    let (answer, answers) = pipe();
    put(&sender, answer).await;
    let text = decode_text(fail(&receiver).await);
    assert!(text.contains("Sender") && text.contains("Receiver"), "{text}");
    assert!(!matches!(soon(answers.recv()).await, Ok(Some(_))));
    let (sender, receiver) = mismatched::<ByteStream, Sender<u32>>(&a, &b).await;
    let (mut here, stream) = ByteStream::pair();
    put(&sender, stream).await;
    let text = decode_text(fail(&receiver).await);
    assert!(text.contains("ByteStream") && text.contains("Sender"), "{text}");
    let mut rest = Vec::new();
    let _ = soon(here.read_to_end(&mut rest)).await;
    // A number where an end is expected, and an end where a number is.
    let (sender, receiver) = mismatched::<u32, Sender<u32>>(&a, &b).await;
    put(&sender, 0).await;
    decode_text(fail(&receiver).await);
    let (sender, receiver) = mismatched::<Sender<u32>, u32>(&a, &b).await;
    let (answer, answers) = pipe();
    put(&sender, answer).await;
    decode_text(fail(&receiver).await);
    assert!(!matches!(soon(answers.recv()).await, Ok(Some(_))));
}

async fn promise_11_a_nested_channel_of_another_type_is_errors_of_its_messages(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = mismatched::<Receiver<String>, Receiver<u32>>(&a, &b).await;
    let (words, spoken) = pipe();
    put(&sender, spoken).await;
    put(&words, "one".to_owned()).await;
    let numbers = get(&receiver).await;
    decode_text(fail(&numbers).await);
    drop(words);
    end(&numbers).await;
}

/// A codec that only one side knows.
fn private() -> AnyCodec {
    AnyCodec::custom(JsonPlugin { id: 201, placeholder: Placeholder::Map }).unwrap()
}

async fn promise_11_an_unknown_codec_is_one_error(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = mismatched::<Raw, u32>(&a, &b).await;
    put(&sender, Raw::encode(&1u32, private()).unwrap()).await;
    put(&sender, Raw::encode(&2u32, AnyCodec::json()).unwrap()).await;
    let text = decode_text(fail(&receiver).await);
    assert!(text.contains("201"), "{text}");
    // Another codec than the session's is fine: every message names its own.
    assert_eq!(get(&receiver).await, 2);
    drop(sender);
    end(&receiver).await;
}

async fn promise_11_an_unknown_codec_closes_what_the_message_carries(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = mismatched::<Raw, Full>(&a, &b).await;
    let (message, stayed) = full(1);
    put(&sender, Raw::encode(&message, private()).unwrap()).await;
    drop(message);
    decode_text(fail(&receiver).await);
    stayed.are_closed().await;
}

async fn promise_11_bytes_that_are_no_message_are_one_error(on: On) {
    let (a, b) = on.pair().await;
    let options = || SessionOptions::new().codecs([AnyCodec::raw()]);
    let (c, d) = on.pair_with(options(), options()).await;
    drop((a, b));
    // Raw bytes claim nothing: a struct cannot be read from them.
    let (sender, receiver) = mismatched::<Vec<u8>, Job>(&c, &d).await;
    let mut rng = Rng::new("garbage");
    for size in [0, 1, 2, 5, 100, 5_000] {
        put(&sender, (0..size).map(|_| rng.next() as u8).collect()).await;
        decode_text(fail(&receiver).await);
    }
    drop(sender);
    end(&receiver).await;
}

async fn promise_11_an_error_in_the_users_deserialize_is_one_error(on: On) {
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "u32")]
    struct Small(u32);
    impl TryFrom<u32> for Small {
        type Error = String;
        fn try_from(number: u32) -> Result<Self, String> {
            if number < 10 { Ok(Self(number)) } else { Err(format!("{number} is too large")) }
        }
    }
    let (a, b) = on.pair().await;
    let (sender, receiver) = mismatched::<u32, Small>(&a, &b).await;
    for number in [3, 30, 4] {
        put(&sender, number).await;
    }
    assert_eq!(get(&receiver).await.0, 3);
    let text = decode_text(fail(&receiver).await);
    assert!(text.contains("30 is too large"), "{text}");
    assert_eq!(get(&receiver).await.0, 4);
}

libchan_tests::contract! {
    promise_11_a_message_of_another_type_is_one_error,
    promise_11_a_decode_error_still_frees_the_room,
    promise_15_a_mismatch_names_both_outermost_shapes,
    promise_11_what_is_left_unclaimed_is_closed,
    promise_11_what_was_claimed_before_the_failure_is_closed,
    promise_11_a_claim_is_tentative_while_a_message_decodes,
    promise_11_an_end_of_another_kind_is_an_error,
    promise_11_a_nested_channel_of_another_type_is_errors_of_its_messages,
    promise_11_an_error_in_the_users_deserialize_is_one_error,
}

mod remote {
    use super::*;
    libchan_tests::contract_links! {
        promise_11_an_unknown_codec_is_one_error,
        promise_11_an_unknown_codec_closes_what_the_message_carries,
        promise_11_bytes_that_are_no_message_are_one_error,
    }
}
