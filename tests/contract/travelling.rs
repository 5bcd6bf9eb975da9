//! Promise 9: ends may be used before, while and after the other end travels, to any depth, over any number of
//! sessions, and home again.

use std::collections::{BTreeMap, HashMap};

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Serialize, Deserialize)]
enum Deep {
    Nothing,
    Bare(Sender<u32>),
    Pair(Sender<u32>, Receiver<u32>),
    Fields { senders: Vec<Sender<u32>>, maybe: Option<Receiver<u32>>, never: Option<Sender<u32>> },
}

#[derive(Serialize, Deserialize)]
struct Outer {
    map: HashMap<String, Sender<u32>>,
    inner: Middle,
    boxed: Box<Deep>,
    more: Vec<Deep>,
}

type Numbers = BTreeMap<u8, Receiver<u32>>;

#[derive(Serialize, Deserialize)]
struct Middle {
    tuple: (u8, Option<Vec<Numbers>>),
    result: Result<Sender<u32>, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Generic<T: Message> {
    updates: Sender<T>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Message")]
struct Generic2<T> {
    updates: Receiver<T>,
}

async fn promise_09_ends_nest_to_any_depth(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Outer>(&a, &b, 4).await;
    // `senders[i]` travel and `answers[i]` stay; `feeds[i]` stay and their receivers travel.
    let (senders, answers): (Vec<_>, Vec<_>) = (0..7).map(|_| pipe::<u32>()).unzip();
    let (feeds, numbers): (Vec<_>, Vec<_>) = (0..3).map(|_| pipe::<u32>()).unzip();
    let mut senders = senders.into_iter();
    let mut numbers = numbers.into_iter();
    let mut sender = || senders.next().unwrap();
    let mut receiver = || numbers.next().unwrap();
    let outer = Outer {
        map: HashMap::from([("x".to_owned(), sender()), ("y".to_owned(), sender())]),
        inner: Middle { tuple: (3, Some(vec![BTreeMap::from([(9, receiver())])])), result: Ok(sender()) },
        boxed: Box::new(Deep::Fields {
            senders: vec![sender(), sender()],
            maybe: Some(receiver()),
            never: None,
        }),
        more: vec![Deep::Nothing, Deep::Bare(sender()), Deep::Pair(sender(), receiver())],
    };
    put(&ship, outer).await;
    let mut outer = get(&shipped).await;
    for (number, feed) in feeds.iter().enumerate() {
        put(feed, number as u32).await;
    }
    let tuple = outer.inner.tuple.1.unwrap().remove(0).remove(&9).unwrap();
    assert_eq!(get(&tuple).await, 0);
    put(&outer.map.remove("x").unwrap(), 100).await;
    put(&outer.map.remove("y").unwrap(), 101).await;
    put(&outer.inner.result.unwrap(), 102).await;
    let Deep::Fields { senders, maybe, never } = *outer.boxed else { panic!("another variant") };
    assert!(never.is_none());
    assert_eq!(get(&maybe.unwrap()).await, 1);
    for (number, sender) in senders.iter().enumerate() {
        put(sender, 103 + number as u32).await;
    }
    let mut more = outer.more.into_iter();
    assert!(matches!(more.next(), Some(Deep::Nothing)));
    let Some(Deep::Bare(bare)) = more.next() else { panic!("another variant") };
    put(&bare, 105).await;
    let Some(Deep::Pair(left, right)) = more.next() else { panic!("another variant") };
    put(&left, 106).await;
    assert_eq!(get(&right).await, 2);
    for (number, answers) in answers.iter().enumerate() {
        assert_eq!(get(answers).await, 100 + number as u32);
    }
}

async fn promise_09_generic_types_of_the_users_travel(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<(Generic<u32>, Generic2<String>)>(&a, &b, 1).await;
    let (updates, got) = pipe();
    let (words, spoken) = pipe();
    put(&ship, (Generic { updates }, Generic2 { updates: spoken })).await;
    let (generic, generic2) = get(&shipped).await;
    put(&generic.updates, 3).await;
    put(&words, "hello".to_owned()).await;
    assert_eq!(get(&got).await, 3);
    assert_eq!(get(&generic2.updates).await, "hello");
}

async fn promise_09_a_sender_is_used_before_while_and_after_it_travels(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 1).await;
    let (sender, receiver) = pipe_with::<u32>(8);
    put(&sender, 0).await;
    put(&ship, sender.clone()).await;
    put(&sender, 1).await;
    let away = get(&shipped).await;
    put(&sender, 2).await;
    put(&away, 10).await;
    put(&away, 11).await;
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(get(&receiver).await);
    }
    let (home, remote): (Vec<u32>, Vec<u32>) = got.into_iter().partition(|number| *number < 10);
    assert_eq!((home, remote), (vec![0, 1, 2], vec![10, 11]));
    drop((sender, away));
    end(&receiver).await;
}

