//! Promise 13: `Session::close` sends what was accepted and says goodbye. Ends that their own side had ended are clean, all
//! others say that the session was closed, on both sides. Dropping everything does the same in the background.

use std::pin::pin;
use std::time::Duration;

use libchan_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn promise_13_close_sends_what_was_accepted(on: On) {
    for capacity in [1, 64] {
        let (a, b) = on.pair().await;
        let (sender, receiver) = channel::<Blob>(&a, &b, capacity).await;
        for number in 0..capacity as u64 {
            put(&sender, blob(500, number)).await;
        }
        let reading = tokio::spawn(async move {
            for number in 0..capacity as u64 {
                assert!(get(&receiver).await == blob(500, number));
            }
            left(&receiver).await;
        });
        soon(a.close()).await.unwrap();
        soon(reading).await.unwrap();
        soon(b.closed()).await.unwrap();
        assert!(soon(b.accept()).await.unwrap().is_none());
        assert!(matches!(refused(&sender, Blob(Vec::new())).await.reason, SendFailure::Closed(_)));
    }
}

async fn promise_13_both_sides_see_that_the_session_was_closed(on: On) {
    let (a, b) = on.pair().await;
    let (there, at_b) = channel::<u32>(&a, &b, 4).await;
    let (back, at_a) = channel::<u32>(&b, &a, 4).await;
    let (ship, shipped) = channel::<(Sender<u32>, Receiver<u32>)>(&a, &b, 1).await;
    let (answer, answers) = pipe();
    let (feed, numbers) = pipe();
    put(&ship, (answer, numbers)).await;
    let (answer, numbers) = get(&shipped).await;
    put(&there, 1).await;
    put(&back, 2).await;
    put(&answer, 3).await;
    put(&feed, 4).await;
    soon(b.close()).await.unwrap();
    soon(a.closed()).await.unwrap();
    let mut all = vec![(there, at_b, 1), (back, at_a, 2)];
    // In memory the ends in messages have moved: they do not live on the session.
    if on.encodes() {
        all.extend([(answer, answers, 3), (feed, numbers, 4)]);
    }
    for (sender, receiver, last) in all {
        // What the side that closed had not taken, it does not take any more.
        if !on.encodes() || [2, 3].contains(&last) {
            assert_eq!(get(&receiver).await, last);
        }
        left(&receiver).await;
        assert!(matches!(soon(sender.closed()).await, Closed::SessionClosed(_)));
    }
}

async fn promise_13_both_sides_close_at_once(on: On) {
    for _ in 0..20 {
        let (a, b) = on.pair().await;
        let (there, at_b) = channel::<u32>(&a, &b, 4).await;
        let (back, at_a) = channel::<u32>(&b, &a, 4).await;
        put(&there, 1).await;
        put(&back, 2).await;
        let (closed_a, closed_b) = soon(async { tokio::join!(a.close(), b.close()) }).await;
        closed_a.unwrap();
        closed_b.unwrap();
        // Whoever leaves drops what it has not taken; in one process it stays to be taken.
        for (receiver, number) in [(at_b, 1), (at_a, 2)] {
            match soon(receiver.recv()).await {
                Ok(Some(got)) => {
                    assert_eq!(got, number);
                    left(&receiver).await;
                }
                ended => assert!(matches!(ended, Err(RecvError::SessionClosed(_))), "{ended:?}"),
            }
        }
    }
}

async fn promise_13_dropping_everything_says_goodbye_in_the_background(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 8).await;
    for number in 0..8 {
        put(&sender, number).await;
    }
    drop((sender, a));
    for number in 0..8 {
        assert_eq!(get(&receiver).await, number);
    }
    end(&receiver).await;
    soon(b.closed()).await.unwrap();
    assert!(soon(b.accept()).await.unwrap().is_none());
}

async fn promise_13_a_session_lives_on_its_ends(on: On) {
    // Every handle is dropped; the ends keep it alive.
    let (a, b) = on.pair().await;
    let watch = b.clone();
    let (ship, shipped) = channel::<(Sender<u32>, ByteStream)>(&a, &b, 1).await;
    let (answer, answers) = pipe();
    let (mut here, there) = ByteStream::pair();
    put(&ship, (answer, there)).await;
    let (answer, mut there) = get(&shipped).await;
    drop((a, b, ship, shipped));
    for number in 0..20 {
        put(&answer, number).await;
        assert_eq!(get(&answers).await, number);
    }
    drop(answer);
    end(&answers).await;
    soon(here.write_all(b"alive")).await.unwrap();
    let mut buffer = [0; 5];
    soon(there.read_exact(&mut buffer)).await.unwrap();
    drop((here, there));
    // The last of the other side's ends is gone.
    soon(watch.closed()).await.unwrap();
}

