//! Channels in one process: no session, no bound on the type, nothing encoded.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_core::Stream;
use futures_sink::Sink;
use libchan_tests::*;

async fn any_type_passes_without_a_bound() {
    let (sender, receiver) = pipe::<Rc<Cell<i32>>>();
    let shared = Rc::new(Cell::new(1));
    put(&sender, shared.clone()).await;
    get(&receiver).await.set(5);
    assert_eq!(shared.get(), 5);
    let (sender, receiver) = pipe::<Box<dyn FnOnce() -> i32 + Send>>();
    put(&sender, Box::new(|| 7)).await;
    let call = get(&receiver).await;
    assert_eq!(call(), 7);
    let text = String::from("borrowed");
    let (sender, receiver) = pipe::<&str>();
    put(&sender, &text).await;
    assert_eq!(get(&receiver).await, "borrowed");
}

async fn handles_are_small_and_futures_are_send() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let (sender, receiver) = pipe::<Cell<u32>>();
    send(&sender);
    sync(&sender);
    send(&receiver.recv());
    send(&sender.send(Cell::new(1)));
    send(&sender.reserve());
    send(&sender.closed());
    assert_eq!(size_of::<Option<Sender<[u64; 9]>>>(), 8);
    assert_eq!(size_of::<Option<Receiver<[u64; 9]>>>(), 8);
}

async fn capacity_is_exact() {
    for capacity in [1, 2, 64, 1000] {
        let (sender, receiver) = pipe_with::<usize>(capacity);
        assert_eq!((sender.capacity(), receiver.capacity()), (capacity, capacity));
        for number in 0..capacity {
            sender.try_send(number).unwrap();
        }
        assert!(sender.try_send(0).is_err_and(|error| error.is_full()));
        assert_eq!(receiver.len(), capacity);
        let mut sending = pin!(sender.send(capacity));
        still_pending(sending.as_mut()).await;
        assert_eq!(receiver.try_recv(), Ok(0));
        soon(sending).await.unwrap();
        for number in 1..=capacity {
            assert_eq!(receiver.try_recv(), Ok(number));
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert!(receiver.is_empty());
    }
    assert_eq!(pipe::<u8>().0.capacity(), 64);
}

async fn a_rendezvous_completes_when_taken() {
    let (sender, receiver) = pipe_with::<u32>(0);
    assert!(sender.try_send(1).is_err_and(|error| error.is_full()));
    let mut sending = pin!(sender.send(2));
    still_pending(sending.as_mut()).await;
    still_pending(sending.as_mut()).await;
    assert_eq!(get(&receiver).await, 2);
    soon(sending).await.unwrap();
    let mut receiving = pin!(receiver.recv());
    still_pending(receiving.as_mut()).await;
    sender.try_send(3).unwrap();
    assert!(sender.try_send(4).is_err_and(|error| error.is_full()));
    assert_eq!(soon(receiving).await, Ok(Some(3)));
}

async fn a_handed_over_value_survives_a_dropped_recv() {
    let (sender, receiver) = pipe_with::<u32>(0);
    {
        let mut receiving = pin!(receiver.recv());
        still_pending(receiving.as_mut()).await;
        sender.try_send(3).unwrap();
        // Dropped without being polled again.
    }
    assert_eq!(get(&receiver).await, 3);
    let mut reserving = pin!(sender.reserve());
    assert!(poll_once(reserving.as_mut()).await.is_none());
    let mut receiving = pin!(receiver.recv());
    still_pending(receiving.as_mut()).await;
    let permit = soon(reserving).await.unwrap();
    permit.send(4).unwrap();
    assert_eq!(soon(receiving).await, Ok(Some(4)));
}

async fn sends_wait_in_line() {
    let (sender, receiver) = pipe_with::<u32>(1);
    put(&sender, 0).await;
    let mut waiting = Vec::new();
    for number in 1..6 {
        let sender = sender.clone();
        let mut sending = Box::pin(async move { sender.send(number).await });
        assert!(poll_once(sending.as_mut()).await.is_none());
        waiting.push(sending);
    }
    // One in the middle gives up.
    drop(waiting.remove(2));
    assert_eq!(get(&receiver).await, 0);
    // The room of each message that is taken is the next one's, and nobody else's.
    for (number, sending) in [1, 2, 4, 5].into_iter().zip(waiting) {
        assert!(sender.try_send(9).is_err_and(|error| error.is_full()));
        soon(sending).await.unwrap();
        assert_eq!(get(&receiver).await, number);
    }
}

async fn receivers_wait_in_line() {
    let (sender, receiver) = pipe::<u32>();
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let receiver = receiver.clone();
        let mut receiving = Box::pin(async move { receiver.recv().await });
        assert!(poll_once(receiving.as_mut()).await.is_none());
        waiting.push(receiving);
    }
    drop(waiting.remove(2));
    for number in 0..4 {
        put(&sender, number).await;
    }
    for (number, receiving) in waiting.into_iter().enumerate() {
        assert_eq!(soon(receiving).await, Ok(Some(number as u32)));
    }
}

