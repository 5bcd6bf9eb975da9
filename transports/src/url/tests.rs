//! One table of URLs, good and bad.

use super::*;

#[cfg(feature = "tcp")]
fn tcp(url: &str) -> Result<TcpAddress, UrlError> {
    TcpAddress::parse(Address::parse(url)?.rest())
}

#[cfg(feature = "unix")]
fn unix(url: &str) -> Result<UnixAddress, UrlError> {
    UnixAddress::parse(Address::parse(url)?.rest())
}

#[test]
#[cfg(feature = "tcp")]
fn good_tcp_urls() {
    for (url, host, port, printed) in [
        ("tcp://localhost:7400", "localhost", 7400, "tcp://localhost:7400"),
        ("TCP://10.0.0.7:1", "10.0.0.7", 1, "tcp://10.0.0.7:1"),
        ("tcp://[::1]:7400", "::1", 7400, "tcp://[::1]:7400"),
        ("tcp://[::]:0", "::", 0, "tcp://[::]:0"),
        ("tcp://build_1.example:65535", "build_1.example", 65535, "tcp://build_1.example:65535"),
    ] {
        let address = tcp(url).unwrap();
        assert_eq!((address.host.as_str(), address.port), (host, port), "{url}");
        assert_eq!(address.to_string(), printed);
    }
}

#[test]
#[cfg(feature = "tcp")]
fn bad_tcp_urls() {
    let bad_host = |host: &str| UrlError::BadHost { host: host.into() };
    let bad_port = |port: &str| UrlError::BadPort { port: port.into() };
    for (url, error) in [
        ("tcp:localhost:7400", UrlError::NoSlashes),
        ("tcp:/localhost:7400", UrlError::NoSlashes),
        ("tcp://", UrlError::NoPort),
        ("tcp://localhost", UrlError::NoPort),
        ("tcp://localhost:", UrlError::NoPort),
        ("tcp://[::1]", UrlError::NoPort),
        ("tcp://[::1]7400", UrlError::NoPort),
        ("tcp://:7400", UrlError::NoHost),
        ("tcp://::1:7400", UrlError::BareIpv6),
        ("tcp://[::1:7400", bad_host("[::1:7400")),
        ("tcp://[localhost]:7400", bad_host("localhost")),
        ("tcp://[]:7400", bad_host("")),
        ("tcp://a b:7400", bad_host("a b")),
        ("tcp://localhost:+7400", bad_port("+7400")),
        ("tcp://localhost:65536", bad_port("65536")),
        ("tcp://localhost:http", bad_port("http")),
        ("tcp://localhost:7400/", UrlError::TcpPath { path: String::new() }),
        ("tcp://localhost:7400/jobs", UrlError::TcpPath { path: "jobs".into() }),
        ("tcp://user:pa55word@localhost:7400", UrlError::Secret),
        ("tcp://token@localhost:7400", UrlError::Secret),
        ("tcp://localhost:7400?token=pa55word", UrlError::Query),
        ("tcp://localhost:7400#pa55word", UrlError::Query),
        ("tcp://localhost:7400\n", UrlError::ControlCharacter),
    ] {
        let found = tcp(url).unwrap_err();
        assert_eq!(found, error, "{url}");
        assert!(!found.to_string().contains("pa55word"), "{found}");
    }
}

