//! Where the queue meets the session, under many interleavings: ends travel while they are used, receivers compete
//! across the wire, channels close and links are lost in the middle of it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libchan_shuttle::{Closed, Receiver, RecvError, SendFailure, Sender, pipe_with};
use serde::{Deserialize, Serialize};
use shuttle::thread::{spawn, yield_now};

use self::support::wire::{DRIVER, NARROW, Pair, WIDE};
use self::support::{
    assert_once, assert_ordered, block_on, check, drain, is_chosen, join, of, poke, send_all, until_end,
};

/// Runs a test over every kind of wire, for every capacity given; then both sessions must end by themselves.
fn each<const N: usize>(
    iterations: usize,
    capacities: [usize; N],
    test: impl Fn(&Pair, usize) + Copy + Send + Sync + 'static,
) {
    each_alone(iterations, capacities, move |pair, capacity| {
        test(&pair, capacity);
        pair.finish();
    });
}

/// The same for a test that ends its sessions itself.
fn each_alone<const N: usize>(
    iterations: usize,
    capacities: [usize; N],
    test: impl Fn(Pair, usize) + Copy + Send + Sync + 'static,
) {
    for kind in [WIDE, NARROW, DRIVER] {
        for capacity in capacities {
            let case = format!("{kind:?}, capacity {capacity}");
            if is_chosen(&case) {
                println!("{case}");
                check(iterations, move || test(Pair::new(kind), capacity));
            }
        }
    }
}

/// Values that are queued, being sent and still to come, while the receiver goes away.
#[test]
fn the_receiver_travels_while_values_are_sent() {
    each(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let sender = spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 5))).len(), 5));
        let rx = pair.carry(rx);
        let got = block_on(drain(&rx));
        assert!(got.into_iter().eq(of(0, 5)));
        sender.join().unwrap();
    });
}

/// The same with part of the values taken here before.
#[test]
fn the_receiver_travels_after_some_were_taken() {
    each(6, [0, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let senders = [tx.clone(), tx];
        let mut who = 0;
        let senders = senders.map(|tx| {
            who += 1;
            spawn(move || assert_eq!(block_on(send_all(&tx, of(who, 3))).len(), 3))
        });
        let mut got = vec![block_on(rx.recv()).unwrap().unwrap()];
        let rx = pair.carry(rx);
        got.extend(block_on(drain(&rx)));
        assert_once([&got], of(1, 3).chain(of(2, 3)));
        join(senders);
    });
}

/// A clone of the sender goes away while the other one sends and the receiver receives.
#[test]
fn a_sender_travels_while_values_are_received() {
    each(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let receiver = spawn(move || block_on(drain(&rx)));
        let here = {
            let tx = tx.clone();
            spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 3))).len(), 3))
        };
        let away = pair.carry(tx);
        assert_eq!(block_on(send_all(&away, of(1, 3))).len(), 3);
        drop(away);
        here.join().unwrap();
        assert_once([&receiver.join().unwrap()], of(0, 3).chain(of(1, 3)));
    });
}

/// Both ends go away: the queue stays as a relay, and a third sender uses it meanwhile.
#[test]
fn both_ends_travel() {
    each(4, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let here = {
            let tx = tx.clone();
            spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 3))).len(), 3))
        };
        let (tx, rx) = pair.carry((tx, rx));
        let receiver = spawn(move || block_on(drain(&rx)));
        assert_eq!(block_on(send_all(&tx, of(1, 3))).len(), 3);
        drop(tx);
        here.join().unwrap();
        assert_once([&receiver.join().unwrap()], of(0, 3).chain(of(1, 3)));
    });
}

#[derive(Serialize, Deserialize)]
struct Job {
    input: Receiver<u32>,
    output: Sender<u32>,
}

