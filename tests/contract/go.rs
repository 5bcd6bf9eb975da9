//! Equivalents of Go's channel tests (`test/chan/*.go`, `runtime/chan_test.go`), with one end across a session.

use std::pin::pin;

use libchan_tests::*;
use serde::{Deserialize, Serialize};

/// A channel of this capacity whose receiver is across.
async fn far<T: Message>(a: &Session, b: &Session, capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(a, b, capacity).await
}

/// fifo.go: asynchronous and synchronous first in, first out.
async fn fifo(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = far(&a, &b, 10).await;
    for number in 0..10 {
        put(&sender, number).await;
    }
    for number in 0..10 {
        assert_eq!(get(&receiver).await, number);
    }
    // A chain of tasks, each of which takes one value and lets the next one go on.
    let (sender, receiver) = far(&a, &b, 0).await;
    let (first, mut gate) = pipe_with::<u32>(0);
    for number in 0..10 {
        let (next, next_gate) = pipe_with(0);
        let receiver = receiver.clone();
        tokio::spawn(async move {
            assert_eq!(get(&gate).await, 0);
            assert_eq!(get(&receiver).await, number);
            put(&next, 0).await;
        });
        gate = next_gate;
    }
    let sending = tokio::spawn(async move {
        for number in 0..10 {
            put(&sender, number).await;
        }
    });
    put(&first, 0).await;
    assert_eq!(get(&gate).await, 0);
    sending.await.unwrap();
}

/// sieve1.go: primes by a chain of filters; every second filter sits behind the session.
async fn sieve(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 1).await;
    let (generate, mut numbers) = pipe_with(1);
    tokio::spawn(async move {
        let mut number = 2;
        while generate.send(number).await.is_ok() {
            number += 1;
        }
    });
    let mut primes = Vec::new();
    for count in 0..15 {
        let prime = get(&numbers).await;
        primes.push(prime);
        let (out, filtered) = pipe_with(1);
        let input = numbers;
        tokio::spawn(async move {
            while let Ok(Some(number)) = input.recv().await {
                if number % prime != 0 && out.send(number).await.is_err() {
                    break;
                }
            }
        });
        numbers = filtered;
        if count % 3 == 0 {
            put(&ship, numbers).await;
            numbers = get(&shipped).await;
        }
    }
    assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]);
}

/// doubleselect.go: two receivers of one channel in a select each; no value comes twice.
async fn double_select(on: On) {
    let (a, b) = on.pair().await;
    let (c1, r1) = far::<u32>(&a, &b, 0).await;
    let (c2, r2) = far::<u32>(&a, &b, 0).await;
    let (c3, r3) = far::<u32>(&a, &b, 0).await;
    let (done, dones) = far::<u32>(&a, &b, 0).await;
    let sending = tokio::spawn(async move {
        let mut counts = [0; 3];
        for number in 0..400 {
            tokio::select! {
                permit = c1.reserve() => { permit.unwrap().send(number).unwrap(); counts[0] += 1; }
                permit = c2.reserve() => { permit.unwrap().send(number).unwrap(); counts[1] += 1; }
                permit = c3.reserve() => { permit.unwrap().send(number).unwrap(); counts[2] += 1; }
            }
        }
        drop((c1, c2, c3));
        drop(done);
        counts
    });
    let (merged, all) = pipe::<u32>();
    for receiver in [r1, r2, r3] {
        let merged = merged.clone();
        tokio::spawn(async move {
            while let Some(number) = receiver.recv().await.unwrap() {
                put(&merged, number).await;
            }
        });
    }
    drop(merged);
    let mut got = Vec::new();
    while let Some(number) = soon(all.recv()).await.unwrap() {
        got.push(number);
    }
    got.sort_unstable();
    assert_eq!(got, (0..400).collect::<Vec<_>>());
    let counts = soon(sending).await.unwrap();
    assert_eq!(counts.iter().sum::<u32>(), 400);
    end(&dones).await;
}

/// TestSelectFairness: of two channels that are always ready, each is chosen often.
async fn select_fairness(on: On) {
    let (a, b) = on.pair().await;
    let (c1, r1) = far::<u8>(&a, &b, 32).await;
    let (c2, r2) = far::<u8>(&a, &b, 32).await;
    for sender in [c1, c2] {
        tokio::spawn(async move { while sender.send(1).await.is_ok() {} });
    }
    let mut counts = [0u32; 2];
    for _ in 0..1000 {
        // The machine may let one of the senders wait for a processor: that is no choice.
        eventually(|| !r1.is_empty() && !r2.is_empty()).await;
        tokio::select! {
            got = r1.recv() => { got.unwrap().unwrap(); counts[0] += 1; }
            got = r2.recv() => { got.unwrap().unwrap(); counts[1] += 1; }
        }
    }
    assert!(counts.iter().all(|count| *count > 200), "{counts:?}");
}

