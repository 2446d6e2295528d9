//! The text of a configuration file, with a bound, and the tree of it.

use std::path::Path;

use serde_json::Value;

use super::bounded::{LARGEST_FILE, read_bounded};
use super::document;
use super::problem::Problem;

/// What is in a file.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    let bytes =
        read_bounded(path).map_err(|error| Problem::new("", format!("cannot be read: {error}")))?;
    check_size(&bytes)?;
    String::from_utf8(bytes).map_err(|error| Problem::new("", error.utf8_error().to_string()))
}

/// The tree of a text.
pub(super) fn tree(text: &str) -> Result<Value, Problem> {
    check_size(text.as_bytes())?;
    document::tree(text)
}

fn check_size(bytes: &[u8]) -> Result<(), Problem> {
    match bytes.len() > LARGEST_FILE {
        true => Err(Problem::new("", "is larger than 16 MiB")),
        false => Ok(()),
    }
}
