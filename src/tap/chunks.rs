//! A chunked body (RFC 9112 section 7.1), followed byte by byte and taken at its word.
//!
//! What parsers disagree about is where requests are smuggled and answers cut: a size without
//! digits, blanks after it, an extension with a control character, a line that ends in a bare LF.
//! None of them passes here. Pingora is shown what was understood, in chunks of ours, and never the
//! sender's own framing.

use std::fmt;

/// How long a line with a size may be in bytes.
const LONGEST_LINE: usize = 8 << 10;
pub(super) const LONGEST_TRAILERS: usize = 16 << 10;

/// A body, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Chunks {
    place: Place,
    /// How long the present line, or the trailers, are by now.
    length: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// A size, of which there is no digit yet.
    #[default]
    Size,
    Digits(u64),
    Extension(u64, Extension),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// A trailer's name, or the empty line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    End,
}

impl Place {
    fn is_of_trailers(self) -> bool {
        use Place::{LastLf, Trailer, TrailerLf, TrailerName, TrailerValue};
        matches!(
            self,
            Trailer | TrailerName | TrailerValue | TrailerLf | LastLf
        )
    }

    fn is_at_the_end(self) -> bool {
        matches!(self, Place::LastLf | Place::End)
    }
}

/// Within the extensions of a chunk (RFC 9112 section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    /// Blanks before a `;`.
    Before,
    /// After it, before the name.
    Start,
    Name,
    /// Blanks after the name.
    NameEnd,
    /// After the `=`.
    Value,
    Token,
    Quoted,
    Escaped,
    /// After a value in quotes.
    ValueEnd,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed chunks: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// What some bytes of a body are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// How many of them belong to the body; more than these belong to what follows it.
    pub(super) bytes: usize,
    /// How many of those are payload.
    pub(super) payload: usize,
}

impl Chunks {
    /// Whether the last chunk and its trailers are complete.
    pub(super) fn is_over(self) -> bool {
        self.place == Place::End
    }

    /// Takes the next bytes.
    pub(super) fn count(&mut self, bytes: &[u8]) -> Result<Taken, Malformed> {
        let mut taken = Taken::default();
        while let Some(part) = self.next(&bytes[taken.bytes..], None)? {
            taken.bytes += part.bytes;
            taken.payload += part.payload;
        }
        Ok(taken)
    }

    /// Takes the next bytes, and moves what is payload among them to the front. The lines of
    /// trailers are added to those that have come, if anybody wants them: with the empty line
    /// behind them, but none at all where there are no trailers.
    pub(super) fn compact(
        &mut self,
        bytes: &mut [u8],
        mut trailers: Option<&mut Vec<u8>>,
    ) -> Result<Taken, Malformed> {
        let mut taken = Taken::default();
        while let Some(part) = self.next(&bytes[taken.bytes..], trailers.as_deref_mut())? {
            taken.bytes += part.bytes;
            let payload = taken.bytes - part.payload..taken.bytes;
            bytes.copy_within(payload, taken.payload);
            taken.payload += part.payload;
        }
        Ok(taken)
    }

    /// Takes some framing, and the payload that comes after it.
    fn next(
        &mut self,
        bytes: &[u8],
        mut trailers: Option<&mut Vec<u8>>,
    ) -> Result<Option<Taken>, Malformed> {
        let mut passed = 0;
        while let Some(byte) = bytes.get(passed) {
            match self.place {
                Place::End => break,
                Place::Data(left) => {
                    let rest = bytes.len() - passed;
                    let payload = usize::try_from(left).map_or(rest, |left| left.min(rest));
                    self.place = match left - payload as u64 {
                        0 => Place::DataCr,
                        left => Place::Data(left),
                    };
                    let bytes = passed + payload;
                    return Ok(Some(Taken { bytes, payload }));
                }
                place => {
                    self.place = self.step(place, *byte)?;
                    if let Some(trailers) = &mut trailers
                        && place.is_of_trailers()
                        && !(trailers.is_empty() && self.place.is_at_the_end())
                    {
                        trailers.push(*byte);
                    }
                }
            }
            passed += 1;
        }
        Ok((passed > 0).then_some(Taken {
            bytes: passed,
            payload: 0,
        }))
    }

