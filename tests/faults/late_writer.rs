//! A sender that is still writing when its session ends: the link is closed all the same, so that the peer learns of it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll};

use libchan_tests::*;
use libchan_transports::UnixLink;
use tokio::net::UnixStream;

/// Holds one direct write back, after its bytes have left and before it returns.
struct Gate {
    armed: AtomicBool,
    entered: Barrier,
    leave: Barrier,
}

struct Gated<L: ?Sized> {
    gate: Arc<Gate>,
    inner: Box<L>,
}

impl Link for Gated<dyn Link> {
    fn info(&self) -> LinkInfo {
        self.inner.info()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkReader>, Box<dyn LinkWriter>) {
        let (reader, writer) = self.inner.split();
        (reader, Box::new(Gated { gate: self.gate, inner: writer }))
    }
}

impl LinkWriter for Gated<dyn LinkWriter> {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        let result = self.inner.try_write(bufs, descriptors);
        if self.gate.armed.swap(false, Ordering::AcqRel) {
            self.gate.entered.wait();
            self.gate.leave.wait();
        }
        result
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, bufs, descriptors)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_close(cx)
    }

    fn driver_only(&self) -> bool {
        self.inner.driver_only()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_closes_behind_a_write_that_outlives_the_session() {
    let gate =
        Arc::new(Gate { armed: AtomicBool::new(false), entered: Barrier::new(2), leave: Barrier::new(2) });
    let (near, far) = UnixStream::pair().expect("sockets");
    let near: Box<dyn Link> = Box::new(UnixLink::new(near, "unix:near"));
    let (a, b) = tokio::join!(
        Session::start(Gated { gate: gate.clone(), inner: near }, Role::Dialer, SessionOptions::default()),
        Session::start(UnixLink::new(far, "unix:far"), Role::Acceptor, SessionOptions::default()),
    );
    let (a, b) = (a.expect("a session"), b.expect("a session"));
    let (sender, receiver) = channel::<u32>(&a, &b, 4).await;
    // A send that the driver writes passes the gate by: until one is held, they are taken and sent again.
    gate.armed.store(true, Ordering::Release);
    let held = gate.clone();
    let sending = std::thread::spawn(move || {
        while held.armed.load(Ordering::Acquire) {
            if sender.send_blocking(1).is_err() {
                break;
            }
        }
        // Kept to the end: what holds the session must not hold the link.
        sender
    });
    let taking = tokio::spawn(async move { while let Ok(Some(_)) = receiver.recv().await {} });
    let entered = gate.clone();
    tokio::task::spawn_blocking(move || entered.entered.wait()).await.expect("the write is held");
    a.abort();
    assert!(soon(a.closed()).await.is_err());
    tokio::task::spawn_blocking(move || gate.leave.wait()).await.expect("the write goes on");
    let sender = tokio::task::spawn_blocking(|| sending.join()).await.expect("a thread").expect("it sent");
    assert!(soon(b.closed()).await.is_err());
    soon(taking).await.expect("the receiver ended");
    drop(sender);
}
