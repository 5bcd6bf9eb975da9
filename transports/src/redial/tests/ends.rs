//! How a redial ends: by what no dial can mend, by `close`, by its last handle.

use super::addresses::Silent;
use super::*;

/// Everything that waits is told the same at once, and what comes later too.
async fn gives_up(redial: Redial) -> Arc<DialError> {
    let (words, mut sessions, mut events) = (redial.open::<String>("w"), redial.sessions(), redial.events());
    let begun = Instant::now();
    let (sent, session, next, accepted) = soon(async {
        tokio::join!(words.send("one".into()), redial.session(), sessions.next(), redial.accept())
    })
    .await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "it is not tried again");
    let failed = sent.unwrap_err();
    assert_eq!(failed.value, "one");
    let why = session.unwrap_err();
    assert_eq!(failed.reason, RedialFailure::Over(why.clone()));
    assert_eq!((next.unwrap_err(), accepted.unwrap_err()), (why.clone(), why.clone()));
    assert_eq!(turn(&mut events).await, Some(RedialEvent::Over(why.clone())));
    assert_eq!(events.next().await, None);
    // Later.
    assert_eq!(redial.session().await.unwrap_err(), why);
    assert_eq!(redial.events().next().await, Some(RedialEvent::Over(why.clone())));
    let RedialError::GaveUp { error, .. } = why else { panic!("{why:?}") };
    soon(redial.close()).await.unwrap();
    error
}

