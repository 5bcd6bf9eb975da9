//! The queue in one process, under many interleavings: nothing lost, nothing twice, nobody left waiting.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use libchan_shuttle::{Closed, RecvError, RemoteError, SendFailure, TrySendError, pipe_with};
use shuttle::thread::spawn;

use self::support::{
    assert_once, assert_ordered, block_on, check, drain, join, of, poke, send_all, until_end,
};

const CAPACITIES: [usize; 3] = [0, 1, 2];

/// Runs a test for every capacity.
fn each_capacity(iterations: usize, test: impl Fn(usize) + Copy + Send + Sync + 'static) {
    for capacity in CAPACITIES {
        check(iterations, move || test(capacity));
    }
}

#[test]
fn two_senders_two_receivers() {
    each_capacity(200, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let senders = [0, 1].map(|who| {
            let tx = tx.clone();
            spawn(move || assert_eq!(block_on(send_all(&tx, of(who, 3))).len(), 3))
        });
        let receivers = [(); 2].map(|()| {
            let rx = rx.clone();
            spawn(move || block_on(drain(&rx)))
        });
        drop((tx, rx));
        join(senders);
        assert_once(&join(receivers), of(0, 3).chain(of(1, 3)));
    });
}

#[test]
fn the_blocking_twins() {
    each_capacity(150, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let sender = spawn(move || of(0, 4).for_each(|value| tx.send_blocking(value).unwrap()));
        let mut got = Vec::new();
        while let Some(value) = rx.recv_blocking().unwrap() {
            got.push(value);
        }
        sender.join().unwrap();
        assert!(got.into_iter().eq(of(0, 4)));
    });
}

/// A receiver that was told of a message and goes away tells the next one. No sender is dropped meanwhile, so nothing
/// else wakes it.
#[test]
fn a_dropped_recv_loses_no_wakeup() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each_capacity(200, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let flighty = [(); 2].map(|()| {
            let (tx, rx) = (tx.clone(), rx.clone());
            spawn(move || {
                block_on(async {
                    for _ in 0..2 {
                        if let Some(got) = poke(&CANCELLED, rx.recv()).await {
                            tx.send(got.unwrap().unwrap()).await.unwrap();
                        }
                    }
                });
            })
        });
        let patient = spawn(move || {
            block_on(async {
                let mut got = Vec::new();
                for _ in 0..3 {
                    got.push(rx.recv().await.unwrap().unwrap());
                }
                got
            })
        });
        block_on(send_all(&tx, of(0, 3)));
        let mut got = patient.join().unwrap();
        got.sort_unstable();
        assert!(got.into_iter().eq(of(0, 3)));
        join(flighty);
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_dropped_send_holds_up_nobody() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each_capacity(200, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let flighty = {
            let tx = tx.clone();
            spawn(move || {
                block_on(async {
                    let mut sent = Vec::new();
                    for value in of(0, 3) {
                        if let Some(result) = poke(&CANCELLED, tx.send(value)).await {
                            result.unwrap();
                            sent.push(value);
                        }
                    }
                    sent
                })
            })
        };
        let steady = spawn(move || block_on(send_all(&tx, of(1, 3))));
        let got = block_on(drain(&rx));
        assert_ordered(&got);
        assert_eq!(steady.join().unwrap().len(), 3);
        assert!(of(1, 3).all(|value| got.contains(&value)));
        for value in flighty.join().unwrap() {
            assert!(got.contains(&value), "{value} was accepted");
        }
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

/// Room that is kept, given back unused, or waited for in vain comes to the next one.
#[test]
fn reserve_and_permits_give_their_room_back() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each_capacity(200, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let flighty = [0, 1].map(|who| {
            let tx = tx.clone();
            spawn(move || {
                block_on(async {
                    if let Some(permit) = poke(&CANCELLED, tx.reserve()).await {
                        drop(permit.unwrap());
                    }
                    let permit = tx.reserve().await.unwrap();
                    permit.send(who * 100).unwrap();
                });
            })
        });
        let steady = spawn(move || block_on(send_all(&tx, of(2, 2))));
        let got = block_on(drain(&rx));
        join(flighty);
        assert_eq!(steady.join().unwrap().len(), 2);
        assert_once([&got], of(0, 1).chain(of(1, 1)).chain(of(2, 2)));
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

/// What a `recv` that goes away was handed is there for the next one.
#[test]
fn try_send_to_receivers_that_leave() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    each_capacity(150, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let flighty = {
            let rx = rx.clone();
            spawn(move || {
                block_on(async {
                    let got = poke(&CANCELLED, rx.recv()).await;
                    got.and_then(Result::unwrap).into_iter().collect::<Vec<u32>>()
                })
            })
        };
        let patient = spawn(move || block_on(drain(&rx)));
        let mut sent = Vec::new();
        for value in of(0, 3) {
            match tx.try_send(value) {
                Ok(()) => sent.push(value),
                Err(TrySendError::Full(back)) => assert_eq!(back, value),
                Err(failed) => panic!("{failed:?}"),
            }
        }
        drop(tx);
        assert_once([&flighty.join().unwrap(), &patient.join().unwrap()], sent);
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}

/// What was accepted before the close is received, the rest has its value back.
#[test]
fn close_against_send_and_recv() {
    each_capacity(200, |capacity| {
        for error in [None, Some(RemoteError::new(7, "enough"))] {
            let (tx, rx) = pipe_with::<u32>(capacity);
            let senders = [0, 1].map(|who| {
                let tx = tx.clone();
                spawn(move || block_on(send_all(&tx, of(who, 3))))
            });
            let receiver = spawn(move || block_on(until_end(&rx)));
            let expected = match error {
                None => {
                    tx.close();
                    Ok(())
                }
                Some(error) => {
                    tx.close_with(error.clone());
                    Err(RecvError::Remote(error))
                }
            };
            let sent = join(senders);
            let (got, end) = receiver.join().unwrap();
            assert_eq!(end, expected);
            assert_once([&got], sent.into_iter().flatten());
            assert!(tx.is_closed());
        }
    });
}

#[test]
fn close_against_permits() {
    each_capacity(200, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let sender = {
            let tx = tx.clone();
            spawn(move || {
                block_on(async {
                    let mut sent = Vec::new();
                    for value in of(0, 2) {
                        match tx.reserve().await {
                            Ok(permit) => match permit.send(value) {
                                Ok(()) => sent.push(value),
                                Err(error) => assert_eq!(error.value, value),
                            },
                            Err(closed) => assert_eq!(closed, Closed::BySender),
                        }
                    }
                    sent
                })
            })
        };
        let receiver = {
            let rx = rx.clone();
            spawn(move || block_on(drain(&rx)))
        };
        tx.close();
        assert_once([&receiver.join().unwrap()], sender.join().unwrap());
    });
}

/// A permit keeps its room: the channel never holds more than its capacity.
#[test]
fn permits_pass_no_capacity() {
    check(200, || {
        let (tx, rx) = pipe_with::<u32>(1);
        let senders = [0, 1].map(|who| {
            let tx = tx.clone();
            spawn(move || block_on(async { tx.reserve().await.unwrap().send(who * 100).unwrap() }))
        });
        let third = spawn(move || block_on(send_all(&tx, of(2, 1))));
        for _ in 0..3 {
            assert!(rx.len() <= 1, "{} messages in a channel of capacity 1", rx.len());
            block_on(rx.recv()).unwrap().unwrap();
        }
        join(senders);
        third.join().unwrap();
    });
}

#[test]
fn the_last_sender_goes_while_receivers_wait() {
    each_capacity(150, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let receivers = [(); 3].map(|()| {
            let rx = rx.clone();
            spawn(move || block_on(drain(&rx)))
        });
        let senders = [tx.clone(), tx].map(|tx| spawn(move || drop(tx)));
        assert_once(&join(receivers), []);
        join(senders);
    });
}

/// Everybody who sends or waits to gets his value back.
#[test]
fn the_last_receiver_goes_while_senders_send() {
    each_capacity(200, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let senders = [0, 1].map(|who| {
            let tx = tx.clone();
            spawn(move || {
                block_on(async {
                    let mut sent = 0;
                    for value in of(who, 5) {
                        match tx.send(value).await {
                            Ok(()) => sent += 1,
                            Err(error) => {
                                assert_eq!(error.value, value);
                                assert_eq!(error.reason, SendFailure::Closed(Closed::Dropped));
                            }
                        }
                    }
                    sent
                })
            })
        });
        let receivers = [rx.clone(), rx].map(|rx| {
            spawn(move || {
                let got = block_on(rx.recv()).unwrap();
                drop(rx);
                u32::from(got.is_some())
            })
        });
        drop(tx);
        let got: u32 = join(receivers).iter().sum();
        let sent: u32 = join(senders).iter().sum();
        assert_eq!(got, 2);
        assert!(sent <= got + capacity as u32, "{sent} were accepted, {got} taken");
        assert!(capacity > 0 || sent == got);
    });
}

