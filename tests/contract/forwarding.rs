//! Promise 9, forwarding without knowing the type: `copy` and `Raw`.

use std::pin::pin;

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Request {
    number: u32,
    reply: Sender<u32>,
    input: ByteStream,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    topic: String,
    body: Raw,
}

/// Serves requests: reads the input to its end and answers with the number and the input's length. Says how many there were,
/// and how they ended.
async fn serve(requests: Receiver<Request>) -> (u32, Result<(), RecvError>) {
    let mut served = 0;
    loop {
        let mut request = match soon(requests.recv()).await {
            Ok(Some(request)) => request,
            Ok(None) => return (served, Ok(())),
            Err(error) => return (served, Err(error)),
        };
        let mut input = Vec::new();
        soon(request.input.read_to_end(&mut input)).await.unwrap();
        put(&request.reply, request.number * 1000 + input.len() as u32).await;
        served += 1;
    }
}

async fn ask(requests: &Sender<Request>, number: u32) {
    let (reply, answer) = pipe();
    let (mut here, input) = ByteStream::pair();
    put(requests, Request { number, reply, input }).await;
    soon(here.write_all(&vec![1; number as usize])).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    drop(here);
    assert_eq!(get(&answer).await, number * 1001);
    end(&answer).await;
}

async fn promise_09_copy_forwards_everything_type_blind(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let requests = a.open::<Request>("requests").unwrap();
    // The gateway: it knows no type.
    let from = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    let to = c.open::<Raw>("requests").unwrap();
    let copying = tokio::spawn(copy(from, to));
    let served = tokio::spawn(serve(soon(d.accept()).await.unwrap().unwrap().receive()));
    for number in 0..8 {
        ask(&requests, number).await;
    }
    drop(requests);
    assert_eq!(soon(copying).await.unwrap(), Ok(8));
    assert_eq!(soon(served).await.unwrap(), (8, Ok(())));
}

async fn promise_09_copy_forwards_typed(on: On) {
    let (a, b) = on.pair().await;
    let (requests, from) = channel::<Request>(&a, &b, 4).await;
    let (to, inner) = pipe_with(2);
    let copying = tokio::spawn(copy(from, to));
    let served = tokio::spawn(serve(inner));
    for number in 0..5 {
        ask(&requests, number).await;
    }
    requests.close_with("done");
    let error = soon(copying).await.unwrap().unwrap_err();
    assert_eq!(error, CopyError::Receive(RecvError::Remote("done".into())));
    // The destination ends as its source did.
    let ended = Err(RecvError::Remote("done".into()));
    assert_eq!(soon(served).await.unwrap(), (5, ended));
}

async fn promise_09_copy_closes_nothing_it_was_not_given(on: On) {
    let (a, b) = on.pair().await;
    let (source, from) = channel::<u32>(&a, &b, 4).await;
    let (to, receiver) = channel::<u32>(&b, &a, 4).await;
    let kept = to.clone();
    let copying = tokio::spawn(copy(from, to));
    put(&source, 1).await;
    drop(source);
    assert_eq!(soon(copying).await.unwrap(), Ok(1));
    put(&kept, 2).await;
    assert_eq!((get(&receiver).await, get(&receiver).await), (1, 2));
    drop(kept);
    end(&receiver).await;
}

async fn promise_09_copy_stops_when_the_destination_does(on: On) {
    let (a, b) = on.pair().await;
    let (source, from) = channel::<u32>(&a, &b, 4).await;
    let (to, receiver) = channel::<u32>(&b, &a, 4).await;
    let copying = tokio::spawn(copy(from, to));
    put(&source, 1).await;
    assert_eq!(get(&receiver).await, 1);
    receiver.close_with("enough");
    let error = soon(copying).await.unwrap().unwrap_err();
    assert_eq!(error, CopyError::Send(SendFailure::Closed(Closed::Refused("enough".into()))));
    assert_eq!(soon(source.closed()).await, Closed::Dropped);
}

async fn promise_09_copy_holds_nothing_in_between(on: On) {
    // The destination has room for one: of the source's messages only that one leaves.
    let (a, b) = on.pair().await;
    let (source, from) = channel::<u32>(&a, &b, 8).await;
    let (to, receiver) = pipe_with::<u32>(1);
    let kept = from.clone();
    let copying = tokio::spawn(copy(from, to));
    for number in 0..3 {
        put(&source, number).await;
    }
    eventually(|| receiver.len() == 1).await;
    yields().await;
    copying.abort();
    let _ = copying.await;
    assert_eq!(get(&receiver).await, 0);
    end(&receiver).await;
    assert_eq!((get(&kept).await, get(&kept).await), (1, 2));
}

