//! A line of the access log: a JSON object, or `name=value` with a space between.

use crate::target_address::TargetAddress;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::HeaderName;
use serde_json::Value;

use super::{Format, text};

/// One line, written field by field; a field without a value is left out.
pub(super) struct Line {
    bytes: Vec<u8>,
    format: Format,
}

impl Line {
    /// A line without fields.
    pub(super) fn begin(format: Format) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        if format == Format::Json {
            bytes.push(b'{');
        }
        Line { bytes, format }
    }

    /// A string.
    pub(super) fn text(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        let Some(value) = value else { return };
        let value = value.as_ref();
        self.name(name);
        match self.format {
            Format::Text if is_plain(value) => self.bytes.extend_from_slice(value.as_bytes()),
            Format::Text | Format::Json => text::push_string(&mut self.bytes, value),
        }
    }

    /// A value as it is in JSON.
    pub(super) fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(name, Some(text)),
            Value::Object(parts) if self.format == Format::Text => {
                for (part, value) in parts {
                    self.value(&format!("{name}.{part}"), value);
                }
            }
            value => {
                self.name(name);
                self.bytes.extend_from_slice(value.to_string().as_bytes());
            }
        }
    }

    /// Strings by name: an object, or each by itself behind a dot. None are left out.
    pub(super) fn texts(&mut self, name: &str, values: &[(HeaderName, String)]) {
        if values.is_empty() {
            return;
        }
        match self.format {
            Format::Text => {
                for (header, value) in values {
                    self.text(&format!("{name}.{header}"), Some(value));
                }
            }
            Format::Json => {
                self.name(name);
                self.bytes.push(b'{');
                for (place, (header, value)) in values.iter().enumerate() {
                    if place > 0 {
                        self.bytes.push(b',');
                    }
                    text::push_string(&mut self.bytes, header.as_str());
                    self.bytes.push(b':');
                    text::push_string(&mut self.bytes, value);
                }
                self.bytes.push(b'}');
            }
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.name(name);
        text::push_number(&mut self.bytes, value);
    }

    /// Milliseconds, with three decimals.
    pub(super) fn millis(&mut self, name: &str, value: Option<Duration>) {
        let Some(value) = value else { return };
        self.name(name);
        text::push_millis(&mut self.bytes, value);
    }

    /// An IP address.
    pub(super) fn ip(&mut self, name: &str, value: IpAddr) {
        self.name(name);
        self.quote();
        text::push_ip(&mut self.bytes, value);
        self.quote();
    }

    /// Where a target is.
    pub(super) fn target(&mut self, name: &str, value: Option<&TargetAddress>) {
        match value {
            None => {}
            Some(TargetAddress::Inet(address)) => {
                self.name(name);
                self.quote();
                text::push_address(&mut self.bytes, *address);
                self.quote();
            }
            Some(unix @ TargetAddress::Unix(_)) => self.text(name, Some(unix.to_string())),
        }
    }

    /// A moment after RFC 3339, in UTC, with milliseconds.
    pub(super) fn time(&mut self, name: &str, value: SystemTime) {
        self.name(name);
        self.quote();
        write!(self.bytes, "{}", humantime::format_rfc3339_millis(value))
            .expect("a date into memory");
        self.quote();
    }

    /// The line's bytes, with its end.
    pub(super) fn end(mut self) -> Vec<u8> {
        if self.format == Format::Json {
            self.bytes.push(b'}');
        }
        self.bytes.push(b'\n');
        self.bytes
    }

    fn name(&mut self, name: &str) {
        match self.format {
            Format::Json => {
                if self.bytes.len() > 1 {
                    self.bytes.push(b',');
                }
                self.bytes.push(b'"');
                self.bytes.extend_from_slice(name.as_bytes());
                self.bytes.extend_from_slice(b"\":");
            }
            Format::Text => {
                if !self.bytes.is_empty() {
                    self.bytes.push(b' ');
                }
                self.bytes.extend_from_slice(name.as_bytes());
                self.bytes.push(b'=');
            }
        }
    }

    /// What is around a name, and around a value that needs no escapes.
    fn quote(&mut self) {
        if self.format == Format::Json {
            self.bytes.push(b'"');
        }
    }
}

/// Whether a value cannot be taken for anything else without quotes.
fn is_plain(value: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
    !value.is_empty() && value.as_bytes().iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn line(format: Format) -> String {
        let mut line = Line::begin(format);
        line.time("time", UNIX_EPOCH);
        line.millis("durationMs", Some(Duration::from_micros(1500)));
        line.ip("clientIp", "2001:db8::7".parse().unwrap());
        line.number("absent", None);
        line.text("requestUri", Some("/a?b=1"));
        line.text("userAgent", Some("a \"b\"\n\u{1b}[2J\u{9b}2J\\ \u{fc}"));
        line.text("referer", Some(""));
        line.target("target", "192.0.2.1:80".parse().ok().as_ref());
        line.text("closeReason", Some("client_closed"));
        let header = |name, value: &str| (HeaderName::from_static(name), value.to_owned());
        line.texts(
            "requestHeaders",
            &[header("origin", "https://a"), header("x-a", "a b")],
        );
        line.texts("responseHeaders", &[]);
        String::from_utf8(line.end()).unwrap()
    }

    #[test]
    fn text_is_name_and_value_and_whatever_is_not_plain_is_quoted() {
        let expected = concat!(
            "time=1970-01-01T00:00:00.000Z durationMs=1.500 clientIp=2001:db8::7 ",
            r#"requestUri="/a?b=1" userAgent="a \"b\"\u000a\u001b[2J\u009b2J\\ ü" referer="" "#,
            "target=192.0.2.1:80 closeReason=client_closed ",
            r#"requestHeaders.origin=https://a requestHeaders.x-a="a b""#,
            "\n",
        );
        assert_eq!(line(Format::Text), expected);
    }

    #[test]
    fn json_has_the_same_values() {
        let line: serde_json::Value = serde_json::from_str(&line(Format::Json)).unwrap();
        assert_eq!(line["durationMs"], 1.5);
        assert_eq!(line["clientIp"], "2001:db8::7");
        assert_eq!(line["userAgent"], "a \"b\"\n\u{1b}[2J\u{9b}2J\\ \u{fc}");
        assert_eq!(line["referer"], "");
        let headers = serde_json::json!({"origin": "https://a", "x-a": "a b"});
        assert_eq!(line["requestHeaders"], headers);
        assert!(line.get("responseHeaders").is_none());
    }
}
