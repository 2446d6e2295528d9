//! What the operator changes on the way to the target and back. It comes last: whatever a header
//! said before, the operator wins.

use http::header::HOST;
use http::{HeaderMap, HeaderName, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::facts::Facts;
use super::untrusted_headers;
use crate::config::model::HeaderChanges;
use crate::forwarding_rule::Route;
use crate::refusal::Refusal;

/// The longest target that a head can have (http's `Uri`).
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// Changes the headers, the host and the path of a request to a target.
pub(super) fn of_request(
    route: &Route,
    facts: &Facts<'_>,
    request: &mut RequestHeader,
) -> Result<()> {
    let changes = &route.headers.request;
    for name in replaced(&request.headers, changes) {
        request.remove_header(&name);
    }
    for (name, value) in &changes.set {
        match facts.value(value) {
            Some(value) => request.insert_header(name, value)?,
            None => _ = request.remove_header(name),
        }
    }
    for (name, value) in &changes.add {
        if let Some(value) = facts.value(value) {
            request.append_header(name, value)?;
        }
    }
    if let Some(host) = &route.host {
        request.insert_header(HOST, host)?;
    }
    let path = route.path.as_ref();
    if let Some(target) = path.and_then(|path| path.of(request.raw_path())) {
        let rewritten = request.set_raw_path(&target);
        rewritten.map_err(|_| Refusal::TARGET_TOO_LONG)?;
    }
    Ok(())
}

/// Whether the target can be asked for the path that takes the place of the client's. Errors: it
/// would be too long.
pub(super) fn check_target(route: &Route, request: &RequestHeader) -> Result<(), Refusal> {
    let Some(path) = &route.path else {
        return Ok(());
    };
    // Octets that are no UTF-8 count as what stands for them there.
    let asked = request
        .uri
        .path_and_query()
        .map_or(0, |asked| asked.as_str().len());
    if asked + path.most_growth() <= LONGEST_TARGET {
        return Ok(());
    }
    let is_too_long = |target: Vec<u8>| String::from_utf8_lossy(&target).len() > LONGEST_TARGET;
    match path.of(request.raw_path()).is_some_and(is_too_long) {
        true => Err(Refusal::TARGET_TOO_LONG),
        false => Ok(()),
    }
}

/// What a target may take for a header that is removed or set, and that header itself.
pub(super) fn replaced(headers: &HeaderMap, changes: &HeaderChanges) -> Vec<HeaderName> {
    let is_replaced = |name: &&HeaderName| {
        let set = changes.set.iter().map(|(ours, _)| ours);
        let mut all = changes.remove.iter().chain(set);
        all.any(|ours| untrusted_headers::read_alike(ours.as_str(), name.as_str()))
    };
    headers.keys().filter(is_replaced).cloned().collect()
}

/// Changes the headers of a target's answer, but not of what precedes it (1xx).
pub(super) fn of_answer(
    route: &Route,
    facts: &Facts<'_>,
    answer: &mut ResponseHeader,
) -> Result<()> {
    let is_interim = answer.status.is_informational();
    if is_interim && answer.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let changes = &route.headers.response;
    for name in &changes.remove {
        answer.remove_header(name);
    }
    for (name, value) in &changes.set {
        match facts.value(value) {
            Some(value) => answer.insert_header(name, value)?,
            None => _ = answer.remove_header(name),
        }
    }
    for (name, value) in &changes.add {
        if let Some(value) = facts.value(value) {
            answer.append_header(name, value)?;
        }
    }
    Ok(())
}
