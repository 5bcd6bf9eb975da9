//! Sessions that are lost, and what becomes of messages.

use libchan::{SendFailure, oneshot};
use serde::{Deserialize, Serialize};

use super::*;

/// The server is killed and started again; a sender goes on, and each message arrives once.
async fn a_server_restarts(url: &str, options: impl Fn() -> ListenOptions) {
    let listener = listen_with(url, options()).await.unwrap();
    let url = listener.url().to_owned();
    let redial = Redial::new(&*url);
    let mut events = redial.events();
    let words = redial.open::<String>("words");
    words.send("one".into()).await.unwrap();
    let (session, heard) = channel::<String>(&listener).await;
    assert_eq!(soon(heard.recv()).await.unwrap().as_deref(), Some("one"));
    assert_eq!(turn(&mut events).await, Some(RedialEvent::Connected { url: url.as_str().into() }));

    drop(listener);
    session.abort();
    let lost = turn(&mut events).await.unwrap();
    assert!(matches!(lost, RedialEvent::Lost { .. }), "{lost:?}");
    let waiting = tokio::spawn({
        let words = words.clone();
        async move { words.send("two".into()).await }
    });
    // Nobody listens: at least two dials fail before somebody does.
    for _ in 0..2 {
        while !matches!(soon(events.next()).await.unwrap(), RedialEvent::Failed { .. }) {}
    }
    assert!(!waiting.is_finished());

    let listener = listen_with(&url, options()).await.unwrap();
    let (_session, heard) = channel::<String>(&listener).await;
    soon(waiting).await.unwrap().unwrap();
    words.send("three".into()).await.unwrap();
    for expected in ["two", "three"] {
        assert_eq!(soon(heard.recv()).await.unwrap().as_deref(), Some(expected));
    }
    // "one" was taken; that only its receiver knows.
    assert_eq!(words.may_be_lost(), 1);
    assert!(matches!(turn(&mut events).await, Some(RedialEvent::Connected { .. })));
    soon(redial.close()).await.unwrap();
    assert_eq!(turn(&mut events).await, Some(RedialEvent::Over(RedialError::Closed)));
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_restarts_in_memory() {
    a_server_restarts("mem:redial-restarts", ListenOptions::default).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_restarts_in_memory_as_a_link() {
    a_server_restarts("mem:redial-restarts-linked", || ListenOptions::default().as_a_link()).await;
}

#[cfg(feature = "tcp")]
#[tokio::test]
async fn a_server_restarts_over_tcp() {
    a_server_restarts("tcp://127.0.0.1:0", ListenOptions::default).await;
}

#[cfg(feature = "unix")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_restarts_over_a_unix_socket() {
    let scratch = crate::test_support::Scratch::new();
    a_server_restarts(&crate::test_support::url(&scratch.path("s")), ListenOptions::default).await;
}

#[derive(Serialize, Deserialize)]
struct Job {
    number: u32,
    reply: oneshot::Sender<u32>,
}

/// A request in flight fails once, and is not repeated; the next one goes over the next session.
#[tokio::test(start_paused = true)]
async fn a_call_in_flight_fails_once() {
    let listener = linked("mem:redial-call").await;
    let redial = Redial::new(listener.url());
    let jobs = redial.open::<Job>("jobs");
    let calling = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.call(|reply| Job { number: 1, reply }).await }
    });
    let (session, inbox) = channel::<Job>(&listener).await;
    let taken = soon(inbox.recv()).await.unwrap().unwrap();
    assert_eq!(taken.number, 1);
    session.abort();
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(&error, RedialCallError::NoAnswer(libchan::RecvError::Disconnected(_))), "{error:?}");
    assert!(
        !error.is_safe_to_retry() && error.to_string().ends_with("the service may have seen it"),
        "{error}"
    );

    let (answer, job) = tokio::join!(jobs.call(|reply| Job { number: 2, reply }), async {
        let (_session, inbox) = channel::<Job>(&listener).await;
        let job = soon(inbox.recv()).await.unwrap().unwrap();
        let number = job.number;
        job.reply.send(10 * number).unwrap();
        tokio::time::sleep(ms(1)).await;
        assert!(inbox.is_empty(), "nothing is sent twice");
        number
    });
    assert_eq!((answer.unwrap(), job), (20, 2));
}

