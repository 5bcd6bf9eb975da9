//! Channels in one process: libchan's `pipe` and what a user would take instead. All by one macro, because they
//! differ in names only.

use super::{Caller, Drain, Feed, Opener};
use crate::payload::Item;

/// The capacity of the channels that are idle.
const IDLE_SLOTS: usize = 16;

macro_rules! channel {
    ($module:ident, $sender:ty, $receiver:ty, |$capacity:ident| $make:expr, $send:ident, |$from:ident| $recv:expr) => {
        pub mod $module {
            use super::*;

            pub struct End {
                sender: $sender,
                message: Item,
            }

            pub struct Inbox($receiver);

            pub struct Pair {
                requests: End,
                replies: Inbox,
            }

            impl Inbox {
                async fn next(&mut self) -> Option<Item> {
                    let $from = &mut self.0;
                    $recv
                }
            }

            fn make($capacity: usize) -> (End, Inbox) {
                let (sender, receiver) = $make;
                (End { sender, message: Item::small() }, Inbox(receiver))
            }

            pub async fn caller(capacity: usize) -> Pair {
                let (requests, mut inbox) = make(capacity);
                let (outbox, replies) = make(capacity);
                tokio::spawn(async move {
                    while let Some(item) = inbox.next().await {
                        if outbox.sender.$send(item).await.is_err() {
                            return;
                        }
                    }
                });
                Pair { requests, replies }
            }

            impl Caller for Pair {
                async fn call(&mut self) {
                    self.requests.send().await;
                    std::hint::black_box(self.replies.next().await.expect("a reply"));
                }
            }

            pub async fn stream(capacity: usize) -> (End, Inbox) {
                make(capacity)
            }

            /// Channels that are kept.
            pub struct Kept(Vec<(End, Inbox)>);

            pub async fn idle(room: usize) -> Kept {
                Kept(Vec::with_capacity(room + 1))
            }

            impl Opener for Kept {
                async fn open(&mut self, count: usize) {
                    for _ in 0..count {
                        let (mut end, mut inbox) = make(IDLE_SLOTS);
                        end.send().await;
                        inbox.recv().await;
                        self.0.push((end, inbox));
                    }
                }
            }

            impl Feed for End {
                async fn send(&mut self) {
                    assert!(self.sender.$send(self.message.clone()).await.is_ok());
                }
            }

            impl Drain for Inbox {
                async fn recv(&mut self) {
                    std::hint::black_box(self.next().await.expect("an item"));
                }
            }
        }
    };
}

channel!(
    pipe,
    libchan::Sender<Item>,
    libchan::Receiver<Item>,
    |capacity| libchan::pipe_with(capacity),
    send,
    |from| from.recv().await.expect("no error in process")
);
// No capacity 0: 1 instead.
channel!(
    tokio_mpsc,
    tokio::sync::mpsc::Sender<Item>,
    tokio::sync::mpsc::Receiver<Item>,
    |capacity| tokio::sync::mpsc::channel(capacity.max(1)),
    send,
    |from| from.recv().await
);
channel!(
    flume,
    ::flume::Sender<Item>,
    ::flume::Receiver<Item>,
    |capacity| ::flume::bounded(capacity),
    send_async,
    |from| from.recv_async().await.ok()
);
channel!(
    kanal,
    ::kanal::AsyncSender<Item>,
    ::kanal::AsyncReceiver<Item>,
    |capacity| ::kanal::bounded_async(capacity),
    send,
    |from| from.recv().await.ok()
);
// No capacity 0: 1 instead.
channel!(
    async_channel,
    ::async_channel::Sender<Item>,
    ::async_channel::Receiver<Item>,
    |capacity| ::async_channel::bounded(capacity.max(1)),
    send,
    |from| from.recv().await.ok()
);
