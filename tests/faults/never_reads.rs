//! A peer that never reads: what waits for it is bounded, whoever sends to it waits, nothing spins, and
//! nobody else is delayed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libchan_tests::*;
use tokio::io::AsyncWriteExt;

use crate::counted::Counts;
use crate::rude::{frame, session_with_rude_peer};

/// All the bytes that a peer can grant for a channel or stream. It is not a rule that it reads them.
fn generous_credit(id: u32) -> Vec<u8> {
    frame(0x05, id, &[&[0; 8][..], &(1_u32 << 30).to_be_bytes()].concat())
}

/// Waits until the link is full and `accepted` stands still, by traffic on another session of the runtime.
async fn stalled(counts: &Counts, accepted: &AtomicUsize, other: &Probe) {
    eventually(|| counts.blocked() > 0).await;
    loop {
        let before = (counts.left(), accepted.load(Ordering::Relaxed));
        for _ in 0..20 {
            other.settle().await;
        }
        if before == (counts.left(), accepted.load(Ordering::Relaxed)) {
            return;
        }
    }
}

/// The session is stalled: it does nothing at all, and another one on the same runtime all it wants.
async fn nothing_spins(counts: &Counts, other: &Probe) {
    let before = counts.calls();
    for _ in 0..100 {
        other.settle().await;
    }
    let calls = counts.calls() - before;
    // A tick of the clock may fall between, and the kernel may yet find some room; spinning would be thousands.
    assert!(calls <= 20, "{calls} calls of a link that is full");
}

async fn senders_wait_for_room(on: On) {
    let (c, d) = on.pair().await;
    let other = Probe::new(&c, &d).await;
    let (session, mut rude, counts) = session_with_rude_peer(on, SessionOptions::new()).await;
    let sender = session.open_with::<Blob>("x", OpenOptions::new().capacity(1_000)).unwrap();
    rude.write_all(&generous_credit(2)).await.unwrap();
    let accepted = Arc::<AtomicUsize>::default();
    let sending = tokio::spawn({
        let (sender, accepted) = (sender.clone(), accepted.clone());
        async move {
            loop {
                match sender.send(Blob(vec![1; 8_000])).await {
                    Ok(()) => accepted.fetch_add(1, Ordering::Relaxed),
                    Err(error) => return error.reason,
                };
            }
        }
    });
    stalled(&counts, &accepted, &other).await;
    assert_eq!(accepted.load(Ordering::Relaxed), 1_000);
    assert!(sender.try_send(Blob(Vec::new())).unwrap_err().is_full());
    nothing_spins(&counts, &other).await;
    drop(rude);
    let failure = soon(sending).await.unwrap();
    assert!(matches!(failure, SendFailure::Disconnected { outcome_unknown: false, .. }));
}

async fn a_stream_is_not_buffered_without_end(on: On) {
    let (c, d) = on.pair().await;
    let other = Probe::new(&c, &d).await;
    let (session, mut rude, counts) = session_with_rude_peer(on, SessionOptions::new()).await;
    let ship = session.open::<ByteStream>("x").unwrap();
    let (mut here, stream) = ByteStream::pair();
    put(&ship, stream).await;
    // The channel is 2, the stream in its first message 4.
    rude.write_all(&generous_credit(4)).await.unwrap();
    let accepted = Arc::<AtomicUsize>::default();
    let writing = tokio::spawn({
        let accepted = accepted.clone();
        async move {
            let chunk = vec![1; 10_000];
            loop {
                match here.write(&chunk).await {
                    Ok(count) => accepted.fetch_add(count, Ordering::Relaxed),
                    Err(error) => return error.kind(),
                };
            }
        }
    });
    stalled(&counts, &accepted, &other).await;
    let (accepted, left) = (accepted.load(Ordering::Relaxed), counts.left());
    let held = accepted.saturating_sub(left);
    // The window that a stream starts with is 16 KiB, the output's high-water mark 1 MiB.
    assert!(accepted > 64 * 1024, "{accepted} bytes: the credit was not used");
    assert!(held < 2 << 20, "{held} bytes wait for a peer that does not read");
    nothing_spins(&counts, &other).await;
    drop(rude);
    assert_eq!(soon(writing).await.unwrap(), io::ErrorKind::ConnectionReset);
}

/// A peer that asks and never reads the answers: they are limited.
async fn answers_are_limited(on: On) {
    let (c, d) = on.pair().await;
    let other = Probe::new(&c, &d).await;
    let limits = Limits { max_pending_accepts: 1, ..Limits::default() };
    let (session, mut rude, _) =
        session_with_rude_peer(on, SessionOptions::new().limits(limits.clone())).await;
    let sender = session.open_with::<u32>("x", OpenOptions::new().capacity(1)).unwrap();
    put(&sender, 1).await;
    let pending = tokio::spawn(async move { sender.send(2).await.map_err(|error| error.reason) });
    let open = |id| frame(0x02, id, &[0, 0, 0, 4, 0, 1, b'x']);
    rude.write_all(&open(1)).await.unwrap();
    // Refused, with an answer each time; the id is free again after the CLOSE.
    let refused = [open(3), frame(0x06, 3, &[0, 0, 0])].concat();
    let asked = refused.repeat(100);
    let mut rounds = 0;
    let asking = async {
        while rude.write_all(&asked).await.is_ok() {
            rounds += 100;
            assert!(rounds < 10_000_000, "answers without end");
        }
    };
    let closed = tokio::select! {
        () = asking => soon(session.closed()).await,
        closed = session.closed() => closed,
    };
    assert_eq!(closed, Err(SessionError::PeerNotReading));
    assert!(matches!(
        soon(pending).await.unwrap(),
        Err(SendFailure::Disconnected { outcome_unknown: false, .. })
    ));
    // Not before the limit was reached.
    let answers = rounds * frame(0x07, 3, &[0; 7]).len();
    assert!(answers + 100 * 15 > limits.max_control_bytes as usize, "ended after {answers} bytes of answers");
    other.settle().await;
}

/// What we say of our own accord is not what the peer has asked for: a burst of ours does not make it a peer
/// that does not read.
async fn a_burst_of_ours_is_not_the_peers_fault(on: On) {
    let limits = Limits { max_pending_accepts: 65_536, ..Limits::default() };
    let options = || SessionOptions::new().limits(limits.clone());
    let (a, b) = on.pair_with(options(), options()).await;
    tell([&a, &b]);
    let mut backs = Vec::new();
    for _ in 0..64 {
        backs.push(channel::<u32>(&b, &a, 1).await);
    }
    // Each CLOSE of the peer is answered.
    let backs: Vec<Receiver<u32>> = backs.into_iter().map(|(_, receiver)| receiver).collect();
    let name = "x".repeat(4_000);
    let opened: Vec<Sender<u32>> = (0..500).map(|_| a.open(&name).unwrap()).collect();
    for receiver in &backs {
        end(receiver).await;
    }
    for sender in &opened {
        let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<u32>();
        put(sender, 1).await;
        assert_eq!(get(&receiver).await, 1);
    }
}

libchan_tests::contract_on!(wire, Wire, [a_burst_of_ours_is_not_the_peers_fault]);
libchan_tests::contract_on!(
    unix,
    Unix,
    [senders_wait_for_room, a_stream_is_not_buffered_without_end, answers_are_limited]
);
libchan_tests::contract_on!(
    tcp,
    Tcp,
    [senders_wait_for_room, a_stream_is_not_buffered_without_end, answers_are_limited]
);