/// Messages of a nested channel come before, while and after it is claimed, and its answers go back.
#[test]
fn a_nested_channel_is_used_around_its_claim() {
    each(4, [0, 1, 3], |pair, capacity| {
        let (jobs, inbox) = pair.open::<Job>(1);
        let (feed, input) = pipe_with::<u32>(capacity);
        let (output, results) = pipe_with::<u32>(capacity);
        let feeder = spawn(move || assert_eq!(block_on(send_all(&feed, of(0, 5))).len(), 5));
        let worker = spawn(move || {
            block_on(async {
                let Job { input, output } = inbox.recv().await.unwrap().unwrap();
                while let Some(value) = input.recv().await.unwrap() {
                    output.send(value).await.unwrap();
                }
            });
        });
        block_on(jobs.send(Job { input, output })).unwrap();
        assert!(block_on(drain(&results)).into_iter().eq(of(0, 5)));
        feeder.join().unwrap();
        worker.join().unwrap();
    });
}

/// A receiver of receivers: the inner one may have its messages before anybody has read the outer one's.
#[test]
fn channels_in_channels() {
    each(4, [1, 2], |pair, capacity| {
        let (outer, outer_rx) = pipe_with::<Receiver<u32>>(1);
        let feeders = [0, 1].map(|who| {
            let outer = outer.clone();
            spawn(move || {
                block_on(async {
                    let (tx, rx) = pipe_with::<u32>(capacity);
                    outer.send(rx).await.unwrap();
                    assert_eq!(send_all(&tx, of(who, 3)).await.len(), 3);
                });
            })
        });
        drop(outer);
        let outer_rx = pair.carry(outer_rx);
        let mut got = Vec::new();
        while let Some(inner) = block_on(outer_rx.recv()).unwrap() {
            got.push(block_on(drain(&inner)));
        }
        assert_once(&got, of(0, 3).chain(of(1, 3)));
        join(feeders);
    });
}

/// A `recv` that asked and went away takes nothing with it, and the send completes when somebody takes the value.
#[test]
fn a_rendezvous_with_dropped_recvs() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each(8, [0, 1], |pair, capacity| {
        let (tx, rx) = pair.open::<u32>(capacity);
        let sender = spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 4))).len(), 4));
        let got = block_on(async {
            let mut got = Vec::new();
            while got.len() < 4 {
                if let Some(value) = poke(&CANCELLED, rx.recv()).await {
                    got.extend(value.unwrap());
                } else {
                    got.extend(rx.recv().await.unwrap());
                }
            }
            got
        });
        assert!(got.into_iter().eq(of(0, 4)));
        sender.join().unwrap();
        assert_eq!(block_on(rx.recv()), Ok(None));
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

/// Several receivers of what one remote sender sends: some go away while they wait, and others ask the channel meanwhile, which
/// takes the session's port back from whoever waits there.
#[test]
fn receivers_compete_at_the_port_of_one_source() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each(12, [1, 2, 8], |pair, capacity| {
        let (tx, rx) = pair.open::<u32>(capacity);
        let sender = spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 6))).len(), 6));
        let flighty = {
            let rx = rx.clone();
            spawn(move || {
                block_on(async {
                    let mut got = Vec::new();
                    for _ in 0..4 {
                        if let Some(Ok(Some(value))) = poke(&CANCELLED, rx.recv()).await {
                            got.push(value);
                        }
                    }
                    got
                })
            })
        };
        let asking = {
            let rx = rx.clone();
            spawn(move || {
                let taken = rx.try_recv().ok();
                let _ = rx.len();
                taken.into_iter().collect()
            })
        };
        let steady = [rx.clone(), rx].map(|rx| spawn(move || block_on(drain(&rx))));
        let got =
            [flighty, asking].map(|thread: shuttle::thread::JoinHandle<Vec<u32>>| thread.join().unwrap());
        let rest = join(steady);
        assert_once(got.iter().chain(&rest), of(0, 6));
        sender.join().unwrap();
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