/// A rendezvous whose message has left when the session is lost may have been taken. It is not sent again.
#[tokio::test(start_paused = true)]
async fn a_rendezvous_in_flight_fails_once() {
    let listener = linked("mem:redial-rendezvous").await;
    let redial = Redial::new(listener.url());
    let words = redial.open_with::<String>("words", OpenOptions::new().capacity(0));
    let send = |word: &str| {
        let (words, word) = (words.clone(), word.to_owned());
        tokio::spawn(async move { words.send(word).await })
    };
    let sending = send("one");
    let (session, heard) = channel::<String>(&listener).await;
    let taken = soon(async {
        let taken = heard.recv().await;
        // Before the peer is told.
        session.abort();
        taken
    });
    assert_eq!(taken.await.unwrap().as_deref(), Some("one"));
    let error = soon(sending).await.unwrap().unwrap_err();
    assert!(matches!(error.reason, RedialFailure::MayHaveBeenTaken(_)), "{error:?}");
    assert!(!error.reason.is_safe_to_retry() && error.to_string().contains("may have been taken"), "{error}");
    assert_eq!(error.value, "one");

    let sending = send("two");
    let (_session, heard) = channel::<String>(&listener).await;
    assert_eq!(soon(heard.recv()).await.unwrap().as_deref(), Some("two"));
    soon(sending).await.unwrap().unwrap();
    assert_eq!(words.may_be_lost(), 0, "each send has said what became of it");
}

/// What waits for room has not left: it goes over the next session, and what was accepted before is counted.
#[tokio::test(start_paused = true)]
async fn what_has_not_left_goes_over_the_next_session() {
    let listener = linked("mem:redial-room").await;
    let redial = Redial::new(listener.url());
    let numbers = redial.open_with::<u32>("numbers", OpenOptions::new().capacity(2));
    for number in 0..2 {
        soon(numbers.send(number)).await.unwrap();
    }
    let waiting = tokio::spawn({
        let numbers = numbers.clone();
        async move { numbers.send(2).await }
    });
    let (session, _unread) = channel::<u32>(&listener).await;
    settle().await;
    assert!(!waiting.is_finished());
    session.abort();
    let (_session, heard) = channel::<u32>(&listener).await;
    assert_eq!(soon(heard.recv()).await.unwrap(), Some(2));
    soon(waiting).await.unwrap().unwrap();
    assert_eq!(numbers.may_be_lost(), 2);
}

/// Many senders at once, sessions that are lost at any moment: what is told and what arrives agree.
async fn nothing_arrives_twice_and_what_is_lost_is_counted(url: &str) {
    let listener = linked(url).await;
    let options = RedialOptions::default().backoff(Backoff::new().min(ms(1)).max(ms(1)));
    let redial = Redial::with([listener.url()], options);
    let numbers = redial.open_with::<u32>("numbers", OpenOptions::new().capacity(3));
    let senders: Vec<_> = (0..8_u32)
        .map(|sender| {
            let numbers = numbers.clone();
            tokio::spawn(async move {
                for i in 0..50 {
                    numbers.send(100 * sender + i).await.unwrap();
                }
            })
        })
        .collect();
    let all_sent = async {
        for sender in senders {
            soon(sender).await.unwrap();
        }
        // It fails if the server is about to abort the last session.
        let _ = redial.close().await;
    };
    let (mut heard, mut sessions) = (Vec::new(), 0);
    let server = async {
        loop {
            let (session, inbox) = channel::<u32>(&listener).await;
            sessions += 1;
            for _ in 0..7 + sessions {
                // It ends with the redial.
                let Ok(Some(number)) = inbox.recv().await else { break };
                heard.push(number);
            }
            session.abort();
            // A receiver that goes before its session would be told to the sender as one that was dropped.
            let _ = session.closed().await;
            drop(inbox);
        }
    };
    tokio::select! {
        () = all_sent => {}
        () = server => {}
    }
    let arrived = heard.len();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard.len(), arrived, "something has arrived twice");
    let missing = 400 - arrived as u64;
    assert!(sessions > 5, "{sessions} sessions");
    assert!(missing <= numbers.may_be_lost(), "{missing} missing, {} told", numbers.may_be_lost());
}

#[tokio::test(start_paused = true)]
async fn nothing_arrives_twice_in_memory() {
    nothing_arrives_twice_and_what_is_lost_is_counted("mem:redial-many").await;
}

#[cfg(feature = "tcp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_arrives_twice_over_tcp() {
    nothing_arrives_twice_and_what_is_lost_is_counted("tcp://127.0.0.1:0").await;
}

