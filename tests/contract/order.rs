//! Promise 1: messages of one channel arrive in order, each at most once, whole or not at all.

use libchan_tests::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Feed {
    numbers: Receiver<u32>,
}

async fn promise_01_messages_arrive_in_order(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [1, 4, 64] {
        let (there, at_b) = channel::<u32>(&a, &b, capacity).await;
        let (back, at_a) = channel::<u32>(&b, &a, capacity).await;
        let send_there = tokio::spawn(async move {
            for number in 0..500 {
                put(&there, number).await;
            }
        });
        let send_back = tokio::spawn(async move {
            for number in 0..500 {
                put(&back, number).await;
            }
        });
        for number in 0..500 {
            assert_eq!(get(&at_b).await, number);
            assert_eq!(get(&at_a).await, number);
        }
        end(&at_a).await;
        end(&at_b).await;
        send_there.await.unwrap();
        send_back.await.unwrap();
    }
}

async fn promise_01_every_channel_keeps_its_own_order(on: On) {
    let (a, b) = on.pair().await;
    let mut tasks = Vec::new();
    for own in 0..8u32 {
        let (sender, receiver) = channel::<(u32, u32)>(&a, &b, 1 + own as usize).await;
        tasks.push(tokio::spawn(async move {
            for number in 0..150 {
                put(&sender, (own, number)).await;
            }
        }));
        tasks.push(tokio::spawn(async move {
            for number in 0..150 {
                assert_eq!(get(&receiver).await, (own, number));
            }
            end(&receiver).await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn promise_01_messages_of_any_size_arrive_whole(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Blob>(&a, &b, 4).await;
    let mut rng = Rng::new("sizes");
    let mut sizes = vec![0, 1, 31, 32, 255, 256, 4095, 4096, 65_535, 65_536, 65_537, 300_000];
    sizes.extend((0..30).map(|_| rng.below(20_000) as usize));
    let expected = sizes.clone();
    let sending = tokio::spawn(async move {
        for (seed, size) in sizes.into_iter().enumerate() {
            put(&sender, blob(size, seed as u64)).await;
        }
    });
    for (seed, size) in expected.into_iter().enumerate() {
        let got = get(&receiver).await;
        assert_eq!(got.len(), size);
        assert!(got == blob(size, seed as u64), "message {seed} of {size} bytes came changed");
    }
    end(&receiver).await;
    sending.await.unwrap();
}

/// Takes `count` messages and checks that each of the `senders` is complete and in order.
async fn check_interleaved(receiver: &Receiver<(u32, u32)>, senders: u32, each: u32) {
    let mut next = vec![0; senders as usize];
    for _ in 0..senders * each {
        let (sender, number) = get(receiver).await;
        assert_eq!(number, next[sender as usize], "of sender {sender}");
        next[sender as usize] += 1;
    }
    end(receiver).await;
}

async fn promise_01_cloned_senders_each_in_order(on: On) {
    let (a, b) = on.pair().await;
    for capacity in [0, 2, 64] {
        let (sender, receiver) = channel::<(u32, u32)>(&a, &b, capacity).await;
        for own in 0..3 {
            let sender = sender.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    put(&sender, (own, number)).await;
                }
            });
        }
        drop(sender);
        check_interleaved(&receiver, 3, 100).await;
    }
}

async fn promise_01_local_and_remote_senders_each_in_order(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<(u32, u32)>>(&a, &b, 4).await;
    for capacity in [0, 1, 3, 64] {
        let (sender, receiver) = pipe_with::<(u32, u32)>(capacity);
        for _ in 0..2 {
            put(&ship, sender.clone()).await;
        }
        for own in 0..2 {
            let sender = get(&shipped).await;
            tokio::spawn(async move {
                for number in 0..80 {
                    put(&sender, (own, number)).await;
                }
            });
        }
        tokio::spawn(async move {
            for number in 0..80 {
                put(&sender, (2, number)).await;
            }
        });
        check_interleaved(&receiver, 3, 80).await;
    }
}

async fn promise_01_what_came_before_the_claim_comes_first(on: On) {
    // The pitfall: frames for a nested channel arrive before its message is decoded, and more while it is claimed.
    let (a, b) = on.pair().await;
    let (feeds, fed) = channel::<Feed>(&a, &b, 64).await;
    for round in 0..30u32 {
        let (sender, numbers) = pipe_with(4 + round as usize % 40);
        put(&feeds, Feed { numbers }).await;
        let sending = tokio::spawn(async move {
            for number in 0..100 {
                put(&sender, number).await;
            }
        });
        if round % 3 == 0 {
            yields().await;
        }
        let numbers = get(&fed).await.numbers;
        for number in 0..100 {
            assert_eq!(get(&numbers).await, number, "in round {round}");
        }
        end(&numbers).await;
        sending.await.unwrap();
    }
}

async fn promise_01_what_was_queued_before_travelling_comes_first(on: On) {
    let (a, b) = on.pair().await;
    let (feeds, fed) = channel::<Feed>(&a, &b, 4).await;
    let (sender, numbers) = pipe_with(10);
    for number in 0..10 {
        put(&sender, number).await;
    }
    put(&feeds, Feed { numbers }).await;
    let sending = tokio::spawn(async move {
        for number in 10..200 {
            put(&sender, number).await;
        }
    });
    let numbers = get(&fed).await.numbers;
    for number in 0..200 {
        assert_eq!(get(&numbers).await, number);
    }
    end(&numbers).await;
    sending.await.unwrap();
}

async fn promise_01_big_and_small_messages_keep_their_order(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<(u32, Blob)>(&a, &b, 8).await;
    let sizes = [10, 200_000, 10, 300_000, 0, 5_000, 70_000, 10];
    tokio::spawn(async move {
        for number in 0..32u32 {
            put(&sender, (number, blob(sizes[number as usize % 8], 7))).await;
        }
    });
    for number in 0..32u32 {
        let (got, body) = get(&receiver).await;
        assert_eq!((got, body.len()), (number, sizes[number as usize % 8]));
    }
    end(&receiver).await;
}

libchan_tests::contract_and_https! {
    promise_01_messages_arrive_in_order,
    promise_01_every_channel_keeps_its_own_order,
    promise_01_messages_of_any_size_arrive_whole,
    promise_01_cloned_senders_each_in_order,
    promise_01_local_and_remote_senders_each_in_order,
    promise_01_what_came_before_the_claim_comes_first,
    promise_01_what_was_queued_before_travelling_comes_first,
    promise_01_big_and_small_messages_keep_their_order,
}