#[test]
fn a_receiver_refuses_while_senders_send() {
    each_capacity(150, |capacity| {
        let (tx, rx) = pipe_with::<u32>(capacity);
        let sender = {
            let tx = tx.clone();
            spawn(move || block_on(send_all(&tx, of(0, 3))))
        };
        let refuser = {
            let rx = rx.clone();
            spawn(move || rx.close_with("no more"))
        };
        let (got, end) = block_on(until_end(&rx));
        assert_eq!(end, Ok(()));
        refuser.join().unwrap();
        let sent = sender.join().unwrap();
        assert!(sent.starts_with(&got) && got.len() <= sent.len());
        let refused = SendFailure::Closed(Closed::Refused("no more".into()));
        assert_eq!(block_on(tx.send(9)).unwrap_err().reason, refused);
    });
}

/// Whoever asked is told, however the channel ends, and a dropped question holds up nobody.
#[test]
fn closed_is_told_to_all_who_asked() {
    static CANCELLED: AtomicUsize = AtomicUsize::new(0);
    check(200, || {
        for by_sender in [false, true] {
            let (tx, rx) = pipe_with::<u32>(1);
            let watchers = [(); 2].map(|()| {
                let tx = tx.clone();
                spawn(move || {
                    block_on(async {
                        poke(&CANCELLED, tx.closed()).await;
                        tx.closed().await
                    })
                })
            });
            let why = if by_sender {
                tx.close();
                Closed::BySender
            } else {
                drop(rx);
                Closed::Dropped
            };
            for told in join(watchers) {
                assert_eq!(told, why);
            }
        }
    });
    assert!(CANCELLED.load(Ordering::Relaxed) > 0);
}