/// A lone receiver waits at the port while a sender comes home and is used here, and another one goes away.
#[test]
fn senders_come_and_go_while_a_receiver_waits_at_the_port() {
    each(8, [1, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let away = pair.carry(tx);
        let receiver = spawn(move || block_on(drain(&rx)));
        assert_eq!(block_on(send_all(&away, of(0, 1))).len(), 1);
        let home = pair.carry_back(away.clone());
        let there = spawn(move || assert_eq!(block_on(send_all(&away, of(1, 3))).len(), 3));
        assert_eq!(block_on(send_all(&home, of(2, 2))).len(), 2);
        let again = pair.carry(home);
        assert_eq!(block_on(send_all(&again, of(3, 2))).len(), 2);
        drop(again);
        there.join().unwrap();
        let wanted = of(0, 1).chain(of(1, 3)).chain(of(2, 2)).chain(of(3, 2));
        assert_once([&receiver.join().unwrap()], wanted);
    });
}

/// Sends and reserves that are dropped while their message waits for a remote receiver hold up nobody.
#[test]
fn dropped_sends_and_reserves_towards_a_remote_receiver() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each(5, [0, 1], |pair, capacity| {
        let (tx, rx) = pair.open::<u32>(capacity);
        let receiver = spawn(move || block_on(drain(&rx)));
        let flighty = {
            let tx = tx.clone();
            spawn(move || {
                block_on(async {
                    let mut sent = Vec::new();
                    for value in of(0, 2) {
                        if let Some(permit) = poke(&CANCELLED, tx.reserve()).await {
                            drop(permit.unwrap());
                        }
                        if poke(&CANCELLED, tx.send(value)).await.is_some() {
                            sent.push(value);
                        }
                    }
                    tx.reserve().await.unwrap().send(2).unwrap();
                    sent.push(2);
                    sent
                })
            })
        };
        let steady = spawn(move || assert_eq!(block_on(send_all(&tx, of(1, 3))).len(), 3));
        let sent = flighty.join().unwrap();
        steady.join().unwrap();
        let got = receiver.join().unwrap();
        assert_ordered(&got);
        assert!(sent.iter().all(|value| got.contains(value)), "{sent:?} were accepted, {got:?} received");
        assert!(of(1, 3).all(|value| got.contains(&value)));
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

/// A local and a remote clone of a receiver compete for what a local sender sends.
#[test]
fn a_shared_receiver_here_and_there() {
    each(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let sender = spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 6))).len(), 6));
        let here = {
            let rx = rx.clone();
            spawn(move || block_on(drain(&rx)))
        };
        let rx = pair.carry(rx);
        let there = block_on(drain(&rx));
        sender.join().unwrap();
        assert_once([&there, &here.join().unwrap()], of(0, 6));
    });
}

/// No more sends complete than the channel holds and receives have begun, whatever the moment: what is between the queue and the
/// session counts too.
#[test]
fn the_capacity_is_never_passed() {
    each(24, [1, 2], |pair, capacity| {
        let (tx, rx) = pair.open::<u32>(capacity);
        let completed = Arc::new(AtomicUsize::new(0));
        let sender = {
            let completed = completed.clone();
            spawn(move || {
                for value in of(0, 5) {
                    block_on(tx.send(value)).unwrap();
                    completed.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        for (begun, value) in of(0, 5).enumerate() {
            // Whoever can go on does so before the next receive begins.
            for _ in 0..100 {
                yield_now();
            }
            let most = begun + capacity;
            let completed = completed.load(Ordering::SeqCst);
            assert!(completed <= most, "{completed} are complete, and no more than {most} may be");
            assert_eq!(block_on(rx.recv()), Ok(Some(value)));
        }
        assert_eq!(block_on(rx.recv()), Ok(None));
        sender.join().unwrap();
    });
}

/// Receivers compete here and two sessions away: the one in between asks for the last one.
#[test]
fn a_shared_receiver_two_hops_away() {
    each(4, [0, 1, 2], |pair, capacity| {
        let next = Pair::new(WIDE);
        let (tx, rx) = pipe_with::<u32>(capacity);
        let far = next.carry(pair.carry(rx.clone()));
        let sender = spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 6))).len(), 6));
        let receivers = [rx, far].map(|rx| spawn(move || block_on(drain(&rx))));
        assert_once(&join(receivers), of(0, 6));
        sender.join().unwrap();
        next.finish();
    });
}

