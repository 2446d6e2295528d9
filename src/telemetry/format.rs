//! The formats of the access log.

/// How fields are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// `name=value`, with a space between; a value that is not plain is a JSON string.
    Text,
}
