//! Promise 4, seen by who asks: a call that has no answer says why, in one error, and whether asking again does nothing twice.
//! Each row of the table of ends has its case.

use std::pin::{Pin, pin};
use std::time::Duration;

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

#[derive(Serialize, Deserialize)]
struct Ask {
    number: u32,
    reply: oneshot::Sender<u32>,
}

/// What a service names that knows of no reply.
#[derive(Serialize, Deserialize)]
struct Number {
    number: u32,
}

/// What a service names that expects something else.
#[derive(Serialize, Deserialize)]
struct Other {
    text: String,
}

/// What a peer names that knows of no oneshot.
#[derive(Serialize, Deserialize)]
struct Plain {
    number: u32,
    reply: Sender<u32>,
}

fn ask(number: u32) -> impl FnOnce(oneshot::Sender<u32>) -> Ask {
    move |reply| Ask { number, reply }
}

/// A call on its way.
fn calling(requests: &Sender<Ask>, number: u32) -> JoinHandle<Result<u32, CallError<Ask>>> {
    let requests = requests.clone();
    tokio::spawn(async move { requests.call(ask(number)).await })
}

/// The call waits for its answer, and its request is with the peer.
async fn arrived(session: &Session, call: Pin<&mut Call<'_, Ask, u32>>) {
    assert!(poll_once(call).await.is_none(), "nobody has answered");
    soon(session.flush()).await.unwrap();
}

async fn failure(calling: JoinHandle<Result<u32, CallError<Ask>>>) -> CallError<()> {
    soon(calling).await.unwrap().expect_err("an answer").without_request()
}

async fn promise_04_a_call_has_its_answer(on: On) {
    for capacity in [0, 1, 64] {
        let (a, b) = on.pair().await;
        let (requests, served) = channel::<Ask>(&a, &b, capacity).await;
        let serving = tokio::spawn(async move {
            while let Some(ask) = soon(served.recv()).await.unwrap() {
                ask.reply.send(ask.number * 2).unwrap();
            }
        });
        for number in 0..20 {
            assert_eq!(soon(requests.call(ask(number))).await.unwrap(), number * 2);
        }
        drop(requests);
        soon(serving).await.unwrap();
    }
}

async fn promise_04_a_plain_sender_in_the_peers_struct_answers_a_call(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Raw>(&a, &b, 4).await;
    let serving = tokio::spawn(async move {
        let first: Plain = get(&served).await.decode().unwrap();
        put(&first.reply, first.number).await;
        // However cleanly it ends: there was no value.
        let second: Plain = get(&served).await.decode().unwrap();
        second.reply.close();
    });
    for number in [7, 8] {
        let (reply, answer) = oneshot::channel::<u32>();
        put(&requests, Raw::encode(&Ask { number, reply }, AnyCodec::msgpack()).unwrap()).await;
        match soon(answer).await {
            Ok(answered) => assert_eq!((number, answered), (7, 7)),
            Err(error) => assert_eq!((number, error.cut()), (8, Some(Cut::NoReply))),
        }
    }
    soon(serving).await.unwrap();
}

async fn promise_04_refused(on: On) {
    let (a, b) = on.pair().await;
    let requests = a.open::<Ask>("refused").unwrap();
    let mut call = pin!(requests.call(ask(1)));
    arrived(&a, call.as_mut()).await;
    let incoming = soon(b.accept()).await.unwrap().unwrap();
    incoming.refuse(RemoteError::new(7, "not here"));
    let error = soon(call).await.unwrap_err();
    assert!(error.is_safe_to_retry(), "{error:?}");
    let closed = soon(requests.closed()).await;
    assert!(matches!(&closed, Closed::Refused(why) if why.code() == Some(7)), "{closed:?}");
    let later = soon(requests.call(ask(2))).await.unwrap_err();
    assert!(matches!(later, CallError::NotSent(_)) && later.is_safe_to_retry(), "{later:?}");
    assert_eq!(later.into_request().unwrap().number, 2, "it never left");
}

async fn promise_04_nobody_accepts(on: On) {
    let (a, b) = on.pair().await;
    let requests = a.open::<Ask>("dropped").unwrap();
    let mut call = pin!(requests.call(ask(1)));
    arrived(&a, call.as_mut()).await;
    let incoming = soon(b.accept()).await.unwrap().unwrap();
    drop(incoming);
    let error = soon(call).await.unwrap_err();
    assert!(error.is_safe_to_retry(), "{error:?}");
}

async fn promise_04_not_decoded(on: On) {
    let (a, b) = on.pair().await;
    let requests = a.open::<Ask>("another type").unwrap();
    let served = soon(b.accept()).await.unwrap().unwrap().receive::<Other>();
    let call = calling(&requests, 1);
    assert!(matches!(fail(&served).await, RecvError::Decode(_)));
    let error = failure(call).await;
    assert!(matches!(error, CallError::NotDecoded(_)) && error.is_safe_to_retry(), "{error:?}");
    assert!(error.to_string().contains("text"), "it names what was missing: {error}");
}

async fn promise_04_unclaimed(on: On) {
    let (a, b) = on.pair().await;
    let requests = a.open::<Ask>("no place for a reply").unwrap();
    let served = soon(b.accept()).await.unwrap().unwrap().receive::<Number>();
    let call = calling(&requests, 7);
    assert_eq!(get(&served).await.number, 7);
    let error = failure(call).await;
    assert!(matches!(error, CallError::Unclaimed(_)) && !error.is_safe_to_retry(), "{error:?}");
}

