//! `accessLog`

use std::path::PathBuf;

use http::HeaderName;

/// `accessLog`
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// `path`: the file to append to. Default: standard output.
    pub path: Option<PathBuf>,
    /// `format`. Default: json.
    pub format: LogFormat,
    /// `redactQueryKeys`: parameters of a query whose values are left out, beside those that are
    /// known as secrets. Default: none.
    pub redact_query_keys: Vec<String>,
    /// `sample`: how many of the plain exchanges that went well have a line, 0 to 1. Default: 1.
    pub sample: f64,
    /// `openRecords`: whether a tunnel has a line when it opens, too. Default: false.
    pub open_records: bool,
    /// `journal`: the folder of the files in which processes note their open tunnels. Default: they
    /// do not.
    pub journal: Option<PathBuf>,
    /// `headers`: which headers are repeated. Default: none.
    pub headers: LoggedHeaders,
}

/// `headers` of the access log: each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoggedHeaders {
    /// `request`: as the client sent them.
    pub request: Vec<HeaderName>,
    /// `response`: as the client gets them.
    pub response: Vec<HeaderName>,
}

/// `tracing`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracing {
    /// `traceparent`: whether a request without one gets one. Default: false.
    pub traceparent: bool,
}

/// How the fields of a line are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `json`: one object a line.
    Json,
    /// `text`: `name=value`.
    Text,
}
