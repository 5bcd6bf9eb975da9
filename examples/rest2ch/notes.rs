//! What the server does, whoever asks and over whatever: notes, and who may read and write them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use libchan::{Sender, oneshot};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// What somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) author: String,
    pub(crate) text: String,
}

/// What travels on the channel `add`: a text, and where the note goes that is made of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) text: String,
    pub(crate) done: oneshot::Sender<Note>,
}

/// What travels on the channel `watch`: where every further note goes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(crate) notes: Sender<Note>,
}

/// The notes so far, and whoever waits for the next one.
pub(crate) struct Notes {
    kept: Mutex<Vec<Note>>,
    news: broadcast::Sender<Note>,
}

impl Notes {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), news: broadcast::Sender::new(64) }
    }

    pub(crate) fn add(&self, author: String, text: String) -> Note {
        let note = Note { author, text };
        self.kept().push(note.clone());
        // Nobody may be watching.
        let _ = self.news.send(note.clone());
        note
    }

    pub(crate) fn list(&self) -> Vec<Note> {
        self.kept().clone()
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<Note> {
        self.news.subscribe()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Note>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokens and whose they are. A real program asks its database here.
const TOKENS: [(&str, &str); 2] = [("token-of-alice", "alice"), ("token-of-bob", "bob")];

/// Who sent a request: the one place that knows, for REST and for libchan.
pub(crate) fn user(headers: &HeaderMap) -> Result<String, &'static str> {
    let value = headers.get(AUTHORIZATION).ok_or("a bearer token is missing")?;
    let token =
        value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).ok_or("no bearer token")?;
    let known = TOKENS.iter().find(|(known, _)| *known == token).ok_or("nobody has this token")?;
    Ok(known.1.to_owned())
}
