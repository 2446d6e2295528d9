//! What is asked of etcd: a path of its gateway and the JSON for it.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::uri::Uri;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::Value;

use super::settings::Endpoint;

/// Has a member refuse at once what it cannot do without a leader; in time, a stream too.
const HAS_LEADER: HeaderName = HeaderName::from_static("grpc-metadata-hasleader");

/// What is asked of etcd.
pub(super) struct Question {
    path: &'static str,
    body: Bytes,
    /// Whether it is not to be repeated where it may have been done.
    pub(super) is_write: bool,
    /// How long an answer is waited for, where that is not what the settings say.
    pub(super) patience: Option<Duration>,
}

impl Question {
    /// One that may be repeated.
    pub(super) fn read(path: &'static str, body: &Value) -> Self {
        Question {
            path,
            body: body.to_string().into(),
            is_write: false,
            patience: None,
        }
    }

    /// One that must not be done twice.
    pub(super) fn write(path: &'static str, body: &Value) -> Self {
        Question {
            is_write: true,
            ..Question::read(path, body)
        }
    }

    /// The same for this endpoint, by whoever has this token.
    pub(super) fn request(
        &self,
        endpoint: &Endpoint,
        token: Option<HeaderValue>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(self.path);
        let headers = request.headers_mut();
        headers.insert(HOST, endpoint.authority.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HAS_LEADER, HeaderValue::from_static("true"));
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token);
        }
        request
    }
}
