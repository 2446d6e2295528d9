//! The heads of an answer: any number of a 1xx, and the last.

use crate::stream::HeadEnd;

/// The heads of an answer, followed up to its last.
#[derive(Debug)]
pub(super) struct Answer {
    head: HeadEnd,
    /// The beginning of the current head, up to its status: `HTTP/1.1 101`.
    start: Vec<u8>,
    is_last: bool,
}

const START: usize = "HTTP/1.1 101".len();

impl Default for Answer {
    fn default() -> Self {
        Answer {
            head: HeadEnd::default(),
            start: Vec::with_capacity(START),
            is_last: false,
        }
    }
}

impl Answer {
    /// Takes the next bytes of the answer; tells how many of them belong to heads if a 101 ends
    /// among them.
    pub(super) fn end_of_101(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = self.end_of_last(bytes)?;
        self.is_101().then_some(end)
    }

    /// Whether the present head is a 101's, as far as it has come.
    pub(super) fn is_101(&self) -> bool {
        self.start.get(9..START) == Some(b"101")
    }

    /// Takes the next bytes of the answer; tells how many of them belong to heads if the last one
    /// ends among them: any but a 1xx, or a 101.
    pub(super) fn end_of_last(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut passed = 0;
        while !self.is_last && passed < bytes.len() {
            let rest = &bytes[passed..];
            let end = self.head.find(rest);
            let head = &rest[..end.unwrap_or(rest.len())];
            let missing = (START - self.start.len()).min(head.len());
            self.start.extend_from_slice(&head[..missing]);
            passed += end?;
            match self.start.get(9..START) {
                Some([b'1', rest @ ..]) if *rest != *b"01" => self.start.clear(),
                _ => {
                    self.is_last = true;
                    return Some(passed);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_101_is_found_however_the_answer_is_cut() {
        for (answer, end) in [
            ("HTTP/1.1 101 S\r\nA: b\r\n\r\n\x01\x02", Some(24)),
            (
                "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 101 S\r\n\r\nx",
                Some(60),
            ),
            ("HTTP/1.1 101 S\n\nHTTP/1.1 101 S\r\n\r\n", Some(16)),
            ("HTTP/1.1 403 F\r\n\r\nHTTP/1.1 101 S\r\n\r\n", None),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\nHTTP/1.1 101 S\r\n\r\n",
                None,
            ),
            ("garbage\r\n\r\nHTTP/1.1 101 S\r\n\r\n", None),
            ("", None),
        ] {
            for cut in 0..=answer.len() {
                let (first, second) = answer.as_bytes().split_at(cut);
                let mut heads = Answer::default();
                let found = heads.end_of_101(first);
                let found = found.or_else(|| Some(cut + heads.end_of_101(second)?));
                assert_eq!(found, end, "{answer:?} cut at {cut}");
            }
        }
    }
}
