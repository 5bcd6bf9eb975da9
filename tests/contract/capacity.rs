//! Promise 2: the capacity travels with the channel. A pipe of capacity n holds n undelivered messages wherever its
//! ends are.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libchan_tests::*;

/// Exactly `n` sends complete while nobody reads; the next waits, and goes on when one message was taken.
async fn holds(n: u32, sender: &Sender<u32>, receiver: &Receiver<u32>, probe: &Probe) {
    for number in 0..n {
        put(sender, number).await;
    }
    probe.settle().await;
    assert!(sender.try_send(1000).is_err_and(|error| error.is_full()), "more than {n} were accepted");
    let mut next = pin!(sender.send(n));
    still_pending(next.as_mut()).await;
    probe.settle().await;
    still_pending(next.as_mut()).await;
    assert_eq!(get(receiver).await, 0);
    soon(next).await.unwrap();
    for number in 1..=n {
        assert_eq!(get(receiver).await, number);
    }
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
}

async fn promise_02_a_named_channel_has_the_openers_capacity(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    for n in [1, 3, 64] {
        let (sender, receiver) = channel(&a, &b, n).await;
        assert_eq!((sender.capacity(), receiver.capacity()), (n, n));
        holds(n as u32, &sender, &receiver, &probe).await;
    }
    let sender = a.open::<u32>("default").unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<u32>();
    assert_eq!((sender.capacity(), receiver.capacity()), (64, 64));
}

async fn promise_02_capacity_travels_with_the_sender(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    for n in [1, 3, 10] {
        let (sender, receiver) = pipe_with(n);
        put(&ship, sender).await;
        let sender = get(&shipped).await;
        assert_eq!(sender.capacity(), n);
        holds(n as u32, &sender, &receiver, &probe).await;
    }
}

async fn promise_02_capacity_travels_with_the_receiver(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    for n in [1, 3, 10] {
        let (sender, receiver) = pipe_with(n);
        put(&ship, receiver).await;
        let receiver = get(&shipped).await;
        assert_eq!(receiver.capacity(), n);
        holds(n as u32, &sender, &receiver, &probe).await;
    }
}

async fn promise_02_what_is_queued_before_travelling_counts(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (sender, receiver) = pipe_with(3);
    put(&sender, 0u32).await;
    put(&sender, 1).await;
    put(&ship, receiver).await;
    let receiver: Receiver<u32> = get(&shipped).await;
    probe.settle().await;
    put(&sender, 2).await;
    let mut next = pin!(sender.send(3));
    still_pending(next.as_mut()).await;
    probe.settle().await;
    still_pending(next.as_mut()).await;
    for number in 0..3 {
        assert_eq!(get(&receiver).await, number);
    }
    soon(next).await.unwrap();
    assert_eq!(get(&receiver).await, 3);
}

async fn promise_02_capacity_holds_through_relays(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (near, far) = (Probe::new(&a, &b).await, Probe::new(&c, &d).await);
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (ship_on, arrived) = channel(&c, &d, 1).await;
    for n in [1, 3] {
        // The receiver goes a -> b, and on c -> d; then the sender.
        let (sender, receiver) = pipe_with::<u32>(n);
        put(&ship, receiver).await;
        put(&ship_on, get(&shipped).await).await;
        let receiver = get(&arrived).await;
        near.settle().await;
        far.settle().await;
        for number in 0..n as u32 {
            put(&sender, number).await;
        }
        let mut next = pin!(sender.send(n as u32));
        still_pending(next.as_mut()).await;
        for _ in 0..3 {
            near.settle().await;
            far.settle().await;
        }
        still_pending(next.as_mut()).await;
        assert_eq!(get(&receiver).await, 0);
        soon(next).await.unwrap();
        for number in 1..=n as u32 {
            assert_eq!(get(&receiver).await, number);
        }
    }
}

async fn promise_02_a_sender_through_two_links_has_the_capacity(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (near, far) = (Probe::new(&a, &b).await, Probe::new(&c, &d).await);
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (ship_on, arrived) = channel(&c, &d, 1).await;
    let (sender, receiver) = pipe_with::<u32>(3);
    put(&ship, sender).await;
    put(&ship_on, get(&shipped).await).await;
    let sender = get(&arrived).await;
    for number in 0..3 {
        put(&sender, number).await;
    }
    for _ in 0..3 {
        far.settle().await;
        near.settle().await;
    }
    let mut next = pin!(sender.send(3));
    still_pending(next.as_mut()).await;
    for _ in 0..3 {
        far.settle().await;
        near.settle().await;
    }
    still_pending(next.as_mut()).await;
    assert_eq!(get(&receiver).await, 0);
    soon(next).await.unwrap();
    for number in 1..=3 {
        assert_eq!(get(&receiver).await, number);
    }
}

