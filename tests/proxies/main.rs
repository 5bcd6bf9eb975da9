//! Sessions through the proxies that people run. `tests/setup-peers.sh` installs them; then
//! `cargo test -p libchan-tests --test proxies -- --ignored`

mod path;
mod proxy;
mod table;

use std::future::Future;
use std::time::Duration;

use libchan_tests::*;
use path::Path;
use proxy::Kind;

/// Messages cross in channels that either side opened.
async fn talk(a: &Session, b: &Session) {
    for (from, to) in [(a, b), (b, a)] {
        let (sender, receiver) = channel::<Blob>(from, to, 4).await;
        for seed in 0..8 {
            put(&sender, blob(50_000, seed)).await;
            assert!(get(&receiver).await == blob(50_000, seed));
        }
    }
}

/// A graceful reload leaves the session alone, and the next one begins as before.
async fn reloads(kind: Kind, scheme: &str) {
    let mut path = Path::new(kind).await;
    let (dialed, accepted) = path.meet(scheme).await;
    talk(&dialed, &accepted).await;
    path.proxy.reload().await;
    talk(&dialed, &accepted).await;
    let (again, there) = path.meet(scheme).await;
    talk(&again, &there).await;
    talk(&dialed, &accepted).await;
}

/// A proxy that ends WebSockets when it reloads: the session is lost, not half alive, and the next one begins as before.
async fn ends_at_a_reload(kind: Kind, scheme: &str) {
    let mut path = Path::new(kind).await;
    let (dialed, accepted) = path.meet(scheme).await;
    talk(&dialed, &accepted).await;
    path.proxy.reload().await;
    for session in [&dialed, &accepted] {
        let ended = soon(session.closed()).await;
        assert!(matches!(ended, Err(SessionError::Lost | SessionError::Link(_))), "{ended:?}");
    }
    let (dialed, accepted) = path.meet(scheme).await;
    talk(&dialed, &accepted).await;
}

/// A killed proxy is a lost session on both sides, and a new dial works once it is back.
async fn dies(kind: Kind) {
    let mut path = Path::new(kind).await;
    for scheme in ["https", "wss"] {
        let (dialed, accepted) = path.meet(scheme).await;
        let (sender, receiver) = channel::<u32>(&dialed, &accepted, 4).await;
        put(&sender, 1).await;
        assert_eq!(get(&receiver).await, 1);
        path.proxy.kill();
        assert!(matches!(fail(&receiver).await, RecvError::Disconnected(_)));
        for session in [&dialed, &accepted] {
            let ended = soon(session.closed()).await;
            assert!(matches!(ended, Err(SessionError::Lost | SessionError::Link(_))), "{ended:?}");
        }
        path.proxy.restart().await;
        let (dialed, accepted) = path.meet(scheme).await;
        talk(&dialed, &accepted).await;
    }
}

/// Runs a case that takes longer than the others: a minute and a half at the most.
fn run_long(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), case).await }).expect("hangs");
}

macro_rules! measured {
    ($($name:ident, $reason:literal: $kind:ident;)*) => {
        $(
            #[test]
            #[ignore = $reason]
            fn $name() {
                run_long(table::measured(Kind::$kind));
            }
        )*
    };
}

measured! {
    nginx_measured, "needs nginx": Nginx;
    haproxy_measured, "needs haproxy": HaProxy;
    caddy_measured, "needs caddy": Caddy;
    apache_measured, "needs apache2": Apache;
}

macro_rules! proxies {
    ($($name:ident, $reason:literal: $case:expr;)*) => {
        $(
            #[test]
            #[ignore = $reason]
            fn $name() {
                run(Flavor::Multi, || Box::pin($case));
            }
        )*
    };
}

proxies! {
    nginx_reloads_under_http2, "needs nginx": reloads(Kind::Nginx, "https");
    nginx_reloads_under_websocket, "needs nginx": reloads(Kind::Nginx, "wss");
    nginx_dies, "needs nginx": dies(Kind::Nginx);
    haproxy_reloads_under_http2, "needs haproxy": reloads(Kind::HaProxy, "https");
    haproxy_reloads_under_websocket, "needs haproxy": reloads(Kind::HaProxy, "wss");
    haproxy_dies, "needs haproxy": dies(Kind::HaProxy);
    caddy_reloads_under_http2, "needs caddy": reloads(Kind::Caddy, "https");
    caddy_ends_a_websocket_at_a_reload, "needs caddy": ends_at_a_reload(Kind::Caddy, "wss");
    caddy_dies, "needs caddy": dies(Kind::Caddy);
    apache_reloads_under_http2, "needs apache2": reloads(Kind::Apache, "https");
    apache_reloads_under_websocket, "needs apache2": reloads(Kind::Apache, "wss");
    apache_dies, "needs apache2": dies(Kind::Apache);
}

#[test]
fn the_page_shows_what_is_tested() {
    table::page_is_right();
}
