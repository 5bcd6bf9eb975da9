//! The libchan client.

use std::error::Error;

use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use libchan::{CallError, Receiver, Session, pipe};
use libchan_transports::http::HttpDialOptions;
use libchan_transports::{DialOptions, dial_with};

use crate::notes::{Add, Note, Watch};

/// A session with the server at `url`, as whoever the token belongs to.
pub(crate) async fn connect(url: &str, token: &str) -> Result<Session, Box<dyn Error + Send + Sync>> {
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
    let http = HttpDialOptions::default().header(AUTHORIZATION, bearer);
    Ok(dial_with(url, DialOptions::default().http(http)).await?)
}

/// Writes a note.
pub(crate) async fn add(session: &Session, text: &str) -> Result<Note, Box<dyn Error + Send + Sync>> {
    let adds = session.open("add")?;
    let added = adds.call(|done| Add { text: text.to_owned(), done }).await;
    Ok(added.map_err(CallError::without_request)?)
}

/// Every note from now on.
pub(crate) async fn watch(session: &Session) -> Result<Receiver<Note>, Box<dyn Error + Send + Sync>> {
    let (notes, news) = pipe();
    let watches = session.open("watch")?;
    watches.send(Watch { notes }).await.map_err(|error| error.to_string())?;
    Ok(news)
}