async fn promise_02_several_remote_senders_have_n_each(on: On) {
    if on == On::Memory {
        // In one process they are clones of one end and share its n.
        return;
    }
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 4).await;
    let (sender, receiver) = pipe_with::<u32>(2);
    put(&ship, sender.clone()).await;
    put(&ship, sender).await;
    let senders = [get(&shipped).await, get(&shipped).await];
    for sender in &senders {
        for number in 0..2 {
            put(sender, number).await;
        }
    }
    probe.settle().await;
    for sender in &senders {
        assert!(sender.try_send(9).is_err_and(|error| error.is_full()));
    }
    let mut sum = 0;
    for _ in 0..4 {
        sum += get(&receiver).await;
    }
    assert_eq!(sum, 2);
}

async fn promise_02_with_several_receivers_n_are_held_at_home(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 4).await;
    let (sender, home) = pipe_with::<u32>(2);
    put(&ship, home.clone()).await;
    let worker: Receiver<u32> = get(&shipped).await;
    probe.settle().await;
    // Nobody waits: two at home and no more.
    put(&sender, 0).await;
    put(&sender, 1).await;
    probe.settle().await;
    assert!(sender.try_send(9).is_err_and(|error| error.is_full()));
    // One recv waits there: it gets one, and there is room for one more.
    assert_eq!(get(&worker).await, 0);
    put(&sender, 2).await;
    probe.settle().await;
    assert!(sender.try_send(9).is_err_and(|error| error.is_full()));
    assert_eq!(get(&home).await, 1);
    assert_eq!(get(&home).await, 2);
}

/// `try_send` says Full though some was taken that its side has not told of: the last message makes it tell, so that is room a
/// moment later, without another word of the receiver's application.
async fn promise_02_what_was_taken_is_room_soon_after_full(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 64).await;
    for number in 0..31 {
        put(&sender, number).await;
    }
    for number in 0..31 {
        assert_eq!(get(&receiver).await, number);
    }
    let mut accepted = 0;
    while accepted < 64 {
        match sender.try_send(31 + accepted) {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert!(error.is_full());
                drop(soon(sender.reserve()).await.unwrap());
            }
        }
    }
    still_pending(pin!(sender.reserve())).await;
    for number in 31..95 {
        assert_eq!(get(&receiver).await, number);
    }
}

/// Permits that keep up to half of a small capacity hold nobody up: what was taken is told at once, though the other side, which
/// does not know of them, sees that there is room yet. Nothing else is written meanwhile.
async fn promise_02_kept_permits_do_not_delay_other_senders(on: On) {
    let (a, b) = on.pair().await;
    for n in 2..=8 {
        let (sender, receiver) = channel::<usize>(&a, &b, n).await;
        let other = sender.clone();
        let mut permits = Vec::new();
        for _ in 0..n / 2 {
            permits.push(soon(sender.reserve()).await.unwrap());
        }
        for number in 0..3 * n {
            put(&other, number).await;
            assert_eq!(get(&receiver).await, number, "capacity {n}");
        }
        for permit in permits {
            permit.send(1000).unwrap();
            assert_eq!(get(&receiver).await, 1000);
        }
    }
}

