//! What was read of a stream of HTTP/2 and not gone on with: copied, for h2 keeps all that came
//! with it, and in pieces, so that each gives its memory back when it has gone on.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// How long a piece is at most. Small ones are put together to that.
const PIECE: usize = 4 << 10;

/// What was read, in its order.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pieces: VecDeque<BytesMut>,
    length: usize,
}

impl Parts {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends what was read.
    pub(crate) fn keep(&mut self, mut part: &[u8]) {
        self.length += part.len();
        if let Some(last) = self.pieces.back_mut() {
            let (first, rest) = part.split_at(part.len().min(PIECE.saturating_sub(last.len())));
            last.extend_from_slice(first);
            part = rest;
        }
        self.pieces.extend(part.chunks(PIECE).map(BytesMut::from));
    }

    /// A copy of all.
    pub(crate) fn all(&self) -> Bytes {
        let mut all = BytesMut::with_capacity(self.length);
        self.pieces
            .iter()
            .for_each(|piece| all.extend_from_slice(piece));
        all.freeze()
    }

    /// Takes what comes first, at most so much and not all of it at once.
    pub(crate) fn take(&mut self, most: usize) -> Bytes {
        let Some(first) = self.pieces.front_mut() else {
            return Bytes::new();
        };
        let part = first.split_to(most.min(first.len()));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.length -= part.len();
        part.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_parts_cost_no_more_than_a_few_large_ones() {
        let (mut small, mut large) = (Parts::default(), Parts::default());
        for _ in 0..16 * PIECE {
            small.keep(b"x");
        }
        large.keep(&[b'x'; 16 * PIECE]);
        for parts in [small, large] {
            let room: usize = parts.pieces.iter().map(BytesMut::capacity).sum();
            assert_eq!((parts.len(), parts.pieces.len()), (16 * PIECE, 16));
            assert!(room <= 17 * PIECE, "{room}");
        }
    }

    #[test]
    fn what_was_read_is_taken_in_its_order() {
        let mut parts = Parts::default();
        parts.keep(b"abc");
        assert_eq!(parts.take(2), "ab");
        parts.keep(b"de");
        assert_eq!((parts.take(9), parts.len()), (Bytes::from("cde"), 0));
        assert!(parts.is_empty() && parts.take(9).is_empty());
    }
}