/// TestPseudoRandomSend and select3.go: a select with a full, a closed and a ready channel takes the ready one.
async fn select_chooses_what_is_ready(on: On) {
    let (a, b) = on.pair().await;
    let (full, _unread) = far::<u32>(&a, &b, 1).await;
    put(&full, 0).await;
    let (ready, reader) = far::<u32>(&a, &b, 1).await;
    for _ in 0..50 {
        tokio::select! {
            permit = full.reserve() => panic!("room in a full channel: {:?}", permit.is_ok()),
            permit = ready.reserve() => permit.unwrap().send(1).unwrap(),
        }
        assert_eq!(get(&reader).await, 1);
    }
    // A closed one is ready at once, as in Go.
    drop(reader);
    soon(ready.closed()).await;
    tokio::select! {
        permit = full.reserve() => panic!("room in a full channel: {:?}", permit.is_ok()),
        permit = ready.reserve() => assert_eq!(permit.err(), Some(Closed::Dropped)),
    }
}

/// closed.go: a closed channel gives what it holds, then the end for ever; closing and sending again are errors.
async fn closed_channels(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [1, 2] {
        let (sender, receiver) = far(&a, &b, capacity).await;
        put(&sender, 1).await;
        sender.close();
        assert_eq!(get(&receiver).await, 1);
        for _ in 0..3 {
            end(&receiver).await;
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Ended));
        }
        assert_eq!(refused(&sender, 2).await.value, 2);
        sender.close();
    }
}

/// TestChan: a close while many are blocked wakes them all.
async fn close_while_blocked(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = far::<u32>(&a, &b, 0).await;
    let blocked: Vec<_> = (0..8)
        .map(|_| {
            let receiver = receiver.clone();
            tokio::spawn(async move { receiver.recv().await })
        })
        .collect();
    yields().await;
    sender.close();
    for task in blocked {
        assert_eq!(soon(task).await.unwrap(), Ok(None));
    }
    let (sender, receiver) = far::<u32>(&a, &b, 0).await;
    let blocked: Vec<_> = (0..8)
        .map(|number| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(number).await.map_err(|error| error.value) })
        })
        .collect();
    yields().await;
    receiver.close();
    for (number, task) in blocked.into_iter().enumerate() {
        assert_eq!(soon(task).await.unwrap(), Err(number as u32));
    }
}

/// TestNonblockRecvRace: a value sent before a close is there for a non-blocking receive after it.
async fn nonblocking_receive_after_close(on: On) {
    let (a, b) = on.pair().await;
    for _ in 0..50 {
        let (sender, receiver) = far::<u32>(&a, &b, 1).await;
        put(&sender, 1).await;
        sender.close();
        let mut first = None;
        eventually(|| match receiver.try_recv() {
            Ok(number) => {
                first = Some(number);
                true
            }
            Err(error) => {
                assert_eq!(error, TryRecvError::Empty);
                false
            }
        })
        .await;
        assert_eq!(first, Some(1));
        end(&receiver).await;
    }
}

/// TestSelfSelect: one task selects between sending to and receiving from the same channel.
async fn self_select(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [1, 10] {
        let (sender, receiver) = far::<u32>(&a, &b, capacity).await;
        let mut tasks = Vec::new();
        for own in 0..2u32 {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            tasks.push(tokio::spawn(async move {
                let (mut sent, mut got) = (0, 0);
                while sent < 200 {
                    tokio::select! {
                        permit = sender.reserve() => { permit.unwrap().send(own).unwrap(); sent += 1; }
                        value = receiver.recv() => { value.unwrap().unwrap(); got += 1; }
                    }
                }
                got
            }));
        }
        drop(sender);
        let mut got = 0;
        for task in tasks {
            got += soon(task).await.unwrap();
        }
        while soon(receiver.recv()).await.unwrap().is_some() {
            got += 1;
        }
        assert_eq!(got, 400);
    }
}

/// TestMultiConsumer: primes multiply their way through several workers, and the sum is right.
async fn multi_consumer(on: On) {
    let (a, b) = on.pair().await;
    let (work, queue) = far::<u64>(&a, &b, 10).await;
    let (done, results) = channel::<u64>(&b, &a, 10).await;
    for number in 0..7u32 {
        let (queue, done) = (queue.clone(), done.clone());
        tokio::spawn(async move {
            while let Some(value) = queue.recv().await.unwrap() {
                if value % 3 == u64::from(number) % 3 {
                    tokio::task::yield_now().await;
                }
                put(&done, value * value).await;
            }
        });
    }
    drop((queue, done));
    let primes = [2u64, 3, 7, 11, 13, 17, 19, 23, 27, 31];
    tokio::spawn(async move {
        for number in 0..300 {
            put(&work, primes[number % 10]).await;
        }
    });
    let mut sum = 0;
    while let Some(value) = soon(results.recv()).await.unwrap() {
        sum += value;
    }
    assert_eq!(sum, 30 * primes.iter().map(|prime| prime * prime).sum::<u64>());
}

