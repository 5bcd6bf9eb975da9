//! Promise 3: ends can be cloned. Cloned receivers compete, and a shared receiver is served on demand, so that clones
//! of it, sent to each of many workers, are a distributed work queue.

use std::io::Write;
use std::pin::pin;

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

#[derive(Serialize, Deserialize)]
struct Heavy {
    stream: ByteStream,
    file: Fd,
    feed: Receiver<u32>,
    answer: Sender<u32>,
}

/// Workers are given the message one after the other and leave without taking it; then one takes it, here or at a peer.
async fn promise_03_what_workers_leave_untaken_goes_to_the_next_whole(on: On) {
    for capacity in [0, 1, 4] {
        for (leavers, taker_is_away) in [(1, false), (1, true), (3, false), (3, true)] {
            let case = format!("capacity {capacity}, {leavers} leave, taken away {taker_is_away}");
            let (jobs, home) = pipe_with::<Heavy>(capacity);
            let mut workers = Vec::new();
            for _ in 0..leavers {
                workers.push(worker(on, home.clone()).await);
            }
            let (mut here, stream) = ByteStream::pair();
            let (read, mut write) = std::io::pipe().unwrap();
            write.write_all(b"in the pipe").unwrap();
            drop(write);
            let (fed, feed) = pipe();
            let (answer, answers) = pipe();
            put(&fed, 5).await;
            soon(here.write_all(b"in the stream")).await.unwrap();
            soon(here.shutdown()).await.unwrap();
            let job = Heavy { stream, file: read.into(), feed, answer };
            let sending = tokio::spawn(async move { put(&jobs, job).await });
            for (receiver, probe, _sessions) in workers {
                {
                    let mut asking = pin!(receiver.recv());
                    // In one process there is no hand to have it in: whoever asks takes it.
                    if on.encodes() {
                        assert!(poll_once(asking.as_mut()).await.is_none());
                    }
                    probe.settle().await;
                }
                drop(receiver);
                probe.settle().await;
            }
            let (taker, _kept) = if taker_is_away {
                let (receiver, probe, sessions) = worker(on, home).await;
                (receiver, Some((probe, sessions)))
            } else {
                (home, None)
            };
            let mut job = soon(taker.recv()).await.unwrap().unwrap_or_else(|| panic!("lost: {case}"));
            soon(sending).await.unwrap();
            let mut text = String::new();
            soon(job.stream.read_to_string(&mut text)).await.unwrap();
            let mut bytes = String::new();
            let mut file = job.file.into_stream().unwrap();
            soon(file.read_to_string(&mut bytes)).await.unwrap();
            assert_eq!((&*text, &*bytes), ("in the stream", "in the pipe"), "{case}");
            soon(job.stream.write_all(b"and back")).await.unwrap();
            soon(job.stream.shutdown()).await.unwrap();
            let mut text = String::new();
            soon(here.read_to_string(&mut text)).await.unwrap();
            assert_eq!(text, "and back", "{case}");
            put(&job.answer, get(&job.feed).await).await;
            assert_eq!(get(&answers).await, 5, "{case}");
            end(&taker).await;
        }
    }
}

/// A receiver at a peer of its own.
async fn worker<T: Message>(on: On, receiver: Receiver<T>) -> (Receiver<T>, Probe, (Session, Session)) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (ship, shipped) = channel(&a, &b, 1).await;
    put(&ship, receiver).await;
    (get(&shipped).await, probe, (a, b))
}

/// A job whose worker is the last receiver may be read from at once, and its stream ends with it.
async fn promise_03_a_stream_in_a_job_begins_when_it_is_taken(on: On) {
    for capacity in [0, 1] {
        let (jobs, home) = pipe_with::<(ByteStream, u32)>(capacity);
        let (receiver, probe, _sessions) = worker(on, home.clone()).await;
        let (mut here, stream) = ByteStream::pair();
        let mut asking = pin!(receiver.recv());
        still_pending(asking.as_mut()).await;
        probe.settle().await;
        let sending = tokio::spawn(async move { put(&jobs, (stream, 1)).await });
        probe.settle().await;
        // The other receivers leave and the channel ends while the job is in the worker's hand.
        drop(home);
        probe.settle().await;
        let (mut stream, _) = soon(asking).await.unwrap().unwrap();
        soon(sending).await.unwrap();
        soon(here.write_all(b"to and")).await.unwrap();
        soon(here.shutdown()).await.unwrap();
        let mut text = String::new();
        soon(stream.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "to and", "capacity {capacity}");
        soon(stream.write_all(b"fro")).await.unwrap();
        soon(stream.shutdown()).await.unwrap();
        let mut text = String::new();
        soon(here.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "fro", "capacity {capacity}");
        end(&receiver).await;
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
    assert!(matches!(fail(&outcome).await, RecvError::Disconnected(_)));
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
    promise_03_what_workers_leave_untaken_goes_to_the_next_whole,
    promise_03_a_stream_in_a_job_begins_when_it_is_taken,
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
