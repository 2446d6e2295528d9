//! A body on its way, as far as it has come: where it ends, and how much of what passes is payload.

use std::io;
use std::task::Poll;

use tokio::io::ReadBuf;

use super::chunks::{Chunks, Malformed, Taken};
use super::trailers::LAST_CHUNK;
use crate::stream::Framing;

/// A body, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::default()),
            Framing::UntilClose => Body::UntilClose,
        }
    }
}

impl Body {
    /// Whether nothing more belongs to it.
    pub(super) fn is_over(self) -> bool {
        match self {
            Body::Length(left) => left == 0,
            Body::Chunked(chunks) => chunks.is_over(),
            Body::UntilClose => false,
        }
    }

    /// Takes the next bytes of the connection.
    pub(super) fn count(&mut self, bytes: &[u8]) -> Result<Taken, Malformed> {
        let all = |bytes: usize| Taken {
            bytes,
            payload: bytes,
        };
        match self {
            Body::Length(left) => {
                let count =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= count as u64;
                Ok(all(count))
            }
            Body::Chunked(chunks) => chunks.count(bytes),
            Body::UntilClose => Ok(all(bytes.len())),
        }
    }

    /// Takes bytes that are to be sent.
    ///
    /// Errors: they are malformed, or more than belong to it.
    pub(super) fn count_all(&mut self, bytes: &[u8]) -> io::Result<Taken> {
        let taken = self.count(bytes).map_err(invalid)?;
        match taken.bytes < bytes.len() {
            true => Err(io::Error::other(
                "more than the request was about to be sent",
            )),
            false => Ok(taken),
        }
    }

    /// Takes the next bytes of the connection, and moves what is payload among them to the front.
    pub(super) fn take_payload(&mut self, bytes: &mut [u8]) -> Result<Taken, Malformed> {
        match self {
            Body::Chunked(chunks) => chunks.compact(bytes, None),
            Body::Length(_) | Body::UntilClose => self.count(bytes),
        }
    }
}

/// Shows a part of a chunked body, in one chunk of ours: what `read` reads, which is told the most
/// that it may. Returns how much payload there is, and what was read beyond the body. Trailers are
/// not shown, but added to those that have come.
///
/// Errors: malformed chunks, of the kind `InvalidData`; and those of `read`.
pub(super) fn poll_chunk(
    chunks: &mut Chunks,
    trailers: &mut Vec<u8>,
    buf: &mut ReadBuf<'_>,
    room: usize,
    mut read: impl FnMut(&mut ReadBuf<'_>, usize) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<(usize, Vec<u8>)>> {
    let fits = buf.remaining().saturating_sub(OVERHEAD);
    let most = room.min(fits).min(LONGEST);
    if most == 0 {
        return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
    }
    let before = buf.filled().len();
    loop {
        let chunk = Chunk::begin(buf);
        let read = read(buf, most);
        if !matches!(read, Poll::Ready(Ok(1..))) {
            chunk.give_up(buf);
            return read.map_ok(|_| (0, Vec::new()));
        }
        let shown = chunk.end(chunks, trailers, buf)?;
        if buf.filled().len() > before {
            return Poll::Ready(Ok(shown));
        }
    }
}

/// Room for what [`Chunk::end`] adds.
const OVERHEAD: usize = SIZE.len() + LAST_CHUNK.len() + 2;
/// The most payload of a chunk of ours.
const LONGEST: usize = 0xFFFF;
const SIZE: &[u8] = b"0000\r\n";

/// A chunk of ours that is being filled.
#[derive(Debug)]
struct Chunk {
    start: usize,
}

impl Chunk {
    /// Leaves room for its size. What is read next goes behind that, as it was sent.
    fn begin(buf: &mut ReadBuf<'_>) -> Self {
        let start = buf.filled().len();
        buf.put_slice(SIZE);
        Chunk { start }
    }

    /// Nothing came of it.
    fn give_up(self, buf: &mut ReadBuf<'_>) {
        buf.set_filled(self.start);
    }

    /// Turns what was read into one chunk of ours, with the last one if the body is over, or into
    /// nothing, if there was no payload. Returns how much payload there is, and what was read
    /// beyond the body.
    fn end(
        self,
        chunks: &mut Chunks,
        trailers: &mut Vec<u8>,
        buf: &mut ReadBuf<'_>,
    ) -> io::Result<(usize, Vec<u8>)> {
        let first = self.start + SIZE.len();
        let read = &mut buf.filled_mut()[first..];
        let taken = chunks.compact(read, Some(trailers));
        let taken = taken.map_err(invalid)?;
        let beyond = read[taken.bytes..].to_vec();
        match taken.payload {
            0 => buf.set_filled(self.start),
            payload => {
                buf.set_filled(first + payload);
                let line = size_line(payload);
                buf.filled_mut()[self.start..first].copy_from_slice(&line);
                buf.put_slice(b"\r\n");
            }
        }
        if chunks.is_over() {
            buf.put_slice(LAST_CHUNK);
        }
        Ok((taken.payload, beyond))
    }
}

fn size_line(payload: usize) -> [u8; SIZE.len()] {
    let digit = |shift: usize| b"0123456789abcdef"[payload >> shift & 0xF];
    [digit(12), digit(8), digit(4), digit(0), b'\r', b'\n']
}

/// What the reader of a malformed body gets.
pub(super) fn invalid(why: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_no_more_than_belongs_to_it() {
        let mut body = Body::from(Framing::Length(3));
        let expected = Taken {
            bytes: 3,
            payload: 3,
        };
        assert_eq!(body.count(b"abcd"), Ok(expected));
        assert!(body.is_over());
        let mut body = Body::from(Framing::Chunked);
        let expected = Taken {
            bytes: 13,
            payload: 3,
        };
        assert_eq!(body.count(b"3\r\nabc\r\n0\r\n\r\nGET"), Ok(expected));
        assert!(body.is_over());
    }

    /// What becomes of these pieces, read one after the other, and what was beyond.
    fn rechunked(pieces: &[&str]) -> (String, Vec<u8>) {
        let (mut memory, mut chunks) = ([0; 300], Chunks::default());
        let mut buf = ReadBuf::new(&mut memory);
        let mut rest = Vec::new();
        for piece in pieces {
            let chunk = Chunk::begin(&mut buf);
            buf.put_slice(piece.as_bytes());
            let (_, beyond) = chunk.end(&mut chunks, &mut Vec::new(), &mut buf).unwrap();
            rest.extend(beyond);
        }
        let text = String::from_utf8(buf.filled().to_vec()).unwrap();
        (text, rest)
    }

    #[test]
    fn what_was_read_becomes_one_chunk_of_ours() {
        let (text, rest) = rechunked(&["1;a\r\nx\r\n2\r\nyz\r\n3\r\nab"]);
        assert_eq!(text, "0005\r\nxyzab\r\n");
        assert!(rest.is_empty());
        let (text, _) = rechunked(&["5", "\r\n", "hel", "lo\r", "\n0\r\nA: b\r\n", "\r\n"]);
        assert_eq!(text, "0003\r\nhel\r\n0002\r\nlo\r\n0\r\n\r\n");
        let (text, rest) = rechunked(&["1\r\nx\r\n0\r\n\r\nGET /"]);
        assert_eq!(
            (text.as_str(), &*rest),
            ("0001\r\nx\r\n0\r\n\r\n", &b"GET /"[..])
        );
        assert_eq!(size_line(0xA0F5), *b"a0f5\r\n");
    }
}
