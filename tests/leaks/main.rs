//! Leaks and costs, counted: tasks by the runtime's metrics, descriptors by `/proc/self/fd`, allocations by the global
//! allocator. One test at a time: each counts for the whole process.

mod idle;
mod slow;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use libchan_tests::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::AsyncWriteExt;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

const MANY: usize = 10_000;

/// Ten thousand open channels: no task and no timer a channel, a bounded number of allocations an end.
async fn ten_thousand_channels(on: On) {
    let limits = Limits { max_channels: 65_536, ..Limits::default() };
    let options = || SessionOptions::new().limits(limits.clone());
    let (a, b) = on.pair_with(options(), options()).await;
    let (ship, shipped) = channel::<Sender<u32>>(&a, &b, 64).await;
    let (mut here, mut there) = (Vec::with_capacity(MANY), Vec::with_capacity(MANY));
    // One first, so that what is made once is there.
    let (sender, receiver) = pipe::<u32>();
    put(&ship, sender).await;
    let _first = (get(&shipped).await, receiver);
    let before = tasks();
    let region = Region::new(ALLOCATOR);
    for _ in 0..MANY {
        let (sender, receiver) = pipe::<u32>();
        ship.send(sender).await.unwrap();
        here.push(receiver);
        there.push(shipped.recv().await.unwrap().unwrap());
    }
    let opened = region.change();
    assert!(tasks() <= before, "a channel has a task");
    if on.encodes() {
        assert_eq!(a.open_channels(), MANY + 2);
    }
    let each = opened.allocations as f64 / MANY as f64;
    let kept = (opened.allocations - opened.deallocations) as f64 / MANY as f64;
    let bytes = (opened.bytes_allocated - opened.bytes_deallocated) as f64 / MANY as f64;
    println!(
        "{on:?}: {kept:.2} of {each:.2} allocations a channel kept, {bytes:.0} bytes, both sides together"
    );
    // One an end; six tables grow by a chunk every 64 channels.
    assert!(kept < 2.10, "{kept} allocations kept a channel");
    assert!(each < 12.0, "{each} allocations a channel");
    assert!(bytes < 500.0, "{bytes} bytes a channel");
    // They all work.
    for (number, (sender, receiver)) in there.iter().zip(&here).enumerate().step_by(97) {
        put(sender, number as u32).await;
        assert_eq!(get(receiver).await, number as u32);
    }
    drop((here, there));
    if on.encodes() {
        eventually(|| a.open_channels() == 2 && b.open_channels() == 2).await;
    }
    assert!(tasks() <= before);
}

/// Sessions, channels, streams and descriptors come and go; what they held comes back.
async fn rounds(on: On, abort: bool) {
    let start = (tasks(), descriptors());
    for round in 0..12 {
        let (a, b) = on.pair().await;
        let (ship, shipped) = channel::<(Sender<u32>, Receiver<u32>, ByteStream, Fd)>(&a, &b, 8).await;
        let (to_nobody, unread) = channel::<(Sender<u32>, Receiver<u32>, ByteStream, Fd)>(&a, &b, 8).await;
        let mut kept = Vec::new();
        for number in 0..8 {
            let (answer, answers) = pipe();
            let (feed, numbers) = pipe();
            let (mut here, stream) = ByteStream::pair();
            let (reader, writer) = std::io::pipe().unwrap();
            let to = if number % 3 == 2 { &to_nobody } else { &ship };
            put(to, (answer, numbers, stream, reader.into())).await;
            put(&feed, number).await;
            soon(here.write_all(b"some")).await.unwrap();
            // Some are taken and used, some are taken, some are never read.
            match number % 3 {
                0 => {
                    let (answer, numbers, stream, fd) = get(&shipped).await;
                    put(&answer, get(&numbers).await).await;
                    get(&answers).await;
                    kept.push((
                        Some((answer, numbers, stream, fd.into_stream().unwrap())),
                        answers,
                        feed,
                        here,
                        writer,
                    ));
                }
                1 => {
                    drop(get(&shipped).await);
                    kept.push((None, answers, feed, here, writer));
                }
                _ => kept.push((None, answers, feed, here, writer)),
            }
        }
        if abort {
            a.abort();
            assert!(soon(b.closed()).await.is_err());
        } else if round % 2 == 0 {
            drop(kept);
            drop((ship, shipped, to_nobody, unread));
            soon(a.close()).await.unwrap();
            soon(b.closed()).await.unwrap();
        }
    }
    // The runtime of the case before may still have had descriptors at the start.
    eventually(|| tasks() == start.0 && descriptors() <= start.1).await;
}

