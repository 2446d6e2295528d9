//! Why a request is not heard, before anybody has decided what the answer looks like.

use axum::http::StatusCode;

/// Why a request is not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status that it is answered with.
    pub status: StatusCode,
    /// What is wrong, for whoever asks.
    pub why: String,
}

impl Rejection {
    /// One with this status.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Rejection { status, why }
    }
}
