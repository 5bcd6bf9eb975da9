//! Two sessions that face each other in this process: how a channel changes its type by way of its encoding.
//!
//! The in-process transport moves values. Where the two sides name different types, or where an end is known here under
//! another type, the messages take this detour, so that type rules are the same everywhere.

use std::sync::Arc;
use std::time::Duration;

use libchan_proto::{Event, Hello, Limits, Machine, Metadata, Output};

use super::any_chan::AnyChan;
use super::driver::Driver;
use super::leg::Leg;
use super::shared::Shared;
use crate::codec::AnyCodec;
use crate::cut::Cause;
use crate::link::Link;
use crate::local_link::{LocalLink, link_pair};
use crate::sync::spawn;

/// Makes `to` a remote receiver of `from`.
pub(crate) fn connect(from: Arc<dyn AnyChan>, to: Arc<dyn AnyChan>) {
    let capacity = from.capacity();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        // Without a runtime nothing can carry the messages: both sides see a lost link.
        let why = "a channel that changes its type in this process needs a tokio runtime";
        from.end(Cause::disconnected(why));
        to.end(Cause::disconnected(why));
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
        let why = "two sessions in this process did not come about";
        from.end(Cause::disconnected(why));
        to.end(Cause::disconnected(why));
        return;
    };
    let _ = right.accept(right_key);
    let _guard = runtime.enter();
    let (near, far) = link_pair("this process");
    let left = side(left, near);
    let right = side(right, far);
    from.adopt_sink(Leg { session: left, key: left_key });
    to.adopt_source(Leg { session: right, key: right_key }, false);
}

/// A session whose peer is silent.
#[cfg(test)]
pub(crate) fn with_silent_peer() -> Arc<Shared> {
    let (mut left, mut right) =
        (machine(libchan_proto::Role::Dialer), machine(libchan_proto::Role::Acceptor));
    exchange(&mut left, &mut right);
    let (near, far) = link_pair("a silent peer");
    // Dropped, it would be no longer silent but gone.
    std::mem::forget(far);
    side(left, near)
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

fn side(machine: Machine, link: LocalLink) -> Arc<Shared> {
    let (info, established) = (link.info(), machine.established().cloned());
    let (reader, writer) = Box::new(link).split();
    let shared = Shared::new(machine, info, vec![AnyCodec::msgpack()], Duration::from_secs(5), writer);
    if let Some(established) = established {
        // One codec on both sides: they agree.
        let _ = shared.agree(&established);
    }
    shared.lock().handles = 0;
    spawn(Driver::new(shared.clone(), reader));
    shared
}
