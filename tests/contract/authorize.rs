//! One authorize hook for every transport: who may have a session, under which name, and which channels it may open.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use libchan::{Admission, Denial, Incoming};
use libchan_tests::*;
use libchan_transports::{AcceptError, Authorize, Candidate, ListenOptions, Refusal, bearer};
use tokio::sync::Notify;

fn with_token(token: &str) -> SessionOptions {
    SessionOptions::new().bearer(token)
}

fn user(token: &str) -> Result<String, Refusal> {
    match token {
        "alice" | "bob" => Ok(token.to_owned()),
        "mallory" => Err(Refusal::forbidden("not you")),
        "eager" => Err(Refusal::too_many("slow down", Duration::from_secs(2))),
        "late" => Err(Refusal::unavailable("closing time", Duration::from_secs(60))),
        _ => Err(Refusal::unauthorized("the token is not valid")),
    }
}

async fn talk(a: &Session, b: &Session) {
    for (from, to) in [(a, b), (b, a)] {
        let (sender, receiver) = channel::<u32>(from, to, 2).await;
        put(&sender, 7).await;
        assert_eq!(get(&receiver).await, 7);
    }
}

async fn the_hello_names_the_principal(on: On) {
    let place = on.listen(ListenOptions::default().authorize(bearer(user))).await;
    for name in ["alice", "bob"] {
        let (dialed, accepted) = place.meet(with_token(name)).await;
        let dialed = dialed.unwrap();
        assert_eq!(accepted.principal(), Some(name));
        assert_eq!(accepted.info().principal.as_deref(), Some(name));
        assert_eq!(dialed.principal().is_some(), on.proves_the_server());
        let sender = dialed.open::<u32>("who").unwrap();
        let incoming = soon(accepted.accept()).await.unwrap().unwrap();
        assert_eq!(incoming.principal(), Some(name));
        let receiver = incoming.receive::<u32>();
        put(&sender, 1).await;
        assert_eq!(get(&receiver).await, 1);
        talk(&dialed, &accepted).await;
        soon(dialed.close()).await.unwrap();
        assert_eq!(soon(accepted.closed()).await, Ok(()));
    }
}

/// The dial fails with the reason, the listener hears of it, and serves the next one.
async fn a_refusal_at_the_hello_is_the_dials_error(on: On) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let options = ListenOptions::default().authorize(bearer(user)).on_failed_handshake(move |error| {
        if let AcceptError::Refused { refusal, .. } = error {
            log.lock().unwrap().push(refusal.status());
        }
    });
    let place = on.listen(options).await;
    for (options, status, reason) in [
        (with_token("mallory"), 403, "not you"),
        (with_token("nobody"), 401, "the token is not valid"),
        (with_token("late"), 503, "closing time"),
        (SessionOptions::new(), 401, "a bearer token is wanted"),
    ] {
        let error = place.turned_away(options).await;
        let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(refusal.status(), status);
        assert!(refusal.reason().contains(reason), "{refusal:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let (dialed, accepted) = place.meet(with_token("alice")).await;
    talk(&dialed.unwrap(), &accepted).await;
    // The peers that were turned away have gone by now, or go while others are served.
    soon(async {
        tokio::select! {
            () = eventually(|| told.lock().unwrap().len() == 4) => {}
            _ = place.listener.accept() => panic!("accepted"),
        }
    })
    .await;
    let mut told = told.lock().unwrap().clone();
    told.sort_unstable();
    assert_eq!(told, [401, 401, 403, 503]);
}

/// A hook that the link is enough for: over http it is the status, elsewhere the goodbye.
async fn a_refusal_at_the_link_is_the_dials_error(on: On) {
    for (refusal, status) in [
        (Refusal::unauthorized("who are you?"), 401),
        (Refusal::forbidden("not from there"), 403),
        (Refusal::unavailable("come back", Duration::from_secs(5)), 503),
    ] {
        let answer = refusal.clone();
        let hook = move |peer: &Candidate<'_>| {
            assert!(peer.metadata().is_empty() && !peer.info().peer.is_empty());
            Err::<&str, _>(answer.clone())
        };
        let place = on.listen(ListenOptions::default().authorize(hook)).await;
        let error = place.turned_away(with_token("alice")).await;
        let told = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!((told.status(), told.reason()), (status, refusal.reason()), "{error:?}");
    }
}

