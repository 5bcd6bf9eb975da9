//! Promise 10: what cannot be sent fails at `send`, the value comes back whole, the channel stays usable.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use libchan_tests::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A number that refuses to be encoded when it is odd, and panics when it is 1000.
#[derive(Debug, PartialEq)]
struct Even(u32);

impl Serialize for Even {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, 1000, "a panic of the user's");
        if self.0 % 2 == 1 {
            return Err(ser::Error::custom("odd"));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self)
    }
}

#[derive(Serialize, Deserialize)]
struct Load {
    stream: ByteStream,
    reply: Sender<u32>,
    number: Even,
}

async fn promise_10_a_value_that_does_not_encode_comes_back(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [0, 1, 8] {
        let (sender, receiver) = channel::<Even>(&a, &b, capacity).await;
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            while let Some(number) = receiver.recv().await.unwrap() {
                got.push(number.0);
            }
            got
        });
        for number in 0..10 {
            match (soon(sender.send(Even(number))).await, number % 2) {
                (Ok(()), 0) => {}
                (Err(error), 1) => {
                    assert_eq!(error.value, Even(number));
                    assert!(
                        matches!(&error.reason, SendFailure::Encode(text) if text.contains("odd")),
                        "{error:?}"
                    );
                }
                (other, _) => panic!("{number}: {other:?}"),
            }
        }
        drop(sender);
        assert_eq!(soon(reading).await.unwrap(), [0, 2, 4, 6, 8]);
    }
}

async fn promise_10_try_send_and_permits_give_the_value_back_too(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Even>(&a, &b, 1).await;
    let Err(TrySendError::Failed(error)) = sender.try_send(Even(3)) else { panic!("it was sent") };
    assert_eq!(error.value, Even(3));
    for number in [5, 7] {
        let error = soon(sender.reserve()).await.unwrap().send(Even(number)).unwrap_err();
        assert_eq!(error.value, Even(number));
        assert!(matches!(error.reason, SendFailure::Encode(_)));
    }
    // The room is there again.
    sender.try_send(Even(8)).unwrap();
    assert_eq!(get(&receiver).await, Even(8));
}

async fn promise_10_a_message_that_is_too_large_fails_before_a_byte_is_sent(on: On) {
    // Either side's limit counts.
    let small = || SessionOptions::new().limits(Limits { max_message: 5_000, ..Limits::default() });
    for (left, right) in [(small(), SessionOptions::new()), (SessionOptions::new(), small())] {
        let (a, b, switch) = match on {
            On::Wire => {
                let (a, b, switch) = on.switched_with(left, right).await;
                (a, b, Some(switch))
            }
            _ => {
                let (a, b) = on.pair_with(left, right).await;
                (a, b, None)
            }
        };
        let probe = Probe::new(&a, &b).await;
        let (sender, receiver) = channel::<Vec<u8>>(&a, &b, 4).await;
        probe.settle().await;
        let before = switch.as_ref().map(|switch| switch.passed(Way::There));
        let error = refused(&sender, vec![1; 6_000]).await;
        assert_eq!(error.value, vec![1; 6_000]);
        let SendFailure::TooLarge { size, limit: 5_000 } = error.reason else { panic!("{error:?}") };
        assert!((6_000..6_010).contains(&size), "{size}");
        let after = switch.as_ref().map(|switch| switch.passed(Way::There));
        // The probe's credit may still have been on its way.
        let sent = after.zip(before).map_or(0, |(after, before)| after - before);
        assert!(sent < 100, "{sent} bytes were sent");
        put(&sender, vec![2; 4_000]).await;
        assert_eq!(get(&receiver).await, vec![2; 4_000]);
    }
}

