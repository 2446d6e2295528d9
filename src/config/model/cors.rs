//! `cors`: which pages of other sites may read answers (the Fetch standard, "CORS protocol").

use std::time::Duration;

use super::AllowedOrigin;

/// `cors`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// `allowOrigins`: whose pages; `None` is `*`, those of all.
    pub allow_origins: Option<Vec<AllowedOrigin>>,
    /// `allowCredentials`: whether with cookies and the like. Default: false.
    pub allow_credentials: bool,
    /// `allowMethods`: beside GET, HEAD and POST. Default: none.
    pub allow_methods: CorsList,
    /// `allowHeaders`: which headers a request may have, beside those of every form. Default: none.
    pub allow_headers: CorsList,
    /// `exposeHeaders`: which headers of an answer a page may read, beside the usual. Default:
    /// none.
    pub expose_headers: CorsList,
    /// `maxAge`: how long a browser may remember a preflight's answer. Default: 5 s.
    pub max_age: Duration,
}

/// Methods, or names of headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsList {
    /// `*`
    All,
    /// These tokens, possibly none.
    These(Vec<String>),
}
