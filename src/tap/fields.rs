//! The lines of fields, in a head or in trailers, as HTTP/1.1 has them.

use http::{HeaderMap, HeaderName, HeaderValue};

/// How many bytes the lines have.
pub(super) fn size(fields: &HeaderMap) -> usize {
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    fields.iter().map(line).sum()
}

/// Writes the lines.
pub(super) fn write(fields: &HeaderMap, text: &mut Vec<u8>) {
    for (name, value) in fields {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
}