async fn promise_09_a_receiver_travels_while_it_is_fed(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 1).await;
    for capacity in [0, 1, 4, 64] {
        let (sender, receiver) = pipe_with::<u32>(capacity);
        let feeding = tokio::spawn(async move {
            for number in 0..300 {
                put(&sender, number).await;
            }
        });
        for number in 0..50 {
            assert_eq!(get(&receiver).await, number);
        }
        put(&ship, receiver).await;
        let receiver = get(&shipped).await;
        for number in 50..300 {
            assert_eq!(get(&receiver).await, number, "capacity {capacity}");
        }
        end(&receiver).await;
        feeding.await.unwrap();
    }
}

async fn promise_09_a_receiver_goes_back_and_forth_while_it_is_fed(on: On) {
    let (a, b) = on.pair().await;
    tell([&a, &b]);
    let (there, at_b) = channel::<Receiver<u32>>(&a, &b, 1).await;
    let (back, at_a) = channel::<Receiver<u32>>(&b, &a, 1).await;
    for capacity in [1, 4, 64] {
        let (sender, mut receiver) = pipe_with::<u32>(capacity);
        let feeding = tokio::spawn(async move {
            for number in 0..200 {
                put(&sender, number).await;
            }
        });
        let mut number = 0;
        for _ in 0..5 {
            for _ in 0..20 {
                assert_eq!(get(&receiver).await, number, "capacity {capacity}");
                number += 1;
            }
            put(&there, receiver).await;
            let away = get(&at_b).await;
            for _ in 0..10 {
                assert_eq!(get(&away).await, number, "capacity {capacity}");
                number += 1;
            }
            put(&back, away).await;
            receiver = get(&at_a).await;
        }
        while number < 200 {
            assert_eq!(get(&receiver).await, number);
            number += 1;
        }
        end(&receiver).await;
        feeding.await.unwrap();
    }
}

async fn promise_09_a_sender_that_comes_home_is_the_same_channel(on: On) {
    let (a, b) = on.pair().await;
    let probe = Probe::new(&a, &b).await;
    let (there, at_b) = channel::<Sender<u32>>(&a, &b, 1).await;
    let (back, at_a) = channel::<Sender<u32>>(&b, &a, 1).await;
    let (home, receiver) = pipe::<u32>();
    let mut sender = home.clone();
    for number in 0..50 {
        put(&there, sender).await;
        let away = get(&at_b).await;
        put(&away, number).await;
        assert_eq!(get(&receiver).await, number);
        probe.settle().await;
        put(&back, away).await;
        sender = get(&at_a).await;
        assert!(sender.same_channel(&home), "bounce {number} left a relay");
    }
    drop((home, sender));
    end(&receiver).await;
}

async fn promise_09_a_sender_that_comes_home_under_load_keeps_the_order(on: On) {
    let (a, b) = on.pair().await;
    tell([&a, &b]);
    let (there, at_b) = channel::<Sender<u32>>(&a, &b, 1).await;
    let (back, at_a) = channel::<Sender<u32>>(&b, &a, 1).await;
    for capacity in [1, 4, 64] {
        let (mut sender, receiver) = pipe_with::<u32>(capacity);
        let reading = tokio::spawn(async move {
            for number in 0..300 {
                assert_eq!(get(&receiver).await, number, "capacity {capacity}");
            }
            end(&receiver).await;
        });
        let mut number = 0;
        for _ in 0..10 {
            put(&there, sender).await;
            let away = get(&at_b).await;
            for _ in 0..30 {
                put(&away, number).await;
                number += 1;
            }
            put(&back, away).await;
            sender = get(&at_a).await;
        }
        drop(sender);
        soon(reading).await.unwrap();
    }
}

