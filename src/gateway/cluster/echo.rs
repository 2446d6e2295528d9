//! Whether what is written comes back on a stream.

use std::time::Instant;

use super::standing::OUTAGE;

/// What this node writes to its lease comes back on a stream, where streams live. Their connections
/// may be dead while others are not, and no question would tell.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// The first version that has not come back, and when it was written.
    waited_for: Option<(u64, Instant)>,
    /// One has come back since the streams began.
    is_heard: bool,
}

impl Echo {
    /// Notes a version that was written.
    pub(super) fn written(&mut self, version: &str) {
        if let (None, Ok(version)) = (self.waited_for, version.parse()) {
            self.waited_for = Some((version, Instant::now()));
        }
    }

    /// Notes the version that has come back last. Tells whether nothing comes any more.
    pub(super) fn is_missed(&mut self, seen: Option<u64>) -> bool {
        let Some((version, written)) = self.waited_for else {
            return false;
        };
        if seen.is_some_and(|seen| seen >= version) {
            (self.waited_for, self.is_heard) = (None, true);
        }
        let is_late = self.waited_for.is_some() && written.elapsed() >= OUTAGE;
        // Streams that never were there fail in their own words.
        let is_missed = is_late && self.is_heard;
        if is_missed {
            *self = Echo::default();
        }
        is_missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_missed_after_a_while_where_there_was_one() {
        let mut echo = Echo::default();
        let long_ago = || Instant::now().checked_sub(OUTAGE).unwrap();
        echo.written("7");
        assert!(!echo.is_missed(None));
        echo.waited_for = Some((7, long_ago()));
        assert!(!echo.is_missed(Some(6)), "nothing was ever heard");
        assert!(!echo.is_missed(Some(7)));
        echo.written("8");
        echo.written("9");
        assert!(!echo.is_missed(Some(7)));
        assert_eq!(echo.waited_for.unwrap().0, 8);
        echo.waited_for = Some((8, long_ago()));
        assert!(echo.is_missed(Some(7)));
        assert!(!echo.is_missed(Some(7)), "it is said once");
        // Who numbers otherwise is not judged.
        echo.written("a");
        assert!(echo.waited_for.is_none());
    }
}