/// What the hook knows beside the name.
#[derive(Debug, PartialEq)]
struct Scopes(&'static [&'static str]);

/// Lets a bearer in with scopes, for as long as its token says.
struct Scoped;

#[async_trait]
impl Authorize for Scoped {
    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        match user(peer.bearer().unwrap_or_default())?.as_str() {
            "alice" => Ok(Admission::new("alice").with(Scopes(&["read", "write"]))),
            name => Ok(Admission::new(name).with(Scopes(&["read"])).lasting(Duration::from_millis(50))),
        }
    }

    fn channel(&self, channel: &Incoming) -> Result<(), Refusal> {
        let scopes = channel.admission().and_then(|admission| admission.get::<Scopes>());
        let may = scopes.is_some_and(|scopes| scopes.0.contains(&channel.name()));
        if may { Ok(()) } else { Err(Refusal::forbidden("not in your scopes")) }
    }
}

async fn what_the_hook_knows_stays_with_the_session(on: On) {
    let place = on.listen(ListenOptions::default().authorize(Scoped)).await;
    let (alice, accepted) = place.meet(with_token("alice")).await;
    let alice = alice.unwrap();
    let admission = accepted.admission().unwrap();
    assert_eq!((admission.name(), admission.remaining()), ("alice", None));
    assert_eq!(admission.get(), Some(&Scopes(&["read", "write"])));
    assert_eq!(admission.get::<String>(), None);
    let refused_one = alice.open::<u32>("delete").unwrap();
    let sender = alice.open::<u32>("write").unwrap();
    let receiver = soon(accepted.accept()).await.unwrap().unwrap().receive::<u32>();
    put(&sender, 1).await;
    assert_eq!(get(&receiver).await, 1);
    assert!(matches!(soon(refused_one.closed()).await, Closed::Refused(_)));
}

/// The hook gives the same 50 ms again and again until the listener forgets bob: then it refuses.
struct Forgets(Arc<std::sync::atomic::AtomicBool>);

#[async_trait]
impl Authorize for Forgets {
    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        if self.0.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Refusal::forbidden("forgotten"));
        }
        Scoped.hello(peer).await
    }
}

async fn an_admission_that_is_over_is_told(on: On) {
    let forgets = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let place = on.listen(ListenOptions::default().authorize(Forgets(forgets.clone()))).await;
    let (bob, accepted) = place.meet(with_token("bob")).await;
    let bob = bob.unwrap();
    talk(&bob, &accepted).await;
    let (sender, receiver) = channel::<u32>(&bob, &accepted, 2).await;
    forgets.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = soon(bob.closed()).await.unwrap_err();
    let (denial, text) = error.denial().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!((denial, text), (Denial::Unauthorized, "the admission of bob is over: forgotten"));
    let own = soon(accepted.closed()).await.unwrap_err();
    assert!(matches!(own, SessionError::AdmissionOver(_)), "{own:?}");
    assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
    assert!(matches!(soon(sender.closed()).await, Closed::Disconnected(_)));
    // Others are let in as before.
    forgets.store(false, std::sync::atomic::Ordering::Relaxed);
    let (alice, to_alice) = place.meet(with_token("alice")).await;
    talk(&alice.unwrap(), &to_alice).await;
}

/// Lets bob open what he has announced, and everybody "open".
struct Channels;

#[async_trait]
impl Authorize for Channels {
    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        user(peer.bearer().unwrap_or_default()).map(Admission::from)
    }

    fn channel(&self, channel: &Incoming) -> Result<(), Refusal> {
        let key = channel.metadata().get("key");
        match (channel.principal(), channel.name(), key) {
            (_, "open", _) | (Some("bob"), "secret", Some(b"right")) => Ok(()),
            (Some(who), name, _) => Err(Refusal::forbidden(format!("{who} may not open {name}"))),
            (None, ..) => panic!("nobody has opened a channel"),
        }
    }
}

