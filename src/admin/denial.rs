//! An answer that is an error: JSON with a message, whatever went wrong.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::Rejection;

/// Why a request is not done.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) status: StatusCode,
    pub(super) body: Error,
}

/// An error.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Error {
    /// What went wrong.
    pub(super) error: String,
    /// Of a configuration that is rejected: each problem, with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<String>,
}

impl Denial {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let body = Error {
            error: error.into(),
            problems: Vec::new(),
        };
        Denial { status, body }
    }

    /// The request cannot be understood.
    pub(super) fn bad(error: impl Into<String>) -> Self {
        Denial::new(StatusCode::BAD_REQUEST, error)
    }

    /// What it is about does not exist.
    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Denial::new(StatusCode::NOT_FOUND, error)
    }
}

impl From<Rejection> for Denial {
    fn from(rejection: Rejection) -> Self {
        Denial::new(rejection.status, rejection.why)
    }
}

impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let mut answer = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}
