//! Promise 7: an unread channel, an unaccepted channel or a stalled byte stream never delays another channel.

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

#[derive(Serialize, Deserialize)]
struct Ask {
    number: u32,
    reply: Sender<u32>,
}

/// A hundred round trips with nested replies, which must go on whatever else is stalled.
async fn works(a: &Session, b: &Session) {
    let (asks, served) = channel::<Ask>(a, b, 4).await;
    works_with(asks, served).await;
}

async fn works_with(asks: Sender<Ask>, served: Receiver<Ask>) {
    tokio::spawn(async move {
        while let Ok(Some(ask)) = served.recv().await {
            put(&ask.reply, ask.number * 2).await;
        }
    });
    for number in 0..100 {
        let (reply, answer) = pipe_with(1);
        put(&asks, Ask { number, reply }).await;
        assert_eq!(get(&answer).await, number * 2);
        end(&answer).await;
    }
}

/// Sends until no more is accepted; the last send stays pending in the background.
async fn fill(sender: Sender<Blob>, size: usize) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { while sender.send(Blob(vec![7; size])).await.is_ok() {} })
}

async fn promise_07_an_unread_channel_delays_nobody(on: On) {
    let (a, b) = on.pair().await;
    let mut unread = Vec::new();
    for (capacity, size) in [(64, 100), (64, 8_000), (4, 60_000), (0, 10), (1000, 5_000)] {
        let (sender, receiver) = channel(&a, &b, capacity).await;
        unread.push((fill(sender, size).await, receiver));
    }
    yields().await;
    works(&a, &b).await;
    works(&b, &a).await;
}

async fn promise_07_an_unaccepted_channel_delays_nobody(on: On) {
    let (a, b) = on.pair().await;
    let (asks, served) = channel::<Ask>(&a, &b, 4).await;
    let mut waiting = Vec::new();
    for number in 0..20 {
        let sender = a.open::<Blob>(&format!("waiting {number}")).unwrap();
        waiting.push(fill(sender, 3_000).await);
    }
    yields().await;
    works_with(asks, served).await;
    // They are all there, in order, when somebody comes for them.
    for number in 0..20 {
        let incoming = soon(b.accept()).await.unwrap().unwrap();
        assert_eq!(incoming.name(), format!("waiting {number}"));
        assert_eq!(get(&incoming.receive::<Blob>()).await.len(), 3_000);
    }
}

async fn promise_07_a_stalled_stream_delays_nobody(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 8).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let (mut here, there) = ByteStream::pair();
        put(&ship, there).await;
        stalled.push(get(&shipped).await);
        tokio::spawn(async move { while here.write_all(&[1; 10_000]).await.is_ok() {} });
    }
    yields().await;
    works(&a, &b).await;
    works(&b, &a).await;
}

async fn promise_07_unread_nested_channels_delay_nobody(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<Blob>>(&a, &b, 64).await;
    for _ in 0..20 {
        let (sender, receiver) = pipe_with(8);
        put(&ship, receiver).await;
        fill(sender, 2_000).await;
    }
    yields().await;
    works(&a, &b).await;
    // Not even claimed so far; then claimed and not read.
    let mut claimed = Vec::new();
    for _ in 0..20 {
        claimed.push(get(&shipped).await);
    }
    works(&a, &b).await;
    assert_eq!(get(&claimed[19]).await.len(), 2_000);
}

async fn promise_07_a_large_message_delays_small_ones_only_by_pieces(on: On) {
    let (a, b) = on.pair().await;
    let (large, arrives) = channel::<Blob>(&a, &b, 1).await;
    let sending = tokio::spawn(async move {
        for _ in 0..3 {
            put(&large, Blob(vec![1; 400_000])).await;
        }
    });
    works(&a, &b).await;
    for _ in 0..3 {
        assert_eq!(get(&arrives).await.len(), 400_000);
    }
    sending.await.unwrap();
}

async fn promise_07_a_slow_reader_is_slow_alone(on: On) {
    let (a, b) = on.pair().await;
    let (slow, slowly) = channel::<u32>(&a, &b, 2).await;
    tokio::spawn(async move {
        for number in 0..100 {
            put(&slow, number).await;
        }
    });
    let (asks, served) = channel::<Ask>(&a, &b, 4).await;
    tokio::spawn(async move {
        while let Ok(Some(ask)) = served.recv().await {
            put(&ask.reply, 1).await;
        }
    });
    for number in 0..100 {
        let (reply, answer) = pipe();
        put(&asks, Ask { number, reply }).await;
        get(&answer).await;
        assert_eq!(get(&slowly).await, number);
    }
}

async fn promise_07_two_saturated_directions_do_not_lock_each_other(on: On) {
    // Both sides write all they can and read what comes: neither reader may wait for its writer.
    let (a, b) = on.pair().await;
    let mut tasks = Vec::new();
    for (from, to) in [(&a, &b), (&b, &a)] {
        for _ in 0..3 {
            let (sender, receiver) = channel::<Blob>(from, to, 16).await;
            tasks.push(tokio::spawn(async move {
                for seed in 0..60 {
                    put(&sender, blob(9_000, seed)).await;
                }
            }));
            tasks.push(tokio::spawn(async move {
                for seed in 0..60 {
                    assert!(get(&receiver).await == blob(9_000, seed));
                }
                end(&receiver).await;
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
}

libchan_tests::contract_and_https! {
    promise_07_an_unread_channel_delays_nobody,
    promise_07_an_unaccepted_channel_delays_nobody,
    promise_07_a_stalled_stream_delays_nobody,
    promise_07_unread_nested_channels_delay_nobody,
    promise_07_a_large_message_delays_small_ones_only_by_pieces,
    promise_07_a_slow_reader_is_slow_alone,
    promise_07_two_saturated_directions_do_not_lock_each_other,
}
