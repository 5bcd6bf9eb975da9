//! The server: REST and libchan at one port, over the same notes and the same tokens.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any_service, get};
use axum::{Extension, Json, Router};
use libchan::{Receiver, Session};
use libchan_transports::http::service;
use libchan_transports::{Candidate, ListenOptions, Listener, Refusal};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::notes::{Add, Note, Notes, Watch, user};

/// Serves both until it is dropped.
pub(crate) async fn serve(socket: TcpListener) -> std::io::Result<()> {
    let notes = Arc::new(Notes::new());
    let url = format!("http://{}/libchan/v1", socket.local_addr()?);
    let options = ListenOptions::default()
        .authorize(|candidate: &Candidate<'_>| user(candidate.headers()).map_err(Refusal::unauthorized));
    // A tower service: axum mounts it like any other.
    let (libchan, listener) = service(url, options);
    let app = Router::new()
        .route("/notes", get(list).post(add))
        .layer(from_fn(only_known_users))
        .route("/libchan/v1", any_service(libchan))
        .with_state(notes.clone());
    tokio::select! {
        served = axum::serve(socket, app).into_future() => served,
        () = accept(listener, notes) => Ok(()),
    }
}

// ---- REST

async fn only_known_users(mut request: Request, next: Next) -> Response {
    match user(request.headers()) {
        Ok(user) => {
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        Err(reason) => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], reason).into_response(),
    }
}

async fn list(State(notes): State<Arc<Notes>>) -> Json<Vec<Note>> {
    Json(notes.list())
}

async fn add(
    State(notes): State<Arc<Notes>>,
    Extension(user): Extension<String>,
    text: String,
) -> Json<Note> {
    Json(notes.add(user, text))
}

// ---- libchan

async fn accept(listener: Listener, notes: Arc<Notes>) {
    loop {
        match listener.accept().await {
            Ok(session) => drop(tokio::spawn(serve_session(session, notes.clone()))),
            Err(error) => return eprintln!("rest2ch: {error}"),
        }
    }
}

async fn serve_session(session: Session, notes: Arc<Notes>) {
    // Set by the authorize hook, so it is always there.
    let user = session.principal().unwrap_or_default().to_owned();
    while let Ok(Some(incoming)) = session.accept().await {
        let (user, notes) = (user.clone(), notes.clone());
        match incoming.name() {
            "add" => {
                let adds = incoming.receive::<Add>();
                tokio::spawn(async move {
                    while let Some(add) = next(&adds).await {
                        // Whoever does not wait for the answer has written all the same.
                        let _ = add.done.send(notes.add(user.clone(), add.text));
                    }
                });
            }
            "watch" => {
                let watches = incoming.receive::<Watch>();
                tokio::spawn(async move {
                    while let Some(watch) = next(&watches).await {
                        tokio::spawn(tell(watch, notes.clone()));
                    }
                });
            }
            name => {
                let text = format!("no channel {name:?} here");
                incoming.refuse(text);
            }
        }
    }
}

/// The next message. One that does not decode is told to its sender, and the next is unharmed.
async fn next<T>(messages: &Receiver<T>) -> Option<T> {
    loop {
        match messages.recv().await {
            Err(error) if !error.is_end() => eprintln!("rest2ch: {error}"),
            message => return message.unwrap_or_default(),
        }
    }
}

/// Sends every further note, until the other side does not listen any more.
async fn tell(watch: Watch, notes: Arc<Notes>) {
    let mut news = notes.watch();
    loop {
        tokio::select! {
            _ = watch.notes.closed() => return,
            note = news.recv() => match note {
                Ok(note) => {
                    if watch.notes.send(note).await.is_err() {
                        return;
                    }
                }
                // A slow watcher misses some.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}