#[test]
#[cfg(all(feature = "http2", feature = "websocket"))]
fn http_urls() {
    let http = |url: &str| HttpAddress::parse(&Address::parse(url)?);
    for (url, printed) in [
        ("ws://localhost:7400", "ws://localhost:7400/libchan/v1"),
        ("h2c://localhost", "h2c://localhost:80/libchan/v1"),
        ("HTTP://[::1]", "http://[::1]:80/libchan/v1"),
        ("http://[::1]:7400/", "http://[::1]:7400/"),
        ("ws://build_1.example:1/api/chan", "ws://build_1.example:1/api/chan"),
    ] {
        assert_eq!(http(url).unwrap().to_string(), printed, "{url}");
    }
    let bad_path = |path: &str, wrong| UrlError::BadPath { path: path.into(), wrong };
    for (url, error) in [
        ("ws:localhost", UrlError::NoSlashes),
        ("ws://", UrlError::NoHost),
        ("ws:///path", UrlError::NoHost),
        ("ws://:1", UrlError::NoHost),
        ("ws://host:", UrlError::NoPort),
        ("ws://[::1]x", UrlError::NoPort),
        ("ws://::1/", UrlError::BareIpv6),
        ("ws://host:port/", UrlError::BadPort { port: "port".into() }),
        ("ws://host/a b", bad_path("/a b", ' ')),
        ("ws://host/a%20b", bad_path("/a%20b", '%')),
        ("ws://host/\u{e4}", bad_path("/\u{e4}", '\u{e4}')),
        ("ws://user@host/", UrlError::Secret),
        ("ws://host/?token=pa55word", UrlError::Query),
    ] {
        let found = http(url).unwrap_err();
        assert_eq!(found, error, "{url}");
        assert!(!found.to_string().contains("pa55word"), "{found}");
    }
}

#[test]
#[cfg(feature = "unix")]
fn unix_urls() {
    let path = |path: &str| Ok(UnixAddress::Path(path.into()));
    for (url, result) in [
        ("unix:///run/build.sock", path("/run/build.sock")),
        ("unix:/run/build.sock", path("/run/build.sock")),
        ("unix:relative/path.sock", path("relative/path.sock")),
        ("unix:./x.sock", path("./x.sock")),
        ("unix:///run/100%@home.sock", path("/run/100%@home.sock")),
        ("unix:@build", Ok(UnixAddress::Abstract("build".into()))),
        ("unix:", Err(UrlError::EmptyPath)),
        ("unix:/", Err(UrlError::EmptyPath)),
        ("unix://", Err(UrlError::EmptyPath)),
        ("unix:///", Err(UrlError::EmptyPath)),
        ("unix:@", Err(UrlError::EmptyPath)),
        ("unix://run/build.sock", Err(UrlError::UnixHost { path: "run/build.sock".into() })),
        ("unix:///run/a.sock?mode=600", Err(UrlError::Query)),
        ("unix:/run/\0.sock", Err(UrlError::ControlCharacter)),
    ] {
        assert_eq!(unix(url), result, "{url}");
    }
    for url in ["unix:///run/build.sock", "unix:relative/path.sock", "unix:@build"] {
        assert_eq!(unix(url).unwrap().to_string(), url);
    }
}

#[test]
fn schemes() {
    let parse = |url: &str| Address::parse(url).unwrap_err();
    for url in ["", "localhost", "/run/build.sock", ":7400", "[::1]:7400", "7400:tcp"] {
        assert_eq!(parse(url), UrlError::NoScheme, "{url}");
    }
    assert_eq!(parse("tpc://host:1"), UrlError::UnknownScheme { scheme: "tpc".into() });
    assert_eq!(
        parse("localhost:7400").to_string(),
        "unknown scheme `localhost`: the known ones are mem, unix, tcp, tls, h2c, http, https, ws, wss"
    );
    let missing = [
        ("tls", "tls", cfg!(feature = "_tls")),
        ("https", "http2 and tls", cfg!(all(feature = "_tls", feature = "http2"))),
        ("wss", "websocket and tls", cfg!(all(feature = "_tls", feature = "websocket"))),
    ];
    for (scheme, feature, _) in missing.into_iter().filter(|(_, _, built_in)| !built_in) {
        let error = parse(&format!("{scheme}://host"));
        assert_eq!(error, UrlError::NotBuiltIn { scheme: scheme.into(), feature });
        assert_eq!(
            error.to_string(),
            format!("`{scheme}` is not built in: enable {feature} among the features of libchan-transports")
        );
    }
}
