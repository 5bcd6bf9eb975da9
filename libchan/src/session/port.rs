//! Ports: what stands in this process behind each entry of the protocol machine.

use std::sync::Arc;
use std::task::Waker;

use libchan_proto::Key;

use crate::attach::AnyChan;

/// What an entry of the machine belongs to, and who waits for it.
#[derive(Default)]
pub(super) enum Port {
    /// Nobody yet: an attachment that arrived and is not claimed, or a free slot.
    #[default]
    Open,
    Chan {
        chan: Arc<dyn AnyChan>,
        /// A lone receiver that waits: woken without passing the channel.
        parked: Option<Waker>,
        /// It was woken with data and has not come back yet.
        active: bool,
    },
    Stream {
        reader: Option<Waker>,
        writer: Option<Waker>,
    },
}

/// The ports of a session, by the machine's slots.
#[derive(Default)]
pub(super) struct Ports {
    list: Vec<Port>,
}

impl Ports {
    pub(super) fn set(&mut self, key: Key, port: Port) {
        let at = key.0 as usize;
        if self.list.len() <= at {
            self.list.resize_with(at + 1, Port::default);
        }
        self.list[at] = port;
    }

    /// The port of `key`; an open one where there is none.
    pub(super) fn get(&mut self, key: Key) -> &mut Port {
        let at = key.0 as usize;
        if self.list.len() <= at {
            self.list.resize_with(at + 1, Port::default);
        }
        &mut self.list[at]
    }

    pub(super) fn chan(&self, key: Key) -> Option<&Arc<dyn AnyChan>> {
        match self.list.get(key.0 as usize)? {
            Port::Chan { chan, .. } => Some(chan),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, key: Key) -> Port {
        self.list.get_mut(key.0 as usize).map(std::mem::take).unwrap_or_default()
    }

    /// Every key that something stands behind.
    pub(super) fn keys(&self) -> Vec<Key> {
        let taken = self.list.iter().enumerate().filter(|(_, port)| !matches!(port, Port::Open));
        taken.map(|(at, _)| Key(at as u32)).collect()
    }
}
