//! Promise 14: futures may be dropped. Every test here counts the cancellations that it caused.

use std::pin::pin;

use libchan_tests::*;

/// Receives with a future that is dropped each time it is not ready.
async fn receive_impatiently<T>(receiver: &Receiver<T>, dropped: &mut u32) -> Result<Option<T>, RecvError> {
    let begun = std::time::Instant::now();
    loop {
        {
            let mut receiving = pin!(receiver.recv());
            if let Some(result) = poll_once(receiving.as_mut()).await {
                return result;
            }
            *dropped += 1;
            // Sometimes it lives on for a while, and is woken, before it is dropped.
            if dropped.is_multiple_of(3) {
                tokio::select! {
                    biased;
                    () = yields() => {}
                    result = receiving => return result,
                }
            }
        }
        tokio::task::yield_now().await;
        assert!(begun.elapsed().as_secs() < 10, "no message comes after {dropped} dropped recvs");
    }
}

async fn promise_14_a_dropped_recv_loses_nothing(on: On) {
    let (a, b) = on.pair().await;
    let mut dropped = 0;
    for capacity in [0, 1, 4, 64] {
        let (sender, receiver) = channel::<u32>(&a, &b, capacity).await;
        tokio::spawn(async move {
            for number in 0..200 {
                put(&sender, number).await;
                if number % 5 == 0 {
                    yields().await;
                }
            }
        });
        for number in 0..200 {
            let got = receive_impatiently(&receiver, &mut dropped).await;
            assert_eq!(got, Ok(Some(number)), "capacity {capacity}");
        }
        assert_eq!(receive_impatiently(&receiver, &mut dropped).await, Ok(None));
    }
    assert!(dropped > 20, "only {dropped} recvs were dropped");
}

async fn promise_14_a_dropped_recv_passes_its_message_on(on: On) {
    // Several clones wait; those that are dropped must not keep what they were woken for.
    let (a, b) = on.pair().await;
    let mut dropped = 0u32;
    for capacity in [0, 1, 8] {
        let (sender, receiver) = channel::<u32>(&a, &b, capacity).await;
        let patient = receiver.clone();
        let all = tokio::spawn(async move {
            let mut got = Vec::new();
            while let Some(number) = soon(patient.recv()).await.unwrap() {
                got.push(number);
            }
            got
        });
        let sending = tokio::spawn(async move {
            for number in 0..150 {
                put(&sender, number).await;
                tokio::task::yield_now().await;
            }
        });
        let mut own = Vec::new();
        while !sending.is_finished() {
            {
                let mut receiving = pin!(receiver.recv());
                match poll_once(receiving.as_mut()).await {
                    Some(Ok(Some(number))) => own.push(number),
                    Some(Ok(None)) => break,
                    Some(Err(error)) => panic!("{error:?}"),
                    None => {
                        // It may be woken now, and is dropped without being polled again.
                        tokio::task::yield_now().await;
                        dropped += 1;
                    }
                }
            }
        }
        drop(receiver);
        soon(sending).await.unwrap();
        let mut got = soon(all).await.unwrap();
        got.extend(own);
        got.sort_unstable();
        assert_eq!(got, (0..150).collect::<Vec<_>>(), "capacity {capacity}");
    }
    assert!(dropped > 20, "only {dropped} recvs were dropped");
}

async fn promise_14_select_over_channels_loses_nothing(on: On) {
    let (a, b) = on.pair().await;
    let (left, lefts) = channel::<u32>(&a, &b, 1).await;
    let (right, rights) = channel::<u32>(&b, &a, 0).await;
    for (sender, count) in [(left, 300), (right, 300)] {
        tokio::spawn(async move {
            for number in 0..count {
                put(&sender, number).await;
            }
        });
    }
    let (mut next_left, mut next_right, mut cancelled, mut open) = (0, 0, 0, [true, true]);
    while open[0] || open[1] {
        tokio::select! {
            got = soon(lefts.recv()), if open[0] => match got.unwrap() {
                Some(number) => { assert_eq!(number, next_left); next_left += 1; }
                None => open[0] = false,
            },
            got = soon(rights.recv()), if open[1] => match got.unwrap() {
                Some(number) => { assert_eq!(number, next_right); next_right += 1; }
                None => open[1] = false,
            },
        }
        cancelled += 1;
    }
    assert_eq!((next_left, next_right), (300, 300));
    assert!(cancelled >= 600);
}

