//! Several acceptors on one session, and a ping.

use std::pin::pin;
use std::time::Duration;

use libchan_tests::*;

async fn names_go_to_the_longest_prefix(on: On) {
    let (a, b) = on.pair().await;
    let (kite, kites_own) = (b.accept_under("kite/"), b.accept_under("kite/own/"));
    for name in ["other", "kite/own/x", "kite/y", "kit", "kite/own/z"] {
        put(&a.open_with::<u32>(name, OpenOptions::new()).unwrap(), 7).await;
    }
    // Asked for in another order than they came in: whoever is told of one that is not its own puts it in its line.
    for (name, incoming) in [
        ("kite/y", soon(kite.accept()).await),
        ("other", soon(b.accept()).await),
        ("kite/own/x", soon(kites_own.accept()).await),
        ("kit", soon(b.accept()).await),
        ("kite/own/z", soon(kites_own.accept()).await),
    ] {
        let incoming = incoming.unwrap().unwrap();
        assert_eq!(incoming.name(), name);
        assert_eq!(get(&incoming.receive::<u32>()).await, 7);
    }
}

/// All wait at once, and each is woken for its own.
async fn waiting_acceptors_are_woken_for_their_own(on: On) {
    let (a, b) = on.pair().await;
    let mut tasks = Vec::new();
    for prefix in ["one/", "two/", "three/"] {
        let acceptor = b.accept_under(prefix);
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                let incoming = soon(acceptor.accept()).await.unwrap().unwrap();
                assert!(incoming.name().starts_with(prefix), "{} at {prefix}", incoming.name());
                drop(incoming.receive::<u32>());
            }
        }));
    }
    for number in 0..60 {
        let name = format!("{}/{number}", ["one", "two", "three"][number % 3]);
        let sender = a.open::<u32>(&name).unwrap();
        assert_eq!(soon(sender.closed()).await, Closed::Dropped);
    }
    for task in tasks {
        soon(task).await.unwrap();
    }
}

async fn an_accept_that_is_dropped_loses_nothing(on: On) {
    let (a, b) = on.pair().await;
    let kite = b.accept_under("kite/");
    {
        let mut dropped = pin!(kite.accept());
        still_pending(dropped.as_mut()).await;
        let _kept = a.open::<u32>("kite/1").unwrap();
        put(&a.open::<u32>("rest").unwrap(), 1).await;
        // It brings the other's channel to its line.
        assert_eq!(soon(b.accept()).await.unwrap().unwrap().name(), "rest");
    }
    assert_eq!(soon(kite.accept()).await.unwrap().unwrap().name(), "kite/1");
}

async fn an_acceptor_that_is_gone_leaves_its_names_to_the_rest(on: On) {
    let (a, b) = on.pair().await;
    let kite = b.accept_under("kite/");
    let waiting = a.open::<u32>("kite/1").unwrap();
    put(&a.open::<u32>("rest").unwrap(), 1).await;
    drop(soon(b.accept()).await.unwrap().unwrap().receive::<u32>());
    drop(kite);
    // What was in its line is refused.
    assert!(matches!(soon(waiting.closed()).await, Closed::Refused(_)));
    let _sender = a.open::<u32>("kite/2").unwrap();
    assert_eq!(soon(b.accept()).await.unwrap().unwrap().name(), "kite/2");
}

async fn acceptors_see_the_end_of_the_session(on: On) {
    let (a, b) = on.pair().await;
    let kite = b.accept_under("kite/");
    let waiting = tokio::spawn(async move { soon(kite.accept()).await.map(|incoming| incoming.is_none()) });
    let b = tokio::spawn(async move { soon(b.accept()).await.map(|incoming| incoming.is_none()) });
    drop(soon(a.close()).await);
    assert_eq!(soon(waiting).await.unwrap(), Ok(true));
    assert_eq!(soon(b).await.unwrap(), Ok(true));
}

async fn the_guard_is_asked_for_every_line(on: On) {
    let (a, b) = on.pair().await;
    let b = b.guarded(|incoming| if incoming.name().ends_with('!') { Err("no".to_owned()) } else { Ok(()) });
    let kite = b.accept_under("kite/");
    let refused = a.open::<u32>("kite/1!").unwrap();
    let _sender = a.open::<u32>("kite/2").unwrap();
    assert_eq!(soon(kite.accept()).await.unwrap().unwrap().name(), "kite/2");
    assert!(matches!(soon(refused.closed()).await, Closed::Refused(why) if why.text() == "no"));
}

/// Many pings at once are spread, so that they do not look like a flood to the peer.
async fn a_ping_has_a_time_and_pings_are_no_flood(on: On) {
    let (a, b) = on.pair().await;
    let pings: Vec<_> = (0..8)
        .map(|_| {
            let a = a.clone();
            tokio::spawn(async move { soon(a.ping()).await })
        })
        .collect();
    for ping in pings {
        assert!(soon(ping).await.unwrap().unwrap() < Duration::from_secs(10));
    }
    soon(b.ping()).await.unwrap();
    let (sender, receiver) = channel::<u32>(&a, &b, 1).await;
    put(&sender, 1).await;
    assert_eq!(get(&receiver).await, 1);
    drop((sender, receiver));
    drop(soon(b.close()).await);
    soon(a.closed()).await.unwrap();
    assert_eq!(soon(a.ping()).await, Err(SessionError::Closed));
}

libchan_tests::contract! {
    names_go_to_the_longest_prefix,
    waiting_acceptors_are_woken_for_their_own,
    an_accept_that_is_dropped_loses_nothing,
    an_acceptor_that_is_gone_leaves_its_names_to_the_rest,
    acceptors_see_the_end_of_the_session,
    the_guard_is_asked_for_every_line,
    a_ping_has_a_time_and_pings_are_no_flood,
}
