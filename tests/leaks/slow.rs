//! More than a thousand peers that connect and say nothing, or one byte now and then: they cost a bounded number of
//! tasks, descriptors and bytes, keep nobody from being served, and are gone after the hello deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libchan_tests::*;
use libchan_transports::ListenOptions;
use stats_alloc::Region;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{ALLOCATOR, alone, descriptors, tasks};

const PEERS: usize = 1_200;
const PLACES: usize = 400;

/// What a handshake may hold, in bytes, with its tasks, the connection's buffers and the peer's own end.
const EACH: usize = 64 * 1024;

/// The beginning of what a peer of each transport says; its end never comes.
fn first_words(on: On) -> &'static [u8] {
    match on {
        On::Tcp => b"libchan\x01\x00\x10\x00\x01\x00\x00\x00\x00",
        On::Tls | On::Https | On::Wss => {
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00\x00"
        }
        On::WebSocket => b"GET /libchan/v1 HTTP/1.1\r\nHost: x\r\nX-Filler: ",
        _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x40\x00\x01",
    }
}

/// Says `words` byte by byte, and waits until the other side has had enough.
async fn slow_peer(mut stream: TcpStream, words: &'static [u8], gone: Arc<AtomicUsize>) {
    let mut heard = [0; 256];
    for byte in words.chunks(1) {
        tokio::select! {
            read = stream.read(&mut heard) => if matches!(read, Ok(0) | Err(_)) { break },
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                if stream.write_all(byte).await.is_err() {
                    break;
                }
            }
        }
    }
    while stream.read(&mut heard).await.is_ok_and(|read| read > 0) {}
    gone.fetch_add(1, Ordering::Relaxed);
}

async fn echo(session: Session) {
    while let Ok(Some(incoming)) = session.accept().await {
        let numbers = incoming.receive::<(u32, Sender<u32>)>();
        while let Ok(Some((number, answer))) = numbers.recv().await {
            let _ = answer.send(number).await;
        }
    }
}

async fn work(session: &Session) {
    let asking = session.open::<(u32, Sender<u32>)>("echo").unwrap();
    for number in 0..100 {
        let (answer, answers) = pipe();
        put(&asking, (number, answer)).await;
        assert_eq!(get(&answers).await, number);
    }
}

async fn a_thousand_slow_handshakes(on: On) {
    let limits = Limits { hello_timeout: Duration::from_secs(3), ..Limits::default() };
    let options = ListenOptions::default()
        .max_handshakes(PLACES)
        .session(SessionOptions::new().limits(limits).close_timeout(Duration::from_millis(200)));
    let place = Arc::new(on.listen(options).await);
    let serving = place.clone();
    let accepting = tokio::spawn(async move {
        while let Ok(session) = serving.listener.accept().await {
            tokio::spawn(echo(session));
        }
    });
    // One first, so that what is made once is there.
    let first = place.dial(SessionOptions::new()).await.unwrap();
    work(&first).await;
    let (before, open) = (tasks(), descriptors());
    let region = Region::new(ALLOCATOR);

    let address = place.listener.url().split('/').nth(2).unwrap().to_owned();
    let gone = Arc::new(AtomicUsize::new(0));
    let mut peers = Vec::new();
    for number in 0..PEERS {
        let stream = soon(TcpStream::connect(&address)).await.unwrap();
        let words = if number % 2 == 0 { first_words(on) } else { b"" };
        peers.push(tokio::spawn(slow_peer(stream, words, gone.clone())));
    }
    // A session that is there works on, and a new one comes about, while most of them still wait.
    work(&first).await;
    let second = place.dial(SessionOptions::new()).await.unwrap();
    work(&second).await;
    let held = region.change();
    let live = PEERS - gone.load(Ordering::Relaxed);
    assert!(live > 0, "nobody waits any more");
    // A peer that is counted as gone may still be a task.
    let (more_tasks, more_open) = (tasks().saturating_sub(before + live), descriptors() - open);
    let bytes = held.bytes_allocated.saturating_sub(held.bytes_deallocated);
    println!(
        "{on:?}: {live} of {PEERS} peers wait; {more_tasks} tasks, {more_open} descriptors, {} KiB",
        bytes / 1024
    );
    assert!(more_tasks <= 3 * PLACES, "{more_tasks} tasks");
    assert!(more_open <= PEERS + PLACES + 16, "{more_open} descriptors");
    assert!(bytes <= PLACES * EACH + PEERS * 4096, "{bytes} bytes");

    for peer in peers {
        soon(peer).await.unwrap();
    }
    work(&second).await;
    drop((first, second));
    accepting.abort();
    eventually(|| tasks() <= before && descriptors() <= open).await;
}

macro_rules! slow {
    ($($name:ident: $on:ident;)*) => {
        $(
            #[test]
            fn $name() {
                let _alone = alone();
                run(Flavor::Multi, || Box::pin(a_thousand_slow_handshakes(On::$on)));
            }
        )*
    };
}

slow! {
    a_thousand_slow_handshakes_over_tcp: Tcp;
    a_thousand_slow_handshakes_over_tls: Tls;
    a_thousand_slow_handshakes_over_http2: Http2;
    a_thousand_slow_handshakes_over_websocket: WebSocket;
    a_thousand_slow_handshakes_over_https: Https;
    a_thousand_slow_handshakes_over_wss: Wss;
}