/// The far one leaves with a message that it may have been given and has not taken.
#[test]
fn a_worker_two_hops_away_leaves_in_good_order() {
    each(4, [0, 1, 2], |pair, capacity| {
        let next = Pair::new(WIDE);
        let (tx, rx) = pipe_with::<u32>(capacity);
        let far = next.carry(pair.carry(rx.clone()));
        let cancelled = AtomicUsize::new(0);
        let early = block_on(poke(&cancelled, far.recv()));
        assert!(early.is_none());
        let sender = spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 4))).len(), 4));
        drop(far);
        // What comes back may come behind what was sent later.
        let mut all = block_on(drain(&rx));
        all.sort_unstable();
        assert!(all.into_iter().eq(of(0, 4)));
        sender.join().unwrap();
        next.finish();
    });
}

/// Two remote workers, one of which leaves with what it may have been given: the other one gets it.
#[test]
fn a_worker_leaves_in_good_order() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let sender = spawn(move || assert_eq!(block_on(send_all(&tx, of(0, 5))).len(), 5));
        let leaver = pair.carry(rx.clone());
        let leaver = spawn(move || {
            block_on(async {
                let mut got = Vec::new();
                for _ in 0..2 {
                    got.extend(poke(&CANCELLED, leaver.recv()).await.and_then(Result::unwrap));
                }
                got
            })
        });
        let stayer = pair.carry(rx);
        let stayed = block_on(drain(&stayer));
        sender.join().unwrap();
        let mut all = leaver.join().unwrap();
        all.extend(stayed);
        all.sort_unstable();
        assert!(all.into_iter().eq(of(0, 5)));
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

/// A sender goes away and comes home while it is used and while its channel closes.
#[test]
fn a_sender_comes_home_while_its_channel_closes() {
    each(5, [0, 1, 2], |pair, capacity| {
        let (back, returned) = pair.open::<Sender<Sender<u32>>>(1);
        let (home, arrivals) = pipe_with::<Sender<u32>>(1);
        block_on(back.send(home)).unwrap();
        drop(back);
        let home = block_on(returned.recv()).unwrap().unwrap();
        drop(returned);

        let (tx, rx) = pipe_with::<u32>(capacity);
        let (closer, keeper) = (tx.clone(), tx.clone());
        let away = pair.carry(tx);
        let traveller = spawn(move || {
            block_on(async {
                let sent = send_all(&away, of(1, 1)).await;
                home.send(away).await.unwrap();
                sent
            })
        });
        let receiver = spawn(move || block_on(drain(&rx)));
        let closing = spawn(move || {
            let sent = block_on(send_all(&closer, of(0, 1)));
            closer.close();
            sent
        });
        let back = block_on(arrivals.recv()).unwrap().unwrap();
        // Not every way home is shortened: what goes the long way may be on it when the channel closes.
        let short = back.same_channel(&keeper);
        let late = block_on(send_all(&back, of(2, 2)));
        drop((back, keeper));
        let got = receiver.join().unwrap();
        assert_ordered(&got);
        // What came from the other side may have been on its way when the channel closed.
        let accepted = closing.join().unwrap().into_iter().chain(late.into_iter().filter(|_| short));
        traveller.join().unwrap();
        for value in accepted {
            assert!(got.contains(&value), "{value} was accepted, got {got:?}");
        }
    });
}

