//! Promise 14: blocking twins for threads without a runtime.

use std::thread;

use libchan_tests::*;

async fn promise_14_threads_without_a_runtime_use_a_session(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [0, 1, 16] {
        let (there, at_b) = channel::<u32>(&a, &b, capacity).await;
        let (back, at_a) = channel::<u32>(&b, &a, capacity).await;
        let echo = thread::spawn(move || {
            while let Some(number) = at_b.recv_blocking().unwrap() {
                back.send_blocking(number * 2).unwrap();
            }
        });
        let asking = thread::spawn(move || {
            for number in 0..100 {
                there.send_blocking(number).unwrap();
                assert_eq!(at_a.recv_blocking(), Ok(Some(number * 2)));
            }
            drop(there);
            assert_eq!(at_a.recv_blocking(), Ok(None));
        });
        eventually(|| echo.is_finished() && asking.is_finished()).await;
        asking.join().unwrap();
        echo.join().unwrap();
    }
}

async fn promise_14_a_blocked_thread_is_told_of_the_end(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    let (pending, unread) = channel::<u32>(&a, &b, 1).await;
    put(&pending, 0).await;
    let receiving = thread::spawn(move || receiver.recv_blocking());
    let sending = thread::spawn(move || pending.send_blocking(1).map_err(SendError::into_reason));
    yields().await;
    sender.close_with("over");
    unread.close_with("enough");
    eventually(|| receiving.is_finished() && sending.is_finished()).await;
    assert_eq!(receiving.join().unwrap(), Err(RecvError::Remote("over".into())));
    assert_eq!(sending.join().unwrap(), Err(SendFailure::Closed(Closed::Refused("enough".into()))));
}

async fn promise_14_a_thread_and_a_task_share_a_channel(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<u32>(&a, &b, 2).await;
    let (clone, report) = (receiver.clone(), pipe::<u32>());
    let blocking = thread::spawn({
        let report = report.0.clone();
        move || {
            while let Some(number) = clone.recv_blocking().unwrap() {
                report.send_blocking(number).unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Some(number) = receiver.recv().await.unwrap() {
            put(&report.0, number).await;
        }
    });
    tokio::spawn(async move {
        for number in 0..200 {
            put(&sender, number).await;
        }
    });
    let mut all = Vec::new();
    while let Some(number) = soon(report.1.recv()).await.unwrap() {
        all.push(number);
    }
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<_>>());
    eventually(|| blocking.is_finished()).await;
    blocking.join().unwrap();
}

libchan_tests::contract! {
    promise_14_threads_without_a_runtime_use_a_session,
    promise_14_a_blocked_thread_is_told_of_the_end,
    promise_14_a_thread_and_a_task_share_a_channel,
}
