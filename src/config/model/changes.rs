//! What a `FORWARD` rule changes on the way: headers of requests and answers, the host and the
//! path.

use http::{HeaderName, HeaderValue};

use crate::config::template::Template;

/// `headers` and `rewrite`
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// `headers`
    pub headers: Headers,
    /// `rewrite`
    pub rewrite: Rewrite,
}

/// `headers`
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// `request`: of requests to targets, WebSocket handshakes among them. Default: nothing.
    pub request: HeaderChanges,
    /// `response`: of targets' answers, 101s among them. Default: nothing.
    pub response: HeaderChanges,
}

/// `headers.request` or `headers.response`. No name is in both `remove` and `set`; the changes are
/// made in this order.
#[derive(Debug, Clone, Default)]
pub struct HeaderChanges {
    /// `remove`: headers that are taken out. Each name once.
    pub remove: Vec<HeaderName>,
    /// `set`: headers that take the place of all of that name. Each name once.
    pub set: Vec<(HeaderName, NewValue)>,
    /// `add`: headers that come after what is there. Each name once.
    pub add: Vec<(HeaderName, NewValue)>,
}

/// The value of a header that is set or added: visible ASCII, with spaces between it.
#[derive(Debug, Clone)]
pub enum NewValue {
    /// The same value for every request.
    Fixed(HeaderValue),
    /// With placeholders.
    Made(Template),
}

/// `rewrite`
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// `host`: what the target sees as Host. Default: what the client sent.
    pub host: Option<HeaderValue>,
    /// `path` or `pathPrefix`. Default: what the client sent.
    pub path: Option<NewPath>,
}

/// Another path; the query stays. All of it is visible ASCII and begins with `/`.
#[derive(Debug, Clone)]
pub enum NewPath {
    /// `path`
    Whole(String),
    /// `pathPrefix`
    Prefix {
        /// What the rule's condition says, of `UNDER` without a slash at its end.
        before: String,
        /// What takes its place.
        after: String,
    },
}