async fn promise_09_ends_go_on_through_another_session(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (ship, shipped) = channel::<(Sender<u32>, Receiver<u32>, ByteStream)>(&a, &b, 1).await;
    let (ship_on, arrived) = channel::<(Sender<u32>, Receiver<u32>, ByteStream)>(&c, &d, 1).await;
    let (answer, answers) = pipe();
    let (feed, numbers) = pipe();
    let (mut here, stream) = ByteStream::pair();
    put(&feed, 1).await;
    put(&ship, (answer, numbers, stream)).await;
    put(&feed, 2).await;
    put(&ship_on, get(&shipped).await).await;
    put(&feed, 3).await;
    let (answer, numbers, mut stream) = get(&arrived).await;
    for number in 1..=3 {
        assert_eq!(get(&numbers).await, number);
        put(&answer, number * 10).await;
        assert_eq!(get(&answers).await, number * 10);
    }
    soon(here.write_all(b"across two")).await.unwrap();
    soon(here.shutdown()).await.unwrap();
    let mut got = String::new();
    soon(stream.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "across two");
    soon(stream.write_all(b"and back")).await.unwrap();
    soon(stream.shutdown()).await.unwrap();
    drop(stream);
    let mut got = String::new();
    soon(here.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "and back");
    drop(feed);
    end(&numbers).await;
    drop(answer);
    end(&answers).await;
}

async fn promise_09_a_relay_in_the_middle_ends_when_its_ends_do(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    for close in [true, false] {
        let (ship, shipped) = channel::<Receiver<u32>>(&a, &b, 1).await;
        let (ship_on, arrived) = channel::<Receiver<u32>>(&c, &d, 1).await;
        let (sender, receiver) = pipe::<u32>();
        put(&ship, receiver).await;
        put(&ship_on, get(&shipped).await).await;
        let receiver = get(&arrived).await;
        put(&sender, 1).await;
        assert_eq!(get(&receiver).await, 1);
        if close {
            sender.close_with(RemoteError::new(5, "over"));
            assert_eq!(fail(&receiver).await, RecvError::Remote(RemoteError::new(5, "over")));
        } else {
            receiver.close_with(RemoteError::new(6, "enough"));
            assert_eq!(soon(sender.closed()).await, Closed::Refused(RemoteError::new(6, "enough")));
        }
        drop((sender, receiver, ship, shipped, ship_on, arrived));
        if on.encodes() {
            let sessions = [&a, &b, &c, &d];
            eventually(|| sessions.iter().all(|session| session.open_channels() == 0)).await;
        }
    }
}

async fn promise_09_both_ends_leave_and_meet_through_us(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (ship, shipped) = channel::<Sender<String>>(&a, &b, 1).await;
    let (ship_other, arrived) = channel::<Receiver<String>>(&c, &d, 1).await;
    for capacity in [0, 1, 64] {
        let (sender, receiver) = pipe_with(capacity);
        put(&ship, sender).await;
        put(&ship_other, receiver).await;
        let (sender, receiver) = (get(&shipped).await, get(&arrived).await);
        let sending = tokio::spawn(async move {
            for number in 0..50 {
                put(&sender, format!("message {number}")).await;
            }
        });
        for number in 0..50 {
            assert_eq!(get(&receiver).await, format!("message {number}"));
        }
        end(&receiver).await;
        sending.await.unwrap();
    }
}

async fn promise_09_both_ends_go_to_the_same_peer(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<(Sender<u32>, Receiver<u32>)>(&a, &b, 1).await;
    put(&ship, pipe_with(4)).await;
    let (sender, receiver) = get(&shipped).await;
    let sending = tokio::spawn(async move {
        for number in 0..100 {
            put(&sender, number).await;
        }
    });
    for number in 0..100 {
        assert_eq!(get(&receiver).await, number);
    }
    end(&receiver).await;
    sending.await.unwrap();
}

async fn promise_09_fifty_hops(on: On) {
    let (a, b) = on.pair().await;
    let (there, at_b) = channel::<(Sender<u32>, Receiver<u32>)>(&a, &b, 1).await;
    let (back, at_a) = channel::<(Sender<u32>, Receiver<u32>)>(&b, &a, 1).await;
    let (home_sender, home_receiver) = pipe::<u32>();
    let (sender, numbers) = pipe::<u32>();
    let mut ends = (home_sender, numbers);
    for hop in 0..25 {
        put(&there, ends).await;
        ends = get(&at_b).await;
        put(&sender, hop).await;
        assert_eq!(get(&ends.1).await, hop);
        put(&back, ends).await;
        ends = get(&at_a).await;
    }
    put(&ends.0, 7).await;
    assert_eq!(get(&home_receiver).await, 7);
    for number in 0..20 {
        put(&sender, number).await;
        assert_eq!(get(&ends.1).await, number);
    }
    drop(sender);
    end(&ends.1).await;
}

