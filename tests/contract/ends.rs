//! Promise 4, seen by the ends: whatever a message holds, each kind of end says why it is over, through relays too, and only the
//! application says a clean end.

use libchan_tests::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One end of each kind.
#[derive(Serialize, Deserialize)]
struct All {
    reply: Sender<u32>,
    feed: Receiver<u32>,
    stream: ByteStream,
}

/// What a service names that has no place for them.
#[derive(Serialize, Deserialize)]
struct Nothing {}

/// What a service names that expects something else.
#[derive(Serialize, Deserialize)]
struct Other {
    text: String,
}

/// The other ends of what was sent.
struct Kept {
    answers: Receiver<u32>,
    feed: Sender<u32>,
    stream: ByteStream,
}

fn all() -> (All, Kept) {
    let ((reply, answers), (feed, fed), (stream, far)) = (pipe(), pipe(), ByteStream::pair());
    (All { reply, feed: fed, stream: far }, Kept { answers, feed, stream })
}

impl Kept {
    /// Each of them is over because of `why`.
    async fn all_say(mut self, why: Cut) {
        cut(&self.answers, why).await;
        let closed = soon(self.feed.closed()).await;
        assert!(matches!(&closed, Closed::Refused(error) if error.cut() == Some(why)), "{closed:?}");
        assert_eq!(stream_cut(&mut self.stream).await, Some(why));
        let error = loop {
            match soon(self.stream.write_all(&[0; 1000])).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert!(!error.to_string().is_empty());
    }
}

async fn stream_cut(stream: &mut ByteStream) -> Option<Cut> {
    let error = soon(stream.read_to_end(&mut Vec::new())).await.expect_err("the stream looks complete");
    error.get_ref().and_then(|inner| inner.downcast_ref::<RecvError>()).and_then(RecvError::cut)
}

async fn promise_06_what_is_dropped_unread_is_not_delivered(on: On) {
    for refuses in [false, true] {
        let (a, b) = on.pair().await;
        let (sender, receiver) = channel::<All>(&a, &b, 4).await;
        let (sent, kept) = all();
        put(&sender, sent).await;
        soon(a.flush()).await.unwrap();
        if refuses {
            receiver.close_with("enough");
        } else {
            drop(receiver);
        }
        kept.all_say(Cut::NotDelivered).await;
    }
}

async fn promise_11_what_does_not_decode_says_so(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open::<All>("another type").unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<Other>();
    let (sent, kept) = all();
    put(&sender, sent).await;
    assert!(matches!(fail(&receiver).await, RecvError::Decode(_)));
    kept.all_say(Cut::NotDecoded).await;
}

async fn promise_11_what_the_type_has_no_place_for_is_unclaimed(on: On) {
    let (a, b) = on.pair().await;
    let sender = a.open::<All>("no place").unwrap();
    let receiver = soon(b.accept()).await.unwrap().unwrap().receive::<Nothing>();
    let (sent, kept) = all();
    put(&sender, sent).await;
    get(&receiver).await;
    kept.all_say(Cut::Unclaimed).await;
}

async fn promise_04_a_panic_is_told_by_every_end(on: On) {
    let (a, b) = on.pair().await;
    let (sender, receiver) = channel::<All>(&a, &b, 4).await;
    let (sent, kept) = all();
    put(&sender, sent).await;
    let taken = get(&receiver).await;
    let handler = tokio::spawn(async move {
        let _taken = taken;
        panic!("on purpose");
    });
    assert!(soon(handler).await.is_err());
    kept.all_say(Cut::Panicked).await;
}

async fn promise_04_what_must_finish_and_does_not_is_abandoned(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    for finishes in [true, false] {
        let (rows, read) = pipe();
        put(&ship, rows).await;
        let rows = get(&shipped).await.must_finish();
        let working = tokio::spawn(async move {
            put(&rows, 1).await;
            if finishes {
                rows.finish();
            } else {
                // A task that is cancelled drops what it holds.
                std::future::pending::<()>().await;
            }
        });
        assert_eq!(get(&read).await, 1);
        if finishes {
            soon(working).await.unwrap();
            end(&read).await;
        } else {
            working.abort();
            cut(&read, Cut::Abandoned).await;
        }
    }
}

async fn promise_04_several_senders_are_drained_and_the_first_fault_is_seen(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 4).await;
    let (first, read) = pipe();
    for _ in 0..2 {
        put(&ship, first.clone()).await;
    }
    let (second, third) = (get(&shipped).await, get(&shipped).await);
    let panicked = tokio::spawn(async move {
        let _second = second;
        panic!("on purpose");
    });
    assert!(soon(panicked).await.is_err());
    put(&third, 3).await;
    assert_eq!(get(&read).await, 3);
    drop(third);
    put(&first, 1).await;
    drop(first);
    assert_eq!(get(&read).await, 1);
    cut(&read, Cut::Panicked).await;
}