/// TestSelectStress: four channels of capacities 0, 0, 2, 3, each with a plain sender and receiver and a selecting one.
async fn select_stress(on: On) {
    let (a, b) = on.pair().await;
    let mut channels = Vec::new();
    for capacity in [0, 0, 2, 3] {
        channels.push(far::<u32>(&a, &b, capacity).await);
    }
    let each = 60;
    let mut tasks = Vec::new();
    for (sender, receiver) in &channels {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0..each {
                put(&sender, number).await;
            }
        }));
        tasks.push(tokio::spawn(async move {
            for _ in 0..each {
                get(&receiver).await;
            }
        }));
    }
    let (s, r): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
    tasks.push(tokio::spawn(async move {
        let mut left = [each; 4];
        while left != [0; 4] {
            let chosen = tokio::select! {
                permit = s[0].reserve(), if left[0] > 0 => { permit.unwrap().send(0).unwrap(); 0 }
                permit = s[1].reserve(), if left[1] > 0 => { permit.unwrap().send(1).unwrap(); 1 }
                permit = s[2].reserve(), if left[2] > 0 => { permit.unwrap().send(2).unwrap(); 2 }
                permit = s[3].reserve(), if left[3] > 0 => { permit.unwrap().send(3).unwrap(); 3 }
            };
            left[chosen] -= 1;
        }
    }));
    tasks.push(tokio::spawn(async move {
        let mut left = [each; 4];
        while left != [0; 4] {
            let chosen = tokio::select! {
                value = r[0].recv(), if left[0] > 0 => { value.unwrap().unwrap(); 0 }
                value = r[1].recv(), if left[1] > 0 => { value.unwrap().unwrap(); 1 }
                value = r[2].recv(), if left[2] > 0 => { value.unwrap().unwrap(); 2 }
                value = r[3].recv(), if left[3] > 0 => { value.unwrap().unwrap(); 3 }
            };
            left[chosen] -= 1;
        }
    }));
    for task in tasks {
        soon(task).await.unwrap();
    }
}

#[derive(Serialize, Deserialize)]
struct Demand {
    reply: Sender<i64>,
}

/// powser1.go in small: power series as demand channels; products and sums of series, term by term.
async fn power_series(on: On) {
    fn series(terms: impl Fn(u32) -> i64 + Send + 'static) -> Sender<Demand> {
        let (demands, demanded) = pipe_with::<Demand>(0);
        tokio::spawn(async move {
            let mut at = 0;
            while let Ok(Some(demand)) = demanded.recv().await {
                let _ = demand.reply.send(terms(at)).await;
                at += 1;
            }
        });
        demands
    }
    async fn term(series: &Sender<Demand>) -> i64 {
        let (reply, answer) = pipe_with(1);
        put(series, Demand { reply }).await;
        get(&answer).await
    }
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<Demand>>(&a, &b, 1).await;
    let mut far = Vec::new();
    for start in [1, 2] {
        put(&ship, series(move |at| start + i64::from(at))).await;
        far.push(get(&shipped).await);
    }
    // The Cauchy product of (1, 2, 3, ..) and (2, 3, 4, ..).
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut product = Vec::new();
    for at in 0..12 {
        left.push(term(&far[0]).await);
        right.push(term(&far[1]).await);
        product.push((0..=at).map(|i| left[i] * right[at - i]).sum::<i64>());
    }
    assert_eq!(product[..6], [2, 7, 16, 30, 50, 77]);
}

/// nul1.go, select with nothing ready: a `biased` select with an always ready branch never takes a value that is not
/// there, and leaves no waiter behind.
async fn default_branch(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = far::<u32>(&a, &b, 1).await;
    let mut defaults = 0;
    for _ in 0..100 {
        tokio::select! {
            biased;
            value = receiver.recv() => panic!("{value:?}"),
            () = std::future::ready(()) => defaults += 1,
        }
    }
    assert_eq!(defaults, 100);
    put(&sender, 5).await;
    assert_eq!(get(&receiver).await, 5);
}

/// perm.go is the compiler's here: `Sender` has no `recv`, `Receiver` no `send`. select6.go: a waiter that is removed
/// from the middle of the line.
async fn removal_from_the_line(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = far::<bool>(&a, &b, 0).await;
    let (other, others) = far::<bool>(&a, &b, 0).await;
    {
        let mut first = pin!(receiver.recv());
        still_pending(first.as_mut()).await;
        {
            let mut second = pin!(receiver.recv());
            still_pending(second.as_mut()).await;
            tokio::spawn(async move { put(&other, true).await });
            assert!(get(&others).await);
        }
        let mut third = pin!(receiver.recv());
        still_pending(third.as_mut()).await;
        tokio::spawn(async move {
            put(&sender, true).await;
            put(&sender, false).await;
        });
        let mut got = vec![soon(first).await, soon(third).await];
        got.sort_by_key(|value| value == &Ok(Some(true)));
        assert_eq!(got, [Ok(Some(false)), Ok(Some(true))]);
    }
    end(&receiver).await;
}

libchan_tests::contract! {
    fifo,
    sieve,
    double_select,
    select_fairness,
    select_chooses_what_is_ready,
    closed_channels,
    close_while_blocked,
    nonblocking_receive_after_close,
    self_select,
    multi_consumer,
    select_stress,
    power_series,
    default_branch,
    removal_from_the_line,
}