async fn promise_09_a_bad_message_passes_a_gateway_and_is_one_error_at_the_end(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let words = a.open::<String>("numbers").unwrap();
    let from = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    let copying = tokio::spawn(copy(from, c.open::<Raw>("numbers").unwrap()));
    let numbers = soon(d.accept()).await.unwrap().unwrap().receive::<u32>();
    put(&words, "no number".to_owned()).await;
    assert!(matches!(fail(&numbers).await, RecvError::Decode(_)));
    drop(words);
    end(&numbers).await;
    assert_eq!(soon(copying).await.unwrap(), Ok(1));
}

async fn promise_10_a_message_too_large_for_the_next_link_is_not_forwarded(on: On) {
    let (a, b) = on.pair().await;
    let limits = Limits { max_message: 1_000, ..Limits::default() };
    let (c, d) = on.pair_with(SessionOptions::new().limits(limits), SessionOptions::new()).await;
    for by_copy in [true, false] {
        let (sender, receiver) = if by_copy {
            let sender = a.open::<Vec<u8>>("bytes").unwrap();
            let from = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
            tokio::spawn(copy(from, c.open::<Raw>("bytes").unwrap()));
            (sender, soon(d.accept()).await.unwrap().unwrap().receive::<Vec<u8>>())
        } else {
            let (ship, shipped) = channel(&a, &b, 1).await;
            let (ship_on, arrived) = channel(&c, &d, 1).await;
            let (sender, receiver) = pipe::<Vec<u8>>();
            put(&ship, receiver).await;
            put::<Receiver<Vec<u8>>>(&ship_on, get(&shipped).await).await;
            (sender, get(&arrived).await)
        };
        put(&sender, vec![1; 10]).await;
        put(&sender, vec![2; 2_000]).await;
        put(&sender, vec![3; 10]).await;
        assert_eq!(get(&receiver).await, [1; 10]);
        let error = fail(&receiver).await;
        assert!(matches!(error, RecvError::NotForwarded(_)), "{error:?}");
        assert!(!error.is_end());
        assert_eq!(get(&receiver).await, [3; 10]);
        drop(sender);
        end(&receiver).await;
    }
}

async fn promise_10_a_descriptor_that_the_next_link_cannot_carry_is_not_forwarded(on: On) {
    if !on.passes_descriptors() {
        return;
    }
    let (a, b) = on.pair().await;
    let (c, d) = On::Tcp.pair().await;
    let sender = a.open::<Option<Fd>>("descriptors").unwrap();
    let from = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    let copying = tokio::spawn(copy(from, c.open::<Raw>("descriptors").unwrap()));
    let receiver = soon(d.accept()).await.unwrap().unwrap().receive::<Option<Fd>>();
    put(&sender, Some(std::fs::File::open("/").unwrap().into())).await;
    put(&sender, None).await;
    assert!(matches!(fail(&receiver).await, RecvError::NotForwarded(_)));
    assert!(get(&receiver).await.is_none());
    drop(sender);
    end(&receiver).await;
    assert_eq!(soon(copying).await.unwrap(), Ok(2));
}

async fn promise_09_raw_is_looked_at_and_decoded(on: On) {
    let (a, b) = on.pair().await;
    let requests = a.open::<Request>("requests").unwrap();
    let raws = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    let (reply, answers) = pipe();
    let (_here, input) = ByteStream::pair();
    put(&requests, Request { number: 3, reply, input }).await;
    let raw = get(&raws).await;
    assert_eq!((raw.codec(), raw.attachments()), (CodecId::MSGPACK, 2));
    assert!(!raw.payload().is_empty());
    let request: Request = raw.decode().unwrap();
    put(&request.reply, request.number).await;
    assert_eq!(get(&answers).await, 3);
}

async fn promise_09_raw_that_is_dropped_closes_what_it_carries(on: On) {
    let (a, b) = on.pair().await;
    let requests = a.open::<Request>("requests").unwrap();
    let raws = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    let (reply, answers) = pipe();
    let (mut here, input) = ByteStream::pair();
    put(&requests, Request { number: 3, reply, input }).await;
    drop(get(&raws).await);
    assert!(!matches!(soon(answers.recv()).await, Ok(Some(_))));
    let mut rest = Vec::new();
    let _ = soon(here.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
}

async fn promise_09_an_envelope_is_routed_without_knowing_what_is_in_it(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (envelopes, routed) = channel::<Envelope>(&a, &b, 4).await;
    let (route, arrived) = channel::<Envelope>(&c, &d, 4).await;
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let (reply, answers) = pipe();
        let (mut here, input) = ByteStream::pair();
        let body = Raw::encode(&Request { number: 7, reply, input }, codec.clone()).unwrap();
        put(&envelopes, Envelope { topic: "sevens".to_owned(), body }).await;
        // The router.
        let envelope = get(&routed).await;
        assert_eq!(envelope.topic, "sevens");
        put(&route, envelope).await;
        let envelope = get(&arrived).await;
        assert_eq!((envelope.body.codec(), envelope.body.attachments()), (codec.id(), 2));
        let mut request: Request = envelope.body.decode().unwrap();
        soon(here.write_all(b"in")).await.unwrap();
        soon(here.shutdown()).await.unwrap();
        drop(here);
        let mut input = String::new();
        soon(request.input.read_to_string(&mut input)).await.unwrap();
        assert_eq!((request.number, input.as_str()), (7, "in"));
        put(&request.reply, 70).await;
        assert_eq!(get(&answers).await, 70);
    }
}