/// Nested channels one after the other leave nothing in memory.
async fn a_thousand_nested_channels_leave_no_memory(on: On) {
    let (a, b) = on.pair().await;
    let (ship, shipped) = channel::<(Sender<u32>, ByteStream)>(&a, &b, 4).await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        for number in 0..1_000 {
            let (answer, answers) = pipe();
            let (here, stream) = ByteStream::pair();
            put(&ship, (answer, stream)).await;
            let (answer, stream) = get(&shipped).await;
            put(&answer, number).await;
            assert_eq!(get(&answers).await, number);
            drop((answer, stream, here, answers));
        }
        if on.encodes() {
            eventually(|| a.open_channels() == 1 && b.open_channels() == 1).await;
        }
        let stats = ALLOCATOR.stats();
        kept.push(stats.bytes_allocated as i64 - stats.bytes_deallocated as i64);
    }
    let growth = kept[3] - kept[1];
    assert!(growth < 64 * 1024, "{growth} bytes more after two thousand channels: {kept:?}");
}

/// Idle, nothing wakes up: a session has one timer and its channels none. In paused time, the clock goes as far as the
/// session's own ticks take it, however many channels there are.
async fn channels_have_no_timers(_on: On) {
    let (left, right, _switch) = wire(5);
    let (a, b) = tokio::join!(
        Session::start(left, Role::Dialer, SessionOptions::new()),
        Session::start(right, Role::Acceptor, SessionOptions::new()),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    let mut open = Vec::new();
    for number in 0..200 {
        let sender = a.open::<u32>(&number.to_string()).unwrap();
        open.push((sender, b.accept().await.unwrap().unwrap().receive::<u32>()));
    }
    let region = Region::new(ALLOCATOR);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(region.change().allocations < 50, "{:?}", region.change());
    drop(open);
}

macro_rules! alone {
    ($($name:ident: $flavor:ident, $case:expr;)*) => {
        $(#[test] fn $name() { let _guard = alone(); run(Flavor::$flavor, || Box::pin($case)); })*
    };
}

alone! {
    ten_thousand_channels_over_unix: Current, ten_thousand_channels(On::Unix);
    ten_thousand_channels_over_tcp: Current, ten_thousand_channels(On::Tcp);
    ten_thousand_channels_in_memory: Current, ten_thousand_channels(On::Memory);
    a_thousand_idle_channels_by_name: Current, idle::by_name(On::Tcp, 1_000);
    a_thousand_idle_channels_in_messages: Current, idle::in_messages(On::Tcp, 1_000);
    ten_thousand_idle_channels_by_name: Current, idle::by_name(On::Tcp, 10_000);
    ten_thousand_idle_channels_in_messages: Current, idle::in_messages(On::Tcp, 10_000);
    a_hundred_idle_sessions: Current, idle::sessions_that_were_used(On::Tcp, 100);
    sessions_over_unix_leave_nothing: Current, rounds(On::Unix, false);
    sessions_over_tcp_leave_nothing: Current, rounds(On::Tcp, false);
    sessions_over_unix_leave_nothing_multi: Multi, rounds(On::Unix, false);
    sessions_over_tcp_leave_nothing_multi: Multi, rounds(On::Tcp, false);
    sessions_over_tls_leave_nothing: Current, rounds(On::Tls, false);
    sessions_over_tls_leave_nothing_multi: Multi, rounds(On::Tls, false);
    lost_sessions_over_tls_leave_nothing: Current, rounds(On::Tls, true);
    lost_sessions_over_tls_leave_nothing_multi: Multi, rounds(On::Tls, true);
    sessions_over_http2_leave_nothing: Current, rounds(On::Http2, false);
    sessions_over_websocket_leave_nothing: Current, rounds(On::WebSocket, false);
    sessions_over_https_leave_nothing: Current, rounds(On::Https, false);
    lost_sessions_over_http2_leave_nothing: Current, rounds(On::Http2, true);
    lost_sessions_over_websocket_leave_nothing: Current, rounds(On::WebSocket, true);
    lost_sessions_over_wss_leave_nothing_multi: Multi, rounds(On::Wss, true);
    lost_sessions_over_unix_leave_nothing: Current, rounds(On::Unix, true);
    lost_sessions_over_tcp_leave_nothing: Current, rounds(On::Tcp, true);
    lost_sessions_over_unix_leave_nothing_multi: Multi, rounds(On::Unix, true);
    lost_sessions_over_tcp_leave_nothing_multi: Multi, rounds(On::Tcp, true);
    nested_channels_leave_no_memory_unix: Current, a_thousand_nested_channels_leave_no_memory(On::Unix);
    nested_channels_leave_no_memory_tcp: Multi, a_thousand_nested_channels_leave_no_memory(On::Tcp);
}

#[test]
fn no_timers() {
    let _guard = alone();
    run_paused(|| Box::pin(channels_have_no_timers(On::Wire)));
}