    /// Where a byte of the framing leads.
    fn step(&mut self, place: Place, byte: u8) -> Result<Place, Malformed> {
        self.length += 1;
        Ok(match (place, byte) {
            (Place::Size, _) => {
                self.length = 1;
                Place::Digits(digit(byte).ok_or(Malformed("a size without digits"))?)
            }
            (Place::Digits(_) | Place::Extension(..), _) if self.length > LONGEST_LINE => {
                return Err(Malformed("a line that is too long"));
            }
            (Place::Digits(size), _) => match digit(byte) {
                Some(digit) => Place::Digits(larger(size, digit)?),
                None => after(size, Extension::Before.step(byte, true)?),
            },
            (Place::Extension(size, part), _) => after(size, part.step(byte, false)?),
            (Place::SizeLf(0), b'\n') => {
                self.length = 0;
                Place::Trailer
            }
            (Place::SizeLf(size), b'\n') => Place::Data(size),
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size,
            (Place::DataCr | Place::DataLf, _) => {
                return Err(Malformed("a chunk that is longer than its size"));
            }
            (Place::LastLf, b'\n') => Place::End,
            (Place::SizeLf(_) | Place::LastLf, _) => return Err(Malformed("a bare CR")),
            (trailer, _) => self.trailer(trailer, byte)?,
        })
    }

    /// Where a byte of the trailers leads (RFC 9112 section 7.1.2).
    fn trailer(&self, place: Place, byte: u8) -> Result<Place, Malformed> {
        if self.length > LONGEST_TRAILERS {
            return Err(Malformed("trailers that are too long"));
        }
        match (place, byte) {
            (Place::Trailer, b'\r') => Ok(Place::LastLf),
            (Place::TrailerName, b':') => Ok(Place::TrailerValue),
            (Place::Trailer | Place::TrailerName, _) if is_token(byte) => Ok(Place::TrailerName),
            (Place::TrailerValue, b'\r') => Ok(Place::TrailerLf),
            (Place::TrailerValue, _) if is_text(byte) => Ok(Place::TrailerValue),
            (Place::TrailerLf, b'\n') => Ok(Place::Trailer),
            _ => Err(Malformed("a trailer that is none")),
        }
    }
}

impl Extension {
    /// Where a byte leads; `None` is the CR at the end of the line.
    fn step(self, byte: u8, is_bare: bool) -> Result<Option<Self>, Malformed> {
        let is_blank = matches!(byte, b' ' | b'\t');
        let ends = is_bare
            || matches!(
                self,
                Extension::Name | Extension::Token | Extension::ValueEnd
            );
        match (self, byte) {
            (_, b'\r') if ends => Ok(None),
            (Extension::Quoted, b'"') => Ok(Some(Extension::ValueEnd)),
            (Extension::Quoted, b'\\') => Ok(Some(Extension::Escaped)),
            (Extension::Quoted | Extension::Escaped, _) if is_text(byte) => {
                Ok(Some(Extension::Quoted))
            }
            (Extension::Start | Extension::Value, _) if is_blank => Ok(Some(self)),
            (Extension::Value, b'"') => Ok(Some(Extension::Quoted)),
            (Extension::Start | Extension::Name, _) if is_token(byte) => Ok(Some(Extension::Name)),
            (Extension::Value | Extension::Token, _) if is_token(byte) => {
                Ok(Some(Extension::Token))
            }
            (Extension::Name | Extension::NameEnd, b'=') => Ok(Some(Extension::Value)),
            (Extension::Name | Extension::NameEnd, _) if is_blank => Ok(Some(Extension::NameEnd)),
            (Extension::Quoted | Extension::Escaped | Extension::Start | Extension::Value, _) => {
                Err(Malformed("a chunk extension that is none"))
            }
            (_, b';') => Ok(Some(Extension::Start)),
            (_, _) if is_blank => Ok(Some(Extension::Before)),
            _ => Err(Malformed("a size that is no number")),
        }
    }
}

