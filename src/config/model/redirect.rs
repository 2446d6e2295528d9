//! What a `REDIRECT` rule says.

use super::NewPath;
use crate::config::template::Template;

/// A `REDIRECT` rule.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// `location`: the new address, as it goes into the Location header: visible ASCII, not empty.
    /// With placeholders it begins with a scheme or a slash.
    pub location: Template,
    /// `statusCode`: 301, 302, 303, 307 or 308. Default: 301.
    pub status_code: u16,
    /// `dropQuery`: leave the request's query out of an address without placeholders. Default:
    /// false.
    pub drop_query: bool,
    /// `rewrite`: what `{path}` stands for. Default: the path that the client asked for.
    pub path: Option<NewPath>,
}
