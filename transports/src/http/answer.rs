//! The client's view of an answer that is no session: from status, headers and body to an error.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};

use super::error::HttpError;
use super::problem::PROBLEM_JSON;

/// As much of a server's words is kept: they end up in error texts and logs.
const TEXT_LIMIT: usize = 300;

/// What an answer other than a session means.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> HttpError {
    let content_type = text(headers, &CONTENT_TYPE);
    let is_problem = content_type.as_deref().is_some_and(|kind| essence(kind) == PROBLEM_JSON);
    let reason = if is_problem { reason(body) } else { String::new() };
    match status.as_u16() {
        401 => HttpError::Unauthorized { reason },
        403 => HttpError::Forbidden { reason },
        404 => HttpError::NotFound,
        status @ (429 | 503) => HttpError::Busy { status, retry_after: retry_after(headers), reason },
        status @ 300..=399 => HttpError::Redirect { status, location: text(headers, &LOCATION) },
        status => HttpError::NotLibchan { status, content_type, reason },
    }
}

/// A content type without its parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(printable(&String::from_utf8_lossy(headers.get(name)?.as_bytes())))
}

/// `title: detail` of a problem report.
fn reason(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name| problem.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    match (member("title"), member("detail")) {
        (title, "") => printable(title),
        (_, detail) => printable(detail),
    }
}

fn printable(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?;
            Some(at.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn each_status_has_its_error() {
        let problem = headers(&[(CONTENT_TYPE, "application/problem+json; charset=utf-8")]);
        let body = br#"{"title":"no","detail":"bad token"}"#;
        let of =
            |status: u16, headers: &HeaderMap| refusal(StatusCode::from_u16(status).unwrap(), headers, body);
        let reason = || "bad token".to_owned();
        assert_eq!(of(401, &problem), HttpError::Unauthorized { reason: reason() });
        assert_eq!(of(403, &problem), HttpError::Forbidden { reason: reason() });
        assert_eq!(of(404, &problem), HttpError::NotFound);
        let busy = headers(&[(RETRY_AFTER, "7")]);
        let seven = Some(Duration::from_secs(7));
        assert_eq!(
            of(503, &busy),
            HttpError::Busy { status: 503, retry_after: seven, reason: String::new() }
        );
        let moved = headers(&[(LOCATION, "https://elsewhere/")]);
        let location = Some("https://elsewhere/".to_owned());
        assert_eq!(of(307, &moved), HttpError::Redirect { status: 307, location });
        let html = headers(&[(CONTENT_TYPE, "text/html")]);
        let content_type = Some("text/html".to_owned());
        assert_eq!(
            of(200, &html),
            HttpError::NotLibchan { status: 200, content_type, reason: String::new() }
        );
    }

    #[test]
    fn retry_after_may_be_a_date() {
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let after = retry_after(&headers(&[(RETRY_AFTER, &later)])).unwrap();
        assert!((90..=100).contains(&after.as_secs()), "{after:?}");
        let past = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, past)])), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "soon")])), None);
    }

    #[test]
    fn a_servers_words_are_bounded_and_printable() {
        let body = format!(r#"{{"title":"a\u001bb{}"}}"#, "x".repeat(1000));
        let said = reason(body.as_bytes());
        assert!(said.starts_with("a b") && said.chars().count() == TEXT_LIMIT);
    }
}