/// A sender that goes to and fro while values are sent keeps its order.
#[test]
fn a_sender_goes_to_and_fro() {
    each(4, [0, 1, 2], |pair, capacity| {
        let (there, far) = pair.open::<Sender<u32>>(1);
        let (home, near) = pipe_with::<Sender<u32>>(1);
        let home = pair.carry(home);
        let (tx, rx) = pipe_with::<u32>(capacity);
        let receiver = spawn(move || block_on(drain(&rx)));
        let bouncer = spawn(move || {
            block_on(async {
                for at in 0..2 {
                    let tx = far.recv().await.unwrap().unwrap();
                    tx.send(2 * at + 1).await.unwrap();
                    home.send(tx).await.unwrap();
                }
            });
        });
        block_on(async {
            let mut tx = tx;
            for at in 0..2 {
                tx.send(2 * at).await.unwrap();
                there.send(tx).await.unwrap();
                tx = near.recv().await.unwrap().unwrap();
            }
        });
        bouncer.join().unwrap();
        assert_eq!(receiver.join().unwrap(), [0, 1, 2, 3]);
    });
}

/// The receiver goes while the session pumps: senders get their values back and are told why.
#[test]
fn the_receiver_is_dropped_while_the_session_pumps() {
    each(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let senders = [0, 1].map(|who| {
            let tx = tx.clone();
            spawn(move || {
                block_on(async {
                    for value in of(who, 3) {
                        if let Err(error) = tx.send(value).await {
                            assert_eq!(error.value, value);
                            assert_eq!(error.reason, SendFailure::Closed(Closed::Dropped));
                        }
                    }
                    assert_eq!(tx.closed().await, Closed::Dropped);
                });
            })
        });
        drop(tx);
        let rx = pair.carry(rx);
        let first = block_on(rx.recv()).unwrap().unwrap();
        assert!(first == 0 || first == 100);
        drop(rx);
        join(senders);
    });
}

/// What was accepted before the close arrives, in order, with the error at its end.
#[test]
fn close_with_across_the_session() {
    each(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pair.open::<u32>(capacity);
        let sender = {
            let tx = tx.clone();
            spawn(move || block_on(send_all(&tx, of(0, 3))))
        };
        let closer = spawn(move || tx.close_with("enough"));
        let (got, end) = block_on(until_end(&rx));
        assert_eq!(end, Err(RecvError::Remote("enough".into())));
        assert_once([&got], sender.join().unwrap());
        closer.join().unwrap();
    });
}

/// The link is cut at any moment: whoever waits returns, and what arrives is a prefix, never with a clean end.
#[test]
fn the_session_is_lost_while_everybody_waits() {
    each_alone(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pair.open::<u32>(capacity);
        let (jobs, inbox) = pair.open::<Job>(1);
        let (feed, input) = pipe_with::<u32>(capacity);
        let (output, results) = pipe_with::<u32>(capacity);
        let lost = |end| assert!(matches!(end, Err(RecvError::Disconnected(_))));
        let sender = spawn(move || {
            block_on(async {
                let sent = send_all(&tx, 0..).await;
                assert!(matches!(tx.closed().await, Closed::Disconnected(_)));
                sent
            })
        });
        let receiver = spawn(move || {
            let (got, end) = block_on(until_end(&rx));
            lost(end);
            got
        });
        let feeder = spawn(move || drop(block_on(send_all(&feed, 0..))));
        let worker = spawn(move || {
            block_on(async {
                let Ok(job) = inbox.recv().await else { return };
                let Job { input, output } = job.unwrap();
                let (got, end) = until_end(&input).await;
                assert!(matches!(end, Err(RecvError::Disconnected(_))));
                assert_ordered(&got);
                while output.send(0).await.is_ok() {}
            });
        });
        // Clean if the job never left and was dropped here, sender and all.
        let waiting = spawn(move || drop(block_on(until_end(&results))));
        let accepting = {
            let right = pair.right.clone();
            spawn(move || assert!(block_on(right.accept()).is_err()))
        };
        let cutter = {
            let wire = pair.wire.clone();
            spawn(move || wire.cut())
        };
        let _ = block_on(jobs.send(Job { input, output }));
        drop(jobs);
        cutter.join().unwrap();
        waiting.join().unwrap();
        feeder.join().unwrap();
        worker.join().unwrap();
        accepting.join().unwrap();
        let (sent, got) = (sender.join().unwrap(), receiver.join().unwrap());
        // The last one may have been taken without its sender having been told.
        assert!(got.iter().copied().eq(0..got.len() as u32), "{sent:?} were sent, {got:?} received");
        assert!(capacity > 0 || got.len() >= sent.len() && got.len() <= sent.len() + 1);
        pair.finish();
    });
}