async fn promise_14_a_dropped_reserve_gives_its_room_back(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [1, 3] {
        let (sender, receiver) = channel::<u32>(&a, &b, capacity).await;
        for number in 0..capacity as u32 {
            put(&sender, number).await;
        }
        let mut dropped = 0;
        for number in 0..100 {
            {
                let mut reserving = pin!(sender.reserve());
                if poll_once(reserving.as_mut()).await.is_none() {
                    dropped += 1;
                }
                assert_eq!(get(&receiver).await, number);
                // Room may have come for it by now; it is dropped all the same.
                yields().await;
            }
            // So is a permit.
            drop(soon(sender.reserve()).await.unwrap());
            soon(sender.reserve()).await.unwrap().send(number + capacity as u32).unwrap();
        }
        assert_eq!(dropped, 100);
    }
}

async fn promise_14_a_dropped_send_sends_nothing(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 2).await;
    put(&sender, 0).await;
    put(&sender, 1).await;
    let mut dropped = 0;
    for number in 100..150 {
        let mut sending = pin!(sender.send(number));
        if poll_once(sending.as_mut()).await.is_none() {
            dropped += 1;
        }
    }
    assert_eq!(dropped, 50);
    probe.settle().await;
    assert_eq!(get(&receiver).await, 0);
    assert_eq!(get(&receiver).await, 1);
    put(&sender, 2).await;
    drop(sender);
    assert_eq!(get(&receiver).await, 2);
    end(&receiver).await;
}

async fn promise_14_a_dropped_rendezvous_that_never_left_is_never_taken(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    for number in 0..50 {
        let mut sending = pin!(sender.send(number));
        still_pending(sending.as_mut()).await;
    }
    probe.settle().await;
    let receiving = tokio::spawn(async move { get(&receiver).await });
    put(&sender, 777).await;
    assert_eq!(soon(receiving).await.unwrap(), 777);
}

async fn promise_14_a_dropped_rendezvous_is_taken_once_or_never(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    let reading = tokio::spawn(async move {
        let mut got = Vec::new();
        while let Some(number) = receiver.recv().await.unwrap() {
            got.push(number);
        }
        got
    });
    let (mut dropped, mut completed) = (0, Vec::new());
    let mut rng = Rng::new("rendezvous");
    for number in 0..300 {
        let mut sending = pin!(sender.send(number));
        let mut done = poll_once(sending.as_mut()).await;
        for _ in 0..rng.below(4) {
            if done.is_none() {
                tokio::task::yield_now().await;
                done = poll_once(sending.as_mut()).await;
            }
        }
        match done {
            Some(result) => {
                result.unwrap();
                completed.push(number);
            }
            None => dropped += 1,
        }
    }
    put(&sender, 1000).await;
    drop(sender);
    let got = soon(reading).await.unwrap();
    assert!(got.is_sorted() && got.windows(2).all(|two| two[0] != two[1]), "in order and once: {got:?}");
    assert!(completed.iter().all(|number| got.contains(number)), "a completed send was not taken");
    assert_eq!(got.last(), Some(&1000));
    assert!(dropped > 10, "only {dropped} sends were dropped");
}

async fn promise_14_a_dropped_accept_loses_nothing(on: On) {
    let (a, b) = on.pair().await;
    let senders: Vec<_> = (0..50).map(|number| a.open::<u32>(&number.to_string()).unwrap()).collect();
    let (mut accepted, mut dropped) = (Vec::new(), 0u32);
    while accepted.len() < 50 {
        // Two wait, and one of them is dropped, perhaps after it was told.
        let mut first = Box::pin(b.accept());
        let early = poll_once(first.as_mut()).await;
        let mut second = pin!(b.accept());
        if let Some(incoming) = early {
            accepted.push(incoming.unwrap().unwrap());
            continue;
        }
        let polled = poll_once(second.as_mut()).await;
        tokio::task::yield_now().await;
        drop(first);
        dropped += 1;
        let incoming = match polled {
            Some(incoming) => incoming,
            None => soon(second).await,
        };
        accepted.push(incoming.unwrap().unwrap());
    }
    for (number, incoming) in accepted.iter().enumerate() {
        assert_eq!(incoming.name(), number.to_string());
    }
    let mut waiting = 0;
    for _ in 0..20 {
        let mut accepting = pin!(b.accept());
        waiting += u32::from(poll_once(accepting.as_mut()).await.is_none());
    }
    assert_eq!(waiting, 20);
    let late = a.open::<u32>("late").unwrap();
    assert_eq!(soon(b.accept()).await.unwrap().unwrap().name(), "late");
    drop((late, senders, dropped));
}

async fn promise_14_a_dropped_closed_leaves_nothing_behind(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    let mut dropped = 0;
    for _ in 0..100 {
        let mut watching = pin!(sender.closed());
        dropped += u32::from(poll_once(watching.as_mut()).await.is_none());
    }
    assert_eq!(dropped, 100);
    put(&sender, 1).await;
    drop(receiver);
    assert_eq!(soon(sender.closed()).await, Closed::Dropped);
}

