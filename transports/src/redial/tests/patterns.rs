//! What patterns need: the sessions one by one, and channels of the peer over losses.

use super::*;

#[tokio::test(start_paused = true)]
async fn each_session_is_given_once() {
    let listener = linked("mem:redial-sessions").await;
    let redial = Redial::new(listener.url());
    let (mut sessions, mut late) = (redial.sessions(), redial.sessions());
    // The next one is not passed over by calls that are given up.
    assert!(timeout(Duration::ZERO, sessions.next()).await.is_err());
    for number in 0..3 {
        let session = soon(sessions.next()).await.unwrap();
        session.open::<u32>("subscribe").unwrap().send(number).await.unwrap();
        let (theirs, heard) = channel::<u32>(&listener).await;
        assert_eq!(soon(heard.recv()).await.unwrap(), Some(number));
        assert!(timeout(ms(60_000), sessions.next()).await.is_err(), "it was given");
        theirs.abort();
    }
    let session = soon(sessions.next()).await.unwrap();
    let theirs = soon(listener.accept()).await.unwrap();
    // Those that came and went meanwhile are passed over.
    soon(late.next()).await.unwrap().open::<u32>("late").unwrap().send(7).await.unwrap();
    assert_eq!(soon(theirs.accept()).await.unwrap().unwrap().name(), "late");
    drop(session);
}

#[tokio::test(start_paused = true)]
async fn accept_waits_over_losses() {
    for as_a_link in [false, true] {
        let mut options = ListenOptions::default();
        options.as_a_link = as_a_link;
        let listener = listen_with("mem:redial-accept", options).await.unwrap();
        let redial = Redial::new(listener.url());
        let accepting = tokio::spawn(async move {
            let mut names = Vec::new();
            while names.len() < 3 {
                // Calls that are given up lose nothing.
                if let Ok(incoming) = timeout(ms(1), redial.accept()).await {
                    names.push(incoming.unwrap().name().to_owned());
                }
            }
            names
        });
        for name in ["one", "two", "three"] {
            let session = soon(listener.accept()).await.unwrap();
            tokio::time::sleep(ms(3)).await;
            let opened = session.open::<u32>(name).unwrap();
            opened.closed().await;
            session.abort();
        }
        assert_eq!(soon(accepting).await.unwrap(), ["one", "two", "three"]);
    }
}
