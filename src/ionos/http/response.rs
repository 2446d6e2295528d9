//! What is answered, as HTTP has it.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::super::error::{ApiError, INVALID};
use super::super::handler::Answer;
use super::super::path::Resource;
use crate::control::Rejection;

/// The code of an error that is about credentials.
const UNAUTHORIZED: &str = "315";
/// What whoever has to say who they are may do it by.
const CHALLENGES: [&str; 2] = ["Bearer realm=\"culvert\"", "Basic realm=\"culvert\""];
/// When to try again. Python's SDK fails without it, and Go's where it is a date.
const SOON: &str = "1";

/// The answer to what was asked for at this path.
pub(super) fn of_answer(answer: &Answer, path: &str) -> Response {
    let mut response = with_body(answer.status, &answer.body);
    let tag = answer.tag.as_ref().map(|tag| format!("\"{tag}\""));
    set(&mut response, LOCATION, answer.location.as_deref());
    set(&mut response, ETAG, tag.as_deref());
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        set(&mut response, ALLOW, Some(methods(path)));
    }
    response
}

/// The answer to what cannot be done.
pub(super) fn of_error(error: &ApiError) -> Response {
    with_body(error.status, &error.body())
}

/// The answer to what is not heard.
pub(super) fn of_rejection(rejection: &Rejection) -> Response {
    let code = match rejection.status {
        StatusCode::UNAUTHORIZED => UNAUTHORIZED,
        _ => INVALID,
    };
    let status = rejection.status.as_u16();
    with_body(status, &ApiError::new(status, code, &*rejection.why).body())
}

fn with_body(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, Some("application/json"));
    if status == StatusCode::TOO_MANY_REQUESTS {
        set(&mut response, RETRY_AFTER, Some(SOON));
    }
    if status == StatusCode::UNAUTHORIZED {
        for challenge in CHALLENGES {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
    }
    response
}

/// Sets a header, where there is something to say that can be said in one.
fn set(response: &mut Response, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        response.headers_mut().insert(name, value);
    }
}

/// What can be done with what is at a path.
fn methods(path: &str) -> &'static str {
    match Resource::parse(path) {
        Some(Resource::Collection(kind, _)) if kind.is_written() => "GET, HEAD, POST",
        Some(Resource::One(kind, _)) if kind.is_written() => "GET, HEAD, PUT, PATCH, DELETE",
        Some(Resource::Collection(..) | Resource::One(..) | Resource::Status(_)) | None => {
            "GET, HEAD"
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    }

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            location: Some("http://a/cloudapi/v6/requests/r/status".into()),
            tag: Some("0a".into()),
            body: json!({}),
            revision: None,
        }
    }

    #[test]
    fn an_answer_has_its_location_and_its_tag_and_is_json() {
        let response = of_answer(&answer(202), "/targetgroups");
        assert_eq!(response.status(), 202);
        assert_eq!(header(&response, "etag"), Some("\"0a\""));
        let expected = "http://a/cloudapi/v6/requests/r/status";
        assert_eq!(header(&response, "location"), Some(expected));
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        assert_eq!(header(&response, "retry-after"), None);
    }

    #[test]
    fn what_is_refused_says_what_its_client_needs_to_go_on() {
        let refused = |status| of_rejection(&Rejection::new(status, "why"));
        let busy = refused(StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(&busy, "retry-after"), Some("1"));
        assert_eq!(
            header(&of_answer(&answer(429), "/"), "retry-after"),
            Some("1")
        );
        let unknown = refused(StatusCode::UNAUTHORIZED);
        let challenges = unknown.headers().get_all("www-authenticate");
        let schemes = challenges.iter().map(|one| one.to_str().unwrap());
        let schemes: Vec<_> = schemes.filter_map(|one| one.split(' ').next()).collect();
        assert_eq!(schemes, ["Bearer", "Basic"]);
        assert_eq!(header(&unknown, "content-type"), Some("application/json"));
        for (path, expected) in [
            ("/targetgroups", "GET, HEAD, POST"),
            ("/targetgroups/g", "GET, HEAD, PUT, PATCH, DELETE"),
            ("/requests", "GET, HEAD"),
            ("/requests/r/status", "GET, HEAD"),
            ("", "GET, HEAD"),
        ] {
            let response = of_answer(&answer(405), path);
            assert_eq!(header(&response, "allow"), Some(expected), "{path}");
        }
    }
}
