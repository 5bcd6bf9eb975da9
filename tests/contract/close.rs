//! Promises 4 and 6: how a channel ends from its sending and from its receiving side, for every clone, here and remote.

use std::pin::pin;

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Cargo {
    numbers: Receiver<u32>,
    answer: Sender<u32>,
    stream: ByteStream,
}

fn app(code: u16, text: &str) -> RemoteError {
    RemoteError::new(code, text)
}

async fn promise_04_the_last_sender_gone_is_the_clean_end(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [1, 64] {
        let (sender, receiver) = channel::<u32>(&a, &b, capacity).await;
        let clone = sender.clone();
        drop(sender);
        put(&clone, 1).await;
        drop(clone);
        assert_eq!(get(&receiver).await, 1);
        end(&receiver).await;
        end(&receiver).await;
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Ended));
    }
}

async fn promise_04_close_ends_every_clone_here_and_remote(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&b, &a, 4).await;
    let (home, receiver) = pipe::<u32>();
    put(&ship, home.clone()).await;
    let away = get(&shipped).await;
    let clone = away.clone();
    put(&away, 1).await;
    assert_eq!(get(&receiver).await, 1);
    put(&home, 2).await;
    home.close();
    let error = refused(&home, 3).await;
    assert_eq!((error.value, error.reason), (3, SendFailure::Closed(Closed::BySender)));
    assert_eq!(soon(away.closed()).await, Closed::BySender);
    assert_eq!(*refused(&clone, 4).await.reason(), SendFailure::Closed(Closed::BySender));
    assert!(away.is_closed() && clone.is_closed());
    assert_eq!(get(&receiver).await, 2);
    end(&receiver).await;
}

async fn promise_04_close_by_a_remote_sender_ends_the_clones_at_home(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&b, &a, 4).await;
    let (home, receiver) = pipe::<u32>();
    put(&ship, home.clone()).await;
    let away = get(&shipped).await;
    put(&away, 1).await;
    away.close();
    assert_eq!(get(&receiver).await, 1);
    end(&receiver).await;
    assert_eq!(soon(home.closed()).await, Closed::BySender);
    assert_eq!(*refused(&home, 2).await.reason(), SendFailure::Closed(Closed::BySender));
}

async fn promise_04_close_with_is_seen_after_what_was_sent(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 8).await;
    put(&sender, 1).await;
    put(&sender, 2).await;
    sender.close_with(app(7, "the tape tore: Ärger"));
    assert_eq!(get(&receiver).await, 1);
    assert_eq!(get(&receiver).await, 2);
    let RecvError::Remote(error) = fail(&receiver).await else { panic!("not the sender's error") };
    assert_eq!((error.code(), error.text()), (Some(7), "the tape tore: Ärger"));
    assert_eq!(fail(&receiver).await, RecvError::Remote(error.clone()));
    assert!(RecvError::Remote(error).is_end());
}

async fn promise_04_a_long_error_text_is_cut_at_a_character(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    sender.close_with("ä".repeat(5000));
    let RecvError::Remote(error) = fail(&receiver).await else { panic!("not the sender's error") };
    assert_eq!((error.code(), error.text()), (Some(0), "ä".repeat(512).as_str()));
}

async fn promise_04_dropping_one_of_several_ends_only_that_one(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (home, receiver) = pipe::<u32>();
    put(&ship, home.clone()).await;
    put(&ship, home.clone()).await;
    let (first, second) = (get(&shipped).await, get(&shipped).await);
    put(&first, 1).await;
    drop(first);
    put(&home, 2).await;
    drop(home);
    put(&second, 3).await;
    let mut got = vec![get(&receiver).await, get(&receiver).await, get(&receiver).await];
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3]);
    drop(second);
    end(&receiver).await;
}

async fn promise_04_a_waiting_recv_sees_the_end(on: On) {
    let (a, b) = on.pair().await;
    for close in [true, false] {
        let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
        let waiting = tokio::spawn(async move { receiver.recv().await });
        yields().await;
        if close {
            sender.close();
        }
        drop(sender);
        assert_eq!(soon(waiting).await.unwrap(), Ok(None));
    }
}

async fn promise_04_the_last_value_before_the_end_is_never_lost(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 4).await;
    for round in 0..150u32 {
        let (sender, receiver) = pipe_with(1 + round as usize % 3);
        let shipping = async { put(&ship, receiver).await };
        let sending = async {
            put(&sender, round).await;
            if round % 2 == 0 {
                sender.close();
            }
            drop(sender);
        };
        tokio::join!(shipping, sending);
        let receiver = get(&shipped).await;
        assert_eq!(get(&receiver).await, round);
        end(&receiver).await;
    }
}