async fn promise_10_too_many_attachments_fail(on: On) {
    let options = || SessionOptions::new().limits(Limits { max_attachments: 5, ..Limits::default() });
    let (a, b) = on.pair_with(options(), options()).await;
    let (ship, shipped) = channel::<Vec<Sender<u32>>>(&a, &b, 4).await;
    let (sender, receiver) = pipe::<u32>();
    let (six, kept): (Vec<_>, Vec<_>) = (0..6).map(|_| pipe::<u32>()).unzip();
    let error = refused(&ship, six).await;
    assert_eq!(error.reason, SendFailure::TooManyAttachments { count: 6, limit: 5 });
    let mut five = error.value;
    five.pop();
    put(&ship, five).await;
    for (number, sender) in get(&shipped).await.iter().enumerate() {
        put(sender, number as u32).await;
        assert_eq!(get(&kept[number]).await, number as u32);
    }
    // The same end any number of times is one attachment.
    put(&ship, vec![sender.clone(); 20]).await;
    let clones = get(&shipped).await;
    assert_eq!(clones.len(), 20);
    assert!(clones.iter().all(|clone| clone.same_channel(&clones[0])));
    put(&clones[19], 5).await;
    assert_eq!(get(&receiver).await, 5);
}

async fn promise_10_the_same_end_twice_is_one_attachment_and_clones(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) =
        channel::<(Sender<u32>, Receiver<u32>, Sender<u32>, Receiver<u32>)>(&a, &b, 4).await;
    let before = a.open_channels();
    let (answer, answers) = pipe();
    let (feed, numbers) = pipe();
    put(&ship, (answer.clone(), numbers.clone(), answer, numbers)).await;
    let (one, left, two, right) = get(&shipped).await;
    assert!(one.same_channel(&two) && left.same_channel(&right));
    if on.encodes() {
        assert_eq!(a.open_channels(), before + 2);
    }
    put(&one, 1).await;
    put(&two, 2).await;
    assert_eq!((get(&answers).await, get(&answers).await), (1, 2));
    put(&feed, 1).await;
    put(&feed, 2).await;
    assert_eq!((get(&left).await, get(&right).await), (1, 2));
    drop(one);
    put(&two, 3).await;
    assert_eq!(get(&answers).await, 3);
    drop(two);
    end(&answers).await;
}

/// A stream that can be sent twice, because its owner can be cloned.
struct Shared(Arc<ByteStream>);

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteStream::deserialize(deserializer).map(|stream| Self(Arc::new(stream)))
    }
}

async fn promise_10_a_stream_in_use_fails_at_send(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Shared>(&a, &b, 4).await;
    let (mut here, there) = ByteStream::pair();
    let shared = Arc::new(there);
    put(&ship, Shared(shared.clone())).await;
    for _ in 0..2 {
        let error = refused(&ship, Shared(shared.clone())).await;
        assert_eq!(error.reason, SendFailure::AttachmentInUse);
        assert!(Arc::ptr_eq(&error.value.0, &shared));
    }
    let mut there = Arc::into_inner(get(&shipped).await.0).unwrap();
    soon(here.write_all(b"once")).await.unwrap();
    let mut buffer = [0; 4];
    soon(there.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"once");
    let (other, _keep) = ByteStream::pair();
    put(&ship, Shared(Arc::new(other))).await;
    get(&shipped).await;
}

