//! Who has said what a configuration says.

use std::fmt;
use std::sync::Arc;

/// Where an object comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// The configuration file, or code.
    #[default]
    File,
    /// The API, with this path: `/targetgroups/…`.
    Api(Arc<str>),
}

impl Source {
    /// Where such an object is, if it is here in the file.
    pub fn place(&self, in_file: impl FnOnce() -> String) -> String {
        match self {
            Source::File => in_file(),
            Source::Api(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File => f.write_str("file"),
            Source::Api(path) => write!(f, "api {path}"),
        }
    }
}