async fn promise_04_closing_twice_and_sending_after_are_errors_not_panics(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<String>(&a, &b, 4).await;
    sender.close();
    sender.close();
    sender.close_with("too late to say");
    let error = refused(&sender, "kept".to_owned()).await;
    assert_eq!((error.value.as_str(), error.reason), ("kept", SendFailure::Closed(Closed::BySender)));
    assert!(
        matches!(sender.try_send("kept".to_owned()), Err(TrySendError::Failed(error)) if error.value == "kept")
    );
    assert!(sender.reserve().await.is_err_and(|closed| closed == Closed::BySender));
    end(&receiver).await;
    receiver.close();
    receiver.close_with("again");
    end(&receiver).await;
}

async fn promise_04_a_pending_send_fails_when_a_sender_closes(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [0, 2] {
        let (sender, receiver) = channel::<u32>(&a, &b, capacity).await;
        for number in 0..capacity as u32 {
            put(&sender, number).await;
        }
        let mut pending = pin!(sender.send(99));
        still_pending(pending.as_mut()).await;
        sender.close();
        let error = soon(pending).await.unwrap_err();
        assert_eq!((error.value, error.reason), (99, SendFailure::Closed(Closed::BySender)));
        for number in 0..capacity as u32 {
            assert_eq!(get(&receiver).await, number);
        }
        end(&receiver).await;
    }
}

async fn promise_06_receiver_gone_fails_pending_and_later_sends(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [0, 2] {
        let (sender, receiver) = channel::<String>(&a, &b, capacity).await;
        for _ in 0..capacity {
            put(&sender, "taken or dropped".to_owned()).await;
        }
        let mut pending = pin!(sender.send("mine".to_owned()));
        still_pending(pending.as_mut()).await;
        drop(receiver);
        let error = soon(pending).await.unwrap_err();
        assert_eq!((error.value.as_str(), error.reason), ("mine", SendFailure::Closed(Closed::Dropped)));
        let error = refused(&sender, "later".to_owned()).await;
        assert_eq!((error.value.as_str(), error.reason), ("later", SendFailure::Closed(Closed::Dropped)));
        assert_eq!(soon(sender.closed()).await, Closed::Dropped);
    }
}

async fn promise_06_the_receivers_reason_is_told(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    let watching = tokio::spawn({
        let sender = sender.clone();
        async move { sender.closed().await }
    });
    put(&sender, 1).await;
    let mut pending = pin!(sender.send(2));
    still_pending(pending.as_mut()).await;
    receiver.close_with(app(3, "full"));
    let reason = Closed::Refused(app(3, "full"));
    let error = soon(pending).await.unwrap_err();
    assert_eq!((error.value, error.reason), (2, SendFailure::Closed(reason.clone())));
    assert_eq!(soon(watching).await.unwrap(), reason);
    assert!(sender.reserve().await.is_err_and(|closed| closed == reason));
    assert!(sender.is_closed());
}

async fn promise_06_a_refusal_reaches_every_clone(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (home, receiver) = pipe::<u32>();
    let other = receiver.clone();
    put(&ship, home.clone()).await;
    let away = get(&shipped).await;
    receiver.close_with("enough");
    let reason = Closed::Refused("enough".into());
    assert_eq!(soon(away.closed()).await, reason);
    assert_eq!(soon(home.closed()).await, reason);
    end(&other).await;
}

async fn promise_06_a_remote_receivers_refusal_reaches_its_clone_at_home(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 4).await;
    let (sender, home) = pipe::<u32>();
    put(&ship, home.clone()).await;
    let away = get(&shipped).await;
    away.close_with("enough");
    assert_eq!(soon(sender.closed()).await, Closed::Refused("enough".into()));
    end(&home).await;
    end(&away).await;
}

async fn promise_06_one_of_two_receivers_gone_is_not_the_end(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 4).await;
    let (sender, home) = pipe_with::<u32>(1);
    put(&ship, home.clone()).await;
    drop(get(&shipped).await);
    for number in 0..5 {
        put(&sender, number).await;
        assert_eq!(get(&home).await, number);
    }
    drop(home);
    assert_eq!(soon(sender.closed()).await, Closed::Dropped);
}

