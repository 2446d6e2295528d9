//! The head of a request on its way to Pingora: whether it may go on, and what a client is told
//! whose head may not.
//!
//! Pingora's parser bounds a head at 1 MiB and 256 headers, and mends a request line that has
//! spaces or control characters in its target, or a fragment. What rules would then look at is not
//! what the client sent, so it is refused here (RFC 9112 section 3.2).

use super::absolute_form::mended;
use super::own_answer::{ALLOW, own_answer};
use crate::config::model::Bounds;
use crate::stream::ClientEnd;

/// What has come of a head so far.
#[derive(Debug, Default)]
pub(super) struct RequestHead {
    bytes: usize,
    lines: usize,
    first: RequestLine,
}

/// How far the request line has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum RequestLine {
    /// Not begun: empty lines may come before it (RFC 9112 section 2.2).
    #[default]
    Before,
    /// So many spaces of two.
    Within(u8),
    /// A CR has come, and an LF must follow.
    Ending,
    After,
}

/// What Pingora is shown of this head, which is whole. Errors: it must not go on.
pub fn shown_to_pingora(head: Vec<u8>, bounds: Bounds) -> Result<Vec<u8>, ClientEnd> {
    match RequestHead::default().take(&head, true, bounds) {
        Some(fault) => Err(fault),
        None => Ok(mended(&head).unwrap_or(head)),
    }
}

impl RequestHead {
    /// Takes the next bytes, with which the head may be whole; tells why it must not go on.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        is_whole: bool,
        bounds: Bounds,
    ) -> Option<ClientEnd> {
        let is_sound = self.first.take(bytes);
        self.bytes += bytes.len();
        self.lines += memchr::memchr_iter(b'\n', bytes).count();
        // The request line; and, once it is there, the empty one at the end.
        let others = 1 + usize::from(is_whole);
        let fault = match () {
            () if !is_sound => Some(ClientEnd::HeadMalformed),
            () if self.bytes > bounds.header_bytes => Some(ClientEnd::HeadTooLarge),
            () if self.lines > bounds.headers + others => Some(ClientEnd::TooManyHeaders),
            () => None,
        };
        if is_whole && self.first != RequestLine::Before {
            *self = RequestHead::default();
        }
        fault
    }
}

impl RequestLine {
    /// Takes the next bytes of the head; tells whether those of the request line may stand in one.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            *self = match (*self, byte) {
                (RequestLine::After, _) => return true,
                (RequestLine::Before, b'\r' | b'\n') => RequestLine::Before,
                (RequestLine::Within(2), b'\r') => RequestLine::Ending,
                (RequestLine::Within(2) | RequestLine::Ending, b'\n') => RequestLine::After,
                (RequestLine::Within(spaces @ 0..2), b' ') => RequestLine::Within(spaces + 1),
                (RequestLine::Ending, _) | (_, 0..=b' ' | 0x7F) => return false,
                (RequestLine::Within(1), b'#') => return false,
                (RequestLine::Before, _) => RequestLine::Within(0),
                (RequestLine::Within(spaces), _) => RequestLine::Within(spaces),
            };
        }
        true
    }
}

/// What a client is told whose head came to this end.
pub(super) fn answer(end: ClientEnd) -> Option<Vec<u8>> {
    let (status, words) = match end {
        ClientEnd::HeadExpired => (
            "408 Request Timeout",
            "the request's head did not arrive within clientTimeout",
        ),
        ClientEnd::HeadMalformed => ("400 Bad Request", "malformed request head"),
        ClientEnd::HeadTooLarge => (
            "431 Request Header Fields Too Large",
            "the request's head is too large",
        ),
        ClientEnd::TooManyHeaders => (
            "431 Request Header Fields Too Large",
            "the request has too many headers",
        ),
        ClientEnd::Open
        | ClientEnd::Closed
        | ClientEnd::Broken
        | ClientEnd::HandshakeExpired
        | ClientEnd::BodyMalformed
        | ClientEnd::BodyLate
        | ClientEnd::AnswerLate => return None,
    };
    Some(own_answer(status, words, ""))
}

/// What it is told where Pingora has this status for it, and no exchange begins.
pub(super) fn answer_instead(status: Option<u16>) -> Vec<u8> {
    match status {
        Some(405) => {
            let allow = format!("Allow: {ALLOW}\r\n");
            own_answer("405 Method Not Allowed", "CONNECT is not served", &allow)
        }
        _ => own_answer("400 Bad Request", "malformed request head", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        header_bytes: 60,
        headers: 2,
        body_bytes: None,
        minimum_rate: 0,
    };

    fn fault_of(text: &str, cut: usize) -> Option<ClientEnd> {
        let mut head = RequestHead::default();
        let (first, second) = text.as_bytes().split_at(cut);
        let is_whole = text.ends_with("\r\n\r\n") || text.ends_with("\n\n");
        let fault = head.take(first, is_whole && second.is_empty(), BOUNDS);
        fault.or_else(|| head.take(second, is_whole, BOUNDS))
    }

    #[test]
    fn a_head_is_refused_however_it_is_cut() {
        use ClientEnd::{HeadMalformed, HeadTooLarge, TooManyHeaders};
        for (text, fault) in [
            ("GET / HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n", None),
            ("GET /\u{e9} HTTP/1.1\nA: b c d e\n\n", None),
            ("\r\n\nGET / HTTP/1.1\r\n\r\n", None),
            (
                "GET / HTTP/1.1\r\nA: b\r\nC: d\r\nE: f\r\n\r\n",
                Some(TooManyHeaders),
            ),
            (
                "GET / HTTP/1.1\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                Some(HeadTooLarge),
            ),
            ("GET /a b HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("GET  / HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            (" GET / HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("GET /a\0 HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("GET\t/ HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("GET /a\rb HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("GET /a\x7f HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("GET /a#b HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("GET http://a#b HTTP/1.1\r\n\r\n", Some(HeadMalformed)),
            ("G#T /a HTTP/1.1\nA: #\n\n", None),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(fault_of(text, cut), fault, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn the_next_head_is_counted_by_itself() {
        let mut head = RequestHead::default();
        for _ in 0..5 {
            let fault = head.take(b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n", true, BOUNDS);
            assert_eq!(fault, None);
        }
    }
}