async fn the_ends_say_how_it_ended() {
    let (sender, receiver) = pipe::<u32>();
    put(&sender, 1).await;
    sender.close_with(RemoteError::new(9, "nine"));
    assert_eq!(refused(&sender, 2).await.reason, SendFailure::Closed(Closed::BySender));
    assert_eq!(get(&receiver).await, 1);
    assert_eq!(fail(&receiver).await, RecvError::Remote(RemoteError::new(9, "nine")));
    let (sender, receiver) = pipe::<u32>();
    put(&sender, 1).await;
    receiver.close_with("no more");
    let error = refused(&sender, 2).await;
    assert_eq!((error.value, error.reason), (2, SendFailure::Closed(Closed::Refused("no more".into()))));
    assert_eq!(soon(sender.closed()).await, Closed::Refused("no more".into()));
    end(&receiver).await;
    let (sender, receiver) = pipe::<u32>();
    drop(receiver);
    assert_eq!(refused(&sender, 2).await.reason, SendFailure::Closed(Closed::Dropped));
    let (sender, receiver) = pipe::<u32>();
    drop(sender.clone());
    drop(receiver.clone());
    put(&sender, 1).await;
    drop(sender);
    assert_eq!(get(&receiver).await, 1);
    end(&receiver).await;
}

async fn values_are_dropped_when_nobody_can_take_them() {
    let counted = Arc::new(());
    let (sender, receiver) = pipe::<Arc<()>>();
    for _ in 0..10 {
        put(&sender, counted.clone()).await;
    }
    assert_eq!(Arc::strong_count(&counted), 11);
    drop(receiver);
    assert_eq!(Arc::strong_count(&counted), 1);
    let (sender, receiver) = pipe::<Arc<()>>();
    put(&sender, counted.clone()).await;
    drop((sender, receiver));
    assert_eq!(Arc::strong_count(&counted), 1);
}

async fn an_end_in_its_own_value_is_dropped_with_it() {
    struct Carries(Sender<Self>, Option<Receiver<Self>>);
    let (sender, receiver) = pipe::<Carries>();
    let (inner, inner_receiver) = pipe::<Carries>();
    put(&sender, Carries(inner.clone(), Some(inner_receiver))).await;
    drop(receiver);
    // Nobody read the value that it was in.
    let why = soon(inner.closed()).await;
    assert!(matches!(&why, Closed::Refused(error) if error.cut() == Some(Cut::NotDelivered)), "{why:?}");
    let (sender, receiver) = pipe::<Carries>();
    put(&sender, Carries(sender.clone(), None)).await;
    let carried = get(&receiver).await;
    assert!(carried.0.same_channel(&sender) && carried.1.is_none());
}

async fn dropping_a_value_may_use_its_own_channel() {
    // The drop of a value runs under no lock.
    struct Noisy(Option<Sender<u32>>, Sender<Self>);
    impl Drop for Noisy {
        fn drop(&mut self) {
            if let Some(heard) = self.0.take() {
                heard.try_send(1).unwrap();
                let _ = self.1.try_send(Self(None, self.1.clone()));
                self.1.close();
            }
        }
    }
    let (heard, hears) = pipe();
    let (sender, receiver) = pipe::<Noisy>();
    put(&sender, Noisy(Some(heard.clone()), sender.clone())).await;
    drop(receiver);
    assert_eq!(get(&hears).await, 1);
    let (sender, receiver) = pipe::<Noisy>();
    put(&sender, Noisy(Some(heard), sender.clone())).await;
    receiver.close();
    assert_eq!(get(&hears).await, 1);
}

async fn a_waker_may_use_its_own_channel() {
    // Wakers run under no lock.
    struct Uses(Sender<u32>, AtomicU32);
    impl std::task::Wake for Uses {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::SeqCst);
            let _ = self.0.try_send(7);
        }
    }
    let (sender, receiver) = pipe_with::<u32>(4);
    let uses = Arc::new(Uses(sender.clone(), AtomicU32::new(0)));
    let waker = std::task::Waker::from(uses.clone());
    let mut receiving = pin!(receiver.recv());
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(receiving.as_mut().poll(&mut cx).is_pending());
    put(&sender, 1).await;
    assert_eq!(uses.1.load(Ordering::SeqCst), 1);
    assert_eq!(soon(receiving).await, Ok(Some(1)));
    assert_eq!(get(&receiver).await, 7);
}