async fn promise_14_a_dropped_copy_has_moved_whole_messages(on: On) {
    let (a, b) = on.pair().await;
    let (source, from) = channel::<u32>(&a, &b, 4).await;
    let (to, receiver) = channel::<u32>(&b, &a, 2).await;
    tokio::spawn(async move {
        for number in 0..100 {
            put(&source, number).await;
        }
    });
    let (mut dropped, mut got) = (0, Vec::new());
    while got.len() < 100 {
        {
            let mut copying = pin!(copy(from.clone(), to.clone()));
            tokio::select! {
                biased;
                result = &mut copying => assert!(result.is_ok()),
                () = yields() => dropped += 1,
            }
        }
        while let Ok(number) = receiver.try_recv() {
            got.push(number);
        }
        assert!(dropped < 100_000, "nothing moves any more: {}", got.len());
    }
    assert_eq!(got, (0..100).collect::<Vec<_>>());
    assert!(dropped > 5, "only {dropped} copies were dropped");
}

async fn promise_14_a_send_dropped_after_its_room_came_has_sent_nothing(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    for n in [1, 3] {
        for local in [false, true] {
            let (sender, receiver) = if local { pipe_with(n) } else { channel::<u32>(&a, &b, n).await };
            for number in 0..n as u32 {
                put(&sender, number).await;
            }
            let mut dropped = Box::pin(sender.send(100));
            still_pending(dropped.as_mut()).await;
            let mut behind = Box::pin(sender.send(200));
            still_pending(behind.as_mut()).await;
            assert_eq!(get(&receiver).await, 0);
            // The room for it has come, and it has not been polled since.
            probe.settle().await;
            drop(dropped);
            soon(behind).await.unwrap();
            drop(sender);
            for number in 1..n as u32 {
                assert_eq!(get(&receiver).await, number);
            }
            assert_eq!(get(&receiver).await, 200, "capacity {n}, local {local}");
            end(&receiver).await;
        }
    }
}

async fn promise_14_a_send_that_is_repeated_in_a_select_is_not_doubled(on: On) {
    let (a, b) = on.pair().await;
    for n in [1, 2] {
        let (sender, receiver) = channel::<u32>(&a, &b, n).await;
        let taking = tokio::spawn(async move {
            for number in 0..60 {
                assert_eq!(get(&receiver).await, number);
                tokio::task::yield_now().await;
            }
            end(&receiver).await;
        });
        let mut dropped = 0;
        for number in 0..60 {
            let mut patience = 0;
            loop {
                let mut sending = pin!(sender.send(number));
                if let Some(sent) = poll_once(sending.as_mut()).await {
                    break sent.unwrap();
                }
                // Others run, and its room may come, before it is given up. Now and then it is polled again meanwhile.
                yields().await;
                patience += 1;
                if patience > 3 {
                    break soon(sending).await.unwrap();
                }
                dropped += 1;
            }
        }
        assert!(dropped > 0, "nothing was cancelled");
        drop(sender);
        soon(taking).await.unwrap();
    }
}

/// A future that nobody polls keeps its room, and holds up nobody else and no end.
async fn promise_14_a_send_that_is_not_polled_holds_up_nobody(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 8).await;
    for number in 0..8 {
        put(&sender, number).await;
    }
    let mut kept = Box::pin(sender.send(100));
    still_pending(kept.as_mut()).await;
    for number in 0..8 {
        assert_eq!(get(&receiver).await, number);
    }
    probe.settle().await;
    for number in 8..40 {
        put(&sender, number).await;
        assert_eq!(get(&receiver).await, number);
    }
    sender.close();
    end(&receiver).await;
    assert_eq!(soon(kept).await.unwrap_err().value, 100);
}

libchan_tests::contract! {
    promise_14_a_send_dropped_after_its_room_came_has_sent_nothing,
    promise_14_a_send_that_is_repeated_in_a_select_is_not_doubled,
    promise_14_a_send_that_is_not_polled_holds_up_nobody,
    promise_14_a_dropped_recv_loses_nothing,
    promise_14_a_dropped_recv_passes_its_message_on,
    promise_14_select_over_channels_loses_nothing,
    promise_14_a_dropped_reserve_gives_its_room_back,
    promise_14_a_dropped_send_sends_nothing,
    promise_14_a_dropped_rendezvous_that_never_left_is_never_taken,
    promise_14_a_dropped_rendezvous_is_taken_once_or_never,
    promise_14_a_dropped_accept_loses_nothing,
    promise_14_a_dropped_closed_leaves_nothing_behind,
    promise_14_a_dropped_copy_has_moved_whole_messages,
}
