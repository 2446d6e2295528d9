//! An answer in chunks on its way to the client: where it is, so that its end is known.

use bytes::Bytes;

use crate::tap::chunks::Chunks;
use crate::tap::heads::Answer;
use crate::tap::trailers::LAST_CHUNK;

/// An answer in chunks, as far as it has been written.
#[derive(Debug, Default)]
pub(super) struct ChunkedAnswer {
    /// The number of its exchange.
    exchange: u64,
    place: Place,
    /// What is written in the place of what Pingora writes, as far as it has not left.
    pub(super) unsent: Bytes,
}

#[derive(Debug, Default)]
enum Place {
    Heads(Answer),
    Body(Chunks),
    /// It is not what it was said to be, or is over.
    #[default]
    Nowhere,
}

impl ChunkedAnswer {
    /// It belongs to the exchange with this number.
    pub(super) fn enter(&mut self, exchange: u64) {
        if self.exchange != exchange {
            self.exchange = exchange;
            self.place = Place::Heads(Answer::default());
        }
    }

    /// Whether the body ends with these bytes, which are its last chunk.
    pub(super) fn ends_with(&self, bytes: &[u8]) -> bool {
        match self.place {
            Place::Body(mut chunks) if bytes == LAST_CHUNK => {
                chunks.count(bytes).is_ok() && chunks.is_over()
            }
            Place::Body(_) | Place::Heads(_) | Place::Nowhere => false,
        }
    }

    /// Takes note of what has been written.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let Place::Heads(heads) = &mut self.place {
            let Some(end) = heads.end_of_last(rest) else {
                return;
            };
            rest = &rest[end..];
            self.place = Place::Body(Chunks::default());
        }
        if let Place::Body(chunks) = &mut self.place
            && (chunks.count(rest).is_err() || chunks.is_over())
        {
            self.place = Place::Nowhere;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_known_however_the_answer_was_cut() {
        let text = b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n5\r\n0\r\n\r\n\r\n";
        for cut in 0..=text.len() {
            let mut answer = ChunkedAnswer::default();
            answer.enter(1);
            answer.follow(&text[..cut]);
            // Before the only chunk, and behind it.
            let is_between = [text.len() - 10, text.len()].contains(&cut);
            assert_eq!(answer.ends_with(LAST_CHUNK), is_between, "{cut}");
            answer.follow(&text[cut..]);
            assert!(answer.ends_with(LAST_CHUNK));
            answer.follow(LAST_CHUNK);
            assert!(!answer.ends_with(LAST_CHUNK));
        }
    }

    #[test]
    fn an_answer_that_is_not_in_chunks_has_no_last_one() {
        let mut answer = ChunkedAnswer::default();
        answer.enter(1);
        answer.follow(b"HTTP/1.1 502 No\r\n\r\n502 no");
        assert!(!answer.ends_with(LAST_CHUNK));
    }
}
