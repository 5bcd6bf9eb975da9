//! Support for the contract suite: pairs of connected sessions over every transport, both runtimes, and patience
//! with an end.
//!
//! A case is an `async fn case(on: On)`; [`contract!`] makes a test of it for every transport and runtime, named like
//! `capacity::unix::multi::promise_02_capacity_travels_with_the_channel`. A case that hangs fails under its name.

mod help;
mod on;
mod plugin;
mod wire;

pub use help::{Blob, blob};
pub use help::{
    Probe, Rng, Scratch, cut, end, eventually, fail, get, left, pattern, poll_once, put, refused, soon,
    still_pending, tell, yields,
};
pub use libchan::codec::{Codec, CodecError, Placeholder};
pub use libchan::{
    AnyCodec, ByteStream, Call, CallError, CloseError, Closed, CodecId, CopyError, Cut, Fd, Link, LinkInfo,
    LinkReader, LinkWriter, Message, OpenError, OpenOptions, PendingSession, Raw, Receiver, RecvError,
    RemoteError, Role, SendError, SendFailure, Sender, Session, SessionError, SessionOptions, TryRecvError,
    TrySendError, copy, oneshot, pipe, pipe_with,
};
pub use libchan_proto::Limits;
pub use on::{Case, Flavor, On, Place, channel, run, run_paused, tls};
pub use plugin::JsonPlugin;
pub use wire::{Switch, Way, WireLink, wire};

/// Makes a test of every case for every transport and runtime.
#[macro_export]
macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        // The one line that switches the memory transport on and off.
        $crate::contract_on!(memory, Memory, [$($case),*]);
        $crate::contract_links!($($case),*);
    };
}

/// The same for the transports that have a link below them: what only a protocol can do wrong.
#[macro_export]
macro_rules! contract_links {
    ($($case:ident),* $(,)?) => {
        $crate::contract_on!(linked, Linked, [$($case),*]);
        $crate::contract_on!(unix, Unix, [$($case),*]);
        $crate::contract_on!(tcp, Tcp, [$($case),*]);
        $crate::contract_on!(tls, Tls, [$($case),*]);
        $crate::contract_on!(http2, Http2, [$($case),*]);
        $crate::contract_on!(websocket, WebSocket, [$($case),*]);
        $crate::contract_on!(wire, Wire, [$($case),*]);
    };
}

/// The same for the transports that have a URL, http over TLS among them: what a listener does.
#[macro_export]
macro_rules! contract_urls {
    ($($case:ident),* $(,)?) => {
        $crate::contract_on!(memory, Memory, [$($case),*]);
        $crate::contract_on!(unix, Unix, [$($case),*]);
        $crate::contract_on!(tcp, Tcp, [$($case),*]);
        $crate::contract_on!(tls, Tls, [$($case),*]);
        $crate::contract_on!(http2, Http2, [$($case),*]);
        $crate::contract_on!(websocket, WebSocket, [$($case),*]);
        $crate::contract_on!(https, Https, [$($case),*]);
        $crate::contract_on!(wss, Wss, [$($case),*]);
    };
}

/// [`contract!`], and http over TLS as well. Its parts are among the others, so it is for the cases that depend most on
/// how bytes leave, arrive and end: each transport adds half a minute to the suite.
#[macro_export]
macro_rules! contract_and_https {
    ($($case:ident),* $(,)?) => {
        $crate::contract!($($case),*);
        $crate::contract_on!(https, Https, [$($case),*]);
        $crate::contract_on!(wss, Wss, [$($case),*]);
    };
}

/// The tests of one transport.
#[macro_export]
macro_rules! contract_on {
    ($module:ident, $on:ident, [$($case:ident),*]) => {
        mod $module {
            mod current {
                $(#[test] fn $case() {
                    $crate::run($crate::Flavor::Current, || Box::pin(super::super::$case($crate::On::$on)));
                })*
            }
            mod multi {
                $(#[test] fn $case() {
                    $crate::run($crate::Flavor::Multi, || Box::pin(super::super::$case($crate::On::$on)));
                })*
            }
        }
    };
}

/// Makes tests of cases that need no session, for both runtimes.
#[macro_export]
macro_rules! in_process {
    ($($case:ident),* $(,)?) => {
        mod current { $(#[test] fn $case() { $crate::run($crate::Flavor::Current, || Box::pin(super::$case())); })* }
        mod multi { $(#[test] fn $case() { $crate::run($crate::Flavor::Multi, || Box::pin(super::$case())); })* }
    };
}