/// A peer that leaves in good order: what is at work there finishes, what is new goes elsewhere.
#[tokio::test(start_paused = true)]
async fn a_peer_that_drains_is_left_in_good_order() {
    let listener = linked("mem:redial-drain").await;
    let redial = Redial::new(listener.url());
    let mut events = redial.events();
    let jobs = redial.open::<Job>("jobs");
    let call = |number| {
        let jobs = jobs.clone();
        tokio::spawn(async move { jobs.call(|reply| Job { number, reply }).await })
    };
    let first = call(1);
    let (session, inbox) = channel::<Job>(&listener).await;
    let taken = soon(inbox.recv()).await.unwrap().unwrap();
    let draining = tokio::spawn(session.drain(Duration::from_secs(60)));
    assert!(matches!(turn(&mut events).await, Some(RedialEvent::Connected { .. })));
    assert!(matches!(turn(&mut events).await, Some(RedialEvent::Leaving { .. })));
    let second = call(2);
    let (_session, inbox) = channel::<Job>(&listener).await;
    let job = soon(inbox.recv()).await.unwrap().unwrap();
    job.reply.send(20).unwrap();
    assert_eq!(soon(second).await.unwrap().unwrap(), 20);
    assert!(!first.is_finished());
    taken.reply.send(10).unwrap();
    assert_eq!(soon(first).await.unwrap().unwrap(), 10);
    let begun = Instant::now();
    soon(draining).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60), "the old session is not held on to");
}

/// A receiver that was lost behind the peer is lost: the peer is there, and no next session is waited for.
async fn a_loss_behind_the_peer_is_told(near: Listener, far: Listener) {
    let redial = Redial::new(near.url());
    let words = redial.open::<String>("words");
    words.send("one".into()).await.unwrap();
    let (_session, received) = channel::<String>(&near).await;
    let behind = crate::dial(far.url()).await.unwrap();
    behind.open::<Receiver<String>>("for you").unwrap().send(received).await.unwrap();
    let (behind, theirs) = channel::<Receiver<String>>(&far).await;
    let heard = soon(theirs.recv()).await.unwrap().unwrap();
    assert_eq!(soon(heard.recv()).await.unwrap().as_deref(), Some("one"));
    behind.abort();
    let error = loop {
        // What is accepted before the news is here may be lost, as with any sender.
        match soon(words.send("two".into())).await {
            Ok(()) => settle().await,
            Err(error) => break error,
        }
    };
    let lost = matches!(&error.reason, RedialFailure::NotSent(SendFailure::Disconnected { .. }));
    assert!(lost && error.value == "two", "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_loss_behind_the_peer_is_told_over_a_link() {
    a_loss_behind_the_peer_is_told(linked("mem:redial-near").await, linked("mem:redial-far").await).await;
}

#[tokio::test(start_paused = true)]
async fn a_loss_behind_the_peer_is_told_in_memory() {
    let near = listen("mem:redial-near-memory").await.unwrap();
    a_loss_behind_the_peer_is_told(near, linked("mem:redial-far-memory").await).await;
}

/// A refusal is the service's word: it is told, and is not taken back before the next session.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_refused_stays_so_until_the_next_session() {
    let listener = linked("mem:redial-refused").await;
    let redial = Redial::new(listener.url());
    let words = redial.open_with::<String>("words", OpenOptions::new().capacity(0));
    let sending = tokio::spawn({
        let words = words.clone();
        async move { (words.send("one".into()).await, words.send("two".into()).await) }
    });
    let session = soon(listener.accept()).await.unwrap();
    soon(session.accept()).await.unwrap().unwrap().refuse("not today");
    let (one, two) = soon(sending).await.unwrap();
    for refused in [one, two] {
        let error = refused.unwrap_err();
        assert!(matches!(error.reason, RedialFailure::NotSent(_)), "{error:?}");
        assert!(error.to_string().contains("not today"), "{error}");
    }
    let ours = redial.session().await.unwrap();
    session.abort();
    soon(ours.closed()).await.unwrap_err();
    let (sent, _) = tokio::join!(words.send("three".into()), async {
        let (_session, heard) = channel::<String>(&listener).await;
        assert_eq!(soon(heard.recv()).await.unwrap().as_deref(), Some("three"));
    });
    sent.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_sent_is_told_so() {
    let _listener = linked("mem:redial-value").await;
    let redial = Redial::new("mem:redial-value");
    let error = redial.open::<String>("n".repeat(70_000)).send("x".into()).await.unwrap_err();
    assert_eq!(error.reason, RedialFailure::NotOpened(libchan::OpenError::NameTooLong));
    let error = redial.open::<f64>("json").send(f64::NAN).await;
    assert!(error.is_ok(), "msgpack has it: {error:?}");
}
