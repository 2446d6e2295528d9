//! A line of the access log.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::text;

/// A JSON object on one line, written field by field; a field without a value is left out.
pub(super) struct Line(Vec<u8>);

impl Line {
    /// An object without fields.
    pub(super) fn begin() -> Self {
        let mut line = Vec::with_capacity(1024);
        line.push(b'{');
        Line(line)
    }

    /// A string.
    pub(super) fn text(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        let Some(value) = value else { return };
        self.name(name);
        serde_json::to_writer(&mut self.0, value.as_ref()).expect("a string into memory");
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.name(name);
        text::push_number(&mut self.0, value);
    }

    /// Milliseconds, with three decimals.
    pub(super) fn millis(&mut self, name: &str, value: Option<Duration>) {
        let Some(value) = value else { return };
        self.name(name);
        text::push_millis(&mut self.0, value);
    }

    /// An IP address.
    pub(super) fn ip(&mut self, name: &str, value: IpAddr) {
        self.name(name);
        self.0.push(b'"');
        text::push_ip(&mut self.0, value);
        self.0.push(b'"');
    }

    /// An address with its port.
    pub(super) fn address(&mut self, name: &str, value: Option<SocketAddr>) {
        let Some(value) = value else { return };
        self.name(name);
        self.0.push(b'"');
        text::push_address(&mut self.0, value);
        self.0.push(b'"');
    }

    /// A moment after RFC 3339, in UTC, with milliseconds.
    pub(super) fn time(&mut self, name: &str, value: SystemTime) {
        self.name(name);
        write!(self.0, "\"{}\"", humantime::format_rfc3339_millis(value))
            .expect("a date into memory");
    }

    /// The object's bytes, with a line end.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}