async fn stream_and_sink_adapters() {
    let (sender, receiver) = pipe_with::<u32>(2);
    let mut sink = sender.clone().into_sink();
    let mut stream = receiver.into_stream();
    drop(sender);
    for number in 0..2 {
        poll_fn(|cx| Pin::new(&mut sink).poll_ready(cx)).await.unwrap();
        Pin::new(&mut sink).start_send(number).unwrap();
    }
    poll_fn(|cx| Pin::new(&mut sink).poll_flush(cx)).await.unwrap();
    let mut ready = pin!(poll_fn(|cx| Pin::new(&mut sink).poll_ready(cx)));
    assert!(poll_once(ready.as_mut()).await.is_none());
    let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
    assert_eq!(soon(next).await, Some(Ok(0)));
    soon(ready).await.unwrap();
    Pin::new(&mut sink).start_send(2).unwrap();
    poll_fn(|cx| Pin::new(&mut sink).poll_close(cx)).await.unwrap();
    for number in 1..3 {
        let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
        assert_eq!(soon(next).await, Some(Ok(number)));
    }
    for _ in 0..2 {
        let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
        assert_eq!(soon(next).await, None);
    }
    let (sender, receiver) = pipe::<u32>();
    sender.close_with("error");
    let mut stream = receiver.into_stream();
    let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
    assert_eq!(soon(next).await, Some(Err(RecvError::Remote("error".into()))));
    let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
    assert_eq!(soon(next).await, None);
}

async fn a_closed_sink_leaves_the_other_producers_alone() {
    let (sender, receiver) = pipe_with::<u32>(4);
    let mut sink = sender.clone().into_sink();
    poll_fn(|cx| Pin::new(&mut sink).poll_ready(cx)).await.unwrap();
    poll_fn(|cx| Pin::new(&mut sink).poll_close(cx)).await.unwrap();
    // The room that it had kept is free again.
    for number in 0..4 {
        sender.try_send(number).unwrap();
    }
    let closed = poll_fn(|cx| Pin::new(&mut sink).poll_ready(cx)).await;
    assert_eq!(closed, Err(SendFailure::Closed(Closed::BySender)));
    assert!(Pin::new(&mut sink).start_send(9).is_err());
    assert!(sink.into_inner().is_none());
    for number in 0..4 {
        assert_eq!(get(&receiver).await, number);
    }
    drop(sender);
    end(&receiver).await;
}

async fn dropped_adapters_give_back_what_they_hold() {
    let (sender, receiver) = pipe_with::<u32>(1);
    let mut sink = sender.clone().into_sink();
    poll_fn(|cx| Pin::new(&mut sink).poll_ready(cx)).await.unwrap();
    assert!(sender.try_send(1).is_err_and(|error| error.is_full()));
    drop(sink);
    sender.try_send(1).unwrap();
    let mut sink = sender.clone().into_sink();
    let mut ready = Box::pin(poll_fn(move |cx| Pin::new(&mut sink).poll_ready(cx)));
    assert!(poll_once(ready.as_mut()).await.is_none());
    drop(ready);
    assert_eq!(get(&receiver).await, 1);
    sender.try_send(2).unwrap();
    let mut stream = receiver.clone().into_stream();
    let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
    assert_eq!(soon(next).await, Some(Ok(2)));
    let mut next = Box::pin(poll_fn(move |cx| Pin::new(&mut stream).poll_next(cx)));
    assert!(poll_once(next.as_mut()).await.is_none());
    put(&sender, 3).await;
    drop(next);
    assert_eq!(get(&receiver).await, 3);
}

async fn errors_say_what_happened_in_words() {
    let (sender, receiver) = pipe_with::<Rc<u8>>(1);
    put(&sender, Rc::new(1)).await;
    let full = sender.try_send(Rc::new(2)).unwrap_err();
    assert_eq!(full.to_string(), "the channel has no room now");
    drop(receiver);
    let error = refused(&sender, Rc::new(3)).await;
    assert_eq!(error.to_string(), "every receiver is gone");
    assert_eq!(*error.value, 3);
    assert_eq!(RemoteError::new(7, "").to_string(), "application error 7");
    // `?` into a boxed error, for types that are not Sync.
    fn boxed(error: SendError<Cell<u8>>) -> Box<dyn std::error::Error + Send + Sync> {
        error.into_reason().into()
    }
    let (sender, receiver) = pipe_with::<Cell<u8>>(1);
    drop(receiver);
    assert_eq!(boxed(refused(&sender, Cell::new(1)).await).to_string(), "every receiver is gone");
}