async fn promise_09_channels_of_channels_of_channels(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<Receiver<Sender<u32>>>>(&a, &b, 1).await;
    let (outer, outers) = pipe();
    put(&ship, outer).await;
    let outer = get(&shipped).await;
    let (middle, middles) = pipe();
    put(&outer, middles).await;
    let middles = get(&outers).await;
    let (inner, inners) = pipe();
    put(&middle, inner).await;
    let inner = get(&middles).await;
    put(&inner, 42).await;
    assert_eq!(get(&inners).await, 42);
    drop(inner);
    end(&inners).await;
}

async fn promise_09_a_channel_carries_its_own_sender(on: On) {
    #[derive(Serialize, Deserialize)]
    struct Link {
        next: Option<Sender<Self>>,
        number: u32,
    }
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<Link>(&a, &b, 8).await;
    put(&sender, Link { next: Some(sender.clone()), number: 1 }).await;
    let first = get(&receiver).await;
    assert_eq!(first.number, 1);
    let own = first.next.unwrap();
    put(&own, Link { next: None, number: 2 }).await;
    assert_eq!(get(&receiver).await.number, 2);
    drop(own);
    drop(sender);
    end(&receiver).await;
}

async fn promise_09_an_end_dropped_right_after_its_other_end_left(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<(Receiver<u32>, Sender<u32>)>(&a, &b, 64).await;
    for round in 0..60 {
        let (feed, numbers) = pipe();
        let (answer, answers) = pipe::<u32>();
        if round % 2 == 0 {
            put(&feed, round).await;
        }
        put(&ship, (numbers, answer)).await;
        drop((feed, answers));
    }
    for round in 0..60 {
        let (numbers, answer) = get(&shipped).await;
        if round % 2 == 0 {
            assert_eq!(get(&numbers).await, round);
        }
        end(&numbers).await;
        assert_eq!(soon(answer.closed()).await, Closed::Dropped);
    }
}

async fn promise_09_what_a_dead_relay_had_queued_is_closed(on: On) {
    // The middle goes away in good order: what it relayed ends for both outer sides.
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (ship, shipped) = channel::<(Sender<u32>, Receiver<u32>)>(&a, &b, 1).await;
    let (ship_on, arrived) = channel::<(Sender<u32>, Receiver<u32>)>(&c, &d, 1).await;
    let (answer, answers) = pipe::<u32>();
    let (feed, numbers) = pipe::<u32>();
    put(&ship, (answer, numbers)).await;
    put(&ship_on, get(&shipped).await).await;
    let (answer, numbers) = get(&arrived).await;
    put(&feed, 1).await;
    assert_eq!(get(&numbers).await, 1);
    put(&answer, 2).await;
    assert_eq!(get(&answers).await, 2);
    soon(c.close()).await.unwrap();
    soon(b.close()).await.unwrap();
    soon(feed.closed()).await;
    soon(answer.closed()).await;
    assert!(!matches!(soon(answers.recv()).await, Ok(Some(_))));
    assert!(!matches!(soon(numbers.recv()).await, Ok(Some(_))));
    drop((a, d));
}

libchan_tests::contract! {
    promise_09_ends_nest_to_any_depth,
    promise_09_generic_types_of_the_users_travel,
    promise_09_a_sender_is_used_before_while_and_after_it_travels,
    promise_09_a_receiver_travels_while_it_is_fed,
    promise_09_a_receiver_goes_back_and_forth_while_it_is_fed,
    promise_09_a_sender_that_comes_home_is_the_same_channel,
    promise_09_a_sender_that_comes_home_under_load_keeps_the_order,
    promise_09_ends_go_on_through_another_session,
    promise_09_a_relay_in_the_middle_ends_when_its_ends_do,
    promise_09_both_ends_leave_and_meet_through_us,
    promise_09_both_ends_go_to_the_same_peer,
    promise_09_fifty_hops,
    promise_09_channels_of_channels_of_channels,
    promise_09_a_channel_carries_its_own_sender,
    promise_09_an_end_dropped_right_after_its_other_end_left,
}

mod remote {
    use super::promise_09_what_a_dead_relay_had_queued_is_closed;
    libchan_tests::contract_links! { promise_09_what_a_dead_relay_had_queued_is_closed }
}
