//! The promises through a relay: an end that goes on over a second session keeps its messages, order, capacity and ends, while
//! clones of it stay behind, are dropped, move elsewhere or compete.

use std::pin::{Pin, pin};
use std::task::Poll;

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sessions in a row: node 0 is connected with node 1, that with node 2. A second way leads from node 0 to another peer.
struct Row {
    near: (Session, Session),
    far: (Session, Session),
    aside: (Session, Session),
    probes: [Probe; 3],
}

impl Row {
    async fn new(on: On) -> Self {
        let (near, far, aside) = (on.pair().await, on.pair().await, on.pair().await);
        let probes = [
            Probe::new(&near.0, &near.1).await,
            Probe::new(&far.0, &far.1).await,
            Probe::new(&aside.0, &aside.1).await,
        ];
        Self { near, far, aside, probes }
    }

    /// From node 0 to node 1.
    async fn over<T: Message>((from, to): &(Session, Session), value: T) -> T {
        let (sender, receiver) = channel(from, to, 1).await;
        put(&sender, value).await;
        get(&receiver).await
    }

    /// From node 0 over node 1 to node 2.
    async fn two_hops<T: Message>(&self, value: T) -> T {
        Self::over(&self.far, Self::over(&self.near, value).await).await
    }

    /// What was sent before has arrived at the end of the row, and what follows from it at its beginning.
    async fn settle(&self) {
        for _ in 0..3 {
            for probe in &self.probes {
                probe.settle().await;
            }
        }
    }
}

/// What becomes of a clone of the receiver that goes two hops.
#[derive(Clone, Copy, Debug)]
enum Other {
    None,
    /// It stays where the channel is made, and asks for nothing.
    Idle,
    /// It stays in the middle.
    IdleBetween,
    /// It goes to another peer and asks for nothing.
    Moved,
    /// It is dropped once the other has gone.
    Dropped,
}

const OTHERS: [Other; 5] = [Other::None, Other::Idle, Other::IdleBetween, Other::Moved, Other::Dropped];

/// The receiver, two hops away, and the clone of it that is still somewhere.
async fn far_receiver(
    row: &Row,
    receiver: Receiver<u32>,
    other: Other,
) -> (Receiver<u32>, Option<Receiver<u32>>) {
    let kept = match other {
        Other::None | Other::IdleBetween => None,
        _ => Some(receiver.clone()),
    };
    let between = Row::over(&row.near, receiver).await;
    let kept = match other {
        Other::IdleBetween => Some(between.clone()),
        Other::Moved => Some(Row::over(&row.aside, kept.expect("a clone")).await),
        _ => kept,
    };
    let far = Row::over(&row.far, between).await;
    (far, kept.filter(|_| !matches!(other, Other::Dropped)))
}

async fn promise_01_through_a_relay_all_arrive_in_order_and_everybody_sees_the_end(on: On) {
    let row = Row::new(on).await;
    for capacity in [0, 1, 3, 64] {
        for other in OTHERS {
            let (sender, receiver) = pipe_with::<u32>(capacity);
            let (far, kept) = far_receiver(&row, receiver, other).await;
            let sending = tokio::spawn(async move {
                for number in 0..12 {
                    put(&sender, number).await;
                }
            });
            for number in 0..12 {
                let got = tokio::time::timeout(std::time::Duration::from_secs(5), far.recv()).await;
                assert_eq!(got, Ok(Ok(Some(number))), "capacity {capacity}, {other:?}");
            }
            end(&far).await;
            soon(sending).await.unwrap();
            if let Some(kept) = kept {
                end(&kept).await;
            }
        }
    }
}

async fn promise_01_through_a_relay_a_sender_and_a_receiver_that_both_went_on_meet(on: On) {
    let (row, back) = (Row::new(on).await, Row::new(on).await);
    for capacity in [0, 1, 3] {
        let (sender, receiver) = pipe_with::<u32>(capacity);
        let idle = receiver.clone();
        let far = row.two_hops(receiver).await;
        let sender = back.two_hops(sender).await;
        let sending = tokio::spawn(async move {
            for number in 0..12 {
                put(&sender, number).await;
            }
        });
        for number in 0..12 {
            assert_eq!(get(&far).await, number, "capacity {capacity}");
        }
        end(&far).await;
        end(&idle).await;
        soon(sending).await.unwrap();
    }
}

async fn promise_02_through_a_relay_the_capacity_is_exact(on: On) {
    let row = Row::new(on).await;
    for n in [1, 3] {
        for other in OTHERS {
            let (sender, receiver) = pipe_with::<u32>(n);
            let (far, _kept) = far_receiver(&row, receiver, other).await;
            row.settle().await;
            for number in 0..n as u32 {
                put(&sender, number).await;
            }
            let mut next = pin!(sender.send(n as u32));
            still_pending(next.as_mut()).await;
            row.settle().await;
            still_pending(next.as_mut()).await;
            assert_eq!(get(&far).await, 0, "capacity {n}, {other:?}");
            soon(next).await.unwrap();
            row.settle().await;
            assert!(sender.try_send(1000).is_err_and(|error| error.is_full()), "capacity {n}, {other:?}");
            for number in 1..=n as u32 {
                assert_eq!(get(&far).await, number, "capacity {n}, {other:?}");
            }
        }
    }
}