/// Serialised twice it is one attachment, because a retried serialisation looks the same; claimed twice it is an error.
async fn promise_11_a_stream_claimed_twice_is_an_error(on: On) {
    #[derive(Deserialize)]
    struct Twice(ByteStream, #[expect(dead_code, reason = "it never comes to be")] ByteStream);
    impl Serialize for Twice {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            (&self.0, &self.0).serialize(serializer)
        }
    }
    let (a, b) = on.pair().await;
    let (twice, twices) = channel::<Twice>(&a, &b, 4).await;
    let (mut here, there) = ByteStream::pair();
    let (other, _other) = ByteStream::pair();
    put(&twice, Twice(there, other)).await;
    assert!(matches!(soon(twices.recv()).await, Err(RecvError::Decode(_))));
    let mut rest = Vec::new();
    let _ = soon(here.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
}

async fn promise_10_a_failure_leaves_streams_and_ends_ours(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Load>(&a, &b, 4).await;
    let (mut here, stream) = ByteStream::pair();
    let (reply, answers) = pipe();
    let before = a.open_channels();
    let mut error = refused(&ship, Load { stream, reply, number: Even(1) }).await;
    for _ in 0..3 {
        // Retried, it fails again and leaves no ghost behind.
        error = refused(&ship, error.value).await;
        assert!(matches!(error.reason, SendFailure::Encode(_)));
    }
    assert_eq!(a.open_channels(), before);
    error.value.number = Even(2);
    put(&ship, error.value).await;
    let mut load = get(&shipped).await;
    soon(here.write_all(b"x")).await.unwrap();
    assert_eq!(soon(load.stream.read_u8()).await.unwrap(), b'x');
    put(&load.reply, 4).await;
    assert_eq!(get(&answers).await, 4);
    drop(load);
    end(&answers).await;
}

async fn promise_10_a_queued_value_that_fails_late_is_one_error(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<Even>>(&a, &b, 4).await;
    let (sender, receiver) = pipe_with(8);
    for number in [0, 1, 2, 3, 4] {
        put(&sender, Even(number)).await;
    }
    put(&ship, receiver).await;
    let receiver = get(&shipped).await;
    assert_eq!(get(&receiver).await, Even(0));
    let error = fail(&receiver).await;
    assert!(matches!(&error, RecvError::NotEncoded(text) if text.contains("odd")), "{error:?}");
    assert!(!error.is_end());
    assert_eq!(get(&receiver).await, Even(2));
    assert!(matches!(fail(&receiver).await, RecvError::NotEncoded(_)));
    assert_eq!(get(&receiver).await, Even(4));
    // From now on it fails at send.
    assert_eq!(refused(&sender, Even(5)).await.value, Even(5));
    drop(sender);
    end(&receiver).await;
}

async fn promise_10_a_waiting_rendezvous_that_fails_late_has_its_value_back(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<Even>>(&a, &b, 4).await;
    let (sender, receiver) = pipe_with(0);
    let mut sending = pin!(sender.send(Even(7)));
    assert!(poll_once(sending.as_mut()).await.is_none());
    put(&ship, receiver).await;
    let receiver = get(&shipped).await;
    let receiving = tokio::spawn(async move { get(&receiver).await });
    let error = soon(sending).await.unwrap_err();
    assert_eq!(error.value, Even(7));
    assert!(matches!(error.reason, SendFailure::Encode(_)));
    put(&sender, Even(8)).await;
    assert_eq!(soon(receiving).await.unwrap(), Even(8));
}

async fn promise_10_a_panic_while_encoding_harms_nobody_else(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Even>(&a, &b, 2).await;
    let panicking = tokio::spawn({
        let sender = sender.clone();
        async move {
            let _ = sender.send(Even(1000)).await;
        }
    });
    assert!(soon(panicking).await.unwrap_err().is_panic());
    for number in [2, 4, 6] {
        put(&sender, Even(number)).await;
        assert_eq!(get(&receiver).await, Even(number));
    }
    drop(sender);
    // The task that panicked held a sender.
    cut(&receiver, Cut::Panicked).await;
}

thread_local! {
    /// What `Chatty` sends while it is encoded.
    static ASIDE: Cell<Option<(Sender<u32>, Sender<Chatty>)>> = const { Cell::new(None) };
}

struct Chatty(u32, Option<Sender<u32>>);

impl Serialize for Chatty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A whole send on another channel, and one on the very same, in the middle of an encoding.
        if let Some((other, own)) = ASIDE.take() {
            let (inner, _receiver) = pipe();
            other.try_send(self.0 + 1).map_err(ser::Error::custom)?;
            own.try_send(Self(self.0 + 2, Some(inner))).map_err(ser::Error::custom)?;
        }
        (self.0, &self.1).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Chatty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(u32, Option<Sender<u32>>)>::deserialize(deserializer).map(|(number, sender)| Self(number, sender))
    }
}

async fn promise_10_user_code_runs_under_no_lock(on: On) {
    let (a, b) = on.pair().await;
    let (other, others) = channel::<u32>(&a, &b, 4).await;
    let (own, owns) = channel::<Chatty>(&a, &b, 4).await;
    let (sender, receiver) = pipe();
    ASIDE.set(Some((other.clone(), own.clone())));
    put(&own, Chatty(10, Some(sender))).await;
    assert_eq!(get(&others).await, 11);
    let (first, second) = (get(&owns).await, get(&owns).await);
    assert_eq!((first.0, second.0), (12, 10));
    put(&second.1.unwrap(), 5).await;
    assert_eq!(get(&receiver).await, 5);
    assert_eq!(soon(first.1.unwrap().closed()).await, Closed::Dropped);
}