/// What follows a size and so much of its extensions.
fn after(size: u64, part: Option<Extension>) -> Place {
    part.map_or(Place::SizeLf(size), |part| Place::Extension(size, part))
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// Sizes that overflow in some readers are none.
fn larger(size: u64, digit: u64) -> Result<u64, Malformed> {
    let larger = size.checked_mul(16).map(|size| size + digit);
    let larger = larger.filter(|size| *size <= i64::MAX as u64);
    larger.ok_or(Malformed("a size that is too large"))
}

/// What names are made of (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What values are made of (RFC 9110 section 5.5).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The payload and the number of bytes; `None` for what is malformed.
    fn read(text: &[u8], cuts: &[usize]) -> Option<(Vec<u8>, usize, bool)> {
        let (mut chunks, mut payload, mut bytes) = (Chunks::default(), Vec::new(), 0);
        let mut trailers = Vec::new();
        let mut counted = Chunks::default();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(text.len());
        for end in ends {
            let mut piece = text[bytes..end.max(bytes)].to_vec();
            let count = counted.count(&piece);
            let taken = chunks.compact(&mut piece, Some(&mut trailers));
            assert_eq!(count, taken, "counting and moving agree");
            let taken = taken.ok()?;
            payload.extend_from_slice(&piece[..taken.payload]);
            bytes += taken.bytes;
        }
        Some((payload, bytes, chunks.is_over()))
    }

    #[test]
    fn sound_bodies_are_read_whole() {
        for (text, payload, rest) in [
            ("0\r\n\r\n", "", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
            (
                "005\r\nhello\r\nA\r\n0123456789\r\n00\r\n\r\nGET",
                "hello0123456789",
                "GET",
            ),
            ("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", ""),
            (
                "5 ; a = \"x;\\\"\ty\" ;b\r\nhello\r\n0\r\n\r\n",
                "hello",
                "",
            ),
            ("1\r\na\r\n0\r\nX-A: b\r\nX-C:\r\n\r\n1\r\n", "a", "1\r\n"),
        ] {
            let whole = text.len() - rest.len();
            let expected = Some((payload.as_bytes().to_vec(), whole, true));
            assert_eq!(read(text.as_bytes(), &[]), expected, "{text:?}");
            for cut in 0..=text.len() {
                assert_eq!(read(text.as_bytes(), &[cut]), expected, "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn trailers_are_gathered_however_they_are_cut() {
        for (text, expected) in [
            (
                "1\r\na\r\n0;x\r\nX-A: b\r\nX-C:\r\n\r\nGET",
                "X-A: b\r\nX-C:\r\n\r\n",
            ),
            ("1\r\na\r\n0\r\n\r\nGET", ""),
        ] {
            for cut in 0..text.len() {
                let (mut chunks, mut trailers) = (Chunks::default(), Vec::new());
                for piece in [&text[..cut], &text[cut..]] {
                    let mut piece = piece.as_bytes().to_vec();
                    chunks.compact(&mut piece, Some(&mut trailers)).unwrap();
                }
                assert_eq!(trailers, expected.as_bytes(), "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn what_parsers_disagree_about_is_malformed() {
        for text in [
            "\r\n",
            ";a\r\n",
            "g\r\n",
            "-1\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 \r\n",
            "5\t\r\n",
            "5;\r\n",
            "5; \r\n",
            "5;a \r\n",
            "5;a=\r\n",
            "5;a= \r\n",
            "5;a=\"b\r\n",
            "5;a=\"b\"c\r\n",
            "5;a;\r\n",
            "5;a\rb\r\n",
            "5;a\0\r\n",
            "5;a\nb\r\n",
            "5;a=\x01\r\n",
            "5;a=\"\x7f\"\r\n",
            "5\n",
            "5\r\r\n",
            "5 a\r\n",
            "5,5\r\n",
            "5\r\nhello0\r\n",
            "5\r\nhello\n",
            "5\r\nhello\r0",
            "2\r\nhello\r\n",
            "0\r\n\n",
            "0\r\ngarbage\r\n",
            "0\r\n: b\r\n",
            "0\r\na : b\r\n",
            "0\r\na: b\n",
            "0\r\na: \0\r\n",
            "0\r\n a: b\r\n",
            "8000000000000000\r\n",
            "10000000000000000\r\n",
        ] {
            assert_eq!(read(text.as_bytes(), &[]), None, "{text:?}");
            for cut in 0..=text.len() {
                assert_eq!(read(text.as_bytes(), &[cut]), None, "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn lines_and_trailers_have_a_longest() {
        let line = |length: usize| format!("5;{}\r\n", "a".repeat(length)).into_bytes();
        assert!(read(&line(LONGEST_LINE - 4), &[]).is_some());
        assert_eq!(read(&line(LONGEST_LINE), &[]), None);
        let trailers =
            |length: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(length)).into_bytes();
        assert!(read(&trailers(LONGEST_TRAILERS - 10), &[]).is_some());
        assert_eq!(read(&trailers(LONGEST_TRAILERS), &[]), None);
    }

    proptest! {
        #[test]
        fn whatever_was_chunked_comes_back_however_it_is_cut(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let mut text = Vec::new();
            for part in &parts {
                text.extend(format!("{:x};n=\"v\"\r\n", part.len()).into_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&text, &cuts), Some((parts.concat(), text.len(), true)));
        }

        #[test]
        fn no_bytes_panic(
            text in prop::collection::vec(any::<u8>(), 0..200),
            cut in any::<usize>(),
        ) {
            read(&text, &[cut]);
        }
    }
}
