//! Admissions that end, in virtual time.

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use libchan::{
    Link, LinkReader, LinkWriter, LocalLink, PendingSession, RecvError, Role, Session, SessionOptions,
    link_pair,
};
use tokio::time::{Instant, advance, sleep, sleep_until};

use super::*;
use crate::dial::{DialOptions, dial_with};
use crate::listen::{ListenOptions, listen_with};

const MINUTE: Duration = Duration::from_secs(60);
/// A step past a time that is waited for, in virtual time.
const STEP: Duration = Duration::from_millis(10);

/// How often the hook was asked when it gave this admission.
#[derive(Debug, PartialEq)]
struct Asked(u32);

/// What the hook does when it is asked again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Again {
    Renews,
    Refuses,
    SaysNothing,
    Panics,
    NamesAnother,
    GivesOldOne,
}

struct Hook {
    again: Again,
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Authorize for Hook {
    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        assert_eq!(peer.bearer(), Some("token"), "the same candidate");
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let admission = Admission::new("alice").lasting(MINUTE).with(Asked(asked));
        match self.again {
            _ if asked == 0 => Ok(admission),
            Again::Renews => Ok(admission),
            Again::Refuses => Err(Refusal::forbidden("the token was revoked")),
            Again::SaysNothing => pending().await,
            Again::Panics => panic!("on purpose"),
            Again::NamesAnother => Ok(Admission::new("bob")),
            Again::GivesOldOne => Ok(admission.lasting(Duration::ZERO)),
        }
    }
}

/// The dialer's session, the listener's, and how often the hook was asked.
async fn pair(name: &str, as_a_link: bool, again: Again) -> (Session, Session, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let url = format!("mem:admission-{name}-{again:?}-{as_a_link}");
    let mut options = ListenOptions::default().authorize(Hook { again, asked: asked.clone() });
    if as_a_link {
        options = options.as_a_link();
    }
    let listener = listen_with(&url, options).await.unwrap();
    let dialing = DialOptions::default().session(SessionOptions::new().bearer("token"));
    let (dialed, accepted) = tokio::join!(dial_with(&url, dialing), listener.accept());
    (dialed.unwrap(), accepted.unwrap(), asked)
}

