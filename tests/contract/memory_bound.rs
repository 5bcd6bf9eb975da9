//! Promise 8: memory is bounded by the stated limits, whatever the peer does, and promise 7 holds all the same.

use libchan_tests::*;

fn options(limits: Limits) -> SessionOptions {
    SessionOptions::new().limits(limits)
}

async fn promise_08_the_smaller_limits_win(on: On) {
    let small = Limits { max_message: 1_000, max_channels: 10, initial_window: 512, ..Limits::default() };
    let large = Limits { max_attachments: 3, ..Limits::default() };
    let (a, b) = on.pair_with(options(small), options(large)).await;
    for session in [&a, &b] {
        let limits = session.limits();
        assert_eq!(
            (limits.max_message, limits.max_channels, limits.initial_window, limits.max_attachments),
            (1_000, 10, 512, 3)
        );
    }
}

async fn promise_08_channels_are_limited_and_come_back(on: On) {
    let limits = Limits { max_channels: 8, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(channel::<u32>(&a, &b, 1).await);
    }
    let Err(OpenError::Limit(text)) = a.open::<u32>("ninth") else { panic!("a ninth channel") };
    assert!(text.contains("max_channels"), "{text}");
    // The other eight work, and one that ends makes room.
    for (sender, receiver) in &open {
        put(sender, 1).await;
        assert_eq!(get(receiver).await, 1);
    }
    open.pop();
    eventually(|| a.open_channels() == 7 && b.open_channels() == 7).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    put(&sender, 2).await;
    assert_eq!(get(&receiver).await, 2);
}

async fn promise_08_nested_channels_beyond_the_limit_do_not_break_the_session(on: On) {
    let limits = Limits { max_channels: 8, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 64).await;
    let mut kept = Vec::new();
    let mut outcomes = Vec::new();
    let (mut arrived, mut refusals) = (0, 0);
    for _ in 0..12 {
        let (sender, receiver) = pipe();
        outcomes.push(receiver);
        match soon(ship.send(sender)).await {
            Err(error) => {
                assert!(matches!(error.reason, SendFailure::Limit(_)), "{error:?}");
                refusals += 1;
            }
            // Where a message leaves later than `send` returns, the receiver is told in its place.
            Ok(()) => match soon(shipped.recv()).await {
                Ok(sender) => {
                    kept.push(sender.expect("a sender"));
                    arrived += 1;
                }
                Err(error) => {
                    assert!(matches!(error, RecvError::NotEncoded(_)), "{error:?}");
                    refusals += 1;
                }
            },
        }
    }
    assert_eq!((arrived, refusals), (7, 5));
    for (number, (sender, receiver)) in kept.iter().zip(&outcomes).enumerate() {
        put(sender, number as u32).await;
        assert_eq!(get(receiver).await, number as u32);
    }
}

