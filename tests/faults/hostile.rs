//! A peer that breaks the rules.

use libchan_proto::Misbehaviour;
use libchan_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rude::{self, Rude, frame, hello};

async fn session_with_rude_peer() -> (Session, Rude) {
    let (session, rude, _) = rude::session_with_rude_peer(On::Unix, SessionOptions::new()).await;
    (session, rude)
}

async fn every_broken_rule_has_its_error() {
    let cases: Vec<(Vec<u8>, Misbehaviour)> = vec![
        (frame(0x7e, 0, b""), Misbehaviour::UnknownType(0x7e)),
        (frame(0x03, 41, &[0, 1, 5]), Misbehaviour::UnknownId),
        (frame(0x08, 43, b"data"), Misbehaviour::UnknownId),
        (vec![0xff, 0xff, 0xff, 0x03, 0, 0, 0, 1], Misbehaviour::FrameTooLarge),
        (frame(0x0b, 0, b"short"), Misbehaviour::FrameTooShort),
        (hello().await[8..].to_vec(), Misbehaviour::Hello),
        // An open with a name that is not UTF-8.
        (frame(0x02, 1, &[0, 0, 0, 4, 0, 2, 0xff, 0xfe]), Misbehaviour::Text),
        // An open under an id that only we may give.
        (frame(0x02, 2, &[0, 0, 0, 4, 0, 1, b'x']), Misbehaviour::IdNotFree),
    ];
    for (bytes, expected) in cases {
        let (session, mut rude) = session_with_rude_peer().await;
        let sender = session.open_with::<u32>("x", OpenOptions::new().capacity(1)).unwrap();
        put(&sender, 1).await;
        let pending =
            tokio::spawn(async move { sender.send(2).await.map_err(|error| (error.value, error.reason)) });
        yields().await;
        rude.write_all(&bytes).await.unwrap();
        let error = soon(session.closed()).await.unwrap_err();
        assert_eq!(error, SessionError::PeerMisbehaved(expected), "after {bytes:02x?}");
        let failed = soon(pending).await.unwrap().unwrap_err();
        assert!(matches!(failed, (2, SendFailure::Disconnected { outcome_unknown: false, .. })));
        // It is told what it did, in a goodbye (type 0d) at the end of what we said.
        let mut said = Vec::new();
        let _ = soon(rude.read_to_end(&mut said)).await;
        let goodbye = [&[0x0d, 0, 0, 0, 0][..], &expected.code().to_be_bytes()].concat();
        assert!(
            said.windows(7).any(|window| window == goodbye),
            "no goodbye after {expected:?}: {said:02x?}"
        );
    }
}

async fn unknown_frames_that_may_be_ignored_are_skipped() {
    let (session, mut rude) = session_with_rude_peer().await;
    for kind in [0x80, 0x9e, 0xff] {
        rude.write_all(&frame(kind, 7, &[1; 100])).await.unwrap();
    }
    rude.write_all(&frame(0x02, 1, &[0, 0, 0, 4, 0, 1, b'x'])).await.unwrap();
    assert_eq!(soon(session.accept()).await.unwrap().unwrap().name(), "x");
}

async fn a_message_beyond_the_capacity_ends_the_session() {
    let (session, mut rude) = session_with_rude_peer().await;
    rude.write_all(&frame(0x02, 1, &[0, 0, 0, 1, 0, 1, b'x'])).await.unwrap();
    for _ in 0..2 {
        rude.write_all(&frame(0x03, 1, &[0, 1, 5])).await.unwrap();
    }
    let error = soon(session.closed()).await.unwrap_err();
    assert_eq!(error, SessionError::PeerMisbehaved(Misbehaviour::MessageCredit));
}

async fn a_peer_that_drains_without_a_word_is_going() {
    let (session, mut rude) = session_with_rude_peer().await;
    let requests = session.open::<u32>("requests").unwrap();
    // CANCEL of the channel: scope 1, nothing taken, GOING_AWAY, and no text.
    rude.write_all(&frame(0x07, 2, &[1, 0, 0, 0, 0, 0, 36])).await.unwrap();
    soon(session.going()).await;
    let refused = soon(requests.send(1)).await.unwrap_err().reason;
    let SendFailure::Closed(Closed::Refused(why)) = &refused else { panic!("{refused:?}") };
    assert_eq!(why.cut(), Some(Cut::GoingAway));
}

async fn random_bytes_after_the_hello_never_panic() {
    let mut rng = Rng::new("hostile");
    for _ in 0..60 {
        let (session, mut rude) = session_with_rude_peer().await;
        let accepting = tokio::spawn({
            let session = session.clone();
            async move {
                let mut kept = Vec::new();
                while let Ok(Some(incoming)) = session.accept().await {
                    kept.push(incoming.receive::<u32>());
                }
            }
        });
        for _ in 0..30 {
            // Plausible headers, random bodies.
            let kind = 1 + rng.below(14) as u8;
            let body: Vec<u8> = (0..rng.below(40)).map(|_| rng.next() as u8).collect();
            if rude.write_all(&frame(kind, rng.below(6) as u32, &body)).await.is_err() {
                break;
            }
        }
        drop(rude);
        assert!(soon(session.closed()).await.is_err() || session.open_channels() == 0);
        soon(accepting).await.unwrap();
    }
}

libchan_tests::in_process! {
    every_broken_rule_has_its_error,
    unknown_frames_that_may_be_ignored_are_skipped,
    a_message_beyond_the_capacity_ends_the_session,
    a_peer_that_drains_without_a_word_is_going,
    random_bytes_after_the_hello_never_panic,
}