async fn promise_02_one_message_taken_makes_room_for_one(on: On) {
    // On several threads: what is between the queue and the session is held too.
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    for n in [1, 2] {
        for _ in 0..6 {
            let (sender, receiver) = channel::<u32>(&a, &b, n).await;
            let completed = Arc::new(AtomicUsize::new(0));
            let counted = completed.clone();
            let sending = tokio::spawn(async move {
                for number in 0..8 {
                    put(&sender, number).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
            for number in 0..8 {
                let held = (number as usize + n).min(8);
                eventually(|| completed.load(Ordering::SeqCst) >= held).await;
                probe.settle().await;
                assert_eq!(completed.load(Ordering::SeqCst), held, "capacity {n}, {number} taken");
                assert_eq!(get(&receiver).await, number);
            }
            end(&receiver).await;
            soon(sending).await.unwrap();
        }
    }
}

async fn promise_02_what_waits_is_counted_wherever_it_waits(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 8).await;
    assert!(receiver.is_empty());
    for number in 0..5 {
        put(&sender, number).await;
    }
    probe.settle().await;
    assert_eq!((receiver.len(), receiver.is_empty()), (5, false));
    for number in 0..5 {
        assert_eq!(receiver.len(), 5 - number);
        assert_eq!(receiver.try_recv(), Ok(number as u32));
    }
    assert!(receiver.is_empty());
    // Several remote senders.
    let (ship, shipped) = channel(&a, &b, 4).await;
    let (sender, receiver) = pipe_with::<u32>(8);
    put(&ship, sender.clone()).await;
    let away: Sender<u32> = get(&shipped).await;
    put(&sender, 1).await;
    put(&away, 2).await;
    put(&away, 3).await;
    probe.settle().await;
    assert_eq!(receiver.len(), 3);
}

async fn promise_02_a_limit_by_bytes_holds_beside_the_capacity(on: On) {
    const LIMIT: usize = 100_000;
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Blob>(&a, &b, 64).await;
    sender.set_byte_limit(LIMIT);
    let mut accepted = 0;
    while sender.try_send(blob(20_000, accepted)).is_ok() {
        accepted += 1;
    }
    let (messages, bytes) = sender.queued();
    if on.encodes() {
        assert!(accepted < 64 && messages > 0, "{accepted} were accepted, {messages} wait");
        assert!((LIMIT..LIMIT + 20_100).contains(&bytes), "{bytes} bytes wait");
    } else {
        assert_eq!((accepted, bytes), (64, 0));
    }
    let sending = tokio::spawn(async move {
        put(&sender, blob(20_000, accepted)).await;
        // Without the limit the rest of the capacity is there.
        sender.set_byte_limit(usize::MAX);
        for seed in 0..30 {
            put(&sender, blob(10, seed)).await;
        }
        eventually(|| sender.queued() == (0, 0)).await;
    });
    for seed in 0..=accepted {
        assert!(get(&receiver).await == blob(20_000, seed));
    }
    for seed in 0..30 {
        assert!(get(&receiver).await == blob(10, seed));
    }
    soon(sending).await.unwrap();
}

async fn promise_06_a_future_of_its_own_says_when_the_channel_ends(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 4).await;
    let mut closed = Box::pin(sender.closed_owned());
    still_pending(closed.as_mut()).await;
    receiver.close_with(RemoteError::new(7, "enough"));
    assert_eq!(soon(closed).await, Closed::Refused(RemoteError::new(7, "enough")));
    let (sender, receiver) = channel::<u32>(&a, &b, 4).await;
    let mut closed = Box::pin(sender.closed_owned());
    still_pending(closed.as_mut()).await;
    drop(sender);
    end(&receiver).await;
    assert_eq!(soon(closed).await, Closed::BySender);
}

async fn promise_02_a_message_above_every_window_passes(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Blob>(&a, &b, 1).await;
    let body = blob(400_000, 3);
    let sending = tokio::spawn({
        let body = body.clone();
        async move { put(&sender, body).await }
    });
    assert!(get(&receiver).await == body);
    sending.await.unwrap();
    end(&receiver).await;
}

async fn promise_02_large_messages_within_a_small_window_flow(on: On) {
    // Each message is larger than the byte window: credit must come back for every one of them.
    let limits = Limits { initial_window: 256, max_window: 1024, ..Limits::default() };
    let options = SessionOptions::new().limits(limits);
    let (a, b) = on.pair_with(options.clone(), options).await;
    let (sender, receiver) = channel::<Blob>(&a, &b, 64).await;
    tokio::spawn(async move {
        for seed in 0..60 {
            put(&sender, blob(700 + seed * 40, seed as u64)).await;
        }
    });
    for seed in 0..60 {
        assert!(get(&receiver).await == blob(700 + seed * 40, seed as u64));
    }
    end(&receiver).await;
}

async fn promise_02_refilling_one_by_one_never_stalls(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [1, 2, 3, 7] {
        let (sender, receiver) = channel::<u32>(&a, &b, capacity).await;
        for number in 0..capacity as u32 {
            put(&sender, number).await;
        }
        for number in 0..100 {
            assert_eq!(get(&receiver).await, number);
            put(&sender, number + capacity as u32).await;
        }
    }
}

libchan_tests::contract! {
    promise_02_a_named_channel_has_the_openers_capacity,
    promise_02_capacity_travels_with_the_sender,
    promise_02_capacity_travels_with_the_receiver,
    promise_02_what_is_queued_before_travelling_counts,
    promise_02_capacity_holds_through_relays,
    promise_02_a_sender_through_two_links_has_the_capacity,
    promise_02_several_remote_senders_have_n_each,
    promise_02_with_several_receivers_n_are_held_at_home,
    promise_02_what_was_taken_is_room_soon_after_full,
    promise_02_kept_permits_do_not_delay_other_senders,
    promise_02_one_message_taken_makes_room_for_one,
    promise_02_a_limit_by_bytes_holds_beside_the_capacity,
    promise_06_a_future_of_its_own_says_when_the_channel_ends,
    promise_02_what_waits_is_counted_wherever_it_waits,
    promise_02_a_message_above_every_window_passes,
    promise_02_large_messages_within_a_small_window_flow,
    promise_02_refilling_one_by_one_never_stalls,
}