async fn promise_03_through_a_relay_clones_compete(on: On) {
    let (row, second) = (Row::new(on).await, Row::new(on).await);
    for capacity in [0, 1, 3, 64] {
        let (sender, home) = pipe_with::<u32>(capacity);
        let far = row.two_hops(home.clone()).await;
        let farther = Row::over(&row.aside, second.two_hops(home.clone()).await).await;
        let reports = pipe::<(usize, u32)>();
        for (who, receiver) in [home, far.clone(), farther, far].into_iter().enumerate() {
            let report = reports.0.clone();
            tokio::spawn(async move {
                while let Some(number) = receiver.recv().await.unwrap() {
                    put(&report, (who, number)).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        let (report, reported) = reports;
        drop(report);
        let sending = tokio::spawn(async move {
            for number in 0..120 {
                put(&sender, number).await;
            }
        });
        let mut got = vec![Vec::new(); 4];
        // Ends when every one of them has seen the end.
        while let Some((who, number)) = soon(reported.recv()).await.unwrap() {
            got[who].push(number);
        }
        soon(sending).await.unwrap();
        assert!(got.iter().all(|own| own.is_sorted()), "each sees its own in order: {got:?}");
        let mut all = got.concat();
        all.sort_unstable();
        assert_eq!(all, (0..120).collect::<Vec<_>>(), "capacity {capacity}");
    }
}

async fn promise_03_through_a_relay_a_receive_given_up_before_the_move_loses_no_end(on: On) {
    let row = Row::new(on).await;
    for capacity in [1, 3] {
        for on_its_way in [false, true] {
            let (sender, home) = pipe_with::<u32>(capacity);
            let between = Row::over(&row.near, home.clone()).await;
            let mut first = 0;
            {
                let mut asking = pin!(between.recv());
                still_pending(asking.as_mut()).await;
                row.settle().await;
                if on_its_way {
                    put(&sender, 0).await;
                    first = 1;
                    row.settle().await;
                }
            }
            let far = Row::over(&row.far, between).await;
            let sending = tokio::spawn(async move {
                for number in first..20 {
                    put(&sender, number).await;
                }
            });
            let (near, away) = soon(async { tokio::join!(all_of(&home), all_of(&far)) }).await;
            let mut all = [near, away].concat();
            all.sort_unstable();
            assert_eq!(all, (0..20).collect::<Vec<_>>(), "capacity {capacity}, on its way {on_its_way}");
            soon(sending).await.unwrap();
        }
    }
}

/// All up to the clean end.
async fn all_of(receiver: &Receiver<u32>) -> Vec<u32> {
    let mut all = Vec::new();
    while let Some(number) = receiver.recv().await.unwrap() {
        all.push(number);
    }
    all
}

#[derive(Serialize, Deserialize)]
struct Parcel {
    number: u32,
    stream: ByteStream,
    answer: Sender<u32>,
}

async fn promise_03_through_a_relay_what_a_worker_leaves_goes_to_another_whole(on: On) {
    let row = Row::new(on).await;
    for capacity in [0, 1, 4] {
        let (jobs, home) = pipe_with::<Parcel>(capacity);
        let far = row.two_hops(home.clone()).await;
        {
            let mut asking = pin!(far.recv());
            assert!(poll_once(asking.as_mut()).await.is_none());
            row.settle().await;
        }
        let (answer, answers) = pipe();
        let (mut here, stream) = ByteStream::pair();
        soon(here.write_all(b"before")).await.unwrap();
        let sending = tokio::spawn(async move { put(&jobs, Parcel { number: 7, stream, answer }).await });
        row.settle().await;
        drop(far);
        let mut job = get(&home).await;
        soon(sending).await.unwrap();
        soon(here.write_all(b" and after")).await.unwrap();
        soon(here.shutdown()).await.unwrap();
        let mut text = String::new();
        soon(job.stream.read_to_string(&mut text)).await.unwrap();
        assert_eq!((job.number, &*text), (7, "before and after"), "capacity {capacity}");
        soon(job.stream.write_all(b"and back")).await.unwrap();
        soon(job.stream.shutdown()).await.unwrap();
        let mut text = String::new();
        soon(here.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "and back");
        put(&job.answer, 1).await;
        assert_eq!(get(&answers).await, 1);
        end(&home).await;
    }
}

async fn promise_04_through_a_relay_a_close_reaches_every_receiver(on: On) {
    let row = Row::new(on).await;
    for capacity in [0, 3] {
        let (sender, home) = pipe_with::<u32>(capacity);
        let far = row.two_hops(home.clone()).await;
        let aside = Row::over(&row.aside, home.clone()).await;
        sender.close_with(RemoteError::new(5, "over"));
        for receiver in [&far, &aside, &home] {
            assert_eq!(fail(receiver).await, RecvError::Remote(RemoteError::new(5, "over")));
        }
    }
}

async fn promise_06_through_a_relay_a_refusal_reaches_the_sender(on: On) {
    let row = Row::new(on).await;
    for capacity in [0, 3] {
        let (sender, home) = pipe_with::<u32>(capacity);
        let far = row.two_hops(home.clone()).await;
        far.close_with(RemoteError::new(6, "enough"));
        assert_eq!(soon(sender.closed()).await, Closed::Refused(RemoteError::new(6, "enough")));
        assert_eq!(refused(&sender, 3).await.value, 3);
        drop(home);
    }
}

/// Receives by whichever of them gets a message first; all ask at once. `None`: all are at the clean end.
async fn any_of(receivers: &[(usize, Receiver<u32>)]) -> Option<u32> {
    let mut asking: Vec<Pin<Box<_>>> =
        receivers.iter().map(|(_, receiver)| Box::pin(receiver.recv())).collect();
    let first = std::future::poll_fn(|cx| {
        let mut at = 0;
        while at < asking.len() {
            match asking[at].as_mut().poll(cx) {
                Poll::Ready(Ok(Some(number))) => return Poll::Ready(Some(number)),
                Poll::Ready(Ok(None)) => drop(asking.swap_remove(at)),
                Poll::Ready(Err(error)) => panic!("{error:?} instead of a value"),
                Poll::Pending => at += 1,
            }
        }
        if asking.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    });
    soon(first).await
}

/// Competing receivers wander over three nodes while two senders send, one of which wandered too: cloned, moved, dropped, asked in
/// vain. Nothing is lost and nothing comes twice, and all of them see the end.
async fn promise_09_competing_receivers_wander_and_lose_nothing(on: On) {
    const EACH: u32 = 30;
    let mut rng = Rng::new("wandering");
    let ways = [on.pair().await, on.pair().await, on.pair().await];
    // From one node to another, and which session of the pair is at the first.
    let over = |from: usize, to: usize| {
        let (way, turned) = match (from, to) {
            (0, 1) => (0, false),
            (1, 0) => (0, true),
            (1, 2) => (1, false),
            (2, 1) => (1, true),
            (2, 0) => (2, false),
            _ => (2, true),
        };
        let (a, b) = ways[way].clone();
        if turned { (b, a) } else { (a, b) }
    };
    for round in 0..6 {
        let capacity = [0, 1, 3, 64][rng.below(4) as usize];
        let (sender, receiver) = pipe_with::<u32>(capacity);
        let away = Row::over(&over(1, 2), Row::over(&over(0, 1), sender.clone()).await).await;
        let tasks = [(sender, 0), (away, 1000)].map(|(sender, first)| {
            tokio::spawn(async move {
                for number in first..first + EACH {
                    put(&sender, number).await;
                }
            })
        });
        let mut receivers = vec![(0, receiver)];
        let mut got = Vec::new();
        for _ in 0..25 {
            let at = rng.below(receivers.len() as u64) as usize;
            match rng.below(6) {
                0 | 1 => {
                    let (node, receiver) = receivers.swap_remove(at);
                    let to = (node + 1 + rng.below(2) as usize) % 3;
                    receivers.push((to, Row::over(&over(node, to), receiver).await));
                }
                2 if receivers.len() < 5 => receivers.push((receivers[at].0, receivers[at].1.clone())),
                3 if receivers.len() > 1 => drop(receivers.swap_remove(at)),
                4 => got.extend(poll_once(pin!(receivers[at].1.recv())).await.and_then(|got| got.unwrap())),
                _ => got.extend(any_of(&receivers).await),
            }
        }
        while let Some(number) = any_of(&receivers).await {
            got.push(number);
        }
        for task in tasks {
            soon(task).await.unwrap();
        }
        got.sort_unstable();
        let sent: Vec<u32> = (0..EACH).chain(1000..1000 + EACH).collect();
        assert_eq!(got, sent, "round {round}, capacity {capacity}");
    }
}

libchan_tests::contract! {
    promise_01_through_a_relay_all_arrive_in_order_and_everybody_sees_the_end,
    promise_01_through_a_relay_a_sender_and_a_receiver_that_both_went_on_meet,
    promise_02_through_a_relay_the_capacity_is_exact,
    promise_03_through_a_relay_clones_compete,
    promise_03_through_a_relay_a_receive_given_up_before_the_move_loses_no_end,
    promise_03_through_a_relay_what_a_worker_leaves_goes_to_another_whole,
    promise_04_through_a_relay_a_close_reaches_every_receiver,
    promise_06_through_a_relay_a_refusal_reaches_the_sender,
    promise_09_competing_receivers_wander_and_lose_nothing,
}
