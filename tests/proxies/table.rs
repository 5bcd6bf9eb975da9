//! The table "proxy x carrier x authentication": measured here, and the one in `README.md` has to be the same.

use std::time::Duration;

use libchan_tests::*;
use libchan_transports::http::ContentType;
use libchan_transports::{DialError, DialOptions};

use crate::path::{ORIGIN, Path};
use crate::proxy::{Kind, Port};
use crate::talk;

/// What is measured, in the order of the columns behind proxy and carrier.
const COLUMNS: [&str; 10] = [
    "token in a header",
    "token in the hello",
    "cookie and Origin",
    "sub-request",
    "basic",
    "client certificate",
    "mTLS end to end",
    "gRPC content type",
    "silent, with pings",
    "silent, without",
];

/// Pings, and the proxy's timeout: so many of them span it three times.
const PING_AFTER: Duration = Duration::from_millis(400);
const PINGS: usize = 15;

/// After so long without a byte a proxy counts as one that cuts nobody; it is four times the timeout.
const SILENCE: Duration = Duration::from_secs(8);

/// Measures the rows of one proxy, writes them to the target directory, and compares them with those of the page.
pub(crate) async fn measured(kind: Kind) {
    let path = Path::new(kind).await;
    let mut rows = String::new();
    for scheme in ["https", "wss", "tls"] {
        if scheme == "tls" && !kind.has(Port::Pass) {
            continue;
        }
        let cells = row(&path, kind, scheme).await;
        rows += &format!("| {} | `{scheme}` | {} |\n", kind.name(), cells.join(" | "));
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("proxies-{}.md", kind.name()));
    std::fs::write(&file, head() + &rows).unwrap();
    let page = include_str!("README.md");
    let committed: String = page
        .lines()
        .filter(|line| line.starts_with(&format!("| {} |", kind.name())))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(rows, committed, "the table of tests/proxies/README.md differs from {}", file.display());
}

fn head() -> String {
    format!("| proxy | URL | {} |\n|---|---|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()))
}

/// The page shows the configurations that are tested, and the table's head.
pub(crate) fn page_is_right() {
    let page = include_str!("README.md");
    for kind in Kind::ALL {
        assert!(page.contains(&format!("```\n{}```\n", kind.template())), "{kind:?}: not the configuration");
    }
    assert!(page.contains(&head()), "not the table's head:\n{}", head());
}

async fn row(path: &Path, kind: Kind, scheme: &str) -> Vec<String> {
    let at = |port: Port, only_http: bool| kind.has(port) && (!only_http || scheme != "tls");
    let mut cells = vec!["".to_owned(); COLUMNS.len()];
    let bearer = |token: &str| path.options(&[("authorization", &format!("Bearer {token}"))]);
    if at(Port::Open, true) {
        cells[0] = proved(path, scheme, Port::Open, (bearer("good"), bearer("bad")), "header").await;
        let hello = |token: &str| path.options(&[]).session(SessionOptions::new().bearer(token));
        cells[1] = proved(path, scheme, Port::Open, (hello("good"), hello("bad")), "hello").await;
        let cookie = |value: &str, origin| path.options(&[("cookie", value), ("origin", origin)]);
        let (good, bad) = (cookie("session=good", ORIGIN), cookie("session=bad", ORIGIN));
        cells[2] = proved(path, scheme, Port::Open, (good, bad), "cookie").await;
        // The right cookie, which a browser would send from any page, and another page.
        let elsewhere = path.dial(scheme, Port::Open, cookie("session=good", "https://evil.example")).await;
        let status = elsewhere.map(drop).unwrap_err().refusal().map(|refusal| refusal.status());
        assert_eq!(status, Some(403), "{kind:?} {scheme}");
    }
    if at(Port::Subrequest, true) {
        let (good, bad) = (bearer("good"), bearer("bad"));
        cells[3] = proved(path, scheme, Port::Subrequest, (good, bad), "proxy: alice").await;
    }
    if at(Port::Basic, true) {
        // alice with secret, and with another password.
        let basic = |pair: &str| path.options(&[("authorization", &format!("Basic {pair}"))]);
        let pairs = (basic("YWxpY2U6c2VjcmV0"), basic("YWxpY2U6b3BlbmVk"));
        cells[4] = proved(path, scheme, Port::Basic, pairs, "proxy: alice").await;
    }
    if at(Port::Certificate, true) {
        let pair = (path.certified(), path.options(&[]));
        cells[5] = proved(path, scheme, Port::Certificate, pair, "CN=libchan development").await;
    }
    if at(Port::Pass, false) {
        let pair = (path.end_to_end(true), path.end_to_end(false));
        cells[6] = proved(path, scheme, Port::Pass, pair, "certificate").await;
    }
    if at(Port::Open, true) && scheme == "https" {
        let mut options = bearer("good");
        options.http = options.http.content_type(ContentType::Grpc);
        cells[7] = proved(path, scheme, Port::Open, (options, bearer("bad")), "header").await;
    }
    if at(Port::Short, true) {
        cells[8] = pinging(path, scheme, bearer("good")).await;
        cells[9] = silent(path, scheme, bearer("good")).await;
    }
    cells.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }).collect()
}

