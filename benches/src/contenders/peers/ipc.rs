//! ipc-channel: typed channels that are socketpairs of the kernel, with blocking calls. So it takes part with two
//! threads only, one an end. Its channels are unbounded; a stream is held back by the socket's buffer alone.

use std::thread;

use ipc_channel::ipc::{IpcReceiver, IpcSender, channel};
use serde::{Deserialize, Serialize};

use crate::case::{Sample, Stopwatch, warm_up};
use crate::payload::Item;

/// Runs the measured side on a thread of its own and waits for it.
async fn on_thread(run: impl FnOnce() -> Sample + Send + 'static) -> Sample {
    tokio::task::spawn_blocking(run).await.expect("comes to its end")
}

fn timed(operations: u64, mut operation: impl FnMut()) -> Sample {
    for _ in 0..warm_up(operations).max(1) {
        operation();
    }
    let watch = Stopwatch::start();
    for _ in 0..operations {
        operation();
    }
    watch.stop(operations)
}

pub async fn pingpong(operations: u64) -> Sample {
    let (requests, inbox) = channel::<Item>().expect("opens");
    let (outbox, replies) = channel::<Item>().expect("opens");
    let echo = thread::spawn(move || {
        while let Ok(item) = inbox.recv() {
            if outbox.send(item).is_err() {
                return;
            }
        }
    });
    let sample = on_thread(move || {
        timed(operations, || {
            requests.send(Item::small()).expect("sends");
            std::hint::black_box(replies.recv().expect("a reply"));
        })
    });
    let sample = sample.await;
    echo.join().expect("the echo ends");
    sample
}

#[derive(Serialize, Deserialize)]
struct Job {
    item: Item,
    reply: IpcSender<Item>,
}

pub async fn nested(operations: u64) -> Sample {
    let (jobs, inbox) = channel::<Job>().expect("opens");
    let worker = thread::spawn(move || {
        while let Ok(Job { item, reply }) = inbox.recv() {
            if reply.send(item).is_err() {
                return;
            }
        }
    });
    let sample = on_thread(move || {
        timed(operations, || {
            let (reply, outcome) = channel().expect("opens");
            jobs.send(Job { item: Item::small(), reply }).expect("sends");
            std::hint::black_box(outcome.recv().expect("a reply"));
        })
    });
    let sample = sample.await;
    worker.join().expect("the worker ends");
    sample
}

pub async fn stream(operations: u64, message: Item) -> Sample {
    let (sender, receiver): (IpcSender<Item>, IpcReceiver<Item>) = channel().expect("opens");
    let feed = thread::spawn(move || {
        for _ in 0..warm_up(operations).max(1) + operations {
            if sender.send(message.clone()).is_err() {
                return;
            }
        }
    });
    let sample = on_thread(move || {
        timed(operations, || drop(std::hint::black_box(receiver.recv().expect("an item"))))
    });
    let sample = sample.await;
    feed.join().expect("the feed ends");
    sample
}
