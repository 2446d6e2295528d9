//! How the end of a body is told, and a note of it that both sides of a connection read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// A last chunk.
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// A framing that becomes known.
#[derive(Debug)]
pub(crate) struct Told(AtomicU64);

impl Told {
    const UNKNOWN: u64 = u64::MAX;
    const CHUNKED: u64 = u64::MAX - 1;
    const UNTIL_CLOSE: u64 = u64::MAX - 2;

    pub(crate) fn tell(&self, framing: Option<Framing>) {
        let word = match framing {
            None => Self::UNKNOWN,
            Some(Framing::Chunked) => Self::CHUNKED,
            Some(Framing::UntilClose) => Self::UNTIL_CLOSE,
            Some(Framing::Length(length)) => length.min(Self::UNTIL_CLOSE - 1),
        };
        self.0.store(word, Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Framing> {
        match self.0.load(Relaxed) {
            Self::UNKNOWN => None,
            Self::CHUNKED => Some(Framing::Chunked),
            Self::UNTIL_CLOSE => Some(Framing::UntilClose),
            length => Some(Framing::Length(length)),
        }
    }
}

impl Default for Told {
    fn default() -> Self {
        Told(AtomicU64::new(Self::UNKNOWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framing_is_told_and_heard() {
        let told = Told::default();
        assert_eq!(told.get(), None);
        for framing in [
            Framing::Length(0),
            Framing::Length(5),
            Framing::Chunked,
            Framing::UntilClose,
        ] {
            told.tell(Some(framing));
            assert_eq!(told.get(), Some(framing));
        }
    }
}
