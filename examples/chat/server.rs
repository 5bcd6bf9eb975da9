//! The server: the page, the modules of the JavaScript port, and the sessions, at one port.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Path as UrlPath;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{any_service, get};
use libchan::Session;
use libchan_transports::http::{HttpListenOptions, service};
use libchan_transports::{ListenOptions, Listener};
use tokio::net::TcpListener;

use crate::room::{Join, Room};

/// What the browser gets, from this checkout: a real program has it beside its binary.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/chat/page");
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ports/javascript/src");

/// Serves until it is dropped.
pub(crate) async fn serve(socket: TcpListener) -> std::io::Result<()> {
    let address = socket.local_addr()?;
    // Only our own page may connect: a browser says whose page it is that asks.
    let http = HttpListenOptions::default()
        .origin(format!("http://{address}"))
        .origin(format!("http://localhost:{}", address.port()));
    let options = ListenOptions::default().http(http);
    let (libchan, listener) = service(format!("http://{address}/chat"), options);
    let app = Router::new()
        .route("/", get(|| file(PAGE, "index.html".to_owned())))
        .route("/{*path}", get(|UrlPath(path): UrlPath<String>| file(PAGE, path)))
        .route("/libchan/{*path}", get(|UrlPath(path): UrlPath<String>| file(MODULES, path)))
        .route("/chat", any_service(libchan));
    tokio::select! {
        served = axum::serve(socket, app).into_future() => served,
        () = accept(listener, Room::new()) => Ok(()),
    }
}

/// A file below a folder.
async fn file(folder: &str, path: String) -> Response {
    let Some(path) = below(folder, &path) else { return StatusCode::NOT_FOUND.into_response() };
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match tokio::fs::read(path).await {
        Ok(bytes) => ([(CONTENT_TYPE, kind)], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `None`: it would lead out of the folder.
fn below(folder: &str, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    plain.then(|| Path::new(folder).join(path))
}

async fn accept(listener: Listener, room: Arc<Room>) {
    loop {
        match listener.accept().await {
            Ok(session) => drop(tokio::spawn(serve_session(session, room.clone()))),
            Err(error) => return eprintln!("chat: {error}"),
        }
    }
}

async fn serve_session(session: Session, room: Arc<Room>) {
    while let Ok(Some(incoming)) = session.accept().await {
        if incoming.name() != "join" {
            let text = format!("no channel {:?} here, only \"join\"", incoming.name());
            incoming.refuse(text);
            continue;
        }
        let joins = incoming.receive::<Join>();
        let room = room.clone();
        tokio::spawn(async move {
            loop {
                match joins.recv().await {
                    Ok(Some(join)) => drop(tokio::spawn(room.clone().serve(join))),
                    Err(error) if !error.is_end() => eprintln!("chat: {error}"),
                    Ok(None) | Err(_) => return,
                }
            }
        });
    }
}
