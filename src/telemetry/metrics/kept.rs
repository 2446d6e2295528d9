//! Counters that outlive a configuration.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// What is counted in one place for all who know its labels, for as long as anybody does: a reload
/// makes nothing twice.
pub(super) struct Kept<T, const LABELS: usize>(Mutex<HashMap<[String; LABELS], Weak<T>>>);

impl<T, const LABELS: usize> Kept<T, LABELS> {
    /// What has these labels; it is made if nobody knows it.
    pub(super) fn get(&self, labels: [&str; LABELS], make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.0.lock();
        let known = kept.entry(labels.map(str::to_owned)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let made = Arc::new(make());
            *known = Arc::downgrade(&made);
            made
        })
    }

    /// What has these labels, if anybody knows it.
    pub(super) fn known(&self, labels: [&str; LABELS]) -> Option<Arc<T>> {
        let kept = self.0.lock();
        kept.get(&labels.map(str::to_owned))?.upgrade()
    }

    /// All that somebody knows.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let kept = self.0.lock();
        kept.values().filter_map(Weak::upgrade).collect()
    }

    /// The labels of all that somebody may know.
    pub(super) fn labels(&self) -> Vec<[String; LABELS]> {
        let kept = self.0.lock();
        kept.keys().cloned().collect()
    }

    /// Has `forget` remove the children of what nobody knows any more. None of it is made anew
    /// meanwhile.
    pub(super) fn sweep(&self, mut forget: impl FnMut([&str; LABELS])) {
        let mut kept = self.0.lock();
        kept.retain(|labels, known| {
            let is_known = known.strong_count() > 0;
            if !is_known {
                forget(labels.each_ref().map(String::as_str));
            }
            is_known
        });
    }
}

impl<T, const LABELS: usize> Default for Kept<T, LABELS> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}
