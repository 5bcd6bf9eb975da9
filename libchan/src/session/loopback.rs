//! Two sessions that face each other in this process: how a channel changes its type by way of its encoding.
//!
//! The in-process transport moves values. Where the two sides name different types, or where an end is known here under
//! another type, the messages take this detour, so that type rules are the same everywhere.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libchan_proto::{Event, Hello, Limits, Machine, Metadata, Output};

use super::any_chan::AnyChan;
use super::driver::Driver;
use super::leg::Leg;
use super::shared::Shared;
use crate::codec::AnyCodec;
use crate::link::{LinkInfo, LinkReader, LinkWriter};
use crate::sync::{Mutex, lock, spawn};

/// Makes `to` a remote receiver of `from`.
pub(crate) fn connect(from: Arc<dyn AnyChan>, to: Arc<dyn AnyChan>) {
    let capacity = from.capacity();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        // Without a runtime nothing can carry the messages: both sides see a lost link.
        from.end(true);
        to.end(true);
        return;
    };
    let (mut left, mut right) =
        (machine(libchan_proto::Role::Dialer), machine(libchan_proto::Role::Acceptor));
    exchange(&mut left, &mut right);
    let opened = left.open("", capacity, &Metadata::default());
    exchange(&mut left, &mut right);
    let accepted = std::iter::from_fn(|| right.poll_event()).find_map(|event| match event {
        Event::Opened(key) => Some(key),
        _ => None,
    });
    while left.poll_event().is_some() {}
    let (Ok(left_key), Some(right_key)) = (opened, accepted) else {
        from.end(true);
        to.end(true);
        return;
    };
    let _ = right.accept(right_key);
    let (near, far) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
    let _guard = runtime.enter();
    let left = side(left, &near, &far);
    let right = side(right, &far, &near);
    from.adopt_sink(Leg { session: left, key: left_key });
    to.adopt_source(Leg { session: right, key: right_key }, false);
}

/// A session whose peer is silent.
#[cfg(test)]
pub(crate) fn with_silent_peer() -> Arc<Shared> {
    let (mut left, mut right) =
        (machine(libchan_proto::Role::Dialer), machine(libchan_proto::Role::Acceptor));
    exchange(&mut left, &mut right);
    side(left, &Arc::new(Mutex::default()), &Arc::new(Mutex::default()))
}

fn machine(role: libchan_proto::Role) -> Machine {
    // Descriptors are moved as what they are, which the default allows.
    let limits = Limits::default();
    let codecs = vec![AnyCodec::msgpack().id().0];
    Machine::new(role, Hello { limits, codecs, features: 0, metadata: Metadata::default() }, Duration::ZERO)
}

/// Moves the hellos, so that both machines know each other before anything waits for them.
fn exchange(left: &mut Machine, right: &mut Machine) {
    for _ in 0..2 {
        carry(left, right);
        carry(right, left);
    }
}

fn carry(from: &mut Machine, to: &mut Machine) {
    let mut output = Output::default();
    from.take_output(&mut output);
    // Both machines are ours and new: neither can break a rule, and whole frames are all there is.
    let _ = to.handle_input(&output.bytes);
}

fn side(machine: Machine, read: &Arc<Mutex<Way>>, write: &Arc<Mutex<Way>>) -> Arc<Shared> {
    let info = LinkInfo::new("this process").passing_descriptors().secured();
    let established = machine.established().cloned();
    let writer = Box::new(Writer(write.clone()));
    let shared = Shared::new(machine, info, vec![AnyCodec::msgpack()], Duration::from_secs(5), writer);
    if let Some(established) = established {
        // One codec on both sides: they agree.
        let _ = shared.agree(&established);
    }
    shared.lock().handles = 0;
    spawn(Driver::new(shared.clone(), Box::new(Reader(read.clone()))));
    shared
}

/// Bytes and descriptors on their way from one side to the other.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    descriptors: VecDeque<OwnedFd>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What may be on its way at once, in bytes.
const WAY: usize = 256 * 1024;

struct Reader(Arc<Mutex<Way>>);

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.0);
        if way.bytes.is_empty() {
            if way.closed {
                return Poll::Ready(Ok(0));
            }
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        descriptors.append(&mut way.descriptors);
        let n = buf.len().min(way.bytes.len());
        for (to, from) in buf.iter_mut().zip(way.bytes.drain(..n)) {
            *to = from;
        }
        let writer = way.writer.take();
        drop(way);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok(n))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut way = lock(&self.0);
        way.closed = true;
        let writer = way.writer.take();
        drop(way);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

struct Writer(Arc<Mutex<Way>>);

impl Writer {
    fn write(
        &self,
        cx: Option<&Context<'_>>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> io::Result<usize> {
        let mut way = lock(&self.0);
        if way.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = WAY.saturating_sub(way.bytes.len());
        if room == 0 {
            way.writer = cx.map(|cx| cx.waker().clone());
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut written = 0;
        for buf in bufs {
            let n = buf.len().min(room - written);
            way.bytes.extend(&buf[..n]);
            written += n;
        }
        way.descriptors.append(descriptors);
        let reader = way.reader.take();
        drop(way);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(written)
    }
}

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        self.write(None, bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        match self.write(Some(cx), bufs, descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Writer {
    fn close(&self) {
        let mut way = lock(&self.0);
        way.closed = true;
        let reader = way.reader.take();
        drop(way);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}
