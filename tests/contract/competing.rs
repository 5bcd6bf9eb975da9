//! Promise 3: ends can be cloned. Cloned receivers compete, and a shared receiver is served on demand, so that clones
//! of it, sent to each of many workers, are a distributed work queue.

use std::pin::pin;

use libchan_tests::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
    number: u32,
    done: Sender<(u32, u32)>,
}

async fn promise_03_each_message_goes_to_exactly_one_clone(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    for capacity in [0, 1, 4, 64] {
        let (sender, home) = pipe_with::<u32>(capacity);
        put(&ship, home.clone()).await;
        let away: Receiver<u32> = get(&shipped).await;
        let (report, reported) = pipe::<(u8, u32)>();
        for (who, receiver) in [(0, home), (1, away)] {
            let report = report.clone();
            tokio::spawn(async move {
                while let Some(number) = receiver.recv().await.unwrap() {
                    put(&report, (who, number)).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        drop(report);
        tokio::spawn(async move {
            for number in 0..120 {
                put(&sender, number).await;
            }
        });
        let mut got = [Vec::new(), Vec::new()];
        while let Some((who, number)) = soon(reported.recv()).await.unwrap() {
            got[usize::from(who)].push(number);
        }
        assert!(got.iter().all(|own| own.is_sorted()), "each sees its own in order");
        let mut all = got.concat();
        all.sort_unstable();
        assert_eq!(all, (0..120).collect::<Vec<_>>(), "capacity {capacity}");
    }
}

async fn promise_03_both_sides_are_served(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (sender, home) = pipe_with::<u32>(8);
    put(&ship, home.clone()).await;
    let away: Receiver<u32> = get(&shipped).await;
    let mut counts = [0, 0];
    let (mut at_home, mut at_away) = (Box::pin(home.recv()), Box::pin(away.recv()));
    for _ in 0..60 {
        // Both wait when the message comes.
        assert!(poll_once(at_home.as_mut()).await.is_none());
        if poll_once(at_away.as_mut()).await.is_some() {
            panic!("a message too many");
        }
        probe.settle().await;
        put(&sender, 1).await;
        tokio::select! {
            _ = &mut at_home => { counts[0] += 1; at_home = Box::pin(home.recv()); }
            _ = &mut at_away => { counts[1] += 1; at_away = Box::pin(away.recv()); }
        }
    }
    assert!(counts[0] >= 15 && counts[1] >= 15, "one of them starves: {counts:?}");
}

async fn promise_03_a_worker_holds_no_more_than_its_waiting_recvs(on: On) {
    // The pitfall: one `wanted` for each recv call. Ten dropped recvs put every job into one worker's hand.
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (jobs, home) = pipe_with::<u32>(4);
    put(&ship, home.clone()).await;
    let worker: Receiver<u32> = get(&shipped).await;
    let mut cancelled = 0;
    for _ in 0..10 {
        let mut asking = pin!(worker.recv());
        if poll_once(asking.as_mut()).await.is_none() {
            cancelled += 1;
        }
        probe.settle().await;
    }
    assert_eq!(cancelled, 10);
    for number in 0..4 {
        put(&jobs, number).await;
    }
    probe.settle().await;
    drop(jobs);
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(get(&home).await);
    }
    // The fourth is in the worker's hand, or at home if it was never sent.
    tokio::select! {
        last = get(&home) => got.push(last),
        last = get(&worker) => got.push(last),
    }
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3]);
    end(&home).await;
    end(&worker).await;
}

async fn promise_03_the_job_of_a_worker_that_leaves_goes_to_another(on: On) {
    for capacity in [0, 4] {
        let (a, b) = on.pair().await;
        let probe = Probe::new(&a, &b).await;
        let (ship, shipped) = channel(&a, &b, 1).await;
        let (jobs, home) = pipe_with::<u32>(capacity);
        put(&ship, home.clone()).await;
        let worker: Receiver<u32> = get(&shipped).await;
        {
            let mut asking = pin!(worker.recv());
            still_pending(asking.as_mut()).await;
            probe.settle().await;
        }
        let sending = tokio::spawn(async move { put(&jobs, 42).await });
        probe.settle().await;
        drop(worker);
        assert_eq!(get(&home).await, 42, "capacity {capacity}");
        soon(sending).await.unwrap();
        end(&home).await;
    }
}

async fn promise_03_the_job_of_a_lost_worker_is_gone_and_its_reply_channel_says_so(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (jobs, home) = pipe_with::<Job>(4);
    put(&ship, home.clone()).await;
    let worker: Receiver<Job> = get(&shipped).await;
    {
        let mut asking = pin!(worker.recv());
        still_pending(asking.as_mut()).await;
        probe.settle().await;
    }
    let (done, outcome) = pipe();
    put(&jobs, Job { number: 1, done }).await;
    probe.settle().await;
    b.abort();
    assert_eq!(fail(&outcome).await, RecvError::Disconnected);
    // The queue lives on.
    let (done, _outcome) = pipe();
    put(&jobs, Job { number: 2, done }).await;
    assert_eq!(get(&home).await.number, 2);
    drop(worker);
}

async fn promise_03_a_work_queue_over_three_sessions(on: On) {
    // Each worker has a session of its own, with a codec of its own where values are encoded.
    let (jobs, inbox) = pipe_with::<Job>(2);
    let (done, outcomes) = pipe::<(u32, u32)>();
    let mut sessions = Vec::new();
    for codec in [AnyCodec::msgpack(), AnyCodec::json(), AnyCodec::cbor()] {
        let options = || SessionOptions::new().codecs([codec.clone()]);
        let (a, b) = on.pair_with(options(), options()).await;
        let (ship, shipped) = channel(&a, &b, 1).await;
        put(&ship, inbox.clone()).await;
        let who = sessions.len() as u32;
        let worker: Receiver<Job> = get(&shipped).await;
        tokio::spawn(async move {
            while let Some(job) = worker.recv().await.unwrap() {
                put(&job.done, (who, job.number)).await;
            }
        });
        sessions.push((a, b));
    }
    drop(inbox);
    let sending = tokio::spawn(async move {
        for number in 0..90 {
            put(&jobs, Job { number, done: done.clone() }).await;
        }
    });
    let mut numbers = Vec::new();
    let mut by_worker = [0; 3];
    while let Some((who, number)) = soon(outcomes.recv()).await.unwrap() {
        numbers.push(number);
        by_worker[who as usize] += 1;
    }
    sending.await.unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..90).collect::<Vec<_>>());
    assert!(by_worker.iter().all(|count| *count > 0), "a worker got nothing: {by_worker:?}");
}

