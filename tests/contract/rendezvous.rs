//! Promise 2, capacity 0: `send` completes when a receiver has taken the value, in one process and across a network.

use std::pin::pin;

use libchan_tests::*;

async fn promise_02_a_rendezvous_completes_when_taken(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    for number in 0..20 {
        let mut sending = pin!(sender.send(number));
        still_pending(sending.as_mut()).await;
        probe.settle().await;
        still_pending(sending.as_mut()).await;
        assert_eq!(get(&receiver).await, number);
        soon(sending).await.unwrap();
    }
}

async fn promise_02_a_grant_is_not_enough(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    {
        // It asks, and is dropped.
        let mut asking = pin!(receiver.recv());
        still_pending(asking.as_mut()).await;
        probe.settle().await;
    }
    let mut sending = pin!(sender.send(7));
    still_pending(sending.as_mut()).await;
    probe.settle().await;
    still_pending(sending.as_mut()).await;
    assert_eq!(get(&receiver).await, 7);
    soon(sending).await.unwrap();
}

async fn promise_02_a_value_that_arrives_for_nobody_is_not_taken(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    let mut sending = pin!(sender.send(7));
    still_pending(sending.as_mut()).await;
    {
        // The recv is alive until the value may have arrived, but is not polled again.
        let mut asking = pin!(receiver.recv());
        still_pending(asking.as_mut()).await;
        probe.settle().await;
    }
    assert_eq!(get(&receiver).await, 7);
    soon(sending).await.unwrap();
}

async fn promise_02_a_rendezvous_travels_with_either_end(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship_sender, senders) = channel(&a, &b, 1).await;
    let (ship_receiver, receivers) = channel(&a, &b, 1).await;
    let (left, right) = pipe_with::<u32>(0);
    put(&ship_sender, left).await;
    let left: Sender<u32> = get(&senders).await;
    let (near, far) = pipe_with::<u32>(0);
    put(&ship_receiver, far).await;
    let far: Receiver<u32> = get(&receivers).await;
    for (sender, receiver) in [(left, right), (near, far)] {
        for number in 0..10 {
            let mut sending = pin!(sender.send(number));
            still_pending(sending.as_mut()).await;
            probe.settle().await;
            still_pending(sending.as_mut()).await;
            assert_eq!(get(&receiver).await, number);
            soon(sending).await.unwrap();
        }
    }
}

async fn promise_02_a_rendezvous_holds_through_a_relay(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (near, far) = (Probe::new(&a, &b).await, Probe::new(&c, &d).await);
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (ship_on, arrived) = channel(&c, &d, 1).await;
    let (sender, receiver) = pipe_with::<u32>(0);
    put(&ship, receiver).await;
    put(&ship_on, get(&shipped).await).await;
    let receiver: Receiver<u32> = get(&arrived).await;
    for number in 0..10 {
        let mut sending = pin!(sender.send(number));
        still_pending(sending.as_mut()).await;
        for _ in 0..2 {
            near.settle().await;
            far.settle().await;
        }
        still_pending(sending.as_mut()).await;
        assert_eq!(get(&receiver).await, number);
        soon(sending).await.unwrap();
    }
}

async fn promise_02_try_send_hands_over_to_a_waiting_receiver(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    assert!(sender.try_send(1).is_err_and(|error| error.is_full() && error.into_value() == 1));
    let waiting = tokio::spawn(async move { (get(&receiver).await, receiver) });
    let mut tries = 0u32;
    while sender.try_send(2).is_err() {
        tries += 1;
        assert!(tries < 1000, "a waiting receiver is never seen");
        probe.settle().await;
    }
    let (got, receiver) = soon(waiting).await.unwrap();
    assert_eq!(got, 2);
    assert!(sender.try_send(3).is_err_and(|error| error.is_full()));
    drop(receiver);
}

async fn promise_02_a_permit_is_a_waiting_receiver(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    let mut reserving = pin!(sender.reserve());
    assert!(poll_once(reserving.as_mut()).await.is_none());
    probe.settle().await;
    assert!(poll_once(reserving.as_mut()).await.is_none());
    let waiting = tokio::spawn(async move { get(&receiver).await });
    soon(reserving).await.unwrap().send(5).unwrap();
    assert_eq!(soon(waiting).await.unwrap(), 5);
}

async fn promise_02_a_ping_pong_of_rendezvous(on: On) {
    let (a, b) = on.pair().await;
    let (there, at_b) = channel::<u32>(&a, &b, 0).await;
    let (back, at_a) = channel::<u32>(&b, &a, 0).await;
    tokio::spawn(async move {
        while let Ok(Some(number)) = at_b.recv().await {
            put(&back, number + 1).await;
        }
    });
    for number in 0..100 {
        put(&there, number).await;
        assert_eq!(get(&at_a).await, number + 1);
    }
    drop(there);
    end(&at_a).await;
}

async fn promise_02_many_senders_meet_many_receivers_once_each(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel(&a, &b, 8).await;
    let (sender, receiver) = pipe_with::<u32>(0);
    let (report, reported) = pipe::<u32>();
    for _ in 0..3 {
        put(&ship, sender.clone()).await;
    }
    for own in 0..3 {
        let sender: Sender<u32> = get(&shipped).await;
        tokio::spawn(async move {
            for number in 0..40 {
                put(&sender, own * 40 + number).await;
            }
        });
    }
    drop(sender);
    for _ in 0..3 {
        let (receiver, report) = (receiver.clone(), report.clone());
        tokio::spawn(async move {
            while let Some(number) = receiver.recv().await.unwrap() {
                put(&report, number).await;
            }
        });
    }
    drop((receiver, report));
    let mut all = Vec::new();
    while let Some(number) = soon(reported.recv()).await.unwrap() {
        all.push(number);
    }
    all.sort_unstable();
    assert_eq!(all, (0..120).collect::<Vec<_>>());
}

libchan_tests::contract! {
    promise_02_a_rendezvous_completes_when_taken,
    promise_02_a_grant_is_not_enough,
    promise_02_a_rendezvous_travels_with_either_end,
    promise_02_a_rendezvous_holds_through_a_relay,
    promise_02_try_send_hands_over_to_a_waiting_receiver,
    promise_02_a_permit_is_a_waiting_receiver,
    promise_02_a_ping_pong_of_rendezvous,
    promise_02_many_senders_meet_many_receivers_once_each,
}

mod remote {
    use super::promise_02_a_value_that_arrives_for_nobody_is_not_taken;
    libchan_tests::contract_links! { promise_02_a_value_that_arrives_for_nobody_is_not_taken }
}
