//! Who may see the status page. It tells the names of clusters and topics, so it is as closed as the relay is.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use libchan::Admission;
use libchan_transports::{Authorize, Candidate, Refusal};

use crate::iris::relay::{RightsFile, Tokens};

/// The tokens and rights of the relay, and the names under which the page may be asked for.
#[derive(Clone)]
pub(in crate::iris) struct Access {
    pub(in crate::iris) tokens: Option<Arc<Tokens>>,
    pub(in crate::iris) rights: Option<Arc<RightsFile>>,
    pub(in crate::iris) hosts: Arc<[String]>,
}

impl Access {
    /// Whether a request may be answered.
    ///
    /// # Errors
    /// Why not, for whoever has sent it.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let named = credential(headers).map(|token| self.by_token(&token)).transpose()?;
        match (named, &self.tokens) {
            (None, Some(_)) => Err(unnamed()),
            (named, _) => self.may(named),
        }
    }

    /// Whether the request is for this server, and from a page of it if from any. A page elsewhere may give its own name our
    /// address; it cannot have the browser send another name.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn is_ours(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|digit| digit.is_ascii_digit()) { name } else { host }
        });
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let known = bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        if !known {
            return Err(Refusal::forbidden(format!(
                "this server is not {name:?}: --status-host says which names it has"
            )));
        }
        let own = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| from == host);
        match headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
            Some(origin) if !own(origin) => {
                Err(Refusal::forbidden("pages of other origins may not read this"))
            }
            _ => Ok(()),
        }
    }

    fn by_token(&self, token: &str) -> Result<Option<String>, Refusal> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        match tokens.owner(token) {
            Some(owner) => Ok(Some(owner.to_owned())),
            None => Err(unnamed()),
        }
    }

    fn may(&self, who: Option<Option<String>>) -> Result<(), Refusal> {
        let who = who.flatten();
        match &self.rights {
            Some(rights) if !rights.allows_status(who.as_deref()) => {
                Err(Refusal::forbidden("no line of the rights file lets you see the status"))
            }
            _ => Ok(()),
        }
    }
}

/// For the sessions of the page and of `libchan iris status`: as for requests, but a token may come with the hello.
#[async_trait]
impl Authorize for Access {
    async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        if credential(peer.headers()).is_none() && self.tokens.is_some() {
            return Ok(None);
        }
        self.check(peer.headers()).map(|()| Some("a viewer".into()))
    }

    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        let named = peer.bearer().map(|token| self.by_token(token)).ok_or_else(unnamed)??;
        self.may(Some(named)).map(|()| "a viewer".into())
    }
}

fn unnamed() -> Refusal {
    Refusal::unauthorized(
        "a token is wanted, as `Authorization: Bearer TOKEN` or as the password in a browser",
    )
    .challenge("Basic realm=\"iris\", charset=\"UTF-8\"")
}

/// The token of a request: a bearer token, or the password that a person gave to a browser.
fn credential(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // What cannot be read is a wrong token, not none.
    let pair = base64(rest.trim()).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    Some(pair.split_once(':').map(|(_, password)| password.to_owned()).unwrap_or_default())
}

/// Decodes base64 with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn base64_of_the_rfc() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64("Zm 9"), None);
    }

    #[test]
    fn tokens_as_bearer_and_as_password() {
        let of = |value| credential(&headers(&[(AUTHORIZATION, value)]));
        assert_eq!(of("Bearer sesame"), Some("sesame".to_owned()));
        assert_eq!(of("Basic YWxpY2U6c2VzYW1l"), Some("sesame".to_owned()));
        assert_eq!(of("Basic %"), Some(String::new()));
        assert_eq!(of("Digest x"), None);
    }

    #[test]
    fn names_of_others_and_pages_of_others_are_refused() {
        let access = Access { tokens: None, rights: None, hosts: Arc::from(["iris.example".to_owned()]) };
        for host in
            ["127.0.0.1:80", "[::1]:80", "localhost:80", "10.0.0.1", "IRIS.example:443", "iris.example"]
        {
            assert!(access.is_ours(&headers(&[(HOST, host)])).is_ok(), "{host}");
        }
        for host in ["evil.example:80", "", "localhost.evil.example"] {
            assert!(access.is_ours(&headers(&[(HOST, host)])).is_err(), "{host}");
        }
        let from = |origin| access.is_ours(&headers(&[(HOST, "127.0.0.1:80"), (ORIGIN, origin)]));
        assert!(from("http://127.0.0.1:80").is_ok());
        for origin in ["http://127.0.0.1:81", "null", "http://evil.example"] {
            assert!(from(origin).is_err(), "{origin}");
        }
    }
}