async fn promise_13_what_cannot_be_sent_in_time_is_told(on: On) {
    let options = || SessionOptions::new().close_timeout(Duration::from_millis(200));
    let (a, b) = on.pair_with(options(), options()).await;
    // Far beyond the window of a channel that nobody reads.
    let (sender, receiver) = channel::<Blob>(&a, &b, 64).await;
    for number in 0..64 {
        put(&sender, blob(100_000, number)).await;
    }
    assert_eq!(soon(a.close()).await, Err(CloseError::NotHandedOver));
    let mut whole = 0;
    let error = loop {
        match soon(receiver.recv()).await {
            Ok(Some(body)) => {
                assert!(body == blob(100_000, whole), "message {whole} is not whole");
                whole += 1;
            }
            Ok(None) => panic!("a clean end after {whole} of 64 messages"),
            Err(error) => break error,
        }
    };
    // The goodbye may stand behind what could not leave.
    assert!(matches!(error, RecvError::SessionClosed(_) | RecvError::Disconnected(_)), "{error:?}");
    assert!(whole < 64);
    let _ = soon(b.closed()).await;
}

async fn promise_13_nothing_opens_after_close(on: On) {
    let (a, b) = on.pair().await;
    let other = a.clone();
    soon(a.close()).await.unwrap();
    assert!(matches!(other.open::<u32>("late"), Err(OpenError::SessionOver(SessionError::Closed))));
    soon(b.closed()).await.unwrap();
    assert!(matches!(b.open::<u32>("late"), Err(OpenError::SessionOver(SessionError::Closed))));
    assert!(soon(other.accept()).await.unwrap().is_none());
}

async fn promise_13_waiting_accepts_see_the_end(on: On) {
    let (a, b) = on.pair().await;
    let accepting: Vec<_> = (0..3)
        .map(|_| {
            let b = b.clone();
            tokio::spawn(async move { b.accept().await.map(|incoming| incoming.is_none()) })
        })
        .collect();
    yields().await;
    soon(a.close()).await.unwrap();
    for task in accepting {
        assert_eq!(soon(task).await.unwrap(), Ok(true));
    }
}

async fn promise_13_streams_deliver_what_was_written(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
    let (mut here, there) = ByteStream::pair();
    put(&ship, there).await;
    let mut there = get(&shipped).await;
    soon(here.write_all(b"written before the close")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut got = String::new();
        soon(there.read_to_string(&mut got)).await.unwrap();
        got
    });
    soon(a.close()).await.unwrap();
    assert_eq!(soon(reading).await.unwrap(), "written before the close");
}

async fn promise_13_a_pending_send_has_its_value_back_at_close(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    put(&sender, 1).await;
    let mut pending = pin!(sender.send(2));
    still_pending(pending.as_mut()).await;
    let closing = tokio::spawn(a.close());
    let result = soon(pending).await;
    let taken = match &result {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.value, 2);
            false
        }
    };
    assert_eq!(get(&receiver).await, 1);
    if taken {
        assert_eq!(get(&receiver).await, 2);
    }
    left(&receiver).await;
    soon(closing).await.unwrap().unwrap();
}

async fn promise_13_the_last_message_before_close_arrives(on: On) {
    // The original's "receive a message if the session closes right after the send".
    for round in 0..40 {
        let (a, b) = on.pair().await;
        let sender = a.open::<u32>("last").unwrap();
        put(&sender, round).await;
        let accepting = tokio::spawn(async move {
            let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<u32>();
            assert_eq!(get(&receiver).await, round);
            left(&receiver).await;
        });
        soon(a.close()).await.unwrap();
        soon(accepting).await.unwrap();
    }
}

async fn promise_13_abort_is_seen_as_a_lost_link(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    a.abort();
    assert!(soon(a.closed()).await.is_err());
    assert!(soon(b.closed()).await.is_err());
    assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
    assert!(matches!(soon(sender.closed()).await, Closed::Disconnected(_)));
    a.abort();
}

async fn the_hello_carries_metadata(on: On) {
    let with = |name: &str| SessionOptions::new().metadata("name", name).metadata("empty", "");
    let (a, b) = on.pair_with(with("dialer"), with("acceptor")).await;
    assert_eq!(a.peer_metadata().get("name"), Some(&b"acceptor"[..]));
    assert_eq!(b.peer_metadata().get("name"), Some(&b"dialer"[..]));
    assert_eq!(a.peer_metadata().get("empty"), Some(&b""[..]));
    assert_eq!(a.peer_metadata().get("other"), None);
}

libchan_tests::contract_and_https! {
    promise_13_close_sends_what_was_accepted,
    promise_13_both_sides_see_that_the_session_was_closed,
    promise_13_both_sides_close_at_once,
    promise_13_dropping_everything_says_goodbye_in_the_background,
    promise_13_a_session_lives_on_its_ends,
    promise_13_nothing_opens_after_close,
    promise_13_waiting_accepts_see_the_end,
    promise_13_streams_deliver_what_was_written,
    promise_13_the_last_message_before_close_arrives,
    promise_13_abort_is_seen_as_a_lost_link,
    the_hello_carries_metadata,
}

