//! Silence, in paused time: a peer that is not heard for too long is dead, and one that has nothing to say is not.

use std::time::Duration;

use libchan_tests::*;
use tokio::time::{Instant, sleep, timeout};

async fn pair() -> (Session, Session, Switch) {
    let (left, right, switch) = wire(3);
    let (a, b) = tokio::join!(
        Session::start(left, Role::Dialer, SessionOptions::new()),
        Session::start(right, Role::Acceptor, SessionOptions::new()),
    );
    (a.unwrap(), b.unwrap(), switch)
}

async fn an_idle_session_lives_on() {
    let (a, b, _switch) = pair().await;
    let sender = a.open::<u32>("idle").unwrap();
    let receiver = b.accept().await.unwrap().unwrap().receive::<u32>();
    for number in 0..20 {
        sleep(Duration::from_secs(100)).await;
        sender.send(number).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some(number)));
    }
}

async fn a_silent_peer_is_dead_after_its_time() {
    let (a, b, switch) = pair().await;
    let sender = a.open_with::<u32>("silent", OpenOptions::new().capacity(2)).unwrap();
    let receiver = b.accept().await.unwrap().unwrap().receive::<u32>();
    sender.send(1).await.unwrap();
    assert_eq!(receiver.recv().await, Ok(Some(1)));
    switch.freeze(Way::There);
    switch.freeze(Way::Back);
    let begun = Instant::now();
    sender.send(2).await.unwrap();
    let error = timeout(Duration::from_secs(300), sender.send(3)).await.unwrap().unwrap_err();
    assert!(matches!(
        (error.value, error.reason),
        (3, SendFailure::Disconnected { outcome_unknown: false, .. })
    ));
    let waited = begun.elapsed().as_secs();
    assert!((40..60).contains(&waited), "{waited} s");
    assert_eq!(a.closed().await, Err(SessionError::PeerSilent));
    let ended = timeout(Duration::from_secs(300), receiver.recv()).await.unwrap();
    assert!(
        matches!(&ended, Err(RecvError::Disconnected(loss)) if loss.session_error() == Some(&SessionError::PeerSilent))
    );
    assert_eq!(b.closed().await, Err(SessionError::PeerSilent));
}

async fn a_close_that_nobody_answers_gives_up() {
    let (a, b, switch) = pair().await;
    switch.freeze(Way::There);
    let begun = Instant::now();
    let _ = timeout(Duration::from_secs(300), a.close()).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(30), "{:?}", begun.elapsed());
    drop(b);
}

#[test]
fn idle() {
    run_paused(|| Box::pin(an_idle_session_lives_on()));
}

#[test]
fn silent() {
    run_paused(|| Box::pin(a_silent_peer_is_dead_after_its_time()));
}

#[test]
fn unanswered() {
    run_paused(|| Box::pin(a_close_that_nobody_answers_gives_up()));
}
