//! One value, or the reason why there is none, in one process. Across sessions: `tests/contract/calls.rs`.

use std::time::Duration;

use super::channel;
use crate::call::CallError;
use crate::cut::Cut;
use crate::error::{RecvError, SendFailure, TryRecvError, TrySendError};
use crate::{ByteStream, oneshot, pipe, pipe_with};

struct Ask {
    number: u32,
    reply: oneshot::Sender<u32>,
}

fn ask(number: u32) -> impl FnOnce(oneshot::Sender<u32>) -> Ask {
    move |reply| Ask { number, reply }
}

#[tokio::test]
async fn a_value_arrives_and_ends_the_channel() {
    let (reply, answer) = channel();
    assert!(!reply.is_closed());
    reply.send(7).unwrap();
    assert_eq!(answer.await, Ok(7));

    let (reply, mut answer) = channel();
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    reply.send(8).unwrap();
    assert_eq!(answer.try_recv(), Ok(8));
    let again = (&mut answer).await.unwrap_err();
    assert!(again.to_string().contains("received before"), "{again}");
    assert!(matches!(answer.try_recv(), Err(TryRecvError::Failed(_))));
}

#[tokio::test]
async fn an_end_without_a_value_is_no_reply_however_cleanly_it_was_said() {
    let (reply, answer) = channel::<u32>();
    drop(reply);
    assert_eq!(answer.await.unwrap_err().cut(), Some(Cut::NoReply));
    let (reply, answer) = channel::<u32>();
    reply.into_sender().close();
    assert_eq!(answer.await.unwrap_err().cut(), Some(Cut::NoReply));
    let (reply, answer) = channel::<u32>();
    reply.fail("not today");
    let RecvError::Remote(error) = answer.await.unwrap_err() else { panic!("another error") };
    assert_eq!((error.code(), error.text(), error.cut()), (Some(0), "not today", None));
}

#[tokio::test]
async fn a_panic_is_told() {
    let (reply, answer) = channel::<u32>();
    let panicked = tokio::spawn(async move {
        let _reply = reply;
        panic!("on purpose");
    });
    assert!(panicked.await.is_err());
    assert_eq!(answer.await.unwrap_err().cut(), Some(Cut::Panicked));
}

#[tokio::test]
async fn after_the_first_value_the_receiver_cancels() {
    let (reply, answer) = channel();
    let sender = reply.into_sender();
    sender.send(1).await.unwrap();
    assert_eq!(answer.await, Ok(1));
    sender.closed().await;
    assert!(sender.send(2).await.is_err());
}

#[tokio::test]
async fn a_channel_without_room_takes_a_reply_all_the_same() {
    // A peer may have made the channel, with any capacity, and keep a sender.
    for capacity in [0, 1] {
        let (sender, receiver) = pipe_with(capacity);
        if capacity > 0 {
            sender.send(1).await.unwrap();
        }
        super::Sender::new(sender).send(2).unwrap();
        if capacity > 0 {
            assert_eq!(receiver.recv().await, Ok(Some(1)));
        }
        assert_eq!(receiver.recv().await, Ok(Some(2)));
        assert_eq!(receiver.recv().await, Ok(None));
    }
}

#[tokio::test]
async fn who_gives_up_is_seen() {
    let (reply, answer) = channel::<u32>();
    let waiting = tokio::spawn(async move { reply.closed().await });
    tokio::task::yield_now().await;
    drop(answer);
    waiting.await.unwrap();
    let (reply, answer) = channel::<u32>();
    drop(answer);
    let error = reply.send(3).unwrap_err();
    assert_eq!(error.value, 3);
    assert!(matches!(error.reason, SendFailure::Closed(_)));
}

#[test]
fn a_thread_waits_and_gives_up() {
    let (reply, mut answer) = channel();
    assert_eq!(answer.recv_blocking_within(Duration::from_millis(5)), Err(TryRecvError::Empty));
    let answering = std::thread::spawn(move || reply.send(9));
    assert_eq!(answer.recv_blocking(), Ok(9));
    answering.join().unwrap().unwrap();
    let (tx, rx) = pipe_with(1);
    tx.send_blocking_within(1, Duration::from_secs(9)).unwrap();
    assert!(matches!(tx.send_blocking_within(2, Duration::from_millis(5)), Err(TrySendError::Full(2))));
    assert_eq!(rx.recv_blocking_within(Duration::from_secs(9)), Ok(1));
    assert_eq!(rx.recv_blocking_within(Duration::from_millis(5)), Err(TryRecvError::Empty));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "what was given up is not sent");
    drop(tx);
    assert_eq!(rx.recv_blocking_within(Duration::from_secs(9)), Err(TryRecvError::Ended));
}

#[test]
fn blocking_a_runtime_is_a_panic_and_not_a_hang() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (_tx, rx) = pipe::<u32>();
    let blocking = std::panic::AssertUnwindSafe(|| runtime.block_on(async { rx.recv_blocking() }));
    let panic = std::panic::catch_unwind(blocking).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains("Cannot block the current thread from within a runtime"), "{text}");
    let blocking = runtime.spawn_blocking(|| {
        let (tx, rx) = pipe();
        tx.send_blocking(1).unwrap();
        rx.recv_blocking()
    });
    assert_eq!(runtime.block_on(blocking).unwrap(), Ok(Some(1)), "where tokio lets one block, so do we");
}

