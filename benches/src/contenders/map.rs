//! The limit of many requests at once: numbered frames, one oneshot a call, a writer task and a reader task.

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use super::Caller;
use crate::net::{FrameReader, FrameWriter, Transport, framed_pair};
use crate::payload::Coding;

const QUEUE: usize = 256;

/// Calls that wait for their reply; the number of a call is its place.
struct Pending<M> {
    calls: Vec<Option<oneshot::Sender<M>>>,
    free: Vec<u32>,
}

impl<M> Pending<M> {
    fn insert(&mut self, call: oneshot::Sender<M>) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.calls[at as usize] = Some(call);
                at
            }
            None => {
                self.calls.push(Some(call));
                (self.calls.len() - 1) as u32
            }
        }
    }

    fn remove(&mut self, at: u32) -> Option<oneshot::Sender<M>> {
        let call = self.calls.get_mut(at as usize)?.take();
        self.free.push(at);
        call
    }
}

pub struct MapCaller<C: Coding> {
    pending: Arc<Mutex<Pending<C::Message>>>,
    outgoing: mpsc::Sender<(u32, C::Message)>,
    message: C::Message,
}

/// So many callers on one connection.
pub async fn callers<C: Coding>(transport: Transport, count: usize) -> Vec<MapCaller<C>> {
    let ((reader, writer), server) = framed_pair(transport).await;
    let pending = Arc::new(Mutex::new(Pending { calls: Vec::new(), free: Vec::new() }));
    let (outgoing, queue) = mpsc::channel(QUEUE);
    tokio::spawn(write::<C>(writer, queue));
    tokio::spawn(dispatch::<C>(reader, pending.clone()));
    tokio::spawn(serve::<C>(server.0, server.1));
    let caller = || MapCaller { pending: pending.clone(), outgoing: outgoing.clone(), message: C::small() };
    (0..count).map(|_| caller()).collect()
}

fn put<C: Coding>(writer: &mut FrameWriter, id: u32, message: &C::Message) {
    writer.put(|out| {
        out.extend_from_slice(&id.to_le_bytes());
        C::put(message, out);
    });
}

fn split(frame: &[u8]) -> (u32, &[u8]) {
    let (id, body) = frame.split_at(4);
    (u32::from_le_bytes(id.try_into().expect("four bytes")), body)
}

async fn write<C: Coding>(mut writer: FrameWriter, mut queue: mpsc::Receiver<(u32, C::Message)>) {
    let mut ready = Vec::with_capacity(QUEUE);
    while queue.recv_many(&mut ready, QUEUE).await > 0 {
        for (id, message) in ready.drain(..) {
            put::<C>(&mut writer, id, &message);
        }
        if !writer.flush().await {
            return;
        }
    }
}

async fn dispatch<C: Coding>(mut reader: FrameReader, pending: Arc<Mutex<Pending<C::Message>>>) {
    while let Some(frame) = reader.next().await {
        let (id, body) = split(frame);
        let message = C::get(body);
        let call = pending.lock().expect("unpoisoned").remove(id);
        if let Some(call) = call {
            let _ = call.send(message);
        }
    }
}

async fn serve<C: Coding>(mut reader: FrameReader, mut writer: FrameWriter) {
    while let Some(frame) = reader.next().await {
        let (id, body) = split(frame);
        let message = C::get(body);
        put::<C>(&mut writer, id, &message);
        if !reader.has_frame() && !writer.flush().await {
            return;
        }
    }
}

impl<C: Coding> Caller for MapCaller<C>
where
    C::Message: Sync,
{
    async fn call(&mut self) {
        let (call, reply) = oneshot::channel();
        let id = self.pending.lock().expect("unpoisoned").insert(call);
        assert!(self.outgoing.send((id, self.message.clone())).await.is_ok());
        std::hint::black_box(reply.await.expect("a reply"));
    }
}
