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
    /// Objects of the Gateway API: `Gateway default/edge`.
    Gateway(Arc<str>),
}

/// The kinds of sources, in the order in which their objects stand in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The configuration file, or code.
    File,
    /// The API.
    Api,
    /// Objects of the Gateway API.
    Gateway,
}

impl Source {
    /// Of which kind it is.
    pub fn origin(&self) -> Origin {
        match self {
            Source::File => Origin::File,
            Source::Api(_) => Origin::Api,
            Source::Gateway(_) => Origin::Gateway,
        }
    }

    /// Where such an object is, if it is here in the file.
    pub fn place(&self, in_file: impl FnOnce() -> String) -> String {
        match self {
            Source::File => in_file(),
            Source::Api(_) | Source::Gateway(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File => f.write_str("file"),
            Source::Api(path) => write!(f, "api {path}"),
            Source::Gateway(name) => write!(f, "gateway {name}"),
        }
    }
}