fn asked(session: &Session) -> u32 {
    session.admission().unwrap().get::<Asked>().unwrap().0
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_asked_anew_when_the_time_is_over() {
    for as_a_link in [false, true] {
        let begun = Instant::now();
        let (dialed, accepted, count) = pair("renewed", as_a_link, Again::Renews).await;
        let sender = dialed.open::<u32>("numbers").unwrap();
        let incoming = accepted.accept().await.unwrap().unwrap();
        assert_eq!(incoming.admission().unwrap().get(), Some(&Asked(0)));
        let receiver = incoming.receive::<u32>();
        for round in 0..5 {
            assert_eq!(accepted.principal(), Some("alice"));
            assert_eq!((asked(&accepted), count.load(Ordering::Relaxed)), (round, round + 1));
            sender.send(round).await.unwrap();
            assert_eq!(receiver.recv().await, Ok(Some(round)));
            sleep_until(begun + MINUTE * (round + 1) - STEP).await;
            assert_eq!(asked(&accepted), round, "not before its time");
            sleep(2 * STEP).await;
        }
        let _later = dialed.open::<u32>("later").unwrap();
        let incoming = accepted.clone().accept().await.unwrap().unwrap();
        assert_eq!(incoming.admission().unwrap().get(), Some(&Asked(5)), "that in force, by every handle");
        assert!(dialed.admission().is_none(), "nobody was asked about the listener");
    }
}

#[tokio::test(start_paused = true)]
async fn an_admission_that_is_not_renewed_ends_the_session() {
    for as_a_link in [false, true] {
        for (again, why, after) in [
            (Again::Refuses, "the admission of alice is over: the token was revoked", MINUTE),
            (Again::SaysNothing, "its renewal took too long", MINUTE + Duration::from_secs(10)),
            (Again::Panics, "the renewal of the peer's admission has failed", MINUTE),
            (Again::NamesAnother, "for somebody else", MINUTE),
            (Again::GivesOldOne, "its renewal is over already", MINUTE),
        ] {
            let (dialed, accepted, _) = pair("ended", as_a_link, again).await;
            let sender = dialed.open::<u32>("numbers").unwrap();
            let receiver = accepted.accept().await.unwrap().unwrap().receive::<u32>();
            let begun = Instant::now();
            // The peer is in the midst of sending: what it sends does not take the goodbye from it.
            let flood = tokio::spawn(async move {
                while sender.send(7).await.is_ok() {
                    sleep(STEP).await;
                }
                sender.closed().await
            });
            let last = loop {
                match receiver.recv().await {
                    Ok(number) => assert_eq!(number, Some(7)),
                    Err(error) => break error,
                }
            };
            assert!(begun.elapsed() >= after && begun.elapsed() < after + MINUTE, "{:?}", begun.elapsed());
            let RecvError::Disconnected(loss) = &last else { panic!("{last:?}") };
            assert!(loss.text().contains(why), "{}", loss.text());
            match accepted.closed().await {
                Err(SessionError::AdmissionOver(text)) => assert!(text.contains(why), "{text}"),
                other => panic!("{again:?}: {other:?}"),
            }
            let told = dialed.closed().await.unwrap_err();
            let (denial, text) = told.denial().unwrap_or_else(|| panic!("{again:?}: {told:?}"));
            assert_eq!(denial, Denial::Unauthorized);
            assert!(text.contains(why), "{text}");
            let closed = flood.await.unwrap();
            assert!(matches!(closed, libchan::Closed::Disconnected(_)), "{closed:?} {as_a_link}");
            assert!(dialed.open::<u32>("more").is_err() && accepted.open::<u32>("more").is_err());
        }
    }
}

/// What waits for the time does not keep the session.
#[tokio::test(start_paused = true)]
async fn a_session_ends_before_its_admission() {
    for as_a_link in [false, true] {
        let (dialed, accepted, count) = pair("unused", as_a_link, Again::Refuses).await;
        let begun = Instant::now();
        drop(accepted);
        assert_eq!(dialed.closed().await, Ok(()));
        let (dialed, accepted, _) = pair("closed", as_a_link, Again::Refuses).await;
        dialed.close().await.unwrap();
        assert_eq!(accepted.closed().await, Ok(()));
        assert!(begun.elapsed() < MINUTE, "{:?}", begun.elapsed());
        advance(2 * MINUTE).await;
        assert_eq!(accepted.closed().await, Ok(()));
        assert_eq!(count.load(Ordering::Relaxed), 1, "nobody is asked about a session that is over");
    }
}

#[tokio::test(start_paused = true)]
async fn an_admission_that_is_over_lets_nobody_in() {
    for as_a_link in [false, true] {
        let url = format!("mem:admission-late-{as_a_link}");
        let hook = |_: &Candidate<'_>| Ok(Admission::new("late").until(std::time::UNIX_EPOCH));
        let mut options = ListenOptions::default().authorize(hook);
        if as_a_link {
            options = options.as_a_link();
        }
        let listener = listen_with(&url, options).await.unwrap();
        let error = tokio::select! {
            dialed = dial_with(&url, DialOptions::default()) => dialed.unwrap_err(),
            accepted = listener.accept() => panic!("{accepted:?}"),
        };
        let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!((refusal.status(), refusal.reason()), (401, "the admission of late is over"));
    }
}

/// A link whose reading half finds nothing from the moment on that the switch is set.
struct Deaf(LocalLink, Arc<AtomicBool>);

struct DeafReader(Box<dyn LinkReader>, Arc<AtomicBool>);

impl Link for Deaf {
    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let (reader, writer) = Box::new(self.0).split();
        (Box::new(DeafReader(reader, self.1)), writer)
    }
}

impl LinkReader for DeafReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        match self.1.load(Ordering::Relaxed) {
            true => Poll::Pending,
            false => self.0.poll_read(cx, buf, descriptors),
        }
    }

    fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        self.poll_read(cx, &mut bufs[0], descriptors)
    }
}

/// A peer that does not drop the link is not waited for beyond the close timeout; the ends here know at once.
#[tokio::test(start_paused = true)]
async fn a_peer_that_stays_is_left() {
    let deaf = Arc::new(AtomicBool::new(false));
    let (near, far) = link_pair("deaf");
    let dialing = Session::start(Deaf(near, deaf.clone()), Role::Dialer, SessionOptions::new());
    let accepting = async {
        let pending = PendingSession::accept(far, SessionOptions::new()).await?;
        pending.admit(Some(Admission::new("deaf").lasting(MINUTE))).await
    };
    let (dialed, accepted) = tokio::try_join!(dialing, accepting).unwrap();
    let _sender = dialed.open::<u32>("numbers").unwrap();
    let receiver = accepted.accept().await.unwrap().unwrap().receive::<u32>();
    let begun = Instant::now();
    sleep(MINUTE - STEP).await;
    deaf.store(true, Ordering::Relaxed);
    let error = receiver.recv().await.unwrap_err();
    assert!(begun.elapsed() < MINUTE + STEP, "{:?}", begun.elapsed());
    assert!(error.to_string().contains("the admission of deaf is over: it is not renewed"), "{error}");
    assert!(matches!(accepted.closed().await, Err(SessionError::AdmissionOver(_))));
    let waited = begun.elapsed() - MINUTE;
    assert!(waited < Duration::from_secs(6), "the close timeout is 5 s: {waited:?}");
}
