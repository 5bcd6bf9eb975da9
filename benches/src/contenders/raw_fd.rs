//! The limit of passing descriptors: one `sendmsg` and one `recvmsg` each, with one byte of data.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::{Drain, Feed};
use crate::count;
use crate::net::unix_pair;

pub struct RawFdFeed {
    socket: UnixStream,
    file: File,
}

pub struct RawFdDrain(UnixStream);

pub async fn descriptors() -> (RawFdFeed, RawFdDrain) {
    let (client, server) = unix_pair().await.expect("unix connects");
    (RawFdFeed { socket: client, file: File::open("/dev/null").expect("opens") }, RawFdDrain(server))
}

impl Feed for RawFdFeed {
    async fn send(&mut self) {
        let copy = self.file.try_clone().expect("duplicates");
        let write = || {
            count::write();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [copy.as_fd()];
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
            Ok(sendmsg(&self.socket, &[IoSlice::new(&[7])], &mut control, SendFlags::NOSIGNAL)?)
        };
        self.socket.async_io(Interest::WRITABLE, write).await.expect("sends");
    }
}

impl Drain for RawFdDrain {
    async fn recv(&mut self) {
        let read = || -> io::Result<()> {
            count::read();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let passed = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors.count()),
                _ => None,
            });
            assert_eq!(passed.sum::<usize>(), 1);
            Ok(())
        };
        self.0.async_io(Interest::READABLE, read).await.expect("receives");
    }
}
