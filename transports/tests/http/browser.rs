//! What a browser can show: a cookie, which it sends with the page's origin, or a token in the hello.

use http::{HeaderName, HeaderValue};
use libchan::{Admission, Session, SessionOptions};
use libchan_transports::http::{HttpDialOptions, HttpListenOptions};
use libchan_transports::{
    Authorize, Candidate, DialError, DialOptions, ListenOptions, Listener, Refusal, dial_with, listen_with,
};

use crate::support::*;

const PAGE: &str = "https://app.example";

/// Knows its users by a cookie, and by a token where there is none.
struct Site;

#[async_trait::async_trait]
impl Authorize for Site {
    async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        let Some(cookies) = peer.headers().get("cookie") else { return Ok(None) };
        match cookies.to_str().unwrap_or_default().split("; ").find_map(|pair| pair.strip_prefix("session="))
        {
            Some("ann's") => Ok(Some("ann by cookie".into())),
            _ => Err(Refusal::unauthorized("log in first")),
        }
    }

    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        // The request can be seen again.
        assert!(peer.headers().contains_key("origin"));
        match peer.bearer() {
            Some("token-of-ann") => Ok("ann by token".into()),
            _ => Err(Refusal::unauthorized("log in first")),
        }
    }
}

/// A page at `origin` with these cookies, if it has some, and this token.
async fn page(
    listener: &Listener,
    origin: &'static str,
    cookies: &'static str,
    token: &str,
) -> Result<Session, DialError> {
    let mut http = HttpDialOptions::default();
    for (name, value) in [("origin", origin), ("cookie", cookies)] {
        if !value.is_empty() {
            http = http.header(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    let options = DialOptions::default().http(http).session(SessionOptions::new().bearer(token));
    let (dialing, accepting) = (dial_with(listener.url(), options), listener.accept());
    tokio::pin!(dialing, accepting);
    soon(async {
        tokio::select! {
            dialed = &mut dialing => dialed?,
            accepted = &mut accepting => {
                dialing.await?;
                return Ok(accepted.unwrap());
            }
        };
        Ok(accepting.await.unwrap())
    })
    .await
}

#[tokio::test]
async fn a_cookie_from_an_allowed_page_or_a_token_in_the_hello() {
    for url in BOTH {
        let options =
            ListenOptions::default().authorize(Site).http(HttpListenOptions::default().origin(PAGE));
        let listener = listen_with(url, options).await.unwrap();
        for (cookies, token, principal) in
            [("theme=dark; session=ann's", "nothing", "ann by cookie"), ("", "token-of-ann", "ann by token")]
        {
            let accepted = page(&listener, PAGE, cookies, token).await.unwrap();
            assert_eq!(accepted.principal(), Some(principal));
        }
        for (origin, cookies, token, status) in [
            // The right credential, which a browser sends from any page, from another page.
            ("https://evil.example", "session=ann's", "token-of-ann", 403),
            ("null", "session=ann's", "", 403),
            (PAGE, "session=bob's", "token-of-ann", 401),
            (PAGE, "", "token-of-bob", 401),
            (PAGE, "", "", 401),
        ] {
            let error = page(&listener, origin, cookies, token).await.unwrap_err();
            let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
            assert_eq!(refusal.status(), status, "{origin} {cookies} {token}: {error}");
        }
    }
}
