//! What `accept` promises, over unix sockets and tcp alike.

use std::sync::Mutex as StdMutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::dial;
use crate::test_support::{in_own_process, leave_descriptors, restore_descriptors, soon};

async fn tcp(options: ListenOptions) -> Listener {
    listen_with("tcp://127.0.0.1:0", options).await.unwrap()
}

/// A peer that connects and says nothing.
async fn silent(listener: &Listener) -> TcpStream {
    TcpStream::connect(listener.url().strip_prefix("tcp://").unwrap()).await.unwrap()
}

fn dialing(listener: &Listener) -> tokio::task::JoinHandle<Session> {
    let url = listener.url().to_owned();
    tokio::spawn(async move { soon(dial(&url)).await.unwrap() })
}

#[tokio::test]
async fn silent_peers_delay_nobody() {
    let listener = tcp(ListenOptions::default()).await;
    let mut silent_ones = Vec::new();
    for _ in 0..50 {
        silent_ones.push(silent(&listener).await);
    }
    let good = dialing(&listener);
    soon(listener.accept()).await.unwrap();
    good.await.unwrap();
}

#[tokio::test]
async fn handshakes_are_bounded_and_make_room() {
    let listener = tcp(ListenOptions::default().max_handshakes(2)).await;
    let silent_ones = (silent(&listener).await, silent(&listener).await);
    let good = dialing(&listener);
    let accepting = listener.accept();
    tokio::pin!(accepting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut accepting).await;
    assert!(early.is_err(), "accepted beyond the bound");
    drop(silent_ones);
    soon(accepting).await.unwrap();
    good.await.unwrap();
}