async fn promise_10_an_end_is_serialised_by_sending_it_only(_on: On) {
    let (sender, receiver) = pipe::<u32>();
    for error in [serde_json::to_string(&sender).unwrap_err(), serde_json::to_string(&receiver).unwrap_err()]
    {
        let error = error.to_string();
        assert!(error.contains("can be serialised only by sending it in a message"), "{error}");
    }
    let (stream, _other) = ByteStream::pair();
    assert!(serde_json::to_string(&stream).is_err());
    assert!(serde_json::from_str::<Sender<u32>>(r#"{"$libchan":0}"#).is_err());
    put(&sender, 1).await;
    assert_eq!(get(&receiver).await, 1);
}

/// Encodes the message's own end with another serializer in the middle of the encoding.
struct Aside(Sender<u32>);

impl Serialize for Aside {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // JSON text inside a msgpack message: the codec must come from the scope, so this is no attachment form
        // of msgpack, and whatever it is, it decodes to the same channel or fails here.
        let text = serde_json::to_string(&self.0).map_err(ser::Error::custom)?;
        (text, &self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Aside {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(String, Sender<u32>)>::deserialize(deserializer).map(|(_, sender)| Self(sender))
    }
}

async fn promise_10_another_serializer_in_the_middle_does_no_harm(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Aside>(&a, &b, 4).await;
    let (sender, receiver) = pipe();
    match soon(ship.send(Aside(sender))).await {
        Ok(()) => {
            put(&get(&shipped).await.0, 1).await;
            assert_eq!(get(&receiver).await, 1);
            end(&receiver).await;
        }
        Err(error) => {
            assert!(matches!(error.reason, SendFailure::Encode(_)), "{error:?}");
            put(&error.value.0, 1).await;
            assert_eq!(get(&receiver).await, 1);
        }
    }
}

/// Counts how often it is encoded.
struct Counted(Arc<AtomicU32>);

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        ().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self(Arc::default()))
    }
}

async fn promise_10_a_value_that_waits_for_room_is_encoded_once(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Counted>(&a, &b, 2).await;
    let count = Arc::new(AtomicU32::new(0));
    for _ in 0..2 {
        put(&sender, Counted(count.clone())).await;
    }
    let mut waiting = pin!(sender.send(Counted(count.clone())));
    still_pending(waiting.as_mut()).await;
    let mut withdrawn = Box::pin(sender.send(Counted(count.clone())));
    still_pending(withdrawn.as_mut()).await;
    drop(withdrawn);
    get(&receiver).await;
    soon(waiting).await.unwrap();
    for _ in 0..2 {
        get(&receiver).await;
    }
    // In one process nothing is encoded.
    assert!([0, 4].contains(&count.load(Ordering::Relaxed)), "{count:?}");
    assert_eq!(Arc::strong_count(&count), 1);
}

libchan_tests::contract! {
    promise_10_a_value_that_waits_for_room_is_encoded_once,
    promise_10_the_same_end_twice_is_one_attachment_and_clones,
    promise_10_an_end_is_serialised_by_sending_it_only,
    promise_10_another_serializer_in_the_middle_does_no_harm,
}

mod remote {
    // The memory transport moves values and encodes nothing.
    use super::*;
    libchan_tests::contract_links! {
        promise_10_a_value_that_does_not_encode_comes_back,
        promise_10_try_send_and_permits_give_the_value_back_too,
        promise_10_a_message_that_is_too_large_fails_before_a_byte_is_sent,
        promise_10_too_many_attachments_fail,
        promise_10_a_stream_in_use_fails_at_send,
        promise_11_a_stream_claimed_twice_is_an_error,
        promise_10_a_failure_leaves_streams_and_ends_ours,
        promise_10_a_queued_value_that_fails_late_is_one_error,
        promise_10_a_waiting_rendezvous_that_fails_late_has_its_value_back,
        promise_10_a_panic_while_encoding_harms_nobody_else,
        promise_10_user_code_runs_under_no_lock,
    }
}
