//! A descriptor a message. Each is a fresh duplicate, and closed by the receiver.

use std::fs::File;

use libchan::{Fd, OpenOptions, Receiver, Sender, Session};

use super::{Way, sessions};
use crate::contenders::{Drain, Feed};
use crate::net::Transport;

pub struct FdFeed {
    sender: Sender<Fd>,
    file: File,
    _session: Session,
}

pub struct FdDrain {
    receiver: Receiver<Fd>,
    _session: Session,
}

pub async fn descriptors() -> (FdFeed, FdDrain) {
    let (client, server) = sessions(Way::Link(Transport::Unix)).await;
    let sender = client.open_with("descriptors", OpenOptions::new().capacity(64)).expect("opens");
    let receiver = server.accept().await.expect("accepts").expect("a channel").receive();
    let file = File::open("/dev/null").expect("opens");
    (FdFeed { sender, file, _session: client }, FdDrain { receiver, _session: server })
}

impl Feed for FdFeed {
    async fn send(&mut self) {
        let copy = self.file.try_clone().expect("duplicates");
        self.sender.send(Fd::new(copy)).await.expect("sends");
    }
}

impl Drain for FdDrain {
    async fn recv(&mut self) {
        let fd = self.receiver.recv().await.expect("a descriptor").expect("a descriptor");
        drop(fd.into_owned().expect("owned"));
    }
}