async fn promise_03_the_last_remote_clone_gets_the_window(on: On) {
    // The pitfall: sole or shared decided once. The home clone is dropped later, so n messages go without a recv.
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    let (sender, home) = pipe_with::<u32>(3);
    put(&ship, home.clone()).await;
    let away: Receiver<u32> = get(&shipped).await;
    put(&sender, 0).await;
    assert_eq!(get(&home).await, 0);
    drop(home);
    for number in 1..=3 {
        put(&sender, number).await;
    }
    probe.settle().await;
    eventually(|| match away.try_recv() {
        Ok(number) => number == 1,
        Err(error) => panic_unless_empty(&error),
    })
    .await;
    assert_eq!(get(&away).await, 2);
    assert_eq!(get(&away).await, 3);
    drop(sender);
    end(&away).await;
}

fn panic_unless_empty(error: &TryRecvError) -> bool {
    assert_eq!(*error, TryRecvError::Empty);
    false
}

async fn promise_03_a_clone_of_a_clone_competes_too(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 4).await;
    let (sender, home) = pipe_with::<u32>(1);
    put(&ship, home).await;
    let first = get(&shipped).await;
    let second = first.clone();
    assert!(first.same_channel(&second));
    tokio::spawn(async move {
        for number in 0..50 {
            put(&sender, number).await;
        }
    });
    let mut all = Vec::new();
    for _ in 0..25 {
        all.push(get(&first).await);
        all.push(get(&second).await);
    }
    assert_eq!(all, (0..50).collect::<Vec<_>>());
    end(&first).await;
    end(&second).await;
}

async fn promise_03_several_recvs_of_one_receiver_wait_at_once(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 0).await;
    let receiver = std::sync::Arc::new(receiver);
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let receiver = receiver.clone();
            tokio::spawn(async move { receiver.recv().await })
        })
        .collect();
    for number in 0..6 {
        put(&sender, number).await;
    }
    drop(sender);
    let mut got = Vec::new();
    let mut ends = 0;
    for task in waiting {
        match soon(task).await.unwrap().unwrap() {
            Some(number) => got.push(number),
            None => ends += 1,
        }
    }
    got.sort_unstable();
    assert_eq!((got, ends), (vec![0, 1, 2, 3, 4, 5], 2));
}

libchan_tests::contract! {
    promise_03_each_message_goes_to_exactly_one_clone,
    promise_03_both_sides_are_served,
    promise_03_a_worker_holds_no_more_than_its_waiting_recvs,
    promise_03_the_job_of_a_worker_that_leaves_goes_to_another,
    promise_03_a_work_queue_over_three_sessions,
    promise_03_the_last_remote_clone_gets_the_window,
    promise_03_a_clone_of_a_clone_competes_too,
    promise_03_several_recvs_of_one_receiver_wait_at_once,
}

mod remote {
    use super::promise_03_the_job_of_a_lost_worker_is_gone_and_its_reply_channel_says_so;
    libchan_tests::contract_links! {
        promise_03_the_job_of_a_lost_worker_is_gone_and_its_reply_channel_says_so,
    }
}
