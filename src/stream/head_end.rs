//! Where an HTTP/1.1 head ends: at its first empty line (RFC 9112 section 2.1), the lines ending in
//! CRLF or LF, as httparse takes them.

/// Looks for the ends of heads in a stream, however it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HeadEnd {
    line: Line,
}

/// What the current line holds so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Line {
    /// It is the first one, or has text.
    #[default]
    Text,
    Empty,
    Cr,
}

impl HeadEnd {
    /// Takes the next bytes of the stream; tells how many of them belong to the head if it ends
    /// among them. The next byte is then the first of another head.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, next) = rest.split_at(end + 1);
            rest = next;
            let is_empty = self.is_empty_with(&line[..end]);
            self.line = Line::Empty;
            if is_empty {
                self.line = Line::Text;
                return Some(bytes.len() - rest.len());
            }
        }
        self.line = match (self.line, rest) {
            (line, []) => line,
            (Line::Empty, b"\r") => Line::Cr,
            (Line::Empty | Line::Cr | Line::Text, _) => Line::Text,
        };
        None
    }

    fn is_empty_with(self, rest: &[u8]) -> bool {
        match self.line {
            Line::Empty => matches!(rest, b"" | b"\r"),
            Line::Cr => rest.is_empty(),
            Line::Text => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [(&str, Option<usize>); 7] = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody", Some(27)),
        ("GET / HTTP/1.1\nHost: a\n\nbody", Some(24)),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", Some(26)),
        ("HTTP/1.1 101 S\r\n\r\n\x01\x00", Some(18)),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", None),
        ("GET / HTTP/1.1\r\nHost: a\r\n \r\nb: c\r\n", None),
        ("", None),
    ];

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        for (text, end) in HEADS {
            assert_eq!(HeadEnd::default().find(text.as_bytes()), end, "{text:?}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_stream_is_cut() {
        for (text, end) in HEADS {
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let (mut head, mut passed, mut found) = (HeadEnd::default(), 0, None);
                    for piece in [&text[..first], &text[first..second], &text[second..]] {
                        let here = head.find(piece.as_bytes());
                        found = found.or(here.map(|here| passed + here));
                        passed += piece.len();
                        if found.is_some() {
                            break;
                        }
                    }
                    assert_eq!(found, end, "{text:?} cut at {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn heads_may_follow_each_other() {
        let mut head = HeadEnd::default();
        let bytes = b"HTTP/1.1 103 E\r\nLink: a\r\n\r\nHTTP/1.1 101 S\r\n\r\nrest";
        let first = head.find(bytes).unwrap();
        assert_eq!(head.find(&bytes[first..]), Some(18));
    }
}
