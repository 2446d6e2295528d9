//! What is kept of a body for another try: 64 KB of each, and 256 KB of all that come on one
//! connection. More is not repeated.

use std::sync::Arc;

use bytes::Bytes;

use crate::stream::{Parts, Wire};

/// How much of a body is kept.
const MOST: usize = 64 << 10;

/// The beginning of a body.
pub(super) struct Kept {
    carrier: Arc<Wire>,
    /// `None` where nobody asks for it, or it is too much.
    parts: Option<Parts>,
    is_cut: bool,
}

impl Kept {
    /// Of a stream on the connection with this wire.
    pub(super) fn on(carrier: Arc<Wire>) -> Self {
        Kept {
            carrier,
            parts: None,
            is_cut: false,
        }
    }

    /// From here on it is kept.
    pub(super) fn begin(&mut self) {
        if !self.is_cut {
            self.parts.get_or_insert_default();
        }
    }

    /// So much more has been read.
    pub(super) fn keep(&mut self, part: &[u8]) {
        let Some(parts) = &mut self.parts else {
            return;
        };
        if parts.len() + part.len() <= MOST && self.carrier.kept.take(part.len()) {
            return parts.keep(part);
        }
        self.let_go();
        self.is_cut = true;
    }

    /// Whether it was too much.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// All that was kept, if it is anything.
    pub(super) fn all(&self) -> Option<Bytes> {
        let parts = self.parts.as_ref().filter(|parts| !parts.is_empty())?;
        Some(parts.all())
    }

    fn let_go(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.carrier.kept.give_back(parts.len());
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: [u8; MOST / 4] = [b'x'; MOST / 4];

    fn kept(carrier: &Arc<Wire>, quarters: usize) -> Kept {
        let mut kept = Kept::on(Arc::clone(carrier));
        kept.begin();
        (0..quarters).for_each(|_| kept.keep(&QUARTER));
        kept
    }

    fn length(kept: &Kept) -> Option<usize> {
        kept.all().map(|all| all.len())
    }

    #[test]
    fn a_body_is_kept_up_to_a_length_and_all_of_a_connection_up_to_another() {
        let carrier = Arc::new(Wire::new());
        let too_long = kept(&carrier, 5);
        assert_eq!((length(&too_long), too_long.is_cut()), (None, true));
        let mut others: Vec<_> = (0..4).map(|_| kept(&carrier, 4)).collect();
        assert!(others.iter().all(|kept| length(kept) == Some(MOST)));
        let one_too_many = kept(&carrier, 1);
        assert_eq!((length(&one_too_many), one_too_many.is_cut()), (None, true));
        others.pop();
        assert_eq!(
            length(&kept(&carrier, 4)),
            Some(MOST),
            "there is room again"
        );
    }

    #[test]
    fn nothing_is_kept_before_somebody_asks_for_it() {
        let mut kept = Kept::on(Arc::default());
        kept.keep(b"a");
        assert!(kept.all().is_none() && !kept.is_cut());
        kept.begin();
        kept.keep(b"b");
        assert_eq!(kept.all().unwrap(), "b");
    }
}
