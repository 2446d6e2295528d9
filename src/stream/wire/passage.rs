//! The trailers of a message on their way: those that have come, and those that may pass.

use http::HeaderMap;

/// The trailers of one message.
#[derive(Debug, Default)]
pub(super) struct Passage {
    come: Option<Box<HeaderMap>>,
    passed: Option<Box<HeaderMap>>,
}

impl Passage {
    /// Notes trailers that have come.
    pub(super) fn bring(&mut self, trailers: HeaderMap) {
        self.come = Some(Box::new(trailers));
    }

    /// Lets those pass that `purge` leaves.
    pub(super) fn pass(&mut self, purge: impl FnOnce(&mut HeaderMap)) {
        if let Some(mut trailers) = self.come.take() {
            purge(&mut trailers);
            self.passed = Some(trailers).filter(|trailers| !trailers.is_empty());
        }
    }

    /// Those that have passed; they may be asked for again.
    pub(super) fn passed(&self) -> Option<HeaderMap> {
        self.passed.as_deref().cloned()
    }

    /// Those that have passed, once.
    pub(super) fn fetch(&mut self) -> Option<HeaderMap> {
        self.passed.take().map(|trailers| *trailers)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn none_leave_that_were_not_let_pass() {
        let mut passage = Passage::default();
        let mut trailers = HeaderMap::new();
        trailers.append("a", HeaderValue::from_static("b"));
        trailers.append("c", HeaderValue::from_static("d"));
        passage.bring(trailers);
        assert_eq!(passage.fetch(), None);
        passage.pass(|trailers| drop(trailers.remove("a")));
        passage.pass(|_| unreachable!("they have passed already"));
        assert_eq!(passage.passed().unwrap().len(), 1);
        assert!(passage.fetch().unwrap().contains_key("c"));
        assert_eq!(passage.fetch(), None);
    }
}
