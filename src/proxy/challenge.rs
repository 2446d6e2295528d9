//! Challenges of ACME (RFC 8555 section 8.3): answered on plain HTTP, before any HTTP rule.

use bytes::Bytes;
use pingora::http::RequestHeader;

use crate::acme::MARK;
use crate::forwarding_rule::ForwardingRule;
use crate::rules::Request;

/// The answer to a request for a token that is known.
pub(super) fn answer(rule: &ForwardingRule, request: &Request<'_>) -> Option<Bytes> {
    let is_asked = rule.tls.is_none() && matches!(request.method(), "GET" | "HEAD");
    is_asked.then(|| rule.challenges.answer(request.path()))?
}

/// Looks elsewhere for the token that a request with this head may ask for, so that it is known
/// when that is decided upon.
pub(super) async fn seek(rule: &ForwardingRule, head: &RequestHeader) {
    if rule.tls.is_none() {
        let is_peer = head.headers.contains_key(MARK);
        let path = head.raw_path().split(|byte| *byte == b'?').next();
        rule.challenges
            .seek(path.unwrap_or_default(), is_peer)
            .await;
    }
}