async fn promise_09_a_sender_goes_home_inside_a_raw(on: On) {
    // An end on its way home, forwarded undecoded.
    let (a, b) = on.pair().await;
    let there = a.open::<Sender<u32>>("there").unwrap();
    let raws = soon(b.accept()).await.unwrap().unwrap().receive::<Raw>();
    let back = b.open::<Raw>("back").unwrap();
    let home = soon(a.accept()).await.unwrap().unwrap().receive::<Sender<u32>>();
    let (sender, receiver) = pipe::<u32>();
    put(&there, sender).await;
    put(&back, get(&raws).await).await;
    let sender = get(&home).await;
    for number in 0..5 {
        put(&sender, number).await;
        assert_eq!(get(&receiver).await, number);
    }
    drop(sender);
    end(&receiver).await;
}

async fn promise_09_backpressure_passes_a_gateway(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (near, far) = (Probe::new(&a, &b).await, Probe::new(&c, &d).await);
    let (sender, from) = channel::<u32>(&a, &b, 2).await;
    let (to, receiver) = channel::<u32>(&c, &d, 3).await;
    tokio::spawn(copy(from, to));
    let mut sent = 0;
    loop {
        let mut sending = pin!(sender.send(sent));
        let mut done = poll_once(sending.as_mut()).await.is_some();
        for _ in 0..3 {
            if !done {
                near.settle().await;
                far.settle().await;
                done = poll_once(sending.as_mut()).await.is_some();
            }
        }
        if !done {
            break;
        }
        sent += 1;
        assert!(sent <= 6, "a gateway takes more than its two channels hold");
    }
    // Two wait before the gateway and three behind it; the gateway itself holds a place, not a message.
    assert_eq!(sent, 5);
    for number in 0..5 {
        assert_eq!(get(&receiver).await, number);
    }
}

libchan_tests::contract! {
    promise_09_copy_forwards_everything_type_blind,
    promise_02_a_relayed_sender_has_room_again,
    promise_09_copy_forwards_typed,
    promise_09_copy_closes_nothing_it_was_not_given,
    promise_09_copy_stops_when_the_destination_does,
    promise_09_copy_holds_nothing_in_between,
    promise_09_a_bad_message_passes_a_gateway_and_is_one_error_at_the_end,
    promise_10_a_descriptor_that_the_next_link_cannot_carry_is_not_forwarded,
    promise_09_raw_is_looked_at_and_decoded,
    promise_09_raw_that_is_dropped_closes_what_it_carries,
    promise_09_an_envelope_is_routed_without_knowing_what_is_in_it,
    promise_09_a_sender_goes_home_inside_a_raw,
    promise_09_backpressure_passes_a_gateway,
}

mod remote {
    use super::promise_10_a_message_too_large_for_the_next_link_is_not_forwarded;
    libchan_tests::contract_links! { promise_10_a_message_too_large_for_the_next_link_is_not_forwarded }
}

/// A sender that arrived in a `Raw` and is claimed under its type later has room again as the far receiver takes.
async fn promise_02_a_relayed_sender_has_room_again(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (envelopes, opened) = channel::<Envelope>(&a, &b, 4).await;
    let (onward, at_d) = channel::<Envelope>(&c, &d, 4).await;
    let (rows, found) = pipe_with::<u32>(4);
    let body = Raw::encode(&rows, AnyCodec::msgpack()).unwrap();
    drop(rows);
    put(&envelopes, Envelope { topic: "rows".to_owned(), body }).await;
    let envelope = get(&opened).await;
    put(&onward, envelope).await;
    let rows: Sender<u32> = get(&at_d).await.body.decode().unwrap();
    let reading = tokio::spawn(async move {
        for row in 0..20 {
            assert_eq!(get(&found).await, row);
        }
        end(&found).await;
    });
    for row in 0..20 {
        put(&rows, row).await;
    }
    drop(rows);
    soon(reading).await.unwrap();
}
