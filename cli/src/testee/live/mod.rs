//! Sessions over real links. Every request has a task; what it works on is looked up before the task begins, so that requests
//! take effect in the order in which they came.

mod channels;
mod errors;
mod held;
mod sessions;
mod streams;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::held::{Held, Table};
use super::{Fault, Replies, Reply};
use crate::json::{Fields, Json, json};

/// What a request does, once what it works on was found.
type Work = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Gives a request up that waits.
struct Waiting {
    give_up: oneshot::Sender<()>,
    /// Whether it was given up, and not answered before.
    outcome: oneshot::Receiver<bool>,
}

/// Those that wait, by number.
type Requests = HashMap<u64, Waiting>;

fn lock(requests: &Mutex<Requests>) -> MutexGuard<'_, Requests> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
pub(super) struct Live {
    table: Table,
    waiting: Arc<Mutex<Requests>>,
    tasks: JoinSet<()>,
}

impl Live {
    pub(super) fn answer(&mut self, verb: &str, request: Json, n: Json, replies: &Replies) {
        while self.tasks.try_join_next().is_some() {}
        let work = match self.work(verb, &request) {
            Ok(work) => work,
            Err(fault) => return replies.say(&n, &Err(fault)),
        };
        let number = n.as_u64().unwrap_or_default();
        let (give_up, given_up) = oneshot::channel();
        let (tell, outcome) = oneshot::channel();
        lock(&self.waiting).insert(number, Waiting { give_up, outcome });
        let (waiting, replies) = (self.waiting.clone(), replies.clone());
        self.tasks.spawn(async move {
            let reply = tokio::select! {
                biased;
                reply = work => Some(reply),
                Ok(()) = given_up => None,
            };
            lock(&waiting).remove(&number);
            let _ = tell.send(reply.is_none());
            let reply = reply.unwrap_or_else(|| Err(Fault::new("GIVEN_UP", "")));
            replies.say(&n, &reply);
        });
    }

    fn work(&self, verb: &str, request: &Json) -> Result<Work, Fault> {
        let table = &self.table;
        match verb {
            "listen" => sessions::listen(table, request),
            "accept" => sessions::accept(table, request),
            "dial" => sessions::dial(table, request),
            "open" => sessions::open(table, request),
            "incoming" => sessions::incoming(table, request),
            "refuse" => sessions::refuse(table, request),
            "leave" => sessions::leave(table, request),
            "drain" => sessions::drain(table, request),
            "going" => sessions::going(table, request),
            "abort" => sessions::abort(table, request),
            "pipe" => channels::pipe(table, request),
            "clone" => channels::clone(table, request),
            "send" => channels::send(table, request),
            "recv" => channels::recv(table, request),
            "close" => channels::close(table, request, false),
            "close_with" => channels::close(table, request, true),
            "copy" => channels::copy(table, request),
            "stream" => streams::stream(table),
            "fd" => streams::fd(table, request),
            "read" => streams::read(table, request),
            "write" => streams::write(table, request),
            "finish" => streams::finish(table, request),
            "drop" => drop_handle(table, request),
            "stats" => stats(table),
            "give_up" => Ok(self.give_up(request.number("request")?)),
            other => Err(Fault::new("UNKNOWN_VERB", other)),
        }
    }

    fn give_up(&self, request: u64) -> Work {
        let waiting = lock(&self.waiting).remove(&request);
        Box::pin(async move {
            let Some(Waiting { give_up, outcome }) = waiting else { return Ok(json!({"given_up": false})) };
            let _ = give_up.send(());
            Ok(json!({"given_up": outcome.await.unwrap_or(false)}))
        })
    }
}

/// A task for what has an effect and does not wait.
fn at_once(effect: impl FnOnce() -> Reply + Send + 'static) -> Result<Work, Fault> {
    Ok(Box::pin(async move { effect() }))
}

fn drop_handle(table: &Table, request: &Json) -> Result<Work, Fault> {
    for kind in ["session", "listener", "sender", "receiver", "stream", "fd"] {
        if !request.field(kind).is_null() {
            let held = table.take(request, kind)?;
            return at_once(move || {
                drop(held);
                Ok(json!({}))
            });
        }
    }
    Err("drop names no handle".to_owned().into())
}

fn stats(table: &Table) -> Result<Work, Fault> {
    let table = table.clone();
    at_once(move || {
        let (mut sessions, mut channels) = (0, 0);
        table.each(|held| {
            if let Held::Session(session) = held {
                sessions += 1;
                channels += session.open_channels();
            }
        });
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Ok(json!({
            "sessions": sessions,
            "channels": channels,
            "streams": null,
            "descriptors": std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            "tasks": tasks,
        }))
    })
}
