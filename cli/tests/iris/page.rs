//! The status page: fetched by hand, by `libchan iris status` and by a browser; names that would be markup; who may see it.

use std::process::Stdio;
use std::time::Duration;

use libchan_iris::{Body, Connection, Limits, Service};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::relay::Echo;
use crate::support::{Program, file, iris, iris_with, told};

const TCP: &str = "tcp://127.0.0.1:0";
const EVIL: &str = "</script><img src=x onerror=\"document.title='evil'\">\"} 1\n\u{1b}[31m";

/// A relay with a status page; gives its URL and that of the page.
async fn relay(options: &[&str]) -> (Program, String, String) {
    let all = [&["--no-draft2", "--listen", TCP, "--status", "127.0.0.1:0"], options].concat();
    let mut relay = Program::relay(&all);
    let (url, page) = (relay.listens().await, relay.says("status on ").await);
    (relay, url, page)
}

/// The status line with the headers, and the body.
async fn get(page: &str, path: &str, headers: &str) -> (String, String) {
    let address = page.strip_prefix("http://").unwrap().trim_end_matches('/');
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    ask(address, &format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n")).await
}

async fn ask(address: &str, request: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    (head.to_owned(), body.to_owned())
}

/// The snapshot that stands in the page.
fn embedded(page: &str) -> Json {
    let (_, rest) = page.split_once("<script id=\"snapshot\" type=\"application/json\">").unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn page_json_metrics_and_health() {
    let (_relay, url, page) = relay(&[]).await;
    let _echo = Service::register(&url, "echo", Echo, Limits::new().requests(7)).await.unwrap();
    let client = Connection::connect(&url).await.unwrap();
    let _news = client.subscribe("news").await.unwrap();
    client.publish_raw("news", Body::bytes("12345")).await.unwrap();
    let _: String = client.request("echo", "hello", Duration::from_secs(10)).await.unwrap();

    let (head, body) = get(&page, "/", "").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    for header in
        ["content-type: text/html; charset=utf-8", "content-security-policy: default-src 'none'", "no-store"]
    {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    assert!(embedded(&body)["relay"]["clients"].is_u64());
    let (head, body) = get(&page, "/status.json", "").await;
    assert!(head.contains("content-type: application/json") && head.contains("nosniff"), "{head}");
    let status: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(status["relay"]["requests"], 1);
    assert_eq!(status["relay"]["answered"], 1);
    assert_eq!(status["clusters"][0]["name"], "echo");
    assert_eq!(status["clusters"][0]["slots"], 7);
    assert_eq!(status["topics"][0]["name"], "news");
    let (head, body) = get(&page, "/metrics", "").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for line in [
        "# TYPE iris_requests_total counter",
        "iris_requests_total 1",
        "iris_requests_ended_total{outcome=\"answered\"} 1",
        "iris_cluster_slots{cluster=\"echo\"} 7",
        "iris_topic_bytes_total{topic=\"news\"} 5",
    ] {
        assert!(body.lines().any(|has| has == line), "{line} is not in {body}");
    }
    assert_eq!(get(&page, "/healthz", "").await.1, "ok\n");
    let (head, script) = get(&page, "/libchan/index.js", "").await;
    assert!(head.contains("text/javascript") && script.contains("export"), "{head}");
    for path in ["/libchan/../page.js", "/libchan/node/index.js", "/etc/passwd", "/status.json/"] {
        assert!(get(&page, path, "").await.0.starts_with("HTTP/1.1 404"), "{path}");
    }
    let address = page.strip_prefix("http://").unwrap().trim_end_matches('/');
    let (head, _) =
        ask(address, &format!("POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 405") && head.contains("allow: GET, HEAD"), "{head}");
}

/// The names of the metrics stand in one table, and nothing else does.
#[tokio::test]
async fn the_readme_has_every_metric() {
    let (_relay, url, page) = relay(&[]).await;
    let _echo = Service::register(&url, "echo", Echo, Limits::default()).await.unwrap();
    let readme = include_str!("../../../patterns/iris/README.md");
    let (_, metrics) = get(&page, "/metrics", "").await;
    let names: Vec<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in &names {
        assert!(readme.contains(&format!("| `{name}")), "{name} is not in the README");
    }
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `iris_")?.split(['`', '{']).next());
    for row in rows {
        assert!(names.contains(&format!("iris_{row}").as_str()), "there is no iris_{row}");
    }
}

#[tokio::test]
async fn a_name_cannot_become_markup_or_a_metric() {
    let (_relay, url, page) = relay(&[]).await;
    let _evil = Service::register(&url, EVIL, Echo, Limits::default()).await.unwrap();
    let client = Connection::connect(&url).await.unwrap();
    let _news = client.subscribe(EVIL).await.unwrap();
    let (_, body) = get(&page, "/", "").await;
    assert_eq!(embedded(&body)["clusters"][0]["name"], EVIL);
    assert!(!body.contains("<img"), "{body}");
    let (_, body) = get(&page, "/status.json", "").await;
    assert!(!body.contains('<'), "{body}");
    assert_eq!(serde_json::from_str::<Json>(&body).unwrap()["topics"][0]["name"], EVIL);
    let (_, body) = get(&page, "/metrics", "").await;
    let label =
        r#"iris_cluster_members{cluster="</script><img src=x onerror=\"document.title='evil'\">\"} 1\n"#;
    assert!(body.lines().any(|line| line.starts_with(label) && line.ends_with("\"} 1")), "{body}");
    let (code, out, err) = told(&iris(&["status", &page]).await);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains(r#"onerror="document.title='evil'">"} 1\n\x1b[31m"#) && !out.contains('\u{1b}'),
        "{out}"
    );
}

#[tokio::test]
async fn only_who_may_sees_it() {
    let tokens = file("page-tokens", "ops sesame\nshop other\n");
    let rights = file("page-rights", "ops status\n* * *\n");
    let (_relay, _, page) = relay(&["--tokens", &tokens, "--rights", &rights]).await;
    for path in ["/", "/status.json", "/metrics", "/page.js"] {
        let (head, body) = get(&page, path, "").await;
        assert!(
            head.starts_with("HTTP/1.1 401") && head.contains("www-authenticate: Basic"),
            "{path}: {head}"
        );
        assert!(!body.contains("clients"), "{body}");
        let wrong = get(&page, path, "Authorization: Bearer wrong\r\n").await;
        assert!(wrong.0.starts_with("HTTP/1.1 401"), "{path}: {}", wrong.0);
        let other = get(&page, path, "Authorization: Bearer other\r\n").await;
        assert!(other.0.starts_with("HTTP/1.1 403"), "{path}: {}", other.0);
        let bearer = get(&page, path, "Authorization: Bearer sesame\r\n").await;
        assert!(bearer.0.starts_with("HTTP/1.1 200"), "{path}: {}", bearer.0);
        // x:sesame
        let basic = get(&page, path, "Authorization: Basic eDpzZXNhbWU=\r\n").await;
        assert!(basic.0.starts_with("HTTP/1.1 200"), "{path}: {}", basic.0);
    }
    assert!(get(&page, "/healthz", "").await.0.starts_with("HTTP/1.1 200"));
    for (token, expected) in [(None, 7), (Some("wrong"), 7), (Some("other"), 7), (Some("sesame"), 0)] {
        let (code, out, err) = told(&iris_with(&["status", &page, "--json"], b"", token).await);
        assert_eq!(code, expected, "{token:?}: {err}");
        assert_eq!(out.contains("uptime_ms"), code == 0, "{out}");
    }
    // A live session of a page: as requests, by the header.
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   Sec-WebSocket-Protocol: libchan.v1\r\nAuthorization: Bearer other\r\n";
    let address = page.strip_prefix("http://").unwrap().trim_end_matches('/');
    let request = format!("GET /live HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n{upgrade}\r\n");
    let (head, _) = ask(address, &request.replace("Connection: Upgrade", "Connection: Upgrade, close")).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
}

#[tokio::test]
async fn other_names_and_other_pages_are_refused() {
    let (_relay, _, page) = relay(&["--status-host", "iris.example"]).await;
    for headers in ["Host: evil.example\r\n", "Origin: http://evil.example\r\n", "Origin: null\r\n"] {
        let (head, body) = get(&page, "/status.json", headers).await;
        assert!(head.starts_with("HTTP/1.1 403") && !body.contains("clients"), "{headers}: {head}");
        let (head, _) = get(&page, "/live", headers).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{headers}: {head}");
    }
    assert!(get(&page, "/status.json", "Host: iris.example\r\n").await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn status_on_the_command_line() {
    let (relay, url, page) = relay(&[]).await;
    let _echo = Service::register(&url, "echo", Echo, Limits::new().requests(7)).await.unwrap();
    let (code, out, err) = told(&iris(&["status", &page, "--json"]).await);
    assert_eq!(code, 0, "{err}");
    assert_eq!(serde_json::from_str::<Json>(&out).unwrap()["relay"]["members"], 1);
    let mut watch = Program::start(env!("CARGO_BIN_EXE_libchan"), &["iris", "status", &page, "--watch"]);
    assert_eq!(watch.says("members  ").await.trim(), "1");
    assert_eq!(watch.says("       1        7        0        0  ").await, "echo");
    relay.signal(rustix::process::Signal::TERM);
    let (_, _, log) = relay.ended().await;
    assert!(log.contains("serving the status page"), "{log}");
    // It hears that the relay is gone.
    let (status, _, err) = watch.ended().await;
    assert_eq!(status.code(), Some(6), "{err}");

    for (arguments, code, why) in [
        (vec!["status", "tcp://127.0.0.1:1"], 2, "is no page"),
        (vec!["status", "http://127.0.0.1:1/"], 1, "connection refused"),
        (vec!["relay", "--dev", "--port", "0", "--status", "nowhere"], 1, "--status nowhere"),
        (vec!["relay", "--dev", "--port", "0", "--status-host", "x"], 2, "--status <ADDRESS>"),
    ] {
        let (got, _, err) = told(&iris(&arguments).await);
        assert_eq!((got, err.contains(why)), (code, true), "{arguments:?}: {err}");
    }
}

/// A phone looks at a busy relay. The pictures that it takes stay in the target folder.
#[tokio::test]
#[ignore = "needs chromium, node"]
async fn a_phone_sees_it_live() {
    let (_relay, url, page) = relay(&[]).await;
    let mut services = Vec::new();
    for (cluster, slots) in [("billing", 4), ("billing", 4), ("thumbnails", 16), (EVIL, 2)] {
        services.push(Service::register(&url, cluster, Echo, Limits::new().requests(slots)).await.unwrap());
    }
    let hang = Service::builder("reports").on_request(|(): ()| std::future::pending::<Result<(), _>>());
    let hang =
        hang.register(Connection::connect(&url).await.unwrap(), Limits::new().requests(3)).await.unwrap();
    let client = Connection::connect(&url).await.unwrap();
    let mut topics = Vec::new();
    for topic in ["prices.tea", "prices.coffee", "audit"] {
        topics.push(client.subscribe(topic).await.unwrap());
    }
    for _ in 0..9 {
        let client = client.clone();
        tokio::spawn(async move { client.request::<_, ()>("reports", &(), Duration::from_secs(300)).await });
    }
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            for _ in 0..7 {
                client.request::<_, String>("billing", "x", Duration::from_secs(60)).await.unwrap();
            }
            client.publish_raw("prices.tea", Body::bytes("3.20")).await.unwrap();
            drop(
                client
                    .request_raw("nobody", Body::bytes("x"), Duration::from_secs(1), libchan_iris::Wait::No)
                    .await,
            );
        }
    });
    let port = concat!(env!("CARGO_MANIFEST_DIR"), "/../ports/javascript");
    let picture = concat!(env!("CARGO_TARGET_TMPDIR"), "/iris-status");
    let mut driver = Command::new("node");
    driver.arg(format!("{port}/test/browser/status.js")).arg(&page).arg(picture);
    let running = driver.stdin(Stdio::null()).kill_on_drop(true).status();
    let status = tokio::time::timeout(Duration::from_secs(120), running).await.expect("hangs").unwrap();
    assert!(status.success(), "the browser's side failed: see above");
    println!("the pictures are at {picture}-light.png and -dark.png");
    drop((services, hang, topics));
}