async fn promise_04_panicked(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 4).await;
    let call = calling(&requests, 1);
    let taken = get(&served).await;
    let handler = tokio::spawn(async move {
        let _taken = taken;
        panic!("on purpose");
    });
    assert!(soon(handler).await.is_err());
    let error = failure(call).await;
    assert!(matches!(error, CallError::Panicked(_)) && !error.is_safe_to_retry(), "{error:?}");
}

async fn promise_04_no_reply(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 4).await;
    let call = calling(&requests, 1);
    drop(get(&served).await);
    let error = failure(call).await;
    assert!(matches!(error, CallError::NoReply(_)) && !error.is_safe_to_retry(), "{error:?}");
}

async fn promise_04_answered_with_an_error(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 4).await;
    let call = calling(&requests, 1);
    get(&served).await.reply.fail(RemoteError::new(3, "no such number"));
    let error = failure(call).await;
    let CallError::Remote(said) = &error else { panic!("{error:?}") };
    assert_eq!((said.code(), said.text(), error.is_safe_to_retry()), (Some(3), "no such number", false));
}

async fn promise_04_who_gives_up_is_seen(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 4).await;
    let call = calling(&requests, 1);
    let taken = get(&served).await;
    assert!(!taken.reply.is_closed());
    call.abort();
    soon(taken.reply.closed()).await;
    assert!(taken.reply.send(1).is_err());
}

async fn promise_04_a_call_ends_in_time(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 4).await;
    let error = soon(requests.call(ask(1)).within(Duration::from_millis(30))).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { sent: true }) && !error.is_safe_to_retry(), "{error:?}");
    soon(get(&served).await.reply.closed()).await;
}

async fn promise_04_dropped_unread(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 64).await;
    let mut calls: Vec<_> = (0..5).map(|number| Box::pin(requests.call(ask(number)))).collect();
    for call in &mut calls {
        arrived(&a, call.as_mut()).await;
    }
    let taken = get(&served).await;
    assert_eq!(taken.number, 0);
    served.close_with("enough");
    taken.reply.send(70).unwrap();
    for (number, call) in calls.into_iter().enumerate() {
        match soon(call).await {
            Ok(answer) => assert_eq!((number, answer), (0, 70)),
            Err(error) => assert!(number > 0 && error.is_safe_to_retry(), "{error:?}"),
        }
    }
}

async fn promise_04_the_link_is_lost(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 4).await;
    let call = calling(&requests, 1);
    let _taken = get(&served).await;
    b.abort();
    let error = failure(call).await;
    let CallError::Disconnected(loss) = &error else { panic!("{error:?}") };
    assert!(loss.session_error().is_some() && !error.is_safe_to_retry(), "{error}");
    assert!(std::error::Error::source(&error).is_some_and(|source| source.is::<SessionError>()));
}

async fn promise_13_a_session_that_closes_says_so_to_a_call(on: On) {
    for server_closes in [true, false] {
        let (a, b) = on.pair().await;
        let (requests, served) = channel::<Ask>(&a, &b, 4).await;
        let call = calling(&requests, 1);
        let taken = get(&served).await;
        let closes = if server_closes { b } else { a };
        soon(closes.close()).await.unwrap();
        let error = failure(call).await;
        assert!(matches!(error, CallError::SessionClosed(_)) && !error.is_safe_to_retry(), "{error:?}");
        drop(taken);
    }
}

async fn promise_13_what_a_leaving_side_has_not_taken_was_not_delivered(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Ask>(&a, &b, 64).await;
    let calls = [calling(&requests, 1), calling(&requests, 2)];
    for call in &calls {
        assert!(!call.is_finished());
    }
    let taken = get(&served).await;
    soon(a.flush()).await.unwrap();
    let drained = tokio::spawn(b.drain(Duration::from_secs(20)));
    soon(a.going()).await;
    // What is at work finishes.
    taken.reply.send(5).unwrap();
    let [first, second] = calls;
    let mut errors = Vec::new();
    for call in [first, second] {
        match soon(call).await.unwrap() {
            Ok(answer) => assert_eq!(answer, 5),
            Err(error) => errors.push(error),
        }
    }
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.is_safe_to_retry(), "{error:?}");
    end(&served).await;
    let late = soon(requests.call(ask(3))).await.unwrap_err();
    assert!(late.is_safe_to_retry(), "{late:?}");
    drop((requests, served));
    soon(drained).await.unwrap().unwrap();
    soon(a.closed()).await.unwrap();
}

libchan_tests::contract! {
    promise_04_a_call_has_its_answer,
    promise_04_a_plain_sender_in_the_peers_struct_answers_a_call,
    promise_04_refused,
    promise_04_nobody_accepts,
    promise_04_panicked,
    promise_04_no_reply,
    promise_04_answered_with_an_error,
    promise_04_who_gives_up_is_seen,
    promise_04_a_call_ends_in_time,
    promise_04_dropped_unread,
}

mod remote {
    use super::*;
    libchan_tests::contract_links! {
        promise_04_not_decoded,
        promise_04_unclaimed,
        promise_04_the_link_is_lost,
        promise_13_a_session_that_closes_says_so_to_a_call,
        promise_13_what_a_leaving_side_has_not_taken_was_not_delivered,
    }
}
