//! The limit of anything that is a channel: a bounded queue before the socket and one behind it. The writer collects
//! what is ready and writes it together.

use tokio::sync::mpsc;

use super::{Caller, Drain, Feed};
use crate::net::{Framed, Transport, framed_pair};
use crate::payload::Coding;

/// One side of a connection.
pub struct Queues<C: Coding> {
    sender: mpsc::Sender<C::Message>,
    receiver: mpsc::Receiver<C::Message>,
}

fn start<C: Coding>((mut reader, mut writer): Framed, capacity: usize) -> Queues<C> {
    let (sender, mut outgoing) = mpsc::channel::<C::Message>(capacity);
    tokio::spawn(async move {
        let mut ready = Vec::with_capacity(capacity);
        while outgoing.recv_many(&mut ready, capacity).await > 0 {
            for message in ready.drain(..) {
                writer.put(|out| C::put(&message, out));
            }
            if !writer.flush().await {
                return;
            }
        }
    });
    let (incoming, receiver) = mpsc::channel(capacity);
    tokio::spawn(async move {
        while let Some(frame) = reader.next().await {
            let message = C::get(frame);
            if incoming.send(message).await.is_err() {
                return;
            }
        }
    });
    Queues { sender, receiver }
}

pub struct QueuedCaller<C: Coding> {
    queues: Queues<C>,
    message: Option<C::Message>,
}

pub async fn caller<C: Coding>(transport: Transport, capacity: usize) -> QueuedCaller<C> {
    let (client, server) = framed_pair(transport).await;
    let mut server = start::<C>(server, capacity);
    tokio::spawn(async move {
        while let Some(message) = server.receiver.recv().await {
            if server.sender.send(message).await.is_err() {
                return;
            }
        }
    });
    QueuedCaller { queues: start(client, capacity), message: Some(C::small()) }
}

impl<C: Coding> Caller for QueuedCaller<C>
where
    C::Message: Sync,
{
    async fn call(&mut self) {
        let message = self.message.take().expect("the last reply");
        assert!(self.queues.sender.send(message).await.is_ok());
        self.message = self.queues.receiver.recv().await;
    }
}

pub struct QueuedFeed<C: Coding> {
    queues: Queues<C>,
    message: C::Message,
}

pub struct QueuedDrain<C: Coding>(Queues<C>);

pub async fn stream<C: Coding>(transport: Transport, capacity: usize) -> (QueuedFeed<C>, QueuedDrain<C>) {
    let (client, server) = framed_pair(transport).await;
    let feed = QueuedFeed { queues: start(client, capacity), message: C::small() };
    (feed, QueuedDrain(start(server, capacity)))
}

impl<C: Coding> Feed for QueuedFeed<C>
where
    C::Message: Sync,
{
    async fn send(&mut self) {
        assert!(self.queues.sender.send(self.message.clone()).await.is_ok());
    }
}

impl<C: Coding> Drain for QueuedDrain<C> {
    async fn recv(&mut self) {
        std::hint::black_box(self.0.receiver.recv().await.expect("a message"));
    }
}