/// While all places are taken, silence is not waited for as long as the hello deadline.
#[tokio::test]
async fn a_silent_peer_makes_room_for_others() {
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let log = seen.clone();
    let options = ListenOptions::default().max_handshakes(1);
    let listener = tcp(options.on_failed_handshake(move |error| log.lock().unwrap().push(error.to_string())));
    let listener = listener.await;
    let mut silent_one = silent(&listener).await;
    let good = dialing(&listener);
    let _session = soon(listener.accept()).await.unwrap();
    good.await.unwrap();
    let mut said = Vec::new();
    let _ = soon(silent_one.read_to_end(&mut said)).await;
    let expected = "a slow peer had to make room for others (ListenOptions::max_handshakes)";
    assert_eq!(*seen.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn a_failed_handshake_is_skipped_and_reported() {
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let log = seen.clone();
    let listener = tcp(ListenOptions::default().on_failed_handshake(move |error| {
        log.lock().unwrap().push(error.to_string());
    }))
    .await;
    let mut rude = silent(&listener).await;
    rude.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n").await.unwrap();
    let peer = format!("tcp://{}", rude.local_addr().unwrap());
    let mut answer = Vec::new();
    {
        // Its connection ends although nobody else comes.
        let accepting = listener.accept();
        tokio::select! {
            _ = accepting => panic!("accepted a browser"),
            _ = soon(rude.read_to_end(&mut answer)) => {}
        }
    }
    drop(rude);
    let good = dialing(&listener);
    soon(listener.accept()).await.unwrap();
    good.await.unwrap();
    let why = "connected, but no session came about: the other side does not speak libchan: it began with \"GET / HT\"";
    assert_eq!(*seen.lock().unwrap(), [format!("{peer} {why}")]);
}

#[tokio::test]
async fn a_cancelled_accept_loses_nothing() {
    let listener = tcp(ListenOptions::default()).await;
    let good: Vec<_> = (0..20).map(|_| dialing(&listener)).collect();
    let (mut accepted, mut cancelled) = (0, 0);
    while accepted < good.len() {
        // Each accept is polled once and dropped; then the others get a turn.
        tokio::select! {
            biased;
            session = listener.accept() => { session.unwrap(); accepted += 1 }
            () = std::future::ready(()) => cancelled += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(cancelled > 0);
    for session in good {
        session.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tasks_may_accept() {
    let listener = Arc::new(tcp(ListenOptions::default()).await);
    let accepting: Vec<_> = (0..8)
        .map(|_| {
            let listener = listener.clone();
            tokio::spawn(async move { listener.accept().await.map(drop) })
        })
        .collect();
    let good: Vec<_> = (0..5).map(|_| dialing(&listener)).collect();
    for session in good {
        session.await.unwrap();
    }
    listener.close().await;
    let mut outcomes = Vec::new();
    for task in accepting {
        outcomes.push(soon(task).await.unwrap());
    }
    let closed = outcomes.iter().filter(|outcome| matches!(outcome, Err(AcceptError::Closed))).count();
    // A session whose dialer was served may still have waited for its accept when the listener closed.
    assert!(closed >= 3 && closed + outcomes.iter().filter(|outcome| outcome.is_ok()).count() == 8);
}

#[tokio::test]
async fn close_frees_the_address_and_ends_accept() {
    let listener = tcp(ListenOptions::default()).await;
    let url = listener.url().to_owned();
    let (accepted, ()) = tokio::join!(listener.accept(), listener.close());
    assert!(matches!(accepted, Err(AcceptError::Closed)));
    assert!(matches!(listener.accept().await, Err(AcceptError::Closed)));
    let again = listen(&url).await.unwrap();
    drop(listener);
    let good = dialing(&again);
    soon(again.accept()).await.unwrap();
    good.await.unwrap();
}

#[tokio::test]
async fn no_descriptor_left_is_told_once_and_survived() {
    if !in_own_process("listen::tests::no_descriptor_left_is_told_once_and_survived", false) {
        return;
    }
    let scratch = crate::test_support::Scratch::new();
    let unix = crate::test_support::url(&scratch.path("a.sock"));
    // Sessions that are dropped give their descriptors back in the background: keep them.
    let mut kept = Vec::new();
    let mut urls = vec!["tcp://127.0.0.1:0", &unix];
    if cfg!(feature = "http2") {
        urls.push("h2c://127.0.0.1:0");
    }
    for url in urls {
        let listener = listen(url).await.unwrap();
        // The dialer's socket takes the one descriptor that is left.
        let old = leave_descriptors(1);
        let good = dialing(&listener);
        let error = soon(listener.accept()).await.unwrap_err();
        assert!(matches!(error, AcceptError::DescriptorLimit), "{error:?}");
        // The trouble goes on and is not told again; tries are few.
        let more = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
        assert!(more.is_err(), "{more:?}");
        restore_descriptors(old);
        kept.push(soon(listener.accept()).await.unwrap());
        kept.push(good.await.unwrap());
    }
}

/// A dialer gets its session while the server is busy elsewhere, and so do others behind it.
#[tokio::test]
async fn handshakes_happen_without_a_waiting_accept() {
    let listener = tcp(ListenOptions::default()).await;
    let mut dialed = Vec::new();
    for _ in 0..3 {
        dialed.push(soon(dial(listener.url())).await.unwrap());
    }
    for (at, session) in dialed.iter().enumerate() {
        session.open::<u32>(&at.to_string()).unwrap().send(at as u32).await.unwrap();
    }
    for at in 0..3_u32 {
        let session = soon(listener.accept()).await.unwrap();
        let incoming = soon(session.accept()).await.unwrap().unwrap();
        assert_eq!(incoming.name(), at.to_string());
        assert_eq!(soon(incoming.receive::<u32>().recv()).await.unwrap(), Some(at));
    }
}

/// Nobody accepts: so many get their sessions, and further ones only when there is room.
#[tokio::test]
async fn who_waits_for_accept_is_bounded() {
    let listener = tcp(ListenOptions::default().max_handshakes(1).max_waiting(2)).await;
    let mut dialed = Vec::new();
    for _ in 0..2 {
        dialed.push(soon(dial(listener.url())).await.unwrap());
    }
    // The third is taken or not, depending on which the listener's task has seen first; the fourth is not.
    let mut more = [dialing(&listener), dialing(&listener)];
    let early = tokio::time::timeout(Duration::from_millis(200), async {
        for one in &mut more {
            one.await.unwrap();
        }
    });
    assert!(early.await.is_err(), "more wait than may");
    let mut accepted = Vec::new();
    for _ in 0..4 {
        accepted.push(soon(listener.accept()).await.unwrap());
    }
}

/// A hook that takes its time: those who wait for it keep nobody out, and none of them loses its place.
#[tokio::test]
async fn a_slow_hook_does_not_cost_peers_their_places() {
    struct Slow(tokio::sync::Semaphore);
    #[async_trait]
    impl Authorize for Slow {
        async fn hello(&self, _peer: crate::Candidate<'_>) -> Result<libchan::Admission, crate::Refusal> {
            let _never_given_back = self.0.acquire().await.unwrap().forget();
            Ok("somebody".into())
        }
    }
    let hook = Arc::new(Slow(tokio::sync::Semaphore::new(0)));
    struct Handle(Arc<Slow>);
    #[async_trait]
    impl Authorize for Handle {
        async fn hello(&self, peer: crate::Candidate<'_>) -> Result<libchan::Admission, crate::Refusal> {
            self.0.hello(peer).await
        }
    }
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let log = seen.clone();
    let options = ListenOptions::default()
        .max_handshakes(2)
        .authorize(Handle(hook.clone()))
        .on_failed_handshake(move |error| log.lock().unwrap().push(error.to_string()));
    let listener = tcp(options).await;
    let dialed: Vec<_> = (0..20).map(|_| dialing(&listener)).collect();
    // Longer than a silent peer may keep a place that others want.
    tokio::time::sleep(crate::places::GRACE + Duration::from_millis(300)).await;
    hook.0.add_permits(20);
    for one in dialed {
        one.await.unwrap();
        soon(listener.accept()).await.unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_panic_of_the_hook_goes_on_in_accept() {
    let options = ListenOptions::default().authorize(|_: &crate::Candidate<'_>| -> Result<String, _> {
        if std::env::var_os("LIBCHAN_NEVER_SET").is_none() {
            panic!("the hook is broken");
        }
        Err(crate::Refusal::forbidden("no"))
    });
    let listener = Arc::new(tcp(options).await);
    let rude = silent(&listener).await;
    let accepting = tokio::spawn({
        let listener = listener.clone();
        async move { listener.accept().await.map(drop) }
    });
    assert!(soon(accepting).await.unwrap_err().is_panic());
    drop(rude);
    soon(listener.close()).await;
}
