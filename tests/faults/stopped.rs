//! A process that stood still for longer than it waits for a silent peer (SIGSTOP, a machine that slept): the link is looked at
//! before the peer is judged. Two runtimes with virtual time: one stands still while the other's time goes on.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libchan::{LocalLink, link_pair};
use libchan_tests::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{advance, sleep};

/// What is left to do once the runtime goes on: virtual time.
const SHORTLY: Duration = Duration::from_millis(100);

/// A link that is read as a socket is: that bytes have come is found out by the runtime, between two polls. So who is woken by a
/// timer after a stop finds nothing at first.
struct SocketLike(LocalLink, Readiness);

struct SocketLikeReader(Box<dyn LinkReader>, Readiness);

/// Whether the runtime has yet to look at the link, and who waits for that.
#[derive(Clone, Default)]
struct Readiness(Arc<Mutex<(bool, Option<Waker>)>>);

impl Readiness {
    fn forget(&self) {
        self.0.lock().unwrap().0 = true;
    }

    /// The runtime looks. Returns whether somebody was told that there is nothing.
    fn look(&self) -> bool {
        let (_, waker) = std::mem::take(&mut *self.0.lock().unwrap());
        waker.map(Waker::wake).is_some()
    }

    fn is_unknown(&self, cx: &Context<'_>) -> bool {
        let (unknown, waker) = &mut *self.0.lock().unwrap();
        if *unknown {
            *waker = Some(cx.waker().clone());
        }
        *unknown
    }
}

impl Link for SocketLike {
    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let (reader, writer) = Box::new(self.0).split();
        (Box::new(SocketLikeReader(reader, self.1)), writer)
    }
}

impl LinkReader for SocketLikeReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        if self.1.is_unknown(cx) {
            return Poll::Pending;
        }
        self.0.poll_read(cx, buf, descriptors)
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

/// A process of its own, as far as its time goes.
struct Process {
    runtime: Runtime,
    session: Session,
}

impl Process {
    /// Lets it do what is to be done, without time going on.
    fn turn(&self) {
        turn(&self.runtime);
    }

    /// Its time goes on.
    fn live(&self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
    }

    /// It stood still for this long, and goes on: its timers first, then its links.
    fn resume(&self, time: Duration, readiness: &Readiness) {
        readiness.forget();
        self.runtime.block_on(async { advance(time).await });
        self.turn();
        assert!(readiness.look(), "the driver was woken by its timer alone");
        self.live(SHORTLY);
    }

    fn ended(&self) -> Option<SessionError> {
        let _entered = self.runtime.enter();
        let mut closed = Box::pin(self.session.closed());
        match closed.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(how) => Some(how.err().unwrap_or(SessionError::Closed)),
            Poll::Pending => None,
        }
    }
}

fn turn(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..50 {
            yield_now().await;
        }
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A peer that lives on, however long it hears nothing, and a process that is going to stand still. And what that one's runtime
/// knows of its link.
fn pair() -> (Process, Process, Readiness) {
    let patient = Limits::default().dead_after(Duration::from_secs(100 * 24 * 3600));
    let (near, far) = link_pair("stopped");
    let readiness = Readiness::default();
    let runtimes = [runtime(), runtime()];
    let dialing =
        runtimes[0].spawn(Session::start(near, Role::Dialer, SessionOptions::new().limits(patient)));
    let link = SocketLike(far, readiness.clone());
    let accepting = runtimes[1].spawn(Session::start(link, Role::Acceptor, SessionOptions::new()));
    while !(dialing.is_finished() && accepting.is_finished()) {
        runtimes.iter().for_each(turn);
    }
    let [a, b] = runtimes;
    let started = |runtime: Runtime, task: JoinHandle<Result<Session, SessionError>>| {
        let session = runtime.block_on(task).unwrap().unwrap();
        Process { runtime, session }
    };
    (started(a, dialing), started(b, accepting), readiness)
}

#[test]
fn a_peer_that_lives_is_not_taken_for_dead_after_a_stop() {
    for stop in [46, 300, 1200].map(Duration::from_secs) {
        let (peer, stopped, readiness) = pair();
        // Twice: nothing is left over of the first.
        for round in 0..2 {
            peer.live(stop);
            stopped.resume(stop, &readiness);
            assert_eq!(stopped.ended(), None, "after {stop:?}, round {round}");
            peer.turn();
        }
        let sender = peer.session.open::<u32>("alive").unwrap();
        sender.try_send(1).unwrap();
        peer.turn();
        let received = stopped.runtime.block_on(async {
            let receiver = stopped.session.accept().await.unwrap().unwrap().receive::<u32>();
            receiver.recv().await
        });
        assert_eq!(received, Ok(Some(1)));
    }
}

/// One more look is all that a peer gets which was silent before and after.
#[test]
fn a_peer_that_is_silent_is_taken_for_dead_after_a_stop() {
    let (peer, stopped, readiness) = pair();
    let stop = Duration::from_secs(300);
    peer.turn();
    stopped.resume(stop, &readiness);
    assert_eq!(stopped.ended(), Some(SessionError::PeerSilent));
    peer.turn();
    match peer.ended() {
        Some(SessionError::PeerClosed(reason)) => assert_eq!(reason.code, libchan_proto::code::PEER_SILENT),
        other => panic!("{other:?}"),
    }
}