async fn promise_08_the_initial_windows_are_charged(on: On) {
    // Half of 100 KiB is for first windows, at 4 KiB a channel (window and overshoot): used up long before max_channels.
    let limits = Limits { session_memory: 100 * 1024, initial_window: 2 * 1024, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let mut open = Vec::new();
    let error = loop {
        match a.open::<u32>("channel") {
            Ok(sender) => open.push((sender, soon(b.accept()).await.unwrap().unwrap().receive::<u32>())),
            Err(error) => break error,
        }
        assert!(open.len() <= 13, "more windows than memory");
    };
    assert!(matches!(&error, OpenError::Limit(text) if text.contains("session_memory")), "{error:?}");
    assert!(open.len() >= 10, "only {} channels in 100 KiB", open.len());
    for (sender, receiver) in &open {
        put(sender, 5).await;
        assert_eq!(get(receiver).await, 5);
    }
}

async fn promise_08_pending_accepts_are_limited(on: On) {
    let limits = Limits { max_pending_accepts: 4, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let senders: Vec<_> = (0..7).map(|number| a.open::<u32>(&format!("{number}")).unwrap()).collect();
    for sender in &senders[4..] {
        let Closed::Refused(reason) = soon(sender.closed()).await else { panic!("not refused") };
        assert_eq!(reason.wire_code(), libchan_proto::code::ACCEPT_QUEUE_FULL);
    }
    for (number, sender) in senders[..4].iter().enumerate() {
        let incoming = soon(b.accept()).await.unwrap().unwrap();
        assert_eq!(incoming.name(), number.to_string());
        let receiver = incoming.receive::<u32>();
        put(sender, 1).await;
        assert_eq!(get(&receiver).await, 1);
    }
}

async fn promise_08_half_received_messages_cannot_lock_the_memory(on: On) {
    // Eight channels send large messages at once, together far more than the session's memory.
    let limits = Limits { session_memory: 4 * 1024 * 1024, max_message: 1024 * 1024, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let mut tasks = Vec::new();
    for own in 0..8 {
        let (sender, receiver) = channel::<Blob>(&a, &b, 4).await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..4 {
                put(&sender, blob(500_000, own)).await;
            }
        }));
        tasks.push(tokio::spawn(async move {
            for _ in 0..4 {
                assert!(get(&receiver).await == blob(500_000, own));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn promise_08_small_messages_pass_while_the_memory_is_used_up(on: On) {
    let limits = Limits { session_memory: 1024 * 1024, max_message: 256 * 1024, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let (small, smalls) = channel::<u32>(&a, &b, 4).await;
    let mut unread = Vec::new();
    for _ in 0..6 {
        let (sender, receiver) = channel::<Blob>(&a, &b, 8).await;
        let sending =
            tokio::spawn(async move { while sender.send(Blob(vec![1; 150 * 1024])).await.is_ok() {} });
        unread.push((sending, receiver));
    }
    yields().await;
    for number in 0..200 {
        put(&small, number).await;
        assert_eq!(get(&smalls).await, number);
    }
    // And the large ones come, one after the other, when they are read.
    for (_, receiver) in &unread {
        assert_eq!(get(receiver).await.len(), 150 * 1024);
        receiver.close();
    }
}

async fn promise_07_an_unread_large_message_does_not_delay_the_one_that_is_waited_for(on: On) {
    // Memory for one of the two: the first in line is read by nobody.
    let limits = Limits { session_memory: 1024 * 1024, max_message: 256 * 1024, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let (unread, _nobody) = channel::<Blob>(&a, &b, 1).await;
    let (wanted, receiver) = channel::<Blob>(&a, &b, 1).await;
    put(&unread, Blob(vec![1; 150 * 1024])).await;
    put(&wanted, Blob(vec![2; 150 * 1024])).await;
    assert_eq!(get(&receiver).await.0[0], 2);
}

async fn promise_08_a_peer_cannot_make_us_hold_more_than_it_was_granted(on: On) {
    // What waits unread at the receiver is bounded by bytes, not by the capacity.
    let limits = Limits { session_memory: 512 * 1024, ..Limits::default() };
    let (a, b, switch) = on.switched_with(options(limits.clone()), options(limits)).await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<Blob>(&a, &b, 10_000).await;
    let sending = tokio::spawn(async move {
        for _ in 0..3_000 {
            put(&sender, Blob(vec![1; 1_000])).await;
        }
    });
    for _ in 0..20 {
        probe.settle().await;
    }
    let passed = switch.passed(Way::There);
    assert!(passed < 600_000, "{passed} bytes crossed for a channel that nobody reads");
    for _ in 0..3_000 {
        get(&receiver).await;
    }
    sending.await.unwrap();
}

async fn promise_08_a_name_that_does_not_fit_fails_at_open(on: On) {
    let (a, b) = on.pair().await;
    assert!(matches!(a.open::<u32>(&"x".repeat(100_000)), Err(OpenError::NameTooLong)));
    let options = OpenOptions::new().metadata("key", vec![0; 70_000]);
    assert!(a.open_with::<u32>("name", options).is_err());
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    put(&sender, 1).await;
    assert_eq!(get(&receiver).await, 1);
}

async fn promise_08_ids_and_memory_come_back_for_ever(on: On) {
    // Far more channels one after the other than may be open at once.
    let limits = Limits { max_channels: 16, session_memory: 128 * 1024, ..Limits::default() };
    let (a, b) = on.pair_with(options(limits.clone()), options(limits)).await;
    let (ship, shipped) = channel::<(Sender<u32>, Receiver<u32>, ByteStream)>(&a, &b, 1).await;
    for number in 0..400 {
        let (answer, answers) = pipe();
        let (feed, numbers) = pipe();
        let (here, stream) = ByteStream::pair();
        put(&ship, (answer, numbers, stream)).await;
        put(&feed, number).await;
        let (answer, numbers, stream) = get(&shipped).await;
        put(&answer, get(&numbers).await).await;
        assert_eq!(get(&answers).await, number);
        drop((answer, numbers, stream, answers, feed, here));
        eventually(|| a.open_channels() == 1 && b.open_channels() == 1).await;
    }
}

libchan_tests::contract_links! {
    promise_08_the_smaller_limits_win,
    promise_08_channels_are_limited_and_come_back,
    promise_08_nested_channels_beyond_the_limit_do_not_break_the_session,
    promise_08_the_initial_windows_are_charged,
    promise_08_pending_accepts_are_limited,
    promise_08_half_received_messages_cannot_lock_the_memory,
    promise_08_small_messages_pass_while_the_memory_is_used_up,
    promise_07_an_unread_large_message_does_not_delay_the_one_that_is_waited_for,
    promise_08_a_name_that_does_not_fit_fails_at_open,
    promise_08_ids_and_memory_come_back_for_ever,
}

mod counted {
    use super::promise_08_a_peer_cannot_make_us_hold_more_than_it_was_granted;
    libchan_tests::contract_on!(wire, Wire, [promise_08_a_peer_cannot_make_us_hold_more_than_it_was_granted]);
}