/// Short runs with everything at once, on both runtimes. Not shuttle: the schedules are the machine's own, stirred by
/// seeded yields and cancellations.
async fn stress_many_short_runs() {
    let mut rng = Rng::new("stress");
    for run in 0..150 {
        let seed = rng.next();
        stress(seed, run).await;
    }
}

async fn stress(seed: u64, run: u32) {
    let mut rng = Rng::from_seed(seed);
    let capacity = [0, 0, 1, 2, 3, 8][rng.below(6) as usize];
    let (senders, receivers) = (1 + rng.below(4) as u32, 1 + rng.below(4));
    let each = 10 + rng.below(30) as u32;
    let (sender, receiver) = pipe_with::<(u32, u32)>(capacity);
    let mut sending = Vec::new();
    for own in 0..senders {
        let sender = sender.clone();
        let mut rng = Rng::from_seed(rng.next());
        sending.push(tokio::spawn(async move {
            for number in 0..each {
                match rng.below(5) {
                    0 => loop {
                        // A reserve that may be dropped, then another.
                        let mut reserving = pin!(sender.reserve());
                        if let Some(permit) = poll_once(reserving.as_mut()).await {
                            permit.unwrap().send((own, number)).unwrap();
                            break;
                        }
                        tokio::task::yield_now().await;
                        if rng.below(3) == 0 {
                            soon(reserving).await.unwrap().send((own, number)).unwrap();
                            break;
                        }
                    },
                    1 => {
                        while let Err(error) = sender.try_send((own, number)) {
                            assert!(error.is_full());
                            tokio::task::yield_now().await;
                        }
                    }
                    2 => {
                        tokio::task::yield_now().await;
                        put(&sender, (own, number)).await;
                    }
                    _ => put(&sender, (own, number)).await,
                }
            }
        }));
    }
    drop(sender);
    let mut receiving = Vec::new();
    for _ in 0..receivers {
        let receiver = receiver.clone();
        let mut rng = Rng::from_seed(rng.next());
        receiving.push(tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                if rng.below(3) == 0 {
                    let mut receiving = pin!(receiver.recv());
                    match poll_once(receiving.as_mut()).await {
                        Some(Ok(Some(value))) => got.push(value),
                        Some(Ok(None)) => break,
                        Some(Err(error)) => panic!("{error:?}"),
                        None => tokio::task::yield_now().await,
                    }
                    continue;
                }
                match soon(receiver.recv()).await.unwrap() {
                    Some(value) => got.push(value),
                    None => break,
                }
            }
            got
        }));
    }
    drop(receiver);
    for task in sending {
        soon(task).await.unwrap_or_else(|error| panic!("run {run}, seed {seed}: {error}"));
    }
    let mut all = Vec::new();
    for task in receiving {
        let got = soon(task).await.unwrap_or_else(|error| panic!("run {run}, seed {seed}: {error}"));
        for own in 0..senders {
            let numbers: Vec<_> = got.iter().filter(|value| value.0 == own).map(|value| value.1).collect();
            // A permit of a rendezvous hands over without waiting, so the order holds for one sender all the same.
            assert!(numbers.is_sorted(), "run {run}, seed {seed}: sender {own} out of order: {numbers:?}");
        }
        all.extend(got);
    }
    all.sort_unstable();
    let expected: Vec<_> = (0..senders).flat_map(|own| (0..each).map(move |number| (own, number))).collect();
    assert_eq!(all, expected, "run {run}, seed {seed}: capacity {capacity}");
}

libchan_tests::in_process! {
    any_type_passes_without_a_bound,
    handles_are_small_and_futures_are_send,
    capacity_is_exact,
    a_rendezvous_completes_when_taken,
    a_handed_over_value_survives_a_dropped_recv,
    sends_wait_in_line,
    receivers_wait_in_line,
    the_ends_say_how_it_ended,
    values_are_dropped_when_nobody_can_take_them,
    an_end_in_its_own_value_is_dropped_with_it,
    dropping_a_value_may_use_its_own_channel,
    a_waker_may_use_its_own_channel,
    stream_and_sink_adapters,
    dropped_adapters_give_back_what_they_hold,
    a_closed_sink_leaves_the_other_producers_alone,
    errors_say_what_happened_in_words,
    stress_many_short_runs,
}
