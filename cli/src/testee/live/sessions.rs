//! Sessions: listening, dialing, named channels, the end.

use std::time::Duration;

use libchan::{Limits, OpenOptions, SessionError, SessionOptions};
use libchan_transports::tls::{Fingerprint, TlsClientOptions, TlsServer, TlsServerOptions, TlsSource};
use libchan_transports::{DialOptions, ListenOptions, dial_with, listen_with};

use super::super::frames::{limits_from_json, over, pairs};
use super::super::{Fault, values};
use super::held::{Held, Table};
use super::{Work, at_once, errors};
use crate::json::{Fields, Json, json};

/// The capacity of a channel for which none is stated.
const CAPACITY: usize = 64;

pub(super) fn capacity(request: &Json) -> Result<usize, String> {
    if request.field("capacity").is_null() { Ok(CAPACITY) } else { request.small("capacity") }
}

fn session_options(request: &Json) -> Result<SessionOptions, Fault> {
    let limits = limits_from_json(request.field("hello"), Limits::default())?;
    let mut options = SessionOptions::new().limits(limits);
    for (key, value) in request.metadata("metadata")? {
        options = options.metadata(key, value);
    }
    let names = request.list("codecs")?;
    if !names.is_empty() {
        let codec = |name: &Json| values::codec(name.as_str().unwrap_or_default());
        options = options.codecs(names.iter().map(codec).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(options)
}

pub(super) fn listen(table: &Table, request: &Json) -> Result<Work, Fault> {
    let mut options = ListenOptions::default().session(session_options(request)?);
    let tls = request.field("tls");
    if !tls.is_null() {
        let source = |name| tls.text(name).map(TlsSource::file);
        let server = TlsServer::new(TlsServerOptions::new(source("cert")?, source("key")?));
        options = options.tls(server.map_err(|error| Fault::new("IO", error))?);
    }
    let (table, url) = (table.clone(), request.text("url")?.to_owned());
    Ok(Box::pin(async move {
        let listener = listen_with(&url, options).await.map_err(errors::listen)?;
        let url = listener.url().to_owned();
        Ok(json!({"listener": table.put(Held::Listener(listener.into())), "url": url}))
    }))
}

pub(super) fn accept(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (table, listener) = (table.clone(), table.listener(request)?);
    Ok(Box::pin(async move {
        let session = listener.accept().await.map_err(|error| Fault::new("IO", error))?;
        let metadata = pairs(session.peer_metadata());
        Ok(json!({"session": table.put(Held::Session(session)), "metadata": metadata}))
    }))
}

pub(super) fn dial(table: &Table, request: &Json) -> Result<Work, Fault> {
    let mut options = DialOptions::default().session(session_options(request)?);
    let pin = request.field("tls").text("pin")?;
    if !pin.is_empty() {
        let pin: Fingerprint = pin.parse().map_err(|error| Fault::new("BAD_REQUEST", error))?;
        options = options.tls(TlsClientOptions::new().pin(pin));
    }
    let (table, url) = (table.clone(), request.text("url")?.to_owned());
    Ok(Box::pin(async move {
        let session = dial_with(&url, options).await.map_err(errors::dial)?;
        let metadata = pairs(session.peer_metadata());
        Ok(json!({"session": table.put(Held::Session(session)), "metadata": metadata}))
    }))
}

pub(super) fn open(table: &Table, request: &Json) -> Result<Work, Fault> {
    let mut options = OpenOptions::new().capacity(capacity(request)?);
    for (key, value) in request.metadata("metadata")? {
        options = options.metadata(key, value);
    }
    let (table, session) = (table.clone(), table.session(request)?);
    let name = request.text("name")?.to_owned();
    at_once(move || {
        let sender = session.open_with(&name, options).map_err(errors::open)?;
        Ok(json!({"sender": table.put(Held::Sender(sender))}))
    })
}

pub(super) fn incoming(table: &Table, request: &Json) -> Result<Work, Fault> {
    let (table, session) = (table.clone(), table.session(request)?);
    Ok(Box::pin(async move {
        Ok(match session.accept().await {
            Ok(Some(incoming)) => {
                let (name, metadata) = (incoming.name().to_owned(), pairs(incoming.metadata()));
                let receiver = table.put(Held::Incoming(incoming));
                json!({"name": name, "metadata": metadata, "receiver": receiver})
            }
            Ok(None) => json!({"over": over(&SessionError::Closed)}),
            Err(why) => json!({"over": over(&why)}),
        })
    }))
}

pub(super) fn refuse(table: &Table, request: &Json) -> Result<Work, Fault> {
    let reason = super::channels::remote_error(request)?;
    let held = table.take(request, "receiver")?;
    at_once(move || {
        match held {
            Held::Incoming(incoming) => incoming.refuse(reason),
            _ => return Err(Fault::new("NO_SUCH_HANDLE", "the channel was accepted already")),
        }
        Ok(json!({}))
    })
}

pub(super) fn leave(table: &Table, request: &Json) -> Result<Work, Fault> {
    let Held::Session(session) = table.take(request, "session")? else {
        return Err(Fault::new("NO_SUCH_HANDLE", "session"));
    };
    Ok(Box::pin(async move {
        session.close().await.map_err(|why| errors::close(&why))?;
        Ok(json!({}))
    }))
}

pub(super) fn drain(table: &Table, request: &Json) -> Result<Work, Fault> {
    let within = Duration::from_millis(request.number("within")?);
    let Held::Session(session) = table.take(request, "session")? else {
        return Err(Fault::new("NO_SUCH_HANDLE", "session"));
    };
    Ok(Box::pin(async move {
        session.drain(within).await.map_err(|why| errors::close(&why))?;
        Ok(json!({}))
    }))
}

pub(super) fn going(table: &Table, request: &Json) -> Result<Work, Fault> {
    let session = table.session(request)?;
    Ok(Box::pin(async move {
        session.going().await;
        Ok(json!({}))
    }))
}

pub(super) fn abort(table: &Table, request: &Json) -> Result<Work, Fault> {
    let held = table.take(request, "session")?;
    at_once(move || {
        if let Held::Session(session) = held {
            session.abort();
        }
        Ok(json!({}))
    })
}
