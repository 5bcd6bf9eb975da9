//! When and where it dials, and how long it waits.

use super::*;

fn waits(event: &RedialEvent) -> Option<Duration> {
    match event {
        RedialEvent::Waiting { wait } => Some(*wait),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_dialed_before_the_first_use() {
    let listener = listen("mem:redial-lazy").await.unwrap();
    let before = tasks();
    let redial = Redial::new(listener.url());
    let (mut events, sessions, words) = (redial.events(), redial.sessions(), redial.open::<String>("words"));
    settle().await;
    assert_eq!(tasks(), before);
    assert!(timeout(ms(60_000), events.next()).await.is_err());
    assert_eq!(format!("{redial:?}"), "Redial { urls: [\"mem:redial-lazy\"], state: Idle }");
    words.send("one".into()).await.unwrap();
    assert_eq!(events.next().await, Some(RedialEvent::Dialing { url: listener.url().into() }));
    assert_eq!(events.next().await, Some(RedialEvent::Connected { url: listener.url().into() }));
    assert!(format!("{words:?}").contains("Connected(mem:redial-lazy, session 1)"), "{words:?}");
    drop(sessions);
}

#[tokio::test(start_paused = true)]
async fn it_dials_at_once_if_asked_to() {
    let listener = listen("mem:redial-at-once").await.unwrap();
    let redial = Redial::with([listener.url()], RedialOptions::default().at_once());
    soon(listener.accept()).await.unwrap();
    drop(redial);
}

#[test]
fn nothing_needs_a_runtime_before_the_first_use() {
    let redial = Redial::new("mem:redial-no-runtime");
    let _ = (redial.open::<u32>("x"), redial.events(), redial.sessions(), format!("{redial:?}"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_address_is_followed_by_the_next() {
    let listener = listen("mem:redial-second").await.unwrap();
    let begun = Instant::now();
    let redial = Redial::with(["mem:redial-nobody", listener.url()], RedialOptions::default());
    let mut events = redial.events();
    let session = soon(redial.session()).await.unwrap();
    assert_eq!(session.info().peer, "mem:redial-second");
    assert_eq!(begun.elapsed(), Duration::ZERO, "no wait between addresses");
    let url: Arc<str> = "mem:redial-nobody".into();
    assert_eq!(events.next().await, Some(RedialEvent::Dialing { url: url.clone() }));
    let error = Arc::new(DialError::Refused { url: url.to_string() });
    assert_eq!(events.next().await, Some(RedialEvent::Failed { url, error }));
}

/// The first address swallows what is said: its dial has one deadline, and then the next one has its turn.
#[tokio::test(start_paused = true)]
async fn a_silent_address_has_one_deadline() {
    let silent = ListenOptions::default().authorize(Silent);
    let _silent = listen_with("mem:redial-silent", silent).await.unwrap();
    let listener = listen("mem:redial-speaks").await.unwrap();
    let options = RedialOptions::default().dial(DialOptions::default().connect_timeout(ms(700)));
    let (begun, redial) = (Instant::now(), Redial::with(["mem:redial-silent", listener.url()], options));
    assert_eq!(soon(redial.session()).await.unwrap().info().peer, "mem:redial-speaks");
    assert_eq!(begun.elapsed(), ms(700));
}

/// A hook that never answers.
pub(super) struct Silent;

#[async_trait::async_trait]
impl crate::Authorize for Silent {
    async fn hello(&self, _: crate::Candidate<'_>) -> Result<libchan::Admission, Refusal> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn shuffled_addresses_each_come_first_at_times() {
    let urls = ["mem:redial-a", "mem:redial-b", "mem:redial-c"];
    let options = RedialOptions::default().shuffled().at_once();
    let redial = Redial::with(urls, options);
    let (mut events, mut firsts, mut all) = (redial.events(), Vec::new(), Vec::new());
    for _ in 0..60 {
        let mut round = Vec::new();
        loop {
            match soon(events.next()).await.unwrap() {
                RedialEvent::Dialing { url } => round.push(url.to_string()),
                RedialEvent::Waiting { .. } => break,
                _ => {}
            }
        }
        firsts.push(round[0].clone());
        round.sort_unstable();
        all.push(round);
    }
    assert!(all.iter().all(|round| *round == urls), "each once a round");
    assert!(urls.iter().all(|url| firsts.contains(&(*url).to_owned())), "{firsts:?}");
}

/// Nobody listens: each round is followed by a wait, which lasts as long as was said, and is within its bounds.
#[tokio::test(start_paused = true)]
async fn waits_are_kept_and_grow_within_their_bounds() {
    let options = RedialOptions::default().at_once();
    let redial = Redial::with(["mem:redial-never"], options);
    let (mut events, begun, mut waited) = (redial.events(), Instant::now(), Duration::ZERO);
    for round in 0..20 {
        let wait = loop {
            if let Some(wait) = waits(&soon(events.next()).await.unwrap()) {
                break wait;
            }
        };
        let whole = ms(100 << round.min(10)).min(Duration::from_secs(30));
        assert!((whole / 2..=whole).contains(&wait), "{wait:?} in round {round}");
        assert!(begun.elapsed() >= waited, "round {round} came early");
        // A timer of tokio's has a granularity of a millisecond.
        assert!(begun.elapsed() <= waited + ms(2 * (round + 1)), "round {round} came late");
        waited += wait;
    }
}

/// A server that takes sessions and drops them is dialed ever less often; one that held begins anew.
#[tokio::test(start_paused = true)]
async fn the_waits_begin_anew_after_a_session_that_held() {
    let listener = linked("mem:redial-flaps").await;
    let backoff = Backoff::new().max(Duration::from_secs(3)).held(Duration::from_secs(5));
    let redial = Redial::with([listener.url()], RedialOptions::default().backoff(backoff).at_once());
    let mut events = redial.events();
    let mut wait_after = async |holds: Duration| {
        let session = soon(listener.accept()).await.unwrap();
        tokio::time::sleep(holds).await;
        session.abort();
        loop {
            if let Some(wait) = waits(&soon(events.next()).await.unwrap()) {
                break wait;
            }
        }
    };
    for whole in [100, 200, 400, 800, 1600, 3000, 3000] {
        let wait = wait_after(Duration::ZERO).await;
        assert!((ms(whole) / 2..=ms(whole)).contains(&wait), "{wait:?} of {whole} ms");
    }
    let wait = wait_after(Duration::from_secs(6)).await;
    assert!((ms(50)..=ms(100)).contains(&wait), "{wait:?}");
}

/// "Not now" is no final word, and the server may say when.
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_gets_it() {
    let busy =
        |_: &crate::Candidate<'_>| Err::<String, _>(Refusal::unavailable("starting", Duration::from_secs(7)));
    let _busy = listen_with("mem:redial-busy", ListenOptions::default().authorize(busy)).await.unwrap();
    let redial = Redial::with(["mem:redial-busy"], RedialOptions::default().at_once());
    let mut events = redial.events();
    let wait = loop {
        if let Some(wait) = waits(&soon(events.next()).await.unwrap()) {
            break wait;
        }
    };
    assert_eq!(wait, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_slow_is_told_what_it_missed() {
    let redial = Redial::with(["mem:redial-slow-reader"], RedialOptions::default().at_once());
    let mut events = redial.events();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(matches!(events.next().await, Some(RedialEvent::Missed(count)) if count > 100));
    assert!(matches!(events.next().await, Some(event) if !matches!(event, RedialEvent::Missed(_))));
}
