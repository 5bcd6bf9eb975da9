//! What a channel keeps that was opened over a session, used once and left open: by name, and inside a message. And what
//! a session keeps that was used and is idle.

use libchan_tests::*;
use stats_alloc::Region;

use crate::ALLOCATOR;

/// The most that both ends together may hold, in bytes of heap: what of the session's tables is empty, and what the
/// session has set aside for a burst, are shared out among the channels.
const MOST: f64 = 500.0;

/// How many are on their way at once.
const BATCH: usize = 64;

type Ends = (Sender<u32>, Receiver<u32>);

pub(crate) async fn by_name(on: On, count: usize) {
    let (a, b) = sessions(on).await;
    let mut kept = Vec::with_capacity(1 + count);
    open_by_name(&a, &b, 1, &mut kept).await;
    settle().await;
    let region = Region::new(ALLOCATOR);
    open_by_name(&a, &b, count, &mut kept).await;
    settle().await;
    check(&region, count, "by name");
}

async fn open_by_name(a: &Session, b: &Session, count: usize, kept: &mut Vec<Ends>) {
    for from in (0..count).step_by(BATCH) {
        let mut senders = Vec::with_capacity(BATCH);
        for number in from..count.min(from + BATCH) {
            let sender = a.open("items").unwrap();
            put(&sender, number as u32).await;
            senders.push(sender);
        }
        for (number, sender) in (from..).zip(senders) {
            let receiver = soon(b.accept()).await.unwrap().unwrap().receive();
            assert_eq!(get(&receiver).await, number as u32);
            kept.push((sender, receiver));
        }
    }
}

pub(crate) async fn in_messages(on: On, count: usize) {
    let (a, b) = sessions(on).await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 256).await;
    let mut kept = Vec::with_capacity(1 + count);
    open_in_messages(&ship, &shipped, 1, &mut kept).await;
    settle().await;
    let region = Region::new(ALLOCATOR);
    open_in_messages(&ship, &shipped, count, &mut kept).await;
    settle().await;
    check(&region, count, "in messages");
}

async fn open_in_messages(
    ship: &Sender<Sender<u32>>,
    shipped: &Receiver<Sender<u32>>,
    count: usize,
    kept: &mut Vec<Ends>,
) {
    for from in (0..count).step_by(BATCH) {
        let mut receivers = Vec::with_capacity(BATCH);
        for _ in from..count.min(from + BATCH) {
            let (sender, receiver) = pipe();
            put(ship, sender).await;
            receivers.push(receiver);
        }
        for (number, receiver) in (from..).zip(receivers) {
            let sender = get(shipped).await;
            put(&sender, number as u32).await;
            assert_eq!(get(&receiver).await, number as u32);
            kept.push((sender, receiver));
        }
    }
}

/// The most that both ends of an idle session may hold, in bytes of heap: no buffer to read or write is among it.
const MOST_A_SESSION: f64 = 12.0 * 1024.0;

pub(crate) async fn sessions_that_were_used(on: On, count: usize) {
    let mut kept = Vec::with_capacity(1 + count);
    use_a_session(on, &mut kept).await;
    let region = Region::new(ALLOCATOR);
    for _ in 0..count {
        use_a_session(on, &mut kept).await;
    }
    let bytes = held(&region, count);
    println!("{count} sessions: {bytes:.0} bytes a session, both ends together");
    assert!(bytes <= MOST_A_SESSION, "{bytes} bytes a session, {count} open");
}

async fn use_a_session(on: On, kept: &mut Vec<((Session, Session), Ends)>) {
    let (a, b) = sessions(on).await;
    let (sender, receiver) = channel::<u32>(&a, &b, 64).await;
    for number in 0..1_000 {
        put(&sender, number).await;
        assert_eq!(get(&receiver).await, number);
    }
    settle().await;
    kept.push(((a, b), (sender, receiver)));
}

async fn sessions(on: On) -> (Session, Session) {
    let limits = Limits { max_channels: 65_536, ..Limits::default() };
    let options = || SessionOptions::new().limits(limits.clone());
    on.pair_with(options(), options()).await
}

/// Lets the drivers finish what nobody waits for.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn check(region: &Region<'_, std::alloc::System>, count: usize, how: &str) {
    let bytes = held(region, count);
    println!("{count} {how}: {bytes:.0} bytes a channel, both ends together");
    assert!(bytes <= MOST, "{bytes} bytes a channel {how}, {count} open");
}

/// Bytes of heap that each of `count` keeps.
fn held(region: &Region<'_, std::alloc::System>, count: usize) -> f64 {
    let change = region.change();
    (change.bytes_allocated as f64 - change.bytes_deallocated as f64) / count as f64
}