/// What ended the source of a copy ends its destination, with the same code and text; clones of that go on before.
async fn promise_09_a_copy_passes_on_why_its_source_is_over(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (sender, from) = channel::<u32>(&a, &b, 4).await;
    let (to, receiver) = channel::<u32>(&c, &d, 4).await;
    let clone = to.clone();
    let copying = tokio::spawn(copy(from, to));
    put(&sender, 1).await;
    sender.close_with(RemoteError::new(9, "said at the source"));
    let stopped = soon(copying).await.unwrap();
    assert!(matches!(stopped, Err(CopyError::Receive(RecvError::Remote(_)))), "{stopped:?}");
    put(&clone, 2).await;
    drop(clone);
    assert_eq!((get(&receiver).await, get(&receiver).await), (1, 2));
    let error = soon(receiver.recv()).await.unwrap_err();
    assert_eq!(error, RecvError::Remote(RemoteError::new(9, "said at the source")));
}

/// Two sessions and a relay that knows no type: code and text arrive as they were said.
async fn promise_09_relays_pass_on_why_an_end_is_over(on: On) {
    let (a, b) = on.pair().await;
    let (c, d) = on.pair().await;
    let (sender, from) = channel::<Raw>(&a, &b, 4).await;
    let (to, receiver) = channel::<Raw>(&c, &d, 4).await;
    let copying = tokio::spawn(copy(from, to));
    let send = async |sent: &All| {
        put(&sender, Raw::encode(sent, AnyCodec::msgpack()).unwrap()).await;
    };
    // Said by the application.
    let (sent, kept) = all();
    send(&sent).await;
    drop(sent);
    let taken: All = get(&receiver).await.decode().unwrap();
    taken.reply.close_with(RemoteError::new(9, "said two hops away"));
    let RecvError::Remote(error) = fail(&kept.answers).await else { panic!("another error") };
    assert_eq!((error.code(), error.text()), (Some(9), "said two hops away"));
    drop((taken, kept));
    // Said by the library.
    let (sent, kept) = all();
    send(&sent).await;
    drop(sent);
    let error = get(&receiver).await.decode::<Other>().err().expect("another type");
    assert!(matches!(error, RecvError::Decode(_)));
    kept.all_say(Cut::NotDecoded).await;
    drop((sender, receiver));
    let _ = soon(copying).await.unwrap();
}

/// Fault A4.
async fn promise_10_an_end_beyond_a_limit_fails_the_send(on: On) {
    let limits = Limits { max_channels: 8, ..Limits::default() };
    let options = || SessionOptions::new().limits(limits.clone());
    let (a, b) = on.pair_with(options(), options()).await;
    let (sender, receiver) = channel::<oneshot::Sender<u32>>(&a, &b, 64).await;
    let mut answers = Vec::new();
    let (error, last) = loop {
        let (reply, answer) = oneshot::channel();
        match soon(sender.send(reply)).await {
            Ok(()) => answers.push(answer),
            Err(error) => break (error, answer),
        }
        assert!(answers.len() < 20, "no limit");
    };
    assert!(matches!(error.reason, SendFailure::Limit(_)), "{error:?}");
    // The value is back and whole, and the channel is usable once there is room.
    for answer in answers {
        get(&receiver).await.send(1).unwrap();
        assert_eq!(soon(answer).await, Ok(1));
    }
    let mut value = error.value;
    loop {
        match soon(sender.send(value)).await {
            Ok(()) => break,
            Err(SendError { value: back, reason: SendFailure::Limit(_), .. }) => {
                value = back;
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    get(&receiver).await.send(2).unwrap();
    assert_eq!(soon(last).await, Ok(2));
}

/// Fault A6: a TCP client whose stream is carried over a session that is lost must not read a clean end.
async fn promise_04_a_tcp_client_behind_a_lost_session_is_reset(on: On) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<ByteStream>(&a, &b, 1).await;
    put(&ship, ByteStream::from_tcp(accepted).unwrap()).await;
    let mut far = get(&shipped).await;
    soon(far.write_all(b"half of it")).await.unwrap();
    soon(client.read_exact(&mut [0; 10])).await.unwrap();
    b.abort();
    let error = soon(client.read(&mut [0; 1])).await.expect_err("a clean end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// A oneshot does not wait: its value waits in its encoded form for the peer's credit.
async fn promise_04_a_large_reply_waits_for_who_reads(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<oneshot::Sender<Blob>>(&a, &b, 1).await;
    let (reply, answer) = oneshot::channel();
    put(&ship, reply).await;
    let reply = get(&shipped).await;
    reply.send(blob(900_000, 5)).unwrap();
    assert!(soon(answer).await.unwrap() == blob(900_000, 5));
}

libchan_tests::contract! {
    promise_06_what_is_dropped_unread_is_not_delivered,
    promise_04_a_panic_is_told_by_every_end,
    promise_04_what_must_finish_and_does_not_is_abandoned,
    promise_04_several_senders_are_drained_and_the_first_fault_is_seen,
    promise_04_a_large_reply_waits_for_who_reads,
}

mod remote {
    use super::*;
    libchan_tests::contract_links! {
        promise_11_what_does_not_decode_says_so,
        promise_11_what_the_type_has_no_place_for_is_unclaimed,
        promise_09_a_copy_passes_on_why_its_source_is_over,
        promise_09_relays_pass_on_why_an_end_is_over,
        promise_10_an_end_beyond_a_limit_fails_the_send,
        promise_04_a_tcp_client_behind_a_lost_session_is_reset,
    }
}