async fn promise_06_what_was_in_flight_is_closed_on_both_sides(on: On) {
    for taken in [false, true] {
        let (a, b) = on.pair().await;
        let probe = Probe::new(&a, &b).await;
        let (sender, receiver) = channel::<Cargo>(&a, &b, 4).await;
        let (feed, numbers) = pipe();
        let (answer, answers) = pipe();
        let (mut here, stream) = ByteStream::pair();
        put(&sender, Cargo { numbers, answer, stream }).await;
        put(&feed, 1).await;
        probe.settle().await;
        if taken {
            drop(get(&receiver).await);
        }
        drop(receiver);
        assert_eq!(soon(sender.closed()).await, Closed::Dropped);
        soon(feed.closed()).await;
        assert!(!matches!(soon(answers.recv()).await, Ok(Some(_))));
        let mut rest = Vec::new();
        let _ = soon(here.read_to_end(&mut rest)).await;
        assert_eq!(rest, b"");
        // Its writing direction is over too, at the latest once that has come back.
        soon(async { while here.write_all(&[0; 1024]).await.is_ok() {} }).await;
        // Only the named channels' ends are left: the sender's here, and the probe's two.
        drop(sender);
        if on.encodes() {
            eventually(|| a.open_channels() == 2 && b.open_channels() == 2).await;
        }
    }
}

async fn promise_06_a_refused_channel_fails_with_the_reason(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open_with::<u32>("jobs", OpenOptions::new().metadata("team", "blue")).unwrap();
    let incoming = soon(b.accept()).await.unwrap().unwrap();
    assert_eq!(incoming.name(), "jobs");
    assert_eq!(incoming.metadata().get("team"), Some(&b"blue"[..]));
    incoming.refuse(app(4, "not today"));
    let reason = Closed::Refused(app(4, "not today"));
    assert_eq!(soon(sender.closed()).await, reason);
    let error = refused(&sender, 5).await;
    assert_eq!((error.value, error.reason), (5, SendFailure::Closed(reason)));
}

async fn promise_06_a_channel_that_nobody_accepts_is_refused(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open::<u32>("jobs").unwrap();
    drop(soon(b.accept()).await.unwrap().unwrap());
    let Closed::Refused(reason) = soon(sender.closed()).await else { panic!("not refused") };
    assert_eq!((reason.code(), reason.wire_code()), (None, libchan_proto::code::REFUSED));
}

async fn promise_06_messages_sent_before_a_refusal_are_dropped_with_their_ends(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open::<Sender<u32>>("jobs").unwrap();
    let (inner, outcome) = pipe::<u32>();
    put(&sender, inner).await;
    soon(b.accept()).await.unwrap().unwrap().refuse("no");
    assert!(!matches!(soon(outcome.recv()).await, Ok(Some(_))));
}

async fn promise_06_the_end_after_a_refusal_is_quiet(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 4).await;
    put(&sender, 1).await;
    receiver.close();
    end(&receiver).await;
    assert_eq!(soon(sender.closed()).await, Closed::Dropped);
    drop((sender, receiver));
    if on.encodes() {
        eventually(|| a.open_channels() == 0 && b.open_channels() == 0).await;
    }
}

async fn promise_06_a_sender_whose_receiver_is_gone_meets_no_other_channel(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 4).await;
    put(&sender, 1).await;
    assert_eq!(get(&receiver).await, 1);
    drop(receiver);
    assert_eq!(soon(sender.closed()).await, Closed::Dropped);
    // What stood for the first channel in the session is free, and the next one takes it.
    let (other, others) = channel::<String>(&a, &b, 4).await;
    let (ship, shipped) = channel::<Sender<u32>>(&b, &a, 4).await;
    let (away, _aways) = pipe();
    put(&ship, away).await;
    let _away = get(&shipped).await;
    assert_eq!(refused(&sender, 2).await.value, 2);
    put(&other, "its own".to_owned()).await;
    assert_eq!(get(&others).await, "its own");
}

libchan_tests::contract! {
    promise_06_a_sender_whose_receiver_is_gone_meets_no_other_channel,
    promise_04_the_last_sender_gone_is_the_clean_end,
    promise_04_close_ends_every_clone_here_and_remote,
    promise_04_close_by_a_remote_sender_ends_the_clones_at_home,
    promise_04_close_with_is_seen_after_what_was_sent,
    promise_04_a_long_error_text_is_cut_at_a_character,
    promise_04_dropping_one_of_several_ends_only_that_one,
    promise_04_a_waiting_recv_sees_the_end,
    promise_04_the_last_value_before_the_end_is_never_lost,
    promise_04_closing_twice_and_sending_after_are_errors_not_panics,
    promise_04_a_pending_send_fails_when_a_sender_closes,
    promise_06_receiver_gone_fails_pending_and_later_sends,
    promise_06_the_receivers_reason_is_told,
    promise_06_a_refusal_reaches_every_clone,
    promise_06_a_remote_receivers_refusal_reaches_its_clone_at_home,
    promise_06_one_of_two_receivers_gone_is_not_the_end,
    promise_06_what_was_in_flight_is_closed_on_both_sides,
    promise_06_a_refused_channel_fails_with_the_reason,
    promise_06_a_channel_that_nobody_accepts_is_refused,
    promise_06_messages_sent_before_a_refusal_are_dropped_with_their_ends,
    promise_06_the_end_after_a_refusal_is_quiet,
}
