//! The room: who is in it, and what is said there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libchan::{Receiver, RemoteError, Sender};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// What travels on the channel `join`: who comes, where everybody's lines go, and where this one's come from.
#[derive(Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) name: String,
    pub(crate) messages: Sender<Line>,
    pub(crate) says: Receiver<String>,
}

/// A line of the conversation; without an author it is the room's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) author: Option<String>,
    pub(crate) text: String,
}

/// The longest name and the longest line, in characters.
const MAX_NAME: usize = 24;
const MAX_LINE: usize = 2000;
/// Lines that may wait for somebody slow, who misses the older ones of more.
const BACKLOG: usize = 256;

pub(crate) struct Room {
    lines: broadcast::Sender<Line>,
    names: Mutex<BTreeMap<u64, String>>,
    next: AtomicU64,
}

impl Room {
    pub(crate) fn new() -> Arc<Self> {
        let lines = broadcast::Sender::new(BACKLOG);
        Arc::new(Self { lines, names: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Serves one who has come, until they leave or their link is lost.
    pub(crate) async fn serve(self: Arc<Self>, join: Join) {
        let Join { name, messages, says } = join;
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return messages
                .close_with(RemoteError::new(1, format!("a name has 1 to {MAX_NAME} characters")));
        }
        let lines = self.lines.subscribe();
        let _guest = Guest::enter(&self, name.clone());
        tokio::select! {
            () = tell(lines, &messages) => {}
            () = self.listen(&name, &says) => {}
            // The tab was closed, or its link was lost.
            _ = messages.closed() => {}
        }
    }

    async fn listen(&self, name: &str, says: &Receiver<String>) {
        loop {
            let text = match says.recv().await {
                Ok(Some(text)) => text,
                // A line that is no text: the next one is unharmed.
                Err(error) if !error.is_end() => continue,
                Ok(None) | Err(_) => return,
            };
            let text: String = text.trim().chars().take(MAX_LINE).collect();
            if !text.is_empty() {
                self.say(Some(name), text);
            }
        }
    }

    fn say(&self, author: Option<&str>, text: String) {
        // Nobody may be there.
        let _ = self.lines.send(Line { author: author.map(str::to_owned), text });
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends everybody's lines.
async fn tell(mut lines: broadcast::Receiver<Line>, messages: &Sender<Line>) {
    loop {
        match lines.recv().await {
            Ok(line) => {
                if messages.send(line).await.is_err() {
                    return;
                }
            }
            // Somebody slow misses some.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// One who is in the room until dropped.
struct Guest<'a> {
    room: &'a Room,
    number: u64,
}

impl<'a> Guest<'a> {
    fn enter(room: &'a Room, name: String) -> Self {
        let number = room.next.fetch_add(1, Ordering::Relaxed);
        let here = {
            let mut names = room.names();
            names.insert(number, name.clone());
            names.values().cloned().collect::<Vec<_>>().join(", ")
        };
        room.say(None, format!("{name} has come in. Here are: {here}"));
        Self { room, number }
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let name = self.room.names().remove(&self.number).unwrap_or_default();
        self.room.say(None, format!("{name} has left"));
    }
}