/// A row A5 of the faults: the peer reads nothing, and `close` says so, in time.
async fn promise_13_flush_waits_for_the_peers_library(on: On) {
    let (a, b) = on.pair().await;
    soon(a.flush()).await.unwrap();
    let (sender, receiver) = channel::<Blob>(&a, &b, 64).await;
    for number in 0..20 {
        put(&sender, blob(30_000, number)).await;
    }
    // Beyond the window of a channel that nobody reads: it waits for the receiver.
    let mut flushing = pin!(a.flush());
    still_pending(flushing.as_mut()).await;
    for number in 0..20 {
        assert!(get(&receiver).await == blob(30_000, number));
    }
    soon(flushing).await.unwrap();
    // Many at once are one ping, and no flood.
    let all: Vec<_> = (0..500)
        .map(|_| {
            let a = a.clone();
            tokio::spawn(async move { a.flush().await })
        })
        .collect();
    for flush in all {
        soon(flush).await.unwrap().unwrap();
    }
    b.abort();
    soon(a.closed()).await.unwrap_err();
    assert!(matches!(soon(a.flush()).await, Err(CloseError::Session(_))));
}

async fn promise_13_an_unfinished_stream_is_cut_by_a_close(on: On) {
    for reader_closes in [false, true] {
        let (a, b) = on.pair().await;
        let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
        let (mut here, there) = ByteStream::pair();
        put(&ship, there).await;
        let mut there = get(&shipped).await;
        soon(here.write_all(b"half")).await.unwrap();
        soon(there.read_exact(&mut [0; 4])).await.unwrap();
        soon(if reader_closes { b.close() } else { a.close() }).await.unwrap();
        let error = soon(there.read(&mut [0; 4])).await.unwrap_err();
        let why = error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>());
        assert!(matches!(why, Some(RecvError::SessionClosed(_))), "{error:?}");
        assert!(soon(here.write_all(&[0; 300_000])).await.is_err());
    }
}

async fn promise_13_a_drain_lets_what_is_at_work_finish(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (rows, read) = pipe();
    put(&ship, rows).await;
    let rows = get(&shipped).await;
    let working = tokio::spawn(async move {
        for number in 0..100 {
            put(&rows, number).await;
        }
    });
    let drained = tokio::spawn(b.drain(Duration::from_secs(20)));
    soon(a.going()).await;
    let late = a.open::<u32>("late").unwrap();
    let closed = soon(late.closed()).await;
    assert!(matches!(&closed, Closed::Refused(why) if why.cut() == Some(Cut::GoingAway)), "{closed:?}");
    for number in 0..100 {
        assert_eq!(get(&read).await, number);
    }
    end(&read).await;
    soon(working).await.unwrap();
    end(&shipped).await;
    drop((ship, late));
    soon(drained).await.unwrap().unwrap();
    soon(a.closed()).await.unwrap();
}

async fn promise_13_a_drain_ends_channels_that_are_accepted_while_it_lasts(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (at_work, _read) = pipe();
    put(&ship, at_work).await;
    let at_work = get(&shipped).await;
    let held = a.open::<u32>("held").unwrap();
    let incoming = soon(b.accept()).await.unwrap().unwrap();
    let drained = tokio::spawn(b.drain(Duration::from_secs(20)));
    soon(a.going()).await;
    let accepted = incoming.receive::<u32>();
    let closed = soon(held.closed()).await;
    assert!(matches!(&closed, Closed::Refused(why) if why.cut() == Some(Cut::GoingAway)), "{closed:?}");
    end(&accepted).await;
    drop((accepted, at_work, shipped, ship, held));
    soon(drained).await.unwrap().unwrap();
}

async fn promise_13_a_drain_ends_at_its_deadline(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (rows, read) = pipe();
    put(&ship, rows).await;
    let _never_finished = get(&shipped).await;
    soon(b.drain(Duration::from_millis(50))).await.unwrap();
    left(&read).await;
    soon(a.closed()).await.unwrap();
}

mod remote {
    use super::*;
    libchan_tests::contract_links! {
        promise_13_flush_waits_for_the_peers_library,
        promise_13_an_unfinished_stream_is_cut_by_a_close,
        promise_13_a_drain_lets_what_is_at_work_finish,
        promise_13_a_drain_ends_channels_that_are_accepted_while_it_lasts,
        promise_13_a_drain_ends_at_its_deadline,
        promise_13_what_cannot_be_sent_in_time_is_told,
        promise_13_a_pending_send_has_its_value_back_at_close,
    }
}