/// One of two receivers is lost with its link: the other one goes on and sees the end, and nothing comes twice.
#[test]
fn a_worker_is_lost_with_its_link() {
    each_alone(12, [0, 1, 2], |pair, capacity| {
        let (tx, here) = pipe_with::<u32>(capacity);
        let there = pair.carry(here.clone());
        let here = spawn(move || block_on(drain(&here)));
        let there = spawn(move || block_on(until_end(&there)).0);
        let sender = spawn(move || {
            block_on(async {
                for value in of(0, 6) {
                    // With a rendezvous, the one that the lost worker may have taken fails.
                    if let Err(error) = tx.send(value).await {
                        assert!(matches!(
                            error.reason,
                            SendFailure::Disconnected { outcome_unknown: true, .. }
                        ));
                    }
                }
            });
        });
        let cutter = {
            let wire = pair.wire.clone();
            spawn(move || wire.cut())
        };
        cutter.join().unwrap();
        sender.join().unwrap();
        let (got_here, got_there) = (here.join().unwrap(), there.join().unwrap());
        assert_ordered(&got_there);
        let mut all: Vec<u32> = got_here.into_iter().chain(got_there).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "twice: {all:?}");
        pair.finish();
    });
}

/// A receiver is being sent while its link is lost. If that was accepted, what waits for the receiver is lost with it, and so
/// is what that carries: no clean end.
#[test]
fn what_waits_for_a_receiver_is_lost_with_it() {
    each_alone(12, [1, 2], |pair, capacity| {
        let (outer, outer_rx) = pair.open::<Receiver<Sender<u32>>>(capacity);
        let (inner, inner_rx) = pipe_with::<Sender<u32>>(1);
        let (reply, replies) = pipe_with::<u32>(1);
        block_on(inner.send(reply)).unwrap();
        let cutter = {
            let wire = pair.wire.clone();
            spawn(move || wire.cut())
        };
        let sent = block_on(outer.send(inner_rx));
        if sent.is_ok() {
            let (got, end) = block_on(until_end(&replies));
            assert!(got.is_empty() && matches!(end, Err(RecvError::Disconnected(_))));
        }
        cutter.join().unwrap();
        drop((sent, outer, outer_rx, inner));
        pair.finish();
    });
}

/// `Session::close` while a channel is in use: clean ends on both sides, and what was accepted arrives.
#[test]
fn the_session_closes_while_a_channel_is_used() {
    each_alone(6, [0, 1, 2], |pair, capacity| {
        let (tx, rx) = pair.open::<u32>(capacity);
        let sender = spawn(move || block_on(send_all(&tx, of(0, 5))));
        let receiver = spawn(move || block_on(until_end(&rx)));
        let Pair { left, right, wire } = pair;
        let closer = spawn(move || block_on(left.close()).unwrap());
        assert!(block_on(right.accept()).unwrap().is_none());
        closer.join().unwrap();
        let (received, end) = receiver.join().unwrap();
        // The sender had finished before, or the session ended under it.
        assert!(matches!(end, Ok(()) | Err(RecvError::SessionClosed(_))), "{end:?}");
        // Of a rendezvous that the close cut nobody can tell its sender that it was taken.
        let sent = sender.join().unwrap();
        let told = if capacity == 0 && received.len() > sent.len() { 1 } else { 0 };
        assert_once([&received], of(0, (sent.len() + told) as u32));
        drop(right);
        wire.wait_until_dropped();
    });
}