#[tokio::test(start_paused = true)]
async fn each_way_that_a_call_fails_has_its_error() {
    let (asks, inbox) = pipe::<Ask>();
    let serve = tokio::spawn(async move {
        while let Some(ask) = inbox.recv().await.unwrap() {
            match ask.number {
                0 => drop(ask),
                1 => ask.reply.fail("no"),
                2 => drop(tokio::spawn(async move {
                    let _ask = ask;
                    panic!("on purpose");
                })),
                3 => {
                    ask.reply.closed().await;
                }
                4 => break,
                number => ask.reply.send(number).unwrap(),
            }
        }
    });
    assert_eq!(asks.call(ask(7)).await.unwrap(), 7);
    let none = asks.call(ask(0)).await.unwrap_err();
    assert!(matches!(none, CallError::NoReply(_)) && !none.is_safe_to_retry(), "{none}");
    let remote = asks.call(ask(1)).await.unwrap_err();
    assert!(
        matches!(&remote, CallError::Remote(error) if error.text() == "no") && !remote.is_safe_to_retry()
    );
    let panicked = asks.call(ask(2)).await.unwrap_err();
    assert!(matches!(panicked, CallError::Panicked(_)) && !panicked.is_safe_to_retry(), "{panicked}");
    let late = asks.call(ask(3)).within(Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(late, CallError::TimedOut { sent: true }) && !late.is_safe_to_retry(), "{late}");
    // The service goes away with one request in its hand and others in the queue.
    let (in_hand, waits) = tokio::join!(asks.call(ask(4)), asks.call(ask(5)));
    assert!(matches!(in_hand.unwrap_err(), CallError::NoReply(_)));
    let unseen = waits.unwrap_err();
    assert!(matches!(unseen, CallError::NotDelivered(_)) && unseen.is_safe_to_retry(), "{unseen}");
    serve.await.unwrap();
    let closed = asks.call(ask(6)).await.unwrap_err();
    assert!(closed.is_safe_to_retry());
    assert_eq!(closed.into_request().map(|ask| ask.number), Some(6));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_room_was_not_sent() {
    let (asks, inbox) = pipe_with::<Ask>(1);
    let (_reply, _answer) = channel::<u32>();
    asks.send(Ask { number: 0, reply: _reply }).await.unwrap_or_else(|_| panic!("room"));
    let late = asks.call(ask(1)).within(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(late, CallError::TimedOut { sent: false }) && late.is_safe_to_retry(), "{late}");
    assert_eq!(inbox.try_recv().map(|ask| ask.number), Ok(0));
    assert!(inbox.try_recv().is_err());
}

#[tokio::test]
async fn what_is_dropped_unread_says_so_whatever_it_is() {
    let (asks, inbox) = pipe::<(oneshot::Sender<u32>, crate::Receiver<u32>, ByteStream)>();
    let (reply, answer) = channel();
    let (feed, fed) = pipe();
    let (mut here, there) = ByteStream::pair();
    asks.send((reply, fed, there)).await.unwrap_or_else(|_| panic!("room"));
    drop(inbox);
    assert_eq!(answer.await.unwrap_err().cut(), Some(Cut::NotDelivered));
    let SendFailure::Closed(crate::Closed::Refused(why)) = feed.send(1).await.unwrap_err().reason else {
        panic!("the receiver was dropped unread")
    };
    assert_eq!(why.cut(), Some(Cut::NotDelivered));
    let error = tokio::io::AsyncReadExt::read(&mut here, &mut [0]).await.unwrap_err();
    let why = error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>());
    assert_eq!(why.and_then(RecvError::cut), Some(Cut::NotDelivered));
}

#[tokio::test]
async fn one_value_that_panics_takes_no_other_with_it() {
    struct Bomb(Option<oneshot::Sender<u32>>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(self.0.is_some(), "on purpose");
        }
    }
    let (asks, inbox) = pipe::<Bomb>();
    let mut answers = Vec::new();
    for number in 0..4 {
        let (reply, answer) = channel();
        answers.push((number, answer));
        asks.send(Bomb((number != 1).then_some(reply))).await.unwrap_or_else(|_| panic!("room"));
    }
    let dropping = std::panic::AssertUnwindSafe(|| drop(inbox));
    std::panic::catch_unwind(dropping).expect_err("the first panic goes on");
    for (number, answer) in answers {
        let cut = answer.await.unwrap_err().cut();
        assert_eq!(cut, Some(if number == 1 { Cut::NoReply } else { Cut::NotDelivered }));
    }
}

#[tokio::test]
async fn a_fault_of_one_sender_sticks_and_the_first_wins() {
    let (tx, rx) = pipe();
    let (other, third) = (tx.clone(), tx.clone());
    let panicked = tokio::spawn(async move {
        let _tx = tx;
        panic!("on purpose");
    });
    assert!(panicked.await.is_err());
    drop(third.must_finish());
    other.send(1).await.unwrap();
    drop(other);
    assert_eq!(rx.recv().await, Ok(Some(1)), "all senders are drained first");
    assert_eq!(rx.recv().await.unwrap_err().cut(), Some(Cut::Panicked));

    let (tx, rx) = pipe::<u32>();
    let finished = tx.clone().must_finish();
    finished.send(2).await.unwrap();
    finished.finish();
    drop(tx);
    assert_eq!(rx.recv().await, Ok(Some(2)));
    assert_eq!(rx.recv().await, Ok(None));
}
