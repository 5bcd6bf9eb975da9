//! One test for each weakness of the original that was reproduced (`libchan-original.md` section 12): ours has none of
//! them. Numbers are the list's.

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
struct Nested {
    number: u32,
    stream: ByteStream,
    reply: Sender<u32>,
}

/// 1: one unread channel stalled the whole connection after 3944 messages of 1 KB.
async fn weakness_1_head_of_line(on: On) {
    let (a, b) = on.pair().await;
    let (unread, _kept) = channel::<Blob>(&a, &b, 10_000).await;
    let (live, lives) = channel::<u32>(&a, &b, 1).await;
    let filling = tokio::spawn(async move {
        for _ in 0..5_000 {
            put(&unread, Blob(vec![0; 1024])).await;
        }
        unread
    });
    for number in 0..200 {
        put(&live, number).await;
        assert_eq!(get(&lives).await, number);
    }
    let _unread = soon(filling).await.unwrap();
    put(&live, 1).await;
    assert_eq!(get(&lives).await, 1);
}

/// 2: one unaccepted channel stalled all new ones, so nested ends never resolved.
async fn weakness_2_unaccepted_channel(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Nested>(&a, &b, 4).await;
    let unaccepted = a.open::<Nested>("nobody comes").unwrap();
    for number in 0..30 {
        for sender in [&ship, &unaccepted] {
            let (reply, answers) = pipe();
            let (_here, stream) = ByteStream::pair();
            put(sender, Nested { number, stream, reply }).await;
            if std::ptr::eq(sender, &ship) {
                put(&get(&shipped).await.reply, number).await;
                assert_eq!(get(&answers).await, number);
            }
        }
    }
}

/// 3: a message overtook its stream ("stream does not exist" at 200 messages).
async fn weakness_3_many_nested_in_flight(on: On) {
    let (a, b) = on.pair().await;
    tell([&a, &b]);
    let (ship, shipped) = channel::<Nested>(&a, &b, 64).await;
    let serving = tokio::spawn(async move {
        let mut tasks = Vec::new();
        while let Some(mut nested) = shipped.recv().await.unwrap() {
            tasks.push(tokio::spawn(async move {
                let mut text = String::new();
                soon(nested.stream.read_to_string(&mut text)).await.unwrap();
                assert_eq!(text, format!("stream {}", nested.number));
                put(&nested.reply, nested.number).await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let mut answers = Vec::new();
    for number in 0..250 {
        let (reply, answer) = pipe_with(1);
        let (mut here, stream) = ByteStream::pair();
        soon(here.write_all(format!("stream {number}").as_bytes())).await.unwrap();
        soon(here.shutdown()).await.unwrap();
        put(&ship, Nested { number, stream, reply }).await;
        drop(here);
        answers.push(answer);
    }
    drop(ship);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(get(answer).await, number as u32);
        end(answer).await;
    }
    soon(serving).await.unwrap();
}

/// 4: close raced against pending streams; 6 of 6 runs failed.
async fn weakness_4_close_races(on: On) {
    for round in 0..25 {
        let (a, b) = on.pair().await;
        let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 4).await;
        let (sender, receiver) = pipe();
        put(&ship, receiver).await;
        put(&sender, round).await;
        drop((sender, ship));
        let closing = tokio::spawn(a.close());
        let receiver = get(&shipped).await;
        assert_eq!(get(&receiver).await, round);
        end(&receiver).await;
        end(&shipped).await;
        soon(closing).await.unwrap().unwrap();
        soon(b.closed()).await.unwrap();
    }
}

/// 5: reset, GOAWAY and a dead peer all looked like a clean end.
async fn weakness_5_three_ends_are_three_results(on: On) {
    let (a, b) = on.pair().await;
    let (clean, at_clean) = channel::<u32>(&a, &b, 1).await;
    let (broken, at_broken) = channel::<u32>(&a, &b, 1).await;
    let (lost, at_lost) = channel::<u32>(&a, &b, 1).await;
    drop(clean);
    end(&at_clean).await;
    broken.close_with(RemoteError::new(1, "reset"));
    assert_eq!(fail(&at_broken).await, RecvError::Remote(RemoteError::new(1, "reset")));
    a.abort();
    assert!(matches!(fail(&at_lost).await, RecvError::Disconnected(_)));
    drop(lost);
}

/// 6: a remote panicked by type confusion, and locally on a double close.
async fn weakness_6_no_panics(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open::<(Sender<u32>, u32)>("confused").unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<(u32, Sender<u32>)>();
    for _ in 0..3 {
        let (inner, _) = pipe();
        put(&sender, (inner, 1)).await;
        assert!(matches!(fail(&receiver).await, RecvError::Decode(_)));
    }
    sender.close();
    sender.close();
    end(&receiver).await;
    receiver.close();
    receiver.close();
}

/// 7: integers were truncated in silence.
async fn weakness_7_no_silent_truncation(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open::<u64>("numbers").unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<u8>();
    for number in [255, 256, 1] {
        put(&sender, number).await;
    }
    assert_eq!(get(&receiver).await, 255);
    assert!(matches!(fail(&receiver).await, RecvError::Decode(_)));
    assert_eq!(get(&receiver).await, 1);
    let sender = a.open::<i32>("signs").unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<u32>();
    put(&sender, -1).await;
    assert!(matches!(fail(&receiver).await, RecvError::Decode(_)));
}

/// 8: the receiver could not cancel, errors did not propagate, and the streams' table was never cleaned.
async fn weakness_8_cancel_reasons_and_no_leak(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 4).await;
    for number in 0..100 {
        let (sender, receiver) = pipe();
        put(&ship, receiver).await;
        let receiver = get(&shipped).await;
        put(&sender, 1).await;
        receiver.close_with(RemoteError::new(number, "cancelled"));
        assert_eq!(soon(sender.closed()).await, Closed::Refused(RemoteError::new(number, "cancelled")));
    }
    if on.encodes() {
        eventually(|| a.open_channels() == 1 && b.open_channels() == 1).await;
    }
}

/// 9: in memory and remote behaved differently: here both sides of one program see the same, step by step.
async fn weakness_9_local_and_remote_are_alike(on: On) {
    let (a, b) = on.pair().await;
    let mut transcripts = Vec::new();
    for remote in [false, true] {
        let (sender, receiver) = if remote { channel::<u32>(&a, &b, 2).await } else { pipe_with::<u32>(2) };
        let mut said = Vec::new();
        put(&sender, 1).await;
        put(&sender, 2).await;
        said.push(format!("{:?}", sender.try_send(3)));
        said.push(format!("{:?}", soon(receiver.recv()).await));
        sender.close_with("over");
        said.push(format!("{:?}", soon(sender.send(4)).await));
        said.push(format!("{:?}", soon(receiver.recv()).await));
        said.push(format!("{:?}", soon(receiver.recv()).await));
        said.push(format!("{:?}", receiver.try_recv()));
        said.push(format!("{:?}", soon(sender.closed()).await));
        transcripts.push(said);
    }
    assert_eq!(transcripts[0], transcripts[1]);
}

libchan_tests::contract! {
    weakness_1_head_of_line,
    weakness_2_unaccepted_channel,
    weakness_3_many_nested_in_flight,
    weakness_4_close_races,
    weakness_5_three_ends_are_three_results,
    weakness_6_no_panics,
    weakness_7_no_silent_truncation,
    weakness_8_cancel_reasons_and_no_leak,
    weakness_9_local_and_remote_are_alike,
}