/// The good credential gives a session under this name that works and ends well, the bad one gives none.
async fn proved(
    path: &Path,
    scheme: &str,
    port: Port,
    (good, bad): (DialOptions, DialOptions),
    principal: &str,
) -> String {
    let (dialed, accepted) = match path.dial(scheme, port, good).await {
        Ok(met) => met,
        Err(error) => return format!("no: {error}"),
    };
    if !accepted.principal().is_some_and(|name| name.contains(principal)) {
        return format!("no: as {:?}", accepted.principal());
    }
    let carrier = if accepted.info().peer.starts_with("ws") { "wss" } else { "https" };
    talk(&dialed, &accepted).await;
    let (closed, seen) = soon(async { tokio::join!(dialed.close(), accepted.closed()) }).await;
    if (closed, seen) != (Ok(()), Ok(())) {
        return format!("no: a close over {carrier} is not clean");
    }
    match path.dial(scheme, port, bad).await {
        Ok((_, accepted)) => format!("no: anybody passes, as {:?}", accepted.principal()),
        Err(error) => match error.refusal() {
            Some(refusal) => format!("yes, {}", refusal.status()),
            None => format!("yes, {}", how(&error)),
        },
    }
}

/// The kind of refusal of a proxy that does not say 401 or 403.
fn how(error: &DialError) -> &'static str {
    match error {
        DialError::Tls { .. } => "TLS alert",
        DialError::NoCarrier { second, .. } => how(second),
        DialError::Http { .. } => "400",
        DialError::Session(_) => "cut",
        _ => "refused",
    }
}

/// A session that says nothing but pings, three times as long as the proxy waits.
async fn pinging(path: &Path, scheme: &str, options: DialOptions) -> String {
    let limits = Limits { ping_after: PING_AFTER, ..Limits::default() };
    let options = options.session(SessionOptions::new().limits(limits));
    let (dialed, accepted) = match path.dial(scheme, Port::Short, options).await {
        Ok(met) => met,
        Err(error) => return format!("no: {error}"),
    };
    let mut pongs = path.pongs.clone();
    let before = *pongs.borrow_and_update();
    let answered = async { pongs.wait_for(|count| count - before >= PINGS).await.is_ok() };
    tokio::select! {
        answered = soon(answered) => assert!(answered),
        ended = dialed.closed() => return format!("no: {ended:?}"),
    }
    talk(&dialed, &accepted).await;
    "lives".to_owned()
}

/// A session whose pings come too late: fifteen seconds is more than two.
async fn silent(path: &Path, scheme: &str, options: DialOptions) -> String {
    let (dialed, accepted) = match path.dial(scheme, Port::Short, options).await {
        Ok(met) => met,
        Err(error) => return format!("no: {error}"),
    };
    let (_sender, receiver) = channel::<u32>(&dialed, &accepted, 4).await;
    match tokio::time::timeout(SILENCE, receiver.recv()).await {
        Ok(Err(RecvError::Disconnected(_))) => {
            for session in [&dialed, &accepted] {
                let ended = soon(session.closed()).await;
                assert!(matches!(ended, Err(SessionError::Lost | SessionError::Link(_))), "{ended:?}");
            }
            "lost".to_owned()
        }
        Ok(other) => format!("no: {other:?}"),
        Err(_) => format!("lives for {} s", SILENCE.as_secs()),
    }
}
