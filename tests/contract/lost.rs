//! Promise 5: link lost or peer dead. Receivers get what had arrived and then an error, never a clean end; every
//! pending send fails, has its value back, and says whether the message may have been taken.

use std::pin::pin;

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Request {
    text: String,
    reply: Sender<u32>,
}

async fn promise_05_what_had_arrived_comes_before_the_error(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 8).await;
    for number in 0..5 {
        put(&sender, number).await;
    }
    probe.settle().await;
    a.abort();
    for number in 0..5 {
        assert_eq!(get(&receiver).await, number);
    }
    assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
    assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
    assert!(matches!(receiver.try_recv(), Err(TryRecvError::Failed(RecvError::Disconnected(_)))));
}

async fn promise_05_a_waiting_recv_is_told(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 8).await;
    let waiting = tokio::spawn(async move { (receiver.recv().await, receiver) });
    yields().await;
    b.abort();
    let (result, _receiver) = soon(waiting).await.unwrap();
    assert!(matches!(result, Err(RecvError::Disconnected(_))));
    assert!(matches!(soon(sender.closed()).await, Closed::Disconnected(_)));
}

async fn promise_05_pending_sends_have_their_values_back(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<String>(&a, &b, 1).await;
    put(&sender, "first".to_owned()).await;
    let mut pending = pin!(sender.send("second".to_owned()));
    still_pending(pending.as_mut()).await;
    b.abort();
    let error = soon(pending).await.unwrap_err();
    assert_eq!(error.value, "second");
    assert!(matches!(error.reason, SendFailure::Disconnected { outcome_unknown: false, .. }));
    let error = refused(&sender, "third".to_owned()).await;
    assert_eq!(error.value, "third");
    assert!(matches!(error.reason, SendFailure::Disconnected { outcome_unknown: false, .. }));
    assert!(sender.reserve().await.is_err_and(|closed| matches!(closed, Closed::Disconnected(_))));
    drop(receiver);
}

async fn promise_05_a_rendezvous_that_had_left_may_have_been_taken(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<Request>(&a, &b, 0).await;
    {
        // Asks and leaves: the value arrives with nobody to take it.
        let mut asking = pin!(receiver.recv());
        assert!(poll_once(asking.as_mut()).await.is_none());
        probe.settle().await;
    }
    let (reply, answers) = pipe();
    let mut pending = pin!(sender.send(Request { text: "mine".to_owned(), reply }));
    assert!(poll_once(pending.as_mut()).await.is_none());
    probe.settle().await;
    a.abort();
    let error = soon(pending).await.unwrap_err();
    assert!(matches!(error.reason, SendFailure::Disconnected { outcome_unknown: true, .. }));
    assert_eq!(error.value.text, "mine");
    // It was not taken: once the loss is known there, it is discarded.
    assert!(soon(b.closed()).await.is_err());
    assert!(matches!(soon(receiver.recv()).await, Err(RecvError::Disconnected(_))));
    // The ends in it are good clones.
    put(&error.value.reply, 9).await;
    assert_eq!(get(&answers).await, 9);
}

async fn promise_05_a_rendezvous_that_never_left_was_not_taken(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    let mut pending = pin!(sender.send(5));
    still_pending(pending.as_mut()).await;
    probe.settle().await;
    b.abort();
    let error = soon(pending).await.unwrap_err();
    assert!(matches!(
        (error.value, error.reason),
        (5, SendFailure::Disconnected { outcome_unknown: false, .. })
    ));
    assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
}

async fn promise_05_with_other_senders_the_error_comes_after_them(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&b, &a, 1).await;
    let (home, receiver) = pipe::<u32>();
    put(&ship, home.clone()).await;
    let away = get(&shipped).await;
    put(&away, 1).await;
    assert_eq!(get(&receiver).await, 1);
    a.abort();
    assert!(matches!(soon(away.closed()).await, Closed::Disconnected(_)));
    assert!(soon(b.closed()).await.is_err());
    for number in 2..5 {
        put(&home, number).await;
        assert_eq!(get(&receiver).await, number);
    }
    drop(home);
    assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
}

