//! What the line of an exchange has beside the rest, where somebody has asked for it: headers, and
//! the trace that the request belongs to (W3C Trace Context).

use http::header::{HeaderMap, HeaderName, ORIGIN};
use pingora::http::{RequestHeader, ResponseHeader};
use uuid::Uuid;

use super::Exchange;
use crate::request_line;
use crate::telemetry::{Redaction, RefusalReason, Style};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// How long a traceparent of version 00 is.
const LENGTH: usize = 55;

/// The request's traceparent; one that has none, or one that is none, gets one.
fn trace(head: &mut RequestHeader) -> Option<String> {
    if let Some(known) = traceparent(&head.headers) {
        return Some(known.to_owned());
    }
    // Of another trace, or of none.
    head.remove_header(&TRACESTATE);
    let trace = Uuid::new_v4().simple().to_string();
    let parent = Uuid::new_v4().simple().to_string();
    let made = format!("00-{trace}-{}-01", &parent[..16]);
    head.insert_header(TRACEPARENT, &made).ok()?;
    Some(made)
}

/// The only one, if it is sound.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let text = all.next().filter(|_| all.next().is_none())?.to_str().ok()?;
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let [version, trace, parent, flags] = [(); 4].map(|()| parts.next().unwrap_or(""));
    let is_hex = |part: &str, length: usize| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == length && part.bytes().all(is_digit)
    };
    let is_something = |part: &str| part.bytes().any(|byte| byte != b'0');
    let is_sound = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_something(trace)
        && is_hex(parent, 16)
        && is_something(parent)
        && is_hex(flags, 2);
    // A later version may say more.
    let is_whole = rest.is_empty() || version != "00" && rest.starts_with('-');
    (is_sound && is_whole && text.len() <= 4 * LENGTH).then_some(text)
}

impl Exchange {
    /// Notes what is wanted of a request.
    pub(super) fn note_request(&mut self, style: &Style, head: &RequestHeader) {
        self.traces = style.traces;
        let Some(headers) = &style.headers else {
            return;
        };
        self.logs_answer = !headers.response.is_empty();
        let names = &headers.request;
        let values = request_line::values(&head.headers, names, &style.redaction);
        if !values.is_empty() {
            self.ledger.record.details().request_headers = values;
        }
    }

    /// Notes what is wanted of the answer that the client gets.
    pub(super) fn note_answer(&mut self, answer: &ResponseHeader) {
        if !self.logs_answer {
            return;
        }
        let style = self.connection.log.style();
        let Some(headers) = &style.headers else {
            return;
        };
        let names = &headers.response;
        let values = request_line::values(&answer.headers, names, &style.redaction);
        if !values.is_empty() {
            self.ledger.record.details().response_headers = values;
        }
    }

    /// Has a request that goes to a target belong to a trace.
    pub(super) fn trace(&mut self, head: &mut RequestHeader) {
        self.ledger.record.details().traceparent = trace(head);
    }

    /// Notes whose page was refused.
    pub(super) fn note_origin(&mut self, reason: RefusalReason, head: &RequestHeader) {
        if reason == RefusalReason::Origin {
            let values = request_line::values(&head.headers, &[ORIGIN], &Redaction::default());
            let origin = values.into_iter().next().map(|(_, value)| value);
            self.ledger.record.details().origin = origin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in lines {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn a_sound_traceparent_passes_and_another_is_made_anew() {
        let later = format!("cc{}-what-comes", &SOUND[2..]);
        for text in [SOUND, &later] {
            let mut head = head(&[("traceparent", text), ("tracestate", "a=b")]);
            assert_eq!(trace(&mut head).as_deref(), Some(text));
            assert_eq!(head.headers["tracestate"], "a=b");
        }
        let zeros = SOUND.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let long = format!("{SOUND}-more");
        for text in [
            "",
            "00-1-2-3",
            &SOUND.to_ascii_uppercase(),
            &format!("ff{}", &SOUND[2..]),
            &zeros,
            &long,
            &SOUND[..54],
        ] {
            let mut head = head(&[("traceparent", text), ("tracestate", "a=b")]);
            let made = trace(&mut head).unwrap();
            assert_eq!(head.headers["traceparent"], made);
            assert_eq!(traceparent(&head.headers), Some(&*made), "{text}");
            assert!(!head.headers.contains_key("tracestate"));
        }
        let mut two = head(&[("traceparent", SOUND), ("traceparent", SOUND)]);
        assert_ne!(trace(&mut two).as_deref(), Some(SOUND));
        assert_eq!(two.headers.get_all("traceparent").iter().count(), 1);
    }
}
