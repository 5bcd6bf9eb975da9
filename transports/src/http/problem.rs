//! Refusals before a session: `application/problem+json` (RFC 9457).

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};

use super::body::LibchanBody;
use super::server::Carriers;
use crate::authorize::Refusal;

/// The content type of a refusal.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal of our own, for what no hook has to decide.
pub(super) fn problem(status: StatusCode, detail: &str, carriers: Carriers) -> Response<LibchanBody> {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = Response::new(LibchanBody::whole(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static(carriers.methods()));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    response
}

/// What the hook's refusal looks like.
pub(super) fn refused(refusal: &Refusal, carriers: Carriers) -> Response<LibchanBody> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = problem(status, &refusal.reason, carriers);
    if let Some(after) = refusal.retry_after {
        // Rounded up: a client that comes too early is only refused again.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(Ok(challenge)) = refusal.challenge.as_deref().map(HeaderValue::from_str) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