async fn promise_05_both_ends_of_a_nested_channel_are_told(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Request>(&a, &b, 4).await;
    let (reply, answers) = pipe::<u32>();
    put(&requests, Request { text: String::new(), reply }).await;
    let request = get(&served).await;
    put(&request.reply, 1).await;
    assert_eq!(get(&answers).await, 1);
    b.abort();
    assert!(matches!(fail(&answers).await, RecvError::Disconnected(_)));
    assert!(matches!(soon(request.reply.closed()).await, Closed::Disconnected(_)));
    let error = refused(&request.reply, 2).await;
    assert!(matches!(
        (error.value, error.reason),
        (2, SendFailure::Disconnected { outcome_unknown: false, .. })
    ));
}

async fn promise_05_a_stream_that_was_cut_never_looks_complete(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
    let (mut here, there) = ByteStream::pair();
    put(&ship, there).await;
    let mut there = get(&shipped).await;
    soon(here.write_all(b"half of it")).await.unwrap();
    probe.settle().await;
    a.abort();
    let mut got = Vec::new();
    let error = soon(there.read_to_end(&mut got)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(b"half of it".starts_with(&got));
    let error = soon(here.read_to_end(&mut got)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

async fn promise_05_the_session_itself_says_it_is_lost(on: On) {
    let (a, b) = on.pair().await;
    let accepting = tokio::spawn({
        let b = b.clone();
        async move { b.accept().await }
    });
    yields().await;
    a.abort();
    let why = soon(b.closed()).await.unwrap_err();
    assert!(matches!(why, SessionError::Lost | SessionError::Link(_)), "{why:?}");
    assert_eq!(soon(accepting).await.unwrap().unwrap_err(), why);
    assert!(matches!(b.open::<u32>("late"), Err(OpenError::SessionOver(error)) if error == why));
    assert!(soon(b.accept()).await.is_err());
    assert!(soon(a.closed()).await.is_err());
    assert!(matches!(a.open::<u32>("late"), Err(OpenError::SessionOver(_))));
}

async fn promise_05_a_relay_passes_the_loss_on(on: On) {
    for first in [true, false] {
        let (a, b) = on.pair().await;
        let (c, d) = on.pair().await;
        let (ship, shipped) = channel(&a, &b, 1).await;
        let (ship_on, arrived) = channel(&c, &d, 1).await;
        let (sender, receiver) = pipe_with::<u32>(4);
        put(&ship, receiver).await;
        put(&ship_on, get(&shipped).await).await;
        let receiver: Receiver<u32> = get(&arrived).await;
        put(&sender, 1).await;
        assert_eq!(get(&receiver).await, 1);
        if first {
            a.abort()
        } else {
            d.abort()
        }
        assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
        assert!(matches!(soon(sender.closed()).await, Closed::Disconnected(_)));
    }
}

async fn promise_05_ends_on_another_session_live_on(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (one, at_b) = channel::<u32>(&a, &b, 4).await;
    let (two, at_d) = channel::<u32>(&c, &d, 4).await;
    a.abort();
    assert!(matches!(fail(&at_b).await, RecvError::Disconnected(_)));
    soon(one.closed()).await;
    put(&two, 1).await;
    assert_eq!(get(&at_d).await, 1);
    drop(two);
    end(&at_d).await;
}

async fn promise_05_an_undelivered_message_takes_its_ends_with_it(on: On) {
    let (a, b) = on.pair().await;
    let (requests, served) = channel::<Request>(&a, &b, 4).await;
    let (reply, answers) = pipe::<u32>();
    put(&requests, Request { text: String::new(), reply }).await;
    b.abort();
    assert!(matches!(fail(&answers).await, RecvError::Disconnected(_)));
    soon(requests.closed()).await;
    // Whether it had arrived or not: the end of the served channel is the error, not a hang.
    match soon(served.recv()).await {
        Ok(Some(request)) => assert!(matches!(soon(request.reply.closed()).await, Closed::Disconnected(_))),
        Ok(None) => panic!("a clean end"),
        Err(error) => assert!(matches!(error, RecvError::Disconnected(_))),
    }
}

/// The link is cut at a seeded byte in the middle of a message: everything before is whole, then comes the error.
async fn promise_05_cut_in_the_middle_of_a_message(on: On) {
    let mut rng = Rng::new("cut");
    for round in 0..30 {
        let (a, b, switch) = on.switched().await;
        let (sender, receiver) = channel::<Blob>(&a, &b, 64).await;
        let after = match round % 3 {
            0 => rng.below(60),
            1 => rng.below(3_000),
            _ => rng.below(300_000),
        };
        switch.cut_after(Way::There, after as usize);
        let sending = tokio::spawn(async move {
            let mut sent = 0u64;
            // Small ones and a few that take several frames.
            while sent < 64 {
                let size = if sent % 4 == 3 { 150_000 } else { 40 };
                if sender.send(blob(size, sent)).await.is_err() {
                    break;
                }
                sent += 1;
            }
            soon(sender.closed()).await
        });
        let mut got = 0;
        let error = loop {
            match soon(receiver.recv()).await {
                Ok(Some(body)) => {
                    let size = if got % 4 == 3 { 150_000 } else { 40 };
                    assert!(body == blob(size, got), "round {round}: message {got} is not whole");
                    got += 1;
                }
                Ok(None) => panic!("round {round}: a clean end after {after} bytes"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, RecvError::Disconnected(_)));
        assert!(matches!(soon(sending).await.unwrap(), Closed::Disconnected(_)));
        assert!(soon(b.closed()).await.is_err());
    }
}

async fn promise_05_cut_on_the_way_back(on: On) {
    let mut rng = Rng::new("cut back");
    for _ in 0..30 {
        let (a, b, switch) = on.switched().await;
        let (requests, served) = channel::<Request>(&a, &b, 4).await;
        tokio::spawn(async move {
            while let Ok(Some(request)) = served.recv().await {
                let _ = request.reply.send(request.text.len() as u32).await;
            }
        });
        switch.cut_after(Way::Back, rng.below(400) as usize);
        let mut answered = 0;
        loop {
            let (reply, answers) = pipe();
            if requests.send(Request { text: "x".repeat(answered), reply }).await.is_err() {
                break;
            }
            match soon(answers.recv()).await {
                Ok(Some(length)) => assert_eq!(length as usize, answered),
                Ok(None) => panic!("a clean end"),
                Err(error) => {
                    assert!(matches!(error, RecvError::Disconnected(_)));
                    break;
                }
            }
            answered += 1;
        }
        assert!(matches!(soon(requests.closed()).await, Closed::Disconnected(_)));
    }
}

async fn promise_05_cut_while_ends_travel(on: On) {
    // Receivers, senders and streams are on their way in both directions when the link goes.
    let mut rng = Rng::new("cut travelling");
    for _ in 0..40 {
        let (a, b, switch) = on.switched().await;
        let (ship, shipped) = channel::<(Receiver<u32>, Sender<u32>, ByteStream)>(&a, &b, 4).await;
        switch.cut_after(Way::There, rng.below(2_000) as usize);
        let echo = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok(Some((numbers, answer, stream))) = shipped.recv().await {
                if let Ok(Some(number)) = numbers.recv().await {
                    let _ = answer.send(number).await;
                }
                kept.push((numbers, answer, stream));
            }
        });
        loop {
            let (feed, numbers) = pipe();
            let (answer, answers) = pipe();
            let (mut here, there) = ByteStream::pair();
            if ship.send((numbers, answer, there)).await.is_err() {
                break;
            }
            let _ = feed.send(1).await;
            let Ok(Some(1)) = soon(answers.recv()).await else {
                // Nobody waits for ever.
                soon(feed.closed()).await;
                let mut rest = Vec::new();
                let _ = soon(here.read_to_end(&mut rest)).await;
                break;
            };
        }
        soon(ship.closed()).await;
        soon(echo).await.unwrap();
    }
}

async fn promise_05_a_runtime_that_goes_away_leaves_nobody_waiting(on: On) {
    // The driver of one side lives on a runtime that is dropped.
    let (left, right, _switch) = wire(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dialing = runtime.spawn(Session::start(left, Role::Dialer, SessionOptions::new()));
    let b = soon(Session::start(right, Role::Acceptor, SessionOptions::new())).await.unwrap();
    let a = soon(dialing).await.unwrap().unwrap();
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    put(&sender, 1).await;
    let mut pending = pin!(sender.send(2));
    still_pending(pending.as_mut()).await;
    runtime.shutdown_background();
    let error = soon(pending).await.unwrap_err();
    assert!(matches!(
        (error.value, error.reason),
        (2, SendFailure::Disconnected { outcome_unknown: false, .. })
    ));
    assert_eq!(get(&receiver).await, 1);
    assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
    assert!(soon(a.closed()).await.is_err());
    let _ = on;
}

/// A message that was accepted and cannot leave: the one before it waits for memory that an unread message holds.
/// `waited`: it was accepted after its send had waited. Gives what stayed here of its ends, when the link is lost.
async fn accepted_and_lost(on: On, waited: bool) -> Stayed {
    type Item = (Blob, Option<(Sender<u32>, ByteStream, Receiver<Receiver<Sender<u32>>>)>);
    let limits = Limits { session_memory: 1024 * 1024, max_message: 256 * 1024, ..Limits::default() };
    let options = || SessionOptions::new().limits(limits.clone());
    let (a, b) = on.pair_with(options(), options()).await;
    let probe = Probe::new(&a, &b).await;
    let (unread, _nobody) = channel::<Blob>(&a, &b, 1).await;
    put(&unread, Blob(vec![1; 150 * 1024])).await;
    let (sender, receiver) = channel::<Item>(&a, &b, if waited { 2 } else { 3 }).await;
    let empty = || Blob(Vec::new());
    put(&sender, (empty(), None)).await;
    put(&sender, (Blob(vec![2; 150 * 1024]), None)).await;
    let (reply, replies) = pipe();
    let (here, stream) = ByteStream::pair();
    let (feed, fed) = pipe();
    let (inner, inner_replies) = pipe();
    let (deep, deep_fed) = pipe();
    put(&deep, inner).await;
    put(&feed, deep_fed).await;
    let mut sending = Box::pin(sender.send((empty(), Some((reply, stream, fed)))));
    if waited {
        still_pending(sending.as_mut()).await;
        // Room, which the next send finds.
        get(&receiver).await;
        probe.settle().await;
        let mut behind = Box::pin(sender.send((empty(), None)));
        still_pending(behind.as_mut()).await;
    }
    assert!(soon(sending).await.is_ok(), "it was not accepted");
    a.abort();
    Stayed { replies, stream: here, feed, _deep: deep, inner_replies }
}

/// What stayed here of the ends in a message.
struct Stayed {
    replies: Receiver<u32>,
    stream: ByteStream,
    feed: Sender<Receiver<Sender<u32>>>,
    _deep: Sender<Sender<u32>>,
    /// Of a sender that waits in `_deep`, whose receiver waits in `feed`.
    inner_replies: Receiver<u32>,
}

async fn promise_05_ends_in_a_message_that_never_left_are_lost(on: On) {
    for waited in [false, true] {
        let stayed = accepted_and_lost(on, waited).await;
        assert!(matches!(fail(&stayed.replies).await, RecvError::Disconnected(_)));
    }
}

async fn promise_05_what_waits_for_a_receiver_that_never_left_is_lost_with_it(on: On) {
    for waited in [false, true] {
        let stayed = accepted_and_lost(on, waited).await;
        assert!(matches!(fail(&stayed.inner_replies).await, RecvError::Disconnected(_)));
        assert!(matches!(soon(stayed.feed.closed()).await, Closed::Disconnected(_)));
    }
}

async fn promise_05_a_stream_in_a_message_that_never_left_has_no_clean_end(on: On) {
    for waited in [false, true] {
        let mut stayed = accepted_and_lost(on, waited).await;
        let end = soon(stayed.stream.read_to_end(&mut Vec::new())).await;
        assert!(end.is_err(), "the clean end of a stream that nobody has ever read");
    }
}

libchan_tests::contract_and_https! {
    promise_05_what_had_arrived_comes_before_the_error,
    promise_05_a_waiting_recv_is_told,
    promise_05_pending_sends_have_their_values_back,
    promise_05_a_rendezvous_that_never_left_was_not_taken,
    promise_05_the_session_itself_says_it_is_lost,
}

mod remote {
    use super::*;
    libchan_tests::contract_links! {
        promise_05_a_rendezvous_that_had_left_may_have_been_taken,
        promise_05_with_other_senders_the_error_comes_after_them,
        promise_05_both_ends_of_a_nested_channel_are_told,
        promise_05_a_stream_that_was_cut_never_looks_complete,
        promise_05_a_relay_passes_the_loss_on,
        promise_05_ends_on_another_session_live_on,
        promise_05_an_undelivered_message_takes_its_ends_with_it,
        promise_05_ends_in_a_message_that_never_left_are_lost,
        promise_05_what_waits_for_a_receiver_that_never_left_is_lost_with_it,
        promise_05_a_stream_in_a_message_that_never_left_has_no_clean_end,
    }
}

mod cut {
    use super::*;
    libchan_tests::contract_on!(
        wire,
        Wire,
        [
            promise_05_cut_in_the_middle_of_a_message,
            promise_05_cut_on_the_way_back,
            promise_05_cut_while_ends_travel,
            promise_05_a_runtime_that_goes_away_leaves_nobody_waiting
        ]
    );
}