async fn a_channel_may_be_refused(on: On) {
    let place = on.listen(ListenOptions::default().authorize(Channels)).await;
    let (alice, to_alice) = place.meet(with_token("alice")).await;
    let (bob, to_bob) = place.meet(with_token("bob")).await;
    let (alice, bob) = (alice.unwrap(), bob.unwrap());
    let secret = |key: &str| OpenOptions::new().capacity(1).metadata("key", key);

    let mut refused_ones = Vec::new();
    for (session, key, who) in [(&alice, "right", "alice"), (&bob, "wrong", "bob")] {
        refused_ones.push((session.open_with::<u32>("secret", secret(key)).unwrap(), who));
    }
    let clone = to_bob.clone();
    let open = alice.open::<u32>("open").unwrap();
    let allowed = bob.open_with::<u32>("secret", secret("right")).unwrap();
    // The refused ones went before them in line and are passed over, by every handle of the session.
    let at_alice = soon(to_alice.accept()).await.unwrap().unwrap();
    let at_bob = soon(clone.accept()).await.unwrap().unwrap();
    assert_eq!((at_alice.name(), at_bob.name()), ("open", "secret"));
    for (sender, who) in &refused_ones {
        match soon(sender.closed()).await {
            Closed::Refused(error) => {
                assert_eq!(error.text(), format!("{who} may not open secret"));
                assert_eq!((error.wire_code(), error.code()), (32, None));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(refused(sender, 1).await.reason, SendFailure::Closed(Closed::Refused(_))));
    }
    for (sender, incoming) in [(open, at_alice), (allowed, at_bob)] {
        let receiver = incoming.receive::<u32>();
        put(&sender, 3).await;
        assert_eq!(get(&receiver).await, 3);
    }
    // What the listener's side opens is not asked about.
    let back = to_alice.open::<u32>("secret").unwrap();
    let receiver = soon(alice.accept()).await.unwrap().unwrap().receive::<u32>();
    put(&back, 4).await;
    assert_eq!(get(&receiver).await, 4);
}

/// Keeps alice waiting until it is told.
struct Slow(Arc<Notify>);

#[async_trait]
impl Authorize for Slow {
    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        let name = user(peer.bearer().unwrap_or_default())?;
        if name == "alice" {
            self.0.notified().await;
        }
        Ok(name.into())
    }
}

async fn a_slow_decision_delays_nobody_else(on: On) {
    let decided = Arc::new(Notify::new());
    let place = on.listen(ListenOptions::default().authorize(Slow(decided.clone()))).await;
    let mut alice = Box::pin(place.dial(with_token("alice")));
    let (bob, to_bob) = tokio::select! {
        _ = &mut alice => panic!("a session before the decision"),
        met = place.meet(with_token("bob")) => met,
    };
    let bob = bob.unwrap();
    talk(&bob, &to_bob).await;
    still_pending(alice.as_mut()).await;
    decided.notify_one();
    let (alice, to_alice) = tokio::join!(alice, soon(place.listener.accept()));
    let (alice, to_alice) = (alice.unwrap(), to_alice.unwrap());
    assert_eq!(to_alice.principal(), Some("alice"));
    talk(&alice, &to_alice).await;
}

/// A dialer that gives up while the hook thinks, by its own deadline: the listener goes on.
async fn a_dialer_that_gives_up(on: On) {
    let place = on.listen(ListenOptions::default().authorize(Slow(Arc::new(Notify::new())))).await;
    let limits = Limits { hello_timeout: Duration::from_millis(100), ..Limits::default() };
    let error = place.turned_away(with_token("alice").limits(limits)).await;
    assert!(error.refusal().is_none(), "{error:?}");
    let (bob, to_bob) = place.meet(with_token("bob")).await;
    talk(&bob.unwrap(), &to_bob).await;
}

libchan_tests::contract_urls! {
    the_hello_names_the_principal,
    a_refusal_at_the_hello_is_the_dials_error,
    a_refusal_at_the_link_is_the_dials_error,
    a_channel_may_be_refused,
    what_the_hook_knows_stays_with_the_session,
    an_admission_that_is_over_is_told,
    a_slow_decision_delays_nobody_else,
    a_dialer_that_gives_up,
}