#[tokio::test(start_paused = true)]
async fn a_bad_url_ends_it() {
    for url in ["nope://host", "mem:", "no scheme", "unix:"] {
        let error = gives_up(Redial::new(url)).await;
        assert!(matches!(&*error, DialError::Url(_)), "{url}: {error:?}");
    }
    // Also where another address may do.
    let _listener = listen("mem:redial-good").await.unwrap();
    gives_up(Redial::with(["nope://host", "mem:redial-good"], RedialOptions::default())).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_it() {
    for refusal in [Refusal::unauthorized("no token"), Refusal::forbidden("go away")] {
        for as_a_link in [false, true] {
            let said = refusal.clone();
            let hook = move |_: &crate::Candidate<'_>| Err::<String, _>(said.clone());
            let mut options = ListenOptions::default().authorize(hook);
            options.as_a_link = as_a_link;
            let listener = listen_with("mem:redial-refuses", options).await.unwrap();
            let error = gives_up(Redial::new(listener.url())).await;
            let told = error.refusal().unwrap();
            assert_eq!((told.status(), told.reason()), (refusal.status(), refusal.reason()));
        }
    }
}

/// It had waited, with senders, for a server that refuses it when it comes.
#[tokio::test(start_paused = true)]
async fn senders_that_wait_are_told() {
    let redial = Redial::new("mem:redial-refuses-later");
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let words = redial.open::<String>("words");
            tokio::spawn(async move { words.send("x".into()).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(waiting.iter().all(|sending| !sending.is_finished()));
    let hook = |_: &crate::Candidate<'_>| Err::<String, _>(Refusal::forbidden("go away"));
    let options = ListenOptions::default().authorize(hook);
    let _listener = listen_with("mem:redial-refuses-later", options).await.unwrap();
    for sending in waiting {
        let error = soon(sending).await.unwrap().unwrap_err();
        assert!(matches!(error.reason, RedialFailure::Over(RedialError::GaveUp { .. })), "{error:?}");
        assert!(error.to_string().contains("go away"), "{error}");
    }
}

#[test]
fn what_is_final() {
    use libchan::{Denial, Reason};
    let url = || "tcp://host:1".to_owned();
    let ended = |code| DialError::Session(SessionError::PeerClosed(Reason::of(code)));
    let refused = |refusal| DialError::NotAdmitted { url: url(), refusal };
    let check = |cases: &[(bool, DialError)]| {
        for (is_final, error) in cases {
            assert_eq!(error.is_final(), *is_final, "{error:?}");
        }
    };
    check(&[
        (true, DialError::Url(crate::UrlError::NoScheme)),
        (true, DialError::PathTooLong { length: 200, limit: 107 }),
        (true, DialError::SpeaksTls { url: url() }),
        (true, refused(Refusal::unauthorized("who?"))),
        (true, refused(Refusal::forbidden("no"))),
        (false, refused(Refusal::unavailable("later", ms(1)))),
        (false, refused(Refusal::too_many("later", ms(1)))),
        (true, DialError::Session(SessionError::NoCommonCodec)),
        (true, ended(SessionError::UnsupportedVersion(2).code())),
        (true, ended(SessionError::NoCommonCodec.code())),
        (false, ended(Denial::Unavailable.code())),
        (false, DialError::Session(SessionError::HelloTimeout)),
        (false, DialError::Session(SessionError::NotLibchan { first_bytes: vec![] })),
        (false, DialError::Session(SessionError::Lost)),
        (false, DialError::Refused { url: url() }),
        (false, DialError::NoSuchSocket { url: url() }),
        (false, DialError::TimedOut { url: url(), after: ms(1) }),
        (false, DialError::DescriptorLimit),
    ]);
    #[cfg(feature = "_http")]
    {
        use crate::http::HttpError;
        let http = |source| DialError::Http { url: url(), source };
        let reason = String::new;
        check(&[
            (true, http(HttpError::Unauthorized { reason: reason() })),
            (true, http(HttpError::Forbidden { reason: reason() })),
            (true, http(HttpError::BadRequest { detail: reason() })),
            (false, http(HttpError::NotFound)),
            (false, http(HttpError::Busy { status: 503, retry_after: None, reason: reason() })),
        ]);
    }
    #[cfg(feature = "_tls")]
    {
        use crate::tls::{TlsConfigError, TlsError};
        let tls = |source| DialError::Tls { url: url(), source };
        check(&[
            (true, tls(TlsError::UnknownIssuer { fingerprint: None })),
            (true, tls(TlsError::ClientCertificateRequired)),
            (true, DialError::TlsConfig(TlsConfigError::KeyMismatch)),
            (false, tls(TlsError::NotYetValid { after: ms(1) })),
            (false, tls(TlsError::Ended)),
        ]);
    }
}

#[cfg(feature = "tcp")]
#[tokio::test]
async fn another_version_ends_it() {
    use tokio::io::AsyncWriteExt;
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let redial = Redial::new(format!("tcp://{}", server.local_addr().unwrap()));
    let (session, _peer) = tokio::join!(soon(redial.session()), async {
        let (mut peer, _) = server.accept().await.unwrap();
        peer.write_all(b"libchan\x02\0\0\0\0\0\0\0\0").await.unwrap();
        peer
    });
    let RedialError::GaveUp { error, .. } = session.unwrap_err() else { panic!("it goes on") };
    assert_eq!(*error, DialError::Session(SessionError::UnsupportedVersion(2)));
}

#[cfg(all(feature = "_tls", feature = "dev-certs"))]
#[tokio::test]
async fn a_certificate_that_is_not_trusted_ends_it() {
    use crate::tls::{DevCertificate, TlsClientOptions, TlsServer};
    let certificate = || DevCertificate::new(["127.0.0.1"]).unwrap();
    let (theirs, another) = (certificate(), certificate());
    let server = TlsServer::new(theirs.server_options()).unwrap();
    let listener = listen_with("tls://127.0.0.1:0", ListenOptions::default().tls(server)).await.unwrap();
    let trust = TlsClientOptions::new().pin(another.fingerprint());
    let options = RedialOptions::default().dial(DialOptions::default().tls(trust));
    let redial = Redial::with([listener.url()], options);
    let RedialError::GaveUp { error, .. } = soon(redial.session()).await.unwrap_err() else {
        panic!("it goes on")
    };
    assert!(matches!(&*error, DialError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn no_address_is_said() {
    let redial = Redial::with(Vec::<String>::new(), RedialOptions::default().at_once());
    assert_eq!(redial.session().await.unwrap_err(), RedialError::NoAddress);
    assert!(redial.close().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_is_closed_while_it_waits() {
    let before = tasks();
    let redial = Redial::with(["mem:redial-close"], RedialOptions::default().at_once());
    let (other, words) = (redial.clone(), redial.open::<String>("words"));
    let mut events = redial.events();
    let sending = tokio::spawn(async move { words.send("one".into()).await });
    while !matches!(soon(events.next()).await.unwrap(), RedialEvent::Waiting { .. }) {}
    assert!(format!("{redial:?}").contains("state: Waiting("), "{redial:?}");
    soon(redial.close()).await.unwrap();
    let error = soon(sending).await.unwrap().unwrap_err();
    assert_eq!(error.reason, RedialFailure::Over(RedialError::Closed));
    assert_eq!(turn(&mut events).await, Some(RedialEvent::Over(RedialError::Closed)));
    assert_eq!(other.session().await.unwrap_err(), RedialError::Closed);
    assert_eq!(
        format!("{other:?}"),
        "Redial { urls: [\"mem:redial-close\"], state: Over(the redial was closed) }"
    );
    settle().await;
    assert_eq!(tasks(), before);
}

/// What was accepted before `close` arrives.
#[tokio::test(start_paused = true)]
async fn close_hands_over_what_was_accepted() {
    let listener = linked("mem:redial-hand-over").await;
    let redial = Redial::new(listener.url());
    let words = redial.open::<String>("words");
    words.send("one".into()).await.unwrap();
    let (closed, heard) = tokio::join!(redial.close(), async {
        let (_session, heard) = channel::<String>(&listener).await;
        soon(heard.recv()).await
    });
    closed.unwrap();
    assert_eq!(heard.unwrap().as_deref(), Some("one"));
    let error = words.send("two".into()).await.unwrap_err();
    assert_eq!(error.reason, RedialFailure::Over(RedialError::Closed));
}

/// Dropped while it dials: the dial is broken off, and no task is left.
#[tokio::test(start_paused = true)]
async fn it_is_dropped_while_it_dials() {
    let listener =
        listen_with("mem:redial-drop", ListenOptions::default().as_a_link().authorize(Silent)).await.unwrap();
    settle().await;
    let before = tasks();
    let redial = Redial::with([listener.url()], RedialOptions::default().at_once());
    let mut events = redial.events();
    settle().await;
    assert!(tasks() > before && format!("{redial:?}").contains("Dialing"), "{redial:?}");
    drop(redial);
    assert_eq!(turn(&mut events).await, Some(RedialEvent::Over(RedialError::Stopped)));
    settle().await;
    // The server's handshake waits for its hook; the redial and its link are gone.
    drop(listener);
    settle().await;
    assert!(tasks() < before, "{} tasks, {before} before", tasks());
}

/// The session says goodbye when the last handle goes, whichever it is.
#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_session() {
    let listener = linked("mem:redial-last").await;
    settle().await;
    let before = tasks();
    for keep in 0..3 {
        let redial = Redial::with([listener.url()], RedialOptions::default().at_once());
        let mut handles: Vec<Box<dyn std::any::Any>> =
            vec![Box::new(redial.clone()), Box::new(redial.open::<u32>("x")), Box::new(redial.sessions())];
        let kept = handles.remove(keep);
        drop(handles);
        let session = soon(listener.accept()).await.unwrap();
        drop(redial);
        assert!(timeout(ms(60_000), session.closed()).await.is_err(), "{keep} keeps it");
        drop(kept);
        soon(session.closed()).await.unwrap();
        settle().await;
    }
    assert_eq!(tasks(), before);
}

/// A runtime that is gone takes the task with it: nobody waits for ever.
#[test]
fn it_ends_with_its_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let redial = Redial::new("mem:redial-runtime");
    let waits = first.block_on(async { timeout(ms(1), redial.session()).await });
    assert!(waits.is_err());
    drop(first);
    assert_eq!(second.block_on(redial.session()).unwrap_err(), RedialError::Stopped);
}
