//! Ports: what stands in this process behind each entry of the protocol machine.

use std::sync::Arc;
use std::task::Waker;

use libchan_proto::{Key, Table};

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
    list: Table<(u32, Port)>,
    /// What is found behind a key that is no longer in use.
    nobody: Port,
}

impl Ports {
    pub(super) fn set(&mut self, key: Key, port: Port) {
        let at = key.slot as usize;
        self.list.grow(at + 1, Default::default);
        if let Some(place) = self.list.get_mut(at) {
            *place = (key.serial, port);
        }
    }

    /// The port of `key`; an open one where there is none.
    pub(super) fn get(&mut self, key: Key) -> &mut Port {
        match self.list.get_mut(key.slot as usize) {
            Some((serial, port)) if *serial == key.serial => port,
            _ => {
                self.nobody = Port::Open;
                &mut self.nobody
            }
        }
    }

    pub(super) fn chan(&self, key: Key) -> Option<&Arc<dyn AnyChan>> {
        match self.list.get(key.slot as usize)? {
            (serial, Port::Chan { chan, .. }) if *serial == key.serial => Some(chan),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, key: Key) -> Port {
        std::mem::take(self.get(key))
    }

    /// Every key that something stands behind.
    pub(super) fn keys(&self) -> Vec<Key> {
        let taken = self.list.iter().enumerate().filter(|(_, (_, port))| !matches!(port, Port::Open));
        taken.map(|(at, (serial, _))| Key { slot: at as u32, serial: *serial }).collect()
    }
}
